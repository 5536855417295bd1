# Reductions as users call them; all of them are lines of reduction_table.

#' Reductions of symbolic matrices
#'
#' Sums, extremes, nearest neighbours and the like of the entries F(x_i, y_j) of
#' a symbolic matrix, over all j for each i (`index = "j"`) or over all i for
#' each j (`index = "i"`). `sum()`, `prod()`, `min()`, `max()`, `any()`, `all()`
#' and `mean()` are R's own functions, which know LazyTensors.
#'
#' @param x A [LazyTensor].
#' @param index `"i"` or `"j"`: the index that disappears. Without one (`NULL`),
#'   `sum()`, `prod()`, `min()`, `max()`, `any()`, `all()`, `argmin()` and
#'   `argmax()` work on the components of each entry, and give a LazyTensor.
#' @param K How many of the smallest or largest values.
#' @param weight Weights of the entries: a LazyTensor, or numbers for the index
#'   that disappears (a vector, or a matrix with a row for each). Weights may be
#'   negative, and in `logsumexp()` and `sumsoftmaxweight()` vectors.
#' @param evaluator `NULL` for option `vigitensor.evaluator`, by default
#'   `"auto"`: `"cpu"` where the engine is there, `"reference"` otherwise.
#'   `"reference"` is dense R code, slow and plain; `"torch"` computes dense
#'   pieces on the device of option `vigitensor.device`; `"keops"` uses PyKeOps
#'   where it is installed, for what it can do.
#' @param pairs Which pairs (i, j) count, see [symbolic_pairs()]; `NULL`: all.
#' @param na.rm `TRUE`: leave values out that are NaN (`sum()`, `prod()` and
#'   their like take it as well).
#' @param breaks Limits of cells \[a, b); the last one holds its end.
#' @param name Name of a reduction: `"sum"`, `"Kmin"`, ...
#' @param ... Not used.
#' @return A matrix with a row for each of the remaining index: doubles (complex
#'   for a complex formula), `TRUE` and `FALSE` for `any()` and `all()`,
#'   integers counted from 1 for places. `min_argmin()` and its like return a
#'   list of `value` and `index`. The columns are the components of the formula,
#'   or the `K` values, best first; of equal values the first place counts.
#'   A formula that depends on the vanishing index alone gives one row; a batch
#'   of problems (see [LazyTensor]) an array with a third dimension.
#'
#'   \describe{
#'   \item{`mean()`, `variance()`}{With weights w: sum(w F) / sum(w), and the
#'     sum of squared deviations over sum(w) - 1, so that weights are counts.}
#'   \item{`logsumexp()`}{log(sum(w exp(F))), safe from overflow.}
#'   \item{`sumsoftmaxweight()`}{sum(w exp(F)) / sum(exp(F)).}
#'   \item{`count()`}{How many entries are not 0 (or the sum of their weights).}
#'   \item{`histogram()`}{How many entries lie in each cell; a column per cell.}
#'   }
#' @section Missing values:
#' Data have none (see [LazyTensor]), but a formula may give NaN, as `log(-1)`
#' does. One NaN makes a sum, `min()` and `max()` NaN, and its place that of
#' `argmin()`; `Kmin()` and its like pass over it.
#' @section Errors:
#' `vigitensor_error_bad_index`, `_bad_k`, `_bad_weight`, `_bad_dimension` (more
#' than one component where one is needed), `_bad_size` (no data have the
#' index), `_empty` (an extreme of no values), `_evaluator`.
#' @name symbolic_reductions
#' @aliases sum.LazyTensor min.LazyTensor max.LazyTensor prod.LazyTensor
#'   any.LazyTensor all.LazyTensor
#' @seealso [LazyTensor], [gradient()]
#' @examples
#' set.seed(1)
#' x <- matrix(rnorm(10), 5)
#' y <- matrix(rnorm(14), 7)
#' D <- sqdist(Vi(x), Vj(y))
#' sum(exp(-D), "j")
#' mean(D, index = "j", weight = 1:7)
#' argKmin(D, 3, "j")
#' min_argmin(D, "i")
#' logsumexp(-D, "j")
#' count(D < 2, "j")
NULL

#' @rdname symbolic_reductions
#' @export
reduction <- function(x, name, index, K = 1L, weight = NULL, evaluator = NULL,
                      pairs = NULL, na.rm = FALSE) {
  reduce_lazy(x, name, index, K, weight, pairs, evaluator, na.rm)
}

