# Symbolic matrices from R: the smallest call, the first result of a formula
# (engine running, kernels not compiled, then in the cache), and a gradient.
# The reductions themselves are timed beside PyKeOps by bench/symbolic.py.
source("bench/common.R")
need_engine()

points <- function(n, d = 3L) {
  set.seed(n)
  list(x = matrix(rnorm(n * d), n), y = matrix(rnorm(n * d), n))
}
gaussian <- function(x, y, evaluator = NULL) {
  sum(exp(-sqdist(Vi(x), Vj(y)) / 2), "j", evaluator = evaluator)
}

# ---- smallest call ----------------------------------------------------------
small <- list(x = matrix(rnorm(15), 5), y = matrix(rnorm(21), 7))
small_difference <- max(abs(
  gaussian(small$x, small$y, "cpu") -
    gaussian(small$x, small$y, "reference")
))
stopifnot(small_difference < 1e-14)
small_seconds <- median_seconds(function() {
  for (k in 1:200) gaussian(small$x, small$y)
}) / 200

# ---- first result of a formula ----------------------------------------------
first_code <- c(
  "library(vigitensor)", "stopifnot(engine_available())", "set.seed(1)",
  "x <- matrix(rnorm(6000), 2000)", "y <- matrix(rnorm(6000), 2000)",
  "formula <- function(s) {",
  "  sum(exp(-sqrt(sqdist(Vi(x), Vj(y))) / s), \"j\")", "}",
  "first <- system.time(formula(1))[[\"elapsed\"]]",
  "again <- system.time(value <- formula(2))[[\"elapsed\"]]",
  "dense <- exp(-as.matrix(dist(rbind(x, y)))[1:2000, -(1:2000)] / 2)",
  "cat(first, again, max(abs(value / rowSums(dense) - 1)))"
)
folder <- tempfile("cache-")
cache <- paste0("VIGITENSOR_CACHE_DIR=", folder)
cold <- fresh_numbers(first_code, cache)
cached <- fresh_numbers(first_code, cache)
unlink(folder, recursive = TRUE)
stopifnot(cold[3L] < 1e-12, cached[3L] < 1e-12)

# ---- gradient ---------------------------------------------------------------
large <- points(20000L)
energy <- function(x) sum(gaussian(x, large$y))
some <- points(300L)
slope_difference <- {
  f <- function(x) sum(gaussian(x, some$y))
  cpu <- gradient(f, some$x)
  old <- options(vigitensor.evaluator = "reference")
  dense <- gradient(f, some$x)
  options(old)
  max(abs(cpu - dense)) / max(abs(dense))
}
stopifnot(slope_difference < 1e-12)
forward <- median_seconds(function() energy(large$x))
backward <- median_seconds(function() gradient(energy, large$x))

write_results(
  "symbolic",
  figure("symbolic", "smallest call, warm", "5 x 7", "cpu", small_seconds,
         target = "1 ms", difference = small_difference),
  figure("symbolic", "first result of a formula, empty cache", "2,000 x 2,000",
         "cpu", cold[1L], target = "3 s", difference = cold[3L]),
  figure("symbolic", "first result of a formula, cached", "2,000 x 2,000",
         "cpu", cached[1L], target = "0.3 s", difference = cached[3L]),
  figure("symbolic", "a new parameter value", "2,000 x 2,000", "cpu",
         cold[2L]),
  figure("symbolic", "Gaussian sum", "20,000 x 20,000, D = 3", "cpu", forward),
  figure("symbolic", "its value and gradient", "20,000 x 20,000, D = 3", "cpu",
         backward, difference = slope_difference)
)
