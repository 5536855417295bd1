# Weight functions and hazard ratios against their closed forms and coxph.

toy <- toy_fit()
fit <- toy$fit

test_that("weights and standard errors are B b and sqrt(diag(B V B'))", {
  for (constrained in list(FALSE, "right", "left")) {
    one <- toy_fit(nknots = 2, constrained = constrained)$fit
    term <- one$exposures[[1]]
    b <- one$coefficients[term$index]
    v <- one$var[term$index, term$index]
    basis <- term$basis_matrix
    w <- weight_function(one, level = 0.9)
    expect_equal(w$lag, 1:20)
    # tolerance: rounding of sums of at most six terms
    expect_equal(w$weight, as.vector(basis %*% b), tolerance = 1e-12)
    expect_equal(w$se, sqrt(diag(basis %*% v %*% t(basis))), tolerance = 1e-10)
    expect_equal(w$lower, w$weight - qnorm(0.95) * w$se, tolerance = 1e-12)
    expect_equal(w$upper, w$weight + qnorm(0.95) * w$se, tolerance = 1e-12)
    end <- switch(as.character(constrained), right = 20, left = 1, NULL)
    expect_identical(w$weight[end], rep(0, length(end)))
    expect_identical(w$se[end], rep(0, length(end)))
    expect_true(all(w$se[setdiff(1:20, end)] > 0))
  }
})

test_that("a weight function is a data frame that says its unit and level", {
  w <- weight_function(fit, level = 0.5)
  expect_s3_class(w, c("weight_function", "data.frame"), exact = TRUE)
  expect_identical(names(w), c("lag", "weight", "se", "lower", "upper"))
  expect_identical(attr(w, "unit"), "day")
  expect_identical(attr(w, "level"), 0.5)
  expect_identical(weight_function(fit, "exposure(dose)"), weight_function(fit))
  expect_identical(class(as.data.frame(fit)), "data.frame")
  expect_equal(as.data.frame(fit, level = 0.5), as.data.frame(w),
               ignore_attr = TRUE)
})

test_that("a hazard ratio is coxph's difference of linear predictors", {
  # Two pairs of one event time: their histories differ, and coxph's own
  # features are history x basis.
  term <- fit$exposures[[1]]
  rows <- c(1, which.max(rowSums(toy$history)))
  profiles <- toy$history[rows, , drop = FALSE]
  features <- cbind(0, 0, profiles %*% term$basis_matrix)
  difference <- features[2, ] - features[1, ]
  log_hr <- sum(difference * coef(toy$coxph))
  se <- sqrt(drop(t(difference) %*% vcov(toy$coxph) %*% difference))
  ratio <- hazard_ratio(fit, profiles[2, ], profiles[1, ])
  expect_equal(ratio$log_hr, log_hr, tolerance = 1e-12)
  expect_equal(ratio$se, se, tolerance = 1e-10)
  expect_equal(ratio$hr, exp(log_hr), tolerance = 1e-12)
  expect_equal(ratio$lower, exp(log_hr - qnorm(0.975) * se), tolerance = 1e-10)
  expect_equal(ratio$upper, exp(log_hr + qnorm(0.975) * se), tolerance = 1e-10)
  # predict() centres on the means, so only differences compare.
  predicted <- predict(toy$coxph, type = "lp", reference = "sample")[rows]
  x <- model.matrix(toy$coxph)[rows, 1:2]
  by_predict <- diff(predicted) - sum((x[2, ] - x[1, ]) * coef(fit)[1:2])
  expect_equal(ratio$log_hr, unname(by_predict), tolerance = 1e-10)
})

