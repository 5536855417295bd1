# What fits of other designs are asked for besides coefficients: smooth curves,
# replicates, residuals and influence, bands, averages, plots and tables.

# One fit of each kind. ...: of all four functions.
row_fits <- function(sim, kinds = c("nested", "tied", "unmatched", "series",
                                    "poisson"), ..., engine = "reference") {
  sets <- sample_riskset(Surv(entry, exit, event) ~ 1, data = sim$people,
                         id = person_id, controls = 3, seed = 1)
  sets$pair <- (sets$set + 1) %/% 2
  data <- list(nested = sets, tied = sets)
  make <- list(
    nested = function(...) wce_case_control(
      case ~ sex + exposure("drug") + strata(set), data = sets,
      id = "person_id", time = "time", engine = engine, ...),
    tied = function(...) wce_case_control(
      case ~ sex + exposure("drug") + strata(pair), data = sets,
      id = "person_id", time = "time", engine = engine, ...),
    unmatched = function(...) wce_case_control(
      event ~ sex + exposure("drug"), data = sim$people, id = "person_id",
      time = "exit", ...),
    series = function(...) wce_self_controlled(
      Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
      id = "person_id", engine = engine, ...),
    poisson = function(...) wce_poisson(
      Surv(entry, exit, event) ~ sex + exposure("drug"), data = sim$people,
      id = "person_id", cuts = 100, ...)
  )
  lapply(stats::setNames(nm = kinds), function(kind) {
    list(fit = make[[kind]](records = sim$records, ...),
         data = data[[kind]] %||% sim$people, records = sim$records)
  })
}

# The problem of a fit again, with u = 1.
row_derive <- function(one) {
  problem <- rows_problem(one$fit, one$data, one$records, globalenv())
  row_derivatives(problem$z, problem$at, problem$likelihood$kind)
}

test_that("smooth fits are where the penalised likelihood is largest", {
  sim <- row_study(300)
  for (one in row_fits(sim, cutoff = 40, smooth = "reml")) {
    fit <- one$fit
    expect_true(fit$converged)
    at <- row_derive(one)()(unname(coef(fit)))
    theta <- fit$smoothing$theta
    se <- sqrt(diag(fit$smoothing$bayes))
    expect_lt(max(abs(at$score - theta * coef(fit)) * se), 1e-7)
    expect_equal(fit$smoothing$bayes,
                 unname(solve(at$info + diag(theta), tol = 1e-20)),
                 tolerance = 1e-6)
    expect_equal(fit$df, sum(diag(fit$smoothing$bayes %*% at$info)),
                 tolerance = 1e-6)
    expect_output(print(fit), "effective")
    wide <- weight_function(fit, band = "simultaneous")
    expect_true(all(wide$upper >= weight_function(fit)$upper))
    # lambda is where the marginal likelihood of the quadratic model is flat.
    model <- list(at = unname(coef(fit)), value = 0, score = at$score,
                  info = at$info)
    slope <- judge_smoothing(model, design_penalty(
      fit$exposures, fit$settings$smooth, min(fit$exposures[[1]]$index) - 1L
    )$parts, fit$smoothing$log_lambda, "reml")$gradient
    range <- smoothing_range(design_penalty(
      fit$exposures, fit$settings$smooth, min(fit$exposures[[1]]$index) - 1L
    )$parts, at$info)
    inside <- fit$smoothing$log_lambda > range$low + 1e-6 &
      fit$smoothing$log_lambda < range$high - 1e-6
    expect_lt(max(abs(slope[inside]), 0), 1e-5)
  }
})

test_that("engines agree on smooth fits of sets", {
  skip_if_no_engine()
  sim <- row_study(300)
  kinds <- c("nested", "series", "tied")
  here <- row_fits(sim, kinds, cutoff = 40, smooth = "reml", nknots = 5)
  there <- row_fits(sim, kinds, cutoff = 40, smooth = "reml", nknots = 5,
                    engine = "cpu")
  for (kind in kinds) {
    a <- here[[kind]]$fit
    b <- there[[kind]]$fit
    expect_equal(weight_function(b)$weight, weight_function(a)$weight,
                 tolerance = 1e-6)
    expect_equal(unname(b$var), unname(a$var), tolerance = 1e-4)
    expect_equal(b$loglik, a$loglik, tolerance = 1e-8)
    expect_equal(b$df, a$df, tolerance = 1e-5)
  }
})

