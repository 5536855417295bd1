# The penalty of a smooth weight function.
#
# With the lag as a share x of the window (0 newest, 1 oldest), the
# log-likelihood loses
#   lambda_1 / 2 * integral of w''(x)^2          roughness
#   lambda_2 / 2 * integral of x^4 w(x)^2        the far end
# so that w tends to a straight line, and to zero towards the end of the window.
# With B the B-splines these are b'S_1 b and b'S_2 b. A matrix T turns both into
# diagonals at once: with S_1 + k S_2 = R'R, the matrices R^-T S_1 R^-1 and
# R^-T k S_2 R^-1 add up to the identity, so they have their eigenvectors U in
# common, and T = R^-1 U. The model is fitted in the basis B T, in which a
# penalty is a vector; coefficients along which it is exactly zero are the
# straight lines.
#
# Sources: Eilers and Marx (1996), Statistical Science 11, 89-121; Obermeier et
# al. (2015), JRSS C 64, 395-412 (the far end); Demmler and Reinsch (1975),
# Numerische Mathematik 24, 375-382 (such bases).

#' A smooth weight function
#'
#' Settings of the penalty in `wce(smooth = )`. Instead of choosing the number
#' of knots, a spline with many knots is held back where the data do not ask for
#' more: the log-likelihood loses
#' \deqn{\frac{\lambda_1}{2} \int_0^1 w''(x)^2 dx +
#'   \frac{\lambda_2}{2} \int_0^1 x^4 w(x)^2 dx,}
#' where \eqn{x} is the lag as a share of the window. The first part pulls
#' \eqn{w} to a straight line, the second to zero at the far end.
#'
#' A surface over dose and lag (`exposure(dose = dose_spline())`) is held back
#' along both: its integrals are over the dose too, as a share \eqn{v} of its
#' `top`, and a third part, with its own \eqn{\lambda_3}, is that of
#' \eqn{(\partial^2 f / \partial v^2)^2}, which pulls it to an effect in
#' proportion to the dose. Other functions of the dose with several columns have
#' the two parts for each column.
#'
#' A [bootstrap()] of such a fit keeps the \eqn{\lambda}s, or with
#' `reselect = TRUE` chooses them anew in every sample. Either shows how the
#' estimates spread around their mean, without the bias of smoothing that the
#' standard errors of the fit allow for.
#'
#' @param criterion How the \eqn{\lambda}s of every term are chosen: `"reml"`,
#'   the marginal likelihood with the coefficients integrated out (Laplace's
#'   approximation), or `"aic"`.
#' @param far_end Is there the second part? `NULL`: unless `constrained` makes
#'   the weight zero at the oldest lag anyhow.
#' @param lambda `NULL`, or the parameters themselves: one number for each part
#'   of each term, in order, in units of dose squared.
#' @return A list of class `wce_smooth`.
#' @references Wood SN, Fasiolo M (2017). A generalized Fellner-Schall method
#'   for smoothing parameter optimization. Biometrics 73(4), 1071-1081.
#'   \doi{10.1111/biom.12666}
#'
#'   Obermeier V, Scheipl F, Heumann C, Wassermann J, Kuechenhoff H (2015).
#'   Flexible distributed lags for modelling earthquake data. JRSS C 64(2),
#'   395-412. \doi{10.1111/rssc.12077}
#' @seealso [wce()], [smoothness()]
#' @export
#' @examples
#' wce_smooth("reml", far_end = FALSE)
wce_smooth <- function(criterion = "reml", far_end = NULL, lambda = NULL) {
  criterion <- check_word(criterion, c("reml", "aic"), "criterion")
  if (!is.null(far_end) && !rlang::is_bool(far_end)) {
    abort_input("`far_end` must be TRUE, FALSE or NULL.", arg = "far_end",
                code = "smooth")
  }
  positive <- is.null(lambda) || is.numeric(lambda) && length(lambda) > 0L &&
    all(is.finite(lambda)) && all(lambda > 0)
  if (!positive) {
    abort_input("`lambda` must be NULL or positive numbers.",
                x = sprintf("It is %s.", what_is(lambda)), arg = "lambda",
                code = "smooth")
  }
  structure(list(criterion = criterion, far_end = far_end, lambda = lambda),
            class = "wce_smooth")
}

