# Penalised fits from a store against those of the data frames.

smooth_both <- function(cohort, store, ...) {
  fit <- function(data, records = NULL) {
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"), data,
          person_id, records, engine = "cpu", ...),
      classes = "vigitensor_warning"
    )
  }
  list(stored = fit(store), whole = fit(cohort$people, cohort$records))
}

test_that("a smooth fit of a store is that of the data frames", {
  skip_if_no_engine()
  cohort <- store_cohort(800)
  store <- new_store(cohort, 300)
  settings <- list(
    list(cutoff = c(20, 40), smooth = "reml"),
    list(cutoff = 40, smooth = "aic", nknots = 6, robust = TRUE),
    list(cutoff = 40, smooth = wce_smooth(lambda = c(5, 3)), nknots = 4,
         weights = quote(w))
  )
  for (one in settings) {
    both <- do.call(smooth_both, c(list(cohort, store), one))
    stored <- both$stored
    whole <- both$whole
    expect_stored_model(stored, whole)
    expect_equal(stored$smoothing, whole$smoothing, tolerance = 1e-6)
    expect_equal(stored$selection, whole$selection, tolerance = 1e-8)
    expect_equal(smoothness(stored), smoothness(whole), tolerance = 1e-6)
    expect_equal(
      as.data.frame(weight_function(stored, band = "simultaneous")),
      as.data.frame(weight_function(whole, band = "simultaneous")),
      tolerance = 1e-6
    )
  }
  averaged <- smooth_both(cohort, store, cutoff = c(20, 40), smooth = "reml")
  expect_equal(model_average(averaged$stored)$table,
               model_average(averaged$whole)$table, tolerance = 1e-8)
  expect_equal(by_cutoff(averaged$stored), by_cutoff(averaged$whole),
               tolerance = 1e-6)
})

test_that("replicates and residuals of a smooth fit from a store", {
  skip_if_no_engine()
  cohort <- store_cohort(500)
  store <- new_store(cohort, 200)
  both <- smooth_both(cohort, store, cutoff = 30, smooth = "reml", nknots = 5)
  se <- sqrt(diag(both$whole$var))
  for (method in c("fit", "one_step", "influence")) {
    stored <- bootstrap(both$stored, 5, seed = 3, method = method, data = store)
    whole <- bootstrap(both$whole, 5, seed = 3, method = method,
                       data = cohort$people, records = cohort$records)
    off <- (stored$coefficients - whole$coefficients) %*% diag(1 / se)
    expect_lt(max(abs(off)), 1e-7)
    expect_equal(confint(stored, "sex", type = "bca"),
                 confint(whole, "sex", type = "bca"), tolerance = 1e-6)
  }
  # With a lambda of its own in each.
  stored <- bootstrap(both$stored, 3, seed = 3, reselect = TRUE, data = store)
  whole <- bootstrap(both$whole, 3, seed = 3, reselect = TRUE,
                     data = cohort$people, records = cohort$records)
  expect_equal(stored$coefficients[, "sex"], whole$coefficients[, "sex"],
               tolerance = 1e-6)
  for (type in c("martingale", "score", "dfbeta")) {
    expect_equal(residuals(both$stored, type, data = store),
                 residuals(both$whole, type, data = cohort$people,
                           records = cohort$records), tolerance = 1e-6)
  }
})

test_that("a cluster of two processes chooses the lambda of one", {
  skip_if_no_part("dask")
  cohort <- store_cohort(400)
  store <- new_store(cohort, 90)
  fit <- function() {
    wce(Surv(entry, exit, event) ~ sex + exposure("drug"), store, cutoff = 30,
        smooth = "reml", nknots = 5, engine = "cpu")
  }
  here <- fit()
  use_cluster("local", workers = 2)
  withr::defer(use_cluster(NULL))
  there <- fit()
  expect_identical(coef(there), coef(here))
  expect_identical(there$smoothing, here$smoothing)
})
