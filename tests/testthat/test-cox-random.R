# Random designs that cross all options, against coxph at its optimum. In
# `make test-full` there are 1,000 of them, and what was measured is written to
# the folder that VIGITENSOR_RECORD names.

library(survival)

test_that("random designs", {
  skip_if_no_engine()
  full <- identical(Sys.getenv("VIGITENSOR_FULL"), "true")
  seeds <- seq_len(if (full) 1000L else 60L)
  results <- do.call(rbind, lapply(seeds, compare_random))
  folder <- Sys.getenv("VIGITENSOR_RECORD")
  if (nzchar(folder)) {
    utils::write.csv(results, file.path(folder, "random-cox.csv"),
                     row.names = FALSE)
  }
  expect_gt(mean(results$outcome == "compared"), 0.8)
  expect_gt(sum(results$outcome == "monotone"), 0L)
})
