# What a fitted model says about doses: the weight function, and the hazard
# ratio between two dose histories.
#
# Both are linear in the spline coefficients b of one exposure term. With B the
# basis (lags x J) and V the covariance of b,
#   weight at lag u     w(u) = B[u, ] b                 var = B[u, ] V B[u, ]'
#   log hazard ratio    (a - r)' B b = c' b             var = c' V c
# for dose vectors a (profile) and r (reference), newest first.
# An interval is estimate +- z * se, on the log scale for a hazard ratio.

#' Weight function of an exposure
#'
#' The weight \eqn{w(u)} is the log hazard ratio, now, of one unit of dose taken
#' at lag \eqn{u}. Lag 1 is the time unit that ends now, lag 2 the unit before.
#'
#' @section Bands:
#' A `"pointwise"` band covers the true weight at every single lag with the
#' given probability; a `"simultaneous"` one the whole curve, at all lags at
#' once, and is wider.
#'
#' Of a fit, standard errors are those of the chosen number of knots, as if it
#' had been known beforehand; the simultaneous band is the estimate \eqn{\pm c}
#' standard errors, where \eqn{c} is the quantile of the largest standardised
#' error along the curve, by simulation of the normal distribution of the
#' coefficients.
#'
#' Of a [bootstrap()], standard errors are standard deviations over the
#' replicates; the pointwise band is made of their percentiles, BCa or normal
#' intervals (`type`, see [bootstrap_fit]), and \eqn{c} of the simultaneous band
#' is the quantile of the largest standardised error of the replicates. With
#' `reselect = TRUE` replicates are compared as curves, whatever their knots: a
#' curve is zero beyond its own cutoff, and lags go up to the longest.
#'
#' @param fit A fitted model, from [wce()], or its [bootstrap()].
#' @param term Which exposure term: its label, such as `"exposure(dose)"`, the
#'   name in it (`"dose"`) where no other term has that, or its number. `NULL`:
#'   all terms.
#' @param level Confidence level of the interval, one number between 0 and 1.
#' @param band `"pointwise"` or `"simultaneous"`, see Bands.
#' @param type For a bootstrap, kind of the pointwise intervals: `"percentile"`,
#'   `"bca"` or `"normal"`.
#' @param seed Seed of the simulation for a simultaneous band.
#' @param ... For methods.
#' @return A data frame of class `weight_function` with one row per lag (and
#'   term):
#'   \describe{
#'   \item{term}{label of the exposure term, only if there are several;}
#'   \item{lag}{the lag, in the time unit of the data. With `lag_in` the lags
#'     begin at `lag_in + 1`: the doses before do not enter the model;}
#'   \item{weight}{the weight, log hazard ratio per unit of dose. `NA` where the
#'     data cannot tell: at lags that no dose of the data reaches at any event
#'     time, and where a spline coefficient was dropped as collinear;}
#'   \item{se}{its standard error, 0 where the constraint fixes the weight;}
#'   \item{lower, upper}{the interval.}
#'   }
#'   Attributes: `unit` (the time unit), `level`, `band`, `type` (`"wald"`,
#'   `"percentile"`, ...), `critical` (one per term: with a simultaneous band,
#'   the number of standard errors), `replicates` (of a bootstrap, those that
#'   did not fail).
#' @section Errors: `vigitensor_error_input` for an argument of the wrong type,
#'   `vigitensor_error_unknown_term` for a term that the model has not.
#' @seealso [hazard_ratio()], [plot.wce()]
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' head(weight_function(fit))
#' head(weight_function(fit, band = "simultaneous"))
weight_function <- function(fit, ...) UseMethod("weight_function")

#' @export
weight_function.default <- function(fit, ...) stop_not_wce(fit)

#' @rdname weight_function
#' @export
weight_function.wce <- function(fit, term = NULL, level = 0.95,
                                band = "pointwise", seed = 1L, ...) {
  check_no_more(..., known = c("term", "level", "band", "seed"))
  check_level(level)
  band <- check_word(band, bands, "band")
  which_terms <- if (is.null(term)) seq_along(fit$exposures) else {
    find_term(fit, term)
  }
  pieces <- lapply(which_terms, function(k) {
    weights_of_term(fit, fit$exposures[[k]], level, band, seed)
  })
  new_weight_function(pieces, fit, which_terms, level, band, "wald")
}

