# Reading a model formula:
#   Surv(start, stop, event) ~ covariates + strata(s) + offset(o) + exposure(e)
#
# exposure() terms are found by walking the call and taken out of the right
# hand side (terms objects lose offsets when terms are dropped). Nothing is
# evaluated here but the columns of Surv() and the exposures.

#' A term for the weighted cumulative exposure
#'
#' Used only inside the formula of [wce()].
#'
#' @param e Either the dose of each row of `data` (a numeric expression in its
#'   columns, dose per time unit), or one string: a value of the column `drug`
#'   of `records`.
#' @param cutoff,nknots,constrained,shape,order,basis,lag_in As in [wce()];
#'   a value given here wins over the one given there. With several exposure
#'   terms, `cutoff` and `nknots` here are one number each.
#' @param by Groups that have a weight function each: columns of `data` (of the
#'   person, or with doses of rows, of the row), or of `records` (of the
#'   dispensing). [equal_weights()] tests whether they differ.
#' @param dose How doses enter, if not as they are: [dose_spline()], one of
#'   [dose_forms], or a function that is 0 at dose 0. See [dose_response()].
#' @param with Another drug of `records`. The dose of the term is then the
#'   product of both doses in a time unit: the interaction of the two, at the
#'   same lag, beside a term for each of them. [zero_weights()] tests it.
#' @param within With `with`: the dose of the term is that of `e` in the time
#'   units in which the other drug was in use, or had been up to so many units
#'   before; 0 is use in the same unit. The weights are then what the other drug
#'   adds to the effect of `e`.
#' @param first `TRUE`: instead of the doses, the first use alone, as dose 1 in
#'   one time unit. The weight at lag u is the log hazard ratio at u units since
#'   the first use, against people who have not begun or began before the
#'   window. See [since_first_use()] for classes.
#' @return Outside a formula, an error.
#' @seealso [wce()]
#' @export
#' @examples
#' y ~ age + exposure(dose) # the dose is a column of unit rows
#' y ~ age + exposure("amoxicillin", cutoff = 90) # a drug of the records
#' y ~ age + exposure("amoxicillin", constrained = c(right = "value"))
#' y ~ age + exposure("amoxicillin", by = sex) # a weight function for each sex
#' y ~ age + exposure("amoxicillin", dose = dose_spline(top = 4))
#' # the interaction of two drugs
#' y ~ exposure("a") + exposure("b") + exposure("a", with = "b")
#' y ~ exposure("a") + exposure("a", first = TRUE) # time since the first use
exposure <- function(e, cutoff, nknots, constrained, shape, order, basis,
                     lag_in, by, dose, with, within, first) {
  abort_input(
    "`exposure()` has a meaning only inside the formula of `wce()`.",
    code = "exposure_outside_formula"
  )
}

# Value: list(surv = call, exposures = list of calls, covariates = right hand
# side without exposures and cluster, cluster = its column as a call, env).
split_formula <- function(formula) {
  if (!rlang::is_formula(formula, lhs = TRUE)) {
    abort_input(
      "`formula` must be a formula with a `Surv()` on its left.",
      x = sprintf("It is %s.", what_is(formula)),
      i = "Like `Surv(start, stop, event) ~ sex + exposure(dose)`.",
      code = "formula"
    )
  }
  parts <- take_out_exposures(rlang::f_rhs(formula))
  if (length(parts$exposures) == 0L) {
    abort_input("The formula has no `exposure()` term.",
                i = "Like `~ sex + age + exposure(dose)`.", code = "formula")
  }
  if (calls_exposure(parts$rest)) {
    abort_input(
      "`exposure()` must stand alone between `+` signs.",
      x = "It is part of an interaction or of another call.", code = "formula"
    )
  }
  others <- take_out_cluster(bare_specials(parts$rest))
  list(surv = rlang::f_lhs(formula), exposures = parts$exposures,
       covariates = others$rest %||% 1, cluster = others$cluster,
       env = env_with_specials(rlang::f_env(formula)))
}

is_exposure_call <- function(e) {
  rlang::is_call(e, "exposure", ns = c("", "vigitensor"))
}

calls_exposure <- function(e) {
  if (is_exposure_call(e)) return(TRUE)
  is.call(e) && any(vapply(as.list(e)[-1L], calls_exposure, NA))
}