test_that("smooth fits are those of mgcv", {
  # With a level per person the Poisson model has the likelihood of the series,
  # and the determinant of the levels does not depend on the penalty. bam()
  # chooses lambda on the quadratic model as well; where it is infinite, as in
  # most small data sets, bam() stops somewhere on the way: not so here.
  skip_if_not_installed("mgcv")
  sim <- simulate_wce(400, days = 200, weights = 0.1 *
                        exp(-((1:40) - 15)^2 / 40), log_hr = 2, hazard = 4e-3,
                      seed = 3)
  kinds <- c("unmatched", "poisson", "series")
  for (one in row_fits(sim, kinds, cutoff = 40, nknots = 6,
                       smooth = wce_smooth(far_end = FALSE))) {
    problem <- rows_problem(one$fit, one$data, one$records, globalenv())
    parts <- one$fit$exposures[[1L]]$parts
    at <- problem$at
    q <- min(one$fit$exposures[[1L]]$index) - 1L
    x <- problem$z[, seq_len(q)]
    w <- problem$z[, q + seq_len(ncol(parts))]
    if (problem$likelihood$kind == "sets") {
      x <- stats::model.matrix(~ 0 + factor(at$stratum))
    }
    family <- if (problem$likelihood$kind == "logistic") stats::binomial() else
      stats::poisson()
    # It warns on its way to the levels of persons.
    peer <- suppressWarnings(mgcv::bam(
      y ~ 0 + x + w + offset(offset), family = family, method = "fREML",
      paraPen = list(w = list(diag(parts[1L, ]))),
      data = list(y = at$y, x = x, w = w, offset = at$offset),
      control = mgcv::gam.control(epsilon = 1e-11, maxit = 500)
    ))
    expect_equal(unname(log(peer$sp)), one$fit$smoothing$log_lambda,
                 tolerance = 1e-4)
    at_w <- ncol(x) + seq_len(ncol(w))
    se <- sqrt(diag(one$fit$smoothing$bayes))[q + seq_len(ncol(w))]
    off <- (coef(peer)[at_w] - coef(one$fit)[q + seq_len(ncol(w))]) / se
    expect_lt(max(abs(off)), 1e-4)
    expect_equal(sum(peer$edf[at_w]), smoothness(one$fit)$edf[1L],
                 tolerance = 1e-4)
  }
})

test_that("replicates are fits with units drawn again", {
  sim <- row_study(150)
  for (one in row_fits(sim, cutoff = 30, nknots = 0, constrained = "right")) {
    fit <- one$fit
    b <- bootstrap(fit, 3, seed = 4, data = one$data, records = one$records)
    expect_true(all(b$converged))
    problem <- rows_problem(fit, one$data, one$records, globalenv())
    expect_identical(b$n_units, problem$n_units)
    w <- draw_weights(problem$n_units, "multinomial", 4, 1, 3)
    z <- problem$z
    at <- problem$at
    for (k in 1:3) {
      rows <- rep(seq_along(at$y), w[k, problem$unit])
      copy <- sequence(w[k, problem$unit])
      found <- if (is.null(at$stratum)) {
        coef(stats::glm(at$y[rows] ~ 0 + z[rows, ] + offset(at$offset[rows]),
                        glm_family(problem$likelihood$kind),
                        control = list(epsilon = 1e-14, maxit = 60)))
      } else {
        d <- data.frame(y = at$y[rows], offset = at$offset[rows],
                        set = interaction(at$stratum[rows], copy))
        d$z <- z[rows, ]
        coef(survival::coxph(
          Surv(rep(1, length(y)), y) ~ z + strata(set) + offset(offset), d,
          ties = if (problem$likelihood$kind == "exact") "exact" else "breslow",
          control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                            toler.chol = 1e-15)
        ))
      }
      expect_equal(unname(b$coefficients[k, ]), unname(found),
                   tolerance = 1e-7)
    }
    # One step and influence are near that, and intervals of all kinds there.
    step <- bootstrap(fit, 3, seed = 4, method = "one_step", data = one$data,
                      records = one$records)
    near <- bootstrap(fit, 40, seed = 4, method = "influence",
                      data = one$data, records = one$records)
    se <- sqrt(diag(fit$var))
    expect_lt(max(abs(step$coefficients - b$coefficients) %*% diag(1 / se)), 2)
    expect_true(all(is.finite(confint(near, type = "bca"))))
    expect_output(print(near), if (fit$model$unit == "set") "sets" else
      "patients")
    expect_s3_class(total_effect(near), "hazard_ratio")
    expect_identical(nrow(weight_function(near, band = "simultaneous")), 30L)
  }
})

