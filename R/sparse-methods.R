# What can be asked of a fit of many drugs.

#' Methods for models of many drugs
#'
#' @param x,object,fit A fitted model, from [wce_sparse()].
#' @param lambda Which penalty: a number (the nearest one fitted is taken),
#'   `"1se"` or `"min"` (of the cross-validation). `NULL`: `"1se"`, or without
#'   cross-validation the fitted lambda nearest to 2.
#' @param drug One or several drugs. `NULL`: those selected at `lambda`.
#' @param type `"one_step"`: estimates of the model with all drugs, whose
#'   intervals do not depend on what was selected (see [wce_sparse()]);
#'   `"penalised"`: the coefficients at `lambda`, without standard errors.
#' @param level,conf.level Confidence level of intervals.
#' @param digits Significant digits.
#' @param profile,reference,at,band,seed As in [hazard_ratio()] and
#'   [weight_function()].
#' @param data,records The tables of the fit. `NULL`: looked up by the names in
#'   its call.
#' @param ... For `refit()` other arguments of [wce()]; else not used.
#' @return
#' * `selected_drugs`: names of the drugs with a coefficient at `lambda`, in the
#'   order of their names.
#' * `coef`: a named vector, covariates first; or with `drug` the columns of the
#'   basis by drug, a matrix.
#' * `summary`: a list with `table`, a data frame of the drugs selected (with
#'   `tidy`, of all): `drug`, `users`, `events`, `enters`, `selected`,
#'   `estimate` (log hazard ratio of one unit of dose in every time unit of the
#'   window, by one step), `std.error`, `conf.low`, `conf.high`, `penalised`
#'   (the same at `lambda`), `statistic`, `df` and `p.value` (of all the drug's
#'   coefficients being zero, by one step), `p.adjusted` (Benjamini
#'   and Hochberg, over all drugs).
#' * `tidy`: that data frame for all drugs. `glance`: one row.
#' * `weight_function`, `hazard_ratio`: as of a [wce()] fit, by drug.
#' * `refit`: the model of the selected drugs without a penalty, from [wce()].
#'   **Its intervals and tests take the selection for granted**: they are too
#'   good. It warns (`vigitensor_warning_selected`).
#' @name wce_sparse-methods
#' @examples
#' effects <- c(a = log(6), b = 0, c = 0)
#' sim <- simulate_wce(150, days = 150, log_hr = effects, cutoff = 60,
#'                     users = 0.4, hazard = 3e-3, seed = 1)
#' fit <- wce_sparse(
#'   Surv(entry, exit, event) ~ sex, data = sim$people, id = person_id,
#'   records = sim$records, cutoff = 60, nknots = 0, constrained = "right",
#'   lambda = c(3, 1), folds = 0, engine = "reference"
#' )
#' summary(fit, lambda = 1)
#' head(weight_function(fit, "a"), 3)
#' hazard_ratio(fit, rep(1, 30), drug = "a")
NULL

#' @rdname wce_sparse-methods
#' @export
selected_drugs <- function(fit, lambda = NULL) {
  check_is_sparse(fit)
  b <- drug_coefficients(fit, lambda_row(fit, lambda))
  fit$drugs$drug[colSums(b != 0) > 0]
}

check_is_sparse <- function(fit) {
  if (inherits(fit, "wce_sparse")) return(invisible())
  abort_input("`fit` must be a model fitted by `wce_sparse()`.",
              x = sprintf("It is an object of class <%s>.", class(fit)[1L]),
              arg = "fit")
}

# The row of a lambda that was fitted.
lambda_row <- function(fit, lambda = NULL) {
  rules <- c("1se", "min", "lambda.1se", "lambda.min")
  if (is.null(lambda)) lambda <- if (is.null(fit$cv)) 2 else "1se"
  if (rlang::is_string(lambda) && lambda %in% rules) {
    if (is.null(fit$cv)) {
      abort_input("There is no cross-validation in this fit.",
                  i = "Give `lambda` as a number, or fit with `folds`.",
                  arg = "lambda", code = "lambda")
    }
    lambda <- fit[[paste0("lambda.", sub("^lambda[.]", "", lambda))]]
  }
  if (!rlang::is_double(as.numeric(lambda), 1L, finite = TRUE) ||
        !is.numeric(lambda) || lambda < 0) {
    abort_input("`lambda` must be a number, \"1se\" or \"min\".",
                x = sprintf("It is %s.", what_is(lambda)), arg = "lambda",
                code = "lambda")
  }
  which.min(abs(log(fit$lambda + 1e-300) - log(lambda + 1e-300)))
}

