# What `smooth = NULL` means: a penalty, unless the user says how the curve is
# built.

# smooth, nknots, shape, order, basis: as users write them; parts: of
# split_formula(). Value: NULL, or a wce_smooth.
decide_smooth <- function(smooth, nknots, parts, shape, order, basis) {
  if (!is.null(smooth)) return(read_smooth(smooth))
  plain <- is.null(nknots) && identical(shape, "free") &&
    identical(basis, "clamped") && isTRUE(all.equal(order, 4))
  if (plain && !any(vapply(parts$exposures, sets_curve, NA))) wce_smooth()
}

# Does an exposure() call say how its curve is built?
sets_curve <- function(call) {
  given <- names(as.list(match.call(exposure, call)))
  any(c("nknots", "shape", "order", "basis") %in% given)
}

# The settings that every exposure() has unless it says otherwise. nknots: NULL
# with a penalty, a number that is large, as the window allows.
term_defaults <- function(parts, cutoff, nknots, lag_in, constrained, order,
                          basis, smooth, shape = "free") {
  smooth <- decide_smooth(smooth, nknots, parts, shape, order, basis)
  if (is.null(nknots) && is.null(smooth)) nknots <- 1:3
  list(cutoff = cutoff, nknots = nknots, lag_in = lag_in,
       constrained = constrained, shape = shape, order = order, basis = basis,
       smooth = smooth)
}
