# Arithmetic of device arrays. Each function asks the engine, or R itself for
# arrays that are held in R.

# name: of an engine function; local: the same in R. args: device arrays as
# they are, numbers, words.
device_compute <- function(name, args, local) {
  cells <- lapply(Filter(is_device, args), device_cell)
  args <- lapply(args, function(x) {
    if (is_device(x)) device_cell(x)$value else x
  })
  in_r <- vapply(cells, is_held_in_r, NA)
  if (all(in_r)) return(do.call(local, args))
  if (any(in_r)) abort_two_homes()
  do.call(engine_call, c(list(name), args))
}

abort_two_homes <- function() {
  abort_input("Device arrays of one operation must be at one place.",
              x = "One is held in R, another by the engine.",
              i = "Make both with the same `evaluator`.",
              code = "bad_device", arg = "x")
}

device_home_of <- function(operands) {
  Reduce(larger_home, Filter(is_device, operands), NULL)
}

# ---- operators --------------------------------------------------------------

device_operator <- function(generic, operands) {
  for (x in operands) check_device_operand(x, generic)
  if (length(operands) == 1L) {
    if (generic == "+") return(operands[[1L]])
    if (generic == "-") return(device_operator("*", c(operands, -1)))
  }
  if (length(operands) == 1L || generic %in% c("&", "|", "%%", "%/%")) {
    abort_undefined(generic, "device arrays")
  }
  shape <- device_shape(operands, generic)
  size <- shape %||% c(max(lengths(operands)), 1L)
  value <- device_compute(
    "symbolic_arith", c(list(generic), operands),
    function(op, x, y) matrix(recycle_to(op, x, y), size[[1L]]) + 0
  )
  new_device(value, size, device_home_of(operands), shape)
}

# Down the columns, as vectors of R; a matrix of one column is a vector here.
recycle_to <- function(op, x, y) {
  if (ncol(as.matrix(x)) == 1L) x <- as.vector(x)
  if (ncol(as.matrix(y)) == 1L) y <- as.vector(y)
  do.call(op, list(x, y))
}

check_device_operand <- function(x, generic) {
  if (is_device(x)) return(invisible())
  number <- is.numeric(x) && !is.object(x) && length(x) == 1L
  if (number) return(invisible())
  abort_input(
    sprintf("`%s` with a device array takes device arrays and numbers.",
            generic),
    x = sprintf("It was given %s.",
                if (is.object(x) || !is.numeric(x)) class(x)[[1L]] else
                  sprintf("%d numbers", length(x))),
    i = "`device_array()` sends them.", code = "bad_operand", arg = generic
  )
}

# The shape of the result, by R's rules.
device_shape <- function(operands, generic) {
  several <- operands[lengths(operands) > 1L]
  if (!length(several)) several <- operands
  shapes <- unique(Filter(Negate(is.null), lapply(several, dim)))
  shape <- if (length(shapes)) shapes[[1L]]
  rows <- shape[[1L]] %||% max(lengths(several))
  fits <- vapply(several, function(x) {
    if (is.null(dim(x))) length(x) == rows else identical(dim(x), shape)
  }, NA)
  if (all(fits)) return(shape)
  abort_input(
    sprintf("The operands of `%s` do not fit together.", generic),
    x = sprintf("They are %s.", paste(vapply(operands, function(x) {
      paste(dim(x) %||% length(x), collapse = " x ")
    }, ""), collapse = " and ")),
    code = "bad_size", arg = generic
  )
}

# ---- functions --------------------------------------------------------------

device_functions <- c("exp", "log", "sqrt", "abs", "sin", "cos", "tan", "tanh",
                      "sinh", "cosh", "asin", "acos", "atan", "expm1", "log1p",
                      "sign", "floor", "ceiling", "trunc")

#' @export
Math.device_array <- function(x, ...) {
  generic <- .Generic
  if (!generic %in% device_functions || ...length()) {
    abort_undefined(generic, "device arrays")
  }
  value <- device_compute("symbolic_math", list(generic, x), function(name, x) {
    suppressWarnings(do.call(name, list(x)))
  })
  new_device(value, device_cell(x)$size, device_cell(x)$home, dim(x))
}

