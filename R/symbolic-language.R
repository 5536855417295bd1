# The small language of the table: expansions and derivatives as text, evaluated
# with nodes in place of numbers. The texts come from the table alone.

# A composite in terms of other operations, one level.
expand_once <- function(op, args, static) {
  as_node(eval_language(op$expand, bind_operation(op, args, static)))
}

# The tree without composites.
expand_node <- function(root) {
  table <- symbolic_table()
  done <- new.env(parent = emptyenv())
  for (node in walk_nodes(list(root))$nodes) {
    new <- node
    if (length(node$args)) {
      args <- lapply(node$args, function(a) done[[node_key(a)]])
      op <- table[[node$op]]
      if (op$kind == "composite") {
        new <- expand_node(expand_once(op, args, node$static))
      } else if (!identical(args, node$args)) {
        new <- apply_op_list(node$op, args, node$static)
      }
    }
    assign(node_key(node), new, envir = done)
  }
  done[[node_key(root)]]
}

# Cotangent of each argument of a node (NULL: none).
derivative_nodes <- function(node, cotangent) {
  op <- symbolic_table()[[node$op]]
  names <- c(bind_operation(op, node$args, node$static),
             list(g = cotangent, out = node))
  lapply(op$derivative, function(text) {
    if (text != "0") as_node(eval_language(text, names))
  })
}

bind_operation <- function(op, args, static) {
  names <- stats::setNames(args, c("a", "b", "c")[seq_along(args)])
  if (length(op$static) && startsWith(op$static[[1L]], "*")) {
    more <- list(static)
    names(more) <- substring(op$static[[1L]], 2L)
  } else if (identical(op$static, "order")) {
    more <- list(order = static)
  } else {
    more <- stats::setNames(as.list(static), op$static)
  }
  c(names, more)
}

eval_language <- function(text, names) {
  code <- .symbolic$code[[text]]
  if (is.null(code)) {
    code <- parse(text = text, keep.source = FALSE)[[1L]]
    .symbolic$code[[text]] <- code
  }
  eval(code, list2env(names, parent = language_functions()))
}

# Every operation as a function of nodes, then of whole numbers; the operators.
language_functions <- function() {
  if (is.null(.symbolic$functions)) {
    table <- symbolic_table()
    callers <- lapply(table, function(op) {
      force(op)
      function(...) {
        given <- list(...)
        static <- given[-seq_len(op$arity)]
        apply_op_list(op$name, lapply(given[seq_len(op$arity)], as_node),
                      as.integer(unlist(static)))
      }
    })
    names <- list(
      `+` = callers$add, `*` = callers$mul, `/` = callers$div,
      `-` = function(a, b) {
        if (missing(b)) callers$neg(a) else callers$sub(a, b)
      },
      `(` = base::`(`, dim = function(a) a$dim, inverse = inverse_order,
      pow_gradient = pow_gradient, weighted = weighted_norm,
      tensordot = tensordot_nodes, kron = kron_nodes, bspline = bspline_nodes,
      complex_quotient = complex_quotient
    )
    callers[names(names)] <- NULL
    .symbolic$functions <- list2env(c(callers, names), parent = emptyenv())
  }
  .symbolic$functions
}

as_node <- function(x) if (is.environment(x)) x else const_node(x)

# ---- what one line of text cannot say ---------------------------------------

inverse_order <- function(order) order(order) - 1L

pow_gradient <- function(g, a, n) {
  if (n == 0) return(apply_op("mul", g, const_node(0)))
  if (n == 1) return(g)
  power <- if (n == 2) a else apply_op("pow", a, static = n - 1L)
  apply_op("mul", apply_op("mul", const_node(n), g), power)
}

# w |x|^2, the sum of w_k x_k^2, or x'Wx, by the size of w.
weighted_norm <- function(w, x) {
  squares <- apply_op("square", x)
  if (w$dim == 1L) return(apply_op("mul", w, apply_op("sum", squares)))
  if (w$dim == x$dim) return(apply_op("sum", apply_op("mul", w, squares)))
  if (w$dim != x$dim^2) {
    abort_input(
      sprintf("A squared norm in dimension %d takes 1, %d or %d weights.",
              x$dim, x$dim, x$dim^2),
      x = sprintf("There are %d.", w$dim),
      code = "bad_dimension", arg = "weightedsqnorm"
    )
  }
  apply_op("sum", apply_op("mul", x, apply_op("matvecmult", w, x)))
}

