# Bootstrap of cox() with ridge penalties, exact ties, and of fits that
# survival::coxph() makes, against coxph on the drawn rows.

cgd <- survival::cgd
exactly <- survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                   iter.max = 60, outer.max = 60)

# One row of coefficients per replicate.
each <- function(weights, fit_one) {
  unname(do.call(rbind, lapply(seq_len(nrow(weights)), function(b) {
    stats::coef(suppressWarnings(fit_one(weights[b, ])))
  })))
}

test_that("a ridge stays that of the fit, in every replicate", {
  weights <- draw_weights(nrow(cgd), "multinomial", 4, 1, 4)
  for (ties in c("efron", "breslow")) for (engine in engines_here()) {
    fit <- cox(Surv(tstop, status) ~ treat + ridge(age, height, theta = 20) +
                 strata(hos.cat), cgd, ties = ties, engine = engine)
    second <- fit$coxlist2$second
    expect_gt(min(second[2:3]), 0)
    b <- bootstrap(fit, 4, seed = 4)
    # In these units the penalty is half of the square, whatever the rows.
    cgd$a <- cgd$age / sqrt(second[2])
    cgd$h <- cgd$height / sqrt(second[3])
    loglik <- numeric()
    oracle <- each(weights, function(w) {
      cgd$w <- w
      one <- survival::coxph(
        Surv(tstop, status) ~ treat + ridge(a, h, theta = 1, scale = FALSE) +
          strata(hos.cat), cgd[w > 0, ], weights = w, ties = ties,
        control = exactly
      )
      loglik <<- c(loglik, one$loglik[2]) # nolint
      one
    })
    oracle[, 2:3] <- oracle[, 2:3] / rep(sqrt(second[2:3]), each = 4)
    expect_equal(unname(b$coefficients), oracle, tolerance = 1e-7)
    expect_equal(b$loglik, loglik, tolerance = 1e-10)
  }
})

test_that("with ridge and (start, stop] rows the score balances the penalty", {
  fits <- lapply(engines_here(), function(engine) {
    cox(Surv(tstart, tstop, status) ~ treat + ridge(age, height, theta = 20),
        cgd, id = id, engine = engine)
  })
  person <- match(cgd$id, unique(cgd$id))
  weights <- draw_weights(max(person), "bayesian", 4, 1, 3)
  for (method in c("fit", "one_step", "influence")) {
    b <- lapply(fits, bootstrap, 3, kind = "bayesian", seed = 4,
                method = method)
    for (other in b) {
      expect_equal(other$coefficients, b[[1]]$coefficients, tolerance = 1e-7)
    }
    if (method != "fit") next
    for (r in 1:3) {
      cgd$w <- weights[r, person]
      there <- survival::coxph(Surv(tstart, tstop, status) ~ treat + age +
                                 height, cgd, weights = w, iter.max = 0,
                               init = b[[1]]$coefficients[r, ])
      score <- colSums(residuals(there, "score", weighted = TRUE))
      expect_lt(max(abs(score - fits[[1]]$coxlist2$second *
                          b[[1]]$coefficients[r, ])), 1e-7)
    }
  }
  expect_true(all(is.finite(confint(b[[1]], type = "bca"))))
})

test_that("matched sets are drawn whole, each time a set of its own", {
  infert <- datasets::infert
  infert$time <- 1
  set <- match(infert$stratum, unique(infert$stratum))
  weights <- draw_weights(max(set), "multinomial", 2, 1, 3)
  oracle <- each(weights, function(w) {
    copies <- lapply(unlist(Map(rep, seq_along(w), w)),
                     function(s) infert[set == s, ])
    drawn <- do.call(rbind, copies)
    drawn$own <- rep(seq_along(copies), vapply(copies, nrow, 0L))
    survival::coxph(Surv(time, case) ~ spontaneous + induced + strata(own),
                    drawn, ties = "exact", control = exactly)
  })
  for (engine in engines_here()) {
    fit <- cox(Surv(time, case) ~ spontaneous + induced + strata(stratum),
               infert, id = stratum, ties = "exact", engine = engine)
    b <- bootstrap(fit, 3, seed = 2)
    expect_identical(b$unit, "id")
    expect_equal(unname(b$coefficients), oracle, tolerance = 1e-8)
    expect_error(bootstrap(fit, 3, kind = "bayesian"),
                 class = "vigitensor_error_bootstrap_fit")
    expect_error(bootstrap(fit, 3, method = "influence"),
                 class = "vigitensor_error_bootstrap_fit")
    expect_error(confint(b, type = "bca"),
                 class = "vigitensor_error_no_influence")
    expect_output(print(b), "Bootstrap of a Cox model")
  }
})

