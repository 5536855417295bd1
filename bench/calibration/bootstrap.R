# Bootstrap intervals in the calibration study: patients are drawn again, and
# the number of knots is fixed, or chosen anew in every replicate.
#
#   Rscript bench/calibration/bootstrap.R [case=...] [size=500]
#     [replicates=500] [times=200] [chunk=5] [check=0]
#
# Data set r is that of run.R, with seed r. Results go to work/ beside this file
# and are gone on with, as those of run.R are; collect.R adds them to its
# tables. All cases get their first `chunk` data sets, then the next: a run that
# is stopped has about as many of each. check: for so many data sets, is
# bootstrap(reselect = TRUE) the same as what is put together here?

source(file.path("bench", "calibration", "common.R"))

# Intervals of the curve and of the log hazard ratio of dose 1 over the window.
intervals_of <- function(boot) {
  curve <- weight_function(boot)
  band <- weight_function(boot, band = "simultaneous")
  total <- hazard_ratio(boot, 1)
  list(estimate = curve$weight, lower = curve$lower, upper = curve$upper,
       band_lower = band$lower, band_upper = band$upper,
       total = c(total$log_hr, log(total$lower), log(total$upper)),
       failures = sum(boot$failures))
}

# bootstrap(fit, reselect = TRUE) from the bootstraps of each number of knots,
# which have the same samples of patients: three knots are not fitted twice.
reselect_from <- function(fit, boots) {
  best <- vigitensor:::best_replicates(
    lapply(boots, `[`, c("coefficients", "loglik", "reason")), fit
  )
  out <- boots[[which(fit$selection$selected)]]
  out[names(best)] <- best
  out$converged <- out$reason == "ok"
  out$failures <- vigitensor:::failure_counts(out$reason)
  out$fit <- fit
  out$reselect <- TRUE
  out
}

one_bootstrap <- function(case, size, seed, times) {
  sim <- simulate_case(case, size, seed)
  fit <- wce(Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
             id = person_id, records = sim$records,
             cutoff = case_row(case)$cutoff, nknots = published_knots)
  boots <- lapply(published_knots, function(nknots) {
    bootstrap(refit(fit, nknots), times, seed = seed, data = sim$people,
              records = sim$records)
  })
  if (seed <= args$check) {
    direct <- bootstrap(fit, times, reselect = TRUE, seed = seed,
                        data = sim$people, records = sim$records)
    stopifnot(identical(
      intervals_of(direct), intervals_of(reselect_from(fit, boots))
    ))
  }
  list(seed = seed, times = times,
       fixed_3 = intervals_of(boots[[match(3, published_knots)]]),
       bic = intervals_of(reselect_from(fit, boots)))
}

args <- read_arguments(list(
  case = study_cases$case, size = 500, replicates = 500, times = 200, chunk = 5,
  check = 0
))
first <- seq(1, args$replicates, by = args$chunk)
bar <- cli::cli_progress_bar("Chunks", total = length(first) *
                               length(args$case) * length(args$size))
for (from in first) {
  for (size in args$size) {
    for (case in args$case) {
      file <- study_file("work", case, size, sprintf("boot-%05d", from))
      if (!file.exists(file)) {
        seeds <- seq(from, min(from + args$chunk - 1, args$replicates))
        save_whole(lapply(seeds, function(seed) {
          count_warnings(one_bootstrap(case, size, seed, args$times))$value
        }), file)
      }
      cli::cli_progress_update(id = bar)
    }
  }
}
