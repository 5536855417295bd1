# LazyTensor: data wrapped with an index, and formulas of them.
#
# The object is a list of one node, of S3 class c("LazyTensor", "symbolic")
# (with "ComplexLazyTensor" before it for complex numbers, held as real and
# imaginary parts in turn). It carries the S4 bit, as `%*%` dispatches on
# nothing else before R 4.3.

#' Symbolic matrices
#'
#' A symbolic matrix is a formula F(x_i, y_j, p) of data with a row per i, data
#' with a row per j, and parameters. Its n x m entries (each a vector of
#' `dim(x)[3]` components) are never stored: arithmetic builds the formula, and
#' a reduction over `"i"` or `"j"` ([sum()][symbolic_reductions], `logsumexp()`,
#' `argKmin()`, ...) evaluates it piece by piece, in memory linear in n + m.
#'
#' @param x Data: a numeric (or logical, or complex) matrix with a row per i or
#'   j
#'   and a column per component; a data frame of numeric columns; or a vector,
#'   which is one column for `Vi()` and `Vj()` and one parameter vector for
#'   `Pm()`. A matrix given to `Pm()` is one parameter vector too, read row by
#'   row. Missing values (`NA`, `NaN`) are refused; infinite ones are not.
#'   An array of three dimensions is a batch, see below; a [device_array()] is
#'   taken where it is.
#' @param index `"i"`, `"j"`, or `NULL` (or `"p"`) for a parameter.
#' @return An object of class `"LazyTensor"`. `dim()` is the number of i, of j
#'   (`NA`: the formula does not say) and of components. Printing it shows the
#'   formula and the sizes, never data.
#' @section Arithmetic:
#' Operators and mathematical functions work component by component; components
#' of two operands must be as many, or one. Numbers are taken as they are,
#' vectors as parameters; matrices must be wrapped, as it cannot be known what
#' their rows are. Comparisons give 1 or 0. `|` is the inner product of two
#' vectors, and "or" between two comparisons. `x[k]` takes components, `K[i, j]`
#' a dense piece of the matrix (see [symbolic_dense]). All places count from 1.
#' The functions of [symbolic_operations] do the rest.
#' @section Batches:
#' An array (rows, components, problems) holds as many problems of one size;
#' reductions then give arrays (rows, components, problems). Matrices beside it
#' belong to every problem. Conditions on pairs hold in each of them.
#' @section Numbers:
#' A number or parameter is not part of the compiled formula: a new value is not
#' compiled again. Whole powers from -8 to 8, `x^0.5` and `x^-0.5` are.
#' @section Errors:
#' `vigitensor_error_missing` (with the rows in `$rows`), `_bad_type`,
#' `_bad_shape`, `_bad_index`, `_bad_size` (different numbers of rows for one
#' index), `_bad_dimension` (components that do not fit), `_bad_operand`.
#' @aliases show,symbolic-method
#' @seealso [symbolic_reductions], [symbolic_operations], [symbolic_dense],
#'   [gradient()]
#' @export
#' @examples
#' x <- matrix(runif(15), 5)
#' y <- matrix(runif(21), 7)
#' K <- exp(-sqdist(Vi(x), Vj(y)) / 2)
#' K
#' sum(K, "j")
#' argmin(sqdist(Vi(x), Vj(y)), "j")
LazyTensor <- function(x, index = NULL) {
  wrap_data(x, index %||% "p", shown_expression(substitute(x)))
}

#' @rdname LazyTensor
#' @export
Vi <- function(x) wrap_data(x, "i", shown_expression(substitute(x)))

#' @rdname LazyTensor
#' @export
Vj <- function(x) wrap_data(x, "j", shown_expression(substitute(x)))

#' @rdname LazyTensor
#' @export
Pm <- function(x) wrap_data(x, "p", shown_expression(substitute(x)))

# A name for prints: the argument, if it is a name.
shown_expression <- function(expression) {
  if (is.name(expression)) as.character(expression)
}

# ---- the object -------------------------------------------------------------

real_class <- c("LazyTensor", "symbolic")
complex_class <- c("ComplexLazyTensor", real_class)

new_lazy <- function(node, complex = FALSE) {
  out <- list(node = node)
  class(out) <- if (complex) complex_class else real_class
  asS4(out)
}

node_of <- function(x) unclass(x)$node
is_lazy <- function(x) inherits(x, "LazyTensor")
is_complex_lazy <- function(x) inherits(x, "ComplexLazyTensor")
is_traced <- function(x) inherits(x, "traced_array")

