# Grids over cutoffs and knots against single fits.

grid_fit <- function(study, ..., formula = NULL, engine = "reference") {
  suppressWarnings(
    wce(formula %||% (Surv(entry, exit, event) ~ sex + exposure("a")),
        data = study$people, id = person_id, records = study$records,
        engine = engine, ...),
    classes = "vigitensor_warning"
  )
}

# All that a fit says but how it was called and chosen.
same_fit <- function(grid, single) {
  expect_equal(coef(grid), coef(single), tolerance = 1e-9)
  expect_equal(grid$loglik, single$loglik, tolerance = 1e-12)
  expect_equal(grid$var, single$var, tolerance = 1e-8)
  expect_equal(grid$exposures, single$exposures)
  expect_identical(grid$n_pairs, single$n_pairs)
  expect_identical(grid$df, single$df)
}

test_that("a grid over cutoffs and knots is its single fits", {
  study <- random_study(41, n = 60L)
  for (engine in engines_here()) {
    grid <- grid_fit(study, cutoff = c(30, 8, 20), nknots = 0:1,
                     engine = engine)
    s <- grid$selection
    expect_identical(s$cutoff, rep(c(8L, 20L, 30L), each = 2L))
    expect_identical(s$nknots, rep(0:1, 3L))
    expect_identical(which(s$selected), which.min(s$bic))
    pairs <- integer()
    for (row in seq_len(nrow(s))) {
      single <- grid_fit(study, cutoff = s$cutoff[row], nknots = s$nknots[row],
                         engine = engine)
      chosen <- refit(grid, s$nknots[row], s$cutoff[row])
      same_fit(chosen, single)
      expect_equal(s[row, c("loglik", "aic", "bic")],
                   single$selection[c("loglik", "aic", "bic")],
                   tolerance = 1e-11, ignore_attr = TRUE)
      pairs[row] <- chosen$n_pairs
    }
    # A longer window exposes more.
    expect_true(all(diff(pairs[c(1, 3, 5)]) > 0))
  }
})

test_that("the engines agree on every fit of a grid", {
  skip_if_no_engine()
  study <- random_study(42, n = 60L)
  call <- list(study, cutoff = c(8, 25), nknots = 0:1, lag_in = 2)
  reference <- do.call(grid_fit, call)
  cpu <- do.call(grid_fit, c(call, engine = "cpu"))
  expect_equal(cpu$selection, reference$selection, tolerance = 1e-9)
  for (row in 1:4) same_fit(select_fit(cpu, row), select_fit(reference, row))
})

test_that("refit() keeps what is not said", {
  study <- random_study(43, n = 60L)
  fit <- grid_fit(study, cutoff = c(8, 20), nknots = 0:1)
  fit <- refit(fit, 0, 8)
  expect_identical(refit(fit, 1)$exposures[[1]]$cutoff, 8L)
  expect_identical(refit(fit, cutoff = 20)$exposures[[1]]$cutoff, 20L)
  expect_identical(refit(fit, cutoff = 20)$exposures[[1]]$nknots, 0L)
  expect_length(weight_function(refit(fit, 1, 20))$lag, 20)
  expect_error(refit(fit, 3), class = "vigitensor_error_not_in_grid")
  expect_error(refit(fit, 1, 9), class = "vigitensor_error_not_in_grid")
  expect_output(print(refit(fit, 1, 8)), "refit\\(fit,\\s+0,\\s+8\\)")
  expect_output(print(summary(fit)), "cutoff nknots df", fixed = TRUE)
})

test_that("terms with their own cutoff keep it", {
  study <- random_study(44, n = 80L, drugs = 2L)
  two <- Surv(entry, exit, event) ~ exposure("a") + exposure("b", cutoff = 10)
  fit <- grid_fit(study, formula = two, cutoff = c(8, 20), nknots = 0:1)
  expect_identical(fit$selection$cutoff, rep(c("8+10", "20+10"), each = 2L))
  expect_identical(fit$selection$nknots, rep(c("0+0", "1+1"), 2L))
  chosen <- refit(fit, "1+1", "20+10")
  expect_identical(vapply(chosen$exposures, `[[`, 0L, "cutoff"), c(20L, 10L))
  single <- grid_fit(study, formula = two, cutoff = 20, nknots = 1)
  same_fit(chosen, single)
  # One term may hold the grid itself.
  inside <- grid_fit(study, nknots = 0, cutoff = 30, formula =
                       Surv(entry, exit, event) ~ exposure("a",
                                                           cutoff = c(8, 20)))
  expect_identical(inside$selection$cutoff, c(8L, 20L))
  expect_error(grid_fit(study, cutoff = 20, formula = Surv(entry, exit, event) ~
                          exposure("a", cutoff = c(8, 20)) + exposure("b")),
               class = "vigitensor_error_cutoff")
})

test_that("every cutoff of a grid is checked", {
  study <- random_study(45)
  expect_error(grid_fit(study, cutoff = c(3, 20)),
               class = "vigitensor_error_cutoff")
  expect_error(grid_fit(study, cutoff = c(5, 20), nknots = 4),
               class = "vigitensor_error_too_many_knots")
  expect_error(grid_fit(study, cutoff = c(20, 500)),
               class = "vigitensor_error_cutoff")
})

test_that("plots of a grid over cutoffs", {
  study <- random_study(46, n = 60L)
  fit <- grid_fit(study, cutoff = c(8, 20), nknots = 0:1)
  file <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  on.exit(grDevices::dev.off())
  expect_identical(nrow(plot(fit, "selection")), 4L)
  drawn <- plot(refit(fit, 1, 20), "all")
  expect_identical(range(drawn$lag), c(1L, 20L))
  expect_identical(unique(drawn$nknots), 0:1)
  skip_if_not_installed("ggplot2")
  expect_s3_class(autoplot.wce(fit, "selection"), "ggplot")
  expect_silent(ggplot2::ggplot_build(autoplot.wce(fit, "selection")))
  expect_silent(ggplot2::ggplot_build(autoplot.wce(fit, "all")))
})
