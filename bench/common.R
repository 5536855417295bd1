# Shared by the cases: timing, memory, comparison, results. Sourced by each of
# them from the folder of the project; never run.

suppressPackageStartupMessages({
  library(survival)
  library(vigitensor)
})

need_engine <- function() {
  if (!engine_available()) {
    stop("The fast engine is not installed: run install_engine() first.",
         call. = FALSE)
  }
}

with_engine <- function(engine, code) {
  old <- options(vigitensor.engine = engine)
  on.exit(options(old))
  force(code)
}

# Warnings of the package about the data (lags not covered and the like) do not
# belong to a timing; anything else is shown.
quiet <- function(code) {
  withCallingHandlers(code, vigitensor_warning = function(condition) {
    tryInvokeRestart("muffleWarning")
  })
}

# Median elapsed seconds of `times` calls after one that is not counted.
median_seconds <- function(call, times = 5L) {
  quiet(call())
  stats::median(vapply(seq_len(times), function(k) {
    gc(FALSE)
    system.time(quiet(call()), gcFirst = FALSE)[["elapsed"]]
  }, 0))
}

# ---- memory -----------------------------------------------------------------

# A line of /proc/self/status in GB; NA where there is none.
process_memory <- function(field) {
  file <- "/proc/self/status"
  if (!file.exists(file)) return(NA_real_)
  line <- grep(paste0("^", field, ":"), readLines(file), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) * 1024 / 1e9
}

# The first call of a process: value, seconds, and the highest memory above what
# the process held before, in GB.
measure_first <- function(call) {
  gc(FALSE)
  before <- process_memory("VmRSS")
  reset <- "/proc/self/clear_refs"
  if (file.exists(reset)) cat("5", file = reset)
  seconds <- system.time(value <- quiet(call()), gcFirst = FALSE)
  list(value = value, seconds = seconds[["elapsed"]],
       memory_gb = process_memory("VmHWM") - before)
}

# ---- equality ---------------------------------------------------------------

# Stops unless two fits of wce() agree: the log-likelihoods relatively, the
# coefficients absolutely, both at the optimum. Value: the larger difference of
# coefficients.
check_same_fit <- function(one, other, loglik = 1e-10, coefficients = 1e-8) {
  difference <- max(abs(one$coefficients - other$coefficients), 0,
                    na.rm = TRUE)
  relative <- max(abs(one$loglik - other$loglik) / abs(other$loglik))
  same_missing <- identical(unname(is.na(one$coefficients)),
                            unname(is.na(other$coefficients)))
  if (!same_missing || relative > loglik || difference > coefficients) {
    stop(sprintf(paste("The fits differ: log-likelihood by %.2g (relative),",
                       "coefficients by %.2g."), relative, difference),
         call. = FALSE)
  }
  difference
}

# ---- fresh processes --------------------------------------------------------

# Runs lines of R code in a new process; what it prints is its value, as
# numbers. `variables`: environment variables, "NAME=value".
fresh_numbers <- function(code, variables = character()) {
  file <- tempfile(fileext = ".R")
  on.exit(unlink(file))
  writeLines(code, file)
  rscript <- file.path(R.home("bin"), "Rscript")
  out <- system2(rscript, c("--vanilla", file), stdout = TRUE,
                 env = variables)
  status <- attr(out, "status")
  if (!is.null(status)) {
    stop("A fresh process failed: ", paste(out, collapse = "\n"),
         call. = FALSE)
  }
  as.numeric(strsplit(trimws(out[length(out)]), " +")[[1L]])
}

# ---- results ----------------------------------------------------------------

figure <- function(case, what, size, engine, seconds = NA, memory_gb = NA,
                   target = "", difference = NA) {
  data.frame(case = case, what = what, size = size, engine = engine,
             seconds = seconds, memory_gb = memory_gb, target = target,
             difference = difference)
}

