# What functions of R that are no generics give for traced arrays. Each is
# written with indexing, sums and products, which have their derivatives.

# ---- sums over rows and columns ---------------------------------------------

# sums: function(x, rows), of rows or of columns; vectors: what has no such
# sums.
answers_of_sums <- function(sums, vectors) {
  names <- c("rowSums", "colSums", "rowMeans", "colMeans")
  lapply(stats::setNames(names, names), function(what) {
    force(what)
    function(at) {
      size <- dim(at$x)
      if (length(size) != 2L) abort_undefined(what, vectors)
      rows <- startsWith(what, "row")
      out <- sums(at$x, rows)
      if (endsWith(what, "Means")) out / size[[if (rows) 2L else 1L]] else out
    }
  })
}

sums_answers <- answers_of_sums(function(x, rows) {
  traced_sums(x, if (rows) 1L else 2L)
}, "traced vectors")

# ---- products ---------------------------------------------------------------

as_columns <- function(x) {
  if (is.null(dim(x))) traced_reshape(x, c(length(x), 1L)) else x
}

numbers_for <- function(name, ...) {
  for (x in list(...)) {
    if (!is.null(x)) check_traced_operand(x, name)
  }
}

# Vectors stand as columns, or as rows where only that fits.
answer_crossprod <- function(at) {
  numbers_for("crossprod", at$x, at$y)
  x <- as_columns(at$x)
  t(x) %*% as_columns(at$y %||% x)
}

answer_tcrossprod <- function(at) {
  numbers_for("tcrossprod", at$x, at$y)
  x <- as_columns(at$x)
  y <- at$y %||% x
  if (is.null(dim(y)) && length(y) == ncol(x)) y <- t(as_columns(y))
  x %*% t(as_columns(y))
}

answer_outer <- function(at) {
  numbers_for("outer", at$X, at$Y)
  n <- length(at$X)
  m <- length(at$Y)
  size <- c(dim(at$X) %||% n, dim(at$Y) %||% m)
  x <- traced_gather(at$X, rep(seq_len(n), m))
  y <- traced_gather(at$Y, rep(seq_len(m), each = n))
  traced_reshape(do.call(match.fun(at$FUN), c(list(x, y), dots_of(at))), size)
}

# ---- choices ----------------------------------------------------------------

# Larger (better: `>=`) or smaller of two; of equal ones the first.
better_of <- function(a, b, better) {
  n <- length(a)
  m <- length(b)
  if (n == 0L || m == 0L) return(numeric())
  k <- seq_len(max(n, m)) - 1L
  at_a <- k %% n + 1L
  at_b <- k %% m + 1L
  first <- better(as.vector(plain_value(a))[at_a],
                  as.vector(plain_value(b))[at_b])
  at <- ifelse(first, at_a, n + at_b)
  if (length(k) == n) dim(at) <- dim(a)
  traced_gather(traced_c(a, b), at)
}

extremes_answer <- function(name, better, lazy) {
  force(name)
  function(at) {
    parts <- dots_of(at)
    if (isTRUE(at$na.rm)) abort_undefined(name, "`na.rm` and traced arrays")
    if (any(vapply(parts, is_lazy, NA))) return(Reduce(lazy, parts))
    do.call(numbers_for, c(list(name), parts))
    Reduce(function(a, b) better_of(a, b, better), parts)
  }
}

extremes_answers <- list(
  pmax = extremes_answer("pmax", function(a, b) a >= b,
                         function(x, y) maximum(x, y)),
  pmin = extremes_answer("pmin", function(a, b) a <= b,
                         function(x, y) minimum(x, y))
)

# What is not chosen is not evaluated, as by R.
answer_ifelse <- function(at) {
  test <- at$test
  if (is_traced(test)) test <- plain_value(test)
  test <- test != 0
  size <- dim(test)
  k <- seq_along(test) - 1L
  yes <- if (any(test)) at$yes else 0
  no <- if (!all(test)) at$no else 0
  numbers_for("ifelse", yes, no)
  at <- ifelse(as.vector(test), k %% length(yes) + 1L,
               length(yes) + k %% length(no) + 1L)
  dim(at) <- size
  traced_gather(traced_c(yes, no), at)
}

# ---- shapes -----------------------------------------------------------------

# A vector makes a matrix with it on the diagonal.
answer_diag <- function(at) {
  if (length(at$x) == 1L) abort_undefined("diag", "one traced number")
  n <- length(at$x)
  places <- (seq_len(n) - 1L) * (n + 1L) + 1L
  traced_reshape(traced_scatter(at$x, places, n * n), c(n, n))
}

# Their arguments, with places in place of the data.
shape_answer <- function(name, given) {
  force(name)
  function(at) {
    used <- Filter(function(arg) {
      !eval(call("missing", as.name(arg)), at)
    }, given)
    data <- at$data
    args <- c(list(data = seq_len(length(data))), mget(used, at))
    traced_gather(data, do.call(r_function(name), args))
  }
}