# ---- wrapping ---------------------------------------------------------------

wrap_data <- function(x, index, name = NULL) {
  check_index(index, c("i", "j", "p"))
  if (is_lazy(x)) {
    abort_input("`x` is a LazyTensor already.",
                i = "Wrap data: a matrix, a vector or a data frame.",
                code = "bad_type", arg = "x")
  }
  complex <- is.complex(x)
  # A parameter is small, and read in another order.
  if (index == "p" && is_device(x)) x <- device_numbers(x)
  data <- if (is_traced(x) || is_device(x)) shape_leaf(x, index) else {
    shape_leaf(plain_numbers(x), index)
  }
  new_lazy(new_leaf(data, index, name), complex)
}

check_index <- function(index, allowed, arg = "index") {
  if (is.character(index) && length(index) == 1L && index %in% allowed) {
    return(invisible())
  }
  abort_input(
    sprintf("`%s` must be one of %s.", arg,
            paste0("\"", allowed, "\"", collapse = ", ")),
    x = sprintf("It is %s.", first_line(deparse(index)[1L])),
    i = "\"i\" counts the rows of the symbolic matrix, \"j\" its columns.",
    code = "bad_index", arg = arg
  )
}

# Numbers as doubles, complex ones as real and imaginary parts in turn.
plain_numbers <- function(x) {
  if (is.data.frame(x)) x <- numeric_columns(x)
  if (is.object(x) || !(is.numeric(x) || is.logical(x) || is.complex(x))) {
    abort_input(
      "Data must be a matrix, a vector or a data frame of numbers.",
      x = sprintf("They are of class %s.", paste(class(x), collapse = "/")),
      code = "bad_type", arg = "x"
    )
  }
  if (length(dim(x)) > 3L || (is.complex(x) && length(dim(x)) > 2L)) {
    abort_input(
      "Data must have two dimensions: a row per point, a column per component.",
      i = "A third one, for real numbers, counts problems of the same size.",
      x = sprintf("They have %d.", length(dim(x))),
      code = "bad_shape", arg = "x"
    )
  }
  refuse_missing(x)
  if (is.complex(x)) return(interleave_parts(x))
  if (!is.double(x)) storage.mode(x) <- "double"
  x
}

numeric_columns <- function(x) {
  other <- names(x)[!vapply(x, function(column) {
    (is.numeric(column) || is.logical(column)) && is.null(dim(column))
  }, NA)]
  if (length(other)) {
    abort_input(
      "All columns of a data frame must be numeric.",
      x = sprintf("Not numeric: %s.", paste(other, collapse = ", ")),
      i = "Leave them out, or make numbers of them (`model.matrix()`).",
      code = "bad_type", arg = "x"
    )
  }
  as.matrix(x)
}

refuse_missing <- function(x) {
  if (!anyNA(x)) return(invisible())
  bad <- is.na(x)
  rows <- if (is.null(dim(x))) which(bad) else which(rowSums(bad) > 0)
  abort_input(
    sprintf("The data have missing values (NA or NaN): %s.",
            format_rows(rows)),
    i = "Leave these rows out, for instance with `complete.cases()`.",
    code = "missing", arg = "x", rows = unname(rows)
  )
}

interleave_parts <- function(x) {
  if (is.null(dim(x))) x <- matrix(x, ncol = 1L)
  out <- matrix(0, nrow(x), 2L * ncol(x))
  odd <- 2L * seq_len(ncol(x)) - 1L
  out[, odd] <- Re(x)
  out[, odd + 1L] <- Im(x)
  out
}

# The matrix of a leaf; nothing is copied where it is one already.
shape_leaf <- function(x, index) {
  size <- dim(x)
  if (length(size) == 3L) return(shape_batch(x, index))
  if (index == "p") {
    if (!length(x)) abort_empty_leaf()
    if (length(size) == 2L && size[[1L]] > 1L) x <- t(x)
    return(with_shape(x, c(1L, length(x))))
  }
  if (is.null(size)) return(with_shape(x, c(length(x), 1L)))
  if (size[[2L]] < 1L) abort_empty_leaf()
  if (is_device(x) || is.null(attr(x, "dimnames"))) x else
    with_shape(x, size)
}

with_shape <- function(x, size) {
  if (!inherits(x, "symbolic")) attributes(x) <- NULL
  dim(x) <- size
  x
}

abort_empty_leaf <- function() {
  abort_input("Data have one column (component) at least.",
              code = "bad_shape", arg = "x")
}