test_that("engines draw the same replicates, smooth ones too", {
  skip_if_no_engine()
  sim <- row_study(200)
  for (smooth in c("none", "reml")) {
    arguments <- list(sim, c("nested", "series"), cutoff = 30, smooth = smooth)
    if (smooth == "none") arguments$nknots <- 0
    here <- do.call(row_fits, arguments)
    there <- do.call(row_fits, c(arguments, engine = "cpu"))
    for (kind in names(here)) for (method in c("fit", "influence")) {
      drawn <- lapply(list(here[[kind]], there[[kind]]), function(one) {
        bootstrap(one$fit, 4, seed = 2, method = method, data = one$data,
                  records = one$records)
      })
      se <- sqrt(diag(here[[kind]]$fit$var))
      off <- (drawn[[1L]]$coefficients - drawn[[2L]]$coefficients) %*%
        diag(1 / se)
      expect_lt(max(abs(off)), 1e-5)
    }
    b <- bootstrap(there$nested$fit, 3, seed = 1, data = there$nested$data,
                   records = sim$records, kind = "bayesian", reselect = TRUE)
    expect_true(all(b$converged))
  }
})

test_that("strata of a bootstrap hold whole sets or people", {
  sim <- row_study(150)
  fits <- row_fits(sim, c("nested", "series"), cutoff = 30, nknots = 0)
  series <- fits$series
  b <- bootstrap(series$fit, 3, strata = sex, seed = 1, data = series$data,
                 records = sim$records)
  expect_identical(b$strata, "sex")
  expect_error(bootstrap(fits$nested$fit, 3, strata = sex,
                         data = fits$nested$data, records = sim$records),
               class = "vigitensor_error_strata")
})

test_that("residuals add up, and dfbeta tells what leaving one out does", {
  sim <- row_study(200)
  for (one in row_fits(sim, cutoff = 30, nknots = 0, constrained = "right")) {
    fit <- one$fit
    ask <- function(fun, ...) fun(fit, ..., data = one$data,
                                  records = one$records)
    score <- ask(residuals, "score")
    expect_lt(max(abs(colSums(score)) * sqrt(diag(fit$var))), 1e-6)
    found <- ask(influence, "coefficients")
    # One of the more influential, but not so that second order matters.
    one_out <- order(found$size)[round(0.9 * length(found$size))]
    problem <- rows_problem(fit, one$data, one$records, globalenv())
    u <- as.numeric(problem$unit != one_out)
    without <- newton_rows(problem$z, problem$at, problem$likelihood, NULL, u,
                           unname(coef(fit)))
    moved <- (coef(fit) - without$coefficients) / sqrt(diag(fit$var))
    told <- found$change[one_out, ] / sqrt(diag(fit$var))
    expect_lt(max(abs(moved - told)), 0.2 * max(abs(moved)))
    expect_output(print(found), if (fit$model$unit == "set") "sets" else
      "people")
    expect_s3_class(ask(influence, "hazard_ratio", profile = 1),
                    "wce_influence")
    expect_s3_class(ask(influence, "weight"), "wce_influence")
    if (fit$model$kind == "case_control") {
      expect_length(ask(residuals, by = "row"), nrow(one$data))
    }
    changed <- transform(one$data, sex = 1 - sex)
    if (!identical(fit$model$kind, "self_controlled")) {
      expect_error(residuals(fit, data = changed, records = one$records),
                   class = "vigitensor_error_data_changed")
    }
  }
})