bands <- c("pointwise", "simultaneous")

weights_of_term <- function(fit, exposure, level, band = "pointwise",
                            seed = 1L) {
  known <- term_estimate(fit, exposure)
  weight <- drop(known$basis %*% known$b)
  se <- contrast_se(known$basis, known$var)
  weight[!known$estimable] <- NA
  se[!known$estimable] <- NA
  critical <- if (band == "pointwise") stats::qnorm((1 + level) / 2) else {
    simultaneous_critical(known$basis[known$estimable, , drop = FALSE],
                          known$var, level, seed)
  }
  reach <- ifelse(se == 0, 0, critical * se)
  structure(data.frame(lag = exposure$lags, weight = weight, se = se,
                       lower = weight - reach, upper = weight + reach),
            critical = critical)
}

# pieces: a data frame per term, with an attribute "critical".
new_weight_function <- function(pieces, fit, which_terms, level, band, type,
                                replicates = NULL) {
  result <- do.call(rbind, pieces)
  labels <- exposure_labels(fit)[which_terms]
  if (length(pieces) > 1L) {
    n_lags <- vapply(pieces, nrow, 0L)
    result <- cbind(term = rep(labels, n_lags), result)
  }
  attr(result, "critical") <- NULL
  structure(result, unit = fit$unit, level = level, band = band, type = type,
            critical = if (band == "simultaneous") stats::setNames(
              vapply(pieces, attr, 0, "critical"), labels
            ),
            replicates = replicates,
            class = c("weight_function", "data.frame"))
}

# Coefficients, covariance and basis of one term, and the lags at which its
# weight can be estimated. A dropped coefficient has the value 0 by convention
# only, so lags under its basis function are not estimable either.
term_estimate <- function(fit, exposure) {
  b <- fit$coefficients[exposure$index]
  var <- fit$var[exposure$index, exposure$index, drop = FALSE]
  basis <- plain_basis(exposure)
  dropped <- is.na(b)
  b[dropped] <- 0
  var[dropped, ] <- 0
  var[, dropped] <- 0
  under_dropped <- rowSums(abs(basis[, dropped, drop = FALSE])) > 0
  list(b = unname(b), var = unname(var), basis = basis,
       covered = exposure$covered, estimable = exposure$covered &
         !under_dropped)
}

# Standard errors of the rows of `contrasts` (k x J); rounding may leave a
# variance of zero slightly negative.
contrast_se <- function(contrasts, var) {
  sqrt(pmax(0, rowSums((contrasts %*% var) * contrasts)))
}

