# Averages over a grid, and the answer by cutoff.

grid_fit <- function(study, ..., cutoff = c(12, 20), nknots = 1:2) {
  suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + exposure("a"), data = study$people,
        id = person_id, records = study$records, cutoff = cutoff,
        nknots = nknots, engine = one_average_engine(), ...),
    classes = "vigitensor_warning"
  )
}

one_average_engine <- function() if (engine_available()) "cpu" else "reference"

test_that("an average has the curves, weights and variances of its parts", {
  study <- random_study(5, n = 60L)
  fit <- grid_fit(study)
  for (criterion in c("aic", "bic")) {
    averaged <- model_average(fit, criterion)
    value <- fit$selection[[criterion]]
    p <- exp(-(value - min(value)) / 2)
    p <- p / sum(p)
    expect_equal(averaged$table$probability, p)
    curves <- vapply(1:4, function(row) {
      table <- weight_function(select_fit(fit, row))
      c(table$weight, numeric(20 - nrow(table)))
    }, numeric(20))
    errors <- vapply(1:4, function(row) {
      table <- weight_function(select_fit(fit, row))
      c(table$se, numeric(20 - nrow(table)))
    }, numeric(20))
    found <- weight_function(averaged)
    mean <- drop(curves %*% p)
    expect_equal(found$weight, mean)
    expect_equal(found$se^2, drop((errors^2 + (curves - mean)^2) %*% p))
    # A ratio is linear in the curve; doses beyond a cutoff do nothing in it.
    dose <- c(2, 0, rep(1, 18))
    ratio <- hazard_ratio(averaged, dose)
    expect_equal(ratio$log_hr, sum(dose * mean))
    parts <- lapply(1:4, function(row) {
      one <- select_fit(fit, row)
      hazard_ratio(one, dose[seq_len(one$exposures[[1L]]$cutoff)])
    })
    log_hr <- vapply(parts, `[[`, 0, "log_hr")
    se <- vapply(parts, `[[`, 0, "se")
    expect_equal(ratio$se^2, sum(p * (se^2 + (log_hr - sum(p * log_hr))^2)))
    expect_equal(total_effect(averaged)$log_hr, sum(mean))
  }
  wide <- weight_function(averaged, band = "simultaneous")
  expect_true(all(wide$upper >= found$upper))
  expect_output(print(averaged), "Average of 4 fits by BIC")
  expect_error(model_average(fit, "dic"), class = "vigitensor_error")
  expect_error(model_average(1), class = "vigitensor_error_input")
})

test_that("the average of one fit is that fit, its band included", {
  study <- random_study(6, n = 60L)
  for (smooth in c("none", "reml")) {
    fit <- grid_fit(study, cutoff = 15, nknots = 2, smooth = smooth)
    averaged <- model_average(fit)
    for (band in c("pointwise", "simultaneous")) {
      one <- weight_function(fit, band = band)
      two <- weight_function(averaged, band = band)
      numbers <- c("lag", "weight", "se", "lower", "upper")
      # Other directions are drawn for the band.
      tolerance <- if (band == "pointwise") 1e-8 else 0.01
      expect_equal(as.data.frame(two)[numbers], as.data.frame(one)[numbers],
                   tolerance = tolerance, ignore_attr = TRUE)
    }
  }
})

test_that("effects by cutoff are those of the fits", {
  study <- random_study(7, n = 60L)
  fit <- grid_fit(study, cutoff = c(10, 14, 20))
  table <- by_cutoff(fit)
  expect_identical(table$cutoff, c(10L, 14L, 20L))
  expect_identical(min(table$delta), 0)
  for (row in 1:3) {
    one <- refit(fit, nknots = table$nknots[row], cutoff = table$cutoff[row])
    expect_equal(table$log_hr[row], total_effect(one)$log_hr)
    expect_equal(table$upper[row], total_effect(one)$upper)
    own <- fit$selection[fit$selection$cutoff == table$cutoff[row], ]
    expect_identical(table$bic[row], min(own$bic))
  }
  expect_identical(sum(table$selected), 1L)
  drawn <- withr::with_pdf(withr::local_tempfile(fileext = ".pdf"), {
    plot(model_average(fit))
    plot(fit, which = "cutoff")
  })
  expect_identical(drawn, table)
})
