# What the replicates of one case say: coverage, bias, errors. Sourced by
# collect.R and check.R, after common.R; reads and writes nothing.

`%||%` <- function(x, y) if (is.null(x)) y else x

z_95 <- stats::qnorm(0.975)

# How a number of knots is come by: fixed, or chosen from the same data. "best"
# is the fixed number (of the published 1 to 3) with the smallest error, which
# nobody can know outside a simulation.
methods <- c(
  stats::setNames(as.list(all_knots), paste0("fixed_", all_knots)),
  list(bic = "bic", aic = "aic", aic_wide = "aic_wide")
)

# ---- one replicate ----------------------------------------------------------

# Positions in the list of fits.
at_fit <- function(constraint, nknots) {
  (match(constraint, constraints) - 1L) * length(all_knots) +
    match(nknots, all_knots)
}

chosen_knots <- function(replicate, constraint, method) {
  if (is.numeric(method)) return(method)
  among <- if (method == "aic_wide") all_knots else published_knots
  criterion <- if (method == "bic") "bic" else "aic"
  values <- vapply(among, function(k) {
    replicate$fits[[at_fit(constraint, k)]][[criterion]]
  }, 0)
  among[which.min(values)]
}

# Estimates and standard errors of the curve and of its sum (the log hazard
# ratio of dose 1 over the whole window).
describe_fit <- function(fit, basis) {
  contrasts <- rbind(basis, total = colSums(basis))
  list(estimate = drop(contrasts %*% fit$coefficients),
       se = sqrt(pmax(0, rowSums((contrasts %*% fit$var) * contrasts))),
       critical = fit$critical)
}

# lags x replicates matrices for one constraint and method.
gather <- function(replicates, bases, constraint, method) {
  knots <- vapply(replicates, chosen_knots, 0, constraint, method)
  parts <- Map(function(replicate, k) {
    at <- at_fit(constraint, k)
    describe_fit(replicate$fits[[at]], bases[[at]])
  }, replicates, knots)
  list(knots = knots,
       estimate = vapply(parts, `[[`, parts[[1L]]$estimate, "estimate"),
       se = vapply(parts, `[[`, parts[[1L]]$se, "se"),
       critical = vapply(parts, `[[`, 0, "critical"))
}

# The curves to which the estimates of each replicate would come with ever more
# people, for the number of knots that was chosen in it.
limit_curves <- function(limit, bases, constraint, knots) {
  vapply(knots, function(k) {
    at <- at_fit(constraint, k)
    describe_fit(c(limit$fits[[at]], critical = NA), bases[[at]])$estimate
  }, numeric(nrow(bases[[1L]]) + 1L))
}

# ---- tables -----------------------------------------------------------------

# Shares of replicates that cover `target` (a vector or a matrix) at every lag,
# and at all lags at once. A lag whose weight is fixed by the constraint has no
# band: it counts for neither.
coverage_of <- function(got, target) {
  lags <- seq_len(nrow(got$estimate) - 1L)
  error <- abs(got$estimate - target)[lags, , drop = FALSE]
  se <- got$se[lags, , drop = FALSE]
  free <- rowSums(se > 0) > 0
  inside <- error <= z_95 * se
  all_inside <- colSums(error > rep(got$critical, each = nrow(error)) * se &
                          se > 0) == 0
  list(by_lag = ifelse(free, rowMeans(inside), NA),
       mean = mean(inside[free, ]), simultaneous = mean(all_inside))
}

