# Penalised weight functions, against closed forms and survival::coxph evaluated
# at the result.

test_that("the penalty is the integral that it says", {
  some_knots <- list(numeric(), c(12, 40), wce_knots(60, 9))
  for (order in 3:5) for (knots in some_knots) {
    all_knots <- wce_all_knots(60, knots, "clamped", order)
    found <- penalty_matrices(all_knots, order, 1, 60)
    lags <- seq(1, 60, length.out = 200)
    basis <- splines::splineDesign(all_knots, lags, ord = order)
    x <- (lags - 1) / 59
    size <- function(w, part) {
      b <- qr.solve(basis, w)
      drop(b %*% found[[part]] %*% b)
    }
    expect_equal(size(x^2, "roughness"), 4, tolerance = 1e-8)
    expect_equal(size(2 - 3 * x, "roughness"), 0, tolerance = 1e-8)
    expect_equal(size(x^2, "far_end"), 1 / 9, tolerance = 1e-8)
    expect_equal(size(x, "mass"), 1 / 3, tolerance = 1e-8)
  }
})

test_that("one basis makes both parts diagonal", {
  for (ends in list(FALSE, "right", c(left = "value"), "both")) {
    for (far_end in c(TRUE, FALSE)) {
      all_knots <- wce_all_knots(50, wce_knots(50, 8), "clamped", 4L)
      matrices <- penalty_matrices(all_knots, 4L, 1, 50)
      kept <- constrained_columns(12, constraint_ends(ends), 4L)
      matrices <- lapply(matrices, function(m) m[kept, kept])
      flat <- straight_lines(constraint_ends(ends))
      found <- diagonal_penalty(matrices, far_end, flat)
      turn <- found$transform
      expect_identical(sum(found$parts["roughness", ] == 0), flat)
      for (part in rownames(found$parts)) {
        turned <- t(turn) %*% matrices[[part]] %*% turn
        # Relative to the largest curvature that a column of this size has.
        expect_equal(turned, diag(found$parts[part, ]), tolerance = 1e-7)
      }
    }
  }
})

test_that("a fit is where the penalised likelihood of coxph is largest", {
  study <- random_study(3, n = 60L)
  for (smooth in list("reml", "aic", wce_smooth(far_end = FALSE),
                      wce_smooth(lambda = c(2, 30)))) {
    fit <- smooth_fit(study, smooth)
    expect_true(fit$converged)
    pieces <- smooth_pieces(study, fit)
    peer <- coxph_at(pieces, unname(coef(fit)))
    expect_equal(fit$loglik[2L], peer$loglik[1L], tolerance = 1e-10)
    theta <- fit$smoothing$theta
    # Its gradient less the penalty's, in standard errors.
    score <- colSums(stats::residuals(peer, "score"))
    se <- sqrt(diag(fit$smoothing$bayes))
    expect_lt(max(abs(score - theta * coef(fit)) * se), 1e-7)
    info <- solve(peer$var, tol = 1e-20)
    bayes <- solve(info + diag(theta), tol = 1e-20)
    expect_equal(fit$smoothing$bayes, bayes, tolerance = 1e-6)
    expect_equal(unname(fit$smoothing$edf), diag(bayes %*% info),
                 tolerance = 1e-6)
    expect_equal(fit$smoothing$frequentist, bayes %*% info %*% bayes,
                 tolerance = 1e-6)
    expect_equal(fit$df, sum(diag(bayes %*% info)), tolerance = 1e-6)
    expect_equal(AIC(fit), -2 * fit$loglik[2L] + 2 * fit$df)
    # The estimated lambda adds to the variance of every linear effect.
    extra <- eigen(fit$var - fit$smoothing$bayes, symmetric = TRUE)$values
    expect_gt(min(extra), -1e-9 * max(fit$var))
  }
})

test_that("no penalty is the spline, and an endless one a straight line", {
  study <- random_study(3, n = 60L)
  plain <- smooth_fit(study, "none", nknots = 2)
  light <- smooth_fit(study, wce_smooth(far_end = FALSE, lambda = 1e-10),
                      nknots = 2)
  expect_equal(light$loglik, plain$loglik, tolerance = 1e-9)
  expect_equal(light$df, plain$df, tolerance = 1e-6)
  expect_equal(weight_function(light)$weight, weight_function(plain)$weight,
               tolerance = 1e-6)
  expect_equal(weight_function(light)$se, weight_function(plain)$se,
               tolerance = 1e-6)
  heavy <- smooth_fit(study, wce_smooth(far_end = FALSE, lambda = 1e13))
  line <- oracle_fit(study$people, study$records,
                     basis = function(lags) cbind(1, lags))
  expect_equal(heavy$loglik, line$loglik, tolerance = 1e-8)
  expect_equal(weight_function(heavy)$weight,
               drop(cbind(1, 1:20) %*% coef(line)[3:4]), tolerance = 1e-6)
  expect_equal(heavy$df, 4, tolerance = 1e-6)
  nothing <- smooth_fit(study, wce_smooth(lambda = c(1e13, 1e13)))
  expect_lt(max(abs(weight_function(nothing)$weight)), 1e-8)
})

