# Every generic gives on a fit of cox() what it gives on one of coxph().

library(survival)

expect_generics_like_coxph <- function(call, newdata, env = parent.frame()) {
  call <- substitute(call)
  fit <- eval(call, env)
  peer <- suppressWarnings(eval(as_coxph_call(call), env))
  expect_same_outcomes(fit, peer, newdata)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, file)
  expect_same_outcomes(readRDS(file), peer, newdata)
}

test_that("one covariate; one row to predict", {
  skip_if_no_engine()
  expect_generics_like_coxph(cox(Surv(time, status) ~ age, lung), lung[3, ])
  expect_generics_like_coxph(cox(Surv(start, stop, event) ~ age, heart),
                             heart[5, ])
})

test_that("factors and strata", {
  skip_if_no_engine()
  lung2 <- transform(lung, ecog = factor(pmin(ph.ecog, 2)))
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ ecog + age + strata(sex), lung2), lung2[3:9, ]
  )
  expect_generics_like_coxph(
    cox(Surv(start, stop, event) ~ age * transplant + strata(surgery), heart,
        ties = "breslow"), heart[3:9, ]
  )
})

test_that("missing values, left out or kept as gaps", {
  skip_if_no_engine()
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ meal.cal + sex, lung), lung[1:5, ]
  )
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ meal.cal + sex, lung, na.action = na.exclude),
    lung[1:5, ]
  )
})

test_that("no covariates", {
  skip_if_no_engine()
  expect_generics_like_coxph(cox(Surv(time, status) ~ 1, lung), lung[1:2, ])
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ offset(age / 100) + strata(sex), lung), lung[1:2, ]
  )
})

test_that("splines, clusters, weights, offsets", {
  skip_if_no_engine()
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ splines::ns(age, 3) + offset(ph.karno / 100) + sex,
        lung), lung[1:5, ]
  )
  expect_generics_like_coxph(
    cox(Surv(start, stop, event) ~ age + surgery + cluster(id), heart,
        weights = year + 1), heart[1:5, ]
  )
  expect_generics_like_coxph(
    cox(Surv(tstart, tstop, status) ~ treat + poly(age, 2), cgd, id = id,
        x = TRUE, model = TRUE), cgd[1:5, ]
  )
})

test_that("ridge, exact ties", {
  skip_if_no_engine()
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ ridge(age, ph.ecog, theta = 1) + sex, lung),
    lung[1:5, ]
  )
  expect_generics_like_coxph(
    cox(Surv(time, status) ~ age + sex, lung, ties = "exact"), lung[1:5, ]
  )
})

test_that("collinear columns", {
  skip_if_no_engine()
  twice <- transform(lung, age2 = age * 2)
  fit <- suppressWarnings(cox(Surv(time, status) ~ age + age2 + sex, twice))
  peer <- coxph(Surv(time, status) ~ age + age2 + sex, twice,
                control = tight_control())
  expect_same_outcomes(fit, peer, twice[1:3, ])
})

test_that("curves of one person with several rows", {
  skip_if_no_engine()
  fit <- cox(Surv(start, stop, event) ~ transplant + surgery, heart)
  peer <- coxph(Surv(start, stop, event) ~ transplant + surgery, heart,
                control = tight_control())
  path <- data.frame(start = c(0, 30), stop = c(30, 200), event = 0,
                     transplant = factor(0:1), surgery = 0, who = 1)
  ours <- survfit(fit, path, id = who)
  theirs <- survfit(peer, path, id = who)
  expect_equal(ours$surv, theirs$surv, tolerance = 1e-8)
  expect_equal(ours$std.err, theirs$std.err, tolerance = 1e-8)
})

