p <- symbolic_points()

test_that("data of all kinds are wrapped", {
  x <- p$x
  frame <- as.data.frame(x)
  for (data in list(x, frame, unname(frame))) {
    expect_identical(dim(Vi(data)), c(5L, NA, 3L))
    expect_identical(node_of(Vj(data))$data[, 2L], x[, 2L])
  }
  expect_identical(dim(Vi(1:4)), c(4L, NA, 1L))
  expect_identical(dim(Pm(1:4)), c(NA_integer_, NA_integer_, 4L))
  expect_identical(dim(LazyTensor(x, "j")), c(NA, 5L, 3L))
  expect_identical(dim(LazyTensor(2)), c(NA_integer_, NA_integer_, 1L))
  expect_identical(length(Vi(x)), 3L)
  # A parameter matrix is read row by row.
  expect_identical(node_of(Pm(matrix(1:4 + 0, 2)))$data,
                   matrix(c(1, 3, 2, 4), 1L))
  z <- complex(real = 1:2, imaginary = 3:4)
  expect_identical(node_of(Vi(z))$data, cbind(c(1, 2), c(3, 4)))
  expect_identical(dim(Vi(z)), c(2L, NA, 1L))
  expect_true(inherits(Vi(z), "ComplexLazyTensor"))
  # Nothing is copied that need not be.
  expect_identical(rlang::obj_address(node_of(Vi(x))$data),
                   rlang::obj_address(x))
})

test_that("what cannot be wrapped is refused with the reason", {
  x <- p$x
  x[c(2, 4), 1] <- NA
  error <- expect_error(Vi(x), class = "vigitensor_error_missing")
  expect_identical(error$rows, c(2L, 4L))
  expect_match(conditionMessage(error), "rows 2; 4")
  expect_error(Vj(c(1, NaN)), class = "vigitensor_error_missing")
  expect_no_error(Vj(c(1, Inf)))
  expect_error(Vi("a"), class = "vigitensor_error_bad_type")
  expect_error(Vi(factor(1)), class = "vigitensor_error_bad_type")
  error <- expect_error(Vi(data.frame(a = 1, b = "x")),
                        class = "vigitensor_error_bad_type")
  expect_match(conditionMessage(error), "Not numeric: b")
  expect_error(Vi(Vi(1)), class = "vigitensor_error_bad_type")
  expect_error(Vi(matrix(0, 2, 0)), class = "vigitensor_error_bad_shape")
  expect_error(LazyTensor(1, "k"), class = "vigitensor_error_bad_index")
})

test_that("a print shows the formula and sizes, never data", {
  x <- p$x
  y <- p$y
  expect_snapshot({
    exp(-sqdist(Vi(x), Vj(y)) / 2)
    Vi(x)[2] * Pm(c(3, 4, 5))
    sum((Vi(x) | Vj(x)) > 0.5 & Vi(x)[1] < 0)
    Vi(1i * 1:3)
    t(Vi(x) + 1)
  })
  expect_false(any(grepl("0[.][0-9]{3}", format(Vi(x) * Vj(x)))))
})

test_that("an object survives saveRDS() with its shared parts", {
  D <- sqdist(Vi(p$x), Vj(p$y))
  for (k in 1:30) D <- D / 2 + D
  file <- withr::local_tempfile()
  saveRDS(D, file)
  expect_lt(file.size(file), 1e5)
  back <- readRDS(file)
  expect_equal(sum(back, "j", evaluator = "reference"),
               sum(D, "j", evaluator = "reference"))
})

test_that("conversions that would be nonsense are refused", {
  K <- sqdist(Vi(p$x), Vj(p$y))
  for (f in list(is.na, as.numeric, as.integer, as.logical, as.character,
                 as.vector, sort, rev, unique, stats::median, as.list,
                 as.data.frame)) {
    expect_error(f(K), class = "vigitensor_error_conversion")
  }
  expect_error(K$node, class = "vigitensor_error_conversion")
  expect_error(K[[1]], class = "vigitensor_error_conversion")
  expect_error(K[1] <- 2, class = "vigitensor_error_conversion")
  expect_error(c(K, K), class = "vigitensor_error_conversion")
  # These go through base functions; no result is the point.
  expect_error(ifelse(K, 1, 2))
  expect_error(which.min(K))
  expect_error(stats::sd(K))
})

test_that("no name of base R is masked", {
  exports <- getNamespaceExports("vigitensor")
  base <- unlist(lapply(c("base", "stats", "utils", "graphics", "methods"),
                        function(p) ls(asNamespace(p), all.names = TRUE)))
  base <- intersect(base, unlist(lapply(
    c("base", "stats", "utils", "graphics", "methods"),
    getNamespaceExports
  )))
  ours <- exports[!startsWith(exports, ".__")]
  own <- Filter(function(name) {
    where <- environment(get(name, asNamespace("vigitensor")))
    identical(where, asNamespace("vigitensor"))
  }, intersect(ours, base))
  expect_identical(own, character())
})

test_that("a formula written in one pass is the one written in general", {
  X <- Vi(p$x)
  Y <- Vj(p$y)
  alike <- list(exp(-sqdist(X, Y) / 2), elem(X, 2) + X * 3, Y[c(3, 1, 2)] + X,
                extract(X, 1, 2) | c(1, 2), round(X / Y, 2)^3)
  for (K in alike) {
    found <- simple_formula(node_of(K))
    general <- written_formula(node_of(K), NULL, NULL)
    expect_identical(found$expression, general$expression)
    expect_identical(found$leaves, general$leaves)
  }
  # Parts that are used twice are written once; data may be.
  D <- sqdist(X, Y)
  expect_null(simple_formula(node_of(D * exp(-D))))
  expect_match(symbolic_formula_of(node_of(D * exp(-D)))$expression, "let")
  expect_length(simple_formula(node_of(X + X * X))$leaves, 1L)
})

test_that("errors name what was called", {
  X <- Vi(p$x)
  Y <- Vj(p$y)
  said <- function(code, class, text) {
    error <- expect_error(code, class = paste0("vigitensor_error_", class))
    expect_match(conditionMessage(error), text, fixed = TRUE)
  }
  said(sqdist(X, Vj(matrix(1, 7, 2))), "bad_dimension", "`sqdist`")
  said(X | Vj(matrix(1, 7, 2)), "bad_dimension", "`|`")
  said(X * Vi(p$y), "bad_size", "`*`")
  said(weightedsqnorm(X, c(1, 2)), "bad_dimension", "takes 1, 3 or 9 weights")
  said(logsumexp(sqdist(X, Y)), "bad_index", "\"j\"")
  said(Kmin(sqdist(X, Y), 2), "bad_index", "\"i\"")
})
