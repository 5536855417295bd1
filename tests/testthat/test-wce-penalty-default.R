# What wce() fits when nobody says how the curve is built.

study <- simulate_wce(150, days = 150, cutoff = 30, hazard = 5e-3, seed = 11)
default_fit <- function(..., formula = Surv(entry, exit, event) ~
                          exposure("drug")) {
  wce(formula, study$people, "person_id", study$records, cutoff = 30,
      engine = "reference", ...)
}

test_that("without knots or shapes there is a penalty, by REML", {
  fit <- default_fit()
  expect_identical(fit$smoothing$method, "reml")
  same <- default_fit(smooth = "reml")
  expect_identical(coef(fit), coef(same))
  expect_identical(fit$selection, same$selection)
})

test_that("who says how the curve is built gets no penalty", {
  knots <- default_fit(nknots = 1:3)
  none <- default_fit(smooth = "none")
  expect_null(none$smoothing)
  expect_identical(coef(none), coef(knots))
  expect_identical(none$selection$nknots, 1:3)
  expect_null(default_fit(shape = "nonnegative")$smoothing)
  expect_null(default_fit(order = 2)$smoothing)
  own <- default_fit(formula = Surv(entry, exit, event) ~
                       exposure("drug", nknots = 2))
  expect_null(own$smoothing)
  expect_identical(own$selection$nknots, 2L)
  # A position is as good as a name.
  expect_null(default_fit(formula = Surv(entry, exit, event) ~
                            exposure("drug", 30, 2))$smoothing)
})

test_that("the other designs have the same default", {
  series <- wce_self_controlled(
    Surv(entry, exit, event) ~ exposure("drug"), study$people, "person_id",
    study$records, cutoff = 30, engine = "reference"
  )
  expect_identical(series$smoothing$method, "reml")
  rates <- wce_poisson(
    Surv(entry, exit, event) ~ exposure("drug"), study$people, "person_id",
    study$records, cutoff = 30, nknots = 1
  )
  expect_null(rates$smoothing)
})
