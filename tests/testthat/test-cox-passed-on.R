# What the engine does not do is coxph()'s, and the object says so.

library(survival)

expect_passed_on <- function(call, reason, classes) {
  call <- substitute(call)
  env <- parent.frame()
  fit <- eval(call, env)
  peer_call <- call
  peer_call[[1L]] <- quote(survival::coxph)
  peer <- eval(peer_call, env)
  expect_match(fit$passed_on, reason, fixed = TRUE)
  expect_identical(fit$engine, "reference")
  expect_s3_class(fit, c("cox", classes), exact = TRUE)
  expect_equal(coef(fit), coef(peer), tolerance = 1e-12)
  expect_equal(vcov(fit), vcov(peer), tolerance = 1e-12)
  expect_output(print(fit), "Fitted by survival::coxph()", fixed = TRUE)
  expect_equal(residuals(fit), residuals(peer))
  invisible(fit)
}

test_that("tt(), frailty(), pspline()", {
  expect_passed_on(
    cox(Surv(time, status) ~ age + tt(karno), veteran[1:60, ],
        tt = function(x, t, ...) x * log(t + 20)), "`tt", "coxph"
  )
  expect_passed_on(cox(Surv(time, status) ~ age + frailty(inst), lung),
                   "`frailty()`", c("coxph.penal", "coxph"))
  expect_passed_on(cox(Surv(time, status) ~ sex + pspline(age), lung),
                   "`pspline()`", c("coxph.penal", "coxph"))
  expect_passed_on(cox(Surv(time, status) ~ sex + ridge(age, ph.ecog, df = 1),
                       lung), "a penalty other", c("coxph.penal", "coxph"))
})

test_that("multi-state models", {
  states <- transform(mgus2, etime = ifelse(pstat == 1, ptime, futime),
                      state = factor(ifelse(pstat == 1, 1, 2 * death), 0:2,
                                     c("none", "pcm", "death")))
  fit <- expect_passed_on(
    cox(Surv(etime, state) ~ sex + age, states, id = id), "a multi-state model",
    c("coxphms", "coxph")
  )
  expect_s3_class(survfit(fit, states[1:2, ]), "survfitms")
  expect_passed_on(
    cox(list(Surv(etime, state) ~ sex, 1:2 ~ age), states, id = id),
    "a list of formulas", c("coxphms", "coxph")
  )
})

test_that("coxph's own error is one of ours", {
  expect_error(cox(Surv(time, status) ~ age + frailty(inst), lung,
                   init = 1:7),
               class = "vigitensor_error_coxph")
})

test_that("exact ties with weights are refused, as in coxph", {
  expect_error(cox(Surv(time, status) ~ age, lung, ties = "exact",
                   weights = ph.karno, engine = "reference"),
               class = "vigitensor_error_ties")
})
