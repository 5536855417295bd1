# Random designs that cross all options of cox(), and their comparison with
# survival::coxph at its optimum.

# A data set with everything that a design can meet: times with ties, entry,
# several rows per person, correlated columns, a rare level, missing values, a
# column along which the likelihood rises for ever.
random_cox_data <- function(seed, n) {
  withr::with_seed(seed, {
    person <- rep(seq_len(n), sample(1:3, n, TRUE))
    m <- length(person)
    length <- sample(c(1:20, 15.5, 7.25), m, TRUE)
    start <- stats::ave(length, person, FUN = function(l) {
      sample(0:5, 1) + cumsum(c(0, l[-length(l)]))
    })
    x1 <- round(stats::rnorm(m), 2)
    data <- data.frame(
      person, start, stop = start + length,
      x1, x2 = x1 + stats::rnorm(m), bin = stats::rbinom(m, 1, 0.4),
      group = factor(sample(c("a", "b", "c"), m, TRUE, c(0.5, 0.3, 0.2))),
      word = sample(c("no", "yes"), m, TRUE), flag = stats::runif(m) < 0.5,
      site = sample(1:4, m, TRUE), count = sample(1:3, m, TRUE),
      part = round(stats::runif(m, 0.2, 2), 3), off = stats::rnorm(m) / 3
    )
    hazard <- exp(0.5 * data$x1 - 0.4 * data$bin)
    data$event <- as.integer(stats::runif(m) < 0.5 * hazard / (1 + hazard))
    holes <- sample(c(0, 0, 3), 1L)
    data$x2[sample(m, holes)] <- NA
    data$spared <- as.integer(data$event == 0 & stats::runif(m) < 0.5)
    data
  })
}

# Value: a call of cox() on `data`.
random_cox_call <- function(seed) {
  withr::with_seed(seed, {
    one_in <- function(k) stats::runif(1) < 1 / k
    left <- sample(c("Surv(start, stop, event)", "Surv(stop, event)",
                     "Surv(stop - start, event == 1)"), 1L)
    covariates <- sample(c(
      "x1", "x1 + x2", "x1 + bin + flag", "x1 * group", "poly(x1, 2) + bin",
      "splines::ns(x1, 3)", "x1 + x2 + bin + group + word", "log(part) + word",
      "group + I(x1^2)", "word:bin + x1"
    ), 1L)
    ties <- sample(c("efron", "breslow", "exact"), 1L, prob = c(3, 2, 1))
    exact <- ties == "exact"
    right <- c(
      covariates, if (one_in(3)) "strata(site)",
      if (one_in(8)) "strata(word, flag)", if (one_in(4)) "offset(off)",
      if (!exact && one_in(6)) "ridge(count, part, theta = 2)"
    )
    weights <- if (!exact) {
      sample(list(NULL, NULL, quote(count), quote(part)), 1L)[[1L]]
    }
    call <- call("cox", quote(formula), data = quote(data), ties = ties)
    call$weights <- weights
    if (!exact && one_in(3)) call$cluster <- quote(person)
    if (!exact && one_in(6)) call$id <- quote(person)
    if (one_in(5)) call$subset <- quote(site < 4)
    if (one_in(5)) call$na.action <- quote(na.exclude)
    if (one_in(5)) call$x <- TRUE
    if (one_in(12)) right <- c(right, "spared")
    if (one_in(20)) right <- c(right, "I(2 * part)", "part")
    if (!exact && one_in(10)) {
      call$robust <- TRUE
      call$cluster <- quote(person)
    }
    if (one_in(10)) call$model <- TRUE
    if (one_in(6)) call$init <- "random"
    call[[2L]] <- stats::as.formula(
      paste(left, "~", paste(right, collapse = " + ")), env = globalenv()
    )
    call
  })
}

# Starting values near the middle, one per coefficient; zero for a column that
# will be dropped, which coxph would leave in the linear predictor.
random_init <- function(call, env, seed) {
  if (is.null(call$init)) return(NULL)
  call <- as_coxph_call(call)
  call$init <- NULL
  found <- suppressWarnings(eval(call, env))$coefficients
  init <- withr::with_seed(seed, round(stats::rnorm(length(found), 0, 0.1), 2))
  ifelse(is.na(found), 0, init)
}

# ---- where survival 3.5 itself is off ---------------------------------------

has_ridge <- function(call) grepl("ridge", deparse1(call))
has_strata <- function(call) grepl("strata", deparse1(call))
is_counting <- function(call) {
  grepl("Surv(start", deparse1(call), fixed = TRUE)
}

# Its penalised fit of (start, stop] rows with weights ends away from the
# optimum. Ours is where score and penalty balance.
has_lost_optimum <- function(call) {
  has_ridge(call) && is_counting(call) && !is.null(call$weights)
}

