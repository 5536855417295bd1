test_that("a cluster of two processes gives the bits of one", {
  skip_if_no_part("dask")
  cohort <- store_cohort(400)
  store <- new_store(cohort, 90)
  fit <- function(data = store, records = NULL, ...) {
    wce(Surv(entry, exit, event) ~ sex + exposure("drug"), data, person_id,
        records, cutoff = 30, nknots = 0:1, engine = "cpu", ...)
  }
  here <- fit()
  whole <- fit(cohort$people, cohort$records)
  replicates <- function() {
    bootstrap(whole, 24, seed = 5, data = cohort$people,
              records = cohort$records)$coefficients
  }
  drawn <- replicates()
  of_store <- function() {
    again <- bootstrap(here, 9, seed = 5, data = store)
    list(again$coefficients, residuals(here, "score", data = store),
         fit(robust = TRUE)$var)
  }
  results <- of_store()
  expect_output(print(use_cluster("local", workers = 2)), "2 workers")
  withr::defer(use_cluster(NULL))
  there <- fit()
  expect_identical(coef(there), coef(here))
  expect_identical(there$var, here$var)
  expect_identical(replicates(), drawn)
  expect_identical(of_store(), results)
  expect_output(print(use_cluster(NULL)), "No cluster")
})

test_that("an address that is none is refused", {
  expect_error(use_cluster("node1:8786"), class = "vigitensor_error_address")
  expect_error(use_cluster("local", workers = 0),
               class = "vigitensor_error_workers")
})
