# Derivatives of formulas as formulas, for every pair (i, j): what PyKeOps calls
# grad, diff, divergence and laplacian. Reverse mode on the tree, as for
# reductions (symbolic-adjoint.R).

#' Derivatives of formulas
#'
#' The derivatives of the entries F(x_i, y_j, p) of a symbolic matrix in one of
#' its variables, as symbolic matrices: to be computed with further and reduced.
#' (The gradient of what becomes of them is that of [gradient()].)
#'
#' @param x A real [LazyTensor].
#' @param v The variable: a LazyTensor of data, `Vi()`, `Vj()` or `Pm()`, that
#'   is part of `x`.
#' @param e Weights of the components of `x`: a LazyTensor, a number or a
#'   vector.
#' @param u A direction: a LazyTensor, a number or a vector.
#' @param ... Not used.
#' @return A LazyTensor. `grad()`: the sum of the gradients of the components in
#'   `v`, each times its component of `e`; as many components as `v` has.
#'   `grad_matrix()`: the gradients of all components, one after the other.
#'   `diff()`: the derivative of `x` along `u`. `divergence()`, for as many
#'   components as `v` has: the sum of the derivatives of component k in
#'   component k of `v`, the trace of a linear map. `laplacian()`, for one
#'   component: the sum of its second derivatives. `factorize()` is `x`: parts
#'   that are used twice are always computed once.
#' @section Errors:
#' `vigitensor_error_bad_operand` (`v` is no variable of `x`),
#' `_bad_dimension`.
#' @name symbolic_derivatives
#' @examples
#' x <- matrix(runif(6), 3)
#' X <- Vi(x)
#' Y <- Vj(matrix(runif(8), 4))
#' K <- exp(-sqdist(X, Y))
#' sum(grad(K, X), "j")
#' sum(laplacian(K, X), "j")
NULL

#' @rdname symbolic_derivatives
#' @export
grad <- function(x, v, e = 1) {
  leaves <- leaves_of(x, v, "grad")
  e <- node_of(new_lazy(operand_node(e, "grad")))
  if (!e$dim %in% c(1L, node_of(x)$dim)) {
    abort_input("`e` must have the components of `x`, or one.",
                x = sprintf("They have %d and %d.", e$dim, node_of(x)$dim),
                code = "bad_dimension", arg = "e")
  }
  new_lazy(gradient_node(expand_node(node_of(x)), e, leaves))
}

#' @rdname symbolic_derivatives
#' @export
grad_matrix <- function(x, v) {
  leaves <- leaves_of(x, v, "grad_matrix")
  parts <- lapply(component_nodes(x), gradient_node, const_node(1), leaves)
  new_lazy(Reduce(function(a, b) apply_op("concat", a, b), parts))
}

#' @rdname symbolic_derivatives
#' @export
divergence <- function(x, v) {
  leaves <- leaves_of(x, v, "divergence")
  parts <- component_nodes(x)
  if (length(parts) != leaves[[1L]]$dim) {
    abort_input("`divergence()` needs as many components as `v` has.",
                x = sprintf("There are %d and %d.", length(parts),
                            leaves[[1L]]$dim),
                code = "bad_dimension", arg = "v")
  }
  new_lazy(trace_node(parts, leaves))
}

#' @rdname symbolic_derivatives
#' @export
laplacian <- function(x, v) {
  leaves <- leaves_of(x, v, "laplacian")
  if (node_of(x)$dim != 1L) {
    abort_input("`laplacian()` takes a formula of one component.",
                x = sprintf("This one has %d.", node_of(x)$dim),
                code = "bad_dimension", arg = "x")
  }
  slope <- gradient_node(expand_node(node_of(x)), const_node(1), leaves)
  new_lazy(trace_node(component_nodes(new_lazy(slope)), leaves))
}

# The gradient is linear in its weights w; the derivative along u is that of its
# product with u in w.
#' @rdname symbolic_derivatives
#' @export
diff.LazyTensor <- function(x, v, u, ...) {
  if (missing(v) || missing(u)) abort_conversion(x, "diff")
  leaves <- leaves_of(x, v, "diff")
  root <- expand_node(node_of(x))
  w <- new_leaf(matrix(1, 1L, root$dim), "p")
  slope <- gradient_node(root, w, leaves)
  along <- apply_op("sum", apply_op("mul", slope, operand_node(u, "diff")))
  out <- gradient_node(expand_node(along), const_node(1), list(w))
  new_lazy(if (w_is_in(out, w)) apply_op("mul", root, const_node(0)) else out)
}

#' @rdname symbolic_derivatives
#' @export
factorize <- function(x) {
  if (!is_lazy(x)) abort_not_lazy("factorize")
  x
}

# ---- nodes ------------------------------------------------------------------

# The leaves of x that are the variable v: the same data under the same index.
leaves_of <- function(x, v, name) {
  if (!is_lazy(x)) abort_not_lazy(name)
  if (is_complex_lazy(x) || is_complex_lazy(v)) abort_complex(name)
  leaf <- if (is_lazy(v)) node_of(v)
  found <- if (identical(leaf$op, "var")) {
    Filter(function(node) {
      node$index == leaf$index && data_key(node$data) == data_key(leaf$data)
    }, node_leaves(node_of(x)))
  }
  if (length(found)) return(found)
  abort_input(
    "`v` must be a variable of `x`.",
    i = "Keep it, `X <- Vi(x)`, and use the same `X` in the formula and here.",
    code = "bad_operand", arg = "v"
  )
}

component_nodes <- function(x) {
  root <- expand_node(node_of(x))
  if (root$dim == 1L) return(list(root))
  lapply(seq_len(root$dim) - 1L, function(k) {
    apply_op("elem", root, static = k)
  })
}

# The gradient of a tree without composites, summed over uses of a variable.
gradient_node <- function(root, cotangent, leaves) {
  parts <- node_cotangents(root, cotangent, leaves)
  parts <- Filter(Negate(is.null), parts)
  if (!length(parts)) return(apply_op("mul", leaves[[1L]], const_node(0)))
  Reduce(function(a, b) apply_op("add", a, b), parts)
}

trace_node <- function(parts, leaves) {
  terms <- lapply(seq_along(parts), function(k) {
    slope <- gradient_node(expand_node(parts[[k]]), const_node(1), leaves)
    if (slope$dim == 1L) slope else
      apply_op("elem", slope, static = k - 1L)
  })
  Reduce(function(a, b) apply_op("add", a, b), terms)
}

w_is_in <- function(node, w) {
  any(vapply(node_leaves(node), identical, NA, w))
}