#' @export
Summary.device_array <- function(..., na.rm = FALSE) {
  generic <- .Generic
  given <- list(...)
  known <- generic %in% c("sum", "prod", "min", "max", "range")
  if (!known || isTRUE(na.rm) || !all(vapply(given, is_device, NA))) {
    abort_undefined(generic, "device arrays")
  }
  if (generic == "range") return(c(min(...), max(...)))
  do.call(generic, lapply(given, device_fold, name = generic))
}

# Numbers: one, or one for each column.
device_fold <- function(x, name) {
  as.vector(device_compute("symbolic_fold", list(name, x), function(name, x) {
    if (name == "colsums") colSums(x) else do.call(name, list(x))
  }))
}

#' @export
mean.device_array <- function(x, ...) sum(x) / length(x)

# rowSums() and the like are no generics, see is.array.traced_array().
#' @export
is.array.device_array <- function(x) {
  answer_caller(device_sums)
  !is.null(dim(x))
}

device_sums <- answers_of_sums(function(x, rows) {
  if (rows) device_row_sums(x) else device_fold(x, "colsums")
}, "device vectors")

device_row_sums <- function(x) {
  size <- c(nrow(x), 1L)
  value <- device_compute("symbolic_times", list(x, matrix(1, ncol(x))), `%*%`)
  new_device(value, size, device_cell(x)$home, NULL)
}

# ---- products and pieces ----------------------------------------------------

device_product <- function(x, y) {
  # Vectors as R takes them: a row on the left, if that fits.
  if (is_device(x) && is.null(dim(x)) && (is.null(dim(y)) || nrow(y) > 1L)) {
    x <- t(x)
  }
  if (is_device_transpose(x) && is_device(y)) return(device_dot(t(x), y))
  if (!is_device(x) || inherits(y, "symbolic") || !is.numeric(y)) {
    abort_input("This product of device arrays is not defined.",
                i = "`x %*% b` takes a small matrix, `t(x) %*% y` two arrays.",
                code = "bad_operand", arg = "%*%")
  }
  size <- device_cell(x)$size
  b <- if (is.null(dim(y))) {
    matrix(y, nrow = if (size[[2L]] == 1L) 1L else length(y))
  } else y
  check_product(size, dim(b))
  storage.mode(b) <- "double"
  size[[2L]] <- ncol(b)
  value <- device_compute("symbolic_times", list(x, b), `%*%`)
  new_device(value, size, device_cell(x)$home)
}

device_dot <- function(x, y) {
  check_product(rev(device_cell(x)$size), device_cell(y)$size)
  out <- device_compute("symbolic_dot", list(x, y), function(x, y) {
    crossprod(x, y)
  })
  matrix(out, device_cell(x)$size[[2L]])
}

check_product <- function(left, right) {
  if (left[[2L]] == right[[1L]]) return(invisible())
  abort_input("The arguments of `%*%` do not fit together.",
              x = sprintf("They are %d x %d and %d x %d.", left[[1L]],
                          left[[2L]], right[[1L]], right[[2L]]),
              code = "bad_size", arg = "%*%")
}

#' @export
`[.device_array` <- function(x, i, j, ..., drop = TRUE) {
  given <- nargs() - !missing(drop)
  size <- device_cell(x)$size
  if (given != if (is.null(dim(x))) 2L else 3L) {
    abort_input("Pieces of a device array are `x[rows, columns]` or `x[k]`.",
                i = "`x[k]` takes numbers of a vector.", code = "bad_place",
                arg = "[")
  }
  shape <- dim(x)
  if (!missing(i)) {
    x <- device_pick(x, places(i, size[[1L]], "i"), "symbolic_rows")
  }
  if (!missing(j)) {
    x <- device_pick(x, places(j, size[[2L]], "j"), "symbolic_columns")
  }
  if (is.null(shape) || (drop && device_cell(x)$size[[2L]] == 1L)) {
    dim(x) <- NULL
  }
  x
}

# at: places from 1.
device_pick <- function(x, at, name) {
  rows <- name == "symbolic_rows"
  size <- device_cell(x)$size
  if (!rows && !length(at)) abort_empty_leaf()
  size[[if (rows) 1L else 2L]] <- length(at)
  value <- device_compute(name, list(x, at - 1L), function(x, at) {
    if (rows) x[at + 1L, , drop = FALSE] else x[, at + 1L, drop = FALSE]
  })
  new_device(value, size, device_cell(x)$home)
}
