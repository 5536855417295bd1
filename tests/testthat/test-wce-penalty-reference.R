# Penalised fits: the reference and the engines, and replicates of them.

test_that("engines agree", {
  skip_if_no_engine()
  for (seed in 1:2) {
    study <- random_study(seed, n = 40L, drugs = 2L)
    for (smooth in c("reml", "aic")) {
      fit <- function(engine) {
        smooth_fit(study, smooth, engine = engine, formula =
                     Surv(entry, exit, event) ~ sex + strata(region) +
                     exposure("a") + exposure("b", constrained = "right"))
      }
      one <- fit("reference")
      for (engine in setdiff(engines_here(), "reference")) {
        other <- fit(engine)
        expect_equal(other$loglik, one$loglik, tolerance = 1e-9)
        expect_equal(other$df, one$df, tolerance = 1e-6)
        curves <- lapply(list(one, other), weight_function)
        expect_equal(curves[[2L]]$weight, curves[[1L]]$weight,
                     tolerance = 1e-6)
        expect_equal(curves[[2L]]$se, curves[[1L]]$se, tolerance = 1e-5)
      }
    }
  }
})

test_that("replicates keep lambda, or choose it anew", {
  study <- random_study(7, n = 50L)
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + exposure("a"), data = study$people,
        id = person_id, records = study$records, cutoff = 15,
        smooth = "reml", engine = one_engine()),
    classes = "vigitensor_warning"
  )
  again <- function(weights, smooth) {
    study$people$drawn <- weights[study$people$person_id]
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + exposure("a"),
          data = study$people, id = person_id, records = study$records,
          cutoff = 15, weights = drawn, robust = FALSE,
          engine = one_engine(), smooth = smooth),
      classes = "vigitensor_warning"
    )
  }
  weights <- draw_weights(50L, "bayesian", 4, 1, 3)
  for (reselect in c(FALSE, TRUE)) {
    drawn <- bootstrap(fit, 3, kind = "bayesian", seed = 4,
                       reselect = reselect, progress = FALSE)
    expect_true(all(drawn$converged))
    smooth <- if (reselect) "reml" else {
      wce_smooth(lambda = fit$smoothing$lambda)
    }
    for (k in 1:3) {
      one <- again(weights[k, ], smooth)
      expect_equal(unname(drawn$coefficients[k, ]), unname(coef(one)),
                   tolerance = 1e-5)
    }
    expect_s3_class(weight_function(drawn), "weight_function")
    words <- paste(utils::capture.output(print(drawn)), collapse = " ")
    expect_identical(grepl("Smoothing parameters chosen anew", words), reselect)
  }
  if (!engine_available()) skip("engines are compared with one another")
  for (method in c("fit", "one_step", "influence")) {
    found <- lapply(c("reference", "cpu"), function(engine) {
      bootstrap(fit, 2, seed = 4, method = method, engine = engine,
                progress = FALSE)$coefficients
    })
    expect_equal(found[[2L]], found[[1L]], tolerance = 1e-5)
  }
})
