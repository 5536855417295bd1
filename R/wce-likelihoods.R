# Likelihoods of designs other than the cohort. Each takes covariates and
# features z (rows x p, named) and the rows `at`: y, offset, stratum, subject;
# and gives a fit as the engines of wce() do.
#
# likelihood: list(kind = see wce-rows-derive.R, engine, control); penalty: of
# design_penalty(), or NULL.
maximise_rows <- function(z, at, likelihood, penalty = NULL) {
  if (likelihood$kind %in% c("sets", "exact")) {
    return(fit_conditional(z, at, likelihood, penalty))
  }
  if (is.null(penalty)) {
    return(fit_glm(z, at, glm_family(likelihood$kind)))
  }
  fit <- newton_rows(z, at, likelihood, penalty)
  fit$loglik <- fit$loglik - log_lengths(at)
  fit
}

glm_family <- function(kind) {
  if (kind == "poisson") stats::poisson() else stats::binomial()
}

# By the likelihood written out, in R; u: weights of the rows.
newton_rows <- function(z, at, likelihood, penalty, u = NULL, begin = NULL) {
  derive <- row_derivatives(z, at, likelihood$kind)(u)
  events <- sum(if (is.null(u)) at$y else u * at$y)
  fit <- penalised_newton(derive, ncol(z), events, likelihood$control,
                          penalty %||% no_penalty(ncol(z)), begin)
  fit$active <- logical(ncol(z))
  fit
}

no_penalty <- function(p) {
  list(parts = matrix(0, 0L, p), method = "fixed", log_lambda = numeric())
}

# Sets of cases and controls, or the pieces of a person's own time: the chance
# that these rows of the set, of all its rows, are those with the events. Kind
# "exact" as in survival::clogit(), "sets" also for the conditional Poisson
# likelihood; with one event a set all are the same.
fit_conditional <- function(z, at, likelihood, penalty = NULL) {
  useful <- useful_sets(at)
  z <- z[useful, , drop = FALSE]
  at <- rows_at(at, useful)
  fit <- maximise_sets(z, at, likelihood, penalty)
  fit$loglik <- fit$loglik - log_lengths(at)
  fit
}

rows_at <- function(at, rows) {
  lapply(at[intersect(c("y", "offset", "stratum", "subject", "log_length"),
                      names(at))], `[`, rows)
}

# Log-likelihoods are of the density of event times, not of counts in pieces of
# some length: the same for any pieces.
log_lengths <- function(at, u = 1) sum(u * at$y * (at$log_length %||% 0))

maximise_sets <- function(z, at, likelihood, penalty) {
  n <- length(at$y)
  exact <- likelihood$kind == "exact"
  if (likelihood$engine == "reference" || exact && !is.null(penalty)) {
    if (!is.null(penalty)) return(newton_rows(z, at, likelihood, penalty))
    risk <- list(set = at$stratum, event = at$y, row = seq_len(n))
    if (exact) return(reference_clogit(z, at))
    return(reference_coxph(risk, z, at$offset, rep(1, n), "breslow",
                           likelihood$control))
  }
  if (exact) return(engine_exact(z, at, likelihood))
  # A stratum for every set, and one time for all: risk sets are the sets.
  limits <- list(NULL)
  wce_fit_impl(set_rows(z, at), list(), list(list()), "breslow",
               likelihood$engine, likelihood$control, limits,
               list(penalty))$fits[[1L]]
}

# Rows of sets as the engines take rows of a cohort; unit: what is drawn.
set_rows <- function(z, at, unit = at$stratum) {
  n <- length(at$y)
  unit <- dense_codes(factor(unit))
  list(start = numeric(n), stop = rep(1, n), event = at$y,
       stratum = dense_codes(factor(at$stratum)), subject = unit,
       offset = at$offset, weight = rep(1, n), x = plain_matrix(z),
       n_subjects = max(unit))
}

engine_exact <- function(z, at, likelihood) {
  rows <- set_rows(z, at)
  rows["start"] <- list(NULL)
  settings <- list(
    ties = "exact", init = NULL, nocenter = -1:1, engine = "cpu",
    control = list(given = character(),
                   toler.chol = likelihood$control$tol_singular)
  )
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