summary_row <- function(got, truth, limit) {
  n_lags <- length(truth)
  lags <- seq_len(n_lags)
  total <- sum(truth)
  curve <- got$estimate[lags, , drop = FALSE]
  totals <- got$estimate[n_lags + 1L, ]
  total_se <- got$se[n_lags + 1L, ]
  mean_curve <- rowMeans(curve)
  size_of_truth <- mean(abs(truth))
  of_truth <- coverage_of(got, c(truth, total))
  of_limit <- if (!is.null(limit)) coverage_of(got, limit)
  spread <- apply(curve, 1L, stats::sd)
  free <- rowSums(got$se[lags, , drop = FALSE] > 0) > 0
  data.frame(
    replicates = ncol(curve),
    bias_curve = mean(abs(mean_curve - truth)) / size_of_truth,
    rmse_curve = sqrt(mean((curve - truth)^2)) / size_of_truth,
    se_over_sd = mean(rowMeans(got$se[lags, , drop = FALSE])[free] /
                        spread[free]),
    pointwise = of_truth$mean, simultaneous = of_truth$simultaneous,
    pointwise_limit = of_limit$mean %||% NA,
    simultaneous_limit = of_limit$simultaneous %||% NA,
    total_truth = total, total_bias = mean(totals) - total,
    total_rmse = sqrt(mean((totals - total)^2)),
    total_coverage = mean(abs(totals - total) <= z_95 * total_se)
  )
}

# The same from bootstrap intervals: a list with one element per data set, as
# bootstrap.R makes them.
bootstrap_row <- function(parts, truth) {
  along <- function(name) {
    vapply(parts, `[[`, numeric(length(truth)), name)
  }
  curve <- along("estimate")
  totals <- vapply(parts, `[[`, numeric(3L), "total")
  total <- sum(truth)
  outside <- truth < along("band_lower") | truth > along("band_upper")
  data.frame(
    replicates = length(parts),
    bias_curve = mean(abs(rowMeans(curve) - truth)) / mean(abs(truth)),
    rmse_curve = sqrt(mean((curve - truth)^2)) / mean(abs(truth)),
    se_over_sd = NA,
    pointwise = mean(truth >= along("lower") & truth <= along("upper")),
    simultaneous = mean(colSums(outside) == 0),
    pointwise_limit = NA, simultaneous_limit = NA, total_truth = total,
    total_bias = mean(totals[1L, ]) - total,
    total_rmse = sqrt(mean((totals[1L, ] - total)^2)),
    total_coverage = mean(totals[2L, ] <= total & total <= totals[3L, ])
  )
}

# Errors of the log hazard ratio that a stretch of lags contributes at dose 1,
# and the coverage of its lags.
region_rows <- function(got, truth) {
  n_lags <- length(truth)
  ends <- c(0, 30, 90, 180, 240)
  region <- cut(seq_len(n_lags), c(ends[ends < n_lags], n_lags))
  by_lag <- coverage_of(got, c(truth, sum(truth)))$by_lag
  do.call(rbind, lapply(levels(region), function(which) {
    lags <- which(region == which)
    sums <- colSums(got$estimate[lags, , drop = FALSE])
    data.frame(lags = sprintf("%d-%d", min(lags), max(lags)),
               truth = sum(truth[lags]), bias = mean(sums) - sum(truth[lags]),
               rmse = sqrt(mean((sums - sum(truth[lags]))^2)),
               pointwise = mean(by_lag[lags], na.rm = TRUE))
  }))
}

curve_rows <- function(got, truth, limit) {
  lags <- unique(c(1L, seq(5L, length(truth), by = 5L)))
  curve <- got$estimate[lags, , drop = FALSE]
  quantiles <- apply(curve, 1L, stats::quantile, c(0.05, 0.95))
  data.frame(
    lag = lags, truth = truth[lags], mean = rowMeans(curve),
    low = quantiles[1L, ], high = quantiles[2L, ],
    limit = if (is.null(limit)) NA else rowMeans(limit[lags, , drop = FALSE]),
    coverage = coverage_of(got, c(truth, sum(truth)))$by_lag[lags]
  )
}

# The fixed number of the published knots with the smallest error of the curve.
add_best <- function(table) {
  fixed <- table[table$method %in% paste0("fixed_", published_knots) &
                   table$interval == "wald", ]
  groups <- split(fixed, fixed[c("case", "size", "constraint")], drop = TRUE)
  best <- lapply(groups, function(g) {
    row <- g[which.min(g$rmse_curve), ]
    row$method <- sub("fixed", "best", row$method)
    row
  })
  table <- rbind(table, do.call(rbind, best))
  table[order(match(table$case, study_cases$case), table$size,
              table$constraint), ]
}
