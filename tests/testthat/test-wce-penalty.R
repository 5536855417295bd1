# Penalised weight functions, against closed forms, survival::coxph evaluated at
# the result, and mgcv on the Poisson form of the same likelihood.

smooth_fit <- function(study, smooth = "reml", ..., formula = NULL,
                       engine = one_engine(), cutoff = 20) {
  suppressWarnings(
    wce(formula %||% (Surv(entry, exit, event) ~ sex + age + exposure("a")),
        data = study$people, id = person_id, records = study$records,
        cutoff = cutoff, smooth = smooth, ...),
    classes = "vigitensor_warning"
  )
}

# What engines agree on is tested once; the rest by the fast one if it is there.
one_engine <- function() if (engine_available()) "cpu" else "reference"

# The rows of `study` cut at event times, with the columns of the fit's basis.
smooth_pieces <- function(study, fit, cutoff = 20) {
  basis <- fit$exposures[[1L]]$basis_matrix
  oracle_rows(study$people, study$records,
              function(lags) basis[lags, , drop = FALSE], cutoff = cutoff)
}

# coxph at given coefficients, without a step.
coxph_at <- function(pieces, coefficients, ties = "efron") {
  suppressWarnings(survival::coxph(
    Surv(entry, exit, event) ~ sex + age + feature, pieces, ties = ties,
    init = coefficients,
    control = survival::coxph.control(iter.max = 0)
  ))
}

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