# Exact ties of (start, stop] rows forget the class and half of the components.
has_lost_class <- function(call) {
  is_counting(call) && identical(call$ties, "exact")
}

expect_balance <- function(fit, call, env, info) {
  call$init <- unname(ifelse(is.na(fit$coefficients), 0, fit$coefficients))
  text <- deparse1(call[[2L]])
  text <- sub("ridge(count, part, theta = 2)", "count + I(part + 0)",
              text, fixed = TRUE)
  call[[2L]] <- stats::as.formula(text, env = environment(call[[2L]]))
  call <- as_coxph_call(call)
  call$control <- survival::coxph.control(iter.max = 0)
  call$robust <- FALSE
  call$cluster <- call$id <- NULL
  there <- suppressWarnings(eval(call, env))
  score <- colSums(residuals(there, "score", weighted = TRUE))
  kept <- !is.na(fit$coefficients)
  # The gradient is a sum of terms of the order of their squares' root.
  expect_within(unname(score)[kept],
                unname(fit$coxlist2$second * call$init)[kept], 1e-8,
                paste(info, "score"))
}

# ---- one design -------------------------------------------------------------

# Value: what came out: "compared" or why not, how far apart, and how far the
# condition of the problem allows.
compare_random <- function(seed) {
  n <- withr::with_seed(seed, sample(c(30L, 60L, 120L), 1L))
  env <- new.env(parent = parent.env(environment()))
  env$data <- random_cox_data(seed, n)
  call <- random_cox_call(seed)
  environment(call[[2L]]) <- env
  call$init <- random_init(call, env, seed)
  heard <- new.env()
  fit <- withCallingHandlers(eval(call, env), vigitensor_warning = function(w) {
    heard$classes <- c(heard$classes, class(w)[1L])
    tryInvokeRestart("muffleWarning")
  })
  peer <- suppressWarnings(eval(as_coxph_call(call), env))
  info <- sprintf("seed %d: %s", seed, deparse1(call))
  result <- function(outcome) {
    loose <- digits_lost(as.matrix(fit$naive.var %||% fit$var %||% 1))
    data.frame(
      seed, outcome, loglik = apart(fit$loglik, peer$loglik),
      coefficients = far(fit$coefficients, peer$coefficients),
      variances = apart(fit$var, peer$var), digits_lost = loose
    )
  }
  expect_identical(anyNA(fit$coefficients),
                   "vigitensor_warning_collinear" %in% heard$classes,
                   info = info)
  if (any(fit$infinite)) {
    # No optimum to agree on: ours is as high, and says so.
    expect_true("vigitensor_warning_infinite" %in% heard$classes, info = info)
    slack <- 1e-6 * max(abs(peer$loglik[2L]), 0.01)
    expect_gt(fit$loglik[2L], peer$loglik[2L] - slack)
    return(result("monotone"))
  }
  expect_false(any(grepl("infinite|converged", heard$classes)), info = info)
  # So does one with a dropped column, which stays in its linear predictor.
  if (has_lost_optimum(call) || has_ridge(call) && anyNA(fit$coefficients)) {
    expect_balance(fit, call, env, info)
    return(result("score"))
  }
  if (has_lost_class(call)) {
    for (name in c("loglik", "var", "residuals", "score")) {
      expect_equal(fit[[name]], peer[[name]], tolerance = 1e-7,
                   info = paste(info, name))
    }
    expect_within(fit$coefficients, peer$coefficients, 1e-8, info)
    return(result("compared"))
  }
  if (has_ridge(call)) {
    # A penalised model with a term that was dropped has no degrees of freedom
    # there; coxph makes its NaN.
    peer$df[is.nan(peer$df)] <- 0
    # Its first log-likelihood is less the penalty, its second is not.
    at_start <- peer$coxlist2$second * (call$init %||% 0)^2 / 2
    peer$loglik[1L] <- peer$loglik[1L] + sum(at_start)
  }
  if (has_ridge(call) && has_strata(call)) {
    # Its residuals do not add up here.
    peer$residuals[] <- fit$residuals
    w <- fit$weights %||% 1
    expect_lt(abs(sum(w * fit$residuals)), 1e-9)
  }
  expect_same_fit(fit, peer, info = info)
  for (type in c("score", "dfbeta", "scaledsch")) {
    if (fit$method == "exact") break
    expect_equal(residuals(fit, type), residuals(peer, type),
                 tolerance = max(1e-7, digits_lost(as.matrix(peer$var))),
                 info = paste(info, type))
  }
  result("compared")
}

# Largest difference, relative to the largest number.
apart <- function(a, b) {
  if (length(b) == 0L) return(0)
  max(abs(a - b)) / max(abs(b), .Machine$double.xmin)
}