test_that("cases and controls have linear predictors, in tables too", {
  sim <- row_study(200)
  fits <- row_fits(sim, c("nested", "unmatched", "series"), cutoff = 30,
                   nknots = 0)
  ask <- function(one, fun, ...) fun(one$fit, ..., data = one$data,
                                     records = one$records)
  one <- fits$unmatched
  d <- by_hand(one$fit, sim$people$person_id, sim$people$exit, sim$records)
  peer <- stats::glm(event ~ sex + d, stats::binomial(), data = sim$people,
                     control = list(epsilon = 1e-14, maxit = 60))
  found <- ask(one, predict, se.fit = TRUE)
  told <- stats::predict(peer, se.fit = TRUE)
  expect_equal(unname(found$fit), unname(told$fit), tolerance = 1e-8)
  expect_equal(unname(found$se.fit), unname(told$se.fit), tolerance = 1e-6)
  expect_equal(ask(one, predict, type = "risk"), exp(found$fit))
  one <- fits$nested
  d <- by_hand(one$fit, one$data$person_id, one$data$time, sim$records)
  lp <- drop(cbind(one$data$sex, d) %*% coef(one$fit))
  expect_equal(unname(ask(one, predict, reference = "zero")), lp,
               tolerance = 1e-8)
  expect_equal(unname(ask(one, predict)),
               lp - coef(one$fit)[["sex"]] * mean(one$data$sex),
               tolerance = 1e-8)
  refused <- function(expression) {
    expect_error(expression, class = "vigitensor_error_other_model")
  }
  refused(ask(one, predict, type = "survival"))
  refused(predict(one$fit, newdata = one$data))
  refused(ask(fits$series, predict))
  skip_if_not_installed("generics")
  table <- ask(one, generics::augment)
  expect_equal(table$.fitted, unname(ask(one, predict)))
  expect_equal(sum(table$.resid), 0, tolerance = 1e-8)
})

test_that("torch fits and draws sets as the processor does", {
  skip_if_no_part("torch")
  sim <- row_study(200)
  kinds <- c("nested", "series")
  fits <- lapply(c("torch", "cpu"), function(engine) {
    row_fits(sim, kinds, cutoff = 30, smooth = "reml", nknots = 4,
             engine = engine)
  })
  for (kind in kinds) {
    one <- lapply(fits, `[[`, kind)
    expect_identical(one[[1L]]$fit$engine, "torch")
    se <- sqrt(diag(one[[2L]]$fit$var))
    expect_lt(max(abs(coef(one[[1L]]$fit) - coef(one[[2L]]$fit)) / se), 1e-7)
    drawn <- lapply(one, function(o) {
      bootstrap(o$fit, 3, seed = 1, data = o$data, records = o$records)
    })
    off <- drawn[[1L]]$coefficients - drawn[[2L]]$coefficients
    expect_lt(max(abs(off %*% diag(1 / se))), 1e-7)
  }
})

test_that("averages, cutoffs, ratios, plots and tables are there", {
  sim <- row_study(200)
  pdf(NULL)
  withr::defer(dev.off())
  for (smooth in c("none", "reml")) {
    arguments <- list(sim, c("nested", "unmatched", "series", "poisson"),
                      cutoff = c(20, 30), smooth = smooth)
    if (smooth == "none") arguments$nknots <- 0:1
    for (one in do.call(row_fits, arguments)) {
      fit <- one$fit
      averaged <- model_average(fit)
      expect_equal(sum(averaged$table$probability), 1)
      expect_identical(nrow(weight_function(averaged)), 30L)
      by <- by_cutoff(fit)
      expect_equal(by$cutoff, c(20, 30))
      expect_equal(by$hr[by$selected], total_effect(fit)$hr)
      ratio <- hazard_ratio(fit, dose_profile(days = 5, began = 9,
                                              cutoff = max(by$cutoff[
                                                by$selected])))
      expect_true(ratio$lower < ratio$hr && ratio$hr < ratio$upper)
      for (which in c("weight", "cutoff", "all")) plot(fit, which = which)
      plot(ratio)
      skip_if_not_installed("generics")
      expect_identical(generics::tidy(fit)$term, names(coef(fit)))
      expect_equal(generics::glance(fit)$AIC, AIC(fit))
      expect_equal(generics::tidy(ratio)$estimate, ratio$log_hr)
    }
  }
})
