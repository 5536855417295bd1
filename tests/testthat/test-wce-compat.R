# WCE(): conventions beyond the golden numbers, and the inputs that the CRAN
# package gets wrong. The oracle is written out from the definition: lags are
# elapsed time, doses before entry are 0, coxph() on the expanded rows.

daily <- golden_data("daily")

fit_daily <- function(data = daily, ..., nknots = 1, cutoff = 20,
                      constrained = "Right") {
  WCE(data, "Cox", nknots, cutoff, constrained, id = "Id", event = "Event",
      start = "Start", stop = "Stop", expos = "dose", ...)
}

# Doses of each row's patient at lags 1..m before each event time it spans.
oracle <- function(data, covariates, nknots = 1, m = 20, side = "Right") {
  times <- unique(data$Stop[data$Event == 1])
  at <- which(data$Stop %in% times)
  history <- t(vapply(at, function(i) {
    past <- data[data$Id == data$Id[i], ]
    vapply(seq_len(m), function(u) {
      sum(past$dose[past$Stop == data$Stop[i] - u + 1])
    }, 0)
  }, numeric(m)))
  inner <- round(quantile(seq_len(m), seq_len(nknots) / (nknots + 1)))
  basis <- splines::splineDesign(c(-3:0, inner, m + 0:3), seq_len(m))
  p <- ncol(basis)
  keep <- switch(side, Right = seq_len(p - 2), Left = 3:p, seq_len(p))
  rows <- data[at, ]
  rows$exposure <- history %*% basis[, keep]
  formula <- stats::reformulate(
    c(covariates, "exposure"),
    quote(survival::Surv(Start, Stop, Event))
  )
  survival::coxph(formula, rows, control = survival::coxph.control(
    eps = 1e-14, toler.chol = 1e-15, iter.max = 60
  ))
}

# Tolerance 1e-8: both are at the optimum of one likelihood.
expect_same_as_oracle <- function(fit, expected) {
  expect_equal(fit$loglik[[1L]], expected$loglik[2L], tolerance = 1e-10)
  got <- c(fit$beta.hat.covariates[1L, ], fit$est[[1L]])
  expect_equal(unname(got), unname(coef(expected)), tolerance = 1e-8)
  expect_equal(unname(fit$vcovmat[[1L]]), unname(vcov(expected)),
               tolerance = 1e-7)
}

# All fields; what differs by nature (session, engine) is in the attribute.
fields <- function(fit) {
  attributes(fit) <- list(names = names(fit))
  fit
}

on_every_engine <- function(code) {
  code <- substitute(code)
  frame <- parent.frame()
  for (engine in engines_here()) {
    withr::with_options(list(vigitensor.engine = engine), eval(code, frame))
  }
}

local_quick <- function(env = parent.frame()) {
  withr::local_options(vigitensor.engine = "reference", .local_envir = env)
}

# ---- the result -------------------------------------------------------------

test_that("the result has the fields, shapes and names of WCE's", {
  local_quick()
  fit <- fit_daily(covariates = c("sex", "age"), nknots = 1:2)
  expect_s3_class(fit, c("wce_compat", "WCE"), exact = TRUE)
  expect_named(fit, c(
    "knotsmat", "WCEmat", "loglik", "est", "vcovmat", "SED",
    "beta.hat.covariates", "se.covariates", "covariates", "constrained",
    "nevents", "aic", "info.criterion", "analysis"
  ))
  labels <- c("1 knot(s)", "2 knot(s)")
  expect_named(fit$knotsmat, labels)
  expect_identical(fit$knotsmat[[1L]], c(-3, -2, -1, 0, 10, 20, 21, 22, 23))
  expect_identical(dimnames(fit$WCEmat), list(labels, paste0("t", 1:20)))
  expect_identical(dimnames(fit$loglik), list(NULL, labels))
  expect_identical(dimnames(fit$info.criterion), list(NULL, labels))
  expect_named(fit$est, labels)
  expect_named(fit$est[[2L]], paste0("D", 1:4))
  expect_null(names(fit$SED))
  expect_named(fit$SED[[1L]], paste0("D", 1:3))
  expect_named(fit$vcovmat, labels)
  expect_identical(colnames(fit$vcovmat[[1L]]),
                   c("sex", "age", "D1", "D2", "D3"))
  expect_identical(dimnames(fit$se.covariates), list(labels, c("sex", "age")))
  expect_identical(fit[c("covariates", "constrained", "aic", "analysis")],
                   list(covariates = c("sex", "age"), constrained = "Right",
                        aic = FALSE, analysis = "Cox"))
  expect_identical(fit$nevents, sum(daily$Event))

  bare <- fit_daily(constrained = "left", aic = TRUE)
  expect_named(bare, c(
    "knotsmat", "WCEmat", "loglik", "est", "vcovmat", "SED", "constrained",
    "covariates", "nevents", "aic", "info.criterion", "analysis"
  ))
  expect_named(bare$est[[1L]], paste0("D", 3:5))
  expect_identical(bare$constrained, "Left")
  expect_null(bare$covariates)
  expect_identical(fit_daily(constrained = FALSE)$constrained, FALSE)
})

