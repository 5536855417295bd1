# Ready-made functions of the dose, one step of thought each: nothing below a
# threshold, no more above a cap, less and less with every unit.

#' Thresholds and saturation
#'
#' Forms of the dose for `exposure(dose = )`, beside [dose_spline()]. With
#' \eqn{g} one of them the model has \eqn{\sum_u w(u) g(x(t - u))}: one weight
#' function, of doses after \eqn{g}; [dose_steps()] has one for each class.
#'
#' | | \eqn{g(x)} | weights are per unit of |
#' |---|---|---|
#' | `dose_threshold(a)` | \eqn{(x - a)_+} | dose above the threshold |
#' | `dose_threshold(a, "step")` | 1 if \eqn{x \ge a} | time at such a dose |
#' | `dose_cap(a)` | \eqn{\min(x, a)} | dose below the cap |
#' | `dose_saturation(h, p)` | \eqn{x^p / (x^p + h^p)} | the largest effect |
#' | `dose_log(s)` | \eqn{\log(1 + x / s)} | logarithm |
#' | `dose_steps(a)` | classes \eqn{[a_k, a_{k+1})} | time in the class |
#'
#' `dose_saturation()` is the Emax model: half of the largest effect is reached
#' at dose `half`; with `power` above 1 (Hill) it begins slowly. `dose_steps(0)`
#' is ever against never: its first class is all that is above 0.
#'
#' The parameter is taken as known by every standard error. [compare_doses()]
#' fits several, and draws their profile.
#'
#' @param at The threshold or the cap, in units of dose: one number, for
#'   `dose_steps()` the rising lower limits of the classes.
#' @param form `"excess"`, the dose above the threshold, or `"step"`.
#' @param half Dose of half the largest effect.
#' @param power Steepness.
#' @param scale Dose at which the logarithm begins to bend.
#' @return A list of class `dose_basis`, with a `plot()`.
#' @section Errors: `vigitensor_error_dose_basis`.
#' @seealso [exposure()], [dose_response()], [compare_doses()]
#' @name dose_forms
#' @examples
#' plot(dose_saturation(half = 1), top = 5)
#' dose_steps(c(0, 1, 2))
NULL

#' @rdname dose_forms
#' @export
dose_threshold <- function(at, form = "excess") {
  at <- check_dose_number(at, "at")
  form <- check_word(form, c("excess", "step"), "form")
  if (form == "step") {
    return(named_form(function(x) (x >= at) + 0, "step at", at,
                      quote(dose_threshold(form = "step"))))
  }
  named_form(function(x) pmax(x - at, 0), "threshold", at,
             quote(dose_threshold()))
}

#' @rdname dose_forms
#' @export
dose_cap <- function(at) {
  at <- check_dose_number(at, "at")
  named_form(function(x) pmin(x, at), "cap", at, quote(dose_cap()))
}

#' @rdname dose_forms
#' @export
dose_saturation <- function(half, power = 1) {
  half <- check_dose_number(half, "half")
  power <- check_dose_number(power, "power")
  call <- quote(dose_saturation())
  if (power != 1) call$power <- power
  named_form(function(x) x^power / (x^power + half^power), "half-saturation",
             half, call, "half")
}

#' @rdname dose_forms
#' @export
dose_log <- function(scale = 1) {
  scale <- check_dose_number(scale, "scale")
  named_form(function(x) log1p(x / scale), "log scale", scale,
             quote(dose_log()), "scale")
}

#' @rdname dose_forms
#' @export
dose_steps <- function(at) {
  fine <- is.numeric(at) && length(at) > 0L && all(is.finite(at)) &&
    all(at >= 0) && !is.unsorted(at, strictly = TRUE)
  if (!fine) {
    abort_input("`at` must be rising doses, zero or more.", arg = "at",
                x = sprintf("It is %s.", what_is(at)), code = "dose_basis")
  }
  upper <- c(at[-1L], Inf)
  classes <- function(x) {
    vapply(seq_along(at), function(k) {
      (x > 0 & x >= at[k] & x < upper[k]) + 0
    }, numeric(length(x)))
  }
  new_dose_basis(length(at), fun = classes, form = "steps",
                 call = call("dose_steps", at = at))
}

check_dose_number <- function(x, name) {
  if (is.numeric(x) && length(x) == 1L && is.finite(x) && x > 0) {
    return(as.double(x))
  }
  abort_input(sprintf("`%s` must be one number above 0.", name), arg = name,
              x = sprintf("It is %s.", what_is(x)), code = "dose_basis")
}

# call: with all but the parameter; argument: its name.
named_form <- function(fun, form, value, call, argument = "at") {
  call[[argument]] <- value
  new_dose_basis(1L, fun = fun, form = form, value = value, call = call)
}

# ---- how they are shown ------------------------------------------------------

#' @rdname dose_forms
#' @param x A form of the dose.
#' @param ... Of `plot()`: passed to [graphics::plot.default()].
#' @export
print.dose_basis <- function(x, ...) {
  what <- dose_form_label(x)
  cat(sprintf("Function of the dose: %s, %s\n", what,
              count_of(x$n, "column")))
  invisible(x)
}

dose_form_label <- function(x) {
  if (is.null(x)) return("dose as it is")
  if (!is.null(x$value)) return(paste(x$form, format(x$value, digits = 4L)))
  if (!is.null(x$knots)) {
    inside <- length(x$knots) - 2L * (x$degree + 1L)
    return(sprintf("spline of degree %d, %s", x$degree,
                   count_of(inside, "interior knot")))
  }
  if (is.null(x$call)) return("function")
  sprintf("%s from %s", x$form, paste(format(x$call$at), collapse = ", "))
}
