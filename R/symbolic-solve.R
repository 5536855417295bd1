# Linear systems and eigenpairs of symbolic matrices, without the matrix.

#' Linear systems and eigenpairs of symbolic matrices
#'
#' `solve(a, b, alpha)` gives x with (K + alpha I) x = b for a symmetric,
#' positive definite symbolic matrix, by conjugate gradients with a
#' preconditioner; `eigs()` the largest or smallest eigenvalues of a symmetric
#' one. Both need products with K alone, in memory linear in n.
#'
#' @param a,x A square [LazyTensor] of one component, symmetric: the same data
#'   by
#'   i and by j. Symmetry is not checked.
#' @param b A vector, or a matrix with a right side in each column; the solution
#'   for a [device_array()] is one too.
#' @param alpha Added to the diagonal.
#' @param tolerance The residual to reach, relative to b; for `eigs()`, relative
#'   to the largest eigenvalue.
#' @param max_iter Steps at most. A warning says when the tolerance was not met.
#' @param preconditioner `"cholesky"` (pivoted, partial), `"nystrom"` or
#'   `"none"`.
#' @param rank Size of the preconditioner.
#' @param pairs Which pairs count, see [symbolic_pairs()].
#' @param report `TRUE`: a list of the solution `x`, `converged`, `iterations`,
#'   `residual` (relative, one for each column) and `history` of residuals.
#' @param evaluator As for [symbolic_reductions]; `"reference"` is dense.
#' @param k How many eigenpairs.
#' @param which `"largest"`, `"smallest"` or `"magnitude"` (largest absolute
#'   values).
#' @param ... Not used.
#' @return `solve()`: x in the shape of b, or the list of `report`. [gradient()]
#'   differentiates it in b, in alpha and in all data of K. `eigs()`: a list of
#'   `values`, best first, and `vectors`, a column for each.
#' @section Errors:
#' `vigitensor_error_bad_size` (not square, or as many rows as b are needed),
#' `_bad_dimension`; warnings `vigitensor_warning_not_converged`.
#' @name symbolic_solve
#' @examples
#' set.seed(1)
#' x <- matrix(runif(40), 20)
#' K <- exp(-sqdist(Vi(x), Vj(x)))
#' b <- sin(6 * x[, 1])
#' z <- solve(K, b, alpha = 0.1)
#' all.equal(as.vector(K %*% z + 0.1 * z), b, tolerance = 1e-5)
#' eigs(K, 3)$values
NULL

#' @rdname symbolic_solve
#' @export
solve.LazyTensor <- function(a, b, alpha = 0, tolerance = 1e-6,
                             max_iter = 500L, preconditioner = "cholesky",
                             rank = 50L, pairs = NULL, report = FALSE,
                             evaluator = NULL, ...) {
  if (missing(b)) {
    abort_input("`solve()` of a LazyTensor needs the right side `b`.",
                code = "bad_operand", arg = "b")
  }
  n <- square_size(a)
  evaluator <- choose_evaluator(evaluator)
  # A right side of the engine stays there, as does the solution.
  stays <- is_device(b) && !tracing() && evaluator != "reference" &&
    !is_held_in_r(device_cell(b))
  home <- if (is_device(b) && !tracing()) device_cell(b)$home
  if (is_device(b) && !stays) b <- device_numbers(b)
  if (!is_traced(b) && !stays) b <- plain_numbers(b)
  if (is_complex_lazy(a) || length(dim(b) %||% 1L) > 2L) abort_complex("solve")
  rows <- if (is.null(dim(b))) length(b) else nrow(b)
  if (rows != n) {
    abort_input(sprintf("`b` must have %s rows, as the matrix has.",
                        format(n, big.mark = ",")),
                x = sprintf("It has %s.", format(rows, big.mark = ",")),
                code = "bad_size", arg = "b")
  }
  check_index(preconditioner, c("cholesky", "nystrom", "none"),
              "preconditioner")
  problem <- list(
    root = node_of(a), weight = NULL, rule = reduction_rule("sum"), axis = "j",
    k = 1L, n = n, m = n, evaluator = evaluator,
    pairs = check_pairs(untraced_pairs(as_pairs(pairs)), c(n = n, m = n)),
    settings = list(tolerance = tolerance,
                    max_iter = whole_number(max_iter, "max_iter"),
                    preconditioner = preconditioner,
                    rank = whole_number(rank, "rank"))
  )
  if (stays) {
    out <- solve_there(problem, b, alpha)
    return(if (report) out else out$x)
  }
  right <- if (is.null(dim(b))) traced_reshape(b, c(length(b), 1L)) else b
  out <- traced_solve(problem, right, alpha)
  if (!is.null(home)) out$x <- send_home(out$x, home)
  out$x <- traced_reshape(out$x, dim(b))
  if (report) out else out$x
}

# Nothing but handles and the report cross. The products are computed where b
# is, if that is a device of torch.
solve_there <- function(problem, b, alpha) {
  home <- device_cell(b)$home
  if (home$engine == "torch") {
    problem$evaluator <- "torch"
    problem$device <- home$device
  }
  leaves <- node_leaves(problem$root)
  own <- leaves_home(leaves)
  torch <- "torch" %in% c(problem$evaluator, own$engine)
  home <- list(engine = if (torch) "torch" else "cpu",
               device = if (torch) problem$device %||% own$device %||%
                 evaluator_device("torch"),
               precision = leaves_precision(leaves))
  out <- engine_solve(problem, device_cell(b)$value, alpha, keep = TRUE)
  out$x <- new_device(out$x, device_cell(b)$size, home, dim(b))
  out
}