test_that("rows of exact ties that are drawn twice are tied with themselves", {
  lung <- survival::lung[1:60, ]
  lung$months <- ceiling(lung$time / 60)
  lung$twice <- 2 * lung$age
  weights <- draw_weights(60, "multinomial", 2, 1, 3)
  oracle <- each(weights, function(w) {
    survival::coxph(Surv(months, status == 2) ~ age + sex,
                    lung[rep(1:60, w), ], ties = "exact", control = exactly)
  })
  for (engine in engines_here()) {
    fit <- suppressWarnings(cox(Surv(months, status == 2) ~ age + twice + sex,
                                lung, ties = "exact", engine = engine))
    b <- bootstrap(fit, 3, seed = 2)
    expect_equal(unname(b$coefficients[, c(1, 3)]), oracle, tolerance = 1e-8)
    expect_true(all(is.na(b$coefficients[, 2])))
  }
})

test_that("what coxph fits is fitted again by coxph, with weights", {
  cgd$n <- 1 + cgd$age %% 3
  person <- match(cgd$id, unique(cgd$id))
  of_people <- draw_weights(max(person), "bayesian", 6, 1, 2)
  of_rows <- draw_weights(nrow(cgd), "bayesian", 6, 1, 2)
  check <- function(fit, weights, again) {
    expect_type(fit$passed_on, "character")
    b <- bootstrap(fit, 2, kind = "bayesian", seed = 6)
    expect_equal(unname(b$coefficients), each(weights, function(w) {
      cgd$w <- w
      again(cgd)
    }), tolerance = 1e-8)
    expect_identical(sum(b$failures), 0L)
    b
  }
  log_time <- function(x, t, ...) x * log(t)
  formula <- Surv(tstop, status) ~ treat + tt(age)
  check(cox(formula, cgd, id = id, tt = log_time, engine = "reference"),
        of_people[, person],
        function(d) survival::coxph(formula, d, weights = w, tt = log_time))
  with_frailty <- Surv(tstop, status) ~ treat + frailty(center, theta = 1)
  check(cox(with_frailty, cgd, weights = n, engine = "reference"), of_rows,
        function(d) {
          survival::coxph(with_frailty, d, weights = w * n, robust = FALSE)
        })
  with_spline <- Surv(tstop, status) ~ treat + pspline(age, df = 3)
  b <- check(cox(with_spline, cgd, engine = "reference"), of_rows,
             function(d) {
               survival::coxph(with_spline, d, weights = w, robust = FALSE)
             })
  expect_identical(b$unit, "row")
  expect_error(confint(b, type = "bca"),
               class = "vigitensor_error_no_influence")
  expect_true(all(is.finite(confint(b)[1, ])))
})

test_that("penalised (start, stop] rows with Efron's ties are copied", {
  person <- match(cgd$id, unique(cgd$id))
  weights <- draw_weights(max(person), "multinomial", 6, 1, 2)
  formula <- Surv(tstart, tstop, status) ~ treat + pspline(age, theta = 0.5)
  fit <- cox(formula, cgd, id = id, engine = "reference", light = TRUE)
  b <- bootstrap(fit, 2, seed = 6, data = cgd)
  oracle <- each(weights, function(w) {
    survival::coxph(formula, cgd[rep(seq_along(person), w[person]), ])
  })
  expect_equal(unname(b$coefficients), oracle, tolerance = 1e-8)
  expect_error(bootstrap(fit, 2, kind = "bayesian", data = cgd),
               class = "vigitensor_error_bootstrap_fit")
})

test_that("multi-state models are drawn by person", {
  mgus <- survival::mgus2[1:300, ]
  mgus$time <- with(mgus, ifelse(pstat == 0, futime, ptime))
  mgus$state <- with(mgus, factor(ifelse(pstat == 0, 2 * death, 1), 0:2,
                                  labels = c("censor", "pcm", "death")))
  fit <- cox(Surv(time, state) ~ age + sex, mgus, id = id, subset = age > 50,
             engine = "reference")
  used <- mgus[mgus$age > 50, ]
  weights <- draw_weights(nrow(used), "multinomial", 3, 1, 3)
  oracle <- each(weights, function(w) {
    survival::coxph(Surv(time, state) ~ age + sex, used[w > 0, ], id = id,
                    weights = w[w > 0])
  })
  file <- withr::local_tempfile()
  bootstrap(fit, 1, seed = 3, file = file)
  b <- bootstrap(fit, 3, file = file)
  expect_equal(unname(b$coefficients), oracle, tolerance = 1e-8)
  expect_equal(b$n_units, nrow(used))
  expect_error(bootstrap(fit, 3, file = file, data = mgus[-1, ]),
               class = "vigitensor_error")
})
