# Input that coxph would take in silence, drop, or stumble over.

library(survival)

bad <- function(...) transform(heart, ...)

test_that("all faults of the data are found at once, with their rows", {
  broken <- heart
  broken$stop[3] <- broken$start[3]
  broken$stop[8] <- broken$start[8] - 1
  broken$event[5] <- 3
  broken$age[7] <- Inf
  broken$w <- 1
  broken$w[9] <- -1
  broken$off <- 0
  broken$off[11] <- 1e6
  error <- tryCatch(cox(Surv(start, stop, event) ~ age + offset(off), broken,
                        weights = w, engine = "reference"), error = identity)
  for (code in c("stop_before_start", "event_values", "infinite_values",
                 "weights", "data")) {
    expect_s3_class(error, paste0("vigitensor_error_", code))
  }
  expect_identical(error$rows$stop_before_start, c(3L, 8L))
  expect_identical(error$rows$event_values, 5L)
  expect_identical(error$rows$weights, 9L)
  expect_true(all(c(7L, 11L) %in% unlist(error$rows)))
  expect_identical(nrow(error$faults), 5L)
  # The long way finds them too.
  again <- tryCatch(cox(Surv(start, stop, event) ~ log(age + 100) + offset(off),
                        broken, weights = w, engine = "reference"),
                    error = identity)
  expect_identical(again$rows$stop_before_start, c(3L, 8L))
  expect_identical(again$rows$weights, 9L)
})

test_that("rows outside `subset` are not judged", {
  broken <- heart
  broken$stop[3] <- broken$start[3]
  expect_error(cox(Surv(start, stop, event) ~ age, broken,
                   engine = "reference"),
               class = "vigitensor_error_stop_before_start")
  fit <- cox(Surv(start, stop, event) ~ age, broken, subset = -3,
             engine = "reference")
  expect_identical(fit$n, 171L)
  fit <- cox(Surv(start, stop, event) ~ age, broken, subset = stop > start,
             engine = "reference")
  expect_identical(fit$n, 171L)
})

test_that("events and times of the wrong kind", {
  expect_class <- function(code, expr) {
    expect_error(expr, class = paste0("vigitensor_error_", code))
  }
  expect_class("non_numeric", cox(Surv(time, paste(status)) ~ age, lung))
  expect_class("non_numeric", cox(Surv(as.Date("2020-01-01") + time, status) ~
                                    age, lung))
  expect_class("infinite_values", cox(Surv(time / (time > 20), status) ~ age,
                                      lung))
  expect_class("event_values", cox(Surv(time, inst) ~ age, lung))
  expect_class("surv_type", cox(Surv(time, time + 1, type = "interval2") ~ age,
                                lung))
  expect_class("no_event", cox(Surv(time, status > 5) ~ age, lung))
  expect_class("empty_data", cox(Surv(time, status) ~ age, lung,
                                 subset = age > 200))
  expect_class("constant_covariate",
               cox(Surv(time, status) ~ age + one,
                   transform(lung, one = factor("a"))))
})

test_that("arguments of the wrong kind", {
  expect_class <- function(code, expr) {
    expect_error(expr, class = paste0("vigitensor_error_", code))
  }
  f <- Surv(time, status) ~ age
  expect_class("unknown_argument", cox(f, lung, weigths = age))
  expect_class("unknown_argument", cox(f, lung, NULL, NULL, NULL, NULL, NULL,
                                       "efron", NULL, NULL, NULL, FALSE, FALSE,
                                       TRUE, FALSE, "reference", 1))
  expect_class("formula", cox(data = lung))
  expect_class("formula", cox("time ~ age", lung))
  expect_class("formula", cox(~ age, lung))
  expect_class("formula", cox(time ~ age, lung))
  expect_class("formula", cox(Surv(time, status) ~ age * cluster(inst), lung))
  expect_class("formula", cox(Surv(time, status) ~ cluster(inst) +
                                cluster(sex), lung))
  expect_class("ties", cox(f, lung, ties = "fast"))
  expect_class("control", cox(f, lung, control = list(eps = 1, speed = 2)))
  expect_class("control", cox(f, lung, iter.max = -1))
  expect_class("robust", cox(f, lung, robust = "yes"))
  expect_class("light", cox(f, lung, light = NA))
  expect_class("engine_name", cox(f, lung, engine = "abacus"))
  skip_if_no_engine()
  expect_class("robust", cox(f, lung, ties = "exact", cluster = inst))
  expect_class("init", cox(f, lung, init = 1:2))
  expect_class("init", cox(f, lung, init = 1e4))
  expect_class("cluster", cox(Surv(start, stop, event) ~ age, heart,
                              robust = TRUE))
})

test_that("warnings have classes", {
  suppressWarnings(expect_warning(
    cox(Surv(time, status) ~ age + I(status / 2), lung, engine = "reference"),
    class = "vigitensor_warning_both_sides"
  ))
  expect_warning(cox(Surv(time, status) ~ age + cluster(inst), lung,
                     cluster = sex, engine = "reference"),
                 class = "vigitensor_warning_cluster_ignored")
  skip_if_no_engine()
  expect_warning(cox(Surv(time, status) ~ age, lung, cluster = inst,
                     robust = FALSE),
                 class = "vigitensor_warning_cluster_ignored")
})

test_that("messages hold no value of a person", {
  broken <- lung
  broken$time[4] <- Inf
  broken$age[4] <- 4321
  text <- tryCatch(cox(Surv(time, status) ~ age, broken), error = function(e) {
    paste(conditionMessage(e), collapse = " ")
  })
  expect_false(grepl("4321", text))
  expect_match(text, "row 4")
})
