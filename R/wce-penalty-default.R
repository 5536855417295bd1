# What `smooth = NULL` means: a penalty, unless the user says how the curve is
# built.

# smooth, nknots, shape, order, basis: as users write them; parts: of
# split_formula(). Value: NULL, or a wce_smooth.
decide_smooth <- function(smooth, nknots, parts, shape = "free", order = 4,
                          basis = "clamped") {
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

# The numbers of knots to try, once that is decided; NULL: one that is large,
# as the window allows.
decide_knots <- function(nknots, smooth) {
  if (is.null(nknots) && is.null(smooth)) 1:3 else nknots
}
