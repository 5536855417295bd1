# The calibration study of penalised fits and of model averages: the data sets
# of run.R (replicate r has seed r), and the fits that BIC chooses beside them.
#
#   Rscript bench/calibration/penalised.R [case=...] [size=500] [replicates=500]
#     [chunk=25] [first=1] [fits=default]
#
# Run from the folder of the project, with the package and its engine installed.
# The settings of the penalty (the weight of the far end, the number of knots)
# were chosen on seeds 1 to 12 of 500 people: first=1001 leaves these out.
#
# `fits` says which: "default" (bic, reml, average), "more" (average_aic, aic,
# reml_free) or "cutoffs". Data sets go to
# bench/calibration/work/, `chunk` to a file, and are not done again. The table of
# all that is there goes to bench/calibration/results/penalised.csv, and to
# vignettes/ for vignette("choosing"); `replicates=0` makes it anew. Its columns
# are those of summary.csv in README.md, with `total_*` left to that file, and
#   method   bic: 1 to 3 knots; average: of these, by BIC; average_aic: of 1 to
#            8 knots, by AIC; reml, aic: the penalised fits with their defaults;
#            reml_free: without the far end;
#            cutoffs: penalised, averaged over cutoffs of 60, 90, ... up to 1.5
#            times that of the case, by AIC
#   interval wald, or for penalised fits also conditional: with lambda taken as
#            known
#   rmse_error  Monte Carlo error of rmse_curve
#   width    mean half width of the simultaneous band, in units of mean |truth|
#   df       mean (effective) degrees of freedom

source(file.path("bench", "calibration", "common.R"))

penalised_fit <- function(sim, case, ...) {
  given <- list(...)
  cutoff <- given$cutoff %||% case_row(case)$cutoff
  given$cutoff <- NULL
  count_warnings(do.call(wce, c(list(
    Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
    id = "person_id", records = sim$records, cutoff = cutoff
  ), given)))$value
}

`%||%` <- function(x, y) if (is.null(x)) y else x

# Estimates, standard errors and the critical value of the band at the lags of
# the case; beyond a cutoff the curve is zero and has no error.
at_lags <- function(fit, lags, seed) {
  table <- as.data.frame(weight_function(fit))
  band <- weight_function(fit, band = "simultaneous", seed = seed)
  at <- match(lags, table$lag)
  fill <- function(x) ifelse(is.na(at), 0, x[at])
  list(estimate = fill(table$weight), se = fill(table$se),
       critical = attr(band, "critical")[[1L]])
}

# With lambda taken as known.
conditional <- function(fit) {
  fit$var <- fit$smoothing$bayes
  fit
}

one_default <- function(sim, case) {
  knots <- penalised_fit(sim, case, nknots = published_knots)
  reml <- penalised_fit(sim, case, smooth = "reml")
  list(fits = list(bic.wald = knots, reml.wald = reml,
                   reml.conditional = conditional(reml),
                   average.wald = model_average(knots)),
       df = c(knots$df, reml$df, reml$df, NA))
}

one_more <- function(sim, case) {
  wide <- penalised_fit(sim, case, nknots = 1:8)
  aic <- penalised_fit(sim, case, smooth = "aic")
  free <- penalised_fit(sim, case, smooth = wce_smooth(far_end = FALSE))
  list(fits = list(average_aic.wald = model_average(wide, "aic"),
                   aic.wald = aic, reml_free.wald = free),
       df = c(NA, aic$df, free$df))
}

one_cutoffs <- function(sim, case) {
  several <- penalised_fit(
    sim, case, smooth = "reml", criterion = "aic",
    cutoff = seq(60, 1.5 * case_row(case)$cutoff, by = 30)
  )
  list(fits = list(cutoffs.wald = model_average(several)), df = NA)
}

