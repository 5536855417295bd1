# cox() against survival::coxph at its optimum.

tight_control <- function(...) {
  survival::coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60, ...)
}

# The call of cox() as a call of coxph() at its optimum.
as_coxph_call <- function(call) {
  call[[1L]] <- quote(survival::coxph)
  call$engine <- call$light <- NULL
  if (is.null(call$control)) {
    # With exact ties a collinear column that 1e-15 does not see makes NaN.
    call$control <- if (identical(call$ties, "exact")) {
      quote(survival::coxph.control(eps = 1e-14, iter.max = 60))
    } else {
      quote(tight_control())
    }
  }
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
  max(abs(a - b), 0, na.rm = TRUE) / max(1, abs(b), na.rm = TRUE)
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
