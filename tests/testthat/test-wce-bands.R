# Critical values of whole-curve bands, against closed forms.

test_that("one coefficient has the normal quantile", {
  basis <- matrix(c(-1, 0.2, 3, 0))
  for (level in c(0.5, 0.9, 0.95, 0.99)) {
    expect_identical(simultaneous_critical(basis, 0.3, level),
                     qnorm((1 + level) / 2))
  }
})

test_that("independent points have the value of Sidak", {
  # Monte Carlo errors of c, from runs with many seeds: 0.003 to 0.006.
  for (k in c(2, 5, 8)) {
    sidak <- qnorm((1 + 0.95^(1 / k)) / 2)
    got <- simultaneous_critical(diag(k), diag(seq_len(k)), 0.95, seed = 3)
    expect_lt(abs(got - sidak), 0.015)
  }
})

test_that("a full circle of points has the value of Scheffe", {
  # In two dimensions a curve through all directions has M = 1: c^2 is the
  # quantile of chi-squared with 2 degrees of freedom.
  angle <- seq(0, pi, length.out = 4001)
  circle <- cbind(cos(angle), sin(angle))
  expect_equal(simultaneous_critical(circle, diag(2)),
               sqrt(qchisq(0.95, 2)), tolerance = 1e-5)
})

test_that("an arc of points has the value of its length (tube formula)", {
  # Points along an arc of angle a in the plane: |z| is exceeded in the arc
  # (both signs) or at its ends, so P(max > c) = a / pi * P(R > c) + the tails
  # beyond the ends: an integral over the angle to the nearest end.
  arc <- 1
  angle <- seq(0, arc, length.out = 2001)
  exceeds <- function(critical) {
    beyond <- integrate(function(away) {
      pchisq((critical / cos(away))^2, 2, lower.tail = FALSE)
    }, 0, (pi - arc) / 2, rel.tol = 1e-10)$value
    arc / pi * pchisq(critical^2, 2, lower.tail = FALSE) + 2 * beyond / pi
  }
  expected <- uniroot(function(c) exceeds(c) - 0.05, c(1, 4), tol = 1e-10)$root
  got <- simultaneous_critical(cbind(cos(angle), sin(angle)), diag(2),
                               n_directions = 50000L)
  expect_lt(abs(got - expected), 0.003)
})

test_that("scale, coordinates and points without variance do not matter", {
  basis <- wce_basis(60, c(20, 40), "right")
  half <- matrix(sin(seq_len(36)), 6)[1:4, 1:4]
  vcov <- crossprod(half) + diag(0.1, 4)
  value <- simultaneous_critical(basis, vcov)
  expect_equal(simultaneous_critical(5 * basis, 0.01 * vcov), value,
               tolerance = 1e-6)
  # The last lag is fixed at zero: no variance.
  expect_equal(simultaneous_critical(basis[-60, ], vcov), value,
               tolerance = 1e-9)
  # A coefficient that was dropped has a row and column of zeros.
  padded <- rbind(cbind(vcov, 0), 0)
  expect_equal(simultaneous_critical(cbind(basis, 1), padded), value,
               tolerance = 0.02)
  turn <- qr.Q(qr(matrix(cos(seq_len(16)^2), 4)))
  turned <- simultaneous_critical(basis %*% turn, t(turn) %*% vcov %*% turn)
  expect_lt(abs(turned - value), 0.02)
  expect_gt(value, qnorm(0.975))
  expect_lt(value, sqrt(qchisq(0.95, 4)))
})

test_that("the maximum of normal curves stays below it as often as it says", {
  basis <- wce_basis(90, c(30, 60))
  vcov <- solve(crossprod(basis) + 0.05 * diag(6))
  critical <- simultaneous_critical(basis, vcov, 0.9)
  set.seed(4)
  curves <- basis %*% t(chol(vcov)) %*% matrix(rnorm(6 * 20000), 6)
  se <- sqrt(rowSums((basis %*% vcov) * basis))
  inside <- mean(apply(abs(curves) / se, 2, max) <= critical)
  # Standard error of the share 0.002, of the critical value's level 0.002.
  expect_lt(abs(inside - 0.9), 0.009)
})

test_that("random numbers are left alone, and a seed gives the same value", {
  basis <- wce_basis(30, 15)
  set.seed(8)
  before <- .Random.seed
  one <- simultaneous_critical(basis, diag(5), seed = 2)
  expect_identical(.Random.seed, before)
  RNGkind("Wichmann-Hill")
  on.exit(RNGkind("default", "default", "default"))
  expect_identical(simultaneous_critical(basis, diag(5), seed = 2), one)
  expect_identical(RNGkind()[1], "Wichmann-Hill")
  expect_identical(simultaneous_critical(basis, matrix(0, 5, 5)), NA_real_)
})
