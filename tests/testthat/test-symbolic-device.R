# Device arrays: the same numbers as in R, and what crosses.

p <- symbolic_points(3, n = 30L, m = 20L)

conjugate_gradients <- function(K, b, steps) {
  z <- b * 0
  r <- b
  p <- r
  rr <- sum(r * r)
  for (k in seq_len(steps)) {
    q <- K %*% p + 0.1 * p
    step <- rr / sum(p * q)
    z <- z + step * p
    r <- r - step * q
    last <- rr
    rr <- sum(r * r)
    p <- r + (rr / last) * p
  }
  z
}

test_that("arithmetic of device arrays is that of R", {
  x <- p$x
  v <- x[, 1L]
  for (evaluator in evaluators_here()) {
    d <- device_array(x, evaluator)
    e <- device_array(v, evaluator)
    expect_identical(as.matrix(d), x)
    expect_identical(as.numeric(e), v)
    expect_identical(as.vector(d), as.vector(x))
    expect_null(dim(e))
    expect_identical(dim(d), dim(x))
    expect_identical(length(d), 90L)
    same <- function(found, expected) {
      expect_true(is_device(found))
      expect_identical(dim(found), dim(expected))
      expect_close(as.array(found), if (is.null(dim(expected)))
        as.array(expected) else expected)
    }
    same(d + 2 * d, 3 * x)
    same(-d / 3, -x / 3)
    same(d * e, x * v)
    same(e - d, v - x)
    same(1 / (d^2 + 1), 1 / (x^2 + 1))
    same(d > 0, (x > 0) + 0)
    same(exp(d) + sqrt(abs(d)), exp(x) + sqrt(abs(x)))
    same(d[3:5, ], x[3:5, ])
    same(d[-1, 2], x[-1, 2])
    same(d[, 2, drop = FALSE], x[, 2, drop = FALSE])
    same(e[e_places <- c(4, 2, 2)], v[e_places])
    same(d %*% diag(3)[, 1:2], x %*% diag(3)[, 1:2])
    same(rowSums(d), rowSums(x))
    same(rowMeans(d * 2), rowMeans(x * 2))
    expect_close(sum(d, e), sum(x, v))
    expect_close(mean(d), mean(x))
    expect_identical(range(d), range(x))
    expect_close(colSums(d), colSums(x))
    expect_close(colMeans(d), colMeans(x))
    expect_close(t(d) %*% e, t(x) %*% v)
    expect_close(e %*% e, v %*% v)
    expect_close(as.matrix(t(d)), t(x))
  }
})

test_that("formulas of device arrays give device arrays, in number the same", {
  x <- p$x
  y <- p$y
  K <- exp(-sqdist(Vi(x), Vj(y)))
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    dx <- device_array(x)
    dy <- device_array(y)
    D <- exp(-sqdist(Vi(dx), Vj(dy)))
    expect_identical(dim(D), dim(K))
    for (name in c("sum", "mean", "min", "logsumexp", "variance", "count")) {
      found <- reduction(D, name, "j")
      expect_true(is_device(found))
      expect_close(as.matrix(found), reduction(K, name, "j"), 1e-12)
    }
    found <- Kmin_argKmin(D, 3, "i")
    plain <- Kmin_argKmin(K, 3, "i")
    expect_identical(found$index, plain$index)
    expect_close(as.matrix(found$value), plain$value)
    expect_identical(argmin(D, "j"), argmin(K, "j"))
    expect_identical(any(D > 0.5, index = "j"), any(K > 0.5, index = "j"))
    expect_close(as.matrix(D), as.matrix(K))
    b <- device_array(p$b[1:20])
    expect_close(as.matrix(D %*% b), K %*% p$b[1:20])
    # A parameter, a mixture of both, the diagonal, conditions on pairs.
    expect_close(as.matrix(sum(Vi(dx) * Pm(dx[1, ]) + Vj(y[1:2, ]), "j")),
                 sum(Vi(x) * Pm(x[1, ]) + Vj(y[1:2, ]), "j"))
    expect_close(as.array(diagonal(Vi(dx) | Vj(dx))), as.array(rowSums(x^2)))
    band <- symbolic_pairs(band = c(1, 1))
    expect_close(as.matrix(reduction(D, "sum", "j", pairs = band)),
                 reduction(K, "sum", "j", pairs = band))
  }
})

test_that("gradients are taken with device arrays as data", {
  x <- p$x
  f <- function(y, x) sum(log(sum(exp(-sqdist(Vi(x), Vj(y))), "j")))
  expected <- gradient(f, p$y, x)
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_close(gradient(f, p$y, device_array(x)), expected, 1e-11)
    # A result of the engine is a constant for gradient() too.
    near <- function(y, x) sum(min(sqdist(Vi(x), Vj(y)), index = "j"))
    expect_close(gradient(near, p$y, device_array(x)),
                 gradient(near, p$y, x), 1e-11)
  }
})

test_that("a loop in R crosses the bridge with coefficients only", {
  skip_if_no_engine()
  n <- 500L
  x <- with_random_seed(5, matrix(runif(3 * n), n))
  b <- sin(6 * x[, 1L])
  dx <- device_array(x)
  db <- device_array(b)
  K <- exp(-sqdist(Vi(dx), Vj(dx)) * 10)
  steps <- 6L
  z <- NULL
  crossed <- engine_traffic(z <- conjugate_gradients(K, db, steps))$numbers
  # Per step: sizes of a product (4), coefficients, two sums.
  expect_lt(crossed, 40 * (steps + 1))
  expect_identical(engine_traffic(as.vector(z))$numbers, as.double(n))
  plain <- exp(-sqdist(Vi(x), Vj(x)) * 10)
  expected <- conjugate_gradients(plain, b, steps)
  expect_close(as.vector(z), as.vector(expected), 1e-10)
})