#' @rdname wce_sparse-methods
#' @export
coef.wce_sparse <- function(object, lambda = NULL, drug = NULL,
                            type = "penalised", ...) {
  check_no_more(..., known = c("lambda", "drug", "type"))
  type <- check_word(type, c("penalised", "one_step"), "type")
  row <- lambda_row(object, lambda)
  beta <- if (type == "one_step") object$one_step$coefficients else
    object$beta[row, ]
  if (is.null(drug)) return(beta)
  object$beta[row, ] <- beta
  drug_coefficients(object, row)[, drug_row(object, drug), drop = FALSE]
}

drug_row <- function(fit, drug) {
  at <- match(drug, fit$drugs$drug)
  if (!length(at) || anyNA(at)) {
    abort_input("`drug` must name drugs of the model.",
                x = sprintf("%d of %d are not among its %d drugs.",
                            sum(is.na(at)), length(at), nrow(fit$drugs)),
                code = "unknown_term", arg = "drug")
  }
  at
}

#' @rdname wce_sparse-methods
#' @export
summary.wce_sparse <- function(object, lambda = NULL, level = 0.95, ...) {
  check_no_more(..., known = c("lambda", "level"))
  check_level(level)
  row <- lambda_row(object, lambda)
  table <- drug_table(object, row, level)
  structure(
    list(fit = object, lambda = object$lambda[row], level = level,
         table = table[table$selected, ]),
    class = "summary.wce_sparse"
  )
}

# All drugs, by the evidence against "no effect".
drug_table <- function(fit, row, level) {
  one <- fit$one_step
  n_col <- fit$n_columns
  total <- colSums(fit$basis$basis_matrix)
  b <- matrix(one$coefficients[-seq_len(fit$n_covariates)], n_col)
  if (fit$n_covariates == 0L) b <- matrix(one$coefficients, n_col)
  tests <- vapply(seq_len(nrow(fit$drugs)), function(g) {
    if (!one$known[g]) return(c(NA, NA, NA))
    v <- matrix(one$var[, , g], n_col)
    c(sum(total * b[, g]), sqrt(drop(total %*% v %*% total)),
      drop(b[, g] %*% solve(v, b[, g])))
  }, numeric(3))
  z <- stats::qnorm((1 + level) / 2)
  penalised <- drug_coefficients(fit, row)
  p <- stats::pchisq(tests[3L, ], n_col, lower.tail = FALSE)
  out <- data.frame(
    fit$drugs[c("drug", "users", "events", "enters")],
    selected = unname(colSums(penalised != 0) > 0),
    estimate = tests[1L, ], std.error = tests[2L, ],
    conf.low = tests[1L, ] - z * tests[2L, ],
    conf.high = tests[1L, ] + z * tests[2L, ],
    penalised = as.vector(total %*% penalised), statistic = tests[3L, ],
    df = n_col, p.value = p, p.adjusted = stats::p.adjust(p, "BH")
  )
  out <- out[order(out$p.value, -out$enters, out$drug), ]
  rownames(out) <- NULL
  out
}

# nolint start: object_name_linter. The generics are in other files.

#' @rdname wce_sparse-methods
#' @exportS3Method generics::tidy
tidy.wce_sparse <- function(x, lambda = NULL, conf.level = 0.95, ...) {
  check_level(conf.level, "conf.level")
  drug_table(x, lambda_row(x, lambda), conf.level)
}

#' @rdname wce_sparse-methods
#' @exportS3Method generics::glance
glance.wce_sparse <- function(x, lambda = NULL, ...) {
  row <- lambda_row(x, lambda)
  data.frame(lambda = x$lambda[row], n_drugs = n_selected(x)[row],
             logLik = x$loglik[row], nobs = x$nevent,
             n_subjects = x$n_subjects)
}

