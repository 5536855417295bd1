# Functions and methods of what WCE() returns.

compat_fit <- function(nknots = 1:3, constrained = "Right",
                       covariates = c("sex", "age")) {
  withr::with_options(list(vigitensor.engine = "reference"), WCE(
    golden_data("daily"), "Cox", nknots, 20, constrained, id = "Id",
    event = "Event", start = "Start", stop = "Stop", expos = "dose",
    covariates = covariates
  ))
}

fit <- compat_fit()
bare <- compat_fit(2, FALSE, NULL)
best <- which.min(fit$info.criterion)

test_that("HR.WCE() is exp(sum of weights x difference of doses)", {
  now <- c(1, numeric(19))
  expect_equal(HR.WCE(fit, now, numeric(20)),
               matrix(exp(fit$WCEmat[best, 1])), tolerance = 1e-14)
  many <- HR.WCE(fit, rep(2, 20), rep(0.5, 20), allres = TRUE)
  expect_identical(dimnames(many), list(rownames(fit$WCEmat), "HR"))
  expect_equal(as.vector(many), unname(exp(1.5 * rowSums(fit$WCEmat))),
               tolerance = 1e-14)
  expect_equal(HR.WCE(fit, now, now), matrix(1))
})

test_that("HR.WCE() refuses profiles of another length and other objects", {
  expect_error(HR.WCE(fit, 1, numeric(20)),
               class = "vigitensor_error_profile")
  expect_error(HR.WCE(fit, numeric(20), c(NA, numeric(19))),
               class = "vigitensor_error_profile")
  expect_error(HR.WCE(list(), 1, 0), class = "vigitensor_error_class")
})

test_that("coef() has one row per model, and knotsWCE() and vcov() the lists", {
  both <- coef(fit)
  expect_named(both, c("WCEest", "covariates"))
  expect_identical(dimnames(both$WCEest),
                   list(paste(1:3, "knot(s)"), paste0("D", 1:5)))
  expect_identical(both$WCEest[3, ], fit$est[[3]])
  expect_identical(unname(is.na(both$WCEest[1, ])), rep(c(FALSE, TRUE), 3:2))
  expect_identical(both$covariates, fit$beta.hat.covariates)
  expect_identical(coef(bare)["covariates"], list(covariates = NULL))
  expect_identical(coef(bare)$WCEest[1, ], bare$est[[1]])
  expect_identical(vcov(fit), fit$vcovmat)
  expect_identical(knotsWCE(fit), fit$knotsmat)
})

test_that("print() shows every model, weight and covariate", {
  text <- paste(capture.output(out <- withVisible(print(fit))),
                collapse = "\n")
  expect_false(out$visible)
  expect_match(text, "3 models, right-constrained")
  expect_match(text, "71 events, 120 patients, 5,467 rows")
  for (value in fit$loglik) {
    expect_match(text, format(value, digits = 9), fixed = TRUE)
  }
  expect_match(text, "t20")
  expect_match(text, format(fit$beta.hat.covariates[1, "sex"], digits = 7),
               fixed = TRUE)
  expect_match(text, "<- selected")
  expect_output(print(bare), "1 model, unconstrained")
})

test_that("summary() shows the selected model, or all of them", {
  one <- capture.output(summary(fit))
  expect_identical(sum(grepl("partial log-likelihood", one)), 1L)
  expect_true(any(grepl(names(fit$est)[best], one, fixed = TRUE)))
  table <- compat_covariates(fit, best)
  expect_equal(table["sex", "z"],
               fit$beta.hat.covariates[best, "sex"] /
                 fit$se.covariates[best, "sex"])
  expect_equal(table[, "p"], 2 * pnorm(-abs(table[, "z"])))
  all <- capture.output(summary(fit, allres = TRUE))
  expect_identical(sum(grepl("partial log-likelihood", all)), 3L)
  expect_identical(sum(grepl("selected", all)), 1L)
  expect_output(summary(bare), "BIC")
  expect_output(summary(compat_fit(1, "Right", "age")), "\nage +0")
})

test_that("plots draw every weight function, also a single one", {
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  expect_identical(withVisible(plot(fit)), list(value = fit, visible = FALSE))
  expect_silent(plot(fit, allres = TRUE))
  expect_silent(plot(bare, allres = TRUE))
  expect_silent(plot(compat_fit(1, "Left", NULL)))
})

test_that("the methods belong to wce_compat alone", {
  for (generic in c("print", "summary", "plot", "coef", "vcov")) {
    expect_type(utils::getS3method(generic, "wce_compat"), "closure")
    other <- utils::getS3method(generic, "WCE", optional = TRUE,
                                envir = asNamespace("vigitensor"))
    expect_true(is.null(other) ||
                  environmentName(environment(other)) != "vigitensor")
  }
  expect_true(inherits(fit, "WCE"))
})