# smooth: as users write it. Value: NULL, or a wce_smooth.
read_smooth <- function(smooth) {
  if (inherits(smooth, "wce_smooth")) return(smooth)
  if (rlang::is_string(smooth) && smooth %in% c("none", "reml", "aic")) {
    return(if (smooth != "none") wce_smooth(smooth))
  }
  abort_input("`smooth` must be \"none\", \"reml\", \"aic\" or `wce_smooth()`.",
              x = sprintf("It is %s.", if (rlang::is_string(smooth))
                dQuote(smooth, FALSE) else what_is(smooth)),
              arg = "smooth", code = "smooth")
}

# The many knots of a smooth fit: one for about six lags, 10 at most, and at
# least what a constraint at both ends needs. The time of a pass grows with
# their square.
default_smooth_knots <- function(n_lags, clock) {
  if (clock == "continuous") return(10L)
  n <- min(n_lags)
  as.integer(min(10, max(floor(n / 6), min(4, n - 4), 0)))
}

# Settings of one term that cannot go with a penalty.
check_smooth_term <- function(s) {
  if (is.null(s$smooth)) return(invisible())
  if (s$order < 3L) {
    abort_input("A smooth weight function needs `order` 3 or more.",
                x = sprintf("It is %d, whose second derivative is zero.",
                            s$order), arg = "order", code = "smooth")
  }
  if (!identical(s$shape, "free")) {
    abort_input("`smooth` and `shape` cannot be combined.",
                i = "Use one of them.", arg = "shape", code = "smooth")
  }
}

has_far_end <- function(s) {
  s$smooth$far_end %||% (constraint_ends(s$constrained)[["right"]] == "free")
}

# choice: of place_knots(); s: the term's settings. Value: the choice in the
# basis B T, with `transform` = T and `parts`: a row of penalties per part.
penalised_choice <- function(choice, s) {
  if (is.null(s$smooth)) return(choice)
  m <- choice$cutoff - s$lag_in
  all_knots <- if (s$clock == "continuous") {
    c(rep(0, s$order), choice$knots, rep(m, s$order))
  } else {
    wce_all_knots(m, choice$knots, s$basis, s$order)
  }
  from <- if (s$clock == "continuous") 0 else 1
  matrices <- penalty_matrices(all_knots, s$order, from, m)
  ends <- constraint_ends(s$constrained)
  kept <- constrained_columns(length(all_knots) - s$order, ends, s$order)
  matrices <- lapply(matrices, function(x) x[kept, kept, drop = FALSE])
  found <- diagonal_penalty(matrices, has_far_end(s), straight_lines(ends))
  found <- times_dose(found, s$response, s$column)
  turn <- function(x) x %*% found$transform
  choice$basis_matrix <- turn(choice$basis_matrix)
  if (is.null(choice$integral)) {
    choice$table <- turn(choice$table)
  } else {
    choice$integral$coefficients <- turn(choice$integral$coefficients)
    choice$table <- choice$integral
  }
  c(choice, found, if (!is.null(s$response$rough)) list(tied = s$surface))
}

# How many independent straight lines satisfy the constraints.
straight_lines <- function(ends) max(0L, 2L - sum(end_columns[ends]))

# Value: list(roughness, far_end, mass): J x J matrices of integrals over the
# window as the unit of length, exact by Gauss's rule between the knots.
penalty_matrices <- function(all_knots, order, from, to) {
  breaks <- unique(c(from, all_knots[all_knots > from & all_knots < to], to))
  rule <- gauss_rule(order + 2L)
  width <- diff(breaks)
  at <- as.vector(outer(rule$at, width) +
                    rep(breaks[-length(breaks)], each = length(rule$at)))
  size <- to - from
  weight <- as.vector(outer(rule$weight, width)) / size
  far <- ((at - from) / size)^4
  columns <- function(derivative) {
    splines::splineDesign(all_knots, at, ord = order,
                          derivs = rep(derivative, length(at)))
  }
  value <- columns(0L)
  bend <- columns(2L) * size^2
  list(roughness = crossprod(bend, weight * bend),
       far_end = crossprod(value, weight * far * value),
       mass = crossprod(value, weight * value))
}

