# A design of cox() as the engine takes it, and the engine's answers as R has
# them. Every call of the engine for a Cox model is in this file.

# Rows as arrays: start (NULL when right-censored), stop, event, stratum codes,
# offset (less its mean), weight, x.
cox_rows <- function(design) {
  n <- nrow(design$y)
  counting <- ncol(design$y) == 3L
  times <- bare_values(design$y)
  column <- function(k) times[seq.int((k - 1) * n + 1, length.out = n)]
  list(
    start = if (counting) column(1L), stop = column(1L + counting),
    event = as.integer(column(2L + counting)),
    stratum = if (is.null(design$strata)) rep.int(1L, n) else
      dense_codes(design$strata),
    offset = if (is.null(design$offset)) numeric(n) else
      as.double(design$offset),
    weight = if (is.null(design$weights)) rep(1, n) else
      as.double(design$weights),
    x = plain_matrix(design$x)
  )
}

# Codes 1..S without gaps: levels that no row has would be empty strata.
dense_codes <- function(f) {
  code <- as.integer(f)
  used <- tabulate(code) > 0L
  if (all(used)) code else cumsum(used)[code]
}

plain_matrix <- function(x) {
  if (is.double(x) && identical(names(attributes(x)), "dim")) return(x)
  matrix(as.double(x), nrow(x), ncol(x))
}

# settings: ties, init, control, nocenter, engine (see cox()); penalty: diagonal
# of second derivatives, or NULL. Value: coefficients (NA where dropped), var,
# var2, loglik at init and at the result, score (gradient), score_test (at
# init), iterations, halvings, converged, infinite, linear_predictors,
# residuals, means.
engine_cox_fit <- function(rows, settings, penalty) {
  arguments <- list(
    start = rows$start, stop = rows$stop, event = rows$event,
    stratum = rows$stratum, offset = rows$offset, weight = rows$weight,
    x = rows$x, ties = settings$ties, init = settings$init, penalty = penalty,
    control = engine_control(settings$control), nocenter = settings$nocenter
  )
  fit <- do.call(engine_call,
                 c("fit_cox", arguments, engine_options(settings$engine)))
  p <- ncol(rows$x)
  fit$coefficients[is.nan(fit$coefficients)] <- NA_real_
  fit$var <- matrix(fit$var, p, p)
  if (!is.null(penalty)) fit$var2 <- matrix(fit$var2, p, p)
  as_count <- if (settings$ties == "exact") as.double else as.integer
  fit$iterations <- as_count(fit$iterations)
  fit$infinite <- as.logical(fit$infinite)
  fit
}

# coxph's names for the settings of the iteration; its own default number of
# iterations is for its own method.
engine_control <- function(control) {
  c(if ("iter.max" %in% control$given) {
      list(max_iter = as.integer(control$iter.max))
    },
    list(tol_singular = control$toler.chol))
}

# What every function for a fitted model asks for first.
engine_cox_call <- function(fun, rows, lp, ...) {
  engine_call(fun, start = rows$start, stop = rows$stop, event = rows$event,
              stratum = rows$stratum, weight = rows$weight,
              linear_predictors = lp, ...)
}

# type: "score", "dfbeta" or "dfbetas" (n x p); "schoenfeld" or "scaledsch": a
# list with residuals (events x p), row and time of the events.
engine_cox_residuals <- function(rows, lp, ties, type, weighted, var,
                                 coefficients) {
  coefficients[is.na(coefficients)] <- 0
  engine_cox_call(
    "cox_residuals", rows, lp, x = rows$x, ties = ties, type = type,
    var = unname(var), weighted = weighted,
    coefficients = unname(coefficients)
  )
}

# The robust variance at the fit; and at the starting values, the sum of the
# scores and their variance by group. coxph leaves the offset out of the latter.
engine_cox_robust <- function(rows, fit, settings, groups) {
  at <- function(lp) {
    engine_cox_call("cox_robust_var", rows, lp, x = rows$x,
                    ties = settings$ties, var = fit$var, cluster = groups)
  }
  start <- at(if (is.null(settings$init)) numeric(length(rows$stop)) else
    as.vector(rows$x %*% settings$init))
  p <- ncol(rows$x)
  list(var = matrix(at(fit$linear_predictors)$var, p, p),
       score_var = matrix(start$meat, p, p), score = as.vector(start$score))
}

# Value: list(count, concordance, var).
engine_cox_concordance <- function(rows, lp, groups) {
  found <- engine_cox_call("cox_concordance", rows, lp, cluster = groups)
  names <- c("concordant", "discordant", "tied_x", "tied_y", "tied_xy")
  list(count = as.double(unlist(found[names])),
       concordance = as.double(found$concordance), var = as.double(found$var))
}
