p <- symbolic_points()
x <- p$x
y <- p$y
# Values of a formula of i alone.
rows <- function(K) matrix(as.array(K), nrow(x))

test_that("operators work component by component, numbers on either side", {
  withr::local_options(vigitensor.evaluator = "reference")
  X <- Vi(x)
  expect_close(rows(X + 1), x + 1)
  expect_close(rows(1 - X), 1 - x)
  expect_close(rows(-X), -x)
  expect_close(rows(+X), x)
  expect_close(rows(2 / X), 2 / x)
  expect_close(rows(X * c(1, 2, 3)), t(t(x) * 1:3))
  expect_close(rows(X %% 0.7), x %% 0.7)
  expect_close(rows(X %/% 0.7), x %/% 0.7)
  expect_close(rows(X > 0 & X < 1), (x > 0 & x < 1) + 0)
  expect_close(rows((X > 1) | (X < 0)), (x > 1 | x < 0) + 0)
  expect_close(rows(!(X >= 0)), (x < 0) + 0)
  expect_close(rows((X == X) & (X != 0)), x * 0 + 1)
  expect_close(rows(X | X), matrix(rowSums(x^2)))
  for (n in c(-2, -1, -0.5, 0, 0.5, 1, 2, 3, 9, 0.3)) {
    expect_close(rows(abs(X)^n), abs(x)^n, info = n)
  }
  expect_close(rows(abs(X)^abs(X)), abs(x)^abs(x))
  expect_close(rows(2^X), 2^x)
})

test_that("functions of R are those of R", {
  u <- abs(x) / 4
  U <- Vi(u)
  for (name in c("abs", "sqrt", "exp", "log", "log2", "log10", "log1p", "expm1",
                 "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
                 "tanh", "floor", "ceiling", "trunc", "sign", "cospi", "sinpi",
                 "round")) {
    f <- get(name)
    for (evaluator in evaluators_here()) {
      withr::local_options(vigitensor.evaluator = evaluator)
      expect_equal(rows(f(U)), f(u), tolerance = 1e-13, info = name)
    }
  }
  expect_close(rows(round(U, 1)), round(u, 1))
  expect_close(rows(log(U, 3)), log(u, 3))
  expect_close(rows(sum(U)), matrix(rowSums(u)))
  expect_close(rows(prod(U)), matrix(apply(u, 1, prod)))
  expect_close(rows(max(U)), matrix(apply(u, 1, max)))
  expect_close(rows(min(U)), matrix(apply(u, 1, min)))
  expect_close(rows(mean(U)), matrix(rowMeans(u)))
  expect_close(rows(any(U > 0.2)), matrix(apply(u > 0.2, 1, any) + 0))
  expect_close(rows(argmax(U)), matrix(max.col(u) + 0))
  for (f in list(gamma, cumsum, signif, range)) {
    expect_error(f(U), class = "vigitensor_error_undefined")
  }
})

test_that("functions of the table are right on plain numbers", {
  v <- c(-1.5, 0, 0.4, 2)
  expect_identical(square(v), v^2)
  expect_identical(relu(v), pmax(v, 0))
  expect_identical(clamp(v, 0, 1), pmin(pmax(v, 0), 1))
  expect_identical(mod(v, 2, -1), v - 2 * floor((v + 1) / 2))
  expect_identical(where(v > 0, v, 0), pmax(v, 0))
  expect_identical(maximum(v, 0.1), pmax(v, 0.1))
  expect_identical(arctan2(v, 1), atan2(v, 1))
  expect_error(sqdist(v, v), class = "vigitensor_error_bad_type")
})

test_that("operations with places count from 1", {
  X <- Vi(x)
  withr::local_options(vigitensor.evaluator = "reference")
  expect_identical(rows(elem(X, 2)), x[, 2, drop = FALSE])
  expect_identical(rows(extract(X, 2, 2)), x[, 2:3])
  expect_identical(rows(elemT(X[1], 2, 3)), cbind(0, x[, 1], 0))
  expect_identical(rows(extractT(X[1:2], 2, 3)), cbind(0, x[, 1], x[, 2]))
  expect_identical(rows(one_hot(Vi(c(1, 3, 2, 2, 1)), 3)),
                   diag(3)[c(1, 3, 2, 2, 1), ])
  expect_identical(rows(concat(X, 7, c(8, 9))), unname(cbind(x, 7, 8, 9)))
  expect_error(elem(X, 0), class = "vigitensor_error_bad_place")
  expect_error(elem(X, 4), class = "vigitensor_error_bad_place")
})

