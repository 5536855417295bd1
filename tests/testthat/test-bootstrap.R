# Bootstrap of wce(): against coxph on rows written out, replicate by replicate.

study <- random_study(301, n = 60)
fit <- resampled_fit()

test_that("replicates are coxph's fits with the drawn weights", {
  for (ties in c("efron", "breslow")) for (kind in c("multinomial",
                                                     "bayesian")) {
    weights <- draw_weights(60, kind, 5, 1, 4)
    oracle <- coxph_replicates(study, weights, ties = ties)
    for (engine in engines_here()) {
      fit <- resampled_fit(ties = ties, engine = engine)
      b <- bootstrap(fit, 4, kind = kind, seed = 5)
      expect_true(all(b$converged))
      # Both at the optimum: what Newton's last step leaves.
      expect_equal(unname(b$coefficients), oracle$coefficients,
                   tolerance = 1e-8)
      expect_equal(b$loglik, oracle$loglik, tolerance = 1e-10)
    }
  }
})

test_that("one step and influence start from the fit", {
  engines <- engines_here()
  # Kept for the rows with the fit's weights: the step is zero.
  for (engine in engines) {
    b <- lapply(c(fit = "fit", one = "one_step", influence = "influence"),
                function(method) {
                  bootstrap(fit, 60, seed = 2, method = method,
                            engine = engine)$coefficients
                })
    spread <- apply(b$fit, 2, sd)
    off <- function(x) colMeans(abs(x - b$fit)) / spread
    # Of order 1 / n and 1 / sqrt(n) standard errors.
    expect_true(all(off(b$one) < off(b$influence)))
    expect_true(all(off(b$one) < 0.25) && all(off(b$influence) < 0.6))
    if (engine == engines[1L]) first <- b
    expect_equal(b$one, first$one, tolerance = 1e-9)
    expect_equal(b$influence, first$influence, tolerance = 1e-9)
  }
})

test_that("the variance of influence replicates is the robust variance", {
  robust <- resampled_fit(robust = TRUE)
  b <- bootstrap(robust, 4000, seed = 3, method = "influence")
  # Exactly: counts have covariance I - 11'/n, and influences sum to zero.
  expect_equal(b$influence$squares, unname(robust$var), tolerance = 1e-9)
  # A variance from 4,000 replicates has a relative error of 2.2 %.
  expect_equal(sqrt(diag(vcov(b))), sqrt(diag(vcov(robust))),
               tolerance = 0.05)
})

test_that("numbers do not depend on times, chunks and threads", {
  skip_if_no_engine()
  fit <- resampled_fit(engine = "cpu")
  all_at_once <- bootstrap(fit, 21, seed = 8)
  few <- bootstrap(fit, 5, seed = 8)
  expect_identical(few$coefficients, all_at_once$coefficients[1:5, ])
  for (threads in 1:2) {
    withr::local_options(vigitensor.threads = threads)
    expect_identical(bootstrap(fit, 21, seed = 8)$coefficients,
                     all_at_once$coefficients)
  }
  # 8, 13 in the bootstrap; here one by one.
  task <- list(bytes = 1e9, run = function(first, count) {
    expect_identical(as.double(count), 1)
    list(coefficients = matrix(first, count, 1), loglik = 0, reason = "ok")
  })
  expect_identical(run_replicates(task, 5)$coefficients[, 1], as.double(1:5))
})

test_that("clusters and strata are drawn as wholes", {
  study$people$ward <- letters[1 + study$people$person_id %% 12]
  study$people$side <- study$people$ward %in% letters[1:4]
  formula <- Surv(entry, exit, event) ~ sex + age + exposure("a") +
    cluster(ward)
  # In the order in which they appear.
  wards <- unique(study$people$ward)
  ward <- match(letters[1 + seq_len(60) %% 12], wards)
  side <- wards %in% letters[1:4]
  stratum <- match(side, unique(side))
  weights <- draw_weights(12, "multinomial", 6, 1, 3, stratum)[, ward]
  oracle <- coxph_replicates(study, weights)
  for (engine in engines_here()) {
    fit <- resampled_fit(formula = formula, engine = engine)
    b <- bootstrap(fit, 3, seed = 6, strata = side, data = study$people,
                   records = study$records)
    expect_identical(b$n_units, 12L)
    expect_equal(unname(b$coefficients), oracle$coefficients,
                 tolerance = 1e-8)
    by_name <- "side"
    same <- bootstrap(fit, 3, seed = 6, strata = by_name, data = study$people)
    expect_identical(same$coefficients, b$coefficients)
  }
  expect_output(print(b), "12 clusters of `ward` within strata of `side`",
                fixed = TRUE)
})