test_that("all ways of writing a history say the same", {
  constant <- hazard_ratio(fit, 2)
  expect_identical(constant$profile, "1")
  same <- list(rep(2, 20), matrix(2, 1, 20), list(2), c(rep(2, 20), 0, 0),
               c(rep(2L, 20)))
  for (profile in same) expect_equal(hazard_ratio(fit, profile), constant)
  expect_equal(sum(2 * weight_function(fit)$weight), constant$log_hr,
               tolerance = 1e-12)

  both <- hazard_ratio(fit, list(short = c(1, 1), long = rep(1, 20)))
  expect_identical(both$profile, c("short", "long"))
  padded <- rbind(short = c(1, 1, rep(0, 18)), long = 1)
  expect_equal(hazard_ratio(fit, padded), both)
  expect_equal(both$log_hr[1], sum(weight_function(fit)$weight[1:2]),
               tolerance = 1e-12)
})

test_that("a reference serves all profiles, or each its own", {
  a <- list(1, c(0, 3, 1))
  swapped <- hazard_ratio(fit, a, rev(a))
  expect_equal(swapped$log_hr[1], -swapped$log_hr[2], tolerance = 1e-12)
  expect_equal(hazard_ratio(fit, rev(a), a)$lower, 1 / swapped$upper)
  none <- hazard_ratio(fit, a, a)
  expect_identical(none$log_hr, c(0, 0))
  expect_identical(none$se, c(0, 0))
  expect_identical(hazard_ratio(fit, a, 1)$hr[1], 1)
  expect_error(hazard_ratio(fit, a, list(1, 2, 3)),
               class = "vigitensor_error_profile")
})

test_that("records with `at` are the dose vectors they stand for", {
  records <- data.frame(start = c(0, 6, 8), stop = c(4, 9, 40),
                        dose = c(1, 2, 0.5))
  at <- 12
  # by hand: the dose in (x, x + 1] for x = 11, 10, ..., lag 1 first
  doses <- vapply(1:20, function(lag) {
    x <- at - lag
    sum(records$dose[records$start <= x & records$stop >= x + 1])
  }, 0)
  expect_identical(doses[1:12], c(rep(0.5, 3), 2.5, 2, 2, 0, 0, 1, 1, 1, 1))
  from_vector <- hazard_ratio(fit, doses)
  expect_equal(hazard_ratio(fit, records, at = at), from_vector)
  shuffled <- records[c(3, 1, 2), ]
  expect_equal(hazard_ratio(fit, shuffled, at = at), from_vector)
  # the calendar is the same clock
  dated <- transform(records, start = as.Date("2020-02-20") + start,
                     stop = as.Date("2020-02-20") + stop)
  expect_equal(hazard_ratio(fit, dated, at = as.Date("2020-02-20") + at),
               from_vector)
  # records that lie ahead, or further back than the window, change nothing
  more <- rbind(records, data.frame(start = c(12, -30), stop = c(20, -8),
                                    dose = 9))
  expect_equal(hazard_ratio(fit, more, at = at), from_vector)
  many <- hazard_ratio(fit, records, at = c(12, 2))
  expect_identical(many$profile, c("at 12", "at 2"))
  expect_equal(many$log_hr[2], hazard_ratio(fit, c(1, 1))$log_hr)
  expect_equal(hazard_ratio(fit, list(a = records, b = 1), at = at)$hr[1],
               from_vector$hr)
  none <- records[0, ]
  expect_identical(hazard_ratio(fit, none, at = 3)$hr, 1)
  expect_equal(hazard_ratio(fit, 1, none, at = 3), hazard_ratio(fit, 1))
})

test_that("a course begun k units ago fills the lags from k downwards", {
  expect_identical(dose_profile(days = 3, began = 5, cutoff = 8),
                   c(0, 0, 1, 1, 1, 0, 0, 0))
  ten <- dose_profile(days = 10, began = 30, cutoff = 90)
  expect_identical(which(ten == 1), 21:30)
  expect_identical(dose_profile(4, began = 2, dose = 3, cutoff = 5),
                   c(3, 3, 0, 0, 0))
  expect_identical(dose_profile(3, began = c(7, 2), dose = c(1, 5), cutoff = 6),
                   c(5, 5, 0, 0, 1, 1))
  expect_identical(dose_profile(2, began = c(3, 2), cutoff = 4), c(1, 2, 1, 0))
  expect_identical(dose_profile(2, began = 50, cutoff = 4), numeric(4))
  course <- data.frame(start = 0, stop = 10, dose = 1)
  expect_equal(
    hazard_ratio(fit, course, at = c(10, 15, 25))$hr,
    hazard_ratio(fit, lapply(c(10, 15, 25), function(began) {
      dose_profile(10, began, cutoff = 20)
    }))$hr
  )
})

