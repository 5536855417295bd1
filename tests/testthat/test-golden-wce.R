# WCE() against the numbers of the CRAN package of that name (tests/golden).

test_that("WCE() gives the numbers of WCE 1.0.3 on our simulated data", {
  expected <- utils::read.csv(golden_path("golden-wce.csv.gz"))
  cases <- golden_cases("golden-cases.csv")
  tables <- list(daily = golden_data("daily"), ties = golden_data("ties"))
  for (engine in engines_here()) {
    for (case in cases) {
      fit <- with_engine(engine, suppressWarnings(
        golden_fit(case, tables[[case$data]]),
        classes = c("vigitensor_warning_collinear",
                    "vigitensor_warning_uncovered_lags")
      ))
      expect_golden(fit, case, expected)
    }
  }
})

test_that("a collinear covariate is NA with a warning, and still counted", {
  case <- Filter(function(case) case$case == "daily-collinear",
                 golden_cases("golden-cases.csv"))[[1L]]
  for (engine in engines_here()) {
    with_engine(engine, {
      expect_warning(fit <- golden_fit(case, golden_data("daily")),
                     class = "vigitensor_warning_collinear")
    })
    expect_identical(is.na(fit$beta.hat.covariates[1L, ]),
                     c(sex = FALSE, male = TRUE))
    # 3 spline columns + sex + male
    expect_equal(fit$info.criterion[[1L]],
                 -2 * fit$loglik[[1L]] + 5 * log(71), tolerance = 1e-14)
  }
})

test_that("WCE() gives the numbers of WCE 1.0.3 on its own drugdata", {
  skip_if(is.null(shared_file()), "VIGITENSOR_SHARED is not set")
  data <- golden_data("drugdata")
  expected <- utils::read.csv(golden_path("golden-wce-drugdata.csv.gz"))
  for (engine in engines_here()) {
    for (case in golden_cases("golden-cases-drugdata.csv")) {
      fit <- with_engine(engine, golden_fit(case, data))
      expect_golden(fit, case, expected)
    }
  }
})

test_that("rows sorted by time give the same fit on drugdata", {
  skip_if(is.null(shared_file()), "VIGITENSOR_SHARED is not set")
  data <- golden_data("drugdata")
  fit <- WCE(data[order(data$Stop), ], "Cox", 1, 90, "Right", id = "Id",
             event = "Event", start = "Start", stop = "Stop", expos = "dose",
             covariates = c("sex", "age"))
  # -1936.70 and 1.056 come out of the peer
  expect_equal(fit$loglik[[1L]], -1896.540550325908, tolerance = 1e-10)
  expect_equal(HR.WCE(fit, rep(1, 90), numeric(90))[[1L]], 2.496371141762,
               tolerance = 1e-8)
})
