# Derivatives of what R can do with a traced array. A cotangent is computed with
# R's own functions, on plain or traced numbers alike.

# ---- operators --------------------------------------------------------------

traced_operator <- function(generic, operands) {
  if (length(operands) == 1L) {
    return(switch(generic, "+" = operands[[1L]], "-" = 0 - operands[[1L]],
                  abort_undefined(generic, "traced arrays")))
  }
  if (generic %in% c("==", "!=", "<", "<=", ">", ">=")) {
    return(do.call(generic, lapply(operands, plain_value)))
  }
  pull <- operator_pulls[[generic]]
  if (is.null(pull)) abort_undefined(generic, "traced arrays")
  for (x in operands) check_traced_operand(x, generic)
  rule <- list(
    value = match.fun(generic),
    pull = function(g, out, args, k) {
      unrecycle(pull[[k]](g, args[[1L]], args[[2L]], out), args[[k]])
    }
  )
  trace_rule(rule, operands)
}

check_traced_operand <- function(x, generic) {
  if (is_traced(x)) return(invisible())
  if (!is.numeric(x) && !is.logical(x) || is.object(x)) {
    abort_undefined(generic, sprintf("a traced array and %s", class(x)[[1L]]))
  }
}

operator_pulls <- list(
  "+" = list(function(g, a, b, out) g, function(g, a, b, out) g),
  "-" = list(function(g, a, b, out) g, function(g, a, b, out) 0 - g),
  "*" = list(function(g, a, b, out) g * b, function(g, a, b, out) g * a),
  "/" = list(function(g, a, b, out) g / b,
             function(g, a, b, out) 0 - g * out / b),
  "^" = list(function(g, a, b, out) g * b * a^(b - 1),
             function(g, a, b, out) g * out * log(a))
)

# The cotangent of an operand that R has recycled: summed over its uses.
unrecycle <- function(g, like) {
  n <- length(like)
  if (n == length(g)) return(reshape_like(g, like))
  if (n == 1L) return(reshape_like(sum(g), like))
  if (length(g) %% n != 0L) {
    abort_input("Operands of a traced array must recycle as a whole.",
                x = sprintf("Their lengths are %d and %d.", length(g), n),
                code = "bad_size", arg = "x")
  }
  parts <- traced_reshape(g, c(n, length(g) %/% n))
  reshape_like(traced_sums(parts, 1L), like)
}

# ---- functions of one number ------------------------------------------------

math_slopes <- list(
  exp = function(x, out) out, log = function(x, out) 1 / x,
  sqrt = function(x, out) 0.5 / out, expm1 = function(x, out) out + 1,
  log1p = function(x, out) 1 / (1 + x), abs = function(x, out) sign(x),
  log2 = function(x, out) 1 / (x * log(2)),
  log10 = function(x, out) 1 / (x * log(10)),
  sin = function(x, out) cos(x), cos = function(x, out) 0 - sin(x),
  tan = function(x, out) 1 + out^2, tanh = function(x, out) 1 - out^2,
  sinh = function(x, out) cosh(x), cosh = function(x, out) sinh(x),
  asin = function(x, out) 1 / sqrt(1 - x^2),
  acos = function(x, out) 0 - 1 / sqrt(1 - x^2),
  atan = function(x, out) 1 / (1 + x^2),
  lgamma = function(x, out) digamma(x), digamma = function(x, out) trigamma(x),
  gamma = function(x, out) out * digamma(x),
  sign = NULL, floor = NULL, ceiling = NULL, trunc = NULL, round = NULL
)
flat_functions <- c("sign", "floor", "ceiling", "trunc", "round")

#' @export
Math.traced_array <- function(x, ...) {
  generic <- .Generic
  more <- list(...)
  if (generic == "cumsum") return(traced_cumsum(x))
  if (generic == "log" && length(more)) return(log(x) / log(more[[1L]]))
  slope <- math_slopes[[generic]]
  flat <- generic %in% flat_functions
  if (is.null(slope) && !flat) abort_undefined(generic, "traced arrays")
  fun <- match.fun(generic)
  trace_rule(list(
    value = function(x) do.call(fun, c(list(x), more)),
    pull = function(g, out, args, k) {
      if (!flat) g * slope(args[[1L]], out)
    }
  ), list(x))
}

traced_cumsum <- function(x) {
  last <- length(x)
  trace_rule(list(
    value = function(x) cumsum(x),
    pull = function(g, out, args, k) {
      back <- traced_cumsum_plain(g[last:1])
      reshape_like(back[last:1], args[[1L]])
    }
  ), list(x))
}

traced_cumsum_plain <- function(g) if (is_traced(g)) traced_cumsum(g) else
  cumsum(g)

# ---- sums and extremes ------------------------------------------------------

#' @export
Summary.traced_array <- function(..., na.rm = FALSE) {
  generic <- .Generic
  if (generic == "range") return(traced_c(min(...), max(...)))
  if (!generic %in% c("sum", "max", "min", "prod")) {
    abort_undefined(generic, "traced arrays")
  }
  given <- list(...)
  x <- if (length(given) == 1L) given[[1L]] else do.call(traced_c, given)
  if (generic %in% c("max", "min")) {
    value <- plain_value(x)
    place <- if (generic == "max") which.max(value) else which.min(value)
    return(traced_gather(x, place))
  }
  trace_rule(list(
    value = if (generic == "sum") function(x) sum(x) else function(x) prod(x),
    pull = function(g, out, args, k) {
      ones <- plain_value(args[[1L]]) * 0 + 1
      if (generic == "sum") g * ones else ones * g * out / args[[1L]]
    }
  ), list(x))
}

