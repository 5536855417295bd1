# cox() of a store: the fit without anything of single rows.

# call: as cox() matched it; weights: a quosure; settings: of cox().
cox_of_store <- function(formula, store, call, weights, settings) {
  check_cox_store(formula, call, settings)
  right <- take_out_cluster(bare_specials(rlang::f_rhs(formula)))
  parts <- list(surv = rlang::f_lhs(formula), exposures = list(),
                covariates = right$rest %||% 1, cluster = right$cluster,
                env = env_with_specials(rlang::f_env(formula)))
  design <- store_design(parts, store, list(), weights, "unit")
  check_cox_events(design)
  robust <- store_robust(settings$robust, design)
  result <- store_fit(design, list(list()), settings$ties, settings$engine,
                      engine_control(settings$control), robust = robust,
                      score_test = ncol(design$rows$x) > 0L)
  fit <- result$fits[[1L]]
  check_singular(fit, settings$singular_ok)
  components <- cox_store_components(fit, design, formula, settings)
  components$call <- stored_call(call, parts)
  components$of_store <- list(settings = settings["ties"], formula = formula,
                              weights = rlang::quo_get_expr(weights))
  class(components) <- c(if (!length(fit$coefficients)) "coxph.null", "coxph")
  found <- new_cox(components, settings$engine, NULL, list(light = TRUE))
  class(found) <- c("cox_store", class(found))
  found
}

check_cox_store <- function(formula, call, settings) {
  parts <- read_cox_formula(formula)
  refused <- intersect(c("subset", "na.action", "init", "id", "cluster", "x",
                         "model", "tt", "istate", "statedata", "nocenter"),
                       names(call))
  words <- c(if (length(refused)) sprintf("`%s`", refused[1L]), parts$foreign,
             if (settings$ties == "exact") "`ties = \"exact\"`",
             if (calls_function(rlang::f_rhs(formula), "ridge")) "`ridge()`")
  if (length(words)) {
    abort_store_rows(sprintf("%s %s", words[1L],
                             if (length(words) > 1L) "and more need" else
                               "needs"))
  }
}

check_cox_events <- function(design) {
  p <- ncol(design$rows$x)
  if (p < design$counts$events) return(invisible())
  abort_input("There are too few events for so many coefficients.",
              x = sprintf("%d events for %d coefficients.",
                          as.integer(design$counts$events), p),
              code = "too_many_coefficients")
}

# The score tests at zero. coxph leaves the offset out of the robust one: then
# there is none here, as it is in the blocks.
store_score_tests <- function(fit, formula, tolerance) {
  found <- fit$at_zero
  p <- length(fit$coefficients)
  statistic <- function(var) {
    wald_statistic(matrix(var, p, p), as.vector(found$score), tolerance)
  }
  robust <- !is.null(found$meat) &&
    !calls_function(rlang::f_rhs(formula), "offset")
  c(list(score = statistic(found$info)),
    if (robust) list(rscore = statistic(found$meat)))
}

cox_store_components <- function(fit, design, formula, settings) {
  labels <- colnames(design$rows$x)
  names(fit$coefficients) <- names(fit$infinite) <- labels
  terms <- stats::terms(bare_formula(formula), specials = cox_specials)
  estimated <- length(labels) > 0L
  c(list(
    coefficients = if (estimated) fit$coefficients,
    var = if (estimated) fit$var,
    naive.var = if (estimated) fit$naive.var,
    loglik = if (estimated) fit$loglik else fit$loglik[2L],
    iter = fit$iterations, means = design$meta$means, method = settings$ties,
    n = design$counts$joined_rows, nevent = as.double(design$counts$events),
    terms = terms, assign = design$meta$assign,
    wald.test = if (estimated) {
      wald_test(fit$coefficients, fit$var, NULL, settings$control$toler.chol)
    },
    timefix = settings$control$timefix, formula = bare_formula(formula),
    xlevels = design$meta$xlevels, contrasts = design$meta$contrasts,
    converged = fit$converged, infinite = fit$infinite, gradient = fit$score
  ), if (estimated) {
    store_score_tests(fit, formula, settings$control$toler.chol)
  })
}

bare_formula <- function(formula) {
  rlang::f_rhs(formula) <- bare_specials(rlang::f_rhs(formula))
  formula
}

# What needs the rows says so. The generics are survival's and stats'.

# The rows are people here: all rows of a person together.
#' @rdname cox-methods
#' @export
residuals.cox_store <- function(object, type = c("martingale", "deviance",
                                                 "score", "dfbeta", "dfbetas"),
                                weighted = NULL, data = NULL, ...) {
  check_no_more(..., known = c("type", "weighted", "data"))
  known <- eval(formals(residuals.cox_store)$type)
  if (rlang::is_string(type) && type %in% c("schoenfeld", "scaledsch",
                                            "partial")) {
    abort_store_rows(sprintf("Residuals of type \"%s\" need", type))
  }
  type <- check_word(type, known, "type")
  weighted <- weighted %||% (type %in% c("dfbeta", "dfbetas"))
  problem <- cox_store_again(object, data, parent.frame())
  residuals_of_store(problem, type, weighted)
}

# The problem of a fit once more; see store_problem().
cox_store_again <- function(fit, data, env) {
  store <- store_of_fit(fit, data, env)
  if (is.null(store)) {
    abort_input("The store of this fit is not to be found.",
                x = "It is looked up by what `$call` says.",
                i = "Give it again: `data = `.", code = "data_missing",
                arg = "data")
  }
  given <- fit$of_store
  right <- take_out_cluster(bare_specials(rlang::f_rhs(given$formula)))
  parts <- list(surv = rlang::f_lhs(given$formula), exposures = list(),
                covariates = right$rest %||% 1, cluster = right$cluster,
                env = env_with_specials(env))
  design <- store_design(parts, store, list(),
                         rlang::new_quosure(given$weights, env), "unit")
  if (design$counts$joined_rows != fit$n ||
        design$counts$events != fit$nevent) {
    abort_input("The store is another one than that of this fit.",
                i = "Give that as `data`, or fit again.", code = "data_changed")
  }
  store_problem(design, store, list(), given$settings$ties, fit)
}

#' @rdname cox-methods
#' @export
predict.cox_store <- function(object, ...) {
  abort_store_rows("Predictions need")
}

#' @rdname cox-methods
#' @export
fitted.cox_store <- function(object, ...) {
  abort_store_rows("Fitted values need")
}

#' @rdname cox-methods
#' @export
survfit.cox_store <- function(formula, ...) { # nolint: object_name_linter.
  abort_store_rows("Survival curves need")
}

#' @rdname cox-methods
#' @export
concordance.cox_store <- function(object, ...) { # nolint: object_name_linter.
  abort_store_rows("The concordance needs")
}

# What cox.zph() and model.matrix() of survival begin with.
#' @rawNamespace S3method(stats::model.frame, cox_store)
#' @noRd
model.frame.cox_store <- function(formula, ...) { # nolint: object_name_linter.
  abort_store_rows("The model frame, and tests that begin with it, need")
}