test_that("lags before lag_in have no effect and no row", {
  late <- toy_fit(nknots = 1, lag_in = 3)$fit
  w <- weight_function(late)
  expect_equal(w$lag, 4:20)
  expect_identical(hazard_ratio(late, c(5, 5, 5))$hr, 1)
  one <- hazard_ratio(late, c(0, 0, 0, 2))
  expect_equal(one$log_hr, 2 * w$weight[1], tolerance = 1e-12)
  expect_equal(hazard_ratio(late, 1)$log_hr, sum(w$weight), tolerance = 1e-12)
})

test_that("lags without data are NA, and refused in a hazard ratio", {
  holed <- fit
  holed$exposures[[1]]$covered[c(7, 13:20)] <- FALSE
  w <- weight_function(holed)
  expect_identical(which(is.na(w$weight)), c(7L, 13:20))
  expect_identical(is.na(w$weight), is.na(w$se))
  expect_identical(is.na(w$weight), is.na(w$upper))
  expect_error(hazard_ratio(holed, 1), "7, 13 to 20 days",
               class = "vigitensor_error_uncovered_lags")
  expect_error(hazard_ratio(holed, rep(1, 7)), "cover: 7 days",
               class = "vigitensor_error_uncovered_lags")
  expect_equal(hazard_ratio(holed, rep(1, 6))$hr,
               hazard_ratio(fit, rep(1, 6))$hr)
  # equal there: nothing is asked of the data
  expect_equal(hazard_ratio(holed, 1, c(rep(0, 6), rep(1, 14)))$hr,
               hazard_ratio(fit, rep(1, 6))$hr)
})

test_that("a dropped coefficient makes its lags unknown, not zero", {
  dropped <- fit
  last <- fit$exposures[[1]]$index[3]
  dropped$coefficients[last] <- NA
  dropped$var[last, ] <- dropped$var[, last] <- 0
  w <- weight_function(dropped)
  under <- which(abs(fit$exposures[[1]]$basis_matrix[, 3]) > 0)
  expect_identical(which(is.na(w$weight)), under)
  expect_equal(hazard_ratio(dropped, c(1, 0))$hr,
               unname(exp(fit$coefficients[3])))
  expect_error(hazard_ratio(dropped, 1),
               class = "vigitensor_error_not_estimable")
})

test_that("several terms are told apart by label or number", {
  two <- fit
  two$exposures[[2]] <- fit$exposures[[1]]
  two$exposures[[2]]$label <- "exposure(other)"
  w <- weight_function(two)
  expect_identical(names(w)[1], "term")
  expect_identical(unique(w$term), c("exposure(dose)", "exposure(other)"))
  expect_identical(nrow(w), 40L)
  expect_identical(weight_function(two, 2)$weight, w$weight[21:40])
  expect_identical(weight_function(two, "exposure(other)"),
                   weight_function(two, 2))
  expect_identical(weight_function(two, "other"), weight_function(two, 2))
  same <- two
  same$exposures[[2]]$label <- "exposure(dose, cutoff = 9)"
  expect_error(weight_function(same, "dose"),
               class = "vigitensor_error_unknown_term")
  expect_error(hazard_ratio(two, 1), class = "vigitensor_error_unknown_term")
  expect_equal(hazard_ratio(two, 1, term = 2)$hr, hazard_ratio(fit, 1)$hr)
  for (term in list("doses", 3, NA, TRUE, character())) {
    expect_error(weight_function(two, term),
                 class = "vigitensor_error_unknown_term")
  }
  expect_error(hazard_ratio(two, 1, term = 1:2),
               class = "vigitensor_error_unknown_term")
})