#' Hazard ratio between two dose histories
#'
#' Compares the hazard of a person with the dose history `profile` with that of
#' the same person with the history `reference`, at one time. The interval is by
#' the delta method.
#'
#' A dose history is given as one of
#' * a numeric vector of doses per time unit, **newest first**: the first number
#'   is the dose at lag 1, the unit that ends now. A vector shorter than the
#'   cutoff is filled up with zeros (no older doses); a longer one is an error
#'   unless all that lies beyond the cutoff is zero;
#' * one number: this dose at every lag of the window (for one unit of dose at
#'   lag 1 only, write `c(1, 0)`);
#' * a list of such vectors, or a matrix with one history per row: one hazard
#'   ratio each;
#' * a data frame of records with columns `start`, `stop` and `dose` (dose per
#'   time unit in `(start, stop]`; overlapping records add), together with `at`,
#'   the time or times at which the hazard is compared. The unit `(x, x + 1]`
#'   has lag `at - x`; records after `at` do not matter. As in [wce()], dates
#'   are day numbers: the dose of day D counts from `at = D + 1`.
#'
#' If the model was fitted in continuous time, times of records are any numbers,
#' and the first number of a vector is the dose in the time unit before now.
#'
#' Doses at lags up to `lag_in`, if the model has one, have no effect.
#'
#' Of a [bootstrap()] the interval is made of the replicates' log hazard ratios,
#' and `se` is their standard deviation.
#'
#' @param fit A fitted model, from [wce()], or its [bootstrap()].
#' @param profile,reference Dose histories, see Details. The default reference
#'   is no dose at all. One reference serves all profiles; else there must be as
#'   many as profiles, in the same order.
#' @param level Confidence level of the interval, one number between 0 and 1.
#' @param at For records only: whole numbers or dates, the times of comparison,
#'   on the clock of the records.
#' @param term Which exposure term: its label or its number. May be left out
#'   when the model has one.
#' @param type For a bootstrap, kind of the interval: `"percentile"`, `"bca"` or
#'   `"normal"`, see [bootstrap_fit].
#' @param ... For methods.
#' @return A data frame of class `hazard_ratio`, one row per profile: `profile`
#'   (its name, else its number), `log_hr`, `se` (of `log_hr`), `hr`, `lower`,
#'   `upper`.
#' @section Errors: `vigitensor_error_profile` for a history that cannot be read
#'   (type, length, missing, infinite or negative doses, fractional times),
#'   `vigitensor_error_uncovered_lags` if the two histories differ at lags that
#'   no dose of the data reaches, `vigitensor_error_not_estimable` if they
#'   differ where a spline coefficient was dropped as collinear,
#'   `vigitensor_error_unknown_term`, and `vigitensor_error_input` for the other
#'   arguments.
#' @seealso [dose_profile()] writes the history of a course of treatment.
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' hazard_ratio(fit, 1)
#' courses <- list(
#'   "10 days ago" = dose_profile(days = 10, began = 10, cutoff = 30),
#'   "60 days ago" = dose_profile(days = 10, began = 60, cutoff = 90)
#' )
#' hazard_ratio(fit, courses)
#' # the same from records, at two times
#' course <- data.frame(start = 0, stop = 10, dose = 1)
#' hazard_ratio(fit, course, at = c(10, 60))
hazard_ratio <- function(fit, ...) UseMethod("hazard_ratio")

#' @export
hazard_ratio.default <- function(fit, ...) stop_not_wce(fit)

#' @rdname hazard_ratio
#' @export
hazard_ratio.wce <- function(fit, profile, reference = 0, level = 0.95,
                             at = NULL, term = NULL, ...) {
  check_no_more(..., known = c("profile", "reference", "level", "at", "term"))
  check_level(level)
  exposure <- one_exposure(fit, term)
  check_histories(exposure, profile, reference, at)
  histories <- compare_histories(exposure, profile, reference, at)
  known <- term_estimate(fit, exposure)
  check_estimable(histories$difference, known, exposure, fit$unit)
  log_hr <- drop(histories$contrasts %*% known$b)
  se <- contrast_se(histories$contrasts, known$var)
  z <- stats::qnorm((1 + level) / 2)
  found <- new_hazard_ratio(histories$labels, log_hr, se, log_hr - z * se,
                            log_hr + z * se, exposure, level, "wald")
  attr(found, "measure") <- fit$model$measure
  found
}

# lower, upper: on the log scale.
new_hazard_ratio <- function(labels, log_hr, se, lower, upper, exposure, level,
                             type, replicates = NULL) {
  structure(
    data.frame(profile = labels, log_hr = log_hr, se = se, hr = exp(log_hr),
               lower = exp(lower), upper = exp(upper), row.names = NULL),
    term = exposure$label, level = level, type = type, replicates = replicates,
    class = c("hazard_ratio", "data.frame")
  )
}

on_unit_clock <- function(exposure) !identical(exposure$clock, "continuous")

check_histories <- function(exposure, profile, reference, at) {
  check_at(at, profile, reference, on_unit_clock(exposure))
}

