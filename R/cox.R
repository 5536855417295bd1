#' Cox models
#'
#' Fits what [survival::coxph()] fits, with the same arguments and the same
#' result, at any size: right-censored or (start, stop] data, delayed entry,
#' recurrent events, strata, clusters, offsets, weights, ridge penalties, three
#' ways to deal with ties. The object is a `coxph` object too, so that
#' `survfit()`, `basehaz()`, `cox.zph()`, `predict()`, `residuals()`, `anova()`,
#' `concordance()`, broom and sandwich work on it.
#'
#' @section What the engine does:
#' The fit, its variance (robust variance included), martingale, deviance,
#' score, dfbeta and Schoenfeld residuals, and the concordance. A formula of
#' bare numeric columns, with `strata()` and `offset()` of a column, is read
#' without building a model frame.
#'
#' The engine always goes to the optimum of the likelihood, and stops where
#' rounding ends it: `eps` of [survival::coxph.control()] has no effect there,
#' `iter.max`, `toler.chol` and `timefix` have.
#'
#' @section What is passed on:
#' `tt()`, `frailty()`, `pspline()`, `ridge(df = )`, multi-state models and
#' exact ties with weights are fitted by `survival::coxph()` itself.
#' `$passed_on` of the object says why, and so does its print.
#'
#' @section Errors:
#' All of class `vigitensor_error`. Faults of the data are found all together
#' (class `vigitensor_error_data`) and carry one class each:
#' `vigitensor_error_stop_before_start` and `_event_values` (where `coxph()`
#' would make the row missing and drop it), `_infinite_values`,
#' `_missing_values` (with `na.action = na.pass`), `_weights`, `_non_numeric`;
#' the condition's `$rows` lists the row numbers. Others: `_no_event`,
#' `_empty_data`, `_unknown_argument`, `_formula`, `_control`, `_init`,
#' `_cluster`, `_constant_covariate` (a factor with one level), `_collinear`
#' (with `singular.ok = FALSE`), `_coxph` (`coxph()` itself stopped).
#'
#' Warnings (class `vigitensor_warning`): `_collinear` (coefficients set to NA),
#' `_infinite` (the likelihood rises for ever along a coefficient),
#' `_not_converged`, `_both_sides` (a variable of `Surv()` is a covariate too),
#' `_cluster_ignored`.
#'
#' @param formula `Surv(time, event)` or `Surv(start, stop, event)` on terms:
#'   any that [survival::coxph()] knows.
#' @param data Data frame in which the variables are looked up; or a
#'   [claims_store()], whose fit has nothing of single rows.
#' @param weights Case weights: positive numbers.
#' @param subset Rows to use.
#' @param na.action What to do with missing values: [stats::na.omit()] unless
#'   `options("na.action")` says otherwise. The print says how many rows were
#'   dropped.
#' @param init Starting values, one per coefficient; zeros by default.
#' @param control A list as [survival::coxph.control()] makes it.
#' @param ties `"efron"`, `"breslow"` or `"exact"`.
#' @param id,cluster Who a row belongs to, and which rows are correlated:
#'   columns of `data`. `cluster()` in the formula does the same as the latter.
#' @param robust `TRUE`: robust (sandwich) variance. By default where `cluster`
#'   is given, weights are not whole numbers, or an `id` has several events.
#' @param model,x,y If `TRUE` the object keeps the model frame, the matrix of
#'   covariates, the response.
#' @param light If `TRUE` the object keeps nothing of single rows: no response,
#'   linear predictors, residuals, weights or offsets, nor the environment of
#'   the formula. What needs them looks the data up again, by the name in the
#'   call.
#' @param engine `"auto"`, `"cpu"` (see [install_engine()]), `"torch"` (finds
#'   the optimum on the device of option `vigitensor.device`; all that follows a
#'   fit is computed by `"cpu"`; no exact ties) or `"reference"`,
#'   which is [survival::coxph()].
#' @param ... `singular.ok`, `nocenter`, `tt`, `istate`, `statedata`, `method`
#'   of [survival::coxph()], and arguments of [survival::coxph.control()].
#'   Anything else is an error.
#' @return An object of class `c("cox", "coxph")`: every component of
#'   [survival::coxph.object()], and `engine`, `passed_on` (why the fit is
#'   `coxph()`'s own, or `NULL`), `converged`, `infinite` (logical, one per
#'   coefficient), `session`. Survives [saveRDS()].
#' @seealso [wce()] for exposure histories.
#' @export
#' @examples
#' fit <- cox(Surv(time, status) ~ age + sex + strata(inst), survival::lung,
#'            engine = "reference")
#' fit
cox <- function(formula, data, weights, subset, na.action, init, control,
                ties = c("efron", "breslow", "exact"), id, cluster, robust,
                model = FALSE, x = FALSE, y = TRUE, light = FALSE,
                engine = getOption("vigitensor.engine", "auto"), ...) {
  call <- match.call()
  env <- parent.frame()
  known <- setdiff(names(formals(cox)), "...")
  check_cox_dots(...names() %||% rep("", ...length()), known)
  if (missing(formula)) {
    abort_input("`formula` is missing.",
                i = "Like `Surv(start, stop, event) ~ sex + age`.",
                code = "formula")
  }
  keep <- list(model = check_flag(model, "model"), x = check_flag(x, "x"),
               y = check_flag(y, "y"), light = check_flag(light, "light"))
  given <- dots_by_name(c(control_names(), "singular.ok", "nocenter",
                          "method"), ...)
  settings <- list(
    ties = cox_ties(ties, given$method),
    init = if (!missing(init)) init,
    control = check_cox_control(if (!missing(control)) control,
                                given[names(given) %in% control_names()]),
    robust = if (!missing(robust)) check_robust(robust),
    nocenter = if ("nocenter" %in% names(given)) given$nocenter else -1:1,
    singular_ok = check_flag(given$singular.ok %||% TRUE, "singular.ok")
  )
  engine <- settings$engine <- choose_engine(engine)
  if (!missing(data) && is_claims_store(data)) {
    return(cox_of_store(formula, data, call, rlang::enquo(weights), settings))
  }
  parts <- read_cox_formula(formula)
  if (!is.null(parts$cluster)) {
    if (is.null(call$cluster)) call$cluster <- parts$cluster else {
      warn_user("`cluster` is an argument and a term: the argument is used.",
                code = "cluster_ignored")
    }
  }
  design <- cox_design(call, parts, env, if (!missing(data)) data,
                       settings)
  reason <- design$foreign
  fit <- if (!is.null(reason) || engine == "reference") {
    cox_by_coxph(call, parts, settings$control, env, reason)
  } else {
    finish_cox(fit_design(design, settings), design, settings, keep,
               stored_call(call, parts))
  }
  new_cox(fit, if (is.null(reason)) engine else "reference", reason, keep)
}

