# Ready-made functions of the dose, against what they say, and comparisons of
# them, against fits one by one.

forms_study <- surface_study(21, n = 150L, days = 80L)

forms_fit <- function(form = NULL, ...) {
  formula <- if (is.null(form)) {
    Surv(entry, exit, event) ~ sex + exposure("a")
  } else {
    Surv(entry, exit, event) ~ sex + exposure("a", dose = form)
  }
  wce(formula, data = forms_study$people, id = person_id,
      records = forms_study$records, cutoff = 20, nknots = 1,
      constrained = "right", engine = "reference", ...)
}

test_that("the forms are the functions that they say", {
  x <- c(0, 0.5, 1, 2, 4)
  value <- function(form) dose_columns(form, x)
  expect_equal(value(dose_threshold(1)), cbind(c(0, 0, 0, 1, 3)))
  expect_equal(value(dose_threshold(1, "step")), cbind(c(0, 0, 1, 1, 1)))
  expect_equal(value(dose_cap(1)), cbind(c(0, 0.5, 1, 1, 1)))
  expect_equal(value(dose_saturation(2)), cbind(x / (x + 2)))
  expect_equal(value(dose_saturation(2, 3)), cbind(x^3 / (x^3 + 8)))
  expect_equal(value(dose_log(2)), cbind(log(1 + x / 2)))
  expect_equal(value(dose_steps(0)), cbind(x > 0) + 0)
  expect_equal(value(dose_steps(c(0, 1, 2))),
               cbind(x == 0.5, x == 1, x >= 2) + 0)
  expect_identical(dim(dose_columns(dose_steps(0:2), 3)), c(1L, 3L))
  for (form in list(dose_threshold(1, "step"), dose_saturation(2, 3),
                    dose_log(2), dose_steps(0:2), dose_spline(4, 2))) {
    again <- eval(form$call)
    expect_equal(dose_columns(again, x), dose_columns(form, x))
    expect_output(print(form), "Function of the dose")
  }
  for (wrong in list(quote(dose_threshold(-1)), quote(dose_cap("a")),
                     quote(dose_saturation(c(1, 2))), quote(dose_steps(2:1)),
                     quote(dose_log(0)))) {
    expect_error(eval(wrong), class = "vigitensor_error_dose_basis")
  }
})

test_that("a form in a model is its function of the records' doses", {
  fit <- forms_fit(dose_threshold(1))
  above <- forms_study
  above$records$dose <- pmax(above$records$dose - 1, 0)
  peer <- wce(Surv(entry, exit, event) ~ sex + exposure("a"),
              data = above$people, id = person_id, records = above$records,
              cutoff = 20, nknots = 1, constrained = "right",
              engine = "reference")
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-12)
  # A threshold is nothing up to it, and then rises by its weights.
  table <- dose_response(fit, c(1, 2, 3))
  expect_equal(table$log_hr, c(0, 1, 2) * total_effect(peer)$log_hr,
               tolerance = 1e-10)
})

test_that("functions of the dose are compared on the same events", {
  fit <- forms_fit()
  thresholds <- lapply(c(0.5, 1, 2, 3), dose_threshold)
  found <- compare_doses(fit, thresholds, data = forms_study$people,
                         records = forms_study$records)
  one_by_one <- lapply(thresholds, forms_fit)
  loglik <- vapply(one_by_one, function(f) f$loglik[2L], 0)
  table <- found$table
  expect_equal(table$loglik, loglik, tolerance = 1e-10)
  expect_equal(table$value, c(0.5, 1, 2, 3))
  # The threshold is one more parameter.
  expect_equal(table$df, rep(one_by_one[[1L]]$df + 1, 4L))
  expect_equal(table$aic, -2 * loglik + 2 * table$df)
  expect_identical(table$inside,
                   loglik >= max(loglik) - qchisq(0.95, 1) / 2)
  expect_equal(coef(found$best), coef(one_by_one[[which.max(loglik)]]))
  expect_identical(environment(found$best$call$formula), globalenv())
  mixed <- compare_doses(found$best, list(
    "as it is" = NULL, dose_cap(2), mine = function(x) sqrt(x)
  ), criterion = "bic")
  expect_identical(mixed$table$form, c("as it is", "cap", "mine"))
  expect_equal(mixed$table$loglik[1L], fit$loglik[2L], tolerance = 1e-10)
  expect_equal(mixed$table$df, rep(fit$df, 3L))
  expect_output(print(found), "interval by profile")
  expect_output(print(mixed), "<- best")
  local_pdf <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(local_pdf)
  withr::defer(grDevices::dev.off())
  expect_silent(plot(found))
  expect_silent(plot(mixed))
  expect_equal(plot(dose_steps(c(0, 1)), top = 2)[401L, ],
               data.frame(dose = 2, X1 = 0, X2 = 1), ignore_attr = TRUE)
  expect_error(plot(dose_log(1)), class = "vigitensor_error_dose_basis")
  expect_error(compare_doses(fit, 3), class = "vigitensor_error_dose_basis")
  expect_error(compare_doses(fit, list(dose_cap(1)), term = "b"),
               class = "vigitensor_error_unknown_term")
})

test_that("a form goes with every design and penalty", {
  smooth <- forms_fit(dose_saturation(1), smooth = "reml")
  expect_identical(nrow(smoothness(smooth)), 1L)
  found <- compare_doses(smooth, list(dose_saturation(1), dose_saturation(3)),
                         data = forms_study$people,
                         records = forms_study$records)
  expect_equal(found$table$loglik[1L], smooth$loglik[2L], tolerance = 1e-8)
  poisson <- wce_poisson(
    Surv(entry, exit, event) ~ exposure("a", dose = dose_steps(c(0, 2))),
    data = forms_study$people, id = person_id, records = forms_study$records,
    cuts = c(20, 40), cutoff = 20, nknots = 0, constrained = "right"
  )
  expect_identical(nrow(dose_response(poisson, c(1, 3))), 2L)
})