test_that("reselection takes the best of the grid in every replicate", {
  weights <- draw_weights(60, "multinomial", 4, 1, 8)
  found <- lapply(0:2, function(k) coxph_replicates(study, weights, k))
  for (engine in engines_here()) for (criterion in c("aic", "bic")) {
    fit <- resampled_fit(nknots = 0:2, criterion = criterion,
                         engine = engine)
    b <- bootstrap(fit, 8, seed = 4, reselect = TRUE)
    price <- if (criterion == "aic") 2 else log(sum(study$people$event))
    value <- vapply(1:3, function(g) {
      -2 * found[[g]]$loglik + price * ncol(found[[g]]$coefficients)
    }, numeric(8))
    best <- apply(value, 1, which.min)
    expect_identical(b$row, best)
    for (r in 1:8) {
      beta <- found[[best[r]]]$coefficients[r, ]
      expect_equal(unname(b$coefficients[r, seq_along(beta)]), beta,
                   tolerance = 1e-8)
      expect_true(all(is.na(b$coefficients[r, -seq_along(beta)])))
    }
    expect_identical(names(coef(b)), c("sexm", "age"))
    expect_error(confint(b, "exposure(\"a\")1"),
                 class = "vigitensor_error_parm")
  }
  expect_error(bootstrap(fit, 8, reselect = TRUE, method = "one_step"),
               class = "vigitensor_error_reselect")
})

test_that("replicates that cannot be fitted are counted, not used", {
  # Two people with events have the rare level, and nobody else: events in the
  # middle, with risk sets before that tell of the level.
  dead <- with(study$people[study$people$event == 1, ], {
    person_id[order(exit)][length(exit) / 2 + 1:2]
  })
  study$people$rare <- as.integer(study$people$person_id %in% dead)
  formula <- Surv(entry, exit, event) ~ rare + exposure("a")
  weights <- draw_weights(60, "multinomial", 1, 1, 30)
  lost <- rowSums(weights[, dead]) == 0
  expect_gt(sum(lost), 1)
  for (engine in engines_here()) {
    fit <- resampled_fit(formula = formula, nknots = 0, engine = engine)
    expect_warning(b <- bootstrap(fit, 30, seed = 1),
                   class = "vigitensor_warning_replicates_failed")
    expect_identical(b$reason != "ok", lost)
    expect_identical(b$reason[lost], rep("collinear", sum(lost)))
    expect_identical(b$failures, c(collinear = sum(lost)))
    expect_true(all(is.na(b$coefficients[lost, ])))
    expect_equal(confint(b, "rare")[1, ], quantile(
      b$coefficients[!lost, "rare"], c(0.025, 0.975), type = 6
    ), ignore_attr = TRUE)
    expect_output(print(b), "a column is collinear")
    expect_silent(bootstrap(fit, 30, seed = 1, kind = "bayesian"))
  }
})

test_that("a shape is kept in every replicate", {
  for (engine in engines_here()) {
    fit <- resampled_fit(engine = engine, shape = "nonnegative",
                         nknots = 1)
    b <- bootstrap(fit, 5, seed = 3)
    w <- b$coefficients[, fit$exposures[[1]]$index] %*%
      t(plain_basis(fit$exposures[[1]]))
    expect_gte(min(w), -1e-9)
    if (engine == engines_here()[1L]) first <- b
    expect_equal(b$coefficients, first$coefficients, tolerance = 1e-7)
    expect_error(bootstrap(fit, 5, method = "influence"),
                 class = "vigitensor_error_shape")
  }
})

test_that("the result survives saveRDS and holds nothing of patients", {
  b <- bootstrap(fit, 6, seed = 1)
  file <- withr::local_tempfile()
  saveRDS(b, file)
  expect_identical(readRDS(file), b)
  expect_lt(file.size(file), 60000)
  expect_s3_class(b, c("bootstrap_wce", "bootstrap_fit"), exact = TRUE)
  expect_snapshot(print(b), cran = TRUE)
})

test_that("the seed may be left to R's random numbers", {
  set.seed(3)
  one <- bootstrap(fit, 3)
  set.seed(3)
  expect_identical(bootstrap(fit, 3)$seed, one$seed)
  expect_identical(bootstrap(fit, 3, seed = one$seed)$coefficients,
                   one$coefficients)
})

test_that("bad arguments are refused", {
  bad <- list(
    times = list(times = 0), times = list(times = 2.5),
    kind = list(kind = "poisson"), method = list(method = "jackknife"),
    seed = list(seed = -1), seed = list(seed = 2^54), seed = list(seed = "a"),
    reselect = list(reselect = NA), progress = list(progress = "yes"),
    unknown_argument = list(tims = 3), engine_name = list(engine = "abacus"),
    data_type = list(data = 1), data_changed = list(data = study$people[-1, ])
  )
  for (k in seq_along(bad)) {
    arguments <- list(fit = fit, times = 2, data = study$people,
                      records = study$records)
    arguments[names(bad[[k]])] <- bad[[k]]
    expect_error(do.call(bootstrap, arguments),
                 class = paste0("vigitensor_error_", names(bad)[k]))
  }
  expect_error(bootstrap(1), class = "vigitensor_error_input")
  study$people$varies <- seq_len(nrow(study$people))
  study$people$holed <- replace(study$people$person_id, 1, NA)
  e <- expect_error(bootstrap(fit, 2, strata = varies, data = study$people),
                    class = "vigitensor_error_strata")
  expect_gt(length(e$rows), 0)
  e <- expect_error(bootstrap(fit, 2, strata = holed, data = study$people),
                    class = "vigitensor_error_strata")
  expect_identical(e$rows, 1L)
  expect_error(bootstrap(fit, 2, strata = nowhere),
               class = "vigitensor_error_strata")
})
