# The shape of the weight function: its sign, and whether it rises or falls, as
# linear inequalities A b >= 0 on the spline coefficients b.
#
# A spline whose B-spline coefficients are non-negative is non-negative; one
# whose coefficients do not rise does not rise. For steps and straight lines
# (order 1 and 2) the converse holds as well; for quadratic and cubic splines a
# few curves that satisfy the shape are excluded, the fewer the more knots.
# Reference: de Boor (1978), A practical guide to splines.

shapes <- c("nonnegative", "nonpositive", "decreasing", "increasing")

check_shape <- function(shape) {
  if (identical(shape, "free")) return("free")
  if (!is.character(shape) || length(shape) == 0L ||
        !all(shape %in% shapes)) {
    abort_input(
      sprintf("`shape` must be \"free\", or one or two of %s.",
              format_list(dQuote(shapes, FALSE))),
      x = sprintf("It is %s.", if (is.character(shape)) {
        paste(dQuote(shape, FALSE), collapse = ", ")
      } else {
        what_is(shape)
      }),
      arg = "shape", code = "shape"
    )
  }
  for (clash in list(shapes[1:2], shapes[3:4])) {
    if (all(clash %in% shape)) {
      abort_input(sprintf("`shape` cannot be both %s and %s.", clash[1L],
                          clash[2L]), arg = "shape", code = "shape")
    }
  }
  unique(shape)
}

# n: columns before a constraint leaves any out; a column left out has the
# coefficient 0. Value: A (r x J) with linearly independent rows, or NULL.
shape_matrix <- function(n, constrained, order, shape) {
  if (identical(shape, "free")) return(NULL)
  down <- "decreasing" %in% shape
  up <- "increasing" %in% shape
  sign <- if ("nonnegative" %in% shape) 1 else if ("nonpositive" %in% shape) {
    -1
  } else {
    0
  }
  unit <- diag(n)
  steps <- unit[-n, , drop = FALSE] - unit[-1L, , drop = FALSE]
  # Of a monotone sequence one end bounds all the others.
  bounding <- if (down) {
    if (sign > 0) n else 1L
  } else if (up) {
    if (sign > 0) 1L else n
  } else {
    seq_len(n)
  }
  a <- rbind(if (down) steps, if (up) -steps,
             if (sign != 0) sign * unit[bounding, , drop = FALSE])
  kept <- constrained_columns(n, constraint_ends(constrained), order)
  a <- a[, kept, drop = FALSE]
  a <- a[rowSums(a != 0) > 0, , drop = FALSE]
  if (nrow(a) > length(kept)) {
    abort_input(
      "`shape` and `constrained` leave nothing but a weight of zero.",
      x = sprintf("The weight is %s, and zero where it begins or ends.",
                  format_list(shape)),
      i = "Free the end, or drop a shape.", arg = "shape", code = "shape"
    )
  }
  a
}

# The matrices of all terms side by side, with zeros for the covariates: what an
# engine takes for one design. NULL when every term is free.
design_inequalities <- function(choices, n_covariates) {
  sizes <- vapply(choices, function(e) ncol(e$basis_matrix), 0L)
  before <- n_covariates + cumsum(sizes) - sizes
  rows <- lapply(seq_along(choices), function(k) {
    a <- choices[[k]]$inequality
    if (is.null(a)) return(NULL)
    wide <- matrix(0, nrow(a), n_covariates + sum(sizes))
    wide[, before[k] + seq_len(sizes[k])] <- a
    wide
  })
  do.call(rbind, rows)
}

describe_shape <- function(shape) {
  if (is.null(shape) || identical(shape, "free")) return("")
  paste0(", ", format_list(sub("^non", "not ", shape)))
}
