# Dense pieces of a symbolic matrix, its shape, and products with it.

#' Dense pieces of symbolic matrices
#'
#' For inspection and small sizes: `K[i, j]` gives a piece, `K[i, ]` rows,
#' `K[, j]` columns, `diagonal(K)` the diagonal, `as.matrix(K)` and
#' `as.array(K)` everything. `x[k]` (one index) takes components, and is a
#' LazyTensor still. `t(K)` exchanges i and j. `K %*% b` is the product with a
#' matrix or vector of numbers, `a %*% K` that from the left.
#'
#' @param x A [LazyTensor].
#' @param i,j Rows and columns, as for a matrix: positive or negative whole
#'   numbers, or logical.
#' @param drop `FALSE`: keep the dimensions of length 1.
#' @param y A LazyTensor or numbers.
#' @param limit The largest number of entries that `as.matrix()` and
#'   `as.array()` make, by default option `vigitensor.dense_max`, 1e7 (80 MB).
#' @param ... For `[`: a third index, of components. Not used otherwise.
#' @return `as.matrix()`: a matrix (one component only); `as.array()`: an array
#'   (n, m, components). `K[i, j]`: a matrix, or an array of several components.
#'   `diagonal()`: a vector, or a matrix with a column per component. `%*%`: a
#'   matrix.
#' @section Errors:
#' `vigitensor_error_too_large` above the limit, `_bad_place`,
#' `_bad_dimension` (`as.matrix()` of several components), `_bad_size`,
#' `_conversion` for conversions that would be nonsense (`as.numeric()`).
#' @name symbolic_dense
#' @examples
#' x <- matrix(1:6, 3)
#' K <- exp(-sqdist(Vi(x), Vj(x)) / 10)
#' K[1:2, ]
#' diagonal(K)
#' K %*% c(1, 0, 2)
#' all.equal(as.matrix(t(K)), t(as.matrix(K)))
NULL

#' @rdname symbolic_dense
#' @export
as.array.LazyTensor <- function(x, ...,
                                limit = getOption("vigitensor.dense_max",
                                                  1e7)) {
  size <- known_size(x)
  entries <- prod(as.double(size))
  if (entries > limit) {
    abort_input(
      sprintf("A dense array of %s numbers is more than the limit of %s.",
              format_whole(entries), format_whole(limit)),
      i = "Ask for a piece, `K[1:10, 1:10]`, or reduce it, `sum(K, \"j\")`.",
      i = "Option `vigitensor.dense_max` moves the limit.",
      code = "too_large", arg = "x"
    )
  }
  dense_piece(x, seq_len(size[[1L]]), seq_len(size[[2L]]))
}

#' @rdname symbolic_dense
#' @export
as.matrix.LazyTensor <- function(x, ...,
                                 limit = getOption("vigitensor.dense_max",
                                                   1e7)) {
  if (dim(x)[[3L]] != 1L) {
    abort_input(
      "A matrix has one number per entry.",
      x = sprintf("Here are %d components.", dim(x)[[3L]]),
      i = "`as.array(K)` has three dimensions; `K[1]` is the first component.",
      code = "bad_dimension", arg = "x"
    )
  }
  out <- as.array.LazyTensor(x, limit = limit)
  matrix(out, nrow(out), ncol(out))
}

# (rows, columns, components), complex for a complex formula.
dense_piece <- function(x, rows, columns) {
  node <- node_of(x)
  refuse_batch(node, "A dense piece")
  if (has_traced(node_leaves(node))) {
    out <- traced_piece(node, rows, columns)
  } else if (choose_evaluator() == "reference") {
    out <- reference_piece(node, rows, columns)
  } else {
    torch <- choose_evaluator() == "torch"
    formula <- symbolic_formula_of(node)
    out <- engine_call(
      "symbolic_matrix", expression = formula$expression,
      data = lapply(formula$leaves, leaf_numbers),
      index = lapply(formula$leaves, `[[`, "index"), rows = rows,
      columns = columns, precision = leaves_precision(formula$leaves),
      base = 1L, size = known_size(x)[1:2], most = Inf,
      engine = if (torch) "torch" else "cpu",
      device = if (torch) evaluator_device("torch")
    )
  }
  if (!is_complex_lazy(x)) return(out)
  odd <- seq.int(1L, dim(out)[[3L]], by = 2L)
  array(complex(real = out[, , odd], imaginary = out[, , odd + 1L]),
        c(dim(out)[1:2], length(odd)))
}

