# Every row of the tables of operations and reductions of PyKeOps and RKeOps, by
# name (tests/golden/keops-*.csv): what stands here for it is there, and right.
keops_rows <- function(file) {
  utils::read.csv(golden_path(file), colClasses = "character",
                  na.strings = character())
}

p <- symbolic_points(seed = 3)
x <- p$x + sign(p$x) / 2
y <- p$y
complex_points <- function(seed, n) {
  with_random_seed(seed, matrix(complex(modulus = exp(rnorm(2 * n) / 3),
                                        argument = runif(2 * n, -3, 3)), n))
}
z <- complex_points(4, 5)
w <- complex_points(5, 7)
place <- c(3, 1, 4, 4, 2)
s <- matrix(c(2, 1, 0, 1, 3, 0.5, 0, 0.5, 4), 3)

# What stands here, for data x; what it should be for each i and j.
entries_here <- function(row, x) {
  names <- list(X = Vi(x), Y = Vj(y), Z = Vi(z), W = Vj(w), S = Pm(s),
                place = place)
  eval(parse(text = row$here)[[1L]], names, parent.frame())
}
entry_there <- function(row, i, j) {
  names <- list(u = x[i, ], v = y[j, ], a = z[i, ], b = w[j, ], s = s, i = i,
                place = place)
  eval(parse(text = row$dense)[[1L]], names)
}

test_that("every operation of PyKeOps and RKeOps is there, and right", {
  rows <- keops_rows("keops-operations.csv")
  expect_gt(nrow(rows), 100L)
  for (k in seq_len(nrow(rows))) {
    row <- rows[k, ]
    for (evaluator in evaluators_here()) {
      withr::local_options(vigitensor.evaluator = evaluator)
      K <- entries_here(row, x) + 0 * Vi(x)[1] + 0 * Vj(y)[1]
      found <- as.array(K)
      expected <- found
      for (i in 1:5) for (j in 1:7) expected[i, j, ] <- entry_there(row, i, j)
      expect_equal(found, expected, tolerance = 1e-12,
                   info = paste(row$pykeops, evaluator))
    }
  }
})

test_that("every operation that has a derivative has it right", {
  rows <- keops_rows("keops-operations.csv")
  rows <- rows[rows$slope == "1", ]
  withr::local_options(vigitensor.evaluator = "reference")
  for (k in seq_len(nrow(rows))) {
    f <- function(x) {
      K <- entries_here(rows[k, ], x) + 0 * Vi(x)[1]
      sum(sin(as.array(K)))
    }
    v <- some_direction(x)
    expect_equal(sum(gradient(f, x) * v),
                 (f(x + 1e-5 * v) - f(x - 1e-5 * v)) / 2e-5,
                 tolerance = 1e-6, info = rows$pykeops[[k]])
  }
})

test_that("every reduction of PyKeOps and RKeOps is there, and right", {
  rows <- keops_rows("keops-reductions.csv")
  for (evaluator in evaluators_here()) {
    withr::local_options(vigitensor.evaluator = evaluator)
    names <- list(X = Vi(x), Y = Vj(y), D = sqdist(Vi(x), Vj(y)), x = x, y = y,
                  d = dense_sqdist(x, y), k = dense_sqdist(x, x))
    for (row in seq_len(nrow(rows))) {
      found <- eval(parse(text = rows$here[[row]])[[1L]], names)
      expected <- eval(parse(text = rows$dense[[row]])[[1L]], names)
      expect_equal(as.vector(found), as.vector(expected), tolerance = 1e-9,
                   info = paste(rows$pykeops[[row]], evaluator))
    }
  }
})

test_that("names that RKeOps exports and R does not have are those here", {
  rows <- rbind(keops_rows("keops-operations.csv")[c("rkeops", "here")],
                keops_rows("keops-reductions.csv")[c("rkeops", "here")])
  # R has these, but not as generics; or the other form says it all.
  other <- c("step", "ifelse", "atan2", "clampint")
  words <- unique(rows$rkeops[grepl("^[A-Za-z]", rows$rkeops)])
  for (name in setdiff(words, other)) {
    expect_true(exists(name, asNamespace("vigitensor")), info = name)
  }
})

test_that("kernels as text have gradients in all variables", {
  args <- c("x = Vi(3)", "y = Vj(3)", "s = Pm(1)")
  op <- keops_kernel("LogSumExp_Reduction(s * (x | y) - Exp(x | x), 1)", args)
  eta <- with_random_seed(6, matrix(rnorm(5), 5))
  at <- list(x = x, y = y, s = 0.7)
  for (name in names(at)) {
    f <- function(v) sum(eta * op(replace(at, name, list(v))))
    expect_equal(keops_grad(op, name)(c(at, list(eta))),
                 central_slopes(f, at[[name]]), tolerance = 1e-7, info = name)
  }
  turned <- op(list(t(x), t(y), 0.7), inner_dim = "row")
  expect_equal(turned, t(op(at)))
  expect_equal(keops_kernel("Sum_Reduction(Grad(Exp(-SqNorm2(x - y)), x), 1)",
                            args[1:2])(list(x, y)),
               sum(grad(exp(-sqdist(Vi(x), Vj(y))), Vi(x)), "j"))
  refused <- function(formula, input, code, ...) {
    expect_error(keops_kernel(formula, args, ...)(input),
                 class = paste0("vigitensor_error_", code))
  }
  refused("Sum_Reduction(", at, "bad_expression")
  refused("x + y", at, "bad_expression")
  refused("system(x)", at, "bad_expression")
  refused("Sum_Reduction(x, 1)", at[1:2], "bad_size")
  refused("Sum_Reduction(x, 1)", list(x[, 1:2], y, 1), "bad_size")
})

test_that("derivatives of formulas say what they cannot do", {
  X <- Vi(x)
  expect_error(grad(X, Vj(y)), class = "vigitensor_error_bad_operand")
  expect_error(grad(X, 1), class = "vigitensor_error_bad_operand")
  expect_error(grad(X, X, c(1, 2)), class = "vigitensor_error_bad_dimension")
  expect_error(laplacian(X, X), class = "vigitensor_error_bad_dimension")
  expect_error(divergence(X[1], X), class = "vigitensor_error_bad_dimension")
  expect_error(diff(X), class = "vigitensor_error_conversion")
  expect_error(factorize(x), class = "vigitensor_error_bad_type")
  # A variable may come twice, and derivatives are differentiated.
  expect_slopes(function(x) {
    K <- exp(-sqdist(Vi(x), Vj(y)) / 4) + Vi(x)[2]^3
    sum(sum(laplacian(K, Vi(x)) * Vj(y), "j")^2)
  }, x, 1e-6)
})