square_size <- function(x) {
  refuse_batch(node_of(x), "A system")
  size <- dim(x)
  if (size[[3L]] != 1L) {
    abort_input("The matrix must have one component.",
                x = sprintf("It has %d.", size[[3L]]),
                code = "bad_dimension", arg = "a")
  }
  if (is.na(size[[1L]]) || !identical(size[[1L]], size[[2L]])) {
    abort_input("The matrix must be square.",
                x = sprintf("It is %s x %s.", size[[1L]], size[[2L]]),
                code = "bad_size", arg = "a")
  }
  size[[1L]]
}

# The cotangent of b is the solution for that of x; those of the data come from
# the sum of -u_i K_ij x_j, as dx = -(K + alpha I)^-1 dK x.
traced_solve <- function(problem, b, alpha) {
  slots <- leaf_slots(walk_nodes(list(problem$root))$nodes)
  kept <- new.env(parent = emptyenv())
  rule <- list(
    value = function(b, alpha, ...) {
      here <- problem_with(problem, slots, list(...))$problem
      kept$out <- run_solve(here, b, alpha)
      kept$out$x
    },
    pull_all = function(g, out, args, mine) {
      here <- problem_with(problem, slots, args[-(1:2)])
      u <- traced_solve(here$problem, g, args[[2L]])$x
      slopes <- list(u, reshape_like(0 - sum(u * out), args[[2L]]))
      leaves <- here$leaves[mine[mine > 2L] - 2L]
      if (length(leaves)) {
        product <- here$problem
        product$root <- apply_op("mul", product$root, new_leaf(out, "j"))
        product$pair <- product$root
        slopes[mine[mine > 2L]] <- formula_gradients(product, 0 - u, NULL,
                                                     leaves)
      }
      slopes[mine]
    }
  )
  x <- trace_rule(rule, c(list(b, alpha), lapply(slots$leaves, `[[`, "data")))
  out <- kept$out
  out$x <- x
  out
}

run_solve <- function(problem, b, alpha) {
  if (problem$evaluator == "reference") {
    dense <- reference_matrix(problem)
    x <- solve(dense + alpha * diag(problem$n), b)
    return(list(x = x, converged = TRUE, iterations = 0L,
                residual = rep(0, ncol(b)), history = numeric()))
  }
  out <- engine_solve(problem, b, alpha)
  out$x <- matrix(out$x, nrow(b))
  out
}

engine_solve <- function(problem, b, alpha, keep = FALSE) {
  formula <- symbolic_formula_of(problem$root, NULL, problem$pairs)
  out <- do.call(engine_call, c(
    list("symbolic_solve"), engine_matrix(formula, problem),
    list(b = b, alpha = alpha, keep = keep), problem$settings
  ))
  tell_convergence(out)
  out[c("x", "converged", "iterations", "residual", "history")]
}

reference_matrix <- function(problem) {
  dense <- dense_values(problem$root, problem$n, problem$m)[, , 1L]
  dense <- matrix(dense, problem$n)
  if (is.null(problem$pairs)) return(dense)
  dense * dense_pairs(problem$pairs, problem$n, problem$m)
}

engine_matrix <- function(formula, problem) {
  list(expression = formula$expression,
       data = lapply(formula$leaves, leaf_numbers),
       index = lapply(formula$leaves, `[[`, "index"),
       precision = leaves_precision(formula$leaves),
       size = c(problem$n, problem$m), structure = formula$structure, base = 1L,
       engine = if (problem$evaluator == "torch") "torch" else "cpu",
       device = problem$device %||% evaluator_device(problem$evaluator))
}

tell_convergence <- function(out) {
  if (!is.character(out$message) || !nzchar(out$message)) return(invisible())
  warn_user(out$message, code = "not_converged",
            data = list(report = out[setdiff(names(out), c("x", "vectors"))]))
}

#' @rdname symbolic_solve
#' @export
eigs <- function(x, k = 6L, which = "largest", tolerance = 1e-8,
                 max_iter = 300L, pairs = NULL, evaluator = NULL) {
  if (!is_lazy(x)) abort_not_lazy("eigs")
  n <- square_size(x)
  check_index(which, c("largest", "smallest", "magnitude"), "which")
  k <- whole_number(k, "k")
  if (k > n) {
    abort_input(sprintf("`k` must be at most %d, the rows there are.", n),
                code = "bad_k", arg = "k")
  }
  if (has_traced(node_leaves(node_of(x)))) {
    abort_undefined("eigs", "traced arrays")
  }
  problem <- list(root = node_of(x), n = n, m = n,
                  evaluator = choose_evaluator(evaluator),
                  pairs = check_pairs(as_pairs(pairs), c(n = n, m = n)))
  if (problem$evaluator == "reference") {
    return(dense_eigs(reference_matrix(problem), k, which))
  }
  formula <- symbolic_formula_of(problem$root, NULL, problem$pairs)
  out <- do.call(engine_call, c(
    list("symbolic_eigs"), engine_matrix(formula, problem),
    list(k = k, which = which, tolerance = tolerance,
         max_iter = whole_number(max_iter, "max_iter"))
  ))
  tell_convergence(out)
  list(values = as.vector(out$values), vectors = matrix(out$vectors, n))
}

dense_eigs <- function(dense, k, which) {
  found <- eigen(dense, symmetric = TRUE)
  best <- switch(which, largest = order(-found$values),
                 smallest = order(found$values),
                 magnitude = order(-abs(found$values)))[seq_len(k)]
  list(values = found$values[best],
       vectors = found$vectors[, best, drop = FALSE])
}
