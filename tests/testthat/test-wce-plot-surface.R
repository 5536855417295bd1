# Figures of surfaces, cutoffs and averages: what is drawn.

surface_drawn <- smooth_fit(surface_study(5), "none", nknots = 0, cutoff = 12,
                            formula = surface_formula(dose_spline(4)))

draws_all <- function(x, ...) {
  withr::local_pdf(withr::local_tempfile(fileext = ".pdf"))
  expect_silent(plot(x, ...))
  skip_if_not_installed("ggplot2")
  if (identical(list(...)$type, "surface")) return(invisible())
  expect_silent(print(ggplot2::autoplot(x, ...)))
}

test_that("every figure of a surface is drawn", {
  total <- dose_response(surface_drawn, doses = seq(0, 4, by = 0.5))
  grid <- dose_response(surface_drawn, doses = 0:4, lag = 1:12)
  few <- dose_response(surface_drawn, doses = c(1, 4), lag = c(1, 6, 12))
  draws_all(total)
  draws_all(dose_response(surface_drawn, doses = 0:4, lag = 3))
  draws_all(few)
  draws_all(few, along = "dose")
  for (type in c("slices", "map", "surface")) draws_all(grid, type = type)
  expect_error(plot(total, type = "map"), class = "vigitensor_error_no_surface")
  expect_error(plot(dose_response(surface_drawn, profile = 1:3)),
               class = "vigitensor_error_no_surface")
  expect_error(plot(grid, type = "cake"), class = "vigitensor_error_type")
})

test_that("axes have their units, and slices what they show", {
  few <- dose_response(surface_drawn, doses = c(1, 4), lag = 1:12)
  expect_identical(dose_label(few), "Dose per day")
  slices <- surface_slices(few, "lag")
  expect_identical(slices$labels, c("dose 1", "dose 4"))
  expect_identical(surface_slices(few, "dose")$values, 1:12)
  expect_identical(surface_matrix(few)[2L, ], few$log_hr[few$dose == 4])
  scale <- surface_colours(surface_matrix(few))
  expect_equal(range(scale$breaks), c(-1, 1) * max(abs(few$log_hr)))
  skip_if_not_installed("ggplot2")
  drawn <- ggplot2::layer_data(ggplot2::autoplot(few), 3L)
  expect_equal(sort(drawn$y), sort(few$log_hr))
})

test_that("cutoffs and averages have their ggplots", {
  skip_if_not_installed("ggplot2")
  study <- surface_study(5)
  fit <- smooth_fit(study, "none", nknots = 0:1, cutoff = c(8, 12),
                    constrained = "right")
  table <- by_cutoff(fit)
  drawn <- ggplot2::layer_data(ggplot2::autoplot(fit, "cutoff"), 4L)
  expect_equal(drawn$y, c(table$log_hr, table$delta))
  averaged <- model_average(fit)
  found <- ggplot2::autoplot(averaged, band = "pointwise")
  line <- ggplot2::layer_data(found, length(found$layers))
  expect_equal(line$y, weight_function(averaged)$weight)
})
