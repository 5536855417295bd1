# Figures of courses, checks, influence, bootstraps and curves: what is drawn.

people <- claims_people[1:250, ]
fit <- wce(
  Surv(entry, exit, event) ~ sex + age + exposure("drug_a"), data = people,
  id = person_id, records = claims_dispensings, cutoff = 60, nknots = 1,
  constrained = "right", engine = "reference"
)

local_device <- function(env = parent.frame()) {
  file <- withr::local_tempfile(fileext = ".png", .local_envir = env)
  grDevices::png(file, 800, 500)
  device <- grDevices::dev.cur()
  withr::defer(grDevices::dev.off(device), envir = env)
}

draws <- function(...) {
  skip_if_not_installed("ggplot2")
  expect_silent(print(ggplot2::autoplot(...)))
}

test_that("a course's effect is its hazard ratio over time", {
  local_device()
  course <- data.frame(start = c(10, 40), stop = c(20, 45), dose = c(1, 2))
  found <- course_effect(fit, course)
  expect_identical(range(found$time), c(0, 95))
  expect_identical(found$hr[1], 1)
  expect_equal(found$hr[nrow(found)], 1)
  ratio <- hazard_ratio(fit, course, at = 10 + found$time)
  expect_equal(found$upper, ratio$upper)
  expect_identical(found$dose[found$time %in% c(0, 1, 10, 11, 31)],
                   c(0, 1, 1, 0, 2))
  both <- course_effect(fit, list(a = course, course[1, ]), c(12, 50))
  expect_identical(both$course, rep(c("a", "course 2"), each = 2))
  day <- as.Date("2020-03-01")
  dated <- course
  dated[1:2] <- lapply(course[1:2], `+`, day)
  expect_equal(course_effect(fit, dated), found)
  expect_identical(plot(both), both)
  expect_identical(plot(found, log = FALSE), found)
  for (log in c(TRUE, FALSE)) draws(both, log = log)
  expect_error(course_effect(fit, 1), class = "vigitensor_error_profile")
  expect_error(course_effect(fit, course[0, ]),
               class = "vigitensor_error_profile")
})

test_that("checks are drawn from the residuals and their smooth", {
  local_device()
  check <- ph_check(fit)
  drawn <- plot(check)
  expect_identical(unique(drawn$term), colnames(check$y))
  age <- drawn[drawn$term == "age", ]
  # A smooth with an intercept keeps the mean.
  expect_equal(mean(age$effect), mean(check$y[, "age"]))
  peer <- lm(check$y[, "age"] ~ splines::ns(check$x, 3))
  expect_equal(age$effect, unname(fitted(peer)))
  expect_identical(plot(check, "weight"), check$curves)
  expect_identical(nrow(plot(check, var = 2)), nrow(check$y))
  expect_error(plot(check, var = "height"),
               class = "vigitensor_error_unknown_term")
  draws(check)
  draws(check, "weight")
  draws(check, var = "age", resid = FALSE)
})

test_that("influence and curves of plans are drawn", {
  local_device()
  for (found in list(influence(fit), influence(fit, "weight"))) {
    expect_identical(plot(found), found)
    draws(found)
  }
  who <- data.frame(entry = 0, exit = 200, sex = people$sex[1], age = 60)
  plans <- list(a = data.frame(start = 0, stop = 9, dose = 1),
                b = data.frame(start = 0, stop = 90, dose = 1))
  curves <- survfit(fit, who, plans)
  drawn <- curve_data(curves, "event")
  # The corners of the steps, as an integral.
  one <- drawn[drawn$curve == "a", ]
  width <- diff(c(0, curves[1]$time))
  before <- c(1, curves[1]$surv[-length(width)])
  expect_equal(sum(diff(one$time) * (1 - one$value[-1])), sum(width * before))
  expect_identical(one$value[1], 0)
  expect_equal(one$value[nrow(one)], 1 - min(curves[1]$surv))
  expect_silent(plot(curves))
  draws(curves)
  draws(survfit(fit, who, plans[[1]], se.fit = FALSE), "cumhaz")
})

test_that("a bootstrap is drawn with its replicates", {
  skip_if_no_engine()
  local_device()
  sample <- bootstrap(fit, times = 20, seed = 1, engine = "cpu",
                      progress = FALSE)
  drawn <- plot(sample, replicates = 5)
  expect_equal(drawn$lower, weight_function(sample)$lower)
  expect_identical(ncol(replicate_curves(sample, NULL, 5)[[1]]), 5L)
  expect_identical(replicate_curves(sample, NULL, 0), list())
  # All of them: their spread is the standard error.
  all_curves <- replicate_curves(sample, NULL, 100)[[1]]
  expect_equal(apply(all_curves, 1, sd), weight_function(sample)$se)
  draws(sample)
  draws(sample, replicates = 0, band = "pointwise")
})
