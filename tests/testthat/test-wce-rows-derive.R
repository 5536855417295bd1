# Likelihoods of rows against sums over all that could have happened, against
# differences, and against each other.

row_example <- function(kind) {
  withr::local_seed(5)
  n <- 36
  at <- list(offset = rnorm(n) / 4, y = rbinom(n, 1, 0.4),
             stratum = rep(1:6, c(4, 8, 6, 6, 7, 5)))
  # Every set has a case; with "exact" up to three.
  at$y <- as.numeric(ave(at$y, at$stratum, FUN = function(y) {
    if (kind == "exact") replace(y, 1, 1) else replace(0 * y, 1, 1)
  }))
  if (kind == "poisson") at$y <- rpois(n, 1.5)
  list(z = matrix(rnorm(3 * n), n), at = at, u = rep(c(2, 0, 1, 1, 3, 0.5),
                                                   c(4, 8, 6, 6, 7, 5)))
}

test_that("scores and information are derivatives of the log-likelihood", {
  beta <- c(0.3, -0.5, 0.8)
  for (kind in c("sets", "exact", "logistic", "poisson")) {
    one <- row_example(kind)
    derive <- row_derivatives(one$z, one$at, kind)(one$u)
    here <- derive(beta)
    difference <- function(what) {
      vapply(1:3, function(j) {
        e <- 1e-5 * (1:3 == j)
        (derive(beta + e)[[what]] - derive(beta - e)[[what]]) / 2e-5
      }, derive(beta)[[what]])
    }
    expect_equal(here$score, difference("loglik"), tolerance = 1e-7)
    expect_equal(here$info, -difference("score"), tolerance = 1e-7)
    # The residuals add up to the score, and in a set to zero.
    e <- row_residuals(one$z, one$at, kind, beta)
    expect_equal(drop(crossprod(one$z, one$u * e)), here$score,
                 tolerance = 1e-10)
    if (kind %in% c("sets", "exact")) {
      expect_equal(as.vector(rowsum(e, one$at$stratum)), numeric(6),
                   tolerance = 1e-10)
    }
  }
})

test_that("several cases in a set: all ways to choose them", {
  one <- row_example("exact")
  beta <- c(0.3, -0.5, 0.8)
  eta <- drop(one$z %*% beta) + one$at$offset
  by_hand <- lapply(split(seq_along(eta), one$at$stratum), function(rows) {
    d <- sum(one$at$y[rows])
    ways <- utils::combn(length(rows), d)
    size <- exp(colSums(matrix(eta[rows][ways], d)))
    list(log = sum(eta[rows] * one$at$y[rows]) - log(sum(size)),
         chosen = vapply(seq_along(rows), function(k) {
           sum(size[colSums(ways == k) > 0]) / sum(size)
         }, 0))
  })
  derive <- row_derivatives(one$z, one$at, "exact")()
  expect_equal(derive(beta)$loglik, sum(vapply(by_hand, `[[`, 0, "log")),
               tolerance = 1e-12)
  expect_equal(one$at$y - row_residuals(one$z, one$at, "exact", beta),
               unlist(lapply(by_hand, `[[`, "chosen"), use.names = FALSE),
               tolerance = 1e-12)
  # With one case in each, both kinds of sets are the same.
  one <- row_example("sets")
  for (what in c("loglik", "score", "info")) {
    expect_equal(row_derivatives(one$z, one$at, "exact")(one$u)(beta)[[what]],
                 row_derivatives(one$z, one$at, "sets")(one$u)(beta)[[what]],
                 tolerance = 1e-12)
  }
})

test_that("large linear predictors do not overflow", {
  for (kind in c("sets", "logistic")) {
    one <- row_example(kind)
    far <- row_derivatives(one$z, one$at, kind)(one$u)(c(900, -800, 700))
    expect_true(all(is.finite(unlist(far))))
  }
})
