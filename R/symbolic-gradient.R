# gradient(): reverse mode through R functions with reductions in them.

#' Gradients of functions written with symbolic matrices
#'
#' `gradient()` differentiates an R function that returns one number. Inside,
#' the argument is a traced array: arithmetic, mathematical functions, `sum()`,
#' `mean()`, `prod()`, `min()`, `max()`, `pmin()`, `pmax()`, `ifelse()`,
#' `rowSums()` and the like, `cumsum()`, `var()`, `%*%`, `crossprod()`,
#' `outer()`, `solve()`, `det()`, `chol()`, `diag()`, `t()`, `c()`, `rep()`,
#' `cbind()`, `rbind()`, `matrix()`, `apply()` over rows or columns, `sapply()`,
#' indexing and assignment by `x[i] <-`, and `Vi()`, `Vj()`, `Pm()` with every
#' reduction that has values (nested ones too) are differentiated exactly, by
#' reverse mode. Anything else is an error that names the function; nothing is
#' done by finite differences.
#'
#' @param f A function of `x` (and of `...`) that returns one number.
#' @param x Where: a vector, a matrix, or a list of these.
#' @param v A direction, in the shape of `x`.
#' @param ... Passed on to `f`, and not differentiated.
#' @return `gradient()`: the gradient in the shape of `x`.
#'   `value_and_gradient()`: a list of `value` and `gradient`.
#'   `hessian_vector()`: the product of the matrix of second derivatives with
#'   `v`, in the shape of `x`, without making that matrix.
#'
#'   Comparisons, places (`argmin()` and the like) and counts are plain numbers
#'   inside `f`: their derivative is zero. Smallest and largest values are
#'   differentiated where they stand. `gradient()` may be used inside `f`.
#' @section Errors:
#' `vigitensor_error_not_scalar` (f did not return one number),
#' `_undefined` and `_conversion` (a function that cannot be differentiated),
#' and those of [LazyTensor].
#' @export
#' @examples
#' set.seed(1)
#' x <- matrix(rnorm(10), 5)
#' y <- matrix(rnorm(14), 7)
#' energy <- function(x) {
#'   K <- exp(-sqdist(Vi(x), Vj(y)))
#'   sum(log(sum(K, "j")))
#' }
#' gradient(energy, x)
#' hessian_vector(energy, x, matrix(1, 5, 2))
#'
#' # Parameters as a list
#' fit <- function(p) {
#'   K <- exp(-sqdist(Vi(x), Vj(y)) / p$scale^2)
#'   sum((K %*% p$b)^2)
#' }
#' gradient(fit, list(scale = 2, b = rep(1, 7)))
gradient <- function(f, x, ...) {
  value_and_gradient(f, x, ...)$gradient
}

#' @rdname gradient
#' @export
value_and_gradient <- function(f, x, ...) {
  if (!is.function(f)) {
    abort_input("`f` must be a function.", code = "bad_type", arg = "f")
  }
  level <- (.symbolic$level %||% 0) + 1
  .symbolic$level <- level
  on.exit(.symbolic$level <- level - 1)
  many <- is.list(x) && !is_traced(x)
  at <- if (many) x else list(x)
  at <- lapply(at, gradient_point)
  traced <- lapply(at, new_traced, level = level)
  seen <- with_own_functions(f)
  out <- answering(seen(if (many) traced else traced[[1L]], ...))
  check_scalar(out)
  cells <- lapply(traced, cell_of)
  slopes <- vector("list", length(at))
  value <- out
  if (is_traced(out) && cell_of(out)$level == level) {
    value <- cell_of(out)$value
    one <- plain_value(out) * 0 + 1
    slopes <- pull_back(cell_of(out), one, cells)
  }
  slopes <- Map(function(g, x) {
    if (is.null(g)) return(plain_value(x) * 0)
    like_point(g, x)
  }, slopes, at)
  if (many) names(slopes) <- names(x)
  list(value = if (is_traced(value)) value else as.vector(value),
       gradient = if (many) slopes else slopes[[1L]])
}

gradient_point <- function(x) {
  if (is_traced(x)) return(x)
  if (!is.numeric(x) || is.object(x)) {
    abort_input("`x` must be a vector or a matrix of numbers, or a list.",
                x = sprintf("It is of class %s.", class(x)[[1L]]),
                code = "bad_type", arg = "x")
  }
  refuse_missing(x)
  if (!is.double(x)) storage.mode(x) <- "double"
  x
}

like_point <- function(g, x) {
  g <- reshape_like(g, x)
  if (!is_traced(g) && !is_traced(x)) attributes(g) <- attributes(x)
  g
}

check_scalar <- function(out) {
  number <- is_traced(out) || (is.numeric(out) && !is.object(out))
  if (number && length(out) == 1L) return(invisible())
  what <- if (is_lazy(out)) "a LazyTensor" else if (number) {
    sprintf("%d numbers", length(out))
  } else sprintf("an object of class %s", class(out)[[1L]])
  abort_input(
    "`f` must return one number.", x = sprintf("It returned %s.", what),
    i = "Reduce it with `sum()`, for instance.",
    code = "not_scalar", arg = "f"
  )
}

#' @rdname gradient
#' @export
hessian_vector <- function(f, x, v, ...) {
  many <- is.list(x) && !is_traced(x)
  directions <- if (many) v else list(v)
  points <- if (many) x else list(x)
  if (length(directions) != length(points) ||
        !identical(lengths(directions), lengths(points))) {
    abort_input("`v` must have the shape of `x`.", code = "bad_shape",
                arg = "v")
  }
  along <- function(x) {
    slope <- gradient(f, x, ...)
    parts <- Map(function(g, v) sum(g * as.vector(v)),
                 if (many) slope else list(slope), directions)
    Reduce(`+`, parts)
  }
  gradient(along, x)
}

