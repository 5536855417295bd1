# Likelihoods of designs other than the cohort with a Cox model. Each takes
# covariates and features z (rows x p, named) and the rows `at`: y, offset,
# stratum; and gives a fit as the engines of wce() do.

# Sets of cases and controls, or the pieces of a person's own time: the chance
# that these rows of the set, of all its rows, are those with the events. ties:
# "exact" as in survival::clogit(), "breslow" for the conditional Poisson
# likelihood; with one event a set all are the same.
fit_conditional <- function(z, at, ties, engine, control) {
  useful <- useful_sets(at)
  z <- z[useful, , drop = FALSE]
  at <- lapply(at[intersect(c("y", "offset", "stratum", "log_length"),
                            names(at))], `[`, useful)
  fit <- maximise_sets(z, at, ties, engine, control)
  fit$loglik <- fit$loglik - log_lengths(at)
  fit
}

# Log-likelihoods are of the density of event times, not of counts in pieces of
# some length: the same for any pieces.
log_lengths <- function(at) sum(at$y * (at$log_length %||% 0))

maximise_sets <- function(z, at, ties, engine, control) {
  n <- length(at$y)
  if (engine == "reference") {
    risk <- list(set = at$stratum, event = at$y, row = seq_len(n))
    if (ties == "exact") return(reference_clogit(z, at))
    return(reference_coxph(risk, z, at$offset, rep(1, n), ties, control))
  }
  rows <- list(start = NULL, stop = rep(1, n), event = at$y,
               stratum = dense_codes(factor(at$stratum)), offset = at$offset,
               weight = rep(1, n), x = plain_matrix(z))
  settings <- list(ties = ties, init = NULL, nocenter = -1:1, engine = engine,
                   control = list(given = character(),
                                  toler.chol = control$tol_singular))
  fit <- engine_cox_fit(rows, settings, NULL)
  finished_fit(fit$coefficients, fit$var, fit$loglik, fit$score,
               fit$iterations, fit$converged, fit$infinite)
}

# Sets without a case say nothing.
useful_sets <- function(at) {
  which(at$stratum %in% at$stratum[at$y > 0])
}

reference_clogit <- function(z, at) {
  set <- at$stratum
  y <- survival::Surv(rep(1, length(at$y)), at$y)
  fit <- survival::coxph(
    y ~ z + strata(set) + offset(at$offset), ties = "exact",
    control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                      toler.chol = 1e-15)
  )
  b <- unname(stats::coef(fit))
  finished_fit(b, fit$var, fit$loglik, numeric(length(b)), fit$iter, TRUE,
               logical(length(b)))
}

# Logistic and Poisson regression.
fit_glm <- function(z, at, family) {
  fit <- withCallingHandlers(
    stats::glm.fit(z, at$y, offset = at$offset, family = family,
                   control = list(epsilon = 1e-14, maxit = 60, trace = FALSE),
                   intercept = FALSE),
    warning = function(w) {
      # Said of the fit itself: converged, infinite.
      invokeRestart("muffleWarning")
    }
  )
  b <- unname(fit$coefficients)
  p <- length(b)
  kept <- fit$qr$pivot[seq_len(fit$rank)]
  var <- matrix(0, p, p)
  var[kept, kept] <- chol2inv(fit$qr$qr[seq_along(kept), seq_along(kept),
                                        drop = FALSE])
  at_zero <- family$linkinv(at$offset)
  known <- replace(b, is.na(b), 0)
  mean <- family$linkinv(drop(z %*% known) + at$offset)
  # A rounding error short of 1e-14 is no lack of convergence.
  settled <- fit$converged || abs(sum((at$y - mean) * (z %*% known))) < 1e-6
  finished_fit(
    b, var, c(log_density(family, at$y, at_zero),
              log_density(family, at$y, mean)) - log_lengths(at),
    drop(crossprod(z, at$y - mean)), fit$iter, settled,
    !is.na(b) & sqrt(diag(var)) > 1e3 & abs(known) > 10
  )
}

# Without the terms that hold no parameter.
log_density <- function(family, y, mean) {
  if (family$family == "poisson") {
    return(sum(ifelse(y > 0, y * log(mean), 0) - mean))
  }
  sum(stats::dbinom(y, 1L, mean, log = TRUE))
}

finished_fit <- function(coefficients, var, loglik, score, iterations,
                         converged, infinite) {
  p <- length(coefficients)
  list(coefficients = coefficients, var = matrix(var, p, p), loglik = loglik,
       score = as.vector(score), iterations = as.integer(iterations),
       converged = isTRUE(as.logical(converged)),
       infinite = as.logical(infinite), active = logical(p), halvings = 0L)
}
