# wce_sparse() against other programs, other engines and itself.

small <- local({
  effects <- c(a = log(6), b = 0, c = 0, d = 0)
  simulate_wce(150, days = 150, log_hr = effects, cutoff = 60, users = 0.4,
               hazard = 3e-3, seed = 1)
})
fit_small <- function(..., sim = small, engine = "cpu", folds = 0) {
  wce_sparse(Surv(entry, exit, event) ~ sex, data = sim$people,
             id = person_id, records = sim$records, cutoff = 60, nknots = 0,
             constrained = "right", engine = engine, folds = folds, ...)
}

test_that("glmnet's Cox lasso is the case of one column a drug", {
  skip_if_no_engine()
  golden <- utils::read.csv(golden_path("golden-sparse.csv"))
  effects <- c(a = log(4), b = log(0.4), c = 0, d = 0, e = 0)
  sim <- simulate_wce(250, days = 150, log_hr = effects,
                      weights = rep(1 / 60, 60), users = 0.4, hazard = 3e-3,
                      seed = 11)
  fit <- wce_sparse(
    Surv(entry, exit, event) ~ sex + age, data = sim$people, id = person_id,
    records = sim$records, cutoff = 60, nknots = 0, order = 1,
    constrained = FALSE, lambda = unique(golden$lambda), folds = 0,
    ties = "breslow", tol = 1e-9, engine = "cpu"
  )
  # glmnet was asked for its utmost, which is about 1e-7 of a standard error.
  expect_equal(as.vector(t(fit$beta)), golden$coef, tolerance = 1e-5)
  expect_identical(as.vector(t(fit$beta[, -(1:2)])) == 0,
                   golden$coef[!golden$term %in% c("sex", "age")] == 0)
})

test_that("both engines give one path, one cross-validation, one step", {
  skip_if_no_engine()
  both <- lapply(c("cpu", "reference"), function(engine) {
    fit_small(lambda = c(5, 2, 0.7), folds = 2, tol = 1e-9, engine = engine)
  })
  expect_equal(both[[1L]]$beta, both[[2L]]$beta, tolerance = 1e-7)
  same <- c("loglik", "cv", "one_step", "drugs", "lambda.min", "lambda.1se")
  expect_equal(both[[1L]][same], both[[2L]][same], tolerance = 1e-6)
  for (within in c("fused", "sparse")) {
    both <- lapply(c("cpu", "reference"), function(engine) {
      fit_small(lambda = 1, alpha = 0.5, within = within, tol = 1e-9,
                engine = engine)
    })
    expect_equal(both[[1L]]$beta, both[[2L]]$beta, tolerance = 1e-7)
    expect_equal(both[[1L]]$drugs$enters, both[[2L]]$drugs$enters,
                 tolerance = 1e-7)
  }
})

test_that("without a penalty it is wce() with all drugs as terms", {
  skip_if_no_engine()
  effects <- c(a = log(2), b = 0, c = 0)
  sim <- simulate_wce(600, days = 200, log_hr = effects, cutoff = 60,
                      users = 0.6, hazard = 3e-3, late_entry = 0.3, strata = 2,
                      seed = 4)
  fit <- wce_sparse(
    Surv(entry, exit, event) ~ sex + strata(stratum), data = sim$people,
    id = person_id, records = sim$records, cutoff = 60, nknots = 1,
    lag_in = 2, lambda = c(1, 0), folds = 0, tol = 1e-9, engine = "cpu"
  )
  full <- wce(
    Surv(entry, exit, event) ~ sex + strata(stratum) + exposure("a") +
      exposure("b") + exposure("c"), data = sim$people, id = person_id,
    records = sim$records, cutoff = 60, nknots = 1, constrained = "right",
    lag_in = 2, engine = "cpu"
  )
  # A millionth of a standard error.
  se <- sqrt(diag(full$var))
  expect_lt(max(abs(fit$beta[2L, ] - coef(full)) / se), 1e-6)
  expect_equal(fit$loglik[2L], full$loglik[2L], tolerance = 1e-12)
  # From there a step goes nowhere, and says what vcov() says.
  expect_lt(max(abs(fit$one_step$coefficients - coef(full)) / se), 1e-6)
  expect_equal(weight_function(fit, "b")$se,
               weight_function(full, "b")$se, tolerance = 1e-6)
  profile <- list(rep(1, 20), c(0, 0, 0, rep(2, 30)))
  expect_equal(hazard_ratio(fit, profile, drug = "c"),
               hazard_ratio(full, profile, term = "c"), tolerance = 1e-6,
               ignore_attr = TRUE)
})

