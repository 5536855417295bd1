p <- symbolic_points(d = 2L)
y <- p$y
b <- p$b

# Every reduction that has values, with a formula whose values are apart.
reductions <- list(
  sum = function(K, i) sum(K, index = i),
  mean = function(K, i) mean(K, index = i),
  weighted = function(K, i) mean(K, index = i, weight = exp(K / 3)),
  variance = function(K, i) variance(K, i),
  prod = function(K, i) prod(K, index = i),
  logsumexp = function(K, i) logsumexp(K, i),
  logsumexp_weight = function(K, i) logsumexp(K, i, weight = K * K),
  softmax = function(K, i) sumsoftmaxweight(K, concat(K, K^2), i),
  min = function(K, i) min(K, index = i),
  max = function(K, i) max(K, index = i),
  min_argmin = function(K, i) min_argmin(K, i)$value,
  Kmin = function(K, i) Kmin(K, 3, i),
  Kmax = function(K, i) Kmax(K, 2, i)
)

test_that("gradients of all reductions, over i and j, in all kinds of data", {
  formula <- function(x, y, s) {
    sqrt(sqdist(Vi(x), Vj(y)) + 1) * Pm(s)[1] + Vi(x)[2] * Pm(s)[2]
  }
  at <- list(x = p$x, y = y, s = c(0.7, 0.3))
  for (name in names(reductions)) {
    for (index in c("i", "j")) {
      f <- function(at) {
        value <- reductions[[name]](formula(at$x, at$y, at$s), index)
        sum(value * cos(seq_len(length(value))))
      }
      slopes <- withr::with_options(
        list(vigitensor.evaluator = "reference"), part_slopes(f, at)
      )
      for (evaluator in evaluators_here()) {
        withr::local_options(vigitensor.evaluator = evaluator)
        expect_equal(along_parts(gradient(f, at), at), slopes,
                     tolerance = 1e-7, info = paste(name, index, evaluator))
      }
    }
  }
})

test_that("second derivatives of all reductions are right", {
  for (name in names(reductions)) {
    f <- function(x) {
      K <- exp(-sqdist(Vi(x), Vj(y)) / 3) + Vi(x)[1]
      sum(reductions[[name]](K, "j")^2)
    }
    v <- cos(p$x)
    step <- 1e-5
    slope <- (gradient(f, p$x + step * v) - gradient(f, p$x - step * v)) /
      (2 * step)
    for (evaluator in evaluators_here()) {
      withr::local_options(vigitensor.evaluator = evaluator)
      expect_equal(hessian_vector(f, p$x, v), slope, tolerance = 1e-6,
                   info = paste(name, evaluator))
    }
  }
})

test_that("a third derivative is the gradient of hessian_vector()", {
  f <- function(x) sum(logsumexp(-sqdist(Vi(x), Vj(y)), "j"))
  v <- sin(p$x)
  second <- function(x) sum(hessian_vector(f, x, v) * v)
  expect_slopes(second, p$x, 1e-6)
})

test_that("reductions of reductions are differentiated", {
  # A bandwidth from the data themselves, then a kernel sum, then its mean.
  expect_slopes(function(x) {
    D <- sqdist(Vi(x), Vj(y))
    width <- sqrt(Kmin(D, 2, "j")[, 2])
    density <- sum(exp(-D / Vi(width)), "j")
    again <- sum(Vi(density) * exp(-sqdist(Vi(x), Vj(x))), "j")
    mean(log(again))
  }, p$x)
  # Weights and arrays of R in between.
  expect_slopes(function(s) {
    K <- exp(-sqdist(Vi(p$x), Vj(y)) * s[1])
    u <- K %*% (b * s[2])
    sum(rowSums(t(u) %*% (u / sum(u)))^2)
  }, c(0.4, 1.5))
})

