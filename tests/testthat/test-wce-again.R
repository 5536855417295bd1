test_that("the problem of a fit is made again from its call", {
  people <- claims_people[1:150, ]
  knots <- 1:2
  fit <- refit(wce(
    Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
    data = people, id = person_id, records = claims_dispensings, cutoff = 60,
    nknots = knots, constrained = "right", engine = "reference"
  ), 2)
  problem <- wce_again(fit, env = environment())
  result <- wce_fit_impl(problem$rows, problem$terms, list(problem$tables),
                         fit$ties, "reference")
  expect_equal(unname(result$fits[[1L]]$coefficients),
               unname(fit$coefficients), tolerance = 1e-12)
  expect_identical(
    wce_again(fit, people, claims_dispensings, environment())$rows,
    problem$rows
  )
})

test_that("data or settings that changed since are refused", {
  people <- claims_people[1:150, ]
  knots <- 1
  fit <- wce(
    Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
    data = people, id = person_id, records = claims_dispensings, cutoff = 60,
    nknots = knots, constrained = "right", engine = "reference"
  )
  here <- environment()
  expect_error(wce_again(fit, claims_people[2:160, ], env = here),
               "data", class = "vigitensor_error_data_changed")
  # Settings of the call are kept; those inside exposure() are looked up.
  own <- 1
  other <- wce(
    Surv(entry, exit, event) ~ sex + exposure("drug_a", nknots = own),
    data = people, id = person_id, records = claims_dispensings, cutoff = 60,
    engine = "reference"
  )
  own <- 2
  expect_error(wce_again(other, env = here),
               "settings", class = "vigitensor_error_data_changed")
  fit$call$data <- quote(gone)
  expect_error(wce_again(fit, env = here),
               class = "vigitensor_error_data_missing")
})

test_that("a model fitted in one function is resampled in another", {
  study <- claims_people[1:150, ]
  fitted_elsewhere <- function(knots, column) {
    wce(Surv(entry, exit, event) ~ sex + exposure("drug_a"), data = study,
        id = column, records = claims_dispensings, cutoff = 60,
        nknots = knots, engine = "reference")
  }
  fit <- fitted_elsewhere(1, "person_id")
  b <- bootstrap(fit, times = 3, method = "influence", seed = 1)
  expect_identical(dim(b$coefficients), c(3L, length(coef(fit))))
})