test_that("what is not a dose history is refused", {
  record <- data.frame(start = 0, stop = 5, dose = 1)
  bad_profiles <- list(
    "a", TRUE, NULL, numeric(), list(), NA_real_, c(1, NA), c(1, Inf), -1,
    c(1, -2), factor(1), as.Date("2020-01-01"), rep(1, 21), list(1, "a"),
    matrix(1, 2, 21), list(matrix(1, 2, 20)), matrix("a", 2, 2), list(list())
  )
  for (profile in bad_profiles) {
    expect_error(hazard_ratio(fit, profile), class = "vigitensor_error_profile")
    expect_error(hazard_ratio(fit, 1, profile),
                 class = "vigitensor_error_profile")
  }
  bad_records <- list(
    record["start"], transform(record, stop = 0), transform(record, stop = 4.5),
    transform(record, start = NA_real_), transform(record, start = Inf),
    transform(record, dose = -1), transform(record, dose = NA_real_),
    transform(record, dose = "1"), transform(record, start = "0"),
    transform(record, start = as.Date("2020-01-01")),
    transform(record[c(1, 1), ], drug = c("a", "b"))
  )
  for (records in bad_records) {
    expect_error(hazard_ratio(fit, records, at = 9),
                 class = "vigitensor_error_profile")
  }
  for (at in list(NULL, 1.5, NA_real_, "9", numeric(), as.Date("2020-01-09"))) {
    expect_error(hazard_ratio(fit, record, at = at),
                 class = "vigitensor_error_profile")
  }
  expect_error(hazard_ratio(fit, 1, at = 9), class = "vigitensor_error_profile")
  for (level in list(0, 1, 95, NA, "a", c(0.9, 0.95))) {
    expect_error(hazard_ratio(fit, 1, level = level),
                 class = "vigitensor_error_input")
    expect_error(weight_function(fit, level = level),
                 class = "vigitensor_error_input")
  }
  expect_error(hazard_ratio(list(), 1), class = "vigitensor_error_input")
  expect_error(weight_function(1), class = "vigitensor_error_input")
  expect_error(dose_profile(10, 30), class = "vigitensor_error_profile")
  bad_courses <- list(
    list(days = 0), list(days = 1.5), list(began = 0), list(dose = -1),
    list(dose = NA_real_), list(cutoff = 0), list(cutoff = c(5, 6)),
    list(days = 1:2, began = 1:3), list(began = "x")
  )
  for (course in bad_courses) {
    arguments <- utils::modifyList(list(days = 2, began = 5, cutoff = 9),
                                   course)
    expect_error(do.call(dose_profile, arguments),
                 class = "vigitensor_error_profile")
  }
})

test_that("messages tell what was expected, what came and what to do", {
  holed <- fit
  holed$exposures[[1]]$covered[13:20] <- FALSE
  expect_snapshot(error = TRUE, cran = TRUE, {
    hazard_ratio(fit, rep(1, 25))
    hazard_ratio(fit, c(1, NA, -1))
    hazard_ratio(fit, data.frame(start = 1, stop = 1, dose = 1), at = 3)
    hazard_ratio(fit, data.frame(start = 1, stop = 2, dose = 1))
    hazard_ratio(holed, 1)
    weight_function(fit, "doses")
  })
})

test_that("effects print in a few lines", {
  expect_snapshot(cran = TRUE, {
    weight_function(fit)
    print(weight_function(fit), n = 3)
    weight_function(fit)[1:2, ]
    hazard_ratio(fit, list(constant = 1, "two days" = c(1, 1)))
    hazard_ratio(fit, 1)[c("hr", "se")]
  })
})