test_that("derivatives of the criteria are those of differences", {
  withr::local_seed(4)
  p <- 9
  info <- crossprod(matrix(rnorm(30 * p), 30))
  model <- list(at = rnorm(p), value = -50, score = rnorm(p), info = info)
  parts <- rbind(c(0, 0, runif(4), 0, 0, 0), c(0, 0, 0, runif(3), 0, 0, 0),
                 c(rep(0, 6), 1, 2, 0))
  for (method in c("reml", "aic")) for (shift in c(-2, 1, 4)) {
    rho <- shift + c(0.3, -0.2, 1)
    value <- function(rho) judge_smoothing(model, parts, rho, method)$value
    here <- judge_smoothing(model, parts, rho, method)
    difference <- function(f, j) {
      e <- 1e-4 * (1:3 == j)
      (f(rho + e) - f(rho - e)) / 2e-4
    }
    slope <- vapply(1:3, function(j) difference(value, j), 0)
    expect_equal(here$gradient, slope, tolerance = 1e-6)
    curve <- vapply(1:3, function(j) {
      difference(function(r) judge_smoothing(model, parts, r, method)$gradient,
                 j)
    }, numeric(3))
    expect_equal(smoothing_curvature(model, parts, rho, method), curve,
                 tolerance = 1e-5)
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

test_that("the average over lambda is the sum over fits at each lambda", {
  withr::local_seed(6)
  p <- 10
  info <- crossprod(matrix(rnorm(40 * p), 40))
  model <- list(at = rnorm(p), value = -50, score = rnorm(p), info = info)
  parts <- matrix(0, 3, p)
  parts[1L, 3:6] <- runif(4)
  parts[2L, 2:6] <- runif(5)
  parts[3L, 8:10] <- 1
  expect_identical(unname(lengths(split(1:3, part_terms(parts)))), 2:1)
  for (rho in list(c(2, 1, 3), c(24, 2, 22))) for (own in list(1:2, 3L)) {
    range <- smoothing_range(parts, info)
    found <- averaged_term(model, parts, rho, own, range)
    middle <- pmin(rho[own], range$middle[own] + 8)
    points <- expand.grid(lapply(middle, `+`, seq(-9, 9, by = 1.5)))
    judged <- lapply(seq_len(nrow(points)), function(k) {
      judge_smoothing(model, parts, replace(rho, own, unlist(points[k, ])),
                      "reml")
    })
    density <- vapply(judged, `[[`, 0, "value") - rowSums(points) / 2
    weight <- exp(density - max(density)) / sum(exp(density - max(density)))
    at_rho <- judge_smoothing(model, parts, rho, "reml")
    expected <- Reduce(`+`, Map(function(one, w) {
      w * (one$v - at_rho$v + tcrossprod(one$b - at_rho$b))
    }, judged, weight))
    expect_equal(found, expected, tolerance = 1e-6)
  }
})

test_that("engines agree", {
  skip_if_no_engine()
  for (seed in 1:2) {
    study <- random_study(seed, n = 40L, drugs = 2L)
    for (smooth in c("reml", "aic")) {
      fit <- function(engine) {
        smooth_fit(study, smooth, engine = engine, formula =
                     Surv(entry, exit, event) ~ sex + strata(region) +
                     exposure("a") + exposure("b", constrained = "right"))
      }
      one <- fit("reference")
      for (engine in setdiff(engines_here(), "reference")) {
        other <- fit(engine)
        expect_equal(other$loglik, one$loglik, tolerance = 1e-9)
        expect_equal(other$df, one$df, tolerance = 1e-6)
        curves <- lapply(list(one, other), weight_function)
        expect_equal(curves[[2L]]$weight, curves[[1L]]$weight,
                     tolerance = 1e-6)
        expect_equal(curves[[2L]]$se, curves[[1L]]$se, tolerance = 1e-5)
      }
    }
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

test_that("REML prefers its lambda, fitted anew at others", {
  study <- random_study(3, n = 80L)
  fit <- smooth_fit(study)
  for (j in 1:2) for (shift in c(-1.5, 1.5)) {
    lambda <- fit$smoothing$lambda * exp(shift * (1:2 == j))
    other <- smooth_fit(study, wce_smooth(lambda = lambda))
    expect_lte(other$smoothing$reml, fit$smoothing$reml + 1e-6)
  }
})

test_that("lambda is that of mgcv for the Poisson form of the likelihood", {
  # A Poisson model of the pairs with a free mean at every event time has the
  # likelihood of Breslow's ties, and the determinant of its intercepts does not
  # depend on the penalty. bam() chooses lambda on the quadratic model as well.
  skip_if_not_installed("mgcv")
  sim <- simulate_wce(100, design = "sylvestre", weights = "bilinear",
                      days = 200, seed = 1)
  study <- list(people = sim$people, records = sim$records)
  # Its lambda is finite: where it is not, mgcv stops somewhere on the way.
  fit <- smooth_fit(study, wce_smooth(far_end = FALSE), ties = "breslow",
                    cutoff = 60, nknots = 8,
                    formula = Surv(entry, exit, event) ~ exposure("drug"))
  basis <- fit$exposures[[1L]]$basis_matrix
  pieces <- oracle_rows(study$people, study$records, drug = "drug", cutoff = 60,
                        basis = function(lags) basis[lags, , drop = FALSE])
  times <- sort(unique(pieces$exit[pieces$event == 1]))
  pairs <- pieces[pieces$exit %in% times, ]
  pairs$time <- factor(pairs$exit)
  parts <- fit$exposures[[1L]]$parts
  peer <- mgcv::bam(
    event ~ 0 + time + feature, stats::poisson(), pairs,
    paraPen = list(feature = list(diag(parts[1L, ]))),
    method = "fREML",
    control = mgcv::gam.control(epsilon = 1e-11, maxit = 500)
  )
  beta <- coef(peer)[grepl("^feature", names(coef(peer)))]
  expect_lt(max(abs(beta - coef(fit)) / sqrt(diag(fit$var))), 1e-4)
  at <- grepl("^feature", names(coef(peer)))
  expect_equal(sum(peer$edf[at]), smoothness(fit)$edf[1L], tolerance = 1e-4)
  expect_equal(unname(peer$sp[1L]), fit$smoothing$lambda[1L], tolerance = 1e-3)
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

test_that("a robust variance replaces the part that comes from sampling", {
  study <- random_study(8, n = 60L)
  fit <- smooth_fit(study, robust = TRUE)
  plain <- smooth_fit(study)
  expect_equal(fit$naive.var, plain$var)
  score <- residuals(plain, "score", data = study$people,
                     records = study$records)
  between <- fit$smoothing$bayes %*% crossprod(score) %*% fit$smoothing$bayes
  expect_equal(unname(fit$var), unname(plain$var) -
                 fit$smoothing$frequentist + between, tolerance = 1e-6)
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
  expect_error(check_no_smooth(wce_smooth()), class = "vigitensor_error_smooth")
  expect_error(ph_check(smooth_fit(study), data = study$people,
                        records = study$records),
               class = "vigitensor_error_smooth")
  expect_error(smoothness(smooth_fit(study, "none", nknots = 1)),
               class = "vigitensor_error_not_smooth")
})

test_that("replicates keep lambda, or choose it anew", {
  study <- random_study(7, n = 50L)
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + exposure("a"), data = study$people,
        id = person_id, records = study$records, cutoff = 15,
        smooth = "reml", engine = one_engine()),
    classes = "vigitensor_warning"
  )
  again <- function(weights, smooth) {
    study$people$drawn <- weights[study$people$person_id]
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + exposure("a"),
          data = study$people, id = person_id, records = study$records,
          cutoff = 15, weights = drawn, robust = FALSE,
          engine = one_engine(), smooth = smooth),
      classes = "vigitensor_warning"
    )
  }
  weights <- draw_weights(50L, "bayesian", 4, 1, 3)
  for (reselect in c(FALSE, TRUE)) {
    drawn <- bootstrap(fit, 3, kind = "bayesian", seed = 4,
                       reselect = reselect, progress = FALSE)
    expect_true(all(drawn$converged))
    smooth <- if (reselect) "reml" else {
      wce_smooth(lambda = fit$smoothing$lambda)
    }
    for (k in 1:3) {
      one <- again(weights[k, ], smooth)
      expect_equal(unname(drawn$coefficients[k, ]), unname(coef(one)),
                   tolerance = 1e-5)
    }
    expect_s3_class(weight_function(drawn), "weight_function")
    words <- paste(utils::capture.output(print(drawn)), collapse = " ")
    expect_identical(grepl("Smoothing parameters chosen anew", words), reselect)
  }
  if (!engine_available()) skip("engines are compared with one another")
  for (method in c("fit", "one_step", "influence")) {
    found <- lapply(c("reference", "cpu"), function(engine) {
      bootstrap(fit, 2, seed = 4, method = method, engine = engine,
                progress = FALSE)$coefficients
    })
    expect_equal(found[[2L]], found[[1L]], tolerance = 1e-5)
  }
})

test_that("of several optima of REML the best is taken", {
  # From the middle of the range a climb ended at a rough curve here.
  skip_if_no_engine()
  fit <- function(smooth) {
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
          data = claims_people, id = person_id, records = claims_dispensings,
          cutoff = 30, nknots = 5, smooth = smooth, engine = "cpu"),
      classes = "vigitensor_warning"
    )
  }
  best <- fit("reml")$smoothing$reml
  for (rough in c(0, 6, 18)) for (far in c(0, 10, 20)) {
    other <- fit(wce_smooth(lambda = exp(c(rough, far))))
    expect_gte(best, other$smoothing$reml - 1e-3)
  }
})
