# R's modelling generics on fitted models, against coxph on the same pairs.

toy <- toy_fit()
fit <- toy$fit

test_that("coef, vcov, logLik, AIC, BIC and confint are coxph's", {
  peer <- toy$coxph
  expect_equal(unname(coef(fit)), unname(coef(peer)))
  expect_identical(names(coef(fit))[c(1, 3)], c("sex", "exposure(dose)1"))
  expect_equal(unname(vcov(fit)), unname(vcov(peer)))
  expect_identical(dimnames(vcov(fit)), list(names(coef(fit)),
                                             names(coef(fit))))
  expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(peer)))
  expect_s3_class(logLik(fit), "logLik", exact = TRUE)
  expect_identical(attr(logLik(fit), "df"), 5L)
  expect_equal(nobs(fit), peer$nevent)
  expect_equal(AIC(fit), AIC(peer))
  expect_equal(BIC(fit), BIC(peer))
  expect_equal(AIC(fit), fit$selection$aic[1])
  expect_equal(BIC(fit), fit$selection$bic[1])
  expect_equal(unname(confint(fit, level = 0.9)),
               unname(confint(peer, level = 0.9)))
  expect_identical(rownames(confint(fit, "age")), "age")
  expect_identical(formula(fit), fit$formula)
  expect_identical(attr(terms(fit), "term.labels"),
                   c("sex", "age", "exposure(dose)"))
})

test_that("the coefficient table is that of summary.coxph", {
  table <- coef(summary(fit))
  peer <- coef(summary(toy$coxph))
  expect_equal(unname(table), unname(peer), tolerance = 1e-10)
  expect_identical(colnames(table), colnames(peer))
  expect_identical(rownames(table), names(coef(fit)))
  expect_equal(unname(summary(fit)$logtest),
               unname(summary(toy$coxph)$logtest), tolerance = 1e-10)
})

test_that("dropped coefficients are NA as in coxph", {
  withr::local_seed(1)
  d <- data.frame(time = rexp(40), event = rbinom(40, 1, 0.8), a = rnorm(40))
  d$b <- 2 * d$a
  peer <- survival::coxph(Surv(time, event) ~ a + b, d)
  dropped <- fit
  dropped$coefficients <- coef(peer)
  dropped$var <- peer$var
  dropped$loglik <- peer$loglik
  # coxph leaves zeros there, which read as a coefficient known exactly; NA is
  # what vcov() promises for lm() and glm().
  expect_identical(unname(is.na(vcov(dropped))),
                   matrix(c(FALSE, TRUE, TRUE, TRUE), 2))
  expect_equal(vcov(dropped)["a", "a"], peer$var[1, 1])
  expect_identical(vcov(dropped, complete = FALSE),
                   vcov(dropped)["a", "a", drop = FALSE])
  expect_identical(attr(logLik(dropped), "df"), 1L)
  expect_equal(confint(dropped), confint(peer))
  expect_equal(coefficient_table(dropped)[, -3], coef(summary(peer))[, -3])
  expect_equal(unname(coefficient_table(dropped)[, 3]),
               c(sqrt(peer$var[1, 1]), NA))
})

test_that("refit() takes a fit of the grid without estimating again", {
  expect_identical(coef(refit(fit, 1)), coef(fit))
  two <- refit(fit, 2)
  alone <- toy_fit(nknots = 2)$fit
  same <- c("coefficients", "var", "loglik", "df", "exposures")
  expect_equal(unclass(two)[same], unclass(alone)[same])
  expect_equal(BIC(two), fit$selection$bic[2])
  expect_identical(two$selection$selected, c(FALSE, TRUE, FALSE))
  expect_equal(weight_function(two), weight_function(alone))
  expect_identical(coef(refit(two, 1)), coef(fit))
  expect_error(refit(fit, 7), "1, 2 and 3",
               class = "vigitensor_error_not_in_grid")
  for (nknots in list(1:2, NULL, NA, "many", list(1))) {
    expect_error(refit(fit, nknots), class = "vigitensor_error_not_in_grid")
  }
})

test_that("tidy and glance have broom's columns and coxph's numbers", {
  skip_if_not_installed("generics")
  tidied <- generics::tidy(fit, conf.int = TRUE, conf.level = 0.8)
  expect_identical(names(tidied), c("term", "estimate", "std.error",
                                    "statistic", "p.value", "conf.low",
                                    "conf.high"))
  expect_equal(unname(as.matrix(tidied[c("conf.low", "conf.high")])),
               unname(confint(toy$coxph, level = 0.8)))
  expect_equal(tidied$p.value, unname(coef(summary(toy$coxph))[, 5]),
               tolerance = 1e-10)
  ratios <- generics::tidy(fit, conf.int = TRUE, conf.level = 0.8,
                           exponentiate = TRUE)
  expect_equal(ratios$estimate, exp(tidied$estimate))
  expect_equal(ratios$conf.low, exp(tidied$conf.low))
  expect_identical(ratios$std.error, tidied$std.error)
  glanced <- generics::glance(fit)
  expect_identical(nrow(glanced), 1L)
  expect_equal(glanced$BIC, BIC(toy$coxph))
  expect_equal(glanced$p.value.log,
               summary(toy$coxph)$logtest[["pvalue"]])
  expect_equal(generics::refit(fit, 2), refit(fit, 2))
})

