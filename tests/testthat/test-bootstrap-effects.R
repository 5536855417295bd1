# Curves, hazard ratios, total effects and peaks: of a fit and of a bootstrap.

study <- random_study(303, n = 60, drugs = 2L)
two <- Surv(entry, exit, event) ~ sex + exposure("a") +
  exposure("b", cutoff = 15)
fit <- resampled_fit(constrained = "right")
b <- bootstrap(fit, 60, seed = 2)

# Replicates of the curve of a term, by hand.
curves <- function(b, k = 1) {
  term <- b$fit$exposures[[k]]
  b$coefficients[, term$index] %*% t(plain_basis(term))
}

test_that("pointwise bands are intervals of the curves' replicates", {
  t <- curves(b)
  own <- weight_function(fit)
  for (type in interval_types) {
    w <- weight_function(b, level = 0.9, type = type)
    expect_s3_class(w, c("weight_function", "data.frame"), exact = TRUE)
    expect_identical(names(w), c("lag", "weight", "se", "lower", "upper"))
    expect_equal(w[c("lag", "weight")], own[c("lag", "weight")],
                 ignore_attr = TRUE)
    expect_equal(w$se, apply(t, 2, sd), tolerance = 1e-12)
    expect_identical(attr(w, "type"), type)
    expect_identical(attr(w, "replicates"), 60L)
  }
  w <- weight_function(b, level = 0.9)
  expect_equal(w$lower, apply(t, 2, quantile, 0.05, type = 6))
  expect_equal(w$upper, apply(t, 2, quantile, 0.95, type = 6))
  w <- weight_function(b, type = "normal")
  expect_equal(w$upper - w$weight, qnorm(0.975) * w$se)
  # The constraint holds in every replicate.
  expect_identical(unlist(w[20, -1]), c(weight = 0, se = 0, lower = 0,
                                        upper = 0))
})

test_that("BCa bands use the acceleration of each lag", {
  skip_if_no_engine()
  scores <- wce_scores_impl(
    wce_again(fit, env = environment())$rows,
    wce_again(fit, env = environment())$terms,
    wce_again(fit, env = environment())$tables, coef(fit)
  )$score
  u <- (scores %*% fit$var)[, fit$exposures[[1]]$index] %*%
    t(plain_basis(fit$exposures[[1]]))[, 1:19]
  a <- colSums(u^3) / (6 * colSums(u^2)^1.5)
  expect_equal(bootstrap_curve(b, 1)$acceleration()[1:19], a,
               tolerance = 1e-8)
})

test_that("a simultaneous band holds as many whole curves as it says", {
  t <- curves(b)
  w <- weight_function(b, band = "simultaneous", level = 0.8)
  inside <- apply(t, 1, function(one) {
    all(one >= w$lower - 1e-12 & one <= w$upper + 1e-12)
  })
  # The quantile (type 6) of 60 numbers at 0.8 lies between the 48th and 49th.
  expect_identical(sum(inside), 48L)
  expect_equal(w$upper[1:19] - w$weight[1:19],
               attr(w, "critical")[[1]] * w$se[1:19])
  expect_gt(attr(w, "critical"), qnorm(0.9))
  expect_identical(unlist(w[20, -1]), c(weight = 0, se = 0, lower = 0,
                                        upper = 0))
})

test_that("a simultaneous band of a fit has the critical value of its curve", {
  w <- weight_function(fit, band = "simultaneous", level = 0.9)
  term <- fit$exposures[[1]]
  critical <- simultaneous_critical(plain_basis(term),
                                    unname(fit$var[term$index, term$index]),
                                    0.9)
  expect_equal(w$upper, w$weight + critical * w$se)
  expect_equal(attr(w, "critical"), c("exposure(\"a\")" = critical))
  expect_identical(weight_function(fit, band = "pointwise"),
                   weight_function(fit))
  expect_error(weight_function(fit, band = "both"),
               class = "vigitensor_error_band")
  expect_error(weight_function(fit, type = "bca"),
               class = "vigitensor_error_unknown_argument")
})

test_that("hazard ratios are intervals of the contrasts' replicates", {
  term <- fit$exposures[[1]]
  profile <- list(c(1, 2, 0, 4), rep(1, 20))
  doses <- rbind(c(1, 2, 0, 4, numeric(16)), 1)
  t <- b$coefficients[, term$index] %*% t(doses %*% term$basis_matrix)
  ratio <- hazard_ratio(b, profile)
  expect_equal(ratio$log_hr, hazard_ratio(fit, profile)$log_hr)
  expect_equal(ratio$se, apply(t, 2, sd))
  expect_equal(ratio$lower,
               unname(exp(apply(t, 2, quantile, 0.025, type = 6))))
  expect_equal(hazard_ratio(b, 1, 2)$log_hr,
               -hazard_ratio(b, 1)$log_hr)
  course <- data.frame(start = 0, stop = 10, dose = 1)
  expect_equal(hazard_ratio(b, course, at = 12),
               hazard_ratio(b, c(0, 0, rep(1, 10))), ignore_attr = TRUE)
  expect_error(hazard_ratio(b, rep(1, 30)), class = "vigitensor_error_profile")
  expect_error(hazard_ratio(b, 1, type = "basic"),
               class = "vigitensor_error_type")
  holed <- b
  holed$fit$exposures[[1]]$covered[15:20] <- FALSE
  expect_error(hazard_ratio(holed, 1),
               class = "vigitensor_error_uncovered_lags")
  expect_identical(which(is.na(weight_function(holed)$lower)), 15:20)
  expect_true(is.na(total_effect(holed)$hr))
})