one_penalised <- function(case, size, seed, which) {
  sim <- simulate_case(case, size, seed)
  lags <- seq_len(case_row(case)$cutoff)
  found <- switch(which, default = one_default, more = one_more,
                  cutoffs = one_cutoffs)(sim, case)
  lapply(stats::setNames(seq_along(found$fits), names(found$fits)),
         function(k) c(at_lags(found$fits[[k]], lags, seed), df = found$df[k]))
}

study_chunks <- function(args) {
  jobs <- expand.grid(case = args$case, size = args$size,
                      start = seq(args$first, length.out = ceiling(
                        args$replicates / args$chunk), by = args$chunk),
                      stringsAsFactors = FALSE)
  jobs <- jobs[order(jobs$start), ]
  last <- args$first + args$replicates - 1
  for (k in seq_len(nrow(jobs))) {
    job <- jobs[k, ]
    file <- study_file("work", job$case, job$size,
                       sprintf("penalised_%s-%05d", args$fits, job$start))
    if (file.exists(file)) next
    seeds <- seq(job$start, min(job$start + args$chunk - 1, last))
    save_whole(lapply(seeds, function(seed) {
      one_penalised(job$case, job$size, seed, args$fits)
    }), file)
    cat(sprintf("%s, %d people, seeds %d to %d\n", job$case, job$size,
                min(seeds), max(seeds)))
  }
}

penalised_row <- function(parts, truth) {
  estimate <- vapply(parts, `[[`, truth, "estimate")
  se <- vapply(parts, `[[`, truth, "se")
  critical <- vapply(parts, `[[`, 0, "critical")
  error <- abs(estimate - truth)
  size <- mean(abs(truth))
  # A weight that a fit holds at zero has no interval.
  free <- se > 0
  inside <- error <= stats::qnorm(0.975) * se
  outside <- free & error > rep(critical, each = length(truth)) * se
  # In all of its data sets: beside the mean, its Monte Carlo error.
  mse <- colMeans((estimate - truth)^2)
  data.frame(
    replicates = length(parts),
    bias_curve = mean(abs(rowMeans(estimate) - truth)) / size,
    rmse_curve = sqrt(mean(mse)) / size,
    rmse_error = stats::sd(mse) / sqrt(length(mse)) / 2 / sqrt(mean(mse)) /
      size,
    se_over_sd = mean(rowMeans(se) / apply(estimate, 1L, stats::sd)),
    pointwise = mean(inside[free]), simultaneous = mean(colSums(outside) == 0),
    width = mean(colMeans(se) * critical) / size,
    df = mean(vapply(parts, `[[`, 0, "df"))
  )
}

collect_penalised <- function() {
  rows <- list()
  for (case in study_cases$case) for (size in c(200, 500, 2000, 10000)) {
    for (which in c("default", "more", "cutoffs")) {
      files <- Sys.glob(study_file("work", case, size,
                                   sprintf("penalised_%s-[0-9]*", which)))
      found <- do.call(c, lapply(files, readRDS))
      for (name in names(found[[1L]])) {
        word <- strsplit(name, ".", fixed = TRUE)[[1L]]
        rows <- c(rows, list(cbind(
          data.frame(case = case, size = size, method = word[1L],
                     interval = word[2L]),
          penalised_row(lapply(found, `[[`, name), true_curve(case))
        )))
      }
    }
  }
  table <- do.call(rbind, rows)
  numbers <- vapply(table, is.double, NA)
  table[numbers] <- lapply(table[numbers], signif, 4)
  table
}

args <- read_arguments(list(case = study_cases$case, size = 500,
                            replicates = 500, chunk = 25, first = 1,
                            fits = "default"))
study_chunks(args)
table <- collect_penalised()
for (file in c(file.path("bench", "calibration", "results", "penalised.csv"),
               file.path("vignettes", "calibration-penalised.csv"))) {
  utils::write.csv(table, file, row.names = FALSE, quote = FALSE, na = "")
}
print(table, row.names = FALSE)
