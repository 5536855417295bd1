# The exposure features of any rows: what the doses before a time add up to,
# weighted by each column of a basis.
#
# A record (s, e] with dose d adds d (C(t - s) - C(t - e)) at time t, where C is
# the cumulated basis, held at its last row beyond the window and at 0 before.

# So many pairs of a row and a record at a time: three columns of a basis of
# them take 50 MB.
pairs_at_once <- 2e6

# subject, time: of the rows; term: records as exposure_term() makes them;
# table: cumulated basis (window + 1 x J) of the unit clock, or that of the
# continuous. Value: list(features = rows x J, exposed = has the row a dose in
# the window, lags = which lags of the unit clock some row has a dose at).
features_at <- function(subject, time, term, table) {
  smooth <- is.list(table)
  window <- if (smooth) max(table$breaks) else nrow(table) - 1L
  cumulated <- if (smooth) function(u) integral_at(table, u) else {
    function(u) table[u + 1, , drop = FALSE]
  }
  n_columns <- if (smooth) ncol(table$coefficients) else ncol(table)
  features <- matrix(0, length(time), n_columns)
  exposed <- logical(length(time))
  step <- numeric(if (smooth) 0L else window + 1L)
  book <- records_of(term, max(subject, 0L))
  for (rows in row_blocks(book$n[subject])) {
    pair <- pairs_with_records(rows, subject, book)
    from <- pmax(time[pair$row] - term$stop[pair$record], 0)
    to <- pmin(time[pair$row] - term$start[pair$record], window)
    near <- which(to > from & term$dose[pair$record] != 0)
    if (length(near) == 0L) next
    row <- pair$row[near]
    each <- term$dose[pair$record[near]] *
      (cumulated(to[near]) - cumulated(from[near]))
    sums <- rowsum(each, row, reorder = FALSE)
    features[as.integer(rownames(sums)), ] <- sums
    exposed[row] <- TRUE
    if (!smooth) {
      step <- step + tabulate(from[near] + 1, window + 1L) -
        tabulate(to[near] + 1, window + 1L)
    }
  }
  list(features = features, exposed = exposed,
       lags = cumsum(step)[seq_len(window * !smooth)] > 0)
}

# Records by subject: `order`, and for each subject the first place and number.
records_of <- function(term, n_subjects) {
  n <- tabulate(term$subject, n_subjects)
  list(order = order(term$subject, method = "radix"), n = n,
       first = cumsum(c(1L, n))[seq_along(n)])
}

# Runs of rows whose pairs are about so many.
row_blocks <- function(size) {
  if (length(size) == 0L) return(list())
  split(seq_along(size), cumsum(as.double(size)) %/% pairs_at_once)
}

# Every row with every record of its subject.
pairs_with_records <- function(rows, subject, book) {
  who <- subject[rows]
  list(row = rep(rows, book$n[who]),
       record = book$order[sequence(book$n[who], from = book$first[who])])
}
