# WCE(): the front door of the CRAN package WCE, on this package's own engines.
#
# Rows of one time unit per line -> checks (wce-compat-check.R) -> the rows and
# records of wce_fit_impl() -> a list with the fields of a WCE object. Times
# become numbers of rows since the earliest start, so a lag counts rows, as
# there; unit rows of a week or a tenth of a day work as days do.

#' Weighted cumulative exposure models from scripts written for WCE
#'
#' `WCE()`, `HR.WCE()`, `knotsWCE()` and `checkWCE()` take the arguments, and
#' give the results, of the functions of these names in the CRAN package WCE
#' (version 1.0.3), so that its scripts run once `library(WCE)` reads
#' `library(vigitensor)`. They compute with the engines of this package, which
#' never expand the data. For new work see [wce()]: formulas, dispensing
#' records, strata, exact constraints, confidence bands.
#'
#' @section What agrees with WCE 1.0.3, and what does not:
#' Log-likelihoods, coefficients, standard errors, weight functions, hazard
#' ratios and criteria agree to the precision at which WCE stops iterating:
#' the partial likelihood with Efron's ties; cubic B-splines on the lags
#' `1..cutoff`, outer knots one unit apart; interior knots at quantiles of the
#' *lags* (not of the exposure); a constraint leaves out the last (or first)
#' two columns, so the weight ends near zero, not at zero; the criterion is
#' `-2 loglik + k log(events)` (BIC) or `-2 loglik + 2 k` (AIC), where `k`
#' counts `nknots + 4` columns (`nknots + 2` if constrained) and one for each
#' covariate column, dropped ones included. Standard errors are model-based and
#' take the number of knots as known. Lag 1 is the unit that ends at the event.
#'
#' Done here and not there:
#' * rows may come in any order; columns may have any names;
#' * delayed entry: a patient may begin later than others; doses before entry
#'   count as 0;
#' * covariates may be factors, strings or logical; `beta.hat.covariates` then
#'   has one column per coefficient (`armlow`, ...), all of them counted by the
#'   criterion;
#' * a model that did not converge has criterion `NA` and is never selected.
#'
#' Refused here, and accepted there with a wrong or no result: gaps (a lag
#' counts rows, so it would not be time any more), rows of mixed length,
#' misspelt covariates, missing values in a covariate, negative doses, unknown
#' arguments.
#'
#' @param data Data frame, one row per patient and time unit, (start, stop].
#'   Rows may last any time, but all the same; a patient's rows must follow each
#'   other without gaps.
#' @param analysis `"Cox"`; there is no other.
#' @param nknots One or several numbers of interior knots, each >= 1. Several
#'   give one model each.
#' @param cutoff Length of the time window, in rows (time units).
#' @param constrained `FALSE`, `"Right"` (or `"right"`, `"R"`) for a weight that
#'   goes to zero at the oldest lag, `"Left"` (or `"left"`, `"L"`) for one that
#'   starts near zero.
#' @param aic `TRUE` to compare models by AIC, `FALSE` by BIC.
#' @param MatchedSet Not used, as in WCE; must be `NULL`.
#' @param id,event,start,stop,expos Names of the columns of `data`: patient,
#'   event (0/1), row start, row stop, dose.
#' @param covariates Names of columns of `data`, or `NULL`.
#' @param controls A list as made by [survival::coxph.control()]: `iter.max` and
#'   `toler.chol` are used. `eps` is not needed: fits always go to the optimum.
#' @param ... No more arguments: anything here is an error.
#'
#' @return `WCE()`: a list of class `c("wce_compat", "WCE")`, with the fields of
#'   WCE's, `k` being the number of models and `m` the cutoff:
#'   \describe{
#'     \item{knotsmat}{list of `k` knot vectors, outer knots included}
#'     \item{WCEmat}{`k x m` matrix of weights, columns `t1..tm`}
#'     \item{loglik, info.criterion}{`1 x k` matrices}
#'     \item{est, SED}{lists of spline coefficients and their standard errors}
#'     \item{vcovmat}{list of covariance matrices, covariates first}
#'     \item{beta.hat.covariates, se.covariates}{matrices with one row per
#'       model; absent without covariates}
#'     \item{covariates, constrained, nevents, aic, analysis}{as called;
#'       `nevents` is the number of rows with an event}
#'   }
#'   and an attribute `"details"` (engine, counts, convergence, lags covered).
#'
#' @section Errors:
#' Class `vigitensor_error`, and one class for each fault, such as
#' `vigitensor_error_gap`, `vigitensor_error_row_length`,
#' `vigitensor_error_missing_values`, `vigitensor_error_missing_column`,
#' `vigitensor_error_cutoff`. All faults of the data are reported together, with
#' row numbers in `$rows`. Warnings: `vigitensor_warning_not_converged`,
#' `vigitensor_warning_collinear`, `vigitensor_warning_infinite`,
#' `vigitensor_warning_uncovered_lags`.
#'
#' @references Sylvestre MP, Abrahamowicz M (2009). Flexible modeling of the
#'   cumulative effects of time-dependent exposures on the hazard. *Statistics
#'   in Medicine* 28, 3437-3453. \doi{10.1002/sim.3701}
#' @seealso [wce()]
#' @export
#' @rdname wce_compat
#' @order 1
#' @examples
#' # 60 patients, a row per day, dose 1 on some days, some events
#' set.seed(1)
#' last <- sample(20:40, 60, replace = TRUE)
#' days <- data.frame(Id = rep(1:60, last), Stop = sequence(last))
#' days$Start <- days$Stop - 1
#' days$dose <- rbinom(60, 1, 0.5)[days$Id] * (days$Stop %% 15 > 5)
#' days$sex <- (days$Id %% 2)
#' days$Event <- (days$Stop == last[days$Id]) * rbinom(60, 1, 0.7)[days$Id]
#'
#' checkWCE(days, id = "Id", event = "Event", start = "Start", stop = "Stop",
#'          expos = "dose")
#' old <- options(vigitensor.engine = "reference")
#' fit <- WCE(days, "Cox", nknots = 1:2, cutoff = 15, constrained = "Right",
#'            id = "Id", event = "Event", start = "Start", stop = "Stop",
#'            expos = "dose", covariates = "sex")
#' options(old)
#' summary(fit)
#' coef(fit)
#' knotsWCE(fit)
#' HR.WCE(fit, vecnum = rep(1, 15), vecdenom = rep(0, 15))
#' plot(fit, allres = TRUE)
WCE <- function(data, analysis = "Cox", nknots, cutoff, constrained = FALSE,
                aic = FALSE, MatchedSet = NULL, id, event, start, stop, expos,
                covariates = NULL, controls = NULL, ...) {
  check_no_more(..., known = names(formals(WCE)))
  compat_need(
    data = missing(data), nknots = missing(nknots), cutoff = missing(cutoff),
    id = missing(id), event = missing(event), start = missing(start),
    stop = missing(stop), expos = missing(expos)
  )
  spec <- compat_spec(analysis, nknots, cutoff, constrained, aic, MatchedSet,
                      controls)
  roles <- list(id = id, event = event, start = start, stop = stop,
                expos = expos)
  covariates <- compat_columns(data, roles, covariates)
  faults <- new_faults()
  checked <- compat_check_data(data, roles, covariates, faults)
  stop_for_faults(faults)
  design <- compat_design(checked, spec)
  engine <- choose_engine()
  result <- wce_fit_impl(design$rows, list(design$term), design$designs,
                         ties = "efron", engine = engine,
                         control = spec$control)
  compat_warn(result, design)
  compat_object(result, design, spec, covariates,
                checked$nevents, engine)
}

