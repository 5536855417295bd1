# Formulas put together at random: value and gradient of all evaluators against
# the dense reference, whose derivatives are those of central differences.

# Operations that are smooth and defined everywhere, on trees of some depth.
random_formula <- function(leaves, depth) {
  if (depth == 0L) return(sample(leaves, 1L)[[1L]])
  part <- function() random_formula(leaves, depth - 1L)
  switch(
    sample(12L, 1L),
    part() + part(), part() - part(), part() * part(),
    part() / (1 + part()^2), sin(part()), exp(-part()^2), atan(part()),
    sqdist(part(), part()), part() | part(), sum(part()) * part(),
    sqrt(1 + sqnorm2(part())), where(part() > 0.1, part(), 0.5 * part())
  )
}

random_case <- function(seed) {
  with_random_seed(seed, {
    data <- list(x = matrix(rnorm(12), 4), y = matrix(rnorm(15), 5),
                 p = rnorm(3), z = matrix(rnorm(20), 4))
    # A formula is built anew from the same seed for other data.
    tree <- sample(.Machine$integer.max, 1L)
    depth <- sample(2:4, 1L)
    list(data = data, index = sample(c("i", "j"), 1L),
         reduction = sample(c("sum", "mean", "logsumexp", "max"), 1L),
         formula = function(data) {
           leaves <- list(Vi(data$x), Vj(data$y), Pm(data$p), Vij(data$z))
           K <- with_random_seed(tree, random_formula(leaves, depth))
           # All sizes are known then.
           atan(K) + 0 * Vi(data$x)[1] + 0 * Vj(data$y)[1]
         })
  })
}

test_that("random formulas have the reference's value and gradient", {
  for (seed in seq_len(if (in_full()) 400L else 25L)) {
    case <- random_case(seed)
    value <- function(data, evaluator) {
      sum(sin(reduction(case$formula(data), case$reduction, case$index,
                        evaluator = evaluator)))
    }
    expected <- value_and_gradient(value, case$data, "reference")
    for (evaluator in evaluators_here()) {
      info <- paste(seed, evaluator)
      found <- value_and_gradient(value, case$data, evaluator)
      expect_equal(found, expected, tolerance = 1e-9, info = info)
    }
    if (case$reduction != "max" && seed <= 8L) {
      slopes <- part_slopes(function(data) value(data, "reference"), case$data)
      # Jumps of where() are passed over by one step in a hundred thousand.
      expect_equal(along_parts(expected$gradient, case$data), unname(slopes),
                   tolerance = 1e-5, info = seed)
    }
  }
})
