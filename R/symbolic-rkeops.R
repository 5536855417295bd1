# Reductions under the names that RKeOps has for them, so that its scripts run.

#' Reductions by their names in RKeOps
#'
#' The same as the functions without `_reduction`, see [symbolic_reductions]:
#' places count from 1 here.
#'
#' @inheritParams symbolic_reductions
#' @param ... Passed on: `evaluator`, `pairs`.
#' @return As [symbolic_reductions].
#' @name rkeops_reductions
#' @seealso [symbolic_reductions], `vignette("symbolic-rkeops")`
#' @examples
#' x <- matrix(runif(6), 3)
#' D <- sqdist(Vi(x), Vj(x))
#' sum_reduction(D, "j")
#' argKmin_reduction(D, 2, "j")
NULL

over_index <- function(name) {
  force(name)
  function(x, index, ...) reduce_lazy(x, name, index, ...)
}

over_index_best <- function(name) {
  force(name)
  function(x, K, index, ...) reduce_lazy(x, name, index, K, ...)
}

#' @rdname rkeops_reductions
#' @export
sum_reduction <- over_index("sum")

#' @rdname rkeops_reductions
#' @export
min_reduction <- over_index("min")

#' @rdname rkeops_reductions
#' @export
max_reduction <- over_index("max")

#' @rdname rkeops_reductions
#' @export
argmin_reduction <- over_index("argmin")

#' @rdname rkeops_reductions
#' @export
argmax_reduction <- over_index("argmax")

#' @rdname rkeops_reductions
#' @export
min_argmin_reduction <- over_index("min_argmin")

#' @rdname rkeops_reductions
#' @export
max_argmax_reduction <- over_index("max_argmax")

#' @rdname rkeops_reductions
#' @export
Kmin_reduction <- over_index_best("kmin")

#' @rdname rkeops_reductions
#' @export
argKmin_reduction <- over_index_best("argkmin")

#' @rdname rkeops_reductions
#' @export
Kmin_argKmin_reduction <- over_index_best("kmin_argkmin")

#' @rdname rkeops_reductions
#' @export
logsumexp_reduction <- function(x, index, weight = NULL, ...) {
  reduce_lazy(x, "logsumexp", index, weight = weight, ...)
}

#' @rdname rkeops_reductions
#' @export
sumsoftmaxweight_reduction <- function(x, weight, index, ...) {
  reduce_lazy(x, "sumsoftmaxweight", index, weight = weight, ...)
}
