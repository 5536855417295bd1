# Bands that hold for a whole curve at once.
#
# A curve with points c_u'b (c_u: row u of a basis) and Cov(b) = V has
# standardised errors t_u = c_u'(b^ - b) / sqrt(c_u'V c_u). The band estimate
# +- c * se holds everywhere with probability P(max_u |t_u| <= c). With V = L L'
# (L: p x r, r the rank) and z standard normal in r dimensions,
#   max_u |t_u| = max_u |a_u'z|,  a_u = L'c_u / |L'c_u|
#               = R M,            R = |z|,  M = max_u |a_u'z| / |z|,
# where R^2 is chi-squared with r degrees of freedom and independent of the
# direction z / |z|. So only directions are simulated, and
#   P(max |t| > c) = E[ P(R > c / M) ]
# has an exact tail for each of them: a thousand directions do the work of
# many thousand normal vectors. One coefficient has M = 1, and c is the normal
# quantile exactly.
#
# Source for the idea of the band: Ruppert, Wand and Carroll (2003),
# Semiparametric Regression, section 6.5.

# basis: n x p, one row per point of the curve; vcov: p x p, may have zero rows
# for coefficients that were not estimated. Points with a variance of zero are
# known exactly and left out. Value: the critical value c, NA when no point is
# left. R's own random numbers are left as they were.
simultaneous_critical <- function(basis, vcov, level = 0.95, seed = 1L,
                                  n_directions = 4000L) {
  paths <- standard_paths(as.matrix(basis), as.matrix(vcov))
  rank <- ncol(paths)
  if (!length(paths)) return(NA_real_)
  if (rank == 1L) return(stats::qnorm((1 + level) / 2))
  z <- with_random_seed(seed, {
    matrix(stats::rnorm(n_directions * rank), rank)
  })
  reach <- apply(abs(paths %*% z), 2L, max) / sqrt(colSums(z^2))
  excess <- function(critical) {
    tail <- stats::pchisq((critical / reach)^2, rank, lower.tail = FALSE)
    mean(tail) - (1 - level)
  }
  # Between one point and a sphere full of points.
  range <- c(stats::qnorm((1 + level) / 2), sqrt(stats::qchisq(level, rank)))
  if (excess(range[1L]) <= 0) return(range[1L])
  stats::uniroot(excess, range, tol = 1e-8)$root
}

# The unit vectors a_u, one row per point with a positive variance. Cholesky,
# not eigenvectors: their signs, and so the directions drawn, could turn with
# the last digit of V.
standard_paths <- function(basis, vcov) {
  used <- diag(vcov) > 0
  if (!any(used)) return(matrix(0, 0L, 0L))
  vcov <- vcov[used, used, drop = FALSE]
  scale <- sqrt(diag(vcov))
  # A singular matrix is no surprise here, so chol() need not warn of it.
  root <- suppressWarnings(chol(stats::cov2cor(vcov), pivot = TRUE))
  rank <- attr(root, "rank")
  order <- attr(root, "pivot")
  root <- root[seq_len(rank), , drop = FALSE]
  scaled <- basis[, used, drop = FALSE] %*% diag(scale, length(scale))
  paths <- scaled[, order, drop = FALSE] %*% t(root)
  size <- sqrt(rowSums(paths^2))
  moving <- size > max(size) * 1e-10
  paths[moving, , drop = FALSE] / size[moving]
}
