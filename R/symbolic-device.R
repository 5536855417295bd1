# Device arrays: numbers that stay where they are computed with, in the memory
# of the engine's Python or of a GPU.
#
# The object is a list of a `cell` (an environment: what it holds never changes)
# and a `size`, NULL for a vector, as that of R. A cell has `value`, a handle of
# the engine or, for evaluator "reference", a plain matrix; `size`, rows and
# columns; and its `home`: engine, device and precision.

#' Arrays that stay on the device
#'
#' `device_array()` sends data once to where they are used, the memory of the
#' engine or of a GPU, and gives a handle. `Vi()`, `Vj()` and `Pm()` take it in
#' place of the data, and what is computed from it stays there too: results of
#' reductions and products, arithmetic, functions of one number. A loop in R
#' then exchanges a few coefficients with the engine, not the data.
#'
#' @param x Numbers: a matrix, a vector or a data frame, without missing values.
#' @param evaluator `"cpu"` for the engine's memory, `"torch"` for that of
#'   `device`, `"reference"` for an array that stays in R and needs no engine.
#'   `NULL`: the evaluator in use, see [symbolic_reductions].
#' @param device For torch: `"cpu"`, `"cuda"`, `"cuda:1"`, ... `NULL` stands for
#'   option `vigitensor.device`. Giving one chooses `"torch"`.
#' @return An object of class `"device_array"`, a vector or a matrix as `x` is.
#' @section What is defined:
#' Operators between device arrays and with single numbers, with R's rules of
#' recycling (a vector goes down the columns); `exp()`, `log()`, `sqrt()` and
#' the like; `x[rows, columns]`; `K %*% x` with a [LazyTensor] and `x %*% b`
#' with a small matrix. These give device arrays, as do reductions with values
#' of a formula that has one among its data. Numbers come back from `sum()`,
#' `mean()`, `min()`, `max()`, `prod()`, `colSums()`, `colMeans()`, from
#' `t(x) %*% y`, which is as small as the columns are few, from reductions that
#' give places or truth values, and from `as.matrix()`, `as.vector()` and
#' `as.numeric()`. Other vectors and matrices must be sent by `device_array()`
#' first, so that nothing crosses unnoticed.
#'
#' Inside [gradient()] device arrays are data like others; results are traced
#' arrays. A parameter, `Pm(x)`, is brought back. Batches of three dimensions
#' and complex numbers are not taken.
#' @section Errors:
#' `vigitensor_error_missing`, `_bad_type`, `_bad_shape` as for [LazyTensor];
#' `_no_engine` (there is no Python for it); `_bad_operand`; `_bad_device` for
#' arrays of two GPUs in one formula, or of different places in arithmetic;
#' `_lost_handle` for an array that was saved in another session.
#' @seealso [LazyTensor], [solve()][symbolic_solve]
#' @export
#' @examples
#' # Conjugate gradients in R: at each step two numbers come back.
#' set.seed(1)
#' x <- device_array(matrix(runif(60), 30))
#' b <- device_array(rnorm(30))
#' K <- exp(-sqdist(Vi(x), Vj(x)) * 10)
#' z <- b * 0
#' r <- b
#' p <- r
#' rr <- sum(r * r)
#' while (rr > 1e-20) {
#'   q <- K %*% p + 0.1 * p
#'   step <- rr / sum(p * q)
#'   z <- z + step * p
#'   r <- r - step * q
#'   last <- rr
#'   rr <- sum(r * r)
#'   p <- r + (rr / last) * p
#' }
#' all.equal(as.vector(z), as.vector(solve(K, as.vector(b), 0.1,
#'                                         tolerance = 1e-10)))
device_array <- function(x, evaluator = NULL, device = NULL) {
  if (is_device(x)) return(x)
  if (is.complex(x) || inherits(x, "symbolic") || length(dim(x)) > 2L) {
    abort_input("`x` must be a matrix or a vector of real numbers.",
                code = "bad_type", arg = "x")
  }
  x <- plain_numbers(x)
  attributes(x) <- list(dim = dim(x))
  home <- device_home(evaluator, device)
  size <- dim(x) %||% c(length(x), 1L)
  if (size[[2L]] < 1L) abort_empty_leaf()
  shape <- dim(x)
  out <- send_home(with_shape(x, size), home)
  dim(out) <- shape
  out
}

device_home <- function(evaluator, device) {
  if (is.null(evaluator) && !is.null(device)) evaluator <- "torch"
  engine <- choose_evaluator(evaluator)
  # PyKeOps reads NumPy's arrays.
  if (engine == "keops") engine <- "cpu"
  list(engine = engine, device = device %||% evaluator_device(engine),
       precision = engine_precision())
}

# value: a handle or a plain matrix; shape: dim() of the object.
new_device <- function(value, size, home, shape = size) {
  cell <- list2env(list(value = value, size = as.integer(size), home = home),
                   parent = emptyenv())
  device_view(cell, shape)
}

