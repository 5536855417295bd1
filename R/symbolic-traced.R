# Traced arrays: numbers that remember how they were computed.
#
# A cell holds the `value` (a plain array, or a traced one of an outer
# gradient), its `level` (which gradient() it belongs to), the `parents` that it
# was made of and `pull`, the function from its cotangent to theirs. Cotangents
# are computed with the same functions of R as values, so that they can be
# traced by an outer gradient(): derivatives of any order follow.

new_traced <- function(value, level, parents = list(), pull = NULL) {
  .symbolic$cells <- (.symbolic$cells %||% 0) + 1
  cell <- list2env(list(value = value, level = level, parents = parents,
                        pull = pull, number = .symbolic$cells),
                   parent = emptyenv())
  # What is left of a traced array where R has taken it apart.
  class(cell) <- "traced_cell"
  asS4(structure(list(cell = cell), class = c("traced_array", "symbolic")))
}

cell_of <- function(x) unclass(x)$cell

# Is a gradient() being computed?
tracing <- function() (.symbolic$level %||% 0) > 0

# Plain numbers below all levels.
plain_value <- function(x) {
  while (is_traced(x)) x <- cell_of(x)$value
  x
}

has_traced <- function(leaves) {
  any(vapply(leaves, function(leaf) is_traced(leaf$data), NA))
}

untraced_node <- function(node) {
  rebuild_node(node, function(leaf) {
    new_leaf(plain_value(leaf$data), leaf$index, leaf$name)
  })
}

untraced_problem <- function(problem, leaves) {
  problem$pairs <- untraced_pairs(problem$pairs)
  if (!has_traced(leaves)) return(problem)
  problem$root <- untraced_node(problem$root)
  if (!is.null(problem$weight)) problem$weight <- untraced_node(problem$weight)
  problem
}

# Which pairs count is not differentiated.
untraced_pairs <- function(pairs) {
  if (is.null(pairs)) return(NULL)
  if (!is.null(pairs$mask)) pairs$mask <- untraced_node(pairs$mask)
  if (!is.null(pairs$radius)) {
    pairs$radius$leaves <- lapply(pairs$radius$leaves, untraced_node)
  }
  pairs
}

# Applies a rule to arguments of which some may be traced. rule: `value`, a
# function of plain arguments; `pull`, a function (g, out, args, k) that gives
# the cotangent of argument k from that of the result; or `pull_all` for several
# k.
trace_rule <- function(rule, args) {
  level <- vapply(args, function(x) if (is_traced(x)) cell_of(x)$level else 0,
                  0)
  top <- max(level, 0)
  if (top == 0) return(do.call(rule$value, args))
  mine <- which(level == top)
  below <- args
  below[mine] <- lapply(args[mine], function(x) cell_of(x)$value)
  out <- trace_rule(rule, below)
  new_traced(out, top, lapply(args[mine], cell_of), function(g) {
    if (!is.null(rule$pull_all)) return(rule$pull_all(g, out, below, mine))
    lapply(mine, function(k) rule$pull(g, out, below, k))
  })
}

# Cotangents of `of` (cells), given that of the cell `from`.
pull_back <- function(from, cotangent, of) {
  found <- new.env(parent = emptyenv())
  name <- function(cell) sprintf("%.0f", cell$number)
  waiting <- list()
  add <- function(waiting, cell, g) {
    key <- name(cell)
    if (is.null(found[[key]])) {
      assign(key, g, envir = found)
      waiting[[key]] <- cell
    } else {
      assign(key, found[[key]] + g, envir = found)
    }
    waiting
  }
  waiting <- add(waiting, from, cotangent)
  while (length(waiting)) {
    # Later cells first: nothing is added to a cotangent that was used.
    last <- which.max(vapply(waiting, function(cell) cell$number, 0))
    cell <- waiting[[last]]
    waiting[[last]] <- NULL
    if (!length(cell$parents)) next
    parts <- cell$pull(found[[name(cell)]])
    for (k in seq_along(parts)) {
      if (!is.null(parts[[k]])) {
        waiting <- add(waiting, cell$parents[[k]], parts[[k]])
      }
    }
  }
  lapply(of, function(cell) found[[name(cell)]])
}

# ---- shape ------------------------------------------------------------------

#' @export
dim.traced_array <- function(x) dim(plain_value(x))
#' @export
print.traced_array <- function(x, ...) {
  cat("<array traced by gradient()>\n")
  print(plain_value(x), ...)
  invisible(x)
}
#' @export
`dim<-.traced_array` <- function(x, value) traced_reshape(x, value)

# Like another array, plain or traced, in its shape.
reshape_like <- function(g, like) {
  if (identical(dim(g), dim(like))) g else traced_reshape(g, dim(like))
}

traced_reshape <- function(x, size) {
  if (!is_traced(x)) {
    dim(x) <- size
    return(x)
  }
  trace_rule(list(
    value = function(x) {
      attributes(x) <- NULL
      dim(x) <- size
      x
    },
    pull = function(g, out, args, k) reshape_like(g, args[[1L]])
  ), list(x))
}