test_that("lambda at which a drug comes in is its score test", {
  skip_if_no_engine()
  fit <- fit_small(n_lambda = 4)
  # coxph() on everybody at every event time, doses written out lag by lag.
  at_risk <- survival::survSplit(
    Surv(entry, exit, event) ~ person_id + sex, small$people,
    cut = sort(unique(small$people$exit[small$people$event == 1]))
  )
  book <- small$records[small$records$drug == "a", ]
  features <- t(mapply(function(id, t) {
    own <- book[book$person_id == id, ]
    day <- t - seq_len(60)
    dose <- vapply(day, function(d) {
      sum(own$dose[own$start <= d & own$stop > d])
    }, 0)
    drop(dose %*% fit$basis$basis_matrix)
  }, at_risk$person_id, at_risk$exit))
  sex <- survival::coxph(Surv(entry, exit, event) ~ sex, at_risk)
  both <- survival::coxph(
    Surv(entry, exit, event) ~ sex + features, at_risk,
    init = c(coef(sex), 0, 0),
    control = survival::coxph.control(iter.max = 0)
  )
  expect_equal(fit$drugs$enters[1L]^2 * 2, both$score, tolerance = 1e-7)
  expect_equal(max(fit$lambda), max(fit$drugs$enters))
  none <- fit_small(lambda = max(fit$drugs$enters) * (1 + 1e-9))
  expect_identical(selected_drugs(none), character())
  first <- fit_small(lambda = max(fit$drugs$enters) * (1 - 1e-6))
  expect_identical(selected_drugs(first), "a")
})

test_that("units of doses, orders and labels change nothing", {
  skip_if_no_engine()
  fit <- fit_small(lambda = c(3, 1), alpha = 0.3, tol = 1e-9)
  other <- small
  factors <- c(a = 1e-3, b = 500, c = 1, d = 7)
  other$records$dose <- other$records$dose * factors[other$records$drug]
  shuffle <- function(x) x[with_random_seed(2, sample.int(nrow(x))), ]
  other$records <- shuffle(other$records)
  other$people <- shuffle(other$people)
  new <- c(a = "z", b = "b", c = "y", d = "a")
  other$records$drug <- factor(new[other$records$drug])
  other$people$person_id <- paste0("p", 2 * other$people$person_id)
  other$records$person_id <- paste0("p", 2 * other$records$person_id)
  again <- fit_small(lambda = c(3, 1), alpha = 0.3, tol = 1e-9, sim = other)
  expect_identical(again$drugs$drug, sort(unname(new)))
  for (d in names(new)) {
    expect_equal(coef(again, 1, drug = new[[d]])[, 1L] * factors[[d]],
                 coef(fit, 1, drug = d)[, 1L], tolerance = 1e-7)
  }
  expect_equal(again$drugs$enters[match(new, again$drugs$drug)],
               fit$drugs$enters, tolerance = 1e-8)
  expect_equal(again$loglik, fit$loglik, tolerance = 1e-10)
})

test_that("folds go on from a file, and a file of others is refused", {
  skip_if_no_engine()
  file <- withr::local_tempfile(fileext = ".rds")
  whole <- fit_small(n_lambda = 5, folds = 3, file = file)
  kept <- readRDS(file)
  expect_length(kept$folds, 3L)
  kept$folds <- kept$folds[1L]
  saveRDS(kept, file)
  same <- setdiff(names(whole), "call")
  expect_equal(fit_small(n_lambda = 5, folds = 3, file = file)[same],
               whole[same])
  expect_error(fit_small(n_lambda = 5, folds = 3, seed = 2, file = file),
               class = "vigitensor_error_sparse_file")
})