# Splits a sum into its exposure() terms and the rest; `- exposure()` is not a
# thing to say.
take_out_exposures <- function(e) {
  if (is_exposure_call(e)) return(list(rest = NULL, exposures = list(e)))
  if (rlang::is_call(e, "(") && calls_exposure(e)) {
    return(take_out_exposures(e[[2L]]))
  }
  if (!rlang::is_call(e, c("+", "-")) || !calls_exposure(e)) {
    return(list(rest = e, exposures = list()))
  }
  if (length(e) == 2L) return(take_out_exposures(e[[2L]]))
  left <- take_out_exposures(e[[2L]])
  right <- take_out_exposures(e[[3L]])
  rest <- if (is.null(right$rest)) left$rest else if (is.null(left$rest)) {
    if (rlang::is_call(e, "-")) call("-", right$rest) else right$rest
  } else {
    as.call(list(e[[1L]], left$rest, right$rest))
  }
  list(rest = rest, exposures = c(left$exposures, right$exposures))
}

# The arguments of Surv() as calls, by name, before Surv() can see them: it
# would turn stop <= start into NA.
surv_arguments <- function(surv) {
  if (!rlang::is_call(surv, "Surv", ns = c("", "survival", "vigitensor"))) {
    abort_input(
      "The left of the formula must be a call of `Surv()`.",
      x = sprintf("It is `%s`.", rlang::as_label(surv)),
      i = "Like `Surv(start, stop, event)`, or `Surv(time, event)`.",
      code = "formula"
    )
  }
  parts <- as.list(match.call(survival::Surv, surv))[-1L]
  unknown <- setdiff(names(parts), c("time", "time2", "event"))
  if (length(unknown) > 0L) {
    abort_input(
      "`Surv()` is used with (start, stop, event) or (time, event) here.",
      x = sprintf("It came with `%s`.", unknown[1L]), code = "formula"
    )
  }
  # Surv(time, event) puts the event where time2 stands.
  if (is.null(parts$event)) {
    parts <- list(time2 = parts$time, event = parts$time2)
  } else {
    parts <- parts[c("time", "time2", "event")]
    names(parts) <- c("start", "time2", "event")
  }
  names(parts)[names(parts) == "time2"] <- "stop"
  if (is.null(parts$event)) {
    abort_input("`Surv()` has no event.", code = "formula")
  }
  parts
}

# Every argument of one exposure() call: `e` stays a call, the others are
# evaluated where the formula was written. `defaults` are those of wce().
exposure_arguments <- function(call, defaults, env) {
  arguments <- as.list(match.call(exposure, call))[-1L]
  if (is.null(arguments$e)) {
    abort_input("`exposure()` needs the dose or a drug.", code = "formula")
  }
  given <- lapply(arguments[!names(arguments) %in% c("e", "by")], eval, env)
  # `dose` is the name of the doses themselves later on.
  response <- given$dose
  settings <- utils::modifyList(defaults, given[names(given) != "dose"])
  settings$response <- response
  settings$by <- arguments$by
  settings$own <- list(cutoff = !is.null(given$cutoff),
                       nknots = !is.null(given$nknots))
  settings$e <- arguments$e
  settings$label <- sprintf("exposure(%s)", rlang::as_label(arguments$e))
  settings
}

# The column that `id` names: bare, or a string, or a variable holding one.
id_column <- function(id, data_names) {
  if (rlang::quo_is_missing(id)) {
    abort_input(
      "`id` is missing.",
      i = "Give the column that tells the people apart, as `id = person_id`.",
      code = "id"
    )
  }
  expression <- rlang::quo_get_expr(id)
  if (is.symbol(expression) && as.character(expression) %in% data_names) {
    return(as.character(expression))
  }
  name <- tryCatch(rlang::eval_tidy(id), error = function(e) NULL)
  if (rlang::is_string(name)) return(name)
  if (is.symbol(expression)) return(as.character(expression))
  abort_input("`id` must be the name of a column, bare or as a string.",
              code = "id")
}

# "a character vector of length 3", for messages.
what_is <- function(x) {
  if (is.null(x)) return("NULL")
  if (is.data.frame(x)) return("a data frame")
  kind <- if (is.function(x)) "function" else
    paste(class(x)[1L], if (is.atomic(x)) "vector" else "object")
  article <- if (grepl("^[aeiou]", kind)) "an" else "a"
  size <- if (is.atomic(x)) sprintf(" of length %d", length(x)) else ""
  paste0(article, " ", kind, size)
}