device_view <- function(cell, shape) {
  asS4(structure(list(cell = cell, shape = shape),
                 class = c("device_array", "symbolic")))
}

is_device <- function(x) inherits(x, "device_array")
device_cell <- function(x) unclass(x)$cell
is_held_in_r <- function(cell) cell$home$engine == "reference"

# ---- as data of a formula ---------------------------------------------------

# What is sent to the engine: the handle, or numbers.
leaf_numbers <- function(leaf) {
  if (is_device(leaf$data)) device_cell(leaf$data)$value else leaf$data
}

# Which objects are the same data.
data_key <- function(data) {
  rlang::obj_address(if (is_device(data)) device_cell(data) else data)
}

# Where the data of a formula stay: NULL if there is no device array.
leaves_home <- function(leaves) {
  home <- NULL
  for (leaf in leaves) {
    if (is_device(leaf$data)) home <- larger_home(home, leaf$data)
  }
  home
}

# Those of the engine's memory go along to torch.
larger_home <- function(home, x) {
  other <- device_cell(x)$home
  if (is.null(home) || home$engine != "torch") other else home
}

leaves_precision <- function(leaves) {
  leaves_home(leaves)$precision %||% engine_precision()
}

# A result of the engine, in the memory of the engine.
keep_there <- function(out, problem, home) {
  columns <- if (problem$rule$k) problem$k
  else if (!is.null(problem$breaks)) length(problem$breaks) - 1L
  else (problem$weight %||% problem$root)$dim
  rows <- if (problem$axis == "j") problem$n else problem$m
  out$value <- new_device(out$value, c(rows, columns), home)
  out
}

# Values of an array that is held in R.
keep_in_r <- function(out, home) {
  if (!is.null(home)) out$value <- send_home(out$value, home)
  out
}

send_home <- function(value, home) {
  if (home$engine == "reference") return(new_device(value, dim(value), home))
  sent <- engine_call("symbolic_array", x = value, precision = home$precision,
                      engine = home$engine, device = home$device)
  new_device(sent, dim(value), home)
}

# ---- back to R --------------------------------------------------------------

#' @export
as.matrix.device_array <- function(x, ...) {
  cell <- device_cell(x)
  if (is_held_in_r(cell)) return(cell$value)
  matrix(engine_call("symbolic_array_value", cell$value), cell$size[[1L]])
}

# A vector or a matrix, as the array is.
device_numbers <- function(x) {
  out <- as.matrix.device_array(x)
  if (is.null(dim(x))) as.vector(out) else out
}

#' @export
as.array.device_array <- function(x, ...) as.array(device_numbers(x))

#' @export
as.vector.device_array <- function(x, mode = "any") {
  as.vector(as.matrix.device_array(x), mode)
}

#' @export
as.double.device_array <- function(x, ...) {
  as.double(as.matrix.device_array(x))
}

# ---- shape ------------------------------------------------------------------

#' @export
dim.device_array <- function(x) unclass(x)$shape
#' @export
length.device_array <- function(x) prod(device_cell(x)$size)

# A vector may be one column, and back.
#' @export
`dim<-.device_array` <- function(x, value) {
  size <- device_cell(x)$size
  if (is.null(value) && size[[2L]] == 1L) {
    return(device_view(device_cell(x), NULL))
  }
  if (identical(as.integer(value), size)) {
    return(device_view(device_cell(x), size))
  }
  abort_input("A device array keeps its shape.",
              x = sprintf("It is %d x %d.", size[[1L]], size[[2L]]),
              i = "`as.matrix()` brings its numbers to R.",
              code = "bad_shape", arg = "dim")
}

#' @export
format.device_array <- function(x, ...) {
  cell <- device_cell(x)
  shape <- if (is.null(dim(x))) length(x) else dim(x)
  where <- switch(cell$home$engine, reference = "in R", cpu = "in the engine",
                  paste("torch,", cell$home$device %||% "auto"))
  precision <- if (cell$home$precision == "float32") "single" else "double"
  sprintf("<device_array> %s, %s, %s",
          paste(format(shape, big.mark = ",", trim = TRUE), collapse = " x "),
          precision, where)
}

#' @export
print.device_array <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

# t(x) is what stands on the left of a product, and no array of its own.
#' @export
t.device_array <- function(x) {
  asS4(structure(list(of = x), class = c("device_transpose", "symbolic")))
}
#' @export
t.device_transpose <- function(x) unclass(x)$of
#' @export
dim.device_transpose <- function(x) rev(device_cell(unclass(x)$of)$size)
#' @export
as.matrix.device_transpose <- function(x, ...) t(as.matrix(unclass(x)$of))
#' @export
print.device_transpose <- function(x, ...) {
  cat("<transpose of>", format(unclass(x)$of), "\n")
  invisible(x)
}
is_device_transpose <- function(x) inherits(x, "device_transpose")