test_that("what R does with arrays is differentiated", {
  A <- matrix(c(2, 1, 0.5, 3), 2)
  cases <- list(
    function(x) sum(x + 1:5 - 2 / (x^2 + 1)),
    function(x) sum(-x * +x),
    function(x) sum(2^x + abs(x)^x),
    function(x) sum((x %*% A)^2) + sum(A %*% t(x)),
    function(x) sum(exp(rowSums(x)) * 1:5) + prod(colSums(x)),
    function(x) sum(rowMeans(x)^2) * sum(colMeans(x)^3),
    function(x) max(x) * min(x) + mean(x)^2,
    function(x) sum(x[2:4, 1] * x[c(1, 1, 5), 2]) + x[[3]]^2 + sum(x[-1, ]^2),
    function(x) sum(x[x[, 1] > 0, ]^3),
    function(x) sum(c(x, 1, x[1, ])^2 * seq_len(13)),
    function(x) sum(cbind(x, 1, x[, 1]^2) %*% c(1, 2, 3, 4)) * sum(x),
    function(x) sum(rbind(x, 1:2)[6:5, ]^2),
    function(x) sum(cumsum(x) * 1:10),
    function(x) sum(log(abs(x)) + sqrt(abs(x)) + tanh(x) + atan(x)),
    function(x) sum(lgamma(abs(x) + 1) + log1p(x^2) + log(x^2 + 2, 3)),
    function(x) sum(x[1, ] %*% x[2, ]) + sum(1:5 %*% x),
    function(x) {
      total <- 0
      for (k in 1:5) total <- total + if (x[k, 1] > 0) x[k, 2]^2 else x[k, 1]
      total
    },
    function(x) {
      dim(x) <- NULL
      sum(x * 1:10)
    }
  )
  helper <- function(z) sum(rowSums(z)^2)
  for (k in seq_along(cases)) {
    expect_slopes(cases[[k]], p$x, info = k)
    expect_equal(hessian_vector(cases[[k]], p$x, cos(p$x)), local({
      h <- 1e-5
      (gradient(cases[[k]], p$x + h * cos(p$x)) -
          gradient(cases[[k]], p$x - h * cos(p$x))) / (2 * h)
    }), tolerance = 1e-6, info = k)
  }
  # In functions that f calls too.
  expect_slopes(function(x) helper(x * 2), p$x)
})

test_that("an inner gradient is differentiated like any other function", {
  f <- function(x) sum(exp(-sqdist(Vi(x), Vj(y))), "j")
  outer_part <- function(x) {
    slope <- gradient(function(z) sum(f(z)), x)
    sum(slope^2) + sum(x * f(x)[, 1])
  }
  expect_slopes(outer_part, p$x, 1e-6)
  # Levels do not mix: the inner x is a constant to the outer gradient.
  expect_equal(gradient(function(x) {
    x * gradient(function(z) x * z, 5)
  }, 3), 6)
})

test_that("dense pieces and diagonals are differentiated", {
  expect_slopes(function(x) {
    K <- exp(-sqdist(Vi(x), Vj(x[1:3, ])))
    sum(K[2:4, c(1, 3)]^2) + sum(diagonal(Vi(x) * Vj(x))^2)
  }, p$x)
})

test_that("shapes and names are those of x", {
  f <- function(x) sum(x^2)
  expect_identical(gradient(f, c(a = 1, b = 2)), c(a = 2, b = 4))
  expect_identical(gradient(f, matrix(1:4, 2)), matrix(2 * (1:4), 2))
  found <- value_and_gradient(function(z) z$a * sum(z$b), list(a = 2, b = 1:3))
  expect_identical(found, list(value = 12,
                               gradient = list(a = 6, b = c(2, 2, 2))))
  expect_identical(gradient(function(x) 7, 1:2), c(0, 0))
  expect_identical(gradient(function(x) sum(x > 1), 1:2), c(0, 0))
  expect_identical(gradient(function(x, k) k * x, 2, k = 3), 3)
})

test_that("a product that is 0 has a gradient", {
  f <- function(x) sum(prod(Vi(x) - Vj(c(1, 2, 4)), index = "j"))
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_equal(gradient(f, c(1, 3, 2, 4)), c(3, -1, -2, 6))
    expect_equal(gradient(function(y) sum(prod(Vi(c(0, 5)) * Vj(y),
                                               index = "j")), c(0, 2, 3)),
                 c(750, 0, 0))
  }
})

test_that("places are plain numbers inside a gradient", {
  expect_slopes(function(x) {
    at <- argmin(sqdist(Vi(x), Vj(y)), "j")
    stopifnot(is.integer(at))
    sum((x - y[at, ])^2)
  }, p$x)
})

test_that("what cannot be differentiated is an error with its name", {
  refused <- function(f, class = "undefined") {
    expect_error(gradient(f, p$x),
                 class = paste0("vigitensor_error_", class))
  }
  expect_match(conditionMessage(refused(function(x) sum(cumprod(x)))),
               "cumprod")
  refused(function(x) sum(x %% 2))
  refused(function(x) stats::quantile(x, 0.2), "conversion")
  refused(function(x) sum(as.integer(x)), "conversion")
  refused(function(x) x, "not_scalar")
  refused(function(x) Vi(x), "not_scalar")
})

test_that("functions of matrices work on traced ones, or say their name", {
  x <- matrix(c(2, 1, 0.5, 3, 1, 4), 3)
  expect_slopes(function(x) sum(diag(x)^2), x)
  expect_slopes(function(x) sum(aperm(x, 2:1)[1, ]^2), x)
  expect_slopes(function(x) sum(drop(x)^2), x)
  expect_slopes(function(x) sum(as.matrix(x)[-1, ]^2 + head(x, 2)), x)
  refused <- list(
    scale = function(x) scale(x), summary = function(x) summary(x)
  )
  for (name in names(refused)) {
    error <- expect_error(gradient(refused[[name]], x),
                          class = "vigitensor_error")
    expect_match(conditionMessage(error), name, fixed = TRUE)
  }
})