reference_piece <- function(node, rows, columns) {
  pick <- rebuild_node(node, function(leaf) {
    if (leaf$index == "p") return(leaf)
    if (leaf$index == "ij") return(piece_of_both(leaf, rows, columns))
    at <- if (leaf$index == "i") rows else columns
    new_leaf(leaf$data[at, , drop = FALSE], leaf$index, leaf$name)
  })
  dense_values(pick, length(rows), length(columns))
}

piece_of_both <- function(leaf, rows, columns) {
  x <- array(leaf$data, c(dim(leaf$data)[1:2], leaf$dim))
  new_leaf(x[rows, columns, , drop = FALSE], "ij", leaf$name)
}

# Entries of a leaf of both, pair by pair, as a leaf of i.
pairs_of_both <- function(leaf, rows, columns) {
  size <- dim(leaf$data)
  at <- outer(rows + (columns - 1L) * size[[1L]],
              (seq_len(leaf$dim) - 1L) * prod(size[1:2]), `+`)
  new_leaf(traced_gather(leaf$data, at), "i", leaf$name)
}

# Sizes, 1 where the formula does not say.
known_size <- function(x) {
  size <- dim(x)
  size[is.na(size)] <- 1L
  size
}

#' @export
dim.LazyTensor <- function(x) {
  node <- node_of(x)
  width <- if (is_complex_lazy(x)) node$dim %/% 2L else node$dim
  c(node$n, node$m, width, if (!is.na(node$batch)) node$batch)
}

# rowSums() and its like are no generics, but ask is.array() first.
#' @export
is.array.LazyTensor <- function(x) {
  answer_caller(lazy_sums)
  FALSE
}

lazy_sums <- lapply(
  c(rowSums = "rowSums", colSums = "colSums", rowMeans = "rowMeans",
    colMeans = "colMeans"),
  function(what) {
    force(what)
    function(at) {
      one_component(at$x, what)
      reduction <- if (endsWith(what, "Sums")) "sum" else "mean"
      index <- if (startsWith(what, "row")) "j" else "i"
      as_column(reduce_lazy(at$x, reduction, index))
    }
  }
)

#' @export
length.LazyTensor <- function(x) dim(x)[[3L]]

#' @export
t.LazyTensor <- function(x) {
  new_lazy(swap_node(node_of(x)), is_complex_lazy(x))
}

swap_node <- function(node) {
  rebuild_node(node, function(leaf) {
    if (leaf$index == "p") return(leaf)
    if (leaf$index == "ij") return(swap_of_both(leaf))
    new_leaf(leaf$data, if (leaf$index == "i") "j" else "i", leaf$name)
  })
}

swap_of_both <- function(leaf) {
  size <- dim(leaf$data)
  at <- aperm(array(seq_len(prod(size)), c(size[1:2], leaf$dim)), c(2L, 1L, 3L))
  if (length(size) == 2L) dim(at) <- size[2:1]
  new_leaf(traced_gather(leaf$data, at), "ij", leaf$name)
}

# ---- pieces -----------------------------------------------------------------

#' @rdname symbolic_dense
#' @export
`[.LazyTensor` <- function(x, i, j, ..., drop = TRUE) {
  given <- nargs() - !missing(drop)
  if (given == 2L) {
    return(if (missing(i)) x else take_components(x, i))
  }
  size <- known_size(x)
  rows <- if (missing(i)) seq_len(size[[1L]]) else places(i, size[[1L]], "i")
  columns <- if (missing(j)) seq_len(size[[2L]]) else
    places(j, size[[2L]], "j")
  if (given > 3L && !missing(..1)) x <- take_components(x, ...)
  out <- dense_piece(x, rows, columns)
  if (!drop) return(out)
  if (dim(out)[[3L]] == 1L) dim(out) <- dim(out)[1:2]
  if (is_traced(out)) out else drop(out)
}

