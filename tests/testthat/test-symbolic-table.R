# Every operation of the table: the two evaluators, and derivatives against
# central differences. A new row gets all of this by being there.

test_that("the evaluators agree on every operation", {
  skip_if_no_engine()
  for (name in names(symbolic_table())) {
    case <- with_random_seed(1, operation_case(name))
    K <- new_lazy(case$node)
    index <- if (is.na(case$node$m)) "i" else "j"
    found <- lapply(c("reference", "cpu"), function(evaluator) {
      list(reduce_lazy(K, "sum", index, evaluator = evaluator),
           withr::with_options(list(vigitensor.evaluator = evaluator),
                               as.array(K)))
    })
    expect_equal(found[[1L]], found[[2L]], tolerance = 1e-12, info = name)
  }
})

test_that("compiled kernels agree as well", {
  skip_if_no_engine()
  # More pairs than NumPy is used for. Compiling all takes minutes.
  names <- if (in_full()) names(symbolic_table()) else
    c("powf", "weightedsqdist")
  for (name in names) {
    case <- with_random_seed(2, operation_case(name, 90L, 100L))
    if (is.na(case$node$m)) {
      more <- new_leaf(matrix(runif(100), 100), "j")
      case$node <- apply_op("concat", case$node, more)
    }
    K <- new_lazy(case$node)
    found <- lapply(c("reference", "cpu"), function(evaluator) {
      reduce_lazy(K, "sum", "j", evaluator = evaluator)
    })
    expect_equal(found[[1L]], found[[2L]], tolerance = 1e-11, info = name)
  }
})

test_that("gradients of every operation are right, by both evaluators", {
  for (name in names(symbolic_table())) {
    case <- with_random_seed(3, operation_case(name))
    index <- if (is.na(case$node$m)) "i" else "j"
    rebuilt <- function(data) {
      rebuild_node(case$node, function(leaf) {
        k <- which(vapply(case$leaves, identical, NA, leaf))
        new_leaf(data[[k]], leaf$index)
      })
    }
    data <- lapply(case$leaves, `[[`, "data")
    kept <- if (index == "j") case$node$n else case$node$m
    rows <- if (is.na(kept)) 1L else kept
    weights <- with_random_seed(4, matrix(rnorm(rows * case$node$dim), rows))
    f <- function(data, evaluator) {
      sum(weights * reduce_lazy(new_lazy(rebuilt(data)), "sum", index,
                                evaluator = evaluator))
    }
    # Steps of floor() and the like stand still; so do places.
    still <- if (case$op$domain %in% c("binary", "index")) seq_along(data)
    if (name == "where") still <- 1L
    slopes <- part_slopes(function(data) f(data, "reference"), data, still)
    for (evaluator in evaluators_here()) {
      found <- gradient(f, data, evaluator = evaluator)
      expect_equal(along_parts(found, data), slopes, tolerance = 1e-6,
                   info = paste(name, evaluator))
    }
  }
})

test_that("golden numbers come out of both evaluators", {
  golden <- jsonlite::fromJSON(test_path("..", "golden", "symbolic.json"),
                               simplifyVector = FALSE)
  as_rows <- function(x) do.call(rbind, lapply(x, unlist))
  data <- lapply(golden$data, function(x) {
    if (is.list(x[[1L]])) as_rows(x) else matrix(unlist(x), 1L)
  })
  leaves <- Map(new_leaf, data, golden$index)
  read <- function(e) {
    if (is.numeric(e)) return(number_node(e))
    if (e[[1L]] == "var") return(leaves[[e[[2L]] + 1L]])
    arity <- symbolic_table()[[e[[1L]]]]$arity
    apply_op_list(e[[1L]], lapply(e[1L + seq_len(arity)], read),
                  as.integer(unlist(e[-seq_len(arity + 1L)])))
  }
  for (case in golden$cases) {
    K <- new_lazy(read(case$expression))
    weight <- if (!is.null(case$weight)) new_lazy(read(case$weight))
    for (evaluator in evaluators_here()) {
      value <- function(K) {
        reduce_lazy(K, case$reduction, case$axis, case$k %||% 1L, weight,
                    evaluator = evaluator)
      }
      found <- if (is.null(case$gradient)) value(K) else {
        at <- leaves[[case$gradient + 1L]]
        gradient(function(x) {
          sum(value(new_lazy(rebuild_node(node_of(K), function(leaf) {
            if (identical(leaf, at)) new_leaf(x, at$index) else leaf
          }))))
        }, at$data)
      }
      expect_equal(found + 0, as_rows(case$value), tolerance = 1e-12,
                   info = paste(case$name, evaluator))
    }
  }
})

test_that("the table is read as it is written", {
  table <- symbolic_table()
  expect_gt(length(table), 90L)
  expect_identical(table$sqdist$arity, 2L)
  expect_identical(table$extract$static, c("k", "d"))
  expect_identical(table$mul$derivative, c("g * b", "g * a"))
  expect_identical(operation_of_r(c("exp", "Mod"), TRUE),
                   c("complex_exp", "complex_abs"))
})
