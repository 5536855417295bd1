# What looks at people again, from a store: the numbers are those of the data
# frames.

test_that("robust variances of a store are those of the data frames", {
  skip_if_no_engine()
  cohort <- store_cohort(400)
  cohort$people$house <- cohort$people$person_id %% 23 + 0.1
  store <- new_store(cohort, 150)
  fit <- function(formula, data, records = NULL, ...) {
    wce(formula, data, id = person_id, records = records, cutoff = 40,
        engine = "cpu", ...)
  }
  models <- list(
    list(Surv(entry, exit, event) ~ sex + exposure("drug"), nknots = 0:1,
         robust = TRUE),
    # Groups that have people in several blocks.
    list(Surv(entry, exit, event) ~ sex + exposure("drug") +
           cluster(house), nknots = 0, ties = "breslow"),
    list(Surv(entry, exit, event) ~ age + exposure("drug"), nknots = 0,
         weights = quote(w / 2))
  )
  for (model in models) {
    stored <- do.call(fit, c(model, list(data = store)), quote = FALSE)
    whole <- do.call(fit, c(model, list(data = cohort$people,
                                        records = cohort$records)))
    expect_false(is.null(whole$naive.var))
    expect_stored_model(stored, whole)
    expect_equal(stored$var, whole$var, tolerance = 1e-9)
    expect_equal(stored$naive.var, whole$naive.var, tolerance = 1e-9)
    expect_identical(stored$meta$clusters$n, whole$meta$clusters$n)
  }
  f <- Surv(exit, event) ~ sex + age
  stored <- cox(f, store, robust = TRUE, engine = "cpu")
  whole <- cox(f, cohort$people, id = person_id, robust = TRUE, engine = "cpu")
  expect_equal(unname(stored$var), unname(whole$var), tolerance = 1e-9)
  expect_equal(stored$wald.test, whole$wald.test, tolerance = 1e-6)
  tests <- c("sctest", "robscore", "waldtest", "logtest")
  expect_equal(summary(stored)[tests], summary(whole)[tests], tolerance = 1e-6)
  grouped <- Surv(exit, event) ~ sex + age + cluster(site)
  expect_equal(unname(cox(grouped, store, engine = "cpu")$var),
               unname(cox(grouped, cohort$people, engine = "cpu")$var),
               tolerance = 1e-9)
})

test_that("residuals of a store are those of the data frames", {
  skip_if_no_engine()
  cohort <- store_cohort(300)
  store <- new_store(cohort, 110)
  f <- Surv(entry, exit, event) ~ sex + age + exposure("drug")
  people <- cohort$people
  records <- cohort$records
  stored <- wce(f, store, cutoff = 40, nknots = 0, weights = w, robust = FALSE,
                engine = "cpu")
  whole <- wce(f, people, person_id, records, cutoff = 40, nknots = 0,
               weights = w, robust = FALSE, engine = "cpu")
  for (type in c("martingale", "deviance", "score", "dfbeta", "dfbetas")) {
    expect_equal(residuals(stored, type), residuals(whole, type),
                 tolerance = 1e-7)
  }
  expect_identical(list.files(file.path(store$path, "fits")), character())
  f <- Surv(entry, exit, event) ~ sex + age + strata(site)
  stored <- cox(f, store, engine = "cpu")
  whole <- cox(f, people, engine = "cpu")
  # Every person has one row here, so that they compare.
  for (type in c("martingale", "deviance", "score", "dfbeta")) {
    expect_equal(unname(residuals(stored, type)),
                 unname(residuals(whole, type)), tolerance = 1e-7)
  }
})

