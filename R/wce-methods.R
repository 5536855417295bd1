# What R's modelling generics answer for a fitted "wce" object.
#
# coef(), formula(), confint(), AIC(), BIC() and update() work through the
# defaults of the stats package: the elements and methods here are made so.

#' Methods for fitted weighted cumulative exposure models
#'
#' The usual generics work on the result of [wce()]: `coef`, `vcov`, `confint`
#' (normal intervals), `logLik`, `AIC`, `BIC`, `nobs`, `formula`, `terms`,
#' `update`, `print` and `summary`; with the generics package (or broom)
#' attached also `tidy` and `glance`.
#'
#' The number of observations of a partial likelihood is its number of events:
#' `nobs()` gives that, and `BIC()` uses it, as for [survival::coxph()]. The
#' degrees of freedom are the coefficients that were estimated, or, of a
#' penalised fit, the effective ones.
#'
#' @param object,x A fitted model, from [wce()].
#' @param complete If `TRUE`, coefficients dropped as collinear have rows and
#'   columns of `NA`, as they are `NA` in `coef()` (coxph puts zeros there); if
#'   `FALSE` they are left out.
#' @param ... Not used.
#' @return
#' * `vcov`: the covariance matrix of the coefficients, the inverse of the
#'   information or the robust variance, named as `coef()`.
#' * `logLik`: the log partial likelihood at the optimum, with attributes `df`
#'   and `nobs`.
#' * `nobs`: the number of events.
#' * `terms`: the terms of the model formula, `exposure()` terms included.
#' @name wce-methods
#' @seealso [weight_function()], [hazard_ratio()], [refit()], [plot.wce()]
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' fit
#' coef(summary(fit))
#' confint(fit)
#' BIC(fit)
NULL

#' @rdname wce-methods
#' @importFrom stats vcov
#' @export
vcov.wce <- function(object, complete = TRUE, ...) {
  labels <- names(object$coefficients)
  dropped <- is.na(object$coefficients)
  var <- object$var
  dimnames(var) <- list(labels, labels)
  if (!complete) return(var[!dropped, !dropped, drop = FALSE])
  var[dropped, ] <- NA
  var[, dropped] <- NA
  var
}

#' @rdname wce-methods
#' @importFrom stats logLik
#' @export
logLik.wce <- function(object, ...) {
  structure(object$loglik[2L], df = n_estimated(object),
            nobs = object$nevent, class = "logLik")
}

n_estimated <- function(object) degrees_of_freedom(object)

#' @rdname wce-methods
#' @importFrom stats nobs
#' @export
nobs.wce <- function(object, ...) object$nevent

#' @rdname wce-methods
#' @importFrom stats terms
#' @export
terms.wce <- function(x, ...) {
  # A dot stays a dot: the data are not kept.
  stats::terms(x$formula, specials = c("exposure", "strata"),
               allowDotAsName = TRUE)
}

#' @rdname weight_function
#' @param x A fitted model.
#' @param row.names,optional Not used.
#' @param ... Passed to `weight_function()`.
#' @export
as.data.frame.wce <- function(x, row.names = NULL, optional = FALSE, ...) {
  as.data.frame(weight_function(x, ...))
}

# ---- summary -----------------------------------------------------------------

#' @rdname wce-methods
#' @param level Confidence level of the intervals.
#' @return
#' * `summary`: an object of class `summary.wce`; its `coefficients` (also
#'   `coef(summary(fit))`) is a matrix with a row per coefficient and columns
#'   `coef`, `exp(coef)`, `se(coef)` (of the model), with a robust variance
#'   `robust se`, then `z` and `Pr(>|z|)`, its `weights` a list
#'   with the weight function of each term at some lags, `logtest` the
#'   likelihood ratio test against no effect of anything.
#' @export
summary.wce <- function(object, level = 0.95, ...) {
  check_level(level)
  keep <- c("call", "formula", "engine", "n_rows", "n_subjects", "nevent",
            "n_pairs", "ties", "criterion", "df", "loglik", "iter", "converged",
            "infinite", "active", "smoothing", "exposures", "selection",
            "counts", "meta", "unit", "session")
  result <- object[intersect(keep, names(object))]
  result$coefficients <- coefficient_table(object)
  result$level <- level
  result$weights <- lapply(seq_along(object$exposures), function(k) {
    all_lags <- weight_function(object, term = k, level = level)
    shown <- some_lags(object$exposures[[k]])
    all_lags[match(shown, all_lags$lag), , drop = FALSE]
  })
  names(result$weights) <- exposure_labels(object)
  result$total <- total_effects(object, level)
  statistic <- 2 * diff(object$loglik)
  result$logtest <- c(test = statistic, df = object$df, pvalue = stats::pchisq(
    statistic, object$df, lower.tail = FALSE))
  structure(result, class = "summary.wce")
}

coefficient_table <- function(object) {
  b <- object$coefficients
  error <- function(var) {
    se <- sqrt(diag(var))
    se[is.na(b)] <- NA
    se
  }
  se <- error(object$var)
  z <- b / se
  # Held at zero by the shape: there is nothing to test.
  z[se == 0] <- NA
  robust <- !is.null(object$naive.var)
  columns <- list("coef" = b, "exp(coef)" = exp(b),
                  "se(coef)" = if (robust) error(object$naive.var) else se,
                  "robust se" = if (robust) se, z = z,
                  "Pr(>|z|)" = 2 * stats::pnorm(-abs(z)))
  table <- do.call(cbind, columns)
  rownames(table) <- names(b)
  table
}

# About seven lags, both ends among them, on round numbers where possible.
some_lags <- function(exposure) {
  lags <- exposure$lags
  n <- length(lags)
  if (n <= 8L) return(lags)
  round_ones <- pretty(lags, n = 6L)
  step <- max(1, round(round_ones[2L] - round_ones[1L]))
  middle <- lags[lags %% step == 0]
  middle <- middle[middle - lags[1L] >= step / 2 &
                     lags[n] - middle >= step / 2]
  c(lags[1L], middle, lags[n])
}

# Hazard ratio of dose 1 at every lag against none, by term. NA where the data
# do not cover the whole window.
total_effects <- function(object, level) {
  effects <- lapply(seq_along(object$exposures), function(k) {
    tryCatch(
      hazard_ratio(object, 1, level = level, term = k),
      vigitensor_error_uncovered_lags = no_total,
      vigitensor_error_not_estimable = no_total
    )
  })
  result <- do.call(rbind, lapply(effects, as.data.frame))
  result$profile <- NULL
  cbind(term = exposure_labels(object), result)
}

no_total <- function(condition) {
  data.frame(profile = "1", log_hr = NA_real_, se = NA_real_, hr = NA_real_,
             lower = NA_real_, upper = NA_real_)
}