shape_answers <- list(
  matrix = shape_answer("matrix", c("nrow", "ncol", "byrow")),
  array = shape_answer("array", "dim")
)

# A list of results as a vector or the columns of a matrix, if they are of one
# length.
simplify_parts <- function(parts) {
  numbers <- vapply(parts, function(x) {
    is_traced(x) || ((is.numeric(x) || is.logical(x)) && !is.object(x))
  }, NA)
  n <- unique(vapply(parts, length, 1L))
  if (!all(numbers) || length(n) != 1L || n == 0L) return(parts)
  out <- do.call(traced_c, unname(parts))
  if (n == 1L) out else traced_reshape(out, c(n, length(parts)))
}

answer_apply <- function(at) {
  x <- at$X
  margin <- at$MARGIN
  if (length(dim(x)) != 2L || length(margin) != 1L || !margin %in% 1:2) {
    abort_undefined("apply", "traced arrays but over rows or columns")
  }
  more <- dots_of(at)
  simplify_parts(lapply(seq_len(dim(x)[[margin]]), function(k) {
    part <- if (margin == 1L) x[k, ] else x[, k]
    do.call(at$FUN, c(list(part), more))
  }))
}

# ---- statistics -------------------------------------------------------------

answer_var <- function(at) {
  if (!is.null(at$y)) abort_undefined("var", "two arrays, one of them traced")
  x <- at$x
  n <- NROW(x)
  if (is.null(dim(x))) return(sum((x - mean(x))^2) / (n - 1))
  centred <- x - rep(traced_sums(x, 2L) / n, rep(n, ncol(x)))
  t(centred) %*% centred / (n - 1)
}

answer_sd <- function(at) {
  x <- as_columns(at$x)
  dim(x) <- NULL
  sqrt(sum((x - mean(x))^2) / (length(x) - 1))
}

answer_place <- function(name) {
  force(name)
  function(at) r_function(name)(as.vector(plain_value(at$x)))
}

# ---- who is answered where --------------------------------------------------

# Asked by methods, as each knows what R asks first.
answers_of_array <- c(sums_answers, list(outer = answer_outer))
answers_of_rep <- c(extremes_answers, list(ifelse = answer_ifelse))

# After an error of R.
error_answers <- list(
  crossprod = answer_crossprod, tcrossprod = answer_tcrossprod,
  outer = answer_outer, var = answer_var, sd = answer_sd,
  which.max = answer_place("which.max"), which.min = answer_place("which.min"),
  solve.default = function(at) traced_linear(at$a, at$b)
)

# ---- functions that ask nothing ---------------------------------------------

# They give nonsense for traced arrays, or fail in C: `f` itself sees others in
# their place, which are R's own for all else.
own_functions <- list(
  drop = function(x) {
    if (!is_traced(x)) return(base::drop(x))
    size <- dim(x)[dim(x) != 1L]
    traced_reshape(x, if (length(size) > 1L) size)
  },
  c = function(...) {
    if (any_traced(...)) traced_c(...) else base::c(...)
  },
  unlist = function(x, recursive = TRUE, use.names = TRUE) {
    traced <- is.list(x) && !is.object(x) && any(vapply(x, is_traced, NA))
    if (traced) return(do.call(traced_c, unname(x)))
    base::unlist(x, recursive, use.names)
  },
  vapply = function(X, FUN, FUN.VALUE, ..., USE.NAMES = TRUE) {
    out <- lapply(X, match.fun(FUN), ...)
    if (any(vapply(out, is_traced, NA))) return(simplify_parts(out))
    if (USE.NAMES && is.character(X) && is.null(names(out))) names(out) <- X
    base::vapply(out, identity, FUN.VALUE, USE.NAMES = USE.NAMES)
  },
  rep_len = function(x, length.out) {
    if (is_traced(x)) rep(x, length.out = length.out) else
      base::rep_len(x, length.out)
  }
)
for (name in c("sum", "prod", "max", "min", "range")) {
  own_functions[[name]] <- eval(bquote(function(..., na.rm = FALSE) {
    if (any_traced(...)) .(as.name(name))(traced_c(...)) else
      .(as.name(name))(..., na.rm = na.rm)
  }))
}
for (name in c("which.max", "which.min")) {
  own_functions[[name]] <- eval(bquote(function(x) {
    .(as.name(name))(if (is_traced(x)) as.vector(plain_value(x)) else x)
  }))
}
rm(name)

any_traced <- function(...) {
  for (k in seq_len(...length())) if (is_traced(...elt(k))) return(TRUE)
  FALSE
}

with_own_functions <- function(f) {
  if (is_of_r(f)) return(f)
  home <- environment(f)
  is_r <- vapply(names(own_functions), function(name) {
    identical(get0(name, home, mode = "function"), get(name, baseenv()))
  }, NA)
  environment(f) <- list2env(own_functions[is_r], parent = home)
  f
}