#' @rdname symbolic_reductions
#' @export
mean.LazyTensor <- function(x, index = NULL, weight = NULL, evaluator = NULL,
                            pairs = NULL, na.rm = FALSE, ...) {
  if (is.null(index)) {
    return(sum(x) / (node_of(x)$dim / if (is_complex_lazy(x)) 2 else 1))
  }
  reduce_lazy(x, "mean", index, weight = weight, pairs = pairs,
              evaluator = evaluator, na.rm = na.rm)
}

#' @rdname symbolic_reductions
#' @export
variance <- function(x, index, weight = NULL, evaluator = NULL, pairs = NULL) {
  reduce_lazy(x, "variance", index, weight = weight, pairs = pairs,
              evaluator = evaluator)
}

#' @rdname symbolic_reductions
#' @export
count <- function(x, index, weight = NULL, evaluator = NULL, pairs = NULL) {
  reduce_lazy(x, "count", index, weight = weight, pairs = pairs,
              evaluator = evaluator)
}

#' @rdname symbolic_reductions
#' @export
histogram <- function(x, index, breaks, weight = NULL, evaluator = NULL,
                      pairs = NULL) {
  check_breaks(breaks)
  reduce_lazy(x, "histogram", index, weight = weight, pairs = pairs,
              evaluator = evaluator, breaks = as.numeric(breaks))
}

check_breaks <- function(breaks) {
  ok <- is.numeric(breaks) && length(breaks) > 1L && !anyNA(breaks) &&
    !is.unsorted(breaks, strictly = TRUE)
  if (ok) return(invisible())
  abort_input("`breaks` must be two or more numbers that increase.",
              code = "bad_breaks", arg = "breaks")
}

#' @rdname symbolic_reductions
#' @export
logsumexp <- function(x, index, weight = NULL, evaluator = NULL, pairs = NULL) {
  reduce_lazy(x, "logsumexp", index, weight = weight, pairs = pairs,
              evaluator = evaluator)
}

#' @rdname symbolic_reductions
#' @export
sumsoftmaxweight <- function(x, weight, index, evaluator = NULL, pairs = NULL) {
  reduce_lazy(x, "sumsoftmaxweight", index, weight = weight, pairs = pairs,
              evaluator = evaluator)
}

#' @rdname symbolic_reductions
#' @export
argmin <- function(x, index = NULL, evaluator = NULL, pairs = NULL) {
  place_of(x, "argmin", index, evaluator, pairs)
}

#' @rdname symbolic_reductions
#' @export
argmax <- function(x, index = NULL, evaluator = NULL, pairs = NULL) {
  place_of(x, "argmax", index, evaluator, pairs)
}

# Places of components count from 1 in R, from 0 in the engine.
place_of <- function(x, name, index, evaluator, pairs) {
  if (!is_lazy(x)) abort_not_lazy(name)
  if (is.null(index)) {
    if (is_complex_lazy(x)) abort_complex(name)
    place <- apply_op(name, node_of(x))
    return(new_lazy(apply_op("add", place, const_node(1))))
  }
  reduce_lazy(x, name, index, pairs = pairs, evaluator = evaluator)
}

# Value and place together.
with_place <- function(name) {
  force(name)
  function(x, index, evaluator = NULL, pairs = NULL) {
    reduce_lazy(x, name, index, pairs = pairs, evaluator = evaluator)
  }
}

#' @rdname symbolic_reductions
#' @export
min_argmin <- with_place("min_argmin")

#' @rdname symbolic_reductions
#' @export
max_argmax <- with_place("max_argmax")

# The K best, by value, place, or both.
best_k <- function(name) {
  force(name)
  function(x, K, index, evaluator = NULL, pairs = NULL) {
    reduce_lazy(x, name, index, K, pairs = pairs, evaluator = evaluator)
  }
}

#' @rdname symbolic_reductions
#' @export
Kmin <- best_k("kmin")

#' @rdname symbolic_reductions
#' @export
argKmin <- best_k("argkmin")

#' @rdname symbolic_reductions
#' @export
Kmin_argKmin <- best_k("kmin_argkmin")

#' @rdname symbolic_reductions
#' @export
Kmax <- best_k("kmax")

#' @rdname symbolic_reductions
#' @export
argKmax <- best_k("argkmax")

#' @rdname symbolic_reductions
#' @export
Kmax_argKmax <- best_k("kmax_argkmax")
