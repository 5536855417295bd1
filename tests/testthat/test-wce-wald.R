# Wald tests of weight functions, against their formulas and simulation.

test_that("the tail of a weighted sum of chi-squared variables", {
  # Equal weights are a scaled chi-squared variable, exactly.
  expect_equal(weighted_chisq_tail(9, rep(1.5, 4)),
               pchisq(6, 4, lower.tail = FALSE), tolerance = 1e-10)
  expect_equal(weighted_chisq_tail(3, 1), pchisq(3, 1, lower.tail = FALSE),
               tolerance = 1e-10)
  # The approximation is good to a twentieth of the level here.
  withr::local_seed(1)
  weights <- c(1, 0.8, 0.3, 0.05, 0.01)
  drawn <- colSums(weights * matrix(rchisq(5 * 4e5, 1), 5))
  for (level in c(0.5, 0.1, 0.05, 0.01)) {
    x <- unname(quantile(drawn, 1 - level))
    expect_equal(weighted_chisq_tail(x, weights), level, tolerance = 0.05)
  }
})

test_that("without a penalty the test is the plain one", {
  withr::local_seed(2)
  v <- crossprod(matrix(rnorm(30), 10))
  gap <- rnorm(3)
  found <- weighted_wald(gap, v, v)
  expect_equal(found$statistic, drop(gap %*% solve(v, gap)))
  expect_equal(found$df, 3)
  expect_equal(found$p, pchisq(found$statistic, 3, lower.tail = FALSE),
               tolerance = 1e-8)
})

test_that("any terms with one basis are compared", {
  study <- random_study(34, n = 80L, drugs = 2L)
  fit <- wce(Surv(entry, exit, event) ~ sex + exposure("a") + exposure("b"),
             data = study$people, id = person_id, records = study$records,
             cutoff = 20, nknots = 0, constrained = "right",
             engine = "reference")
  found <- equal_weights(fit, c("a", "b"))
  gap <- coef(fit)[2:3] - coef(fit)[4:5]
  v <- fit$var[2:3, 2:3] + fit$var[4:5, 4:5] - fit$var[2:3, 4:5] -
    fit$var[4:5, 2:3]
  expect_equal(unname(found$statistic), drop(gap %*% solve(v, gap)),
               tolerance = 1e-8)
  expect_equal(equal_weights(fit, 1:2)$p.value, found$p.value)
  expect_match(found$data.name, "\"a\") and ")
  expect_error(equal_weights(fit), class = "vigitensor_error_unknown_term")
  uneven <- wce(Surv(entry, exit, event) ~ exposure("a") +
                  exposure("b", cutoff = 15),
                data = study$people, id = person_id, records = study$records,
                cutoff = 20, nknots = 0, engine = "reference")
  expect_error(equal_weights(uneven, c("a", "b")),
               class = "vigitensor_error_several_terms")
})

test_that("a penalised fit is tested as if it had hardly any penalty", {
  # With all degrees of freedom on the tested terms, and next to no penalty in
  # the fit, it is the plain test of the plain fit.
  study <- surface_study(6)
  formula <- Surv(entry, exit, event) ~ sex + exposure("a", by = sex)
  plain <- smooth_fit(study, "none", nknots = 0, formula = formula)
  light <- smooth_fit(study, wce_smooth(lambda = rep(1e-9, 4)), nknots = 0,
                      formula = formula)
  expect_equal(equal_weights(light, df = 4), equal_weights(plain),
               tolerance = 1e-4)
  expect_equal(zero_weights(light, 1, df = 4)$p.value,
               zero_weights(plain, 1)$p.value, tolerance = 1e-4)
  # The degrees of freedom are those asked for, whatever the fit's penalty.
  for (lambda in c(1e-3, 1e6)) {
    fit <- smooth_fit(study, wce_smooth(lambda = rep(lambda, 4)),
                      formula = formula)
    index <- lapply(fit$exposures, `[[`, "index")
    info <- fit$smoothing$info
    theta <- fit$smoothing$theta
    theta[index[[1L]]] <- theta_of_df(fit, index[[1L]], info, theta, 3)
    edf <- diag(solve(info + diag(theta), tol = 1e-30) %*% info)
    expect_equal(sum(edf[index[[1L]]]), 3, tolerance = 1e-4)
  }
  found <- equal_weights(fit)
  expect_true(found$p.value > 0 && found$p.value <= 1)
  expect_lt(unname(found$parameter), length(index[[1L]]))
  robust <- smooth_fit(study, robust = TRUE, formula = formula)
  expect_error(equal_weights(robust), class = "vigitensor_error_smooth")
})

test_that("a surface is tested as a whole", {
  surface <- smooth_fit(surface_study(5), formula = surface_formula(),
                        cutoff = 12, nknots = 1)
  whole <- zero_weights(surface, "exposure(\"a\")")
  expect_identical(whole$data.name, "exposure(\"a\")")
  expect_lt(whole$p.value, 0.05)
})

# Two drugs without interaction, and groups without a difference.
null_study <- function(seed, n, days = 200L, m = 60L) {
  withr::with_seed(seed, {
    spells <- lapply(c("a", "b"), function(drug) {
      spell <- expand.grid(start = seq(0L, days - 20L, 20L),
                           person_id = seq_len(n))
      spell <- spell[stats::runif(nrow(spell)) < 0.4, ]
      spell$stop <- spell$start + sample(8:20, nrow(spell), TRUE)
      spell$dose <- sample(c(0.5, 1, 2), nrow(spell), TRUE)
      spell$drug <- rep(drug, nrow(spell))
      spell
    })
    effect <- lapply(spells, function(r) {
      unit <- matrix(0, days + m, n)
      at <- cbind(sequence(r$stop - r$start, m + r$start + 1L),
                  rep(r$person_id, r$stop - r$start))
      unit[at] <- rep(r$dose, r$stop - r$start)
      weighted <- stats::filter(as.vector(unit), 0.04 * exp(-seq_len(m) / 12),
                                sides = 1)
      t(matrix(weighted, days + m)[-seq_len(m), ])
    })
    hazard <- 0.003 * exp(effect[[1L]] + effect[[2L]])
    dies <- matrix(stats::runif(n * days), n) < hazard
    first <- max.col(cbind(dies, TRUE), "first")
    people <- data.frame(person_id = seq_len(n), entry = 0,
                         exit = pmin(first, days),
                         event = as.integer(first <= days),
                         group = stats::rbinom(n, 1, 0.35))
    list(people = people, records = do.call(rbind, spells))
  })
}

test_that("the tests of a penalised fit keep their level", {
  skip_if_no_engine()
  n_studies <- if (in_full()) 300L else 6L
  p <- vapply(seq_len(n_studies), function(seed) {
    study <- null_study(seed, n = 400L)
    joint <- smooth_fit(study, cutoff = 60, engine = "cpu", formula =
                          Surv(entry, exit, event) ~ exposure("a") +
                          exposure("b") +
                          exposure("a", with = "b", within = 0))
    group <- smooth_fit(study, cutoff = 60, engine = "cpu", formula =
                          Surv(entry, exit, event) ~ group +
                          exposure("a", by = group))
    c(zero_weights(joint, 3)$p.value, equal_weights(group)$p.value)
  }, numeric(2L))
  for (level in c(0.05, 0.2)) {
    # What a valid test exceeds once in ten thousand runs.
    most <- stats::qbinom(1 - 1e-4, n_studies, level)
    expect_lte(max(rowSums(p < level)), most)
  }
})
