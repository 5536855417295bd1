# Figures: what is drawn is the tidy data frame, and the device is left as it
# was found. Looks are judged by eye.

fit <- toy_fit()$fit
two <- fit
two$exposures[[2]] <- fit$exposures[[1]]
two$exposures[[2]]$label <- "exposure(other)"
two$exposures[[2]]$covered[13:20] <- FALSE
two$grid <- c(fit$grid, fit$grid)
two$grid[[2]]$label <- "exposure(other)"

local_device <- function(env = parent.frame()) {
  file <- withr::local_tempfile(fileext = ".png", .local_envir = env)
  grDevices::png(file, 800, 500)
  device <- grDevices::dev.cur()
  withr::defer(grDevices::dev.off(device), envir = env)
}

test_that("plot() returns what it drew, invisibly", {
  local_device()
  expect_invisible(plot(fit))
  expect_identical(plot(fit), weight_function(fit))
  expect_identical(plot(fit, level = 0.5), weight_function(fit, level = 0.5))
  expect_identical(plot(fit, which = "selection"), fit$selection)
  drawn <- plot(fit, which = "all")
  expect_identical(unique(drawn$nknots), 1:3)
  expect_identical(drawn$weight[drawn$nknots == 3],
                   weight_function(refit(fit, 3))$weight)
  expect_identical(plot(two, main = "Title", ylim = c(-1, 1), xlab = "days"),
                   weight_function(two))
  expect_identical(plot(two, term = 2, col = "black", cex.lab = 1.2),
                   weight_function(two, 2))
  expect_error(plot(fit, which = "everything"),
               class = "vigitensor_error_input")
  expect_error(plot(fit, term = "none"),
               class = "vigitensor_error_unknown_term")
})

test_that("plot() leaves the device's settings alone", {
  local_device()
  before <- graphics::par(c("mar", "mfrow", "las", "mgp", "tcl"))
  plot(fit)
  plot(two)
  plot(fit, "all")
  expect_identical(graphics::par(c("mar", "mfrow", "las", "mgp", "tcl")),
                   before)
  expect_error(plot(fit, xlim = "a"))
  expect_identical(graphics::par("mar"), before$mar)
})

test_that("plots of small and of empty models do not fail", {
  local_device()
  expect_silent(plot(refit(fit, 2), "all"))
  alone <- toy_fit(nknots = 0, lag_in = 3)$fit
  expect_silent(plot(alone))
  expect_silent(plot(alone, "all"))
  expect_silent(plot(alone, "selection"))
  nothing <- alone
  nothing$exposures[[1]]$covered[] <- FALSE
  expect_silent(plot(nothing))
})

test_that("both bands, grids of cutoffs and their labels are drawn", {
  local_device()
  drawn <- plot(fit, band = c("pointwise", "simultaneous"))
  expect_identical(drawn$lower, weight_function(fit)$lower)
  expect_identical(drawn$outer_lower,
                   weight_function(fit, band = "simultaneous")$lower)
  expect_identical(
    plot(weight_function(fit),
         simultaneous = weight_function(fit, band = "simultaneous")), drawn
  )
  expect_error(plot(fit, band = "wide"), class = "vigitensor_error_band")
  expect_error(plot(weight_function(fit), simultaneous = 1),
               class = "vigitensor_error_band")
  grid <- wce(
    Surv(entry, exit, event) ~ age + exposure("drug_a"),
    data = claims_people[1:150, ], id = person_id,
    records = claims_dispensings, cutoff = c(40, 60), nknots = 0:1,
    engine = "reference"
  )
  expect_identical(fit_labels(grid$selection),
                   c("40, 0 knots", "40, 1 knot", "60, 0 knots", "60, 1 knot"))
  drawn <- plot(grid, "all")
  expect_identical(nrow(drawn), 200L)
  other <- refit(grid, 1, 60)
  expect_equal(drawn$weight[drawn$fit == "60, 1 knot"],
               weight_function(other)$weight)
  expect_identical(plot(grid, "selection"), grid$selection)
  layout <- selection_layout(grid$selection, "bic")
  expect_identical(layout$x, c(1L, 1L, 2L, 2L))
  skip_if_not_installed("ggplot2")
  for (which in c("weight", "all", "selection")) {
    expect_silent(print(ggplot2::autoplot(grid, which = which)))
  }
  both <- ggplot2::autoplot(two, band = c("pointwise", "simultaneous"))
  expect_silent(print(both))
})

test_that("lag axes begin at the first lag and have no crowded labels", {
  expect_equal(lag_ticks(1:90, NULL), c(1, seq(10, 90, 10)))
  expect_equal(lag_ticks(1:20, NULL), c(1, seq(4, 20, 2)))
  expect_equal(lag_ticks(4:20, NULL), c(4, seq(6, 20, 2)))
})

test_that("autoplot() draws the same data with ggplot2", {
  skip_if_not_installed("ggplot2")
  local_device()
  plot <- ggplot2::autoplot(fit)
  expect_s3_class(plot, "ggplot")
  expect_equal(plot$data$weight, weight_function(fit)$weight)
  expect_identical(nrow(ggplot2::autoplot(fit, which = "all")$data), 60L)
  expect_identical(nrow(ggplot2::autoplot(fit, which = "selection")$data), 3L)
  for (which in c("weight", "all", "selection")) {
    expect_silent(print(ggplot2::autoplot(two, which = which)))
  }
})