test_that("nknots is sorted and made unique; words of constraints are equal", {
  local_quick()
  expect_identical(fields(fit_daily(nknots = c(2, 1, 2))),
                   fields(fit_daily(nknots = 1:2, constrained = "R")))
  expect_identical(fields(fit_daily(constrained = "right")),
                   fields(fit_daily()))
  expect_identical(fields(fit_daily(constrained = "L")),
                   fields(fit_daily(constrained = "Left")))
})

test_that("the criterion is -2 loglik + k log(events), or 2 k", {
  local_quick()
  bic <- fit_daily(covariates = "sex", nknots = 1:2)
  expect_equal(as.vector(bic$info.criterion),
               as.vector(-2 * bic$loglik) + c(4, 5) * log(71))
  aic <- fit_daily(covariates = "sex", constrained = FALSE, aic = TRUE)
  expect_equal(aic$info.criterion[[1L]], -2 * aic$loglik[[1L]] + 2 * 6)
})

test_that("the result survives saveRDS and holds no rows of the data", {
  local_quick()
  fit <- fit_daily(covariates = "sex")
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, file)
  expect_identical(readRDS(file), fit)
  expect_lt(file.size(file), 5000)
})

# ---- inputs that the peer gets wrong ----------------------------------------

test_that("rows may come in any order", {
  on_every_engine({
    sorted <- fit_daily(covariates = c("sex", "score"))
    by_time <- fit_daily(daily[order(daily$Stop), ],
                         covariates = c("sex", "score"))
    shuffled <- withr::with_seed(5, daily[sample(nrow(daily)), ])
    shuffled <- fit_daily(shuffled, covariates = c("sex", "score"))
    expect_equal(fields(by_time), fields(sorted), tolerance = 1e-9)
    expect_equal(fields(shuffled), fields(sorted), tolerance = 1e-9)
  })
})

test_that("delayed entry works: elapsed lags, no dose before entry", {
  late <- daily[!(daily$Id %% 3 == 0 & daily$Stop <= daily$Id %% 17), ]
  expected <- oracle(late, c("sex", "score"))
  on_every_engine({
    fit <- fit_daily(late, covariates = c("sex", "score"))
    expect_same_as_oracle(fit, expected)
  })
  first <- tapply(late$Start, late$Id, min)
  expect_identical(attr(fit, "details")$n_delayed, sum(first > 0))
})

test_that("left-constrained and free fits agree with the oracle", {
  on_every_engine({
    expect_same_as_oracle(
      fit_daily(covariates = "age", constrained = "Left", nknots = 2),
      oracle(daily, "age", nknots = 2, side = "Left")
    )
    expect_same_as_oracle(fit_daily(constrained = FALSE),
                          oracle(daily, NULL, side = "none"))
  })
})

test_that("covariates may be factors, strings or logical", {
  data <- daily
  data$arm <- factor(data$arm, c("usual", "low", "high", "never seen"))
  data$old <- data$age > 60
  expected <- oracle(transform(data, arm = droplevels(arm)), c("arm", "old"))
  on_every_engine({
    fit <- fit_daily(data, covariates = c("arm", "old"))
    expect_same_as_oracle(fit, expected)
  })
  expect_identical(colnames(fit$beta.hat.covariates),
                   c("armlow", "armhigh", "oldTRUE"))
  # 3 spline columns and 3 covariate columns
  expect_equal(fit$info.criterion[[1L]], -2 * fit$loglik[[1L]] + 6 * log(71))
  expect_identical(
    colnames(fit_daily(covariates = "arm")$beta.hat.covariates),
    c("armlow", "armusual")
  )
  expect_identical(fit$covariates, c("arm", "old"))
})

