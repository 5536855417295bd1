# Do the tables of the study count what they should? Replicates are made up
# here: normal estimates about a spline that is the truth, with the variance
# that they say they have. Everything must then be covered in 95 of 100.
#
#   Rscript bench/calibration/check.R

source(file.path("bench", "calibration", "common.R"))
source(file.path("bench", "calibration", "tables.R"))

all_knots <- 1:5
n_replicates <- 4000
knots <- 2
bases <- lapply(rep(all_knots, length(constraints)), function(k) {
  vigitensor:::wce_basis(60, vigitensor:::wce_knots(60, k), FALSE)
})
basis <- bases[[at_fit("none", knots)]]
b <- c(0.2, 0.5, 0.1, -0.2, 0.1, 0)
vcov <- solve(crossprod(basis) + diag(0.5, 6)) * 0.02
critical <- vigitensor:::simultaneous_critical(basis, vcov)
root <- t(chol(vcov))

set.seed(1)
replicates <- lapply(seq_len(n_replicates), function(r) {
  fits <- lapply(seq_along(bases), function(k) list(aic = k, bic = k))
  fits[[at_fit("none", knots)]] <- list(
    aic = 0, bic = -1, coefficients = drop(b + root %*% rnorm(6)), var = vcov,
    critical = critical
  )
  list(fits = fits)
})
truth <- drop(basis %*% b)
limit <- list(fits = replicates[[1L]]$fits)
limit$fits[[at_fit("none", knots)]]$coefficients <- b

for (method in c("fixed_2", "bic", "aic", "aic_wide")) {
  got <- gather(replicates, bases, "none", methods[[method]])
  row <- summary_row(got, truth,
                     limit_curves(limit, bases, "none", got$knots))
  shares <- unlist(row[c("pointwise", "simultaneous", "pointwise_limit",
                         "simultaneous_limit", "total_coverage")])
  # Standard error of a share of 95%: 0.0034.
  stopifnot(all(got$knots == knots), all(abs(shares - 0.95) < 0.011),
            abs(row$se_over_sd - 1) < 0.03, row$bias_curve < 0.02,
            abs(row$total_bias) < 0.03)
}
# The mean squared error is the mean variance; a shift is a bias, and is not
# covered.
expected <- sqrt(mean(rowSums((basis %*% vcov) * basis))) / mean(abs(truth))
stopifnot(abs(row$rmse_curve / expected - 1) < 0.03)
shifted <- summary_row(got, truth + 1, NULL)
stopifnot(abs(shifted$bias_curve * mean(abs(truth + 1)) - 1) < 0.01,
          shifted$pointwise < 0.5, is.na(shifted$pointwise_limit))
regions <- region_rows(got, truth)
stopifnot(regions$lags == c("1-30", "31-60"),
          abs(sum(regions$truth) - sum(truth)) < 1e-12)
cat("The tables count what they should.\n")
