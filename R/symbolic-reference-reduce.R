# Reductions of dense arrays: what the engine's are compared with.

reference_reduction <- function(problem) {
  rule <- problem$rule
  values <- dense_values(problem$root, problem$n, problem$m)
  weights <- if (!is.null(problem$weight)) {
    dense_values(problem$weight, problem$n, problem$m)
  }
  counted <- matrix(TRUE, problem$n, problem$m)
  if (!is.null(problem$pairs)) {
    counted <- dense_pairs(problem$pairs, problem$n, problem$m)
    values[rep(!counted, dim(values)[[3L]])] <- neutral_value(rule$name)
  }
  if (problem$axis == "i") {
    counted <- t(counted)
    values <- aperm(values, c(2L, 1L, 3L))
    if (!is.null(weights)) weights <- aperm(weights, c(2L, 1L, 3L))
  }
  switch(
    rule$name,
    sum = list(value = sum_columns(values)),
    mean = list(value = sum_columns(values) / rowSums(counted)),
    prod = list(value = each_column(values, prod)),
    any = list(value = each_column(values != 0, any)),
    all = list(value = each_column(values != 0, all)),
    logsumexp = list(value = dense_logsumexp(values, weights)),
    sumsoftmaxweight = list(value = dense_softmax(values, weights)),
    histogram = list(value = dense_histogram(values, weights, problem$breaks)),
    dense_extremes(values, rule, problem$k, rowSums(counted))
  )
}

# What a pair that does not count is set to.
neutral_value <- function(name) {
  switch(name, sum = , mean = , any = 0, prod = , all = 1, logsumexp = ,
         sumsoftmaxweight = -Inf, histogram = NaN,
         if (grepl("max", name)) -Inf else Inf)
}

# Cells [a, b); the last one holds its end.
dense_histogram <- function(x, weights, breaks) {
  cell <- matrix(findInterval(x, breaks, rightmost.closed = TRUE), dim(x)[[1L]])
  weights <- if (is.null(weights)) 1 else
    matrix(spread_to(weights, dim(x)), dim(x)[[1L]])
  out <- vapply(seq_len(length(breaks) - 1L), function(k) {
    rowSums((!is.na(cell) & cell == k) * weights)
  }, numeric(dim(x)[[1L]]))
  matrix(out, dim(x)[[1L]])
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

# Places of the k best of each row and component. NaN first for one value, never
# among k values; 0 and an infinite value where there is none. n_values: how
# many pairs count in each row.
dense_extremes <- function(x, rule, k, n_values) {
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
  value <- matrix(x[at], n, width)
  none <- is.na(place)
  if (rule$k) none <- none | col(place) > n_values else
    none[n_values == 0L, ] <- TRUE
  place[none] <- 0L
  value[none] <- sign * Inf
  list(value = value, index = place)
}