machine_line <- function() {
  processor <- "unknown processor"
  if (file.exists("/proc/cpuinfo")) {
    model <- grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)
    if (length(model)) processor <- trimws(sub(".*:", "", model[1L]))
  }
  info <- engine_info()
  versions <- unlist(info$versions[lengths(info$versions) == 1L])
  peers <- c("survival", "WCE")
  peers <- peers[nzchar(vapply(peers, function(p) system.file(package = p),
                               ""))]
  versions[peers] <- vapply(peers, function(p) {
    as.character(utils::packageVersion(p))
  }, "")
  paste0("# ", format(Sys.Date()), "; ", parallel::detectCores(), " cores, ",
         processor, ", ", Sys.info()[["sysname"]], "; ",
         paste(names(versions), versions, collapse = ", "))
}

write_results <- function(case, ...) {
  rows <- do.call(rbind, list(...))
  file <- file.path("bench", "results", paste0(case, ".csv"))
  dir.create(dirname(file), showWarnings = FALSE, recursive = TRUE)
  rows$seconds <- signif(rows$seconds, 3)
  rows$memory_gb <- signif(rows$memory_gb, 3)
  rows$difference <- signif(rows$difference, 2)
  writeLines(machine_line(), file)
  suppressWarnings(utils::write.table(
    rows, file, sep = ",", row.names = FALSE, append = TRUE, na = "",
    qmethod = "double"
  ))
  print(rows, row.names = FALSE, right = FALSE)
  invisible(rows)
}

# ---- data -------------------------------------------------------------------

# WCE's example data, or NULL when they are nowhere.
read_drugdata <- function() {
  folder <- Sys.getenv("VIGITENSOR_SHARED")
  files <- file.path(folder, c("drugdata.csv.gz", "data/drugdata.csv.gz"))
  found <- files[nzchar(folder) & file.exists(files)]
  if (length(found)) return(utils::read.csv(found[1L]))
  if (!requireNamespace("WCE", quietly = TRUE)) return(NULL)
  place <- new.env()
  utils::data("drugdata", package = "WCE", envir = place)
  place$drugdata
}

# Cohorts of the larger cases: about a tenth of person-time within 180 days of
# a dose, a mean follow-up of 270 days.
bench_cohort <- function(n) {
  simulate_wce(n, days = 365, weights = "exponential", users = 0.315,
               hazard = 1e-4, seed = 660)
}

fit_cohort <- function(sim, engine = "cpu") {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
      data = sim$people, id = person_id, records = sim$records, cutoff = 180,
      nknots = 1, constrained = "right", engine = engine)
}

# Fits a cohort in a fresh process that holds the input and nothing else, not
# even memory that drawing it left behind. Value: named numbers, seconds (median
# of 5 warm calls), first_seconds and memory_gb (of the first call), pairs.
measure_cohort <- function(sim) {
  file <- tempfile(fileext = ".rds")
  on.exit(unlink(file))
  saveRDS(unclass(sim)[c("people", "records")], file, compress = FALSE)
  found <- fresh_numbers(c(
    "source(\"bench/common.R\")",
    sprintf("sim <- readRDS(%s)", deparse(file)),
    "first <- measure_first(function() fit_cohort(sim))",
    "cat(median_seconds(function() fit_cohort(sim)), first$seconds,",
    "    first$memory_gb, first$value$n_pairs)"
  ))
  stats::setNames(found, c("seconds", "first_seconds", "memory_gb", "pairs"))
}

cohort_size <- function(n, pairs) {
  sprintf("%s patients, %.2f million pairs",
          format(n, big.mark = ",", scientific = FALSE), pairs / 1e6)
}

# One fit of a cohort of n people from records: the cases records-*.
measure_records <- function(case, n, target, memory_target = "") {
  # A person is the same in a cohort of any size: the first 1,500 are fitted by
  # both engines.
  few <- bench_cohort(1500)
  difference <- quiet(check_same_fit(fit_cohort(few),
                                     fit_cohort(few, "reference")))
  found <- measure_cohort(bench_cohort(n))
  size <- cohort_size(n, found[["pairs"]])
  write_results(
    case,
    figure(case, "wce(), records", size, "cpu", found[["seconds"]],
           target = target, difference = difference),
    figure(case, "wce(), first call of the process", size, "cpu",
           found[["first_seconds"]], found[["memory_gb"]],
           target = memory_target)
  )
}
