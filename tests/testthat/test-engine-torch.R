# Engine "torch" on the processor gives what engine "cpu" gives, to 1e-9.

# As skip_if_no_engine(): where an engine is required, torch is too.
skip_if_no_torch <- function() {
  skip_if_no_engine()
  if (!is.null(torch_version())) return(invisible(TRUE))
  if (identical(tolower(Sys.getenv("VIGITENSOR_REQUIRE_ENGINE")), "true")) {
    stop("VIGITENSOR_REQUIRE_ENGINE is true, but torch is not installed.",
         call. = FALSE)
  }
  testthat::skip("torch is not installed")
}

# A random study, and the arguments of wce() for it.
torch_call <- function(seed) {
  withr::with_seed(seed, {
    drugs <- sample(1:2, 1L)
    study <- random_study(seed, n = 80L, drugs = drugs)
    rhs <- c(sample(c("1", "age", "sex + age"), 1L),
             if (runif(1) < 0.4) "strata(region)",
             if (runif(1) < 0.4) "offset(dose_group / 5)",
             "exposure(\"a\")",
             if (drugs == 2L) "exposure(\"b\", cutoff = 10, nknots = 0)")
    list(
      formula = stats::as.formula(paste("Surv(entry, exit, event) ~",
                                        paste(rhs, collapse = " + "))),
      data = study$people, id = "person_id", records = study$records,
      cutoff = sample(c(8L, 20L, 30L), 1L), nknots = 0:1,
      constrained = sample(list(FALSE, "right", "left"), 1L)[[1L]],
      ties = sample(c("efron", "breslow"), 1L), lag_in = sample(0:1, 1L)
    )
  })
}

fit_with <- function(call, engine) {
  suppressWarnings(do.call(wce, c(call, list(engine = engine))),
                   classes = "vigitensor_warning")
}

test_that("torch and cpu agree on random designs", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cpu")
  compared <- 0L
  for (seed in 1:15) {
    call <- torch_call(seed)
    cpu <- fit_with(call, "cpu")
    torch <- fit_with(call, "torch")
    expect_identical(torch$engine, "torch")
    # Without an optimum there is nothing to agree on.
    if (any(cpu$infinite) || !cpu$converged) next
    compared <- compared + 1L
    expect_equal(torch$loglik, cpu$loglik, tolerance = 1e-12, info = seed)
    expect_equal(coef(torch), coef(cpu), tolerance = 1e-9, info = seed)
    digits_lost <- kappa(cpu$var[!is.na(coef(cpu)), !is.na(coef(cpu))])
    expect_equal(torch$var, cpu$var, info = seed,
                 tolerance = max(1e-9, .Machine$double.eps * digits_lost))
    expect_equal(torch$selection, cpu$selection, tolerance = 1e-9, info = seed)
    expect_identical(torch$n_pairs, cpu$n_pairs)
  }
  expect_gt(compared, 10L)
})

test_that("torch and cpu agree in continuous time", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cpu")
  for (seed in 1:4) {
    study <- random_study(seed, n = 60L)
    records <- withr::with_seed(seed, transform(
      study$records, start = start + stats::runif(length(start))
    ))
    records$stop <- records$start + 0.3 + seq_len(nrow(records)) %% 11
    fits <- lapply(c(cpu = "cpu", torch = "torch"), function(engine) {
      suppressWarnings(
        wce(Surv(entry, exit, event) ~ age + exposure("a"),
            data = study$people, id = person_id, records = records,
            cutoff = c(9.25, 18.5), nknots = 0, clock = "continuous",
            engine = engine),
        classes = "vigitensor_warning"
      )
    })
    expect_identical(fits$torch$clock, "continuous")
    expect_equal(fits$torch$loglik, fits$cpu$loglik, tolerance = 1e-12)
    expect_equal(coef(fits$torch), coef(fits$cpu), tolerance = 1e-9)
    expect_identical(fits$torch$n_pairs, fits$cpu$n_pairs)
  }
})