test_that("solve() and eigs() take device arrays", {
  x <- p$x
  b <- x[, 1L]
  K <- exp(-sqdist(Vi(x), Vj(x)))
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    dx <- device_array(x)
    D <- exp(-sqdist(Vi(dx), Vj(dx)))
    z <- solve(D, device_array(b), alpha = 0.1, tolerance = 1e-12)
    expect_true(is_device(z))
    expect_null(dim(z))
    dense <- as.matrix(K) + 0.1 * diag(30)
    expect_close(as.vector(z), solve(dense, b), 1e-9)
    expect_close(solve(D, b, alpha = 0.1, tolerance = 1e-12),
                 solve(dense, b), 1e-9)
    expect_close(eigs(D, 2)$values, eigen(as.matrix(K))$values[1:2], 1e-7)
  }
})

test_that("a right side of the engine does not cross, nor its solution", {
  skip_if_no_engine()
  withr::local_options(vigitensor.evaluator = "cpu")
  n <- 300L
  x <- with_random_seed(2, matrix(runif(2 * n), n))
  dx <- device_array(x)
  db <- device_array(x)
  K <- exp(-sqdist(Vi(dx), Vj(dx)) * 10)
  # Settings, and the history of the steps.
  crossed <- engine_traffic(
    z <- solve(K, db, alpha = 1, tolerance = 1e-12)
  )$numbers
  expect_lt(crossed, 100)
  expect_identical(dim(z), c(n, 2L))
  plain <- exp(-sqdist(Vi(x), Vj(x)) * 10)
  exact <- solve(as.matrix(plain) + diag(n), x)
  expect_close(as.matrix(z), exact, 1e-9)
  out <- solve(plain, device_array(x[, 1]), alpha = 1, tolerance = 1e-12,
               report = TRUE)
  expect_close(as.vector(out$x), exact[, 1], 1e-9)
  expect_true(out$converged)
  # What was solved goes on as any other array.
  expect_close(as.vector(out$x * 2), exact[, 1] * 2, 1e-9)
  if (is.null(torch_version())) skip("torch is not installed")
  there <- solve(plain, device_array(x, device = "cpu"), alpha = 1,
                 tolerance = 1e-12)
  expect_match(format(there), "torch")
  expect_close(as.matrix(there), exact, 1e-9)
})

test_that("a device of torch keeps its arrays", {
  skip_if_no_engine()
  if (is.null(torch_version())) skip("torch is not installed")
  d <- device_array(p$x, device = "cpu")
  expect_match(format(d), "torch")
  K <- exp(-sqdist(Vi(d), Vj(d)))
  found <- sum(K, "j")
  expect_match(format(found), "torch")
  expect_close(as.matrix(found), sum(exp(-sqdist(Vi(p$x), Vj(p$x))), "j"))
  expect_close(sum(found[, 1] * d), sum(as.vector(found) * p$x))
  here <- device_array(p$y, "cpu")
  # Data in the engine's memory go along in a formula, not in arithmetic.
  both <- sum(Vi(here) | Vj(d), "j")
  expect_match(format(both), "torch")
  expect_close(as.matrix(both), sum(Vi(p$y) | Vj(p$x), "j"))
  for (other in list(here, device_array(p$y, "reference"))) {
    expect_error(d[1:20, ] + other, class = "vigitensor_error_bad_device")
  }
})

test_that("precision is that of the time it was sent", {
  skip_if_no_engine()
  withr::local_options(vigitensor.precision = "single")
  d <- device_array(p$x)
  withr::local_options(vigitensor.precision = "double")
  expect_match(format(d), "single")
  found <- as.matrix(sum(exp(-sqdist(Vi(d), Vj(d))), "j"))
  expected <- sum(exp(-sqdist(Vi(p$x), Vj(p$x))), "j")
  expect_equal(found, expected, tolerance = 1e-5)
  expect_false(isTRUE(all.equal(found, expected, tolerance = 1e-12)))
})

test_that("what a device array cannot do is an error of ours", {
  d <- device_array(p$x, "reference")
  error <- function(code, kind) {
    expect_error(code, class = paste0("vigitensor_error_", kind))
  }
  error(d + p$x, "bad_operand")
  error(d + d[1:3, ], "bad_size")
  error(d & d, "undefined")
  error(cumsum(d), "undefined")
  error(is.na(d), "conversion")
  error(d$cell, "conversion")
  error(d[1] <- 2, "conversion")
  error(d[2], "bad_place")
  error(d[31, ], "bad_place")
  error(d %*% d, "bad_operand")
  error(d %*% diag(2), "bad_size")
  error(dim(d) <- c(3, 30), "bad_shape")
  error(device_array(array(0, c(2, 2, 2))), "bad_type")
  error(device_array(1i), "bad_type")
  error(device_array(c(1, NA)), "missing")
  error(device_array("a"), "bad_type")
  error(device_array(1, evaluator = "fast"), "evaluator")
  error(gradient(function(y) sum(y * d), p$x), "undefined")
  expect_identical(device_array(d), d)
  expect_output(print(d), "30 x 3, double, in R", fixed = TRUE)
  expect_output(print(t(d)), "transpose")
})

test_that("without Python it is told what is missing", {
  found <- in_fresh_r({
    class(tryCatch(device_array(1:3, "cpu"), error = identity))
  }, no_python_variables())
  expect_true("vigitensor_error_no_engine" %in% found$value)
})

test_that("a handle of another session is recognised", {
  skip_if_no_engine()
  d <- device_array(p$x)
  file <- withr::local_tempfile()
  saveRDS(d, file)
  expect_error(as.matrix(readRDS(file)), class = "vigitensor_error_lost_handle")
})
