# Robust variance, recurrent events and strata that change, against coxph.

robust_fit <- function(study, ..., formula = NULL, nknots = 1,
                       engine = "reference") {
  suppressWarnings(
    wce(formula %||% (Surv(entry, exit, event) ~ sex + age + exposure("a")),
        data = study$people, id = person_id, records = study$records,
        cutoff = 20, nknots = nknots, engine = engine, ...),
    classes = "vigitensor_warning"
  )
}

# Several events per person: rows go on after an event.
recurrent_study <- function(seed) {
  study <- random_study(seed, rows_per_person = 2:5)
  study$people$event <- withr::with_seed(seed, {
    rbinom(nrow(study$people), 1, 0.5)
  })
  study$people$hospital <- letters[1 + study$people$person_id %% 7]
  study$people$w <- 1 + study$people$person_id %% 3
  study
}

robust_oracle <- function(study, unit, weights = NULL, ties = "efron",
                          formula = y ~ sex + age + feature) {
  table <- wce_basis(20, wce_knots(20, 1))
  pieces <- oracle_rows(study$people, study$records,
                        function(lags) table[lags, , drop = FALSE])
  pieces$group <- unit[pieces$row]
  pieces$case_weight <- (weights %||% rep(1, nrow(study$people)))[pieces$row]
  pieces$y <- with(pieces, survival::Surv(entry, exit, event))
  survival::coxph(formula, pieces, weights = case_weight, cluster = group,
                  ties = ties, control = at_optimum)
}

same_robust <- function(fit, oracle) {
  expect_equal(unname(coef(fit)), unname(coef(oracle)), tolerance = 1e-8)
  expect_equal(fit$loglik, oracle$loglik, tolerance = 1e-10)
  expect_equal(unname(fit$naive.var), unname(oracle$naive.var),
               tolerance = 1e-7)
  expect_equal(unname(fit$var), unname(oracle$var), tolerance = 1e-7)
}

test_that("robust variances by person are those of coxph", {
  study <- recurrent_study(71)
  for (ties in c("efron", "breslow")) for (engine in engines_here()) {
    fit <- robust_fit(study, ties = ties, robust = TRUE, engine = engine)
    same_robust(fit, robust_oracle(study, study$people$person_id, ties = ties))
    weighted <- robust_fit(study, ties = ties, engine = engine, weights = w)
    same_robust(weighted, robust_oracle(study, study$people$person_id,
                                        study$people$w, ties = ties))
  }
})

test_that("cluster() makes groups of people", {
  study <- recurrent_study(72)
  by_hospital <- Surv(entry, exit, event) ~ sex + cluster(hospital) + age +
    exposure("a")
  for (engine in engines_here()) {
    fit <- robust_fit(study, formula = by_hospital, engine = engine)
    same_robust(fit, robust_oracle(study, study$people$hospital))
  }
  expect_output(print(fit), "7 clusters of `hospital`", fixed = TRUE)
  spelt <- Surv(entry, exit, event) ~ sex + age + exposure("a") +
    survival::cluster(hospital)
  expect_equal(robust_fit(study, formula = spelt)$var, fit$var,
               tolerance = 1e-9)
  dot <- robust_fit(study, nknots = 0, formula = Surv(entry, exit, event) ~ . +
                      exposure("a") + cluster(hospital))
  expect_false(any(grepl("hospital", names(coef(dot)))))
})

test_that("`robust` is decided as in coxph", {
  study <- recurrent_study(73)
  expect_false(is.null(robust_fit(study)$naive.var))
  expect_null(robust_fit(study, robust = FALSE)$naive.var)
  once <- random_study(73)
  once$people$w <- 1 + once$people$person_id %% 2
  expect_null(robust_fit(once)$naive.var)
  expect_null(robust_fit(once, weights = w)$naive.var)
  expect_false(is.null(robust_fit(once, weights = w / 3)$naive.var))
  expect_error(robust_fit(once, robust = "yes"),
               class = "vigitensor_error_robust")
  expect_warning(
    wce(Surv(entry, exit, event) ~ cluster(region) + exposure("a"),
        data = once$people, id = person_id, records = once$records,
        cutoff = 20, nknots = 0, engine = "reference", robust = FALSE),
    class = "vigitensor_warning_cluster_ignored"
  )
})

