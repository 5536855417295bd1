p <- symbolic_points()
d <- dense_sqdist(p$x, p$y)
D <- sqdist(Vi(p$x), Vj(p$y))

# Each expectation for each evaluator and both indices.
over_both <- function(call, dense) {
  for (evaluator in evaluators_here()) {
    expect_equal(call(D, "j", evaluator), dense(d), tolerance = 1e-12)
    expect_equal(call(D, "i", evaluator), dense(t(d)), tolerance = 1e-12)
  }
}
column <- function(x) matrix(x, ncol = 1L)

test_that("sums, means and products are those of the dense matrix", {
  over_both(function(D, i, e) sum(D, index = i, evaluator = e),
            function(d) column(rowSums(d)))
  over_both(function(D, i, e) sum(D, i, evaluator = e),
            function(d) column(rowSums(d)))
  over_both(function(D, i, e) mean(D, index = i, evaluator = e),
            function(d) column(rowMeans(d)))
  over_both(function(D, i, e) prod(D, index = i, evaluator = e),
            function(d) column(apply(d, 1L, prod)))
  over_both(function(D, i, e) variance(D, i, evaluator = e),
            function(d) column(apply(d, 1L, stats::var)))
})

test_that("extremes, places and their order are those of the dense matrix", {
  over_both(function(D, i, e) min(D, index = i, evaluator = e),
            function(d) column(apply(d, 1L, min)))
  over_both(function(D, i, e) argmax(D, i, e),
            function(d) column(max.col(d)))
  over_both(function(D, i, e) min_argmin(D, i, e), function(d) {
    list(value = column(apply(d, 1L, min)),
         index = column(apply(d, 1L, which.min)))
  })
  over_both(function(D, i, e) argKmin(D, 3, i, e),
            function(d) t(apply(d, 1L, order)[1:3, ]))
  over_both(function(D, i, e) Kmin(D, 3, i, e),
            function(d) t(apply(d, 1L, sort)[1:3, ]))
  over_both(function(D, i, e) Kmax_argKmax(D, 2, i, e), function(d) {
    list(value = t(apply(d, 1L, sort, decreasing = TRUE)[1:2, ]),
         index = t(apply(d, 1L, order, decreasing = TRUE)[1:2, ]))
  })
  expect_type(argmin(D, "j"), "integer")
  expect_type(argKmin(D, 2, "j"), "integer")
  # The first of equal values.
  same <- Vi(c(1, 1)) * Vj(c(2, 1, 1))
  expect_identical(argmin(same, "j"), matrix(2L, 2L, 1L))
  expect_identical(argKmin(same, 2, "j"), matrix(2:3, 2L, 2L, TRUE))
})

test_that("logarithms of sums do not overflow", {
  over_both(function(D, i, e) logsumexp(D + 1000, i, evaluator = e),
            function(d) column(log(rowSums(exp(d))) + 1000))
  for (evaluator in evaluators_here()) {
    w <- c(-0.1, 1:6)
    expect_equal(logsumexp(-D, "j", w, evaluator),
                 log(exp(-d) %*% w), tolerance = 1e-12)
    b <- cbind(p$b, 1)
    expect_equal(sumsoftmaxweight(D, b, "j", evaluator),
                 (exp(d) %*% b) / rowSums(exp(d)), tolerance = 1e-12)
    expect_equal(logsumexp(Vi(p$x) * Vj(p$y), "j", evaluator = evaluator)[, 2],
                 log(rowSums(exp(outer(p$x[, 2], p$y[, 2])))))
  }
})

test_that("tests are counted", {
  over_both(function(D, i, e) count(D < 4, i, evaluator = e),
            function(d) column(rowSums(d < 4)))
  over_both(function(D, i, e) any(D < 1, index = i, evaluator = e),
            function(d) column(apply(d < 1, 1L, any)))
  over_both(function(D, i, e) all(D < 9, index = i, evaluator = e),
            function(d) column(apply(d < 9, 1L, all)))
})

test_that("weights count as copies", {
  w <- c(1, 0, 2, 1, 3, 1, 1)
  copies <- rep(1:7, w)
  y <- p$y[copies, ]
  again <- sqdist(Vi(p$x), Vj(y))
  for (evaluator in evaluators_here()) {
    for (name in c("sum", "mean", "variance", "logsumexp")) {
      expect_equal(reduction(D, name, "j", weight = w, evaluator = evaluator),
                   reduction(again, name, "j", evaluator = evaluator),
                   tolerance = 1e-12, info = paste(name, evaluator))
    }
    expect_equal(count(D > 2, "j", w, evaluator),
                 count(again > 2, "j", evaluator = evaluator))
  }
  # Weights may be a formula.
  expect_equal(mean(D, index = "j", weight = exp(-D)),
               column(rowSums(d * exp(-d)) / rowSums(exp(-d))))
})

test_that("several components are reduced one by one", {
  both <- concat(D, -D)
  expect_equal(max(both, "j"), cbind(apply(d, 1L, max), -apply(d, 1L, min)))
  expect_equal(argmin(both, "i"), cbind(apply(d, 2L, which.min),
                                        apply(d, 2L, which.max)))
})

