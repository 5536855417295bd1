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

# settings: ties, init, control, nocenter (see cox()); penalty: diagonal of second
# derivatives, or NULL. Value: coefficients (NA where dropped), var, var2, loglik
# at init and at the result, score (gradient), score_test (at init), iterations,
# halvings, converged, infinite, linear_predictors, residuals, means.
engine_cox_fit <- function(rows, settings, penalty) {
  exact <- settings$ties == "exact" && is.null(rows$start)
  fit <- engine_call(
    "fit_cox", start = rows$start, stop = rows$stop, event = rows$event,
    stratum = rows$stratum, offset = rows$offset, weight = rows$weight,
    x = rows$x, ties = settings$ties, init = settings$init, penalty = penalty,
    control = engine_control(settings$control),
    # The exact method of coxph centres every column.
    nocenter = if (!exact) settings$nocenter
  )
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

# TEMPORARY: by survival until the engine has them.
stub_fit <- function(rows, eta, ties) {
  y <- if (is.null(rows$start)) Surv(rows$stop, rows$event) else
    Surv(rows$start, rows$stop, rows$event)
  structure(list(y = y, x = rows$x, weights = rows$weight,
                 strata = rows$stratum, linear.predictors = eta,
                 residuals = numeric(length(eta)), method = ties,
                 coefficients = stats::setNames(numeric(ncol(rows$x)), seq_len(ncol(rows$x))),
                 var = diag(ncol(rows$x)), terms = terms(y ~ 1)), class = "coxph")
}
engine_cox_scores <- function(rows, eta, ties) {
  unname(as.matrix(stats::residuals(stub_fit(rows, eta, ties), "score")))
}
engine_cox_robust <- function(rows, fit, settings, groups) {
  s <- engine_cox_scores(rows, fit$linear_predictors, settings$ties) * rows$weight
  d <- rowsum(s %*% fit$var, groups)
  s0 <- rowsum(engine_cox_scores(rows, if (is.null(settings$init)) numeric(nrow(s)) else as.vector(rows$x %*% settings$init), settings$ties) * rows$weight, groups)
  list(var = crossprod(d), score_var = crossprod(s0), score = colSums(s0))
}
engine_cox_concordance <- function(rows, lp, groups) {
  y <- stub_fit(rows, lp, "efron")$y
  found <- if (is.null(groups)) survival::concordancefit(y, lp, rows$stratum, rows$weight, reverse = TRUE, timefix = FALSE) else
   survival::concordancefit(y, lp, rows$stratum, rows$weight, cluster = groups, reverse = TRUE, timefix = FALSE)
  list(count = if (is.matrix(found$count)) colSums(found$count) else found$count, concordance = found$concordance, var = found$var)
}
engine_cox_schoenfeld <- function(rows, eta, ties, dead) {
  unname(as.matrix(stats::residuals(stub_fit(rows, eta, ties), "schoenfeld")))
}
engine_martingale <- function(rows, object) stop("later")
