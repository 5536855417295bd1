test_that("exposures are taken out of any sum, the rest is kept", {
  split <- function(f) split_formula(f)
  s <- split(Surv(a, b, e) ~ sex + exposure(dose) + offset(o) + strata(r))
  expect_identical(s$covariates, quote(sex + offset(o) + strata(r)))
  expect_identical(s$exposures, list(quote(exposure(dose))))
  s <- split(y ~ exposure(dose))
  expect_identical(s$covariates, 1)
  s <- split(y ~ (exposure(x) + a) - b + vigitensor::exposure("d", cutoff = 9))
  expect_identical(s$covariates, quote(a - b))
  expect_length(s$exposures, 2)
  s <- split(y ~ a * b + exposure(x))
  expect_identical(s$covariates, quote(a * b))
})

test_that("formulas without meaning are refused", {
  expect_error(split_formula(~ exposure(x)), class = "vigitensor_error_formula")
  expect_error(split_formula("y"), class = "vigitensor_error_formula")
  expect_error(split_formula(y ~ a), class = "vigitensor_error_formula")
  expect_error(split_formula(y ~ a * exposure(x)),
               class = "vigitensor_error_formula")
  expect_error(split_formula(y ~ log(exposure(x))),
               class = "vigitensor_error_formula")
  expect_error(exposure(1),
               class = "vigitensor_error_exposure_outside_formula")
})

test_that("Surv() is read in both its forms", {
  expect_identical(surv_arguments(quote(Surv(a, b, e == 1))),
                   list(start = quote(a), stop = quote(b),
                        event = quote(e == 1)))
  expect_identical(surv_arguments(quote(survival::Surv(b, e))),
                   list(stop = quote(b), event = quote(e)))
  expect_identical(
    surv_arguments(quote(Surv(event = e, time2 = b, time = a)))$stop, quote(b)
  )
  expect_error(surv_arguments(quote(log(a))),
               class = "vigitensor_error_formula")
  expect_error(surv_arguments(quote(Surv(a, b, e, type = "interval"))),
               class = "vigitensor_error_formula")
})

test_that("id is found bare, as a string, and in a variable", {
  key <- "person"
  find <- function(id, names) id_column(rlang::enquo(id), names)
  expect_identical(find(person, "person"), "person")
  expect_identical(find("person", "person"), "person")
  expect_identical(find(key, "person"), "person")
  expect_identical(find(absent, "person"), "absent")
  expect_error(find(, "person"), class = "vigitensor_error_id")
  expect_error(find(1 + 1, "person"), class = "vigitensor_error_id")
})