#' @rdname wce_sparse-methods
#' @export
weight_function.wce_sparse <- function(fit, drug = NULL, lambda = NULL,
                                       type = "one_step", level = 0.95,
                                       band = "pointwise", seed = 1L, ...) {
  check_no_more(..., known = c("drug", "lambda", "type", "level", "band",
                               "seed"))
  weight_function(drugs_as_wce(fit, drug, lambda, type), level = level,
                  band = band, seed = seed)
}

#' @rdname wce_sparse-methods
#' @export
hazard_ratio.wce_sparse <- function(fit, profile, reference = 0, drug = NULL,
                                    lambda = NULL, type = "one_step",
                                    level = 0.95, at = NULL, ...) {
  check_no_more(..., known = c("profile", "reference", "drug", "lambda", "type",
                               "level", "at"))
  as_fit <- drugs_as_wce(fit, drug, lambda, type)
  if (length(as_fit$exposures) != 1L) {
    abort_input("`drug` must name one drug.",
                x = sprintf("There are %d.", length(as_fit$exposures)),
                code = "unknown_term", arg = "drug")
  }
  hazard_ratio(as_fit, profile, reference, level = level, at = at)
}

# Some drugs as the terms of a fit of wce(), for what such a fit can tell.
drugs_as_wce <- function(fit, drug, lambda, type) {
  type <- check_word(type, c("one_step", "penalised"), "type")
  at <- drug_row(fit, drug %||% selected_drugs(fit, lambda))
  n_col <- fit$n_columns
  b <- coef(fit, lambda, drug = fit$drugs$drug[at], type = type)
  var <- matrix(0, length(b), length(b))
  exposures <- lapply(seq_along(at), function(k) {
    index <- (k - 1L) * n_col + seq_len(n_col)
    c(fit$basis, list(
      label = fit$drugs$drug[at[k]], index = index,
      lag_in = fit$settings$lag_in, order = fit$settings$order,
      constrained = fit$settings$constrained, shape = "free",
      basis = "clamped", clock = "unit", from_records = TRUE,
      covered = rep(TRUE, length(fit$basis$lags))
    ))
  })
  b <- as.vector(b)
  for (k in seq_along(at)) {
    index <- exposures[[k]]$index
    if (type == "penalised") {
      var[index, index] <- NA
    } else {
      var[index, index] <- fit$one_step$var[, , at[k]]
      if (!fit$one_step$known[at[k]]) b[index] <- NA
    }
  }
  structure(list(coefficients = b, var = var, exposures = exposures,
                 unit = fit$unit), class = "wce")
}

#' @rdname wce_sparse-methods
#' @export
#' @rawNamespace S3method(generics::refit,wce_sparse)
refit.wce_sparse <- function(object, lambda = NULL, data = NULL,
                             records = NULL, ...) {
  env <- parent.frame()
  drugs <- selected_drugs(object, lambda)
  if (!length(drugs)) {
    abort_input("No drug is selected at this lambda.", i = "Use a smaller one.",
                arg = "lambda", code = "lambda")
  }
  data <- data %||% look_up(object$call$data, env, "data")
  records <- records %||% look_up(object$call$records, env, "records")
  records$drug <- as.character(records[[object$drug_column]])
  records <- records[records$drug %in% drugs, , drop = FALSE]
  terms <- lapply(drugs, function(d) call("exposure", d))
  formula <- object$formula
  rlang::f_rhs(formula) <- Reduce(function(a, b) call("+", a, b), terms,
                                  rlang::f_rhs(formula))
  environment(formula) <- env
  warn_user(
    "Standard errors and tests do not know that the drugs were selected.",
    i = "`summary()` of the penalised fit has intervals that do.",
    code = "selected"
  )
  s <- object$settings
  given <- list(formula = formula, data = data, id = object$id,
                records = records, unit = object$unit, engine = object$engine)
  own <- s[c("cutoff", "nknots", "constrained", "order", "lag_in", "ties")]
  do.call(wce, utils::modifyList(c(given, own), list(...)))
}

# nolint end
