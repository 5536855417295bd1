p <- symbolic_points()
d <- dense_sqdist(p$x, p$y)
D <- sqdist(Vi(p$x), Vj(p$y))

test_that("pieces are those of the dense matrix", {
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_close(as.matrix(D), d)
    expect_close(D[2:3, c(1, 7)], d[2:3, c(1, 7)])
    expect_close(D[-1, ], d[-1, ])
    expect_close(D[, 4], d[, 4])
    expect_close(D[2, 4], d[2, 4])
    expect_close(D[2, 4, drop = FALSE], array(d[2, 4], c(1, 1, 1)))
    expect_close(D[c(TRUE, FALSE, TRUE, FALSE, FALSE), ], d[c(1, 3), ])
    both <- concat(D, 2 * D)
    expect_close(as.array(both), array(c(d, 2 * d), c(5, 7, 2)))
    expect_close(both[1, , 2], 2 * d[1, ])
    expect_close(as.array(Vi(1i * 1:2) * Vj(c(1, 1i)))[, , 1],
                 outer(1i * 1:2, c(1, 1i)))
  }
})

test_that("components are taken by one index", {
  x <- Vi(p$x)
  values <- function(x) matrix(as.array(x), 5)
  expect_identical(values(x[2]), p$x[, 2, drop = FALSE])
  expect_identical(values(x[2:3]), p$x[, 2:3])
  expect_identical(values(x[-1]), p$x[, -1])
  expect_identical(values(x[c(3, 1)]), p$x[, c(3, 1)])
  expect_identical(values(x[c(3, 1, 2)]), p$x[, c(3, 1, 2)])
  expect_identical(values(x[c(TRUE, FALSE, TRUE)]), p$x[, c(1, 3)])
  expect_error(x[4], class = "vigitensor_error_bad_place")
  expect_error(x["a"], class = "vigitensor_error_bad_place")
  expect_error(D[6, 1], class = "vigitensor_error_bad_place")
  z <- Vi(p$x + 1i)[2]
  expect_identical(sum(z, "i"), matrix(sum(p$x[, 2] + 1i)))
})

test_that("the diagonal takes linear memory", {
  square <- sqdist(Vi(p$x), Vj(p$x + 1)) + Vi(p$x)[1]
  expect_close(diagonal(square), diag(as.matrix(square)))
  expect_close(diagonal(Vi(p$x) * Vj(p$x)), p$x^2)
  long <- with_random_seed(1, rnorm(1e5))
  expect_close(diagonal(Vi(long) * Vj(long)), long^2)
  expect_error(diagonal(D), class = "vigitensor_error_bad_size")
})

test_that("products and transposes are those of matrices", {
  B <- matrix(1:14, 7)
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_close(D %*% B, d %*% B)
    expect_close(D %*% p$b, d %*% p$b)
    expect_close(D %*% Vj(p$b), d %*% p$b)
    expect_close(1:5 %*% D, 1:5 %*% d)
    expect_close(matrix(1:10, 2) %*% D, matrix(1:10, 2) %*% d)
    expect_close(t(D) %*% matrix(1:10, 5), t(d) %*% matrix(1:10, 5))
  }
  expect_identical(dim(t(D)), c(7L, 5L, 1L))
  expect_identical(nrow(D), 5L)
  expect_identical(ncol(D), 7L)
  expect_error(D %*% Vi(p$x), class = "vigitensor_error_bad_index")
  expect_error(D %*% 1:6, class = "vigitensor_error_bad_size")
  expect_error((Vi(p$x) * Vj(p$y)) %*% p$b,
               class = "vigitensor_error_bad_dimension")
})

test_that("what is too large is refused with the number", {
  long <- Vi(numeric(1e5)) + Vj(numeric(1e5))
  error <- expect_error(as.matrix(long), class = "vigitensor_error_too_large")
  expect_match(conditionMessage(error), "10,000,000,000 numbers")
  expect_identical(dim(long[1:2, 1:3]), c(2L, 3L))
  expect_error(as.matrix(D, limit = 30), class = "vigitensor_error_too_large")
  expect_error(sum(long, "j", evaluator = "reference"),
               class = "vigitensor_error_too_large")
  expect_error(as.matrix(Vi(p$x)), class = "vigitensor_error_bad_dimension")
})
