# Arguments for every operation of the table, by its domain, and dense twins.

# Evaluators that this machine has.
evaluators_here <- function() {
  if (engine_available()) c("reference", "cpu") else "reference"
}

# Arguments of i, of j and of i again, where the operation has a derivative.
operation_case <- function(name, n = 4L, m = 5L) {
  op <- symbolic_table()[[name]]
  static <- seq_along(op$static)
  dims <- rep(3L, op$arity)
  if (op$domain %in% c("scalar", "index")) {
    dims <- 1L
    static <- if (length(op$static) == 1L) 4L else c(2L, 4L)
  }
  set <- switch(
    op$domain, complex = list(rep(4L, op$arity), static),
    permute = list(3L, c(2L, 0L, 1L)), matvec = list(c(6L, 3L), static),
    vecmat = list(c(3L, 6L), static), weights3 = list(c(9L, 3L, 3L), static),
    # (2, 3) and (3, 2), over the axes of 3
    tensordot = list(c(6L, 6L), c(2L, 2L, 3L, 2L, 3L, 2L, 1L, 1L, 0L)),
    kron = list(c(4L, 6L), c(2L, 2L, 2L, 3L)), bspline = list(c(8L, 1L), 2L),
    list(dims, static)
  )
  static <- switch(name, extract = c(1L, 2L), extract_t = c(1L, 5L), set[[2L]])
  index <- c("i", "j", "i")[seq_len(op$arity)]
  leaves <- Map(function(dim, index, k) {
    new_leaf(operation_data(op, if (index == "i") n else m, dim, k), index)
  }, set[[1L]], index, seq_along(index))
  list(op = op, leaves = unname(leaves),
       node = apply_op_list(name, unname(leaves), as.integer(static)))
}

operation_data <- function(op, n, dim, k) {
  size <- n * dim
  x <- switch(
    op$domain,
    positive = runif(size, 0.3, 2), unit = runif(size, -0.9, 0.9),
    binary = sample(0:1, size, TRUE) + 0,
    index = sample(0:3, size, TRUE) + 0,
    nonzero = , complex = runif(size, 0.4, 2) * sample(c(-1, 1), size, TRUE),
    bspline = if (k == 2L) runif(size, 2.5, 5) else {
      t(matrix(replicate(n, sort(runif(dim)) + seq_len(dim) - 1), dim))
    },
    rnorm(size)
  )
  matrix(x, n, dim)
}

# Slopes of f at x by central differences.
central_slopes <- function(f, x, step = 1e-5) {
  out <- x
  for (k in seq_along(x)) {
    up <- down <- x
    up[[k]] <- up[[k]] + step
    down[[k]] <- down[[k]] - step
    out[[k]] <- (f(up) - f(down)) / (2 * step)
  }
  out
}

# Slopes in some parts of a list along one direction each, or everywhere in
# `make test-full`. still: parts that have no slope.
part_slopes <- function(f, at, still = integer()) {
  lapply(seq_along(at), function(k) {
    if (k %in% still) return(if (in_full()) 0 * at[[k]] else 0)
    along <- function(x) f(replace(at, k, list(x)))
    if (in_full()) return(central_slopes(along, at[[k]]))
    v <- some_direction(at[[k]])
    (along(at[[k]] + 1e-5 * v) - along(at[[k]] - 1e-5 * v)) / 2e-5
  })
}

some_direction <- function(x) x * 0 + cos(2 * seq_along(x))

# Gradients as part_slopes() has them.
along_parts <- function(gradient, at) {
  unname(Map(function(g, x) {
    stopifnot(identical(dim(g), dim(x)))
    if (in_full()) g else sum(g * some_direction(x))
  }, gradient, at))
}

expect_slopes <- function(f, x, tolerance = 1e-7, info = NULL) {
  expect_equal(gradient(f, x), central_slopes(f, x), tolerance = tolerance,
               info = info)
}

# Squared distances of rows, the long way.
dense_sqdist <- function(x, y) {
  outer(seq_len(nrow(x)), seq_len(nrow(y)),
        Vectorize(function(i, j) sum((x[i, ] - y[j, ])^2)))
}

symbolic_points <- function(seed = 1, n = 5L, m = 7L, d = 3L) {
  with_random_seed(seed, list(x = matrix(rnorm(n * d), n),
                              y = matrix(rnorm(m * d), m),
                              b = rnorm(m), w = runif(m)))
}

expect_close <- function(object, expected, tolerance = 1e-13, ...) {
  expect_equal(object, expected, tolerance = tolerance, ...)
}

# While code is evaluated: how many numbers cross to and from the engine, and
# how many calls there are.
engine_traffic <- function(code) {
  counted <- new.env()
  counted$calls <- counted$numbers <- 0
  add <- function(x) {
    if (is.list(x)) lapply(x, add) else if (is.numeric(x)) {
      counted$numbers <- counted$numbers + length(x)
    }
  }
  space <- asNamespace("vigitensor")
  own <- space$engine_invoke
  put <- function(f) {
    unlockBinding("engine_invoke", space)
    assign("engine_invoke", f, envir = space)
    lockBinding("engine_invoke", space)
  }
  on.exit(put(own))
  put(function(fun, arguments) {
    counted$calls <- counted$calls + !fun %in% housekeeping
    add(arguments)
    out <- own(fun, arguments)
    add(out)
    out
  })
  force(code)
  counted
}
