# Bootstrap of cox(), against coxph with the drawn weights.

cgd <- survival::cgd
cgd$n <- 1 + cgd$age %% 3

refits <- function(weights, unit, ...) {
  fits <- lapply(seq_len(nrow(weights)), function(b) {
    cgd$drawn <- weights[b, unit]
    suppressWarnings(survival::coxph(..., data = cgd[cgd$drawn > 0, ],
                                     weights = drawn, robust = FALSE,
                                     control = at_optimum))
  })
  list(coefficients = unname(do.call(rbind, lapply(fits, coef))),
       loglik = vapply(fits, function(f) f$loglik[2], 0))
}

test_that("replicates are coxph's with the drawn weights", {
  person <- match(cgd$id, unique(cgd$id))
  weights <- draw_weights(128, "multinomial", 3, 1, 5)
  formulas <- list(
    Surv(tstart, tstop, status) ~ treat + age,
    Surv(tstart, tstop, status) ~ treat + age + sex + weight + height +
      strata(hos.cat),
    Surv(tstop, status) ~ treat * age + offset(weight / 100)
  )
  for (formula in formulas) for (ties in c("efron", "breslow")) {
    oracle <- refits(weights, person, formula, ties = ties)
    for (engine in engines_here()) {
      fit <- eval(rlang::call2("cox", formula, data = quote(cgd),
                               cluster = quote(id), ties = ties,
                               engine = engine))
      b <- bootstrap(fit, 5, seed = 3)
      expect_true(all(b$converged))
      # Engines agree on rows; coxph's centring costs digits.
      expect_equal(unname(b$coefficients), oracle$coefficients,
                   tolerance = 1e-8)
      expect_equal(b$loglik, oracle$loglik, tolerance = 1e-10)
    }
  }
})

test_that("methods agree between engines", {
  for (method in c("one_step", "influence")) for (engine in engines_here()) {
    fit <- cox(Surv(tstart, tstop, status) ~ treat + age + sex + weight +
                 height, cgd, cluster = id, engine = engine)
    b <- bootstrap(fit, 10, seed = 3, method = method)
    if (engine == engines_here()[1L]) first <- b
    expect_equal(b$coefficients, first$coefficients, tolerance = 1e-8)
    expect_true(all(is.na(b$loglik)))
  }
  # The infinitesimal jackknife is the robust variance.
  expect_equal(b$influence$squares, unname(fit$var), tolerance = 1e-8)
})

test_that("what is drawn: clusters, ids, rows", {
  unit <- function(...) {
    fit <- eval(rlang::expr(
      cox(Surv(tstart, tstop, status) ~ treat, cgd, engine = "reference",
          !!!rlang::enexprs(...))
    ))
    b <- bootstrap(fit, 2, seed = 1)
    c(b$unit, b$n_units)
  }
  expect_identical(unit(cluster = id), c("cluster", "128"))
  expect_identical(unit(id = id), c("id", "128"))
  expect_identical(unit(id = id, cluster = hos.cat), c("cluster", "4"))
  expect_identical(unit(), c("row", as.character(nrow(cgd))))
  # With x kept, or a formula that needs model.frame().
  expect_identical(unit(id = id, x = TRUE), c("id", "128"))
  by_frame <- cox(Surv(tstart, tstop, status) ~ treat + log(age), cgd,
                  cluster = id, subset = age > 5, engine = "reference")
  expect_identical(bootstrap(by_frame, 2, seed = 1)$n_units,
                   length(unique(cgd$id[cgd$age > 5])))
})

