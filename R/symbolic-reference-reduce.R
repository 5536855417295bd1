# Reductions of dense arrays: what the engine's are compared with.

reference_reduction <- function(problem) {
  values <- dense_values(problem$root, problem$n, problem$m)
  weights <- if (!is.null(problem$weight)) {
    dense_values(problem$weight, problem$n, problem$m)
  }
  if (problem$axis == "i") {
    values <- aperm(values, c(2L, 1L, 3L))
    if (!is.null(weights)) weights <- aperm(weights, c(2L, 1L, 3L))
  }
  rule <- problem$rule
  switch(
    rule$name,
    sum = list(value = sum_columns(values)),
    mean = list(value = sum_columns(values) / dim(values)[[2L]]),
    prod = list(value = each_column(values, prod)),
    any = list(value = each_column(values != 0, any)),
    all = list(value = each_column(values != 0, all)),
    logsumexp = list(value = dense_logsumexp(values, weights)),
    sumsoftmaxweight = list(value = dense_softmax(values, weights)),
    dense_extremes(values, rule, problem$k)
  )
}

# (rows, columns, components) -> (rows, components)
sum_columns <- function(x) {
  matrix(rowSums(aperm(x, c(1L, 3L, 2L)), dims = 2L), dim(x)[[1L]],
         dim(x)[[3L]])
}

each_column <- function(x, fun) {
  matrix(apply(x, c(1L, 3L), fun), dim(x)[[1L]], dim(x)[[3L]])
}

dense_logsumexp <- function(x, weights) {
  top <- shift_of(x)
  share <- exp(x - spread_to(top, dim(x)))
  if (!is.null(weights)) {
    both <- spread_together(list(share, weights))
    share <- both[[1L]] * both[[2L]]
  }
  out <- sum_columns(share)
  matrix(suppressWarnings(log(out)) + as.vector(top), nrow(out), ncol(out))
}

dense_softmax <- function(x, weights) {
  share <- exp(x - spread_to(shift_of(x), dim(x)))
  both <- spread_together(list(share, weights))
  sum_columns(both[[1L]] * both[[2L]]) / as.vector(sum_columns(share))
}

# Largest value of each row, 0 where it is infinite.
shift_of <- function(x) {
  top <- if (dim(x)[[2L]]) each_column(x, max) else
    matrix(0, dim(x)[[1L]], dim(x)[[3L]])
  top[is.infinite(top)] <- 0
  array(top, c(dim(x)[[1L]], 1L, dim(x)[[3L]]))
}

# Places of the k best of each row and component; NaN first for one value, never
# among k values, whose rows are filled up with NA.
dense_extremes <- function(x, rule, k) {
  sign <- if (grepl("max", rule$name)) -1 else 1
  best <- function(values) {
    nan <- which(is.nan(values))
    if (!rule$k && length(nan)) return(nan[[1L]])
    order(sign * values, na.last = NA)[seq_len(k)]
  }
  n <- dim(x)[[1L]]
  width <- if (rule$k) k else dim(x)[[3L]]
  # apply() puts the k places of a row into a column.
  place <- apply(x, c(1L, 3L), best)
  place <- if (rule$k) matrix(aperm(array(place, c(k, n)), 2:1), n) else
    matrix(place, n, width)
  component <- if (rule$k) 1L else rep(seq_len(width), each = n)
  at <- cbind(rep(seq_len(n), width), as.vector(place), component)
  list(value = matrix(x[at], n, width), index = place)
}