test_that("replicates of a store are those of the data frames", {
  skip_if_no_engine()
  cohort <- store_cohort(300)
  store <- new_store(cohort, 110)
  people <- cohort$people
  records <- cohort$records
  f <- Surv(entry, exit, event) ~ sex + exposure("drug")
  fit <- function(data, records = NULL, ...) {
    suppressWarnings(wce(f, data, person_id, records, cutoff = 40,
                         engine = "cpu", ...))
  }
  stored <- fit(store, nknots = 0)
  whole <- fit(people, records, nknots = 0)
  same <- function(..., tolerance = 1e-8) {
    one <- suppressWarnings(bootstrap(stored, 12, seed = 3, data = store, ...))
    other <- suppressWarnings(bootstrap(whole, 12, seed = 3, data = people,
                                        records = records, ...))
    expect_identical(one$reason, other$reason)
    expect_equal(one$coefficients, other$coefficients, tolerance = tolerance)
    expect_equal(one$influence, other$influence, tolerance = 1e-6)
    expect_identical(one$n_units, other$n_units)
    one
  }
  b <- same()
  expect_equal(b$loglik, suppressWarnings(bootstrap(
    whole, 12, seed = 3, data = people, records = records))$loglik,
    tolerance = 1e-10)
  expect_identical(nrow(confint(b)), length(coef(stored)))
  same(kind = "bayesian", strata = site)
  same(method = "one_step")
  same(method = "influence")
  # The knots chosen again in every replicate.
  stored <- fit(store, nknots = 0:1)
  whole <- fit(people, records, nknots = 0:1)
  b <- same(reselect = TRUE)
  other <- suppressWarnings(bootstrap(whole, 12, seed = 3, data = people,
                                      records = records, reselect = TRUE))
  expect_identical(b$row, other$row)
  expect_gt(length(unique(b$row)), 1L)
  stored <- cox(Surv(entry, exit, event) ~ sex + age, store, engine = "cpu")
  whole <- cox(Surv(entry, exit, event) ~ sex + age, people, engine = "cpu")
  one <- bootstrap(stored, 10, seed = 4, data = store)
  other <- bootstrap(whole, 10, seed = 4, data = people)
  expect_equal(one$coefficients, other$coefficients, tolerance = 1e-8)
})

test_that("a line says how far a fit from a store is", {
  lines <- cli::cli_fmt({
    bar <- pass_bar(4L, TRUE, seconds = 0)
    bar$at(3, 1)
    bar$done()
  })
  expect_match(paste(lines, collapse = " "), "Fit.*pass 3, block 2 of 4")
  # Not before two seconds are over, and not where nobody wants it.
  for (bar in list(pass_bar(4L, TRUE), pass_bar(4L, FALSE, seconds = 0))) {
    expect_silent({
      bar$at(1, 0)
      bar$done()
    })
  }
  skip_if_no_engine()
  withr::local_options(vigitensor.progress = TRUE,
                       vigitensor.progress_after = 0)
  store <- new_store(store_cohort(3000), 200)
  lines <- cli::cli_fmt(
    wce(Surv(entry, exit, event) ~ sex + exposure("drug"), store,
        cutoff = c(20, 30), nknots = 0:1, engine = "cpu")
  )
  expect_match(paste(lines, collapse = " "), "pass [0-9]+, block [0-9]+ of 15")
})

test_that("what needs the rows of a store says so, the rest works", {
  skip_if_no_engine()
  cohort <- store_cohort(250)
  store <- new_store(cohort, 100)
  f <- Surv(entry, exit, event) ~ sex + age + exposure("drug")
  stored <- wce(f, store, cutoff = 30, nknots = 0, engine = "cpu")
  whole <- wce(f, cohort$people, person_id, cohort$records, cutoff = 30,
               nknots = 0, engine = "cpu")
  who <- data.frame(sex = 1, age = c(40, 60))
  course <- data.frame(start = 0, stop = 20, dose = 1)
  for (type in c("lp", "risk")) {
    expect_equal(
      predict(stored, who, course, type, se.fit = TRUE, at = 25),
      predict(whole, who, course, type, se.fit = TRUE, at = 25),
      tolerance = 1e-6
    )
  }
  needs_rows <- list(
    function(x) predict(x), function(x) predict(x, who, course, "survival"),
    function(x) survival::survfit(x), baseline_hazard, ph_check,
    function(x) residuals(x, "schoenfeld"),
    function(x) residuals(x, by = "row")
  )
  for (ask in needs_rows) {
    expect_error(ask(stored), "data frames",
                 class = "vigitensor_error_store_rows")
  }
  fit <- cox(Surv(exit, event) ~ sex + age, store, engine = "cpu")
  needs_rows <- list(
    predict, function(x) predict(x, who), survival::survfit,
    survival::cox.zph, function(x) residuals(x, "schoenfeld")
  )
  for (ask in needs_rows) {
    expect_error(ask(fit), "data frames",
                 class = "vigitensor_error_store_rows")
  }
})