# ---- reading the arguments --------------------------------------------------

# Arguments in `...` by name; the others are left alone, as `istate` is the name
# of a column.
dots_by_name <- function(wanted, ...) {
  names <- ...names()
  found <- lapply(which(names %in% wanted), function(k) ...elt(k))
  stats::setNames(found, names[names %in% wanted])
}

cox_ties <- function(ties, method) {
  if (!is.null(method)) ties <- method
  words <- c("efron", "breslow", "exact")
  check_word(ties, words, "ties")
}

check_robust <- function(robust) {
  if (is.null(robust)) NULL else check_flag(robust, "robust")
}

# ---- the design -------------------------------------------------------------

# Value: a design (see cox-frame.R); or list(foreign = why the engine cannot).
cox_design <- function(call, parts, env, data, settings) {
  foreign <- parts$foreign %||% foreign_argument(call)
  if (!is.null(foreign)) return(list(foreign = foreign))
  faults <- new_faults()
  surv <- surv_columns(parts$formula, data)
  keep <- if ("subset" %in% names(call)) subset_rows(call, data, env)
  several <- !is.null(surv$columns) &&
    check_surv(faults, surv$columns, surv$labels, keep)
  design <- if (!several) {
    plain_design(call, parts, env, data, surv$columns, faults)
  }
  if (is.null(design)) {
    parts$formula <- cox_terms(parts$formula, data)
    design <- frame_design(call, parts, env, settings$control, faults)
  }
  if (!is.null(design$foreign)) return(design)
  check_cox_size(design, if (is.null(data)) NROW(design$y) else nrow(data))
  warn_both_sides(parts$formula)
  if (settings$ties == "exact" && !is.null(design$weights) &&
        any(design$weights != 1)) {
    abort_input("Exact ties with `weights` are not defined.",
                i = "Use `ties = \"efron\"`.", code = "ties")
  }
  design
}