test_that("complex sums are complex", {
  z <- with_random_seed(2, matrix(complex(real = rnorm(6),
                                          imaginary = rnorm(6)), 3))
  w <- with_random_seed(3, matrix(complex(real = rnorm(8),
                                          imaginary = rnorm(8)), 4))
  dense <- function(f) {
    t(vapply(1:3, function(i) f(z[i, ], w), complex(2)))
  }
  product <- dense(function(z, w) colSums(t(t(w) * z)))
  for (evaluator in evaluators_here()) {
    expect_equal(sum(Vi(z) * Vj(w), "j", evaluator = evaluator), product)
    expect_equal(mean(Vi(z) * Vj(w), index = "j", evaluator = evaluator),
                 product / 4)
    expect_equal(mean(Vi(z) * Vj(w), index = "j", weight = 1:4,
                      evaluator = evaluator),
                 dense(function(z, w) colSums(t(t(w) * z) * 1:4)) / 10)
  }
  expect_error(min(Vi(z) * Vj(w), "j"), class = "vigitensor_error_bad_operand")
})

test_that("a formula of the vanishing index alone has one row", {
  expect_equal(sum(Vj(p$y), "j"), matrix(colSums(p$y), 1L))
  expect_equal(min(Vi(p$x), "i"), matrix(apply(p$x, 2L, min), 1L))
  expect_error(sum(Vi(p$x), "j"), class = "vigitensor_error_bad_size")
})

test_that("NaN is where the help says that it is", {
  x <- c(1, 2)
  y <- c(4, 1.5, 0, 3)
  # log(x - y) is NaN where y is larger
  gap <- log(Vi(x) - Vj(y))
  for (evaluator in evaluators_here()) {
    expect_identical(is.nan(sum(gap, "j", evaluator = evaluator)),
                     matrix(TRUE, 2, 1))
    expect_identical(is.nan(min(gap, "j", evaluator = evaluator)),
                     matrix(TRUE, 2, 1))
    expect_identical(argmin(gap, "j", evaluator), matrix(1L, 2, 1))
    expect_equal(Kmin(gap, 2, "j", evaluator)[2, ], log(c(0.5, 2)))
    expect_equal(argKmin(gap, 2, "j", evaluator)[2, ], 2:3)
  }
})

test_that("faults are told apart", {
  expect_fault <- function(code, ...) {
    expect_error(..., class = paste0("vigitensor_error_", code))
  }
  expect_fault("bad_index", sum(D, "k"))
  expect_fault("bad_k", Kmin(D, 8, "j"))
  expect_fault("bad_k", Kmin(D, 1.5, "j"))
  expect_fault("bad_dimension", Kmin(Vi(p$x) * Vj(p$y), 1, "j"))
  expect_fault("bad_weight", sumsoftmaxweight(D, NULL, "j"))
  expect_fault("bad_weight", reduction(D, "min", "j", weight = 1:7))
  expect_fault("bad_size", sum(D, "j", weight = 1:6))
  expect_fault("bad_reduction", reduction(D, "median", "j"))
  expect_fault("evaluator", sum(D, "j", evaluator = "gpu"))
  expect_fault("bad_type", argKmin(d, 2, "j"))
  expect_fault("empty", min(Vi(p$x) - Vj(matrix(0, 0, 3)), "j"))
  expect_fault("bad_size", sqdist(Vi(p$x), Vj(p$y)) + Vi(p$y))
  expect_fault("bad_dimension", Vi(p$x) + Vj(p$y[, 1:2]))
  error <- expect_fault("bad_dimension", Vi(p$x) + Vj(p$y[, 1:2]))
  expect_match(conditionMessage(error), "They are 3 and 2")
  withr::local_options(vigitensor.precision = "half")
  skip_if_no_engine()
  expect_fault("option", sum(D, "j"))
})

test_that("nothing to add up is 0", {
  none <- matrix(0, 0, 3)
  for (evaluator in evaluators_here()) {
    expect_equal(sum(sqdist(Vi(p$x), Vj(none)), "j", evaluator = evaluator),
                 matrix(0, 5, 1))
    expect_equal(dim(sum(sqdist(Vi(none), Vj(p$x)), "j",
                         evaluator = evaluator)), c(0L, 1L))
  }
})

test_that("single precision is near", {
  skip_if_no_engine()
  withr::local_options(vigitensor.precision = "single")
  found <- sum(exp(-D), "j", evaluator = "cpu")
  expect_equal(found, column(rowSums(exp(-d))), tolerance = 1e-6)
  expect_false(identical(found, column(rowSums(exp(-d)))))
})

test_that("nothing is left out unless pairs are named", {
  problem <- reduction_problem(node_of(D), NULL, reduction_rule("sum"),
                               list(index = "j", K = 1L,
                                    evaluator = "reference"))
  expect_null(problem$pairs)
})

test_that("a new number or parameter is the same formula to the engine", {
  formula <- function(s) {
    node <- node_of(exp(-sqdist(Vi(p$x), Vj(p$y)) * Pm(s)))
    symbolic_formula_of(node)$expression
  }
  expect_identical(formula(2), formula(3))
  twice <- node_of(Vi(p$x) + 2 * Vi(p$x))
  expect_length(symbolic_formula_of(twice)$leaves, 1L)
})

test_that("reductions have their names of RKeOps as well", {
  p <- symbolic_points()
  D <- sqdist(Vi(p$x), Vj(p$y))
  for (name in c("sum", "min", "max", "argmin", "argmax", "min_argmin",
                 "max_argmax", "logsumexp")) {
    fun <- get(paste0(name, "_reduction"))
    expect_identical(fun(D, "i"), reduction(D, name, "i"), info = name)
  }
  for (name in c("Kmin", "argKmin", "Kmin_argKmin")) {
    fun <- get(paste0(name, "_reduction"))
    expect_identical(fun(D, 2, "j"), reduction(D, name, "j", K = 2),
                     info = name)
  }
  expect_identical(sumsoftmaxweight_reduction(D, Vj(p$y), "j"),
                   sumsoftmaxweight(D, Vj(p$y), "j"))
})
