# Operations as functions: the mechanism behind those that are written by the
# table (symbolic-operations.R), and those whose whole numbers need words.

#' Operations on symbolic matrices
#'
#' Beside R's own operators and functions (see [LazyTensor]) there are these.
#' They take LazyTensors, numbers (parameters) and vectors (of parameters), and
#' build a formula. Those that work component by component take plain numbers
#' alone too, and then compute.
#'
#' @param x,y,test,yes,no LazyTensors, numbers or vectors. Components must be
#'   as
#'   many, or one; a matrix within one vector is read row by row.
#' @param s Weights of the squares: one, one for each component, or a symmetric
#'   matrix.
#' @param lower,upper Bounds.
#' @param modulus,offset The remainder of x lies in \[offset, offset + modulus).
#' @param k Place of a component, or of the first one, counted from 1.
#' @param d How many components, of the result or to take.
#' @param D How many components, for `one_hot()`.
#' @param dimsx,dimsy Sizes of the axes of the tensors within x and y.
#' @param contx,conty Axes to sum over, counted from 1, in pairs.
#' @param knots Knots: at least `degree + 2`, increasing.
#' @param degree Degree of the splines; `length(knots) - degree - 1` of them are
#'   the components.
#' @param gamma Smoothness of the minimum in `softdtw_sqdist()`, a positive
#'   number (or a parameter, and then differentiated too): the smooth cost of
#'   warping the series of components of x onto that of y, of squared steps.
#' @param table A matrix. `lookup(x, table)` is the row of `table` at place x,
#'   which may be any formula; `Vij(table)` has the entries of `table` as its
#'   own, row i and column j. That may be an array (rows, columns, components)
#'   as well; both are stored, and so for small blocks.
#' @param ... LazyTensors to put one after the other.
#' @return A [LazyTensor]. Comparisons and `one_hot()` have a gradient of zero;
#'   that of `sqrt()`, `norm2()` and `abs()` at 0 is taken as 0.
#' @section Errors:
#' `vigitensor_error_bad_dimension` (components that do not fit), `_bad_place`,
#' `_bad_operand`, `_bad_type`.
#' @seealso [symbolic_reductions]
#' @name symbolic_operations
#' @examples
#' x <- matrix(rnorm(6), 3)
#' weightedsqdist(Vi(x), Vj(x), c(1, 10))
#' sum(where(Vi(x) > 0, Vi(x), 0), "i")
#' concat(Vi(x), Vj(x), 1)
#' square(1:3)
NULL

# name: of the table; args: LazyTensors, numbers, vectors; static: whole
# numbers.
call_operation <- function(name, args, static = integer()) {
  lazy <- complex <- FALSE
  for (x in args) {
    lazy <- lazy || is_lazy(x)
    complex <- complex || is_complex_like(x)
  }
  if (!lazy) return(plain_operation(symbolic_table()[[name]], args, static))
  if (complex && !startsWith(name, "complex") && name != "concat") {
    r_name <- symbolic_table()[[name]]$r_name
    abort_complex(if (nzchar(r_name)) r_name else name)
  }
  nodes <- args
  for (k in seq_along(args)) nodes[[k]] <- operand_node(args[[k]], name)
  new_lazy(apply_op_list(name, nodes, static), name %in% complex_makers)
}

complex_makers <- c("real2complex", "imag2complex", "exp1j")

# On plain numbers, component by component.
plain_operation <- function(op, args, static) {
  numbers <- vapply(args, function(x) {
    !is.object(x) && (is.numeric(x) || is.logical(x))
  }, NA)
  if (op$kind != "elementwise" || !all(numbers)) {
    if (any(vapply(args, is_traced, NA))) {
      abort_undefined(op$name, "traced arrays")
    }
    abort_not_lazy(op$name)
  }
  names <- bind_operation(op, args, static)
  eval(parse(text = op$r_dense, keep.source = FALSE)[[1L]], names, baseenv())
}

whole_number <- function(x, arg, least = 1L) {
  ok <- is.numeric(x) && length(x) == 1L && !is.na(x) && x == round(x) &&
    x >= least
  if (ok) return(as.integer(x))
  abort_input(
    sprintf("`%s` must be one whole number, %d or more.", arg, least),
    x = sprintf("It is %s.", first_line(deparse(x)[1L])),
    code = "bad_place", arg = arg
  )
}

whole_numbers <- function(x, arg) {
  vapply(x, whole_number, 1L, arg = arg)
}

#' @rdname symbolic_operations
#' @export
clamp <- function(x, lower, upper) {
  call_operation("clamp", list(x, lower, upper))
}

#' @rdname symbolic_operations
#' @export
mod <- function(x, modulus, offset = 0) {
  call_operation("mod", list(x, modulus, offset))
}

#' @rdname symbolic_operations
#' @export
one_hot <- function(x, D) {
  if (!is_lazy(x)) abort_not_lazy("one_hot")
  call_operation("one_hot", list(x - 1), whole_number(D, "D"))
}

#' @rdname symbolic_operations
#' @export
elem <- function(x, k) {
  call_operation("elem", list(x), whole_number(k, "k") - 1L)
}

#' @rdname symbolic_operations
#' @export
extract <- function(x, k, d) {
  call_operation("extract", list(x),
                 c(whole_number(k, "k") - 1L, whole_number(d, "d")))
}

