# The spline basis of the weight function, on lags 1..m.
#
# Two bases of cubic B-splines over the same interior knots:
#   "clamped"  boundary knots repeated at lag 1 and lag m. The last two columns
#              are the only ones with a value or a slope at lag m, so leaving
#              them out makes both exactly zero there (the first two: lag 1).
#   "WCE"      the knots of the WCE package, one unit apart outside (0, m);
#              there the same two columns leave a small weight at the end.
# Without a constraint both span the same functions on 1..m, so they give the
# same fit. Both have nknots + 4 columns, nknots + 2 under such a constraint.
# The clamped basis may have another order, and other constraints (see
# wce-constraint.R).
#
# Source: Sylvestre and Abrahamowicz (2009), Statistics in Medicine 28, 3437.

# Interior knots: quantiles of the lags 1..m, rounded to whole lags (half-even).
wce_knots <- function(m, nknots) {
  if (nknots == 0) return(numeric())
  round(stats::quantile(seq_len(m), seq_len(nknots) / (nknots + 1),
                        names = FALSE))
}

# m: number of lags; knots: interior knots; constrained: see constraint_ends();
# order: 4 cubic, 3 quadratic, 2 linear, 1 constant pieces (which begin at 1 and
# at the knots). Value: m x J matrix, row u = the basis at lag u.
wce_basis <- function(m, knots, constrained = FALSE, basis = "clamped",
                      order = 4L) {
  all_knots <- wce_all_knots(m, knots, basis, order)
  columns <- splines::splineDesign(all_knots, seq_len(m), ord = order)
  keep <- constrained_columns(ncol(columns), constraint_ends(constrained),
                              order)
  columns[, keep, drop = FALSE]
}

wce_all_knots <- function(m, knots, basis, order = 4L) {
  switch(basis,
    clamped = c(rep(1, order), knots, rep(m, order)),
    WCE = c(-3:0, knots, m + 0:3)
  )
}

# C(u) = B(1) + ... + B(u), with C(0) = 0: what an engine needs. (m + 1) x J.
wce_cumulate <- function(basis_matrix) {
  rbind(0, apply(basis_matrix, 2L, cumsum), deparse.level = 0)
}
