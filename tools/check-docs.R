# Are NAMESPACE and man/ what the comments in R/ say? roxygen2 runs on a copy,
# with the package that R CMD check has just installed.
#
#   Rscript tools/check-docs.R CHECK-FOLDER
check_folder <- commandArgs(TRUE)[[1L]]
.libPaths(c(normalizePath(check_folder), .libPaths()))

copy <- file.path(tempfile("docs-"), "vigitensor")
dir.create(copy, recursive = TRUE)
wanted <- c("DESCRIPTION", "NAMESPACE", "R", "man", "data")
invisible(file.copy(wanted[file.exists(wanted)], copy, recursive = TRUE))
invisible(suppressMessages(utils::capture.output(
  roxygen2::roxygenise(copy, load_code = "installed",
                       roclets = c("rd", "namespace"))
)))

read_all <- function(root) {
  files <- c("NAMESPACE", file.path("man", list.files(file.path(root, "man"),
                                                      pattern = "[.]Rd$")))
  stats::setNames(lapply(file.path(root, files), readLines), files)
}
committed <- read_all(".")
fresh <- read_all(copy)
files <- union(names(committed), names(fresh))
stale <- files[!vapply(files, function(file) {
  identical(committed[[file]], fresh[[file]])
}, NA)]
if (length(stale)) {
  cat("These files are not what the comments in R/ say; run `make doc`:\n")
  cat(paste0("  ", stale), sep = "\n")
  quit(status = 1L)
}
cat(length(files), "files are up to date.\n")
