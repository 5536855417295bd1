# cox() against survival::coxph at its optimum.

tight_control <- function(...) {
  survival::coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60, ...)
}

# The call of cox() as a call of coxph() at its optimum.
as_coxph_call <- function(call) {
  call[[1L]] <- quote(survival::coxph)
  call$engine <- call$light <- NULL
  if (is.null(call$control)) call$control <- quote(tight_control())
  call
}

# Components that cox() adds, and those that tell how coxph came to its result.
ours_alone <- c("engine", "passed_on", "session", "converged", "infinite",
                "gradient")
of_the_way <- c("call", "iter", "first", "info", "residuals", "terms",
                "formula")

# Largest difference, relative to the largest number when that is above one.
far <- function(a, b) {
  if (length(a) == 0L && length(b) == 0L) return(0)
  max(abs(a - b), na.rm = TRUE) / max(1, abs(b), na.rm = TRUE)
}

expect_within <- function(a, b, most, info) {
  off <- far(a, b)
  expect_true(off < most, info = sprintf("%s: off by %.2g", info, off))
}

# An inverse loses as many digits as its condition number has.
digits_lost <- function(var) {
  live <- diag(var) > 0
  if (!any(live)) return(0)
  scale <- sqrt(diag(var)[live])
  .Machine$double.eps *
    kappa(var[live, live, drop = FALSE] / outer(scale, scale), exact = TRUE)
}

# fit, peer: objects of cox() and coxph(). Everything that coxph stores, in its
# order, with its names and types.
expect_same_fit <- function(fit, peer, info = NULL, order = TRUE) {
  ours <- setdiff(names(fit), ours_alone)
  if (order) {
    expect_identical(ours, names(peer), info = info)
  } else {
    expect_setequal(ours, names(peer))
  }
  expect_identical(is.na(fit$coefficients), is.na(peer$coefficients),
                   info = info)
  expect_within(fit$loglik, peer$loglik, 1e-10, paste(info, "loglik"))
  loose <- digits_lost(as.matrix(fit$naive.var %||% fit$var %||% 1))
  expect_within(fit$coefficients, peer$coefficients, max(1e-8, loose),
                paste(info, "coefficients"))
  for (name in intersect(c("var", "naive.var", "var2"), names(peer))) {
    expect_equal(fit[[name]], peer[[name]], tolerance = max(1e-7, loose),
                 info = paste(info, name))
  }
  for (name in setdiff(names(peer), c(of_the_way, "coefficients", "loglik",
                                      "var", "naive.var", "var2"))) {
    expect_equal(fit[[name]], peer[[name]], tolerance = max(1e-7, loose),
                 info = paste(info, name))
  }
  expect_identical(names(fit$residuals), names(peer$residuals), info = info)
  expect_within(fit$residuals, peer$residuals, max(1e-8, loose),
                paste(info, "residuals"))
  expect_same_terms(fit$terms, peer$terms)
  expect_equal(fit$formula, peer$formula, ignore_formula_env = TRUE,
               info = info)
  types <- function(x) vapply(unclass(x)[names(peer)], typeof, "")
  expect_identical(types(fit), types(peer), info = info)
}

expect_same_terms <- function(a, b) {
  expect_identical(format(a), format(b))
  for (name in setdiff(names(attributes(b)), ".Environment")) {
    expect_equal(attr(a, name), attr(b, name), info = name)
  }
}

# Value: list(fit, peer), invisibly.
expect_like_coxph <- function(call, env = parent.frame()) {
  call <- substitute(call)
  fit <- eval(call, env)
  peer <- suppressWarnings(eval(as_coxph_call(call), env))
  expect_s3_class(fit, c("cox", class(peer)), exact = TRUE)
  expect_same_fit(fit, peer, info = deparse1(call))
  expect_identical(fit$engine, "cpu")
  expect_null(fit$passed_on)
  invisible(list(fit = fit, peer = peer))
}

# ---- random designs ---------------------------------------------------------

# A data set with everything that a design can meet: times with ties, entry,
# several rows per person, correlated columns, a rare level, missing values.
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
    ridge <- !exact && one_in(6)
    right <- c(
      covariates, if (one_in(3)) "strata(site)",
      if (one_in(8)) "strata(word, flag)", if (one_in(4)) "offset(off)",
      if (ridge) "ridge(count, part, theta = 2)"
    )
    weights <- if (!exact && !(ridge && startsWith(left, "Surv(start"))) {
      sample(list(NULL, NULL, quote(count), quote(part)), 1L)[[1L]]
    }
    call <- call("cox", stats::as.formula(paste(
      left, "~", paste(right, collapse = " + ")
    ), env = globalenv()), data = quote(data), ties = ties)
    call$weights <- weights
    if (!exact && one_in(3)) call$cluster <- quote(person)
    if (!exact && one_in(6)) call$id <- quote(person)
    if (one_in(5)) call$subset <- quote(site < 4)
    if (one_in(5)) call$na.action <- quote(na.exclude)
    if (one_in(5)) call$x <- TRUE
    call
  })
}
