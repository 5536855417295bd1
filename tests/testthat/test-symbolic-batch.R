a <- with_random_seed(1, array(rnorm(60), c(5, 3, 4)))
b <- with_random_seed(2, array(rnorm(84), c(7, 3, 4)))
fixed <- b[, , 1]
scale <- array(c(0.5, 1, 1.5, 2), c(1, 1, 4))

test_that("every problem of a batch is the problem alone", {
  K <- exp(-sqdist(Vi(a), Vj(b)) * Pm(scale)) + Vj(fixed)[1]
  expect_identical(dim(K), c(5L, 7L, 1L, 4L))
  alone <- lapply(1:4, function(k) {
    exp(-sqdist(Vi(a[, , k]), Vj(b[, , k])) * scale[k]) + Vj(fixed)[1]
  })
  for (evaluator in evaluators_here()) {
    for (name in setdiff(names(reduction_table),
                         c("sumsoftmaxweight", "histogram"))) {
      for (index in c("i", "j")) {
        found <- reduction(K, name, index, 2, evaluator = evaluator)
        single <- lapply(alone, reduction, name, index, 2,
                         evaluator = evaluator)
        if (is.list(found)) {
          for (part in c("value", "index")) {
            expect_equal(found[[part]], simplify2array(lapply(single, `[[`,
                                                              part)),
                         tolerance = 1e-12, info = paste(name, evaluator))
          }
        } else {
          expect_equal(found, simplify2array(single), tolerance = 1e-12,
                       info = paste(name, evaluator))
        }
      }
    }
    near <- symbolic_pairs(band = c(1, 1))
    expect_equal(sum(K, "j", evaluator = evaluator, pairs = near)[, , 3],
                 sum(alone[[3]], "j", evaluator = evaluator,
                     pairs = near)[, 1], tolerance = 1e-12)
    expect_equal(mean(K, index = "j", weight = 1:7,
                      evaluator = evaluator)[, , 2],
                 mean(alone[[2]], index = "j", weight = 1:7,
                      evaluator = evaluator)[, 1], tolerance = 1e-12)
  }
})

test_that("weights, variances, counts and NaN of a batch are one call", {
  K <- sqdist(Vi(a), Vj(b)) - 2
  alone <- lapply(1:4, function(k) sqdist(Vi(a[, , k]), Vj(b[, , k])) - 2)
  w <- with_random_seed(3, runif(7))
  near <- symbolic_pairs(band = c(2, 3))
  cases <- list(
    function(K) sum(K, "j", weight = w),
    function(K) mean(K, "j", weight = w, pairs = near),
    function(K) variance(K, "j", weight = w + 1),
    function(K) variance(K, "i", pairs = near),
    function(K) count(K > 0, "j", weight = w),
    function(K) histogram(K, "j", c(-2, 0, 3, 9), weight = w),
    function(K) logsumexp(K, "j", weight = w),
    function(K) sumsoftmaxweight(K, cbind(w, 1), "j"),
    function(K) sum(sqrt(K), "j", na.rm = TRUE),
    function(K) mean(sqrt(K), "j", na.rm = TRUE, weight = w),
    function(K) reduction(sqrt(K), "variance", "j", na.rm = TRUE),
    function(K) reduction(sqrt(K), "count", "j", na.rm = TRUE),
    function(K) reduction(sqrt(K), "kmin", "i", K = 2, na.rm = TRUE),
    function(K) reduction(sqrt(K), "any", "i", na.rm = TRUE),
    function(K) max(sqrt(K), "j", na.rm = TRUE)
  )
  for (k in seq_along(cases)) {
    for (evaluator in evaluators_here()) {
      withr::local_options(vigitensor.evaluator = evaluator)
      single <- simplify2array(lapply(alone, cases[[k]]))
      calls <- engine_traffic(found <- cases[[k]](K))$calls
      expect_equal(found, single, tolerance = 1e-12, info = paste(k, evaluator))
      expect_lte(calls, 1L)
    }
  }
})

test_that("matrices of both indices and masks belong to every problem", {
  A <- with_random_seed(7, matrix(rnorm(35), 5))
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    K <- sqdist(Vi(a), Vj(b)) * Vij(A)
    expect_identical(dim(K), c(5L, 7L, 1L, 4L))
    expect_equal(sum(K, "j")[, , 3],
                 rowSums(dense_sqdist(a[, , 3], b[, , 3]) * A))
    # A mask alone may be of a batch.
    mask <- sqdist(Vi(a), Vj(b)) < 4
    found <- sum(Vij(A) + 0 * Vj(fixed)[1], "j", pairs = mask)
    expect_equal(found[, 1, 2],
                 rowSums(A * (dense_sqdist(a[, , 2], b[, , 2]) < 4)))
  }
  expect_slopes(function(A) sum(sum(sqdist(Vi(a), Vj(b)) * Vij(A), "j")^2), A,
                1e-6)
})

test_that("batches are differentiated", {
  f <- function(a) {
    K <- exp(-sqdist(Vi(a), Vj(b)))
    sum(sum(K, "j")^2) + sum(min(sqdist(Vi(a), Vj(fixed)), "j"))
  }
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    found <- gradient(f, a)
    expect_identical(dim(found), dim(a))
    expect_equal(along_parts(list(found), list(a)),
                 part_slopes(function(at) f(at[[1L]]), list(a)),
                 tolerance = 1e-7)
  }
})

test_that("batches that do not fit are refused", {
  expect_error(Vi(a) + Vj(b[, , 1:3]), class = "vigitensor_error_bad_size")
  expect_error(as.array(Vi(a) + Vj(b)), class = "vigitensor_error_bad_size")
  expect_error(Vi(array(0, c(2, 2, 2, 2))),
               class = "vigitensor_error_bad_shape")
  expect_match(format(Vi(a)), "4 problems of 5 x 3, by i", all = FALSE)
})