# Gauss-Legendre on (0, 1), by the eigenvalues of Golub and Welsch (1969).
gauss_rule <- function(n) {
  k <- seq_len(n - 1L)
  beside <- k / sqrt(4 * k^2 - 1)
  jacobi <- matrix(0, n, n)
  jacobi[cbind(k, k + 1L)] <- jacobi[cbind(k + 1L, k)] <- beside
  found <- eigen(jacobi, symmetric = TRUE)
  list(at = (1 + found$values) / 2, weight = found$vectors[1L, ]^2)
}

# T, the penalties along its columns, and their mass, squared and integrated.
# flat: dimension of the straight lines.
diagonal_penalty <- function(matrices, far_end, flat) {
  rough <- matrices$roughness
  other <- if (far_end) matrices$far_end else matrices$mass
  # Of about equal size for smooth curves; any number would do.
  share <- 1e-3 * sum(diag(rough)) / sum(diag(other))
  root <- chol(rough + share * other)
  inverse <- backsolve(root, diag(nrow(root)))
  found <- eigen(crossprod(inverse, rough %*% inverse), symmetric = TRUE)
  a <- pmin(pmax(found$values, 0), 1)
  n <- length(a)
  if (flat > 0L) a[n + 1L - seq_len(min(flat, n))] <- 0
  transform <- inverse %*% found$vectors
  largest <- apply(abs(transform), 2L, which.max)
  sign <- sign(transform[cbind(largest, seq_len(n))])
  transform <- sweep(transform, 2L, sign, "*")
  mass <- colSums(transform * (matrices$mass %*% transform))
  if (far_end) {
    parts <- rbind(roughness = a, far_end = (1 - a) / share)
    return(list(transform = transform, parts = parts, mass = mass))
  }
  # One part alone: columns of equal mass, the rough ones first.
  transform <- sweep(transform, 2L, sqrt(mass), "/")
  list(transform = transform, parts = rbind(roughness = a / mass),
       mass = rep(1, n))
}

# ---- for an engine ----------------------------------------------------------

# choices: of one fit of the grid, by term. Value: list(parts = k x p, method,
# log_lambda), or NULL when no term is smooth. The columns of a surface share
# their parts.
design_penalty <- function(choices, smooth, n_covariates) {
  if (is.null(smooth)) return(NULL)
  sizes <- vapply(choices, function(e) ncol(e$basis_matrix), 0L)
  before <- n_covariates + cumsum(sizes) - sizes
  rows <- lapply(tied_terms(choices), function(members) {
    own <- choices[[members[1L]]]$parts
    wide <- matrix(0, nrow(own), n_covariates + sum(sizes),
                   dimnames = list(rownames(own), NULL))
    for (k in members) {
      wide[, before[k] + seq_len(sizes[k])] <- choices[[k]]$parts
    }
    wide
  })
  parts <- do.call(rbind, rows)
  lambda <- smooth$lambda
  if (is.null(lambda)) return(list(parts = parts, method = smooth$criterion))
  if (length(lambda) != nrow(parts)) {
    abort_input(
      sprintf("`lambda` must have %d numbers, one per part of the penalty.",
              nrow(parts)),
      x = sprintf("It has %d.", length(lambda)), arg = "lambda", code = "smooth"
    )
  }
  list(parts = parts, method = "fixed", log_lambda = log(lambda))
}

# Terms under one penalty, as a list of their numbers: those of a surface.
tied_terms <- function(choices) {
  tied <- vapply(choices, function(e) e$tied %||% NA_character_, "")
  first <- ifelse(is.na(tied), seq_along(tied), match(tied, tied))
  unname(split(seq_along(tied), first))
}