foreign_argument <- function(call) {
  found <- intersect(c("tt", "istate", "statedata"), names(call))
  if (length(found)) sprintf("`%s`", found[1L])
}

# The arguments of a plain Surv(), evaluated, before Surv() can turn their
# faults into missing values.
surv_columns <- function(formula, data) {
  surv <- plain_surv(rlang::f_lhs(formula))
  if (is.null(surv)) return(NULL)
  # Data that do not exist stop here: within tryCatch() they would be looked for
  # again below, and R warns of an argument begun twice.
  force(data)
  columns <- tryCatch(
    lapply(surv, eval, data, environment(formula)),
    error = function(e) NULL # model.frame() will say it better
  )
  if (is.null(columns) || any(vapply(columns, is.null, NA))) return(NULL)
  list(columns = columns, labels = lapply(surv, rlang::as_label))
}

# Rows that `subset` leaves, as TRUE and FALSE.
subset_rows <- function(call, data, env) {
  rows <- tryCatch(eval(call$subset, data, env), error = function(e) NULL)
  if (is.logical(rows)) return(rows & !is.na(rows))
  if (is.numeric(rows) && is.data.frame(data)) {
    return(seq_len(nrow(data)) %in% seq_len(nrow(data))[rows])
  }
  NULL
}

warn_both_sides <- function(formula) {
  left <- all.vars(rlang::f_lhs(formula))
  both <- intersect(left, all.vars(rlang::f_rhs(formula)))
  if (length(both) == 0L) return(invisible())
  warn_user(sprintf("%s %s on both sides of the formula.",
                    paste0("`", both, "`", collapse = ", "),
                    if (length(both) > 1L) "stand" else "stands"),
            i = "A time or an event cannot explain itself.",
            code = "both_sides")
}

# ---- the object -------------------------------------------------------------

# The components that come after the fit, in the order of a coxph object.
finish_cox <- function(fit, design, settings, keep, call) {
  if (!is.null(fit$coefficients)) fit$var <- fit$robust_var
  fit$robust_var <- NULL
  if (!is.null(design$na.action)) fit$na.action <- design$na.action
  if (keep$model) fit$model <- design$frame
  if (keep$x) {
    fit$x <- named_matrix(design)
    if (!is.null(design$strata)) fit$strata <- design$strata
  }
  if (keep$y) fit$y <- fit$response
  fit$response <- NULL
  fit$timefix <- settings$control$timefix
  weights <- design$weights
  if (!is.null(weights) && any(weights != 1)) fit$weights <- weights
  fit$formula <- stats::formula(design$terms)
  if (length(design$xlevels)) fit$xlevels <- design$xlevels
  fit$contrasts <- design$contrasts
  if (!is.null(design$offset) && any(fit$shifted != 0)) {
    fit$offset <- fit$shifted
  }
  fit$shifted <- NULL
  fit$call <- call
  class(fit) <- c(if (is.null(fit$coefficients)) "coxph.null",
                  if (length(design$ridge)) "coxph.penal", "coxph")
  fit
}

named_matrix <- function(design) {
  x <- design$x
  dimnames(x) <- list(design$row_names, design$labels)
  attr(x, "assign") <- attr(design$x, "assign") %||% seq_len(ncol(x))
  attr(x, "contrasts") <- design$contrasts
  x
}

# fit: a coxph object with `converged` and `infinite`.
new_cox <- function(fit, engine, reason, keep) {
  fit$engine <- engine
  fit$passed_on <- reason
  fit$session <- session_record(engine)
  warn_about_fit(list(
    coefficients = fit$coefficients, infinite = fit$infinite,
    converged = fit$converged, iter = sum(fit$iter),
    score = fit$gradient %||% NA_real_
  ))
  class(fit) <- c("cox", class(fit))
  if (keep$light) lighten(fit) else fit
}

# Leaves nothing of single rows, not even through the formula's environment.
lighten <- function(fit) {
  fit[c("y", "x", "model", "strata", "weights", "offset", "linear.predictors",
        "residuals")] <- NULL
  fit$call <- without_data(fit$call)
  environment(fit$formula) <- globalenv()
  environment(fit$terms) <- globalenv()
  class(fit) <- c("cox_light", class(fit))
  fit
}
