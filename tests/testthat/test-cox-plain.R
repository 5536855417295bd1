# The short way for plain columns gives the design that model.frame() gives.

library(survival)

plain_and_frame <- function(call) {
  fit <- eval(call, globalenv())
  # A subset of everything goes the long way.
  call$subset <- quote(seq_len(nrow(data)) > 0)
  long <- eval(call, globalenv())
  long$call$subset <- NULL
  list(short = fit, long = long)
}

test_that("plain formulas take the short way, others do not", {
  data <- transform(lung, flag = sex == 1, word = "a", fac = factor(sex))
  data$word[1:50] <- "b"
  takes <- function(formula, ...) {
    call <- rlang::call2("cox", formula, data = quote(data), ...)
    parts <- read_cox_formula(formula)
    surv <- surv_columns(parts$formula, data)
    !is.null(plain_design(call, parts, environment(), data, surv$columns,
                          new_faults()))
  }
  expect_true(takes(Surv(time, status) ~ age + sex))
  expect_true(takes(Surv(time, status == 2) ~ age + strata(inst)))
  expect_true(takes(Surv(time, status) ~ offset(ph.karno) + strata(fac) + age))
  expect_true(takes(Surv(time, status) ~ 1))
  expect_false(takes(Surv(time, status) ~ . - flag - word - fac))
  expect_true(takes(Surv(time, status) ~ age, weights = quote(ph.karno)))
  expect_false(takes(Surv(time, status) ~ age + fac))
  expect_false(takes(Surv(time, status) ~ age + word))
  expect_false(takes(Surv(time, status) ~ age + flag))
  expect_false(takes(Surv(time, status) ~ log(age)))
  expect_false(takes(Surv(time, status) ~ age * sex))
  expect_false(takes(Surv(time, status) ~ age + strata(inst, sex)))
  expect_false(takes(Surv(time, status) ~ age + I(sex)))
  expect_false(takes(Surv(time, status) ~ age, weights = quote(ph.karno / 2)))
  expect_false(takes(Surv(time, status) ~ ridge(age, theta = 1)))
})

test_that("both ways give the same object", {
  skip_if_no_engine()
  data <- transform(lung, `my column` = age / 10, check.names = FALSE)
  withr::defer(rm("data", envir = globalenv()))
  assign("data", data, globalenv())
  calls <- list(
    quote(cox(Surv(time, status) ~ age + sex, data)),
    quote(cox(Surv(time, status) ~ age + `my column` + sex, data)),
    quote(cox(Surv(time, status) ~ ph.karno + meal.cal, data, x = TRUE)),
    quote(cox(Surv(time, status) ~ ph.karno + strata(inst) + age, data)),
    quote(cox(Surv(time, status) ~ sex + offset(wt.loss) + strata(ph.ecog),
              data, weights = ph.karno, cluster = inst, x = TRUE)),
    quote(cox(Surv(time - 1, time, status) ~ age + cluster(inst), data,
              na.action = na.exclude)),
    quote(cox(Surv(time, status) ~ ., data)),
    quote(cox(Surv(time, status) ~ strata(sex), data)),
    quote(cox(Surv(time, status) ~ age - 1, data, id = inst))
  )
  for (call in calls) {
    both <- suppressWarnings(plain_and_frame(call),
                             classes = "vigitensor_warning")
    expect_identical(both$short$na.action, both$long$na.action)
    for (name in names(both$short)) {
      expect_equal(both$short[[name]], both$long[[name]], tolerance = 1e-14,
                   info = paste(deparse1(call), name),
                   ignore_formula_env = TRUE)
    }
    expect_identical(names(both$short), names(both$long))
  }
})

test_that("missing values follow another rule where there is one", {
  skip_if_no_engine()
  withr::local_options(na.action = "na.fail")
  expect_error(cox(Surv(time, status) ~ meal.cal, lung), "missing values")
  expect_error(cox(Surv(time, status) ~ meal.cal, lung, na.action = na.pass),
               class = "vigitensor_error_missing_values")
  expect_error(cox(Surv(time, status) ~ age, transform(lung, age = NA_real_),
                   na.action = na.omit), class = "vigitensor_error_empty_data")
})
