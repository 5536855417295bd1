# Residuals of a fit of cox() that need the covariates: the engine computes
# them, and they are given the shape that survival gives them.

# Score, dfbeta, dfbetas: one row per row of data, a vector for one covariate.
score_residuals <- function(object, design, type, collapse, weighted) {
  r <- fit_residuals(object, cox_rows(design), type, weighted)
  # A change in units of a standard error that does not exist.
  if (type == "dfbetas") r[, is.na(object$coefficients)] <- NaN
  row_names <- names(object$residuals)
  r <- if (ncol(r) == 1L) stats::setNames(as.vector(r), row_names) else {
    # survival names the columns of the scores only.
    dimnames(r) <- list(row_names, if (type == "score") {
      names(object$coefficients)
    })
    r
  }
  if (!is.null(object$na.action)) r <- stats::naresid(object$na.action, r)
  if (isFALSE(collapse)) return(r)
  if (length(collapse) != NROW(r)) {
    abort_input("`collapse` must have one value per row of the data.",
                x = sprintf("It has %d for %d rows.", length(collapse),
                            NROW(r)),
                arg = "collapse", code = "collapse")
  }
  drop(rowsum(r, collapse))
}

fit_residuals <- function(object, rows, type, weighted) {
  engine_cox_residuals(rows, object$linear.predictors, object$method, type,
                       weighted, object$naive.var %||% object$var,
                       object$coefficients)
}

# One row per event, by stratum and time, in the order of the data among ties.
schoenfeld_residuals <- function(object, design, type, weighted) {
  found <- fit_residuals(object, cox_rows(design), type, weighted)
  r <- found$residuals
  if (length(object$coefficients) == 1L) {
    r <- stats::setNames(as.vector(r), found$time)
  } else {
    dimnames(r) <- list(found$time, names(object$coefficients))
  }
  # survival loses the strata where it scales several columns.
  if (!is.null(design$strata) && (type == "schoenfeld" || !is.matrix(r))) {
    # survival knows of empty strata only where the fit keeps them.
    strata <- object$strata %||% droplevels(design$strata)
    attr(r, "strata") <- table(strata[found$row])
  }
  r
}

# ---- the data of a fit ------------------------------------------------------

# The design that a fit was made from: what it keeps, and the rest from the data
# that its call names.
design_of <- function(object) {
  env <- environment(object$terms)
  design <- plain_design_again(object, env) %||% frame_design_again(object)
  if (nrow(design$y) != object$n) {
    abort_input(
      "The data of this fit have changed since it was made.",
      x = sprintf("There are %d rows now; there were %d.", nrow(design$y),
                  object$n),
      i = "Fit the model again: `update(fit)`.", code = "data_changed"
    )
  }
  if (!is.null(object[["y"]])) design$y <- object[["y"]] else {
    design$y <- fix_times(design$y, list(timefix = object$timefix))
  }
  design$offset <- centred_offset(design$offset)
  design
}

plain_design_again <- function(object, env) {
  if (!is.null(object[["x"]])) return(NULL)
  data <- fit_data(object, env)
  formula <- stats::formula(object$terms)
  surv <- surv_columns(formula, data)
  plain_design(object$call, list(formula = formula), env, data, surv$columns,
               new_faults())
}

fit_data <- function(object, env) {
  if (is.null(object$call$data)) return(NULL)
  tryCatch(eval(object$call$data, env), error = function(e) {
    abort_input("The data of this fit are not to be found.",
                i = "They are looked up by the name in `$call`.",
                code = "data_missing")
  })
}

frame_design_again <- function(object) {
  object <- as_coxph(object)
  frame <- stats::model.frame(object)
  list(y = stats::model.response(frame),
       x = stats::model.matrix(object, data = frame),
       strata = frame_strata(object$terms, frame),
       offset = stats::model.offset(frame),
       weights = stats::model.weights(frame), row_names = row.names(frame))
}
