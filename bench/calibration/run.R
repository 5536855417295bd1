# The calibration study: simulated data sets, and all fits of each.
#
#   Rscript bench/calibration/run.R [case=...] [size=500] [replicates=500]
#     [chunk=25] [processes=2] [limit=50000]
#
# Run from the folder of the project, with the package and its engine installed.
# case: one or more of exponential, bilinear, early_peak, inverted_u, constant,
# hat, hat_240, with commas; default: all. size: people per data set. Replicate
# r is simulated with seed r. limit: people of the one data set that shows what
# the fits come to when there are ever more people; 0: none.
#
# Results go to bench/calibration/work/, one file for `chunk` data sets. What is
# there is not done again, so a run that was stopped goes on where it was, and
# more replicates can be added. Then: Rscript bench/calibration/collect.R

source(file.path("bench", "calibration", "common.R"))

# ---- a chunk ----------------------------------------------------------------

# Every second lag is enough for a maximum over smooth curves.
band_critical <- function(fit, seed) {
  lags <- seq(1L, nrow(fit$basis), by = 2L)
  var <- fit$var
  var[is.na(var)] <- 0
  vigitensor:::simultaneous_critical(fit$basis[lags, , drop = FALSE], var,
                                     seed = seed, n_directions = 1000L)
}

one_replicate <- function(case, size, seed) {
  sim <- simulate_case(case, size, seed)
  fits <- lapply(fit_all(sim, case), function(fit) {
    fit$critical <- band_critical(fit, seed)
    fit$basis <- NULL
    fit
  })
  list(seed = seed, events = sim$counts$events, fits = fits)
}

run_chunk <- function(job) {
  if (file.exists(job$file)) return(invisible())
  save_whole(lapply(job$seeds, function(seed) {
    one_replicate(job$case, job$size, seed)
  }), job$file)
}

# What the estimates come to: the same fits of one very large data set.
run_limit <- function(job) {
  if (file.exists(job$file)) return(invisible())
  sim <- simulate_case(job$case, job$size, 0)
  save_whole(list(size = job$size, events = sim$counts$events,
                  fits = fit_all(sim, job$case)), job$file)
}

run_job <- function(job) {
  if (is.null(job$seeds)) run_limit(job) else run_chunk(job)
}

# ---- all of them ------------------------------------------------------------

study_jobs <- function(args) {
  jobs <- list()
  for (case in args$case) {
    for (size in args$size) {
      chunks <- split(seq_len(args$replicates),
                      (seq_len(args$replicates) - 1L) %/% args$chunk)
      jobs <- c(jobs, lapply(unname(chunks), function(seeds) {
        part <- sprintf("%05d", seeds[1L])
        list(case = case, size = size, seeds = seeds,
             file = study_file("work", case, size, part))
      }))
    }
    if (args$limit > 0) {
      jobs <- c(jobs, list(list(
        case = case, size = args$limit,
        file = study_file("work", case, args$limit, "limit")
      )))
    }
  }
  # Case by case within a chunk: a run that is stopped has some of each.
  first <- vapply(jobs, function(job) min(job$seeds, Inf), 0)
  jobs <- jobs[order(first)]
  jobs[!file.exists(vapply(jobs, `[[`, "", "file"))]
}

run_study <- function(args) {
  jobs <- study_jobs(args)
  if (!length(jobs)) {
    cat("Everything is there already.\n")
    return(invisible())
  }
  bar <- cli::cli_progress_bar("Chunks", total = length(jobs))
  if (args$processes < 2) {
    for (job in jobs) {
      run_job(job)
      cli::cli_progress_update(id = bar)
    }
    return(invisible())
  }
  workers <- parallel::makePSOCKcluster(args$processes)
  on.exit(parallel::stopCluster(workers))
  here <- getwd()
  parallel::clusterCall(workers, function(folder) {
    setwd(folder) # nolint: undesirable_function_linter.
    options(vigitensor.threads = 1)
    # Only the functions of this file: the arguments are the parent's.
    Sys.setenv(VIGITENSOR_STUDY_WORKER = "true")
    source(file.path("bench", "calibration", "run.R"))
    NULL
  }, here)
  rounds <- split(jobs, (seq_along(jobs) - 1L) %/% args$processes)
  for (round in rounds) {
    parallel::clusterApply(workers, round, function(job) run_job(job))
    cli::cli_progress_update(length(round), id = bar)
  }
  invisible()
}

if (!nzchar(Sys.getenv("VIGITENSOR_STUDY_WORKER"))) {
  if (!engine_available()) {
    stop("The fast engine is not installed: run install_engine() first.",
         call. = FALSE)
  }
  run_study(read_arguments(list(
    case = study_cases$case, size = 500, replicates = 500, chunk = 25,
    processes = max(1, parallel::detectCores()), limit = 50000
  )))
}