test_that("tensors are multiplied as arrays of R would be", {
  withr::local_options(vigitensor.evaluator = "reference")
  a <- matrix(1:6 + 0, 2)
  b <- matrix(c(2, 0, 1, 5, 3, 1), 3)
  # Row by row, as matrices are within a vector.
  A <- Pm(a)
  B <- Pm(b)
  one <- function(K) as.vector(as.array(K + 0 * Vi(1)))
  expect_identical(one(matvecmult(A, c(1, 2, 3))), as.vector(a %*% 1:3))
  expect_identical(one(vecmatmult(c(1, 2), A)), as.vector(c(1, 2) %*% a))
  expect_identical(one(tensorprod(Pm(c(1, 2)), c(3, 4, 5))),
                   as.vector(t(outer(c(1, 2), c(3, 4, 5)))))
  expect_identical(one(tensordot(A, B, c(2, 3), c(3, 2), 2, 1)),
                   as.vector(t(a %*% b)))
  expect_identical(one(tensordot(A, B, c(2, 3), c(3, 2), 1, 2)),
                   as.vector(t(t(a) %*% t(b))))
  expect_identical(one(kron(A, B, c(2, 3), c(3, 2))),
                   as.vector(t(kronecker(a, b))))
  expect_error(tensordot(A, B, c(2, 3), c(3, 2), 1, 1),
               class = "vigitensor_error_bad_dimension")
  weight <- Pm(matrix(c(2, 1, 1, 3), 2))
  expect_identical(one(weightedsqnorm(Pm(c(1, 2)), weight)),
                   18)
})

test_that("splines are those of the package splines", {
  knots <- c(0, 0, 0, 0, 1, 2, 3, 3, 3, 3)
  at <- c(0.1, 0.5, 1.7, 2.2, 2.9)
  for (degree in c(1L, 3L)) {
    use <- if (degree == 3L) knots else 0:4
    found <- bspline(use, Vi(at), degree)
    dense <- splines::splineDesign(use, at, degree + 1, outer.ok = TRUE)
    expect_close(rows(found), unname(dense))
  }
  expect_error(bspline(1:3, Vi(at), 3),
               class = "vigitensor_error_bad_dimension")
})

test_that("complex arithmetic is that of R", {
  z <- complex(real = x[, 1], imaginary = x[, 2])
  w <- complex(real = x[, 3], imaginary = x[, 1])
  Z <- Vi(z)
  W <- Vi(w)
  one <- function(K) as.vector(as.array(K))
  for (f in list(`+`, `-`, `*`, `/`)) {
    expect_close(one(f(Z, W)), f(z, w))
    expect_close(one(f(Z, 2)), f(z, 2))
    expect_close(one(f(1 + 2i, Z)), f(1 + 2i, z))
    expect_close(one(f(Vi(x[, 1]), Z)), f(x[, 1], z))
  }
  for (f in list(Re, Im, Mod, Arg, Conj, exp, abs, log, `-`, sqrt, sin, cos,
                 tan, sinh, cosh, tanh)) {
    expect_close(one(f(Z)), f(z))
  }
  for (k in list(0, 1, 2, -3, 8, 0.5, -0.5, 1.7, 1 + 2i)) {
    expect_close(one(Z^k), z^k, info = k)
  }
  expect_close(one(Z^W), z^w)
  expect_close(one(2^Z), 2^z)
  expect_close(one(log(Z, 3)), log(z, 3))
  expect_close(one(log10(Z)), log10(z))
  expect_close(one(sqrt(Vi(c(0, -4) + 0i))), c(0, 2i))
  expect_close(one(exp1j(Vi(x[, 1]))), exp(1i * x[, 1]))
  expect_close(one(real2complex(Vi(x[, 1]))), x[, 1] + 0i)
  expect_close(one(Vi(x) + Z), as.vector(x + z))
  expect_close(one(Z == W), (z == w) + 0)
  expect_error(Z < W, class = "vigitensor_error_bad_operand")
  expect_error(asin(Z), class = "vigitensor_error_bad_operand")
  expect_error(sqdist(Z, W), class = "vigitensor_error_bad_operand")
  expect_false(inherits(Re(Z), "ComplexLazyTensor"))
})