places <- function(at, size, arg) {
  found <- tryCatch(seq_len(size)[at], error = function(e) NA)
  if (is.object(at) || !(is.numeric(at) || is.logical(at)) || anyNA(found)) {
    abort_input(
      sprintf("`%s` must be places from 1 to %s.", arg,
              format(size, big.mark = ",")),
      code = "bad_place", arg = arg
    )
  }
  found
}

take_components <- function(x, k) {
  node <- node_of(x)
  complex <- is_complex_lazy(x)
  at <- places(k, dim(x)[[3L]], "k") - 1L
  if (!length(at)) abort_empty_leaf()
  if (complex) at <- as.integer(rbind(2L * at, 2L * at + 1L))
  if (identical(at, seq_len(node$dim) - 1L)) return(x)
  new_lazy(pick_components(node, at), complex)
}

# at: places from 0.
pick_components <- function(node, at) {
  if (length(at) == 1L) return(apply_op("elem", node, static = at))
  if (all(diff(at) == 1L)) {
    return(apply_op("extract", node, static = c(at[[1L]], length(at))))
  }
  if (setequal(at, seq_len(node$dim) - 1L) && !anyDuplicated(at)) {
    return(apply_op("permute", node, static = at))
  }
  Reduce(function(a, b) apply_op("concat", a, b),
         lapply(at, function(k) apply_op("elem", node, static = k)))
}

#' @rdname symbolic_dense
#' @export
diagonal <- function(x) {
  if (!is_lazy(x)) abort_not_lazy("diagonal")
  node <- node_of(x)
  refuse_batch(node, "A diagonal")
  if (!is.na(node$n) && !is.na(node$m) && node$n != node$m) {
    abort_input("A diagonal needs as many rows as columns.",
                x = sprintf("There are %d and %d.", node$n, node$m),
                code = "bad_size", arg = "x")
  }
  rows <- max(node$n, node$m, 1L, na.rm = TRUE)
  along <- rebuild_node(node, function(leaf) {
    if (leaf$index == "ij") {
      return(pairs_of_both(leaf, seq_len(rows), seq_len(rows)))
    }
    if (leaf$index == "p") leaf else new_leaf(leaf$data, "i", leaf$name)
  })
  out <- rowwise_values(along, rows)
  if (is_complex_lazy(x)) out <- complex_matrix(out)
  if (ncol(out) == 1L) as_column(out) else out
}

# A formula of i alone, a row of values for each: a sum over one j.
rowwise_values <- function(node, rows) {
  problem <- list(root = node, weight = NULL, rule = reduction_rule("sum"),
                  axis = "j", k = 1L, n = rows, m = 1L,
                  evaluator = choose_evaluator())
  if (has_traced(node_leaves(node))) {
    traced_reduction(problem)$value
  } else {
    run_reduction(problem)$value
  }
}

# ---- products ---------------------------------------------------------------

symbolic_product <- function(x, y) {
  if (is_lazy(x)) return(product_right(x, y))
  if (is_lazy(y)) {
    # A vector is a row, as for matrices.
    x <- if (is.null(dim(x))) x else t(x)
    return(t(product_right(t(y), x)))
  }
  if (is_traced(x) || is_traced(y)) return(traced_product(x, y))
  device_product(x, y)
}

product_right <- function(K, b) {
  if (!is_lazy(b)) b <- wrap_data(b, "j")
  if (is.na(node_of(b)$m)) {
    abort_input("The right side of `%*%` must be indexed by j.",
                i = "Wrap it with `Vj()`, or give a matrix.",
                code = "bad_index", arg = "%*%")
  }
  one_component(K, "%*%", "`sum(K * Vj(b), \"j\")` multiplies by component.")
  reduce_lazy(K * b, "sum", "j")
}

one_component <- function(K, what, hint = "`K[1]` is the first component.") {
  if (dim(K)[[3L]] == 1L) return(invisible())
  abort_input(sprintf("`%s` takes a LazyTensor of one component.", what),
              x = sprintf("This one has %d.", dim(K)[[3L]]), i = hint,
              code = "bad_dimension", arg = what)
}
