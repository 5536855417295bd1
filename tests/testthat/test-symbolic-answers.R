# Functions of R that know nothing of traced arrays, inside gradient().
x <- matrix(c(2, 1, 0.5, 3, 1.1, 4, -1, 0.3, 1.7), 3)
v <- c(1.2, -0.4, 2)
definite <- function(x) crossprod(x) + diag(3)

test_that("products, choices and shapes of R are differentiated", {
  cases <- list(
    function(x) sum(crossprod(x)^3) + sum(crossprod(x, x^2)^2),
    function(x) sum(tcrossprod(x)^2) + sum(tcrossprod(x, matrix(1:6, 2))^2),
    function(x) sum(crossprod(x[, 1], x)^2) + sum(tcrossprod(x, t(1:3))^2),
    function(x) sum(outer(x[, 1], 1:2)^2) + sum(x %o% x[1, ]),
    function(x) sum(outer(1:2, x, function(a, b) a * b^2)^2),
    function(x) sum(kronecker(x, diag(2))^2),
    function(x) sum(pmax(x, 0.7)^2) + sum(pmin(1.05, x)^2),
    function(x) sum(pmax(x[, 1], 1.5, x[, 3])^2),
    function(x) sum(ifelse(x > 0.7, x^2, 3 * x)),
    function(x) sum(ifelse(1:3 > 1, 0, x[, 2])^2),
    function(x) sum(apply(x, 1, function(r) sum(r^3))),
    function(x) sum(apply(x, 2, function(r) r^3)[1, ] * 1:3),
    function(x) sum(diag(x)^2) + sum(diag(x[, 1])[2, ]^2),
    function(x) sum(rbind(1, x)^2) + sum(cbind(1, x[, 1], x)^3),
    function(x) {
      drop(x[, 1, drop = FALSE]) %*% drop(x[, 2, drop = FALSE])
    },
    function(x) sum(matrix(x, 3, byrow = TRUE)[1, ]^2),
    function(x) sum(array(x, c(2, 3))[2, ]^2) + sum(as.numeric(x)^2 * 1:9),
    function(x) sum(rep(x[, 1], each = 2)^2 * 1:6) + sum(rev(x) * 1:9),
    function(x) sum(rep_len(x, 11)^2 * 1:11) + sum(as.vector(x)^2 * 1:9),
    function(x) sum(sort(x) * 1:9) + sum(x[order(x)]^2 * 1:9),
    function(x) stats::median(x) + diff(range(x)) + x[which.max(x)]^2,
    function(x) sum(diff(x)^2) + sum(diff(x[, 1], 2)^2),
    function(x) stats::var(x[, 1]) + sum(stats::var(x)^2) + stats::sd(x),
    function(x) sum(sapply(1:3, function(k) x[k, 1]^2)), # nolint
    function(x) sum(sapply(1:3, function(k) x[k, ]^2)[1, ]), # nolint
    function(x) sum(vapply(1:3, function(k) x[k, 1]^2, 0)),
    function(x) sum(mapply(function(a, b) a * b^2, x[, 1], x[, 2])),
    function(x) sum(unlist(lapply(x, function(a) a^3))),
    function(x) sum(do.call(rbind, lapply(1:3, function(k) x[k, ]^2))),
    function(x) sum(sweep(x, 2, colMeans(x))^2),
    function(x) sum(c(1, x)^2) + max(0, x)^2 + sum(1, x) * prod(2, x[1, ]),
    function(x) {
      x[1] <- 0
      x[2, ] <- x[3, ]^2
      x[[5]] <- x[[9]] * x[[8]]
      sum(x^2 * 1:9)
    },
    function(x) {
      stopifnot(is.numeric(x), all(is.finite(x)), !anyNA(x), !is.na(x[1]))
      sum(x[!duplicated(x)]^2) + nchar(paste(format(x[1])))
    }
  )
  for (k in seq_along(cases)) {
    expect_slopes(cases[[k]], x, 1e-6, info = k)
    again <- (gradient(cases[[k]], x + 1e-5 * cos(x)) -
                gradient(cases[[k]], x - 1e-5 * cos(x))) / 2e-5
    expect_equal(hessian_vector(cases[[k]], x, cos(x)), again,
                 tolerance = 1e-5, info = k)
  }
  # The value is that of R.
  for (k in seq_along(cases)) {
    expect_equal(value_and_gradient(cases[[k]], x)$value,
                 as.vector(cases[[k]](x)), info = k)
  }
  expect_identical(gradient(function(x) x["b"]^2 * x[["a"]], c(a = 1, b = 2)),
                   c(a = 4, b = 4))
})

