# The penalty of a surface f(dose, lag) = sum_kj b_kj g_k(dose) w_j(lag).
#
# With v the dose as a share of its largest and x the lag as a share of the
# window, the log-likelihood loses
#   lambda_1 / 2 * integral of (d^2 f / dx^2)^2    roughness along the lag
#   lambda_2 / 2 * integral of x^4 f^2             the far end
#   lambda_3 / 2 * integral of (d^2 f / dv^2)^2    roughness along the dose
# that is b'(M_v x S_x) b, b'(M_v x F_x) b and b'(S_v x M_x) b, Kronecker
# products of the matrices of roughness S, far end F and mass M of the margins.
# Turned so that S_v and M_v are diagonal at once, and S_x and the other matrix
# of the lag, a margin is orthogonal for what the product needs, and the penalty
# of the product is a vector again: no engine sees a matrix. Without a far end
# that is exact. With one the lag's basis is that of S_x and F_x, in which M_x
# has its diagonal only: the dose's roughness is then measured in another norm
# of the lag, with the same surfaces free of penalty (in proportion to the
# dose), and harder on what is rough or far away.
#
# Source of such products: Wood (2006), Biometrics 62, 1025-1036; of lag and
# dose: Gasparrini et al. (2017), Biometrics 73, 938-948.

# Interior knots of a dose_spline() that has none of its own.
n_surface_knots <- 3L
# Interior knots along the lag, at most: a pass costs the square of the columns.
n_surface_lag_knots <- 6L

# basis: of dose_spline(). Value: the same functions in the basis that makes
# roughness and mass diagonal, the line in proportion to the dose first, and
# `rough`, the roughness of each.
turned_dose_basis <- function(basis, label) {
  if (is.null(basis$knots)) return(basis)
  if (basis$degree < 2L) {
    abort_input(
      sprintf("A smooth surface of `%s` needs `degree` 2 or more.", label),
      x = "The second derivative of a spline of degree 1 is zero.",
      i = "Like `dose_spline(4, degree = 2)`.", code = "smooth", arg = "degree"
    )
  }
  if (basis$default) {
    between <- seq_len(n_surface_knots) / (n_surface_knots + 1L)
    basis <- dose_spline(basis$top, between * basis$top, basis$degree)
  }
  matrices <- penalty_matrices(basis$knots, basis$degree + 1L, 0, basis$top)
  # The first is the only one that is not zero at dose zero.
  matrices <- lapply(matrices, function(x) x[-1L, -1L, drop = FALSE])
  found <- diagonal_penalty(matrices, far_end = FALSE, flat = 1L)
  flat_first <- rev(seq_len(basis$n))
  basis$turn <- found$transform[, flat_first, drop = FALSE]
  basis$rough <- found$parts[1L, flat_first]
  basis
}

# found: of diagonal_penalty() along the lag, with `mass`; response: of the
# term, one column of a turned basis. Value: found, with the penalty of this
# column times the lag's.
times_dose <- function(found, response, column) {
  if (is.null(response$rough)) return(found[c("transform", "parts")])
  along_dose <- response$rough[column] * found$mass
  list(transform = found$transform, parts = rbind(found$parts,
                                                  dose = along_dose))
}