test_that("the lags of a summary are both ends and round ones between", {
  lags_of <- function(lags) some_lags(list(lags = lags))
  expect_identical(lags_of(1:90), c(1L, 20L, 40L, 60L, 80L, 90L))
  expect_identical(lags_of(1:5), 1:5)
  for (n in c(4, 9, 20, 33, 180, 365, 1000)) {
    found <- lags_of(1:n)
    expect_identical(found[c(1, length(found))], c(1L, as.integer(n)))
    expect_true(all(diff(found) > 0) && length(found) <= 12)
  }
})

test_that("numbers and lags are written the same everywhere", {
  expect_identical(format_ranges(c(9, 3, 7, 8)), "3, 7 to 9")
  expect_identical(format_ranges(1:1200), "1 to 1,200")
  expect_identical(format_ranges(seq(1, 19, 2)), "1, 3, 5, 7, ...")
  expect_identical(count_of(1, "event"), "1 event")
  expect_identical(count_of(7109, "event"), "7,109 events")
  expect_identical(format_ratio(c(2.5, 0.1234, 12345.6, 1, NA, Inf, 0, 9.996)),
                   c("2.50", "0.123", "12346", "1.00", "NA", "Inf", "0.00",
                     "10.0"))
  expect_identical(format_ratio(c(1e-9, 1e9)), c("1e-09", "1e+09"))
  expect_identical(format_list(c("a", "b", "c"), "or"), "a, b or c")
  expect_identical(format_list("a"), "a")
  expect_identical(format_list(character()), "")
})

test_that("prints fit the page and say what was done", {
  withr::local_options(digits = 7, width = 80)
  holed <- refit(fit, 2)
  holed$exposures[[1]]$covered[13:20] <- FALSE
  holed$converged <- FALSE
  from_records <- toy_fit(1, "left", lag_in = 3, covariates = FALSE)$fit
  from_records$exposures[[1]]$from_records <- TRUE
  from_records$counts <- list(records = list(list(
    given = 7109, used = 7000, other_people = 0, outside_window = 109,
    overlapping = 12
  )))
  expect_snapshot(cran = TRUE, {
    fit
    summary(fit)
    holed
    from_records
  })
  printed <- capture.output(print(fit), print(summary(fit)), print(holed),
                            print(from_records))
  expect_true(all(nchar(printed) <= 80))
  expect_invisible(print(fit))
})

# ---- every generic on every kind of model ------------------------------------

expect_contract <- function(object) {
  p <- length(coef(object))
  expect_identical(dim(vcov(object)), c(p, p))
  expect_identical(names(coef(object)), rownames(vcov(object)))
  expect_identical(dim(confint(object)), c(p, 2L))
  selected <- object$selection$selected
  expect_equal(AIC(object), object$selection$aic[selected])
  expect_equal(BIC(object), object$selection$bic[selected])
  expect_equal(nobs(object), object$nevent)
  expect_identical(nrow(coef(summary(object))), p)
  expect_output(print(object), "Weighted cumulative exposure")
  expect_output(print(summary(object)), "Log-likelihood")
  expect_s3_class(formula(object), "formula")
  expect_s3_class(terms(object), "terms")
  for (k in seq_along(object$exposures)) {
    w <- weight_function(object, k)
    term <- object$exposures[[k]]
    expect_identical(is.na(w$weight), !term$covered)
    first <- c(numeric(term$lag_in), 2, 0)
    expect_equal(hazard_ratio(object, first, term = k)$log_hr,
                 2 * w$weight[1], tolerance = 1e-12)
  }
  for (nknots in object$selection$nknots) {
    other <- refit(object, nknots)
    expect_equal(BIC(other),
                 object$selection$bic[object$selection$nknots == nknots])
  }
  file <- withr::local_tempfile()
  saveRDS(object, file)
  back <- readRDS(file)
  expect_identical(coef(back), coef(object))
  expect_identical(weight_function(back), weight_function(object))
  expect_identical(capture.output(print(summary(back))),
                   capture.output(print(summary(object))))
}

test_that("the contract holds for the hand-made fits", {
  expect_contract(fit)
  expect_contract(toy_fit(1, FALSE, covariates = FALSE)$fit)
  expect_contract(toy_fit(0:2, "left", lag_in = 2)$fit)
})

test_that("the contract holds for wce() of every kind", {
  study <- random_study(3, n = 80, drugs = 2)
  fit_model <- function(formula, ...) {
    suppressWarnings(
      wce(formula, study$people, id = person_id, records = study$records,
          cutoff = 20, engine = "reference", ...),
      classes = "vigitensor_warning"
    )
  }
  expect_contract(fit_model(
    Surv(entry, exit, event) ~ exposure("a"), nknots = 1
  ))
  expect_contract(fit_model(
    Surv(entry, exit, event) ~ age + exposure("a"), nknots = 0:2,
    constrained = "right"
  ))
  expect_contract(fit_model(
    Surv(entry, exit, event) ~ sex + age + strata(region) + exposure("a"),
    nknots = 1:2, constrained = "left", criterion = "aic", ties = "breslow"
  ))
  two <- fit_model(
    Surv(entry, exit, event) ~ sex + exposure("a") +
      exposure("b", nknots = 0, constrained = "right", lag_in = 2),
    nknots = 0:1
  )
  expect_contract(two)
  expect_identical(coef(refit(two, "1+0")),
                   coef(fit_model(formula(two), nknots = 1)))
})

test_that("update() fits again through the call", {
  study <- random_study(4, n = 80)
  first <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ exposure("a"), study$people, id = person_id,
        records = study$records, cutoff = 20, nknots = 0,
        engine = "reference")
  )
  again <- suppressWarnings(update(first, . ~ . + age, nknots = 1))
  expect_identical(names(coef(again))[1], "age")
  expect_identical(again$selection$nknots, 1L)
})
