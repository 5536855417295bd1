p <- symbolic_points(n = 30L, d = 2L)
x <- p$x
K <- exp(-sqdist(Vi(x), Vj(x)) / 2)
dense <- exp(-dense_sqdist(x, x) / 2)
b <- with_random_seed(5, matrix(rnorm(60), 30))

test_that("systems are solved to the tolerance", {
  exact <- solve(dense + 0.1 * diag(30), b)
  for (evaluator in evaluators_here()) {
    expect_equal(solve(K, b, alpha = 0.1, tolerance = 1e-12,
                       evaluator = evaluator), exact, tolerance = 1e-8)
    expect_equal(solve(K, b[, 1], alpha = 0.1, tolerance = 1e-12,
                       evaluator = evaluator), exact[, 1], tolerance = 1e-8)
  }
  found <- solve(K, b, 0.1, report = TRUE)
  expect_true(found$converged)
  near <- symbolic_pairs(mask = sqdist(Vi(x), Vj(x)) < 0.5)
  band <- dense * (dense_sqdist(x, x) < 0.5)
  for (evaluator in evaluators_here()) {
    expect_equal(solve(K, b, alpha = 20, tolerance = 1e-12, pairs = near,
                       evaluator = evaluator),
                 solve(band + 20 * diag(30), b), tolerance = 1e-8)
  }
})

test_that("what does not converge is told", {
  skip_if_no_engine()
  hard <- exp(-sqdist(Vi(x), Vj(x)) / 200)
  warning <- expect_warning(
    solve(hard, b, tolerance = 1e-14, max_iter = 3L, evaluator = "cpu",
          preconditioner = "none"),
    class = "vigitensor_warning_not_converged"
  )
  expect_false(warning$report$converged)
})

test_that("gradients go through the solution, in all that it depends on", {
  f <- function(at, evaluator) {
    K <- exp(-sqdist(Vi(at$x), Vj(at$x)) * at$s)
    z <- solve(K, at$b, alpha = at$alpha, tolerance = 1e-13,
               evaluator = evaluator)
    sum(z^2)
  }
  at <- list(x = x[1:8, ], s = 0.7, b = b[1:8, ], alpha = 0.3)
  for (evaluator in evaluators_here()) {
    found <- gradient(f, at, evaluator = evaluator)
    for (part in names(at)) {
      expect_equal(found[[part]], central_slopes(function(v) {
        f(replace(at, part, list(v)), "reference")
      }, at[[part]]), tolerance = 1e-6, info = paste(part, evaluator))
    }
  }
  g <- function(v) f(replace(at, "b", list(v)), "reference")
  A <- exp(-dense_sqdist(at$x, at$x) * at$s) + at$alpha * diag(8)
  expect_equal(hessian_vector(g, at$b, at$b), 2 * solve(A %*% A, at$b),
               tolerance = 1e-8)
})

test_that("eigenpairs are those of the dense matrix", {
  exact <- eigen(dense)$values
  for (evaluator in evaluators_here()) {
    found <- eigs(K, 4, evaluator = evaluator)
    expect_equal(found$values, exact[1:4], tolerance = 1e-7)
    expect_equal(K %*% found$vectors, t(t(found$vectors) * found$values),
                 tolerance = 1e-5)
  }
  wave <- cos(Vi(x)[1] - Vj(x)[1]) - exp(-sqdist(Vi(x), Vj(x)))
  signed <- eigen(as.matrix(wave))$values
  for (evaluator in evaluators_here()) {
    expect_equal(eigs(wave, 2, "smallest", evaluator = evaluator)$values,
                 rev(signed)[1:2], tolerance = 1e-6)
  }
})

test_that("faults of systems are told apart", {
  expect_error(solve(sqdist(Vi(x), Vj(x[1:3, ])), b),
               class = "vigitensor_error_bad_size")
  expect_error(solve(K, b[1:3, ]), class = "vigitensor_error_bad_size")
  expect_error(solve(Vi(x) * Vj(x), b),
               class = "vigitensor_error_bad_dimension")
  expect_error(solve(K), class = "vigitensor_error_bad_operand")
  expect_error(solve(K, b, preconditioner = "ilu"),
               class = "vigitensor_error_bad_index")
  expect_error(eigs(K, 31), class = "vigitensor_error_bad_k")
})