# dims: number of axes of a and their sizes, the same for b, the number of
# pairs, the axes of a and those of b, from 0. Two permutations, then a product
# of a matrix with each free column of b.
tensordot_nodes <- function(a, b, dims) {
  size_a <- dims[1L + seq_len(dims[1L])]
  dims <- dims[-seq_len(1L + dims[1L])]
  size_b <- dims[1L + seq_len(dims[1L])]
  dims <- dims[-seq_len(1L + dims[1L])]
  pairs <- dims[1L]
  over_a <- dims[1L + seq_len(pairs)]
  over_b <- dims[1L + pairs + seq_len(pairs)]
  if (prod(size_a) != a$dim || prod(size_b) != b$dim ||
        !identical(size_a[over_a + 1L], size_b[over_b + 1L])) {
    abort_axes("tensordot", size_a, size_b, a$dim, b$dim)
  }
  free_a <- setdiff(seq_along(size_a) - 1L, over_a)
  free_b <- setdiff(seq_along(size_b) - 1L, over_b)
  left <- apply_op("permute", a, static = axis_order(size_a, c(free_a, over_a)))
  right <- apply_op("permute", b,
                    static = axis_order(size_b, c(free_b, over_b)))
  inner <- as.integer(prod(size_a[over_a + 1L]))
  parts <- lapply(seq_len(b$dim %/% inner) - 1L, function(k) {
    column <- apply_op("extract", right, static = c(k * inner, inner))
    apply_op("matvecmult", left, column)
  })
  out <- Reduce(function(x, y) apply_op("concat", x, y), parts)
  apply_op("permute", out,
           static = axis_order(c(length(parts), a$dim %/% inner), c(1L, 0L)))
}

# Places of a tensor's components (row by row, from 0) after moving its axes.
axis_order <- function(size, axes) {
  places <- aperm(array(seq_len(prod(size)) - 1L, rev(size)),
                  rev(length(size) - axes))
  as.integer(places)
}

kron_nodes <- function(a, b, dims) {
  half <- length(dims) %/% 2L
  size_a <- dims[seq_len(half)]
  size_b <- dims[half + seq_len(half)]
  if (prod(size_a) != a$dim || prod(size_b) != b$dim) {
    abort_axes("kron", size_a, size_b, a$dim, b$dim)
  }
  axes <- as.integer(rbind(seq_len(half), half + seq_len(half))) - 1L
  apply_op("permute", apply_op("tensorprod", a, b),
           static = axis_order(c(size_a, size_b), axes))
}

abort_axes <- function(name, size_a, size_b, dim_a, dim_b) {
  text <- function(size) paste(size, collapse = " x ")
  abort_input(
    sprintf("%s(): the sizes of the axes do not fit the two arguments.", name),
    x = sprintf("Axes of %s and %s for %d and %d components.", text(size_a),
                text(size_b), dim_a, dim_b),
    code = "bad_dimension", arg = name
  )
}

# Cox and de Boor's recursion, all splines of one degree at a time.
bspline_nodes <- function(knots, x, degree) {
  n <- knots$dim
  if (x$dim != 1L || degree < 0L || n < degree + 2L) {
    abort_input(
      sprintf("bspline() of degree %d takes %d knots or more, and one number.",
              degree, degree + 2L),
      x = sprintf("There are %d knots, and %d numbers.", n, x$dim),
      code = "bad_dimension", arg = "bspline"
    )
  }
  piece <- function(node, first, size) {
    apply_op("extract", node, static = c(first, size))
  }
  minus <- function(a, b) apply_op("sub", a, b)
  out <- apply_op("mul", apply_op("ge", x, piece(knots, 0L, n - 1L)),
                  apply_op("lt", x, piece(knots, 1L, n - 1L)))
  for (k in seq_len(degree)) {
    m <- n - 1L - k
    low <- piece(knots, 0L, m)
    high <- piece(knots, k + 1L, m)
    up <- apply_op("divsafe", minus(x, low), minus(piece(knots, k, m), low))
    down <- apply_op("divsafe", minus(high, x),
                     minus(high, piece(knots, 1L, m)))
    out <- apply_op("add", apply_op("mul", up, piece(out, 0L, m)),
                    apply_op("mul", down, piece(out, 1L, m)))
  }
  out
}

complex_quotient <- function(a, b) {
  re_a <- apply_op("real", a)
  im_a <- apply_op("imag", a)
  re_b <- apply_op("real", b)
  im_b <- apply_op("imag", b)
  times <- function(x, y) apply_op("mul", x, y)
  size <- apply_op("add", apply_op("square", re_b), apply_op("square", im_b))
  re <- apply_op("add", times(re_a, re_b), times(im_a, im_b))
  im <- apply_op("sub", times(im_a, re_b), times(re_a, im_b))
  apply_op("complex", apply_op("div", re, size), apply_op("div", im, size))
}
