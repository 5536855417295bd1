p <- symbolic_points(n = 12L, m = 14L, d = 2L)
p$x <- p$x[order(p$x[, 1]), ]
p$y <- p$y[order(p$y[, 1]), ]
d <- dense_sqdist(p$x, p$y)
D <- sqdist(Vi(p$x), Vj(p$y))
label_i <- floor(p$x[, 1])
label_j <- floor(p$y[, 1])

conditions <- function() {
  keep <- outer(unique(label_i), unique(label_j), "<=")
  gap <- col(d) - row(d)
  blocks <- matrix(FALSE, 12, 14)
  blocks[1:5, 1:3] <- blocks[1:5, 8:9] <- blocks[6:12, 4:14] <- TRUE
  list(
    band = list(symbolic_pairs(band = c(1, 2)), gap >= -1 & gap <= 2),
    triangle = list(symbolic_pairs(band = c(Inf, 0)), gap <= 0),
    radius = list(symbolic_pairs(radius = 1, x = p$x, y = p$y), d <= 1),
    labels = list(symbolic_pairs(labels_i = label_i, labels_j = label_j),
                  outer(label_i, label_j, "==")),
    keep = list(symbolic_pairs(labels_i = label_i, labels_j = label_j,
                               keep = keep), outer(label_i, label_j, "<=")),
    mask = list(Vi(p$x)[2] < Vj(p$y)[2], outer(p$x[, 2], p$y[, 2], "<")),
    blocks = list(symbolic_pairs(rows = rbind(c(1, 5), c(6, 12)),
                                 slices = c(2, 3),
                                 columns = rbind(c(1, 3), c(8, 9), c(4, 14))),
                  blocks),
    two = list(symbolic_pairs(band = c(3, 3), mask = D < 2),
               abs(gap) <= 3 & d < 2)
  )
}

test_that("reductions see the pairs that count, and no others", {
  for (name in names(conditions())) {
    case <- conditions()[[name]]
    keep <- case[[2L]]
    over <- function(f) matrix(vapply(1:12, function(i) f(d[i, keep[i, ]]), 0))
    expected <- list(
      sum = over(sum), mean = over(mean), prod = over(prod),
      logsumexp = over(function(v) log(sum(exp(v)))),
      min = suppressWarnings(over(min)), max = suppressWarnings(over(max)),
      count = over(function(v) sum(v != 0))
    )
    for (evaluator in evaluators_here()) {
      for (what in names(expected)) {
        found <- reduction(D, what, "j", evaluator = evaluator,
                           pairs = case[[1L]])
        expect_equal(found, expected[[what]], tolerance = 1e-12,
                     info = paste(name, what, evaluator))
      }
      expect_equal(sum(D, "i", evaluator = evaluator, pairs = case[[1L]]),
                   matrix(colSums(d * keep)), tolerance = 1e-12)
      near <- argmin(D, "j", evaluator, case[[1L]])
      expect_identical(near[, 1], vapply(1:12, function(i) {
        if (any(keep[i, ])) which.min(ifelse(keep[i, ], d[i, ], Inf)) else 0L
      }, 1L), info = paste(name, evaluator))
      expect_equal(variance(D, "j", evaluator = evaluator, pairs = case[[1L]]),
                   over(function(v) if (length(v) > 1) stats::var(v) else NaN),
                   tolerance = 1e-10)
    }
  }
})

test_that("gradients go through the pairs that count", {
  y <- p$y
  for (name in names(conditions())) {
    pairs <- conditions()[[name]][[1L]]
    f <- function(x) {
      K <- exp(-sqdist(Vi(x), Vj(y)) / 2)
      sum(sum(K, "j", pairs = pairs)^2) + sum(mean(K, index = "i",
                                                   pairs = D < 3))
    }
    at <- list(p$x)
    slopes <- withr::with_options(
      list(vigitensor.evaluator = "reference"),
      part_slopes(function(at) f(at[[1L]]), at)
    )
    along <- cos(p$x)
    for (evaluator in evaluators_here()) {
      withr::local_options(vigitensor.evaluator = evaluator)
      expect_equal(along_parts(list(gradient(f, p$x)), at), slopes,
                   tolerance = 1e-7, info = paste(name, evaluator))
    }
    h <- 1e-5
    expect_equal(hessian_vector(f, p$x, along),
                 (gradient(f, p$x + h * along) -
                    gradient(f, p$x - h * along)) / (2 * h),
                 tolerance = 1e-6, info = name)
  }
})

test_that("NaN can be left out", {
  gap <- log(Vi(c(1, 5)) - Vj(c(4, 1.5, 0, 3)))
  dense <- suppressWarnings(log(outer(c(1, 5), c(4, 1.5, 0, 3), "-")))
  for (evaluator in evaluators_here()) {
    expect_equal(sum(gap, "j", evaluator = evaluator, na.rm = TRUE),
                 matrix(rowSums(dense, na.rm = TRUE)))
    expect_equal(min(gap, "j", evaluator = evaluator, na.rm = TRUE),
                 matrix(apply(dense, 1, min, na.rm = TRUE)))
    expect_equal(mean(gap, index = "j", evaluator = evaluator, na.rm = TRUE),
                 matrix(rowMeans(dense, na.rm = TRUE)))
    expect_equal(reduction(gap, "variance", "j", evaluator = evaluator,
                           na.rm = TRUE)[2, ], stats::var(dense[2, ]))
  }
})

test_that("histograms count cells", {
  breaks <- c(0, 1, 2, 5, max(d))
  expected <- t(apply(d, 1, function(v) {
    hist(v, c(breaks), plot = FALSE, right = FALSE)$counts
  }))
  for (evaluator in evaluators_here()) {
    expect_equal(histogram(D, "j", breaks, evaluator = evaluator), expected)
    expect_equal(histogram(D, "j", c(0, 1, 2), weight = 1:14,
                           evaluator = evaluator),
                 cbind((d < 1) %*% 1:14, (d >= 1 & d < 2) %*% 1:14))
  }
  expect_error(histogram(D, "j", c(1, 0)),
               class = "vigitensor_error_bad_breaks")
})

test_that("clusters are cells of a grid", {
  cells <- symbolic_clusters(p$x, 0.8)
  sorted <- p$x[cells$order, ]
  for (k in seq_len(nrow(cells$ranges))) {
    mine <- seq(cells$ranges[k, 1], cells$ranges[k, 2])
    expect_identical(unique(cells$label[cells$order][mine]), k)
    expect_length(unique(apply(floor(sorted[mine, , drop = FALSE] / 0.8), 1,
                               paste, collapse = " ")), 1L)
    expect_equal(cells$centre[k, ], colMeans(sorted[mine, , drop = FALSE]))
  }
  expect_identical(sort(cells$order), 1:12)
})

test_that("faults of pairs are told apart", {
  bad <- function(...) {
    expect_error(..., class = "vigitensor_error_bad_structure")
  }
  bad(symbolic_pairs())
  bad(symbolic_pairs(band = 1))
  bad(symbolic_pairs(radius = 1))
  bad(symbolic_pairs(labels_i = 2:1, labels_j = 1:2))
  bad(sum(D, "j", pairs = d < 1))
  expect_error(
    sum(D, "j", pairs = symbolic_pairs(labels_i = 1:3, labels_j = 1:14)),
    class = "vigitensor_error_bad_size"
  )
})
