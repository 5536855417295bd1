# All cases, or those named, each in a process of its own.
#
#   Rscript bench/run.R [case ...]
cases <- c("agreement", "drugdata", "startup", "unit-rows", "records-660k",
           "records-100k", "grid", "growth", "simulate", "cox", "bootstrap",
           "torch", "episodes", "symbolic", "store", "many-drugs",
           "parquet", "nation",
           "designs")
wanted <- commandArgs(TRUE)
if (!length(wanted)) wanted <- cases
unknown <- setdiff(wanted, cases)
if (length(unknown)) {
  stop("There is no case ", paste(unknown, collapse = ", "), "; there are ",
       paste(cases, collapse = ", "), ".", call. = FALSE)
}
rscript <- file.path(R.home("bin"), "Rscript")
status <- vapply(wanted, function(case) {
  cat("\n== ", case, "\n", sep = "")
  system2(rscript, c("--vanilla", file.path("bench", paste0(case, ".R"))))
}, 0L)
failed <- wanted[status != 0L]
if (length(failed)) {
  cat("\nFailed:", paste(failed, collapse = ", "), "\n")
  quit(status = 1L)
}
