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
#' @param newdata,cluster,timefix As in [survival::concordance()].
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
  if (isTRUE(object$light)) object <- with_rows(object)
  if (!type %in% c("score", "schoenfeld", "dfbeta", "dfbetas", "scaledsch") ||
        object$engine == "reference" || object$method == "exact" ||
        is.null(object$coefficients)) {
    args <- list(as_coxph(object), type = type, weighted = weighted, ...)
    if (!isFALSE(collapse)) args$collapse <- collapse
    return(do.call(stats::residuals, args))
  }
  design <- design_of(object)
  if (type %in% c("schoenfeld", "scaledsch")) {
    return(schoenfeld_residuals(object, design, type, weighted))
  }
  score_residuals(object, design, type, collapse, weighted)
}

#' @rdname cox-methods
#' @importFrom survival concordance
#' @export
concordance.cox <- function(object, ..., newdata, cluster, timefix = TRUE) {
  # All that survival's method offers, for any number of fits.
  call <- match.call()
  call[[1L]] <- quote(survival::concordance)
  eval(call, list(object = object), parent.frame())
}

# ---- fits without rows ------------------------------------------------------

#' @rdname cox-methods
#' @importFrom stats predict
#' @export
predict.cox <- function(object, ...) {
  if (!isTRUE(object$light)) return(NextMethod())
  stats::predict(as_coxph(with_rows(object)), ...)
}

#' @rdname cox-methods
#' @importFrom survival survfit
#' @export
survfit.cox <- function(formula, ...) {
  if (!isTRUE(formula$light)) return(NextMethod())
  survival::survfit(as_coxph(with_rows(formula)), ...)
}

as_coxph <- function(object) {
  class(object) <- setdiff(class(object), "cox")
  object
}

# A light fit with what it left out, from the data that its call names.
with_rows <- function(object) {
  design <- design_of(object)
  rows <- cox_rows(design)
  object$y <- design$y
  if (!is.null(design$weights) && any(design$weights != 1)) {
    object$weights <- design$weights
  }
  if (!is.null(design$offset)) object$offset <- design$offset
  object$linear.predictors <- linear_predictors(rows, object)
  object$residuals <- stats::setNames(
    engine_martingale(rows, object), design$row_names
  )
  object$light <- NULL
  object
}

linear_predictors <- function(rows, object) {
  beta <- object$coefficients
  if (length(beta) == 0L) return(rows$offset)
  beta[is.na(beta)] <- 0
  as.vector(rows$x %*% beta) + (rows$offset - sum(beta * object$means))
}