test_that("cox() agrees too, with a ridge and without", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cpu")
  people <- random_study(7, n = 120L)$people
  for (ties in c("efron", "breslow")) {
    for (model in list(Surv(entry, exit, event) ~ age + sex + strata(region),
                       Surv(exit, event) ~ ridge(age, theta = 2) + sex)) {
      cpu <- cox(model, people, ties = ties, engine = "cpu")
      torch <- cox(model, people, ties = ties, engine = "torch")
      expect_identical(torch$engine, "torch")
      expect_equal(coef(torch), coef(cpu), tolerance = 1e-9)
      expect_equal(torch$var, cpu$var, tolerance = 1e-9)
      expect_equal(torch$loglik, cpu$loglik, tolerance = 1e-12)
      expect_equal(torch$residuals, cpu$residuals, tolerance = 1e-9)
    }
  }
})

test_that("bootstraps draw the same replicates and fit them alike", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cpu")
  study <- random_study(11, n = 120L)
  agree <- function(fit, ...) {
    both <- lapply(c(cpu = "cpu", torch = "torch"), function(engine) {
      bootstrap(fit, times = 12, seed = 3, engine = engine, ...)
    })
    expect_identical(both$torch$engine, "torch")
    expect_identical(both$torch$reason, both$cpu$reason)
    expect_gt(sum(both$cpu$reason == "ok"), 8)
    expect_equal(both$torch$coefficients, both$cpu$coefficients,
                 tolerance = 1e-8)
    expect_equal(both$torch$loglik, both$cpu$loglik, tolerance = 1e-10)
  }
  for (shape in c("free", "nonnegative")) {
    exposed <- suppressWarnings(
      wce(Surv(entry, exit, event) ~ age + exposure("a"), data = study$people,
          id = person_id, records = study$records, cutoff = 12, nknots = 0,
          shape = shape, engine = "cpu"),
      classes = "vigitensor_warning"
    )
    agree(exposed, data = study$people, records = study$records)
  }
  plain <- cox(Surv(entry, exit, event) ~ age + sex, study$people,
               engine = "cpu")
  for (method in c("fit", "one_step")) {
    agree(plain, method = method, data = study$people)
  }
})

test_that("a fit remembers the version of torch and the device", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cpu", vigitensor.memory_mb = 200)
  fit <- fit_with(torch_call(1), "torch")
  expect_identical(fit$session$engine$torch, torch_version())
  expect_identical(fit$session$engine$device, "cpu")
  info <- engine_info()
  expect_identical(info$versions$torch, torch_version())
  expect_identical(info$device[1L], "cpu")
})

test_that("a device that is not there is named", {
  skip_if_no_torch()
  withr::local_options(vigitensor.device = "cuda:77")
  error <- expect_error(fit_with(torch_call(1), "torch"),
                        class = "vigitensor_error_no_device")
  expect_match(conditionMessage(error), "cuda:77")
})

test_that("the options of engine torch are checked", {
  for (bad in list("gpu", NA_character_, c("cpu", "cuda"), 1)) {
    withr::local_options(vigitensor.device = bad)
    expect_error(engine_options("torch"), "vigitensor.device",
                 class = "vigitensor_error_option")
  }
  withr::local_options(vigitensor.device = "cuda:1")
  expect_identical(engine_options("torch"),
                   list(engine = "torch", device = "cuda:1"))
  for (bad in list("much", 10, NA_real_, c(100, 200), Inf)) {
    withr::local_options(vigitensor.memory_mb = bad)
    expect_error(engine_options("torch"), "vigitensor.memory_mb",
                 class = "vigitensor_error_option")
  }
  expect_identical(engine_options("cpu"), list())
})

test_that("a missing torch is said with what to do", {
  error <- expect_error(abort_no_torch(), class = "vigitensor_error_no_torch")
  expect_match(conditionMessage(error), "install_engine(gpu = TRUE)",
               fixed = TRUE)
})