#' @export
Complex.traced_array <- function(z) {
  abort_undefined(.Generic, "traced arrays")
}

#' @export
mean.traced_array <- function(x, ...) sum(x) / length(x)

# Sums over columns (along = 1: a sum for each row) or over rows (2).
traced_sums <- function(x, along) {
  if (!is_traced(x)) return(if (along == 1L) rowSums(x) else colSums(x))
  trace_rule(list(
    value = if (along == 1L) function(x) rowSums(x) else function(x) colSums(x),
    pull = function(g, out, args, k) {
      ones <- plain_value(args[[1L]]) * 0 + 1
      # R recycles down the columns.
      if (along == 1L) g * ones else t(g * t(ones))
    }
  ), list(x))
}

# rowSums() and its like are no generics, and may not be masked. But they ask
# is.array() first, which is one.
#' @export
is.array.traced_array <- function(x) {
  answer_caller(answers_of_array)
  !is.null(dim(x))
}

# ---- matrices ---------------------------------------------------------------

#' @export
t.traced_array <- function(x) {
  if (is.null(dim(x))) return(traced_reshape(x, c(1L, length(x))))
  trace_rule(list(value = function(x) t(x),
                  pull = function(g, out, args, k) t(g)), list(x))
}

traced_product <- function(x, y) {
  for (z in list(x, y)) check_traced_operand(z, "%*%")
  size <- list(dim(x), dim(y))
  # Vectors as R takes them: whichever of row and column fits.
  if (is.null(size[[1L]])) {
    row <- if (is.null(size[[2L]])) length(x) == length(y) else
      length(x) == size[[2L]][[1L]]
    x <- traced_reshape(x, if (row) c(1L, length(x)) else c(length(x), 1L))
  }
  if (is.null(size[[2L]])) {
    column <- length(y) == dim(x)[[2L]]
    y <- traced_reshape(y, if (column) c(length(y), 1L) else c(1L, length(y)))
  }
  trace_rule(list(
    value = function(x, y) x %*% y,
    pull = function(g, out, args, k) {
      if (k == 1L) g %*% t(args[[2L]]) else t(args[[1L]]) %*% g
    }
  ), list(x, y))
}

#' @export
`[.traced_array` <- function(x, ..., drop = TRUE) {
  traced_gather(x, index_array(x)[..., drop = drop])
}

#' @export
`[[.traced_array` <- function(x, ...) traced_gather(x, index_array(x)[[...]])

# The places of x in its shape, under its names.
index_array <- function(x) {
  x <- plain_value(x)
  at <- seq_along(x)
  if (is.null(dim(x))) {
    names(at) <- names(x)
  } else {
    dim(at) <- dim(x)
    dimnames(at) <- dimnames(x)
  }
  at
}

# at: places within x, in the shape of the result.
traced_gather <- function(x, at) {
  if (anyNA(at)) {
    abort_input("A place lies outside a traced array.", code = "bad_place",
                arg = "[")
  }
  names(at) <- NULL
  if (!is_traced(x)) return(gather(x, at))
  trace_rule(list(
    value = function(x) gather(x, at),
    pull = function(g, out, args, k) {
      reshape_like(traced_scatter(g, at, length(args[[1L]])), args[[1L]])
    }
  ), list(x))
}

gather <- function(x, at) {
  out <- x[as.vector(at)]
  dim(out) <- dim(at)
  out
}

# Numbers added into a vector of zeros at some places.
traced_scatter <- function(g, at, n) {
  trace_rule(list(
    value = function(g) {
      out <- numeric(n)
      sums <- rowsum(as.vector(g), as.vector(at), reorder = FALSE)
      out[as.integer(rownames(sums))] <- sums
      out
    },
    pull = function(g, out, args, k) {
      reshape_like(traced_gather(g, as.vector(at)), args[[1L]])
    }
  ), list(g))
}

#' @export
c.traced_array <- function(...) traced_c(...)

traced_c <- function(...) {
  parts <- list(...)
  for (x in parts) check_traced_operand(x, "c")
  first <- cumsum(c(0L, lengths(lapply(parts, plain_value))))
  trace_rule(list(
    value = function(...) unlist(lapply(list(...), as.vector)),
    pull = function(g, out, args, k) {
      at <- first[[k]] + seq_len(length(args[[k]]))
      reshape_like(traced_gather(g, at), args[[k]])
    }
  ), parts)
}

#' @export
cbind.traced_array <- function(..., deparse.level = 1) {
  parts <- list(...)
  sizes <- lapply(parts, dim)
  rows <- vapply(sizes, function(s) if (is.null(s)) NA_integer_ else s[[1L]],
                 1L)
  n <- if (all(is.na(rows))) max(lengths(lapply(parts, plain_value))) else
    max(rows, na.rm = TRUE)
  fits <- vapply(parts, function(x) {
    if (is.null(dim(x))) n %% length(x) == 0 else nrow(x) == n
  }, NA)
  if (!all(fits)) {
    abort_input("cbind() of traced arrays needs as many rows in each.",
                code = "bad_size", arg = "cbind")
  }
  columns <- lapply(parts, function(x) {
    if (is.null(dim(x)) && length(x) < n) x * rep(1, n) else x
  })
  out <- do.call(traced_c, columns)
  traced_reshape(out, c(n, length(out) %/% n))
}

#' @export
rbind.traced_array <- function(..., deparse.level = 1) {
  t(do.call(cbind.traced_array, lapply(list(...), function(x) {
    if (is.null(dim(x))) x else t(x)
  })))
}
