# How doses enter: functions of the dose that are zero at no dose.

#' A spline of the dose
#'
#' For `exposure(dose = )`: the effect of a dose need not be in proportion to
#' it. Given \eqn{K} functions \eqn{g_k} of the dose the model has
#' \eqn{\sum_k \sum_u w_k(u) g_k(x(t - u))}, a surface over dose and lag. Here
#' they are B-splines from 0 to `top` without the first, so that no dose has no
#' effect.
#'
#' In a penalised fit (`wce(smooth = )`) the surface is held back along the lag
#' and along the dose, each as the data ask for: towards straight lines in the
#' lag, and towards an effect in proportion to the dose. `degree` is then 2 or
#' more.
#'
#' A function of the dose does as well, with one or more columns, such as
#' `dose = function(x) cbind(x, x^2)`. Thresholds, caps and saturation are ready
#' made: see [dose_forms].
#'
#' @param top The largest dose. Doses above it are an error.
#' @param knots Interior knots, between 0 and `top`. `NULL`: none or, in a
#'   penalised fit (`wce(smooth = )`), three at equal distances. Along the lag
#'   such a surface has six knots at most, unless `nknots` says otherwise.
#' @param degree Degree of the polynomials; 1 is a line from knot to knot.
#' @return A list of class `dose_basis`.
#' @section Errors: `vigitensor_error_dose_basis`.
#' @seealso [exposure()], [dose_response()], [dose_forms]
#' @export
#' @examples
#' dose_spline(top = 4, knots = 2, degree = 2)
dose_spline <- function(top, knots = NULL, degree = 2) {
  default <- is.null(knots)
  if (default) knots <- numeric()
  degree <- check_integer(degree, "degree", 1, 5)
  fine <- is.numeric(top) && length(top) == 1L && is.finite(top) && top > 0 &&
    is.numeric(knots) && all(is.finite(knots)) &&
    all(knots > 0 & knots < top) && !is.unsorted(knots, strictly = TRUE)
  if (!fine) {
    abort_input(
      "`knots` must be rising numbers between 0 and `top`, one dose above 0.",
      code = "dose_basis"
    )
  }
  all_knots <- c(rep(0, degree + 1L), knots, rep(top, degree + 1L))
  new_dose_basis(length(knots) + degree, knots = all_knots, degree = degree,
                 top = top, default = default,
                 call = call("dose_spline", top = top,
                             knots = if (!default) knots, degree = degree))
}

new_dose_basis <- function(n, ...) {
  structure(list(n = n, ...), class = "dose_basis")
}

as_dose_basis <- function(x, label) {
  if (inherits(x, "dose_basis")) return(x)
  zero <- if (is.function(x)) tryCatch(as.matrix(x(c(0, 0))),
                                       error = function(e) NULL)
  if (is.null(zero) || nrow(zero) != 2L || !all(zero == 0)) {
    abort_input(
      sprintf("`dose` of `%s` must be `dose_spline()` or a function.", label),
      x = if (is.function(x)) "The function is not zero at dose 0." else
        sprintf("It is %s.", what_is(x)),
      i = "Like `function(x) pmin(x, 2)`: numbers to numbers, 0 to 0.",
      code = "dose_basis", arg = "dose"
    )
  }
  new_dose_basis(ncol(zero), fun = with_own_values(x))
}

# A function with what it uses of where it was written, and nothing else: a fit
# holds no data.
with_own_values <- function(f) {
  env <- environment(f)
  if (is.null(env) || isNamespace(env) || identical(env, globalenv())) return(f)
  used <- intersect(all.names(body(f)), ls(env, all.names = TRUE))
  environment(f) <- list2env(mget(used, envir = env), parent = globalenv())
  f
}

# length(x) x n, finite.
dose_columns <- function(basis, x) {
  out <- if (!is.null(basis$fun)) {
    matrix(as.double(basis$fun(x)), length(x), basis$n)
  } else {
    if (any(x > basis$top)) {
      abort_input(
        "Some doses are above the `top` of their spline.",
        x = sprintf("%s above %s.", count_of(sum(x > basis$top), "dose"),
                    format(basis$top)), code = "dose_basis", arg = "top"
      )
    }
    columns <- splines::splineDesign(basis$knots, x, basis$degree + 1L)
    columns <- columns[, -1L, drop = FALSE]
    if (is.null(basis$turn)) columns else columns %*% basis$turn
  }
  if (!all(is.finite(out))) {
    abort_input("`dose` must give finite numbers.", code = "dose_basis",
                arg = "dose")
  }
  out
}