test_that("the total effect is the sum of the weights", {
  for (x in list(fit, b)) {
    total <- total_effect(x, dose = c(1, 3))
    expect_equal(total$log_hr, c(1, 3) * sum(weight_function(fit)$weight))
    expect_equal(total[c("hr", "se", "lower", "upper")],
                 hazard_ratio(x, list(1, 3))[c("hr", "se", "lower", "upper")],
                 ignore_attr = TRUE)
  }
  expect_error(total_effect(fit, dose = -1), class = "vigitensor_error_profile")
  expect_error(total_effect(1), class = "vigitensor_error_input")
})

test_that("the peak is where the weight is largest", {
  w <- weight_function(fit)
  for (x in list(fit, b)) {
    peak <- peak_time(x)
    expect_identical(peak$lag, as.double(w$lag[which.max(abs(w$weight))]))
    expect_equal(peak$weight, w$weight[peak$lag])
    expect_true(peak$lower <= peak$upper)
  }
  peaks <- apply(abs(curves(b)), 1, which.max)
  expect_equal(unlist(peak_time(b, level = 0.5)[c("lower", "upper")]),
               quantile(peaks, c(0.25, 0.75), type = 1), ignore_attr = TRUE)
  expect_error(peak_time(1), class = "vigitensor_error_input")
})

test_that("curves of a normal distribution have its covariance", {
  var <- crossprod(matrix(sin(1:12), 3))[c(1, 2, 4), c(1, 2, 4)]
  var <- rbind(cbind(var, 0), 0)
  draws <- with_random_seed(1, normal_draws(20000, var))
  # Relative error of a variance from 20,000 draws: 1 %.
  expect_equal(cov(t(draws)), var, tolerance = 0.04)
  expect_identical(draws[4, 1:3], c(0, 0, 0))
  # A curve that is nearly known has its peak where it is.
  sharp <- fit
  sharp$var <- sharp$var * 1e-12
  peak <- peak_time(sharp)
  expect_identical(c(peak$lower, peak$upper), c(peak$lag, peak$lag))
})

test_that("replicates with other knots and cutoffs are compared as curves", {
  fit <- eval(rlang::expr(suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + exposure("a"), data = study$people,
        id = person_id, records = study$records, cutoff = c(12, 20),
        nknots = 0:1, engine = "reference", criterion = "aic"),
    classes = "vigitensor_warning"
  )))
  b <- bootstrap(fit, 25, seed = 4, reselect = TRUE)
  expect_gt(length(unique(b$row)), 2)
  by_hand <- t(vapply(1:25, function(r) {
    one <- select_fit(fit, b$row[r])
    one$coefficients[] <- b$coefficients[r, seq_along(one$coefficients)]
    w <- weight_function(one)$weight
    c(w, numeric(20 - length(w)))
  }, numeric(20)))
  w <- weight_function(b)
  expect_identical(w$lag, 1:20)
  expect_equal(w$se, apply(by_hand, 2, sd))
  expect_equal(w$lower, apply(by_hand, 2, quantile, 0.025, type = 6))
  own <- weight_function(fit)$weight
  expect_equal(w$weight, c(own, numeric(20 - length(own))))
  ratio <- hazard_ratio(b, c(1, 0, 2, numeric(13), 5))
  expect_equal(ratio$se, sd(by_hand[, c(1, 3, 17)] %*% c(1, 2, 5)))
  expect_equal(total_effect(b)$se, sd(rowSums(by_hand)))
  expect_identical(peak_time(b)$upper, as.double(quantile(
    apply(abs(by_hand), 1, which.max), 0.975, type = 1
  )))
})

test_that("the continuous clock has curves and integrals", {
  fit <- eval(rlang::expr(suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + exposure("a"), data = study$people,
        id = person_id, records = study$records, cutoff = c(12.5, 20),
        nknots = 0:1, engine = "reference", criterion = "aic",
        clock = "continuous"),
    classes = "vigitensor_warning"
  )))
  b <- bootstrap(fit, 10, seed = 4, reselect = TRUE)
  expect_gt(length(unique(b$row)), 1)
  w <- weight_function(b)
  expect_identical(range(w$lag), c(0, 20))
  total <- vapply(1:10, function(r) {
    one <- select_fit(fit, b$row[r])
    one$coefficients[] <- b$coefficients[r, seq_along(one$coefficients)]
    hazard_ratio(one, data.frame(start = 0, stop = 10, dose = 1),
                 at = 11)$log_hr
  }, 0)
  got <- hazard_ratio(b, data.frame(start = 0, stop = 10, dose = 1), at = 11)
  expect_equal(got$se, sd(total))
})

test_that("several terms are told apart", {
  fit <- resampled_fit(formula = two, nknots = 0)
  b <- bootstrap(fit, 12, seed = 1)
  w <- weight_function(b)
  expect_identical(unique(w$term), c("exposure(\"a\")", "exposure(\"b\")"))
  second <- weight_function(b, 2)
  expect_equal(second$upper, w$upper[21:35])
  expect_equal(second$se, apply(curves(b, 2), 2, sd))
  expect_identical(total_effect(b)$term, unique(w$term))
  expect_identical(nrow(peak_time(b)), 2L)
  expect_identical(nrow(peak_time(fit, "exposure(\"b\")")), 1L)
  expect_error(hazard_ratio(b, 1), class = "vigitensor_error_unknown_term")
  expect_identical(names(attr(weight_function(b, band = "simultaneous"),
                              "critical")), unique(w$term))
})

test_that("prints say what kind of interval it is", {
  expect_snapshot(cran = TRUE, {
    print(weight_function(fit, band = "simultaneous"), n = 2)
    print(weight_function(b), n = 2)
    print(weight_function(b, band = "simultaneous", level = 0.9), n = 2)
    hazard_ratio(b, c(1, 1), type = "normal")
    total_effect(fit)
    total_effect(b, dose = c(1, 2))
    peak_time(b)
  })
})