test_that("summaries show both standard errors", {
  study <- recurrent_study(74)
  fit <- robust_fit(study, nknots = 0:1)
  table <- coef(summary(fit))
  expect_identical(colnames(table), c("coef", "exp(coef)", "se(coef)",
                                      "robust se", "z", "Pr(>|z|)"))
  expect_equal(table[, "z"], coef(fit) / sqrt(diag(fit$var)))
  expect_equal(table[, "se(coef)"], sqrt(diag(fit$naive.var)))
  expect_equal(vcov(fit), fit$var)
  expect_output(print(summary(fit)), "robust se")
  expect_output(print(fit), "Robust standard errors: 40 people", fixed = TRUE)
  # Every fit of a grid has its own.
  other <- refit(fit, setdiff(0:1, fit$exposures[[1]]$nknots))
  expect_equal(dim(other$var), dim(other$naive.var))
  skip_if_not_installed("generics")
  tidied <- generics::tidy(fit, conf.int = TRUE)
  expect_equal(tidied$robust.se, unname(sqrt(diag(fit$var))))
  expect_equal(tidied$conf.high - tidied$estimate,
               qnorm(0.975) * tidied$robust.se)
})

test_that("residuals by person and by row add up to the score", {
  study <- recurrent_study(75)
  defaults <- list(cutoff = 20, nknots = 1, lag_in = 0, constrained = FALSE,
                   shape = "free", order = 4, basis = "clamped")
  design <- wce_design(
    split_formula(Surv(entry, exit, event) ~ sex + exposure("a")),
    study$people, "person_id", study$records, defaults
  )
  table <- list(wce_cumulate(wce_basis(20, wce_knots(20, 1))))
  beta <- c(0.3, 0.2, -0.1, 0.05, 0.1, 0)
  for (engine in engines_here()) for (by in c("subject", "row")) {
    found <- wce_scores_impl(design$rows, design$terms, table, beta,
                             engine = engine, by = by)
    expect_equal(nrow(found$score), if (by == "row") nrow(study$people) else 40)
    expect_equal(sum(found$martingale), 0, tolerance = 1e-9)
    if (engine == "reference" && by == "subject") first <- found
    if (by == "subject") expect_equal(found, first, tolerance = 1e-9)
  }
})

test_that("a cluster holds whole people, one value per row", {
  study <- recurrent_study(76)
  fault <- function(change, code) {
    study$people$hospital <- change(study$people$hospital)
    expect_error(
      robust_fit(study, formula = Surv(entry, exit, event) ~ exposure("a") +
                   cluster(hospital)),
      class = paste0("vigitensor_error_", code)
    )
  }
  second <- which(duplicated(study$people$person_id))[1L]
  e <- fault(function(x) replace(x, second, "z"), "cluster")
  expect_identical(e$rows$cluster, second)
  fault(function(x) replace(x, 2, NA), "missing_values")
  expect_error(
    robust_fit(study, formula = Surv(entry, exit, event) ~ exposure("a") +
                 cluster(nowhere)),
    class = "vigitensor_error_missing_column"
  )
  expect_error(
    robust_fit(study, formula = Surv(entry, exit, event) ~
                 cluster(hospital) * sex + exposure("a")),
    class = "vigitensor_error_formula"
  )
})

test_that("recurrent events and strata that change are those of coxph", {
  study <- recurrent_study(77)
  study$people$ward <- withr::with_seed(1, {
    sample(c("u", "v"), nrow(study$people), replace = TRUE)
  })
  oracle <- robust_oracle(study, study$people$person_id, formula =
                            y ~ sex + age + feature + strata(ward))
  for (engine in engines_here()) {
    fit <- robust_fit(study, engine = engine, formula =
                        Surv(entry, exit, event) ~ sex + age + exposure("a") +
                        strata(ward))
    same_robust(fit, oracle)
    expect_identical(fit$nevent, sum(study$people$event))
  }
  # The same from unit rows, whose history begins with the first row.
  units <- to_unit_rows(study$people, study$records)
  ends <- paste(study$people$person_id, study$people$exit)
  at <- match(paste(units$person_id, units$exit), ends)
  units$event <- ifelse(is.na(at), 0L, study$people$event[at])
  own <- data.frame(person_id = units$person_id, drug = "a",
                    start = units$entry, stop = units$exit, dose = units$dose)
  from_rows <- robust_fit(list(people = units, records = NULL), formula =
                            Surv(entry, exit, event) ~ sex + age +
                            exposure(dose) + strata(ward))
  from_records <- robust_fit(list(people = study$people, records = own),
                             formula = Surv(entry, exit, event) ~ sex + age +
                               exposure("a") + strata(ward))
  expect_equal(unname(coef(from_rows)), unname(coef(from_records)),
               tolerance = 1e-9)
  expect_equal(unname(from_rows$var), unname(from_records$var),
               tolerance = 1e-8)
})

test_that("a robust variance stays on the face of a shape", {
  study <- recurrent_study(78)
  fit <- robust_fit(study, shape = c("nonnegative", "decreasing"))
  held <- shape_matrix(5, FALSE, 4, c("nonnegative", "decreasing"))
  held <- held[fit$active, , drop = FALSE]
  expect_gt(nrow(held), 0)
  expect_lt(max(abs(held %*% fit$var[-(1:2), -(1:2)])), 1e-12)
})
