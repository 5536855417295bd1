# The engines agree: 200 random designs (1,000 in the full run) that cross ties,
# delayed entry, rows per person, factors, strata, offsets, two drugs,
# constraints, orders, bases, weights, robust variances, clusters, unit rows and
# records. Both stop at their optimum, so coefficients agree to 1e-8 and
# log-likelihoods to 1e-10 relative.

random_call <- function(seed) {
  withr::with_seed(seed, {
    n_drugs <- sample(1:2, 1L)
    study <- random_study(seed, n = sample(c(40L, 80L), 1L),
                          rows_per_person = if (runif(1) < 0.5) 1L else 1:3,
                          drugs = n_drugs)
    rhs <- c(
      sample(c("1", "age", "sex + age", "sex * dose_group"), 1L),
      if (runif(1) < 0.4) "strata(region)",
      if (runif(1) < 0.3) "offset(dose_group / 5)",
      if (runif(1) < 0.7) 'exposure("a")' else "exposure(dose_group^2)",
      if (n_drugs == 2L) 'exposure("b", cutoff = 10, nknots = 0)',
      if (runif(1) < 0.2) "cluster(clinic)"
    )
    study$people$clinic <- study$people$person_id %% 9
    study$people$w <- sample(c(0, 0.5, 1, 3), nrow(study$people), TRUE,
                             prob = c(1, 3, 3, 3))
    basis <- sample(c("clamped", "WCE"), 1L, prob = c(0.7, 0.3))
    ends <- list(FALSE, "right", "left", c(right = "value"),
                 c(left = "value", right = "slope"))
    clamped <- basis == "clamped"
    list(
      formula = stats::as.formula(paste("Surv(entry, exit, event) ~",
                                        paste(rhs, collapse = " + "))),
      data = study$people, id = "person_id", records = study$records,
      cutoff = sample(c(8L, 20L, 30L), 1L), nknots = sample(0:1, 1L),
      constrained = sample(ends[seq_len(if (clamped) 5L else 3L)], 1L)[[1L]],
      basis = basis, order = if (clamped) sample(2:4, 1L) else 4L,
      weights = if (runif(1) < 0.3) study$people$w,
      robust = sample(list(NULL, TRUE), 1L)[[1L]],
      ties = sample(c("efron", "breslow"), 1L), lag_in = sample(0:1, 1L)
    )
  })
}

# Value: the fit, or the class of its error.
try_fit <- function(call, engine) {
  tryCatch(
    suppressWarnings(do.call(wce, c(call, list(engine = engine))),
                     classes = "vigitensor_warning"),
    vigitensor_error = class
  )
}

# Value: what came out, and how far the engines are apart.
compare_engines <- function(seed) {
  call <- random_call(seed)
  reference <- try_fit(call, "reference")
  cpu <- try_fit(call, "cpu")
  result <- function(outcome) {
    found <- data.frame(seed, outcome, loglik = NA, coefficients = NA,
                        variances = NA, digits_lost = NA)
    if (outcome != "compared") return(found)
    found$loglik <- apart(cpu$loglik, reference$loglik)
    found$coefficients <- far(coef(cpu), coef(reference))
    kept <- !is.na(coef(cpu))
    found$variances <- apart(cpu$var[kept, kept], reference$var[kept, kept])
    found$digits_lost <- digits_lost(cpu$var[kept, kept])
    found
  }
  if (is.character(reference)) {
    expect_identical(cpu, reference, info = seed)
    return(result("refused"))
  }
  # Where the likelihood rises for ever there is no optimum to agree on:
  # each stops where a step gains next to nothing, and cpu must say so.
  if (any(cpu$infinite) || !cpu$converged) {
    expect_gt(cpu$loglik[2], reference$loglik[2] * (1 + 1e-8))
    return(result("monotone"))
  }
  expect_equal(cpu$loglik, reference$loglik, tolerance = 1e-10, info = seed)
  expect_identical(is.na(coef(cpu)), is.na(coef(reference)), info = seed)
  expect_equal(coef(cpu), coef(reference), tolerance = 1e-8, info = seed)
  # An inverse loses as many digits as its condition number has.
  digits_lost <- kappa(cpu$var[!is.na(coef(cpu)), !is.na(coef(cpu))])
  expect_equal(cpu$var, reference$var, info = seed,
               tolerance = max(1e-7, .Machine$double.eps * digits_lost))
  expect_identical(is.null(cpu$naive.var), is.null(reference$naive.var))
  expect_equal(cpu$n_pairs, reference$n_pairs, info = seed)
  expect_identical(lapply(cpu$exposures, `[[`, "covered"),
                   lapply(reference$exposures, `[[`, "covered"), info = seed)
  result("compared")
}

test_that("reference and cpu agree on random designs", {
  skip_if_no_engine()
  seeds <- seq_len(if (in_full()) 1000L else 200L)
  results <- do.call(rbind, lapply(seeds, compare_engines))
  folder <- Sys.getenv("VIGITENSOR_RECORD")
  if (nzchar(folder)) {
    utils::write.csv(results, file.path(folder, "random-wce.csv"),
                     row.names = FALSE)
  }
  # The others have too few events, or no finite optimum.
  expect_gt(mean(results$outcome == "compared"), 0.8)
})

test_that("the number of threads changes no bit", {
  skip_if_no_engine()
  call <- random_call(8)
  expect_s3_class(try_fit(call, "reference"), "wce")
  fits <- lapply(1:2, function(threads) {
    withr::local_options(vigitensor.threads = threads)
    try_fit(call, "cpu")
  })
  expect_identical(coef(fits[[1]]), coef(fits[[2]]))
  expect_identical(fits[[1]]$var, fits[[2]]$var)
})