# The person rows, the dose records and the bases of one call.
compat_design <- function(checked, spec) {
  compat_check_cutoff(spec, checked$longest)
  joined <- join_rows(checked$subject, checked$start, checked$stop,
                      checked$event,
                      unname(lapply(checked$covariates, compat_bare)),
                      checked$ord)
  x <- compat_model_matrix(checked$covariates, joined$first)
  n <- length(joined$first)
  doses <- join_doses(checked$subject, checked$start, checked$stop,
                      checked$dose, checked$ord)
  bases <- lapply(spec$knots, function(knots) {
    wce_basis(spec$cutoff, knots, spec$side, basis = "WCE")
  })
  names(bases) <- paste(spec$nknots, "knot(s)")
  compat_check_size(spec, bases, ncol(x), sum(checked$event))
  list(
    rows = list(
      subject = checked$subject[joined$first],
      start = checked$start[joined$first], stop = checked$stop[joined$last],
      event = checked$event[joined$last], stratum = rep.int(1L, n),
      offset = numeric(n), weight = rep.int(1, n), x = x,
      n_subjects = checked$n_subjects
    ),
    term = c(list(label = "exposure", cutoff = spec$cutoff, lag_in = 0L),
             doses),
    bases = bases,
    designs = unname(lapply(bases, function(basis) {
      list(wce_cumulate(basis))
    })),
    counts = checked[c("n_rows", "n_subjects", "n_delayed", "row_length")]
  )
}

# One column per number, R's contrasts for the rest; named as in a formula.
compat_model_matrix <- function(covariates, rows) {
  blocks <- lapply(names(covariates), function(name) {
    value <- covariates[[name]][rows]
    if (is.numeric(value)) {
      return(matrix(plain_double(value), dimnames = list(NULL, name)))
    }
    if (length(unique(value)) < 2L) {
      return(matrix(0, length(value), 1L, dimnames = list(NULL, name)))
    }
    value <- if (is.factor(value)) droplevels(value) else factor(value)
    block <- stats::model.matrix(~value)[, -1L, drop = FALSE]
    colnames(block) <- sub("^value", name, colnames(block))
    block
  })
  x <- do.call(cbind, blocks)
  if (is.null(x)) matrix(0, length(rows), 0L) else x
}

# What join_rows() can compare: bare numbers, logicals, strings, factor codes.
compat_bare <- function(x) {
  if (is.factor(x)) as.integer(x) else as.vector(unclass(x))
}