test_that("folds have events each; the two rules are what they say", {
  skip_if_no_engine()
  # Values against the reference are above, against dense sums in the engine's
  # own tests.
  fold <- fold_of(150, 4, 1, list(
    subject = small$people$person_id, event = small$people$event
  ))
  expect_true(all(abs(table(fold) - 150 / 4) < 2))
  expect_true(all(tapply(small$people$event, fold, sum) >= 14))
  fit <- fit_small(n_lambda = 6, folds = 4, lambda_min = 0.5)
  expect_equal(fit$cv$cvl[1L], 0)
  best <- which.max(fit$cv$cvl)
  expect_identical(fit$lambda.min, fit$lambda[best])
  near <- fit$cv$cvl >= fit$cv$cvl[best] - fit$cv$se[best]
  expect_identical(fit$lambda.1se, max(fit$lambda[near]))
})

test_that("what can be asked of a fit is answered", {
  skip_if_no_engine()
  fit <- fit_small(n_lambda = 6, folds = 3, lambda_min = 0.5)
  expect_output(print(fit), "4 drugs")
  expect_output(print(summary(fit)), "adjusted")
  expect_identical(nrow(summary(fit, 0.5)$table),
                   length(selected_drugs(fit, 0.5)))
  expect_identical(nrow(generics::tidy(fit)), 4L)
  expect_identical(nrow(generics::glance(fit)), 1L)
  expect_length(coef(fit), 1L + 4L * 2L)
  expect_identical(colnames(coef(fit, drug = c("d", "a"))), c("d", "a"))
  expect_s3_class(weight_function(fit, "a"), "weight_function")
  penalised <- weight_function(fit, "a", type = "penalised")
  expect_true(all(is.na(penalised$se[1:50])))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_identical(names(plot(fit)), c("drug", "lambda", "log_hr"))
  expect_identical(plot(fit, "cv"), fit$cv)
  expect_warning(again <- refit(fit, lambda = "min", data = small$people,
                                records = small$records),
                 class = "vigitensor_warning_selected")
  expect_s3_class(again, "wce")
  expect_length(again$exposures, length(selected_drugs(fit, "min")))
})

test_that("what cannot be used is refused", {
  expect_error(fit_small(engine = "torch"),
               class = "vigitensor_error_unsupported_engine")
  expect_error(fit_small(alpha = 1, engine = "reference"),
               class = "vigitensor_error_alpha")
  expect_error(fit_small(folds = 1, engine = "reference"),
               class = "vigitensor_error_folds")
  expect_error(fit_small(drug = "atc", engine = "reference"),
               class = "vigitensor_error_missing_column")
  expect_error(
    wce_sparse(Surv(entry, exit, event) ~ exposure("a"), small$people,
               person_id, small$records, cutoff = 60, engine = "reference"),
    class = "vigitensor_error_formula"
  )
  later <- small
  later$records$start <- later$records$start + 1000
  later$records$stop <- later$records$stop + 1000
  expect_error(fit_small(sim = later, engine = "reference"),
               class = "vigitensor_error_no_records")
  expect_error(selected_drugs(1), class = "vigitensor_error")
  fit <- fit_small(lambda = c(3, 1), engine = "reference")
  expect_error(coef(fit, drug = "x"), class = "vigitensor_error_unknown_term")
  expect_error(coef(fit, "min"), class = "vigitensor_error_lambda")
  expect_error(hazard_ratio(fit, 1, drug = c("a", "b")),
               class = "vigitensor_error_unknown_term")
})

test_that("drugs with an effect are found, and others mostly not", {
  skip_if_no_engine()
  effects <- c(log(3), log(2.5), rep(0, 18))
  names(effects) <- sprintf("N%02d", seq_along(effects))
  sim <- simulate_wce(4000, days = 300, log_hr = effects, cutoff = 90,
                      users = rep(c(0.2, 0.1), 10), doses = 1, hazard = 4e-4,
                      seed = 8)
  fit <- wce_sparse(Surv(entry, exit, event) ~ sex + age, data = sim$people,
                    id = person_id, records = sim$records, cutoff = 90,
                    nknots = 0, n_lambda = 12, engine = "cpu")
  found <- selected_drugs(fit, "1se")
  expect_true(all(c("N01", "N02") %in% found))
  expect_lte(length(setdiff(found, c("N01", "N02"))), 3L)
  table <- generics::tidy(fit)
  expect_setequal(table$drug[1:2], c("N01", "N02"))
})