test_that("tables are looked up, by a place or by both indices", {
  table <- matrix(1:8 + 0.5, 4)
  at <- c(3, 1, 4, 4, 2)
  A <- with_random_seed(4, matrix(rnorm(35), 5))
  d <- dense_sqdist(x, y)
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_close(rows(lookup(Vi(at), table)), table[at, ])
    expect_close(sum(Vij(A) * sqdist(Vi(x), Vj(y)), "j"),
                 matrix(rowSums(A * d)))
    expect_close(sum(Vij(t(A)) * sqdist(Vi(y), Vj(x)), "j"),
                 matrix(colSums(A * d)))
  }
  expect_equal(gradient(function(A) sum(sum(Vij(A)^2, "i")), A), 2 * A)
  expect_equal(gradient(function(v) sum(sum(lookup(Vi(at), v), "i")), table),
               matrix(c(1, 1, 1, 2), 4, 2))
  expect_error(Vij(1:3), class = "vigitensor_error_bad_shape")
})

test_that("operands that say too little are refused", {
  expect_error(Vi(x) + x, class = "vigitensor_error_bad_operand")
  expect_error(Vi(x) + "a", class = "vigitensor_error_bad_operand")
  expect_error(Vi(x) + NA, class = "vigitensor_error_missing")
  expect_error(Vi(x) + numeric(), class = "vigitensor_error_bad_operand")
})

test_that("matrices of both indices go everywhere, with gradient", {
  A <- with_random_seed(4, matrix(rnorm(35), 5))
  B <- with_random_seed(5, array(rnorm(70), c(5, 7, 2)))
  d <- dense_sqdist(x, y)
  f <- function(A) sum(sin(sum(Vij(A)^2 * sqdist(Vi(x), Vj(y)), "j")))
  near <- function(A) sum(min(Vij(A) + Vi(x)[1], index = "i")^2)
  masked <- function(A) {
    sum(reduction(Vij(A)^3, "sum", "j", pairs = symbolic_pairs(band = c(1, 2))))
  }
  many <- function(B) sum(logsumexp(Vij(B) * Vi(x)[1:2], "j")^2)
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    K <- Vij(A) * sqdist(Vi(x), Vj(y))
    expect_identical(dim(K), c(5L, 7L, 1L))
    expect_close(as.matrix(K), A * d)
    expect_close(as.matrix(t(K)), t(A * d))
    expect_close(K[2:3, c(1, 4)], (A * d)[2:3, c(1, 4)])
    expect_close(diagonal(Vij(A[, 1:5]) + Vi(x)[1]), diag(A[, 1:5]) + x[, 1])
    expect_close(as.array(Vij(B)), B)
    expect_close(as.array(t(Vij(B))), aperm(B, c(2, 1, 3)))
    expect_identical(argmax(K, "j")[, 1], apply(A * d, 1, which.max))
    expect_slopes(f, A, 1e-6)
    expect_slopes(near, A, 1e-6)
    expect_slopes(masked, A, 1e-6)
    expect_slopes(many, B, 1e-6)
    v <- some_direction(A)
    expect_equal(hessian_vector(f, A, v),
                 (gradient(f, A + 1e-5 * v) - gradient(f, A - 1e-5 * v)) / 2e-5,
                 tolerance = 1e-6)
  }
  expect_match(format(Vij(A))[[3L]], "5 x 7, by i and j")
})

test_that("softdtw_sqdist() is the recursion written out", {
  soft <- function(u, v, gamma) {
    r <- matrix(Inf, length(u) + 1L, length(v) + 1L)
    r[1L, 1L] <- 0
    for (a in seq_along(u)) for (b in seq_along(v)) {
      ways <- c(r[a, b], r[a, b + 1L], r[a + 1L, b])
      r[a + 1L, b + 1L] <- (u[[a]] - v[[b]])^2 -
        gamma * log(sum(exp(-ways / gamma)))
    }
    r[length(u) + 1L, length(v) + 1L]
  }
  z <- y[, c(1, 3)]
  expected <- outer(1:5, 1:7, Vectorize(function(i, j) {
    soft(x[i, ], z[j, ], 0.4)
  }))
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    expect_close(as.matrix(softdtw_sqdist(Vi(x), Vj(z), 0.4)), expected)
    f <- function(p) {
      sum(sum(softdtw_sqdist(Vi(p$x), Vj(z), Pm(p$gamma)), "j")^2)
    }
    expect_slopes(function(g) f(list(x = x, gamma = g)), 0.4, 1e-6)
    expect_slopes(function(x) f(list(x = x, gamma = 0.4)), x, 1e-6)
  }
  expect_error(softdtw_sqdist(1, 2, 3), class = "vigitensor_error_bad_type")
})