test_that("strata are those of the rows in use", {
  cgd$age[5] <- NA
  cgd$side <- cgd$center %in% levels(cgd$center)[1:6]
  used <- cgd$age > 5 & !is.na(cgd$age)
  person <- match(cgd$id[used], unique(cgd$id[used]))
  side <- cgd$side[used][!duplicated(person)]
  stratum <- match(side, unique(side))
  weights <- draw_weights(max(person), "multinomial", 9, 1, 3, stratum)
  for (engine in engines_here()) {
    fit <- cox(Surv(tstart, tstop, status) ~ treat + age, cgd, id = id,
               subset = age > 5, engine = engine)
    b <- bootstrap(fit, 3, seed = 9, strata = side)
    beta <- vapply(1:3, function(r) {
      w <- weights[r, person]
      coef(survival::coxph(Surv(tstart, tstop, status) ~ treat + age,
                           cgd[used, ][w > 0, ], weights = w[w > 0],
                           control = at_optimum))
    }, c(0, 0))
    expect_equal(unname(b$coefficients), unname(t(beta)), tolerance = 1e-8)
  }
})

test_that("case weights multiply, dropped columns stay dropped", {
  cgd$twice <- 2 * cgd$age
  weights <- draw_weights(nrow(cgd), "bayesian", 2, 1, 3)
  for (engine in engines_here()) {
    fit <- suppressWarnings(cox(Surv(tstart, tstop, status) ~ age + twice + sex,
                                cgd, weights = n, robust = FALSE,
                                engine = engine))
    b <- bootstrap(fit, 3, kind = "bayesian", seed = 2)
    beta <- vapply(1:3, function(r) {
      w <- weights[r, ] * cgd$n
      coef(survival::coxph(Surv(tstart, tstop, status) ~ age + sex, cgd,
                           weights = w, control = at_optimum))
    }, c(0, 0))
    expect_equal(unname(b$coefficients[, c(1, 3)]), unname(t(beta)),
                 tolerance = 1e-8)
    expect_true(all(is.na(b$coefficients[, 2])))
    expect_identical(is.na(confint(b)[, 1]), is.na(coef(fit)))
  }
})

test_that("a light fit, a file and threads give the same numbers", {
  for (engine in engines_here()) {
    fit <- cox(Surv(tstart, tstop, status) ~ treat + age, cgd, id = id,
               engine = engine)
    whole <- bootstrap(fit, 12, seed = 5)
    light <- cox(Surv(tstart, tstop, status) ~ treat + age, cgd, id = id,
                 engine = engine, light = TRUE)
    expect_identical(bootstrap(light, 12, seed = 5, data = cgd)$coefficients,
                     whole$coefficients)
    file <- withr::local_tempfile()
    bootstrap(fit, 5, seed = 5, file = file)
    expect_identical(bootstrap(fit, 12, file = file), whole)
    expect_error(bootstrap(fit, 12, file = file, data = cgd[-1, ]),
                 class = "vigitensor_error_data_changed")
    withr::with_options(list(vigitensor.threads = 2), {
      expect_identical(bootstrap(fit, 12, seed = 5), whole)
    })
    saved <- withr::local_tempfile()
    saveRDS(whole, saved)
    expect_lt(file.size(saved), 10000)
    expect_null(whole$fit$residuals)
    expect_s3_class(whole, c("bootstrap_cox", "bootstrap_fit"), exact = TRUE)
  }
})

test_that("replicates without an event are counted", {
  few <- data.frame(time = 1:12, status = c(0, 0, 1, 1, 1, rep(0, 7)),
                    x = c(0.3, 1, -1, 0.2, 2, 1, 0.5, -2, 1, 3, -1, 0.1))
  weights <- draw_weights(12, "multinomial", 1, 1, 100)
  for (engine in engines_here()) {
    fit <- cox(Surv(time, status) ~ x, few, engine = engine)
    expect_warning(b <- bootstrap(fit, 100, seed = 1),
                   class = "vigitensor_warning_replicates_failed")
    expect_identical(b$reason == "no_event", rowSums(weights[, 3:5]) == 0)
    expect_identical(sum(b$failures), sum(b$reason != "ok"))
  }
})

test_that("fits that cannot be resampled are refused", {
  expect_error(bootstrap(cox(Surv(tstart, tstop, status) ~ 1, cgd,
                             engine = "reference"), 2),
               class = "vigitensor_error_bootstrap_fit")
})
