# Methods of "cox" where the engine is quicker, or something must be said. All
# other generics reach survival's methods for "coxph" by inheritance.

#' Methods for Cox models
#'
#' Everything that works on a [survival::coxph()] object works on a fit of
#' [cox()]. The methods here print which engine was used, and let the engine
#' compute residuals and concordance.
#'
#' @param object,x,formula A fit of [cox()].
#' @param type,collapse,weighted As in [survival::residuals.coxph()].
#' @param data The [claims_store()] of the fit, if `$call` does not find it.
#' @param ... Passed to survival's method.
#' @return What survival's method for `coxph` objects returns.
#' @name cox-methods
#' @seealso [cox()]
#' @examples
#' fit <- cox(Surv(time, status) ~ age + sex, survival::lung,
#'            engine = "reference")
#' head(residuals(fit, "dfbeta"))
#' predict(fit, survival::lung[1:3, ], type = "risk")
NULL

#' @rdname cox-methods
#' @export
print.cox <- function(x, ...) {
  NextMethod()
  print_engine(x)
  invisible(x)
}

print_engine <- function(x) {
  cat_wrapped(
    if (!is.null(x$passed_on)) {
      paste0("Fitted by survival::coxph(): the engine does not do ",
             x$passed_on, ".")
    } else {
      paste0("Engine \"", x$engine, "\".")
    },
    indent = 0L
  )
  if (!isTRUE(x$converged)) {
    cat_wrapped("Warning: the fit did not converge in ",
                count_of(sum(x$iter), "iteration"), ".")
  }
  if (any(x$infinite)) {
    cat_wrapped("Warning: the likelihood still rises as these grow: ",
                format_list(names(x$infinite)[x$infinite]), ".")
  }
}

#' @rdname cox-methods
#' @importFrom stats residuals
#' @export
residuals.cox <- function(object, type = c(
                            "martingale", "deviance", "score", "schoenfeld",
                            "dfbeta", "dfbetas", "scaledsch", "partial"
                          ), collapse = FALSE,
                          weighted = (type %in% c("dfbeta", "dfbetas")), ...) {
  type <- match.arg(type)
  of_rows <- type %in% c("score", "dfbeta", "dfbetas")
  of_events <- type %in% c("schoenfeld", "scaledsch")
  if (!(of_rows || of_events) || !fitted_by_engine(object)) {
    # survival takes a `collapse` for a wish, even FALSE.
    if (isFALSE(collapse)) {
      return(stats::residuals(as_coxph(object), type, weighted = weighted, ...))
    }
    return(stats::residuals(as_coxph(object), type, collapse = collapse,
                            weighted = weighted, ...))
  }
  design <- design_of(object)
  if (of_events) {
    schoenfeld_residuals(object, design, type, weighted)
  } else {
    score_residuals(object, design, type, collapse, weighted)
  }
}

fitted_by_engine <- function(object) {
  object$engine != "reference" && object$method != "exact" &&
    !is.null(object$coefficients)
}

as_coxph <- function(object) {
  class(object) <- setdiff(class(object), c("cox_light", "cox"))
  object
}

# ---- fits without rows ------------------------------------------------------

# What a light fit left out is made again by fitting again.
with_rows <- function(object) {
  call <- object$call
  call$light <- NULL
  call[[1L]] <- cox
  again <- tryCatch(
    withCallingHandlers(
      eval(call, environment(object$terms)),
      vigitensor_warning = function(w) tryInvokeRestart("muffleWarning")
    ),
    error = function(e) {
      abort_input(
        "A light fit needs its data for this, and fitting again failed.",
        x = conditionMessage(e),
        i = "The data are looked up by the name in `$call`.",
        code = "data_missing"
      )
    }
  )
  again$call <- object$call
  again
}

#' @rdname cox-methods
#' @export
residuals.cox_light <- function(object, ...) {
  stats::residuals(with_rows(object), ...)
}

#' @rdname cox-methods
#' @importFrom stats predict
#' @export
predict.cox_light <- function(object, ...) {
  stats::predict(with_rows(object), ...)
}

#' @rdname cox-methods
#' @importFrom stats fitted
#' @export
fitted.cox_light <- function(object, ...) {
  stats::fitted(with_rows(object), ...)
}

#' @rdname cox-methods
#' @importFrom survival survfit
#' @export
survfit.cox_light <- function(formula, ...) { # nolint: object_name_linter.
  survival::survfit(with_rows(formula), ...)
}

#' @rdname cox-methods
#' @importFrom survival concordance
#' @export
concordance.cox_light <- function(object, ...) { # nolint: object_name_linter.
  survival::concordance(with_rows(object), ...)
}