#' @rdname symbolic_operations
#' @export
elemT <- function(x, k, d) {
  call_operation("elem_t", list(x),
                 c(whole_number(k, "k") - 1L, whole_number(d, "d")))
}

#' @rdname symbolic_operations
#' @export
extractT <- function(x, k, d) {
  call_operation("extract_t", list(x),
                 c(whole_number(k, "k") - 1L, whole_number(d, "d")))
}

#' @rdname symbolic_operations
#' @export
concat <- function(...) {
  parts <- list(...)
  complex <- vapply(parts, is_complex_like, NA)
  if (any(complex)) {
    parts <- lapply(parts, function(x) {
      new_lazy(complex_node(operand_node(x, "concat"), is_complex_like(x)))
    })
  }
  out <- Reduce(function(x, y) call_operation("concat", list(x, y)), parts)
  if (!is_lazy(out)) abort_not_lazy("concat")
  new_lazy(node_of(out), any(complex))
}

#' @rdname symbolic_operations
#' @export
tensordot <- function(x, y, dimsx, dimsy, contx, conty) {
  if (length(contx) != length(conty)) {
    abort_input("`contx` and `conty` name axes in pairs.",
                x = sprintf("There are %d and %d.", length(contx),
                            length(conty)),
                code = "bad_dimension", arg = "contx")
  }
  size <- list(whole_numbers(dimsx, "dimsx"), whole_numbers(dimsy, "dimsy"))
  over <- list(whole_numbers(contx, "contx"), whole_numbers(conty, "conty"))
  check_axes(over[[1L]], size[[1L]], "contx")
  check_axes(over[[2L]], size[[2L]], "conty")
  call_operation("tensordot", list(x, y),
                 c(length(size[[1L]]), size[[1L]], length(size[[2L]]),
                   size[[2L]], length(contx), over[[1L]] - 1L,
                   over[[2L]] - 1L))
}

check_axes <- function(axes, size, arg) {
  if (all(axes <= length(size)) && !anyDuplicated(axes)) return(invisible())
  abort_input(
    sprintf("`%s` must name axes from 1 to %d, each once.", arg, length(size)),
    code = "bad_place", arg = arg
  )
}

#' @rdname symbolic_operations
#' @export
kron <- function(x, y, dimsx, dimsy) {
  if (length(dimsx) != length(dimsy)) {
    abort_input("`dimsx` and `dimsy` must name as many axes.",
                x = sprintf("There are %d and %d.", length(dimsx),
                            length(dimsy)),
                code = "bad_dimension", arg = "dimsx")
  }
  call_operation("kron", list(x, y), c(whole_numbers(dimsx, "dimsx"),
                                       whole_numbers(dimsy, "dimsy")))
}

#' @rdname symbolic_operations
#' @export
bspline <- function(knots, x, degree = 3L) {
  call_operation("bspline", list(knots, x), whole_number(degree, "degree", 0L))
}

#' @rdname symbolic_operations
#' @export
softdtw_sqdist <- function(x, y, gamma) {
  if (!is_lazy(x) && !is_lazy(y)) abort_not_lazy("softdtw_sqdist")
  parts <- lapply(list(x, y, gamma), function(z) {
    if (is_complex_like(z)) abort_complex("softdtw_sqdist")
    new_lazy(operand_node(z, "softdtw_sqdist"))
  })
  x <- parts[[1L]]
  y <- parts[[2L]]
  gamma <- parts[[3L]]
  cost <- function(a, b) square(elem(x, a) - elem(y, b))
  # The cheapest ways to all places of a row, from those of the row before.
  before <- NULL
  for (a in seq_len(length(x))) {
    row <- list()
    for (b in seq_len(length(y))) {
      ways <- list(if (b > 1L) row[[b - 1L]], if (a > 1L) before[[b]],
                   if (a > 1L && b > 1L) before[[b - 1L]])
      row[[b]] <- add_way(cost(a, b), Filter(Negate(is.null), ways), gamma)
    }
    before <- row
  }
  before[[length(y)]]
}

# The smooth minimum of several costs, added to another.
add_way <- function(cost, ways, gamma) {
  if (!length(ways)) return(cost)
  if (length(ways) == 1L) return(cost + ways[[1L]])
  all <- do.call(concat, ways)
  least <- min(all)
  cost + least - gamma * log(sum(exp((least - all) / gamma)))
}

#' @rdname symbolic_operations
#' @export
lookup <- function(x, table) {
  if (!is_lazy(x)) abort_not_lazy("lookup")
  if (!is_traced(table)) table <- plain_numbers(table)
  if (is.null(dim(table))) table <- traced_reshape(table, c(length(table), 1L))
  vecmatmult(one_hot(x, nrow(table)), Pm(table))
}

#' @rdname symbolic_operations
#' @export
Vij <- function(table) {
  if (is_device(table)) table <- device_numbers(table)
  if (!is_traced(table)) {
    size <- dim(table)
    if (!is.numeric(table) || is.object(table) || !length(size) %in% 2:3 ||
          any(size == 0L)) {
      abort_input("`table` must be a matrix, or an array of three dimensions.",
                  code = "bad_shape", arg = "table")
    }
    refuse_missing(table)
    table <- with_shape(table + 0, size)
  }
  new_lazy(new_leaf(table, "ij"))
}
