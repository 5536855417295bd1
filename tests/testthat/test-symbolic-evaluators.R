# Evaluators "torch" and "keops" on the table of operations, against
# "reference".

evaluator_there <- function(evaluator) {
  if (!engine_available()) return(FALSE)
  package <- c(torch = "torch", keops = "pykeops")[[evaluator]]
  missing <- .engine$bridge$missing(list(package))
  length(unlist(reticulate::py_to_r(missing))) == 0L
}

# One formula of each operation: value of its sum, and the gradient in all data.
expect_table_agrees <- function(evaluator, names) {
  for (name in names) {
    case <- with_random_seed(1, operation_case(name))
    index <- if (is.na(case$node$m)) "i" else "j"
    f <- function(data, evaluator) {
      node <- rebuild_node(case$node, function(leaf) {
        k <- which(vapply(case$leaves, identical, NA, leaf))
        new_leaf(data[[k]], leaf$index)
      })
      sum(sin(reduce_lazy(new_lazy(node), "sum", index,
                          evaluator = evaluator)))
    }
    data <- lapply(case$leaves, `[[`, "data")
    expect_equal(value_and_gradient(f, data, evaluator),
                 value_and_gradient(f, data, "reference"),
                 tolerance = 1e-10, info = paste(evaluator, name))
  }
}

expect_reductions_agree <- function(evaluator, names) {
  p <- symbolic_points()
  D <- sqdist(Vi(p$x), Vj(p$y))
  for (name in names) for (index in c("i", "j")) {
    expect_equal(reduction(D, name, index, K = 2, evaluator = evaluator),
                 reduction(D, name, index, K = 2, evaluator = "reference"),
                 tolerance = 1e-10, info = paste(evaluator, name, index))
  }
}

test_that("torch agrees on every operation and reduction", {
  skip_if_no_engine()
  if (!evaluator_there("torch")) skip("torch is not installed")
  expect_table_agrees("torch", names(symbolic_table()))
  some <- setdiff(names(reduction_table),
                  c("variance", "sumsoftmaxweight", "histogram"))
  expect_reductions_agree("torch", some)
  p <- symbolic_points()
  K <- exp(-sqdist(Vi(p$x), Vj(p$x)))
  expect_equal(solve(K, p$x, 0.1, evaluator = "torch", tolerance = 1e-12),
               solve(K, p$x, 0.1, evaluator = "reference"), tolerance = 1e-9)
  withr::local_options(vigitensor.evaluator = "torch")
  dense <- exp(-dense_sqdist(p$x, p$x))
  expect_equal(K[2:3, ], dense[2:3, ], tolerance = 1e-12)
  expect_equal(K[, 4], dense[, 4], tolerance = 1e-12)
  expect_equal(as.matrix(K), dense, tolerance = 1e-12)
  expect_equal(diagonal(K * Vi(p$x)), p$x, tolerance = 1e-12)
  withr::with_options(list(vigitensor.device = "nowhere"), {
    expect_error(K[1, 1], class = "vigitensor_error_no_device")
  })
  expect_equal(eigs(K, 2, evaluator = "torch")$values,
               eigs(K, 2, evaluator = "reference")$values, tolerance = 1e-7)
})

test_that("PyKeOps agrees where it is installed, and is named elsewhere", {
  skip_if_no_engine()
  if (!evaluator_there("keops")) {
    p <- symbolic_points()
    D <- sqdist(Vi(p$x), Vj(p$y))
    error <- expect_error(reduction(D, "sum", "j", evaluator = "keops"),
                          class = "vigitensor_error_no_engine")
    return(expect_match(conditionMessage(error), "keops", ignore.case = TRUE))
  }
  # It compiles 20 seconds for each formula, and two or three of them for each
  # name.
  names <- if (in_full()) names(symbolic_table()) else
    c("sqdist", "powf", "norm2", "clamp", "where", "elem_t", "concat",
      "matvecmult", "weightedsqdist", "tensordot", "bspline", "complex_mul")
  expect_table_agrees("keops", names)
  expect_reductions_agree("keops", if (in_full()) c("sum", "logsumexp", "min",
                                                    "argmin", "kmin") else
                                                      "sum")
})