test_that("rows of any one length are time units, from any origin", {
  local_quick()
  expected <- fields(fit_daily(covariates = "sex"))
  change <- function(f) {
    data <- daily
    data$Start <- f(daily$Start)
    data$Stop <- f(daily$Stop)
    fields(fit_daily(data, covariates = "sex"))
  }
  expect_equal(change(function(x) 7 * x), expected, tolerance = 1e-12)
  # 0.1 is not exact in binary, so neighbouring rows miss each other by 1e-17
  expect_equal(change(function(x) 0.1 * x), expected, tolerance = 1e-12)
  expect_equal(change(function(x) x - 1234.5), expected, tolerance = 1e-12)
  expect_equal(change(function(x) as.Date("2020-02-20") + x), expected,
               tolerance = 1e-12)
})

test_that("ids may be strings, factors, long numbers or bit64", {
  local_quick()
  expected <- fields(fit_daily())
  with_ids <- function(id) {
    data <- daily
    data$Id <- id
    fields(fit_daily(data))
  }
  long <- 100000000000 + daily$Id
  expect_equal(with_ids(long), expected, tolerance = 1e-12)
  expect_equal(with_ids(sprintf("p%d", daily$Id)), expected, tolerance = 1e-12)
  expect_equal(with_ids(factor(sprintf("p%d", daily$Id))), expected,
               tolerance = 1e-12)
  expect_equal(with_ids(-daily$Id / 8), expected, tolerance = 1e-12)
  skip_if_not_installed("bit64")
  expect_equal(with_ids(bit64::as.integer64(long)), expected,
               tolerance = 1e-12)
  expect_equal(with_ids(bit64::as.integer64(60 - daily$Id)), expected,
               tolerance = 1e-12)
})

test_that("columns of the user may have the names that WCE uses inside", {
  local_quick()
  expected <- fields(fit_daily(covariates = c("sex", "age")))
  data <- data.frame(
    Stop = daily$Id, dose = daily$Event, Id = daily$Start, Event = daily$Stop,
    Start = daily$dose, D1 = daily$sex, "my age" = daily$age,
    check.names = FALSE
  )
  fit <- WCE(data, "Cox", 1, 20, "Right", id = "Stop", event = "dose",
             start = "Id", stop = "Event", expos = "Start",
             covariates = c("D1", "my age"))
  expect_equal(fit$loglik, expected$loglik, tolerance = 1e-13)
  expect_equal(unname(fit$beta.hat.covariates),
               unname(expected$beta.hat.covariates), tolerance = 1e-10)
  expect_identical(colnames(fit$beta.hat.covariates), c("D1", "my age"))
})

test_that("the dose itself may be a covariate", {
  expected <- oracle(daily, "dose")
  on_every_engine({
    expect_same_as_oracle(fit_daily(covariates = "dose"), expected)
  })
})

test_that("tibble-like and integer or logical columns are fine", {
  local_quick()
  data <- daily
  data$Event <- data$Event == 1
  data$dose <- as.integer(2 * data$dose)
  class(data) <- c("tbl_df", "tbl", "data.frame")
  fit <- fit_daily(data)
  expect_equal(fit$loglik, fit_daily()$loglik, tolerance = 1e-12)
  expect_equal(2 * fit$est[[1L]], fit_daily()$est[[1L]], tolerance = 1e-9)
  expect_identical(fit$nevents, 71L)
})

# ---- fits that fail ---------------------------------------------------------