# What the peer would not say, or only in the text of coxph.
compat_warn <- function(result, design) {
  fits <- result$fits
  n_covariates <- ncol(design$rows$x)
  names_of <- function(fit, which) {
    name <- c(colnames(design$rows$x),
              paste0("D", seq_len(length(fit$coefficients) - n_covariates)))
    name[which]
  }
  dropped <- unique(unlist(lapply(fits, function(fit) {
    names_of(fit, is.na(fit$coefficients))
  })))
  if (length(dropped)) {
    warn_user(
      sprintf("%s could not be estimated: constant, or collinear with others.",
              paste0("`", dropped, "`", collapse = ", ")),
      i = "The coefficients are NA; the criterion counts them, as WCE does.",
      code = "collinear", data = list(coefficients = dropped)
    )
  }
  infinite <- which(vapply(fits, function(fit) any(fit$infinite), NA))
  if (length(infinite)) {
    warn_user(
      sprintf("The likelihood rises for ever along a coefficient (%s).",
              paste(names(design$bases)[infinite], collapse = ", ")),
      i = "Its standard error means nothing.", code = "infinite"
    )
  }
  failed <- which(!vapply(fits, `[[`, NA, "converged"))
  if (length(failed)) {
    warn_user(
      sprintf("Not converged: %s.",
              paste(names(design$bases)[failed], collapse = ", ")),
      i = "The criterion is NA, so that such a model is never selected.",
      code = "not_converged"
    )
  }
  covered <- result$covered[[1L]]
  if (!all(covered)) {
    warn_user(
      "There are lags at which no patient at risk had a dose at any event.",
      x = sprintf("Not covered: lags %s.", format_ranges(which(!covered))),
      i = "The weights there come from the shape of the splines alone.",
      code = "uncovered_lags", data = list(lags = which(!covered))
    )
  }
  invisible()
}

# The fields of a WCE object from the fits of an engine.
compat_object <- function(result, design, spec, covariates, nevents, engine) {
  fits <- result$fits
  labels <- names(design$bases)
  n_covariates <- ncol(design$rows$x)
  named <- function(x) stats::setNames(x, labels)
  first <- if (identical(spec$constrained, "Left")) 3L else 1L

  spline <- lapply(seq_along(fits), function(g) {
    at <- n_covariates + seq_len(ncol(design$bases[[g]]))
    list(at = at, names = paste0("D", first + seq_along(at) - 1L))
  })
  est <- lapply(seq_along(fits), function(g) {
    stats::setNames(fits[[g]]$coefficients[spline[[g]]$at], spline[[g]]$names)
  })
  se <- lapply(fits, function(fit) sqrt(pmax(diag(fit$var), 0)))
  converged <- vapply(fits, `[[`, TRUE, "converged")
  loglik <- vapply(fits, function(fit) fit$loglik[2L], 0)
  k <- lengths(est) + n_covariates
  criterion <- -2 * loglik + k * (if (spec$aic) 2 else log(nevents))
  criterion[!converged | !is.finite(loglik)] <- NA_real_

  fields <- list(
    knotsmat = named(spec$all_knots),
    WCEmat = compat_weights(design$bases, est, labels),
    loglik = matrix(loglik, 1L, dimnames = list(NULL, labels)),
    est = named(est),
    vcovmat = named(lapply(seq_along(fits), function(g) {
      names <- c(colnames(design$rows$x), spline[[g]]$names)
      matrix(fits[[g]]$var, length(names), dimnames = list(names, names))
    })),
    SED = lapply(seq_along(fits), function(g) {
      stats::setNames(se[[g]][spline[[g]]$at], spline[[g]]$names)
    })
  )
  if (n_covariates) {
    at <- seq_len(n_covariates)
    shape <- function(x) {
      matrix(unlist(x), length(fits), byrow = TRUE,
             dimnames = list(labels, colnames(design$rows$x)))
    }
    fields$beta.hat.covariates <-
      shape(lapply(fits, function(fit) fit$coefficients[at]))
    fields$se.covariates <- shape(lapply(se, `[`, at))
    fields <- c(fields, list(covariates = covariates,
                             constrained = spec$constrained))
  } else {
    fields <- c(fields, list(constrained = spec$constrained,
                             covariates = NULL))
  }
  fields <- c(fields, list(
    nevents = nevents, aic = spec$aic,
    info.criterion = matrix(criterion, 1L, dimnames = list(NULL, labels)),
    analysis = "Cox"
  ))
  structure(
    fields, class = c("wce_compat", "WCE"),
    details = c(list(
      engine = engine, converged = converged,
      iterations = vapply(fits, `[[`, 0L, "iterations"),
      covered = as.vector(result$covered[[1L]]), n_pairs = result$n_pairs
    ), design$counts, list(session = session_record(engine)))
  )
}

compat_weights <- function(bases, est, labels) {
  m <- nrow(bases[[1L]])
  weights <- vapply(seq_along(est), function(g) {
    drop(bases[[g]] %*% est[[g]])
  }, numeric(m))
  matrix(t(weights), length(est), m,
         dimnames = list(labels, paste0("t", seq_len(m))))
}
