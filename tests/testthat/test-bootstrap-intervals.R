# Intervals from replicates, against quantiles, published software and the
# jackknife.

# Replicates without random numbers, that are not symmetric.
steps <- 40
x <- (1:steps)^2 / 100
total <- function(d) sum(d)^1.1 / 10
t <- vapply(1:499, function(k) {
  total(x[1 + floor((1:steps) * k * sqrt(2) + k^2 * sqrt(3)) %% steps])
}, 0)
influence <- x - mean(x)
acceleration <- sum(influence^3) / (6 * sum(influence^2)^1.5)

test_that("percentile and normal intervals are what they are called", {
  two <- cbind(t, -t)
  got <- bootstrap_interval(c(total(x), -total(x)), two, 0.9, "percentile")
  expect_equal(got[1, ], quantile(t, c(0.05, 0.95), type = 6),
               ignore_attr = TRUE)
  expect_equal(unname(got[2, ]), -rev(unname(got[1, ])))
  # boot.ci() of package boot 1.3-28.1; (499 + 1) * 0.05 is a whole number.
  expect_equal(unname(got[1, ]), c(31.8954466411348, 44.5587825453936),
               tolerance = 1e-13)
  normal <- bootstrap_interval(total(x), matrix(t), 0.9, "normal")
  expect_equal(unname(normal[1, ]),
               total(x) + c(-1, 1) * qnorm(0.95) * sd(t))
})

test_that("BCa intervals are those of package boot", {
  # boot.ci(conf, type = "bca", L = influence): positions among the sorted
  # replicates, to the two decimals that it gives, and the ends.
  published <- rbind(c(0.9, 33.49, 482, 32.5327943729302, 45.950216692269),
                     c(0.95, 18.11, 491.8, 30.5398787682872, 50.1589445882627))
  below <- mean(t < total(x))
  for (k in 1:2) {
    level <- published[k, 1]
    at <- bca_shares(below, acceleration, level)
    expect_equal(500 * at[1, ], published[k, 2:3], tolerance = 0.006 / 18)
    got <- bootstrap_interval(total(x), matrix(t), level, "bca", acceleration)
    # boot interpolates on the normal scale between neighbours.
    sorted <- sort(t)
    gap <- sorted[ceiling(500 * at)] - sorted[floor(500 * at)]
    expect_true(all(abs(got[1, ] - published[k, 4:5]) < 0.1 * gap + 1e-9))
  }
})

test_that("without bias and acceleration BCa is the percentile interval", {
  symmetric <- matrix(c(-250:-1, 1:250) / 100)
  expect_equal(bootstrap_interval(0, symmetric, 0.95, "bca", 0),
               bootstrap_interval(0, symmetric, 0.95, "percentile"))
})

test_that("what is fixed is known, and what is one-sided has no BCa", {
  fixed <- matrix(2, 50, 1)
  for (type in interval_types) {
    expect_equal(unname(bootstrap_interval(2, fixed, 0.95, type, 0)[1, ]),
                 c(2, 2))
  }
  expect_true(all(is.na(bootstrap_interval(9, matrix(1:50 / 10), 0.95, "bca",
                                           0))))
})

test_that("the acceleration is the jackknife's", {
  lung <- survival::lung[1:120, ]
  fit <- cox(Surv(time, status) ~ age + sex, lung, engine = "reference")
  b <- bootstrap(fit, 2, seed = 1)
  without <- t(vapply(1:120, function(i) {
    coef(survival::coxph(Surv(time, status) ~ age + sex, lung[-i, ]))
  }, c(0, 0)))
  jack <- -sweep(without, 2, colMeans(without))
  a <- colSums(jack^3) / (6 * colSums(jack^2)^1.5)
  # Influence against leaving out: of order 1 / n.
  expect_lt(max(abs(coefficient_acceleration(b) - a)), 0.01)
  expect_gt(max(abs(a)), 0.01)
})

test_that("moments give the acceleration of any contrast", {
  u <- cbind(sin(1:50), cos(1:50)^3, exp(-(1:50) / 9), log(1:50))
  contrasts <- rbind(c(1, 0, 2), c(0.3, -1, 0), c(0, 0, 0))
  direct <- u[, 2:4] %*% t(contrasts)
  a <- colSums(direct^3) / (6 * colSums(direct^2)^1.5)
  moments <- influence_moments(u, NULL, list(1:2, 2:4))
  expect_equal(contrast_acceleration(moments, 2, 2:4, contrasts),
               replace(a, 3, 0), tolerance = 1e-12)
  expect_equal(acceleration_of(diag(moments$squares), moments$cubes),
               colSums(u^3) / (6 * colSums(u^2)^1.5))
  # Within strata, influences are those of differences from the stratum.
  stratum <- rep(1:2, 25)
  centred <- u - apply(u, 2, ave, stratum)
  expect_equal(influence_moments(u, stratum, list())$squares,
               crossprod(centred))
})

test_that("generics answer for a bootstrap", {
  fit <- cox(Surv(time, status) ~ age + sex, survival::lung,
             engine = "reference")
  b <- bootstrap(fit, 25, seed = 1, method = "influence")
  expect_identical(coef(b), coef(fit))
  expect_equal(vcov(b), cov(b$coefficients), ignore_attr = TRUE)
  expect_identical(colnames(confint(b, level = 0.9)), c("5 %", "95 %"))
  expect_identical(confint(b, "sex"), confint(b)[2, , drop = FALSE])
  expect_identical(confint(b, 2:1), confint(b)[2:1, ])
  s <- summary(b, type = "normal")
  expect_equal(s[, "bias"], colMeans(b$coefficients) - coef(fit))
  expect_equal(unname(unclass(s)[, 4:5]),
               unname(confint(b, type = "normal")), ignore_attr = TRUE)
  for (parm in list("nobody", 3, TRUE, character())) {
    expect_error(confint(b, parm), class = "vigitensor_error_parm")
  }
  expect_error(confint(b, level = 2), class = "vigitensor_error_input")
  expect_error(confint(b, type = "basic"), class = "vigitensor_error_type")
  expect_snapshot(cran = TRUE, {
    b
    print(summary(b, type = "bca", level = 0.9))
  })
})