test_that("a model that did not converge has no criterion and never wins", {
  local_quick()
  fit <- fit_daily(nknots = 1:2, covariates = "sex")
  spec <- compat_spec("Cox", 1:2, 20, "Right", FALSE, NULL, NULL)
  bases <- lapply(spec$knots, function(k) wce_basis(20, k, "right", "WCE"))
  names(bases) <- c("1 knot(s)", "2 knot(s)")
  design <- list(rows = list(x = cbind(sex = c(0, 1))), bases = bases,
                 counts = list(n_rows = 2, n_subjects = 2, n_delayed = 0))
  result_of <- function(converged) {
    list(
      fits = lapply(1:2, function(g) {
        list(coefficients = c(fit$beta.hat.covariates[g, ], fit$est[[g]]),
             var = unname(fit$vcovmat[[g]]), loglik = c(-300, 0),
             iterations = 50L, converged = converged[g],
             infinite = logical(4L + g - 1L))
      }),
      covered = list(rep(TRUE, 20)), n_pairs = 1
    )
  }
  failed <- result_of(c(FALSE, TRUE))
  expect_warning(compat_warn(failed, design),
                 class = "vigitensor_warning_not_converged")
  object <- compat_object(failed, design, spec, "sex", 71, "reference")
  expect_identical(as.vector(is.na(object$info.criterion)), c(TRUE, FALSE))
  expect_identical(which.min(object$info.criterion), 2L)
  expect_equal(HR.WCE(object, rep(1, 20), numeric(20)),
               HR.WCE(fit, rep(1, 20), numeric(20), TRUE)[2, , drop = FALSE],
               ignore_attr = TRUE)
  none <- compat_object(result_of(c(FALSE, FALSE)), design, spec, "sex", 71,
                        "reference")
  expect_error(HR.WCE(none, rep(1, 20), numeric(20)),
               class = "vigitensor_error_not_converged")
  expect_error(capture.output(summary(none)),
               class = "vigitensor_error_not_converged")
  expect_output(print(none), "did not converge")
  expect_output(summary(object, allres = TRUE), "BIC NA")
})

test_that("a constant covariate is NA with a warning, as in coxph", {
  on_every_engine({
    expect_warning(
      fit <- fit_daily(transform(daily, one = 1), covariates = c("one", "sex")),
      class = "vigitensor_warning_collinear"
    )
    expect_identical(is.na(fit$beta.hat.covariates[1L, ]),
                     c(one = TRUE, sex = FALSE))
    expect_equal(fit$loglik, fit_daily(covariates = "sex")$loglik,
                 tolerance = 1e-12)
    expect_warning(fit_daily(transform(daily, one = "a"), covariates = "one"),
                   class = "vigitensor_warning_collinear")
  })
})

test_that("lags that nobody covers are named", {
  local_quick()
  data <- daily[daily$Stop <= 25, ]
  expect_warning(fit <- fit_daily(data, cutoff = 26),
                 class = "vigitensor_warning_uncovered_lags")
  expect_warning(HR.WCE(fit, rep(1, 26), numeric(26)),
                 class = "vigitensor_warning_uncovered_lags")
  expect_silent(HR.WCE(fit, c(1, numeric(25)), numeric(26)))
})

test_that("controls of coxph are taken", {
  local_quick()
  given <- fit_daily(controls = survival::coxph.control(eps = 1e-4,
                                                        iter.max = 30))
  expect_equal(fields(given), fields(fit_daily()), tolerance = 1e-12)
  control <- compat_control(list(iter.max = 7, toler.chol = 1e-11))
  expect_identical(control$max_iter, 7L)
  expect_identical(control$tol_singular, 1e-11)
  expect_error(compat_control(list(iter = 7)),
               class = "vigitensor_error_controls")
  expect_error(compat_control(5), class = "vigitensor_error_controls")
  expect_error(compat_control(list(iter.max = -1)),
               class = "vigitensor_error_controls")
})

# ---- a script ---------------------------------------------------------------

# In the manner of the bootstrap on WCE's help page: whole patients drawn with
# replacement, each further copy of a patient under a new id.
test_that("a bootstrap by patients with new ids for copies runs", {
  local_quick()
  ids <- unique(daily$Id)
  hr <- withr::with_seed(11, vapply(1:2, function(b) {
    drawn <- sample(ids, replace = TRUE)
    copy <- stats::ave(drawn, drawn, FUN = seq_along) - 1
    resampled <- do.call(rbind, lapply(seq_along(drawn), function(k) {
      transform(daily[daily$Id == drawn[k], ], Id = Id + 1000 * copy[k])
    }))
    fit <- WCE(data = resampled, analysis = "Cox", nknots = 1:2, cutoff = 20,
               constrained = "R", aic = FALSE, MatchedSet = NULL, id = "Id",
               event = "Event", start = "Start", stop = "Stop",
               expos = "dose", covariates = c("sex", "age"))
    best <- which.min(fit$info.criterion)
    expect_equal(HR.WCE(fit, rep(1, 20), rep(0, 20))[1],
                 exp(sum(fit$WCEmat[best, ])), tolerance = 1e-12)
    HR.WCE(fit, rep(1, 20), rep(0, 20))
  }, 0))
  expect_length(unique(hr), 2L)
})