# ---- reductions of traced data ----------------------------------------------

# Value: list of `value`, traced, and `index`.
traced_reduction <- function(problem) {
  problem$pair <- apply_pair(problem$root, problem$weight)
  slots <- leaf_slots(walk_nodes(list(problem$pair))$nodes)
  name <- problem$rule$name
  if (name %in% c("any", "all", "histogram")) {
    return(run_reduction(untraced_problem(problem, slots$leaves)))
  }
  data <- lapply(slots$leaves, `[[`, "data")
  level <- vapply(data, function(x) if (is_traced(x)) cell_of(x)$level else 0,
                  0)
  again <- max(level) > 1 || problem$evaluator == "reference"
  if (grepl("^k?(min|max)", name) && again) {
    return(values_at_places(problem, slots$leaves))
  }
  kept <- new.env(parent = emptyenv())
  rule <- list(
    value = function(...) {
      out <- run_reduction(problem_with(problem, slots, list(...))$problem)
      kept$index <- out$index
      out$value
    },
    pull_all = function(g, out, args, mine) {
      here <- problem_with(problem, slots, args)
      traced <- vapply(c(list(g), args), is_traced, NA)
      if (!any(traced) && anyNA(g)) return(lapply(args[mine], `*`, NaN))
      if (any(traced) || problem$evaluator == "reference") {
        formula_gradients(here$problem, g, out, here$leaves[mine])
      } else {
        engine_gradients(here$problem, g, mine)
      }
    }
  )
  value <- trace_rule(rule, data)
  list(value = value, index = kept$index)
}

# The problem with other data in its leaves.
problem_with <- function(problem, slots, data) {
  leaves <- Map(function(leaf, x) new_leaf(x, leaf$index, leaf$name),
                slots$leaves, data)
  put <- function(node) {
    rebuild_node(node, function(leaf) {
      leaves[[slots$slot[[node_key(leaf)]] + 1L]]
    })
  }
  problem$root <- put(problem$root)
  if (!is.null(problem$weight)) problem$weight <- put(problem$weight)
  problem$pair <- apply_pair(problem$root, problem$weight)
  list(problem = problem, leaves = leaves)
}

engine_gradients <- function(problem, g, slots) {
  formula <- symbolic_formula_of(problem$root, problem$weight, problem$pairs)
  found <- engine_call(
    "symbolic_gradient", expression = formula$expression,
    data = lapply(formula$leaves, leaf_numbers),
    index = lapply(formula$leaves, `[[`, "index"),
    cotangent = g, wrt = as.list(slots - 1L), reduction = problem$rule$name,
    axis = problem$axis, k = problem$k, weight = formula$weight,
    precision = leaves_precision(formula$leaves),
    size = c(problem$n, problem$m),
    structure = formula$structure, base = 1L, engine = problem$evaluator,
    device = evaluator_device(problem$evaluator)
  )
  # A matrix of both comes back with one component.
  Map(function(g, leaf) {
    if (leaf$index == "ij") traced_reshape(g, dim(leaf$data)) else g
  }, found, formula$leaves[slots])
}

# Smallest and largest values: where they stand is found first, then the formula
# is evaluated there, which can be differentiated any number of times.
values_at_places <- function(problem, leaves) {
  found <- run_reduction(untraced_problem(problem, leaves))
  if (is.null(found$index)) {
    places <- problem
    places$rule <- reduction_rule(sub("^k", "argk",
                                      sub("^m", "argm", problem$rule$name)))
    found$index <- run_reduction(untraced_problem(places, leaves))$index
  }
  if (anyNA(found$index) || any(found$index < 1L)) {
    abort_input("There are fewer than `K` values that are numbers.",
                code = "bad_k", arg = "K")
  }
  gone <- problem$axis
  columns <- lapply(seq_len(ncol(found$index)), function(k) {
    root <- problem$root
    if (root$dim > 1L) root <- apply_op("elem", root, static = k - 1L)
    there <- rebuild_node(root, function(leaf) {
      if (leaf$index == "p") return(leaf)
      data <- leaf$data
      if (leaf$index == "ij") {
        rows <- seq_len(nrow(found$index))
        at <- if (gone == "j") list(rows, found$index[, k]) else
          list(found$index[, k], rows)
        return(pairs_of_both(leaf, at[[1L]], at[[2L]]))
      }
      if (leaf$index == gone) data <- data[found$index[, k], , drop = FALSE]
      new_leaf(data, "i", leaf$name)
    })
    rowwise_values(there, nrow(found$index))
  })
  list(value = do.call(cbind, columns), index = found$index)
}

# A dense piece, differentiated: every pair as a row.
traced_piece <- function(node, rows, columns) {
  at <- list(i = rep(rows, length(columns)),
             j = rep(columns, each = length(rows)))
  pairs <- rebuild_node(node, function(leaf) {
    if (leaf$index == "p") return(leaf)
    if (leaf$index == "ij") return(pairs_of_both(leaf, at$i, at$j))
    new_leaf(leaf$data[at[[leaf$index]], , drop = FALSE], "i", leaf$name)
  })
  value <- rowwise_values(pairs, length(at$i))
  traced_reshape(value, c(length(rows), length(columns), node$dim))
}