test_that("several fits: anova and concordance; a formula updated", {
  skip_if_no_engine()
  known <- na.omit(lung)
  small <- cox(Surv(time, status) ~ age, known)
  large <- update(small, . ~ . + sex + ph.karno)
  expect_s3_class(large, "cox")
  peers <- lapply(list(~ age, ~ age + sex + ph.karno), function(right) {
    coxph(update(right, Surv(time, status) ~ .), known,
          control = tight_control())
  })
  ours <- anova(small, large)
  theirs <- do.call(anova, peers)
  expect_equal(ours$Chisq, theirs$Chisq, tolerance = 1e-9)
  expect_equal(unname(coef(concordance(small, large))),
               unname(coef(do.call(concordance, peers))), tolerance = 1e-9)
  new <- concordance(large, newdata = known[1:60, ])
  expect_equal(new$concordance,
               concordance(peers[[2]], newdata = known[1:60, ])$concordance)
})

test_that("score and dfbeta residuals by person", {
  skip_if_no_engine()
  fit <- cox(Surv(start, stop, event) ~ age + surgery, heart)
  peer <- coxph(Surv(start, stop, event) ~ age + surgery, heart,
                control = tight_control())
  for (type in c("martingale", "deviance", "score", "dfbeta", "dfbetas")) {
    expect_equal(residuals(fit, type, collapse = heart$id),
                 residuals(peer, type, collapse = heart$id), tolerance = 1e-8)
  }
  # At the optimum scores add up to zero, with or without weights.
  expect_equal(unname(colSums(residuals(fit, "score"))), c(0, 0),
               tolerance = 1e-8)
  expect_error(residuals(fit, "score", collapse = 1:3),
               class = "vigitensor_error_collapse")
})

test_that("robust variances of sandwich agree with cluster()", {
  skip_if_no_engine()
  plain <- cox(Surv(start, stop, event) ~ age + surgery, heart)
  robust <- cox(Surv(start, stop, event) ~ age + surgery, heart, cluster = id)
  found <- sandwich::vcovCL(plain, cluster = heart$id, cadjust = FALSE,
                            type = "HC0")
  expect_equal(unname(found), unname(vcov(robust)), tolerance = 1e-8)
})

test_that("augment() of broom", {
  skip_if_no_engine()
  fit <- cox(Surv(time, status) ~ age + sex, lung)
  peer <- coxph(Surv(time, status) ~ age + sex, lung,
                control = tight_control())
  expect_equal(broom::augment(fit, data = lung),
               broom::augment(peer, data = lung), tolerance = 1e-8)
})

test_that("a light fit keeps nothing of single rows, and finds them again", {
  skip_if_no_engine()
  assign("lung_here", lung, globalenv())
  withr::defer(rm(lung_here, envir = globalenv()))
  full <- cox(Surv(time, status) ~ age + sex + strata(inst), lung_here,
              weights = ph.karno)
  light <- cox(Surv(time, status) ~ age + sex + strata(inst), lung_here,
               weights = ph.karno, light = TRUE)
  lengths <- lengths(unclass(light))
  expect_lt(max(lengths[names(lengths) != "na.action"]), 60L)
  expect_lt(length(serialize(light, NULL)), 2e4)
  for (get in list(coef, vcov, AIC, residuals, predict, fitted, basehaz,
                   function(f) residuals(f, "dfbeta"),
                   function(f) survfit(f)$surv,
                   function(f) concordance(f)$concordance,
                   function(f) predict(f, lung[1:3, ], type = "risk"))) {
    expect_equal(get(light), get(full), tolerance = 1e-9)
  }
  rm(lung_here, envir = globalenv())
  expect_error(predict(light), class = "vigitensor_error_data_missing")
  assign("lung_here", lung, globalenv())
})

test_that("the print names the engine and what was dropped", {
  skip_if_no_engine()
  fit <- cox(Surv(time, status) ~ meal.cal, lung)
  expect_output(print(fit), "47 observations deleted due to missingness")
  expect_output(print(fit), "Engine \"cpu\".", fixed = TRUE)
  expect_invisible(print(fit))
})