# Value: list(labels, difference = histories x lags, contrasts = histories x J:
# times the coefficients they are log hazard ratios).
compare_histories <- function(exposure, profile, reference, at) {
  read <- if (on_unit_clock(exposure)) unit_histories else smooth_histories
  taken <- read(profile, exposure, at, "profile")
  against <- read(reference, exposure, at, "reference")
  n <- nrow(taken$doses)
  if (nrow(against$doses) != 1L && nrow(against$doses) != n) {
    abort_input(
      "`reference` must be one history, or one for each of `profile`.",
      x = sprintf("There are %d profiles and %d references.", n,
                  nrow(against$doses)),
      code = "profile", arg = "reference"
    )
  }
  rows <- rep_len(seq_len(nrow(against$doses)), n)
  list(labels = rownames(taken$doses),
       difference = taken$doses - against$doses[rows, , drop = FALSE],
       contrasts = taken$features - against$features[rows, , drop = FALSE])
}

# A ratio over lags about which the data say nothing would be an extrapolation
# of the spline with a standard error that means nothing.
check_estimable <- function(difference, known, exposure, unit) {
  used <- colSums(difference != 0) > 0
  uncovered <- exposure$lags[used & !known$covered]
  if (length(uncovered)) {
    abort_input(
      sprintf("The histories differ at lags that the data do not cover: %s %s.",
              format_ranges(uncovered), plural_unit(unit)),
      x = "No person at risk had a dose at these lags at any event time.",
      i = paste("Compare histories that are equal there, or fit with a",
                "shorter `cutoff`."),
      code = "uncovered_lags"
    )
  }
  unknown <- exposure$lags[used & !known$estimable]
  if (length(unknown)) {
    abort_input(
      sprintf("The weight cannot be estimated at lags %s %s.",
              format_ranges(unknown), plural_unit(unit)),
      x = "A spline coefficient there was dropped as collinear (it is NA).",
      i = "Fit with fewer knots, or with a shorter `cutoff`.",
      code = "not_estimable"
    )
  }
}

# ---- arguments ---------------------------------------------------------------

exposure_labels <- function(fit) vapply(fit$exposures, `[[`, "", "label")

plural_unit <- function(unit) paste0(unit %||% "unit", "s")

check_is_wce <- function(fit) if (!inherits(fit, "wce")) stop_not_wce(fit)

stop_not_wce <- function(fit) {
  abort_input("`fit` must be a model fitted by `wce()`.",
              x = sprintf("It is an object of class <%s>.", class(fit)[1L]),
              arg = "fit")
}

check_level <- function(level, arg = "level") {
  ok <- is.numeric(level) && length(level) == 1L && is.finite(level) &&
    level > 0 && level < 1
  if (!ok) {
    abort_input(sprintf("`%s` must be one number between 0 and 1.", arg),
                arg = arg)
  }
}

# Positions of the terms named by label or number.
find_term <- function(fit, term) find_label(exposure_labels(fit), term)

find_label <- function(labels, term) {
  at <- if (is.numeric(term)) match(term, seq_along(labels)) else NA
  if (is.character(term)) {
    at <- match(term, labels)
    # The name alone will do where one term has it: "a" for exposure("a").
    short <- sub("^exposure\\(\"?([^\",)]+).*$", "\\1", labels)
    short[short %in% short[duplicated(short)]] <- NA
    at <- ifelse(is.na(at), match(term, short), at)
  }
  if (!length(at) || anyNA(at)) {
    abort_input(
      "`term` must name an exposure term of the model, or be its number.",
      i = sprintf("The model has %s.",
                  format_list(paste0("\"", labels, "\""))),
      code = "unknown_term", arg = "term"
    )
  }
  at
}

one_exposure <- function(fit, term) {
  if (is.null(term)) {
    if (length(fit$exposures) != 1L) {
      abort_input(
        sprintf("`term` is needed: the model has %d exposure terms.",
                length(fit$exposures)),
        i = format_list(exposure_labels(fit)),
        code = "unknown_term", arg = "term"
      )
    }
    term <- 1L
  }
  at <- find_term(fit, term)
  if (length(at) != 1L) {
    abort_input("`term` must name one exposure term.", code = "unknown_term",
                arg = "term")
  }
  fit$exposures[[at]]
}
