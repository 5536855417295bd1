# Bootstrap intervals in the calibration study: patients are drawn again, and
# the number of knots is fixed, or chosen anew in every replicate.
#
#   Rscript bench/calibration/bootstrap.R [case=early_peak,inverted_u]
#     [size=500] [replicates=100] [times=200] [chunk=5]
#
# Data set r is that of run.R, with seed r. Results go to work/ beside this file
# and are gone on with, as those of run.R are; collect.R adds them to its tables.

source(file.path("bench", "calibration", "common.R"))

# Intervals of the curve and of the log hazard ratio of dose 1 over the window.
# Fit and bootstrap are in one function, where the names in the call are found.
intervals_of <- function(sim, cutoff, nknots, times, seed) {
  fit <- wce(Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
             id = person_id, records = sim$records, cutoff = cutoff,
             nknots = nknots)
  reselect <- length(nknots) > 1L
  boot <- bootstrap(fit, times, reselect = reselect, seed = seed,
                    data = sim$people, records = sim$records)
  curve <- weight_function(boot)
  band <- weight_function(boot, band = "simultaneous")
  total <- hazard_ratio(boot, 1)
  list(estimate = curve$weight, lower = curve$lower, upper = curve$upper,
       band_lower = band$lower, band_upper = band$upper,
       total = c(total$log_hr, log(total$lower), log(total$upper)),
       failures = sum(boot$failures))
}

one_bootstrap <- function(case, size, seed, times) {
  sim <- simulate_case(case, size, seed)
  cutoff <- case_row(case)$cutoff
  count_warnings(list(
    seed = seed, times = times,
    fixed_3 = intervals_of(sim, cutoff, 3, times, seed),
    bic = intervals_of(sim, cutoff, published_knots, times, seed)
  ))$value
}

args <- read_arguments(list(
  case = c("early_peak", "inverted_u"), size = 500, replicates = 100,
  times = 200, chunk = 5
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
          one_bootstrap(case, size, seed, args$times)
        }), file)
      }
      cli::cli_progress_update(id = bar)
    }
  }
}
