# Evaluator "reference": dense R arrays (rows, columns, components), with 1 for
# what does not depend on i or on j. The code of an operation is the column
# `r_dense` of the table; those that move components are below.

reference_limit <- 5e7

# Values of a tree as an array (n, m, components). leaf: function of a leaf.
dense_values <- function(root, n, m, leaf = dense_leaf) {
  root <- expand_node(root)
  if (as.double(n) * m * root$dim > reference_limit) {
    abort_input(
      sprintf("A dense array of %s numbers is more than the limit of %s.",
              format_whole(as.double(n) * m * root$dim),
              format_whole(reference_limit)),
      i = "Evaluator \"cpu\" needs no dense array.",
      code = "too_large", arg = "x"
    )
  }
  done <- new.env(parent = emptyenv())
  for (node in walk_nodes(list(root))$nodes) {
    args <- lapply(node$args, function(a) done[[node_key(a)]])
    value <- switch(
      node$op, var = leaf(node),
      number = , const = array(node$value, c(1L, 1L, 1L)),
      dense_operation(node, args)
    )
    assign(node_key(node), value, envir = done)
  }
  spread_to(done[[node_key(root)]], c(n, m, root$dim))
}

dense_leaf <- function(node) {
  size <- switch(node$index, i = c(nrow(node$data), 1L),
                 j = c(1L, nrow(node$data)), p = c(1L, 1L))
  if (node$index == "ij") {
    return(array(node$data, c(dim(node$data)[1:2], node$dim)))
  }
  data <- if (is_device(node$data)) as.matrix(node$data) else node$data
  array(data, c(size, ncol(data)))
}

dense_operation <- function(node, args) {
  op <- symbolic_table()[[node$op]]
  if (op$kind == "elementwise") {
    names <- bind_operation(op, spread_together(args), node$static)
    code <- parse(text = op$r_dense, keep.source = FALSE)[[1L]]
    size <- dim(names$a)
    out <- suppressWarnings(eval(code, names, dense_helpers))
    return(array(out, size))
  }
  if (length(args) > 1L) args <- spread_rows(args)
  do.call(dense_structural[[node$op]], c(args, list(node$static)))
}

# As arrays of the engine compare: NaN is different from everything.
compared <- function(fun, nan) {
  force(fun)
  function(a, b) {
    out <- fun(a, b)
    out[is.na(out)] <- nan
    out
  }
}

dense_helpers <- list2env(list(
  `==` = compared(`==`, FALSE), `!=` = compared(`!=`, TRUE),
  `<` = compared(`<`, FALSE), `<=` = compared(`<=`, FALSE),
  `>` = compared(`>`, FALSE), `>=` = compared(`>=`, FALSE),
  sinxratio = function(a) {
    square <- a^2
    series <- -1 / 3 + square * (1 / 30 - square * (1 / 840 - square / 45360))
    ifelse(abs(a) < 0.1, series, (cos(a) - sin(a) / a) / square)
  }
), parent = baseenv())

format_whole <- function(x) {
  format(x, big.mark = ",", scientific = FALSE, trim = TRUE)
}

# ---- shapes -----------------------------------------------------------------

# Repeats what has one row, column or component.
spread_to <- function(x, size) {
  at <- lapply(1:3, function(k) {
    if (dim(x)[[k]] == size[[k]]) seq_len(size[[k]]) else rep(1L, size[[k]])
  })
  if (identical(dim(x), as.integer(size))) return(x)
  x[at[[1L]], at[[2L]], at[[3L]], drop = FALSE]
}

spread_together <- function(args) {
  size <- Reduce(largest_size, lapply(args, dim))
  lapply(args, spread_to, size)
}

# An empty side stays empty: 0 wins over 1.
largest_size <- function(a, b) ifelse(a == 1L, b, a)

# Rows and columns alike, components as they are.
spread_rows <- function(args) {
  size <- Reduce(largest_size, lapply(args, dim))
  lapply(args, function(x) spread_to(x, c(size[1:2], dim(x)[[3L]])))
}

pick <- function(x, k) x[, , k, drop = FALSE]

# The components together by `fun`, from the first to the last.
fold <- function(x, fun) {
  out <- pick(x, 1L)
  for (k in seq_len(dim(x)[[3L]])[-1L]) out <- fun(out, pick(x, k), k)
  out
}

from_parts <- function(parts) {
  size <- dim(parts[[1L]])
  array(unlist(parts), c(size[1:2], sum(vapply(parts, function(p) dim(p)[[3L]],
                                               1L))))
}

first_place <- function(x, better) {
  best <- pick(x, 1L)
  place <- array(0, dim(best))
  for (k in seq_len(dim(x)[[3L]])[-1L]) {
    found <- better(pick(x, k), best)
    place[found] <- k - 1
    best[found] <- pick(x, k)[found]
  }
  place
}

# a, b: arrays; s: whole numbers, places from 0.
dense_structural <- list(
  sum = function(a, s) fold(a, function(x, y, k) x + y),
  max = function(a, s) fold(a, function(x, y, k) array(pmax(x, y), dim(x))),
  min = function(a, s) fold(a, function(x, y, k) array(pmin(x, y), dim(x))),
  argmax = function(a, s) first_place(a, `>`),
  argmin = function(a, s) first_place(a, `<`),
  spread = function(a, s) a[, , rep(1L, s), drop = FALSE],
  one_hot = function(a, s) {
    from_parts(lapply(seq_len(s) - 1, function(k) (round(a) == k) + 0))
  },
  elem = function(a, s) pick(a, s + 1L),
  elem_t = function(a, s) place_among(a, s),
  extract = function(a, s) pick(a, s[[1L]] + seq_len(s[[2L]])),
  extract_t = function(a, s) place_among(a, s),
  concat = function(a, b, s) from_parts(list(a, b)),
  matvecmult = function(a, b, s) {
    n <- dim(b)[[3L]]
    from_parts(lapply(seq_len(dim(a)[[3L]] %/% n), function(r) {
      fold(pick(a, (r - 1L) * n + seq_len(n)) * b, function(x, y, k) x + y)
    }))
  },
  vecmatmult = function(a, b, s) {
    rows <- dim(a)[[3L]]
    columns <- dim(b)[[3L]] %/% rows
    from_parts(lapply(seq_len(columns), function(column) {
      at <- (seq_len(rows) - 1L) * columns + column
      fold(a * pick(b, at), function(x, y, k) x + y)
    }))
  },
  tensorprod = function(a, b, s) {
    every <- expand.grid(b = seq_len(dim(b)[[3L]]), a = seq_len(dim(a)[[3L]]))
    pick(a, every$a) * pick(b, every$b)
  },
  permute = function(a, s) pick(a, s + 1L),
  real = function(a, s) pick(a, seq.int(1L, dim(a)[[3L]], 2L)),
  imag = function(a, s) pick(a, seq.int(2L, dim(a)[[3L]], 2L)),
  complex = function(a, b, s) {
    both <- spread_together(list(a, b))
    d <- dim(both[[1L]])[[3L]]
    pick(from_parts(both), as.integer(rbind(seq_len(d), d + seq_len(d))))
  }
)

place_among <- function(a, s) {
  out <- array(0, c(dim(a)[1:2], s[[2L]]))
  out[, , s[[1L]] + seq_len(dim(a)[[3L]])] <- a
  out
}