test_that("linear algebra is differentiated", {
  cases <- list(
    function(x) det(definite(x)),
    function(x) as.numeric(determinant(definite(x))$modulus),
    function(x) sum(chol(definite(x))^3) +
      2 * sum(log(diag(chol(definite(x))))),
    function(x) sum(solve(definite(x))^2),
    function(x) sum(solve(definite(x), x[, 1])^2),
    function(x) sum(solve(diag(3) + 1, x)^2)
  )
  for (k in seq_along(cases)) {
    expect_slopes(cases[[k]], x, 1e-6, info = k)
    again <- (gradient(cases[[k]], x + 1e-5 * cos(x)) -
                gradient(cases[[k]], x - 1e-5 * cos(x))) / 2e-5
    expect_equal(hessian_vector(cases[[k]], x, cos(x)), again,
                 tolerance = 1e-5, info = k)
  }
  # R's chol() reads the upper triangle alone.
  expect_slopes(function(x) sum(chol(x)^2 * 1:9), definite(x), 1e-6)
})

test_that("functions that f calls are answered as well", {
  helper <- function(z) crossprod(z)^3 + outer(z[, 1], z[, 2])
  expect_slopes(function(x) sum(helper(x)), x, 1e-6)
  within <- function(z) pmax(z, 0.7) * ifelse(z > 1.05, z, 0)
  expect_slopes(function(x) sum(within(x)), x, 1e-6)
})

test_that("all others are errors that name what the user called", {
  refused <- list(
    svd = function(x) sum(svd(x)$d), qr = function(x) qr(x)$rank,
    eigen = function(x) eigen(x)$values[1], fft = function(x) sum(fft(x)),
    scale = function(x) sum(scale(x)), cumprod = function(x) sum(cumprod(x)),
    quantile = function(x) stats::quantile(x, 0.3),
    cor = function(x) stats::cor(x[, 1], x[, 2]),
    dist = function(x) sum(stats::dist(x)),
    max.col = function(x) sum(max.col(x)), Re = function(x) sum(Re(x)),
    as.integer = function(x) sum(as.integer(x)),
    is.element = function(x) is.element(1, x),
    rowsum = function(x) sum(rowsum(x, c(1, 1, 2))),
    backsolve = function(x) sum(backsolve(x, 1:3)),
    dnorm = function(x) sum(stats::dnorm(x)),
    seq = function(x) sum(seq(x[1], 5)), norm = function(x) norm(x),
    data.frame = function(x) nrow(data.frame(x)), cat = function(x) cat(x),
    filter = function(x) sum(stats::filter(x[, 1], 1)),
    `%%` = function(x) sum(x %% 2)
  )
  for (name in names(refused)) {
    error <- expect_error(gradient(refused[[name]], x),
                          class = "vigitensor_error", info = name)
    expect_match(conditionMessage(error), sprintf("`%s", name), fixed = TRUE)
    expect_identical(error$arg, name)
  }
  # Where R gives a list in silence, the next step says so.
  list_of <- function(z) max(0, z) + sum(c(1, z))
  error <- expect_error(gradient(function(x) list_of(x), x),
                        class = "vigitensor_error_undefined")
  expect_match(conditionMessage(error), "`max()`", fixed = TRUE)
  # Errors of the user's own are left alone.
  expect_error(gradient(function(x) stop("mine"), x), "^mine$")
  expect_error(gradient(function(x) log("a"), x), "non-numeric")
})

test_that("f keeps its own functions, and its environment", {
  drop <- function(x) 7
  expect_identical(gradient(function(x) drop(x) * sum(x), 1:2), c(7, 7))
  count <- 0
  f <- function(x) {
    count <<- count + 1 # nolint
    sum(c(x, 1)^2)
  }
  expect_identical(gradient(f, 1:2), c(2, 4))
  expect_identical(count, 1)
  expect_identical(gradient(sum, 1:3), c(1, 1, 1))
  expect_identical(value_and_gradient(function(x) {
    x * sum(vapply(c(a = 1, b = 2), function(k) k, 0), unlist(list(3)),
            rep_len(1, 2), c(1, 2), max(1, 2), which.max(c(1, 3)))
  }, 2)$gradient, 15)
})

test_that("a LazyTensor is taken by these, or refused by name", {
  withr::local_options(vigitensor.evaluator = "reference")
  K <- exp(-sqdist(Vi(x), Vj(x)))
  d <- as.matrix(K)
  expect_equal(as.matrix(pmax(K, 0.5)), pmax(d, 0.5))
  expect_equal(as.matrix(pmin(0.5, K, 0.6)), pmin(d, 0.5))
  expect_equal(rowSums(K), rowSums(d))
  expect_equal(colMeans(K), colMeans(d))
  expect_equal(head(K, 2)[, , 1], head(d, 2))
  expect_equal(svd(K)$d, svd(d)$d)
  refused <- list(
    ifelse = function(K) ifelse(K > 0.5, K, 0), det = function(K) det(K),
    diag = function(K) diag(K), lapply = function(K) lapply(K, sum),
    cbind = function(K) cbind(K, 1), rbind = function(K) rbind(1, K),
    paste = function(K) paste(K), matrix = function(K) matrix(K, 1),
    sd = function(K) stats::sd(K), `is.finite` = function(K) is.finite(K),
    order = function(K) order(K), median = function(K) stats::median(K)
  )
  for (name in names(refused)) {
    error <- expect_error(refused[[name]](K),
                          class = "vigitensor_error_conversion", info = name)
    expect_identical(error$arg, name)
  }
  expect_error(rowSums(Vi(x)), class = "vigitensor_error")
})
