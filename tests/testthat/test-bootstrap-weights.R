# Weights of replicates: R's against the engine's, and their distributions.

test_that("both engines draw the same weights", {
  skip_if_no_engine()
  stratum <- rep(c(3L, 1L, 1L, 2L, 5L), 21)[1:101]
  for (kind in c("multinomial", "bayesian")) {
    for (codes in list(NULL, stratum)) {
      for (seed in c(0, 1, 123456789012)) {
        engine <- engine_call("replicate_weights", 101L, kind, seed, 7, 5,
                              codes)$weights
        ours <- draw_weights(101, kind, seed, 7, 5, codes)
        # Logarithms may differ in the last digit.
        expect_equal(ours, engine, tolerance = if (kind == "bayesian") 1e-14
                     else 0)
      }
    }
  }
})

test_that("a replicate does not depend on those drawn with it", {
  many <- draw_weights(50, "multinomial", 9, 1, 20)
  expect_identical(draw_weights(50, "multinomial", 9, 13, 1),
                   many[13, , drop = FALSE])
  expect_false(identical(draw_weights(50, "multinomial", 10, 1, 20), many))
})

test_that("counts and gaps have the right moments, by stratum", {
  stratum <- rep(1:3, c(10, 20, 30))
  counts <- draw_weights(60, "multinomial", 4, 1, 4000, stratum)
  gaps <- draw_weights(60, "bayesian", 4, 1, 4000, stratum)
  for (s in 1:3) {
    n <- sum(stratum == s)
    expect_true(all(rowSums(counts[, stratum == s]) == n))
    expect_equal(rowSums(gaps[, stratum == s]), rep(n, 4000),
                 tolerance = 1e-12)
    # Variances: of a multinomial count; of n times a Dirichlet weight. Their
    # own relative error is about 1 / sqrt(2000 n) for n columns together.
    expect_equal(mean(apply(counts[, stratum == s], 2, var)), 1 - 1 / n,
                 tolerance = 0.03)
    expect_equal(mean(apply(gaps[, stratum == s], 2, var)), (n - 1) / (n + 1),
                 tolerance = 0.05)
  }
  # Means of 4,000 weights of variance 1: 5 standard errors.
  expect_lt(max(abs(colMeans(counts) - 1)), 5 / sqrt(4000))
  expect_lt(max(abs(colMeans(gaps) - 1)), 5 / sqrt(4000))
  expect_true(all(counts == round(counts)) && all(gaps > 0))
})