test_that("the order of rows and the unit of the dose do not matter", {
  study <- random_study(5, n = 60L)
  fit <- smooth_fit(study)
  shuffled <- study
  withr::with_seed(1, {
    shuffled$people <- study$people[sample(nrow(study$people)), ]
    shuffled$records <- study$records[sample(nrow(study$records)), ]
  })
  other <- smooth_fit(shuffled)
  expect_equal(other$loglik, fit$loglik, tolerance = 1e-10)
  expect_equal(weight_function(other)$weight, weight_function(fit)$weight,
               tolerance = 1e-6)
  scaled <- study
  scaled$records$dose <- 1000 * scaled$records$dose
  large <- smooth_fit(scaled)
  expect_equal(large$df, fit$df, tolerance = 1e-5)
  expect_equal(1000 * weight_function(large)$weight,
               weight_function(fit)$weight, tolerance = 1e-5)
  expect_equal(1000 * weight_function(large)$se, weight_function(fit)$se,
               tolerance = 1e-4)
})

test_that("constraints hold, on both clocks, and lags may be left out", {
  study <- random_study(6, n = 60L)
  study$records$start <- study$records$start + 0.5
  fit <- smooth_fit(study, clock = "continuous",
                    constrained = "right", lag_in = 2.5)
  table <- weight_function(fit)
  expect_identical(nrow(smoothness(fit)), 1L)
  expect_lt(abs(table$weight[nrow(table)]), 1e-12)
  expect_identical(table$se[nrow(table)], 0)
  free <- smooth_fit(study, clock = "continuous")
  expect_identical(nrow(smoothness(free)), 2L)
  # Hazard ratios integrate the same curve.
  ratio <- hazard_ratio(free, 1)$log_hr
  # The trapezoidal rule on a fine grid.
  lags <- seq(0, 20, length.out = 4001L)
  w <- drop(basis_at(free$exposures[[1L]], lags) %*% coef(free)[-(1:2)])
  expect_equal((sum(w) - (w[1L] + w[4001L]) / 2) * 20 / 4000, ratio,
               tolerance = 1e-4)
})

test_that("a penalised fit answers like any other", {
  study <- random_study(7, n = 60L)
  fit <- smooth_fit(study, cutoff = c(12, 20))
  expect_identical(fit$selection$cutoff, c(12L, 20L))
  expect_identical(fit$df, fit$selection$df[fit$selection$selected])
  expect_output(print(fit), "effective\\s+degrees of freedom")
  expect_output(print(summary(fit)), "penalised, 4 interior knots")
  expect_output(print(summary(fit)), "Fits tried")
  expect_s3_class(total_effect(fit), "hazard_ratio")
  wide <- weight_function(fit, band = "simultaneous")
  expect_true(all(wide$upper >= weight_function(fit)$upper))
  skip_if_not_installed("generics")
  expect_equal(generics::glance(fit)$AIC, AIC(fit))
  expect_identical(nrow(generics::tidy(fit)), length(coef(fit)))
  again <- refit(fit, cutoff = 12)
  expect_identical(again$smoothing, again$fits[[1L]]$smoothing)
  score <- residuals(fit, "score", data = study$people,
                     records = study$records)
  expect_equal(unname(colSums(score)),
               unname(fit$smoothing$theta * coef(fit)), tolerance = 1e-6)
})

test_that("what cannot be asked for is refused", {
  study <- random_study(3)
  expect_error(wce_smooth("gcv"), class = "vigitensor_error")
  expect_error(wce_smooth(lambda = -1), class = "vigitensor_error_smooth")
  expect_error(wce_smooth(far_end = NA), class = "vigitensor_error_smooth")
  expect_error(smooth_fit(study, "yes"), class = "vigitensor_error_smooth")
  expect_error(smooth_fit(study, 3), class = "vigitensor_error_smooth")
  expect_error(smooth_fit(study, order = 2), class = "vigitensor_error_smooth")
  expect_error(smooth_fit(study, shape = "nonnegative"),
               class = "vigitensor_error_smooth")
  expect_error(smooth_fit(study, wce_smooth(lambda = 1:3)),
               class = "vigitensor_error_smooth")
  expect_error(smoothness(smooth_fit(study, "none", nknots = 1)),
               class = "vigitensor_error_not_smooth")
})
