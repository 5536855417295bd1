# The reference engine in continuous time: integrals of the weight function over
# the records of every pair, one event time after another.

# For every pair of a row at risk and an event time, dose times the integral of
# the basis over the records in the window. Value: pairs x J.
reference_integrals <- function(risk, subject, n_subjects, term, table) {
  window <- max(table$breaks)
  features <- matrix(0, length(risk$row), ncol(table$coefficients))
  for (pairs in split(seq_along(risk$row), risk$set)) {
    time <- risk$time[pairs[1L]]
    near <- which(term$start < time & term$stop > time - window)
    each <- term$dose[near] *
      (integral_at(table, time - term$start[near]) -
         integral_at(table, time - term$stop[near]))
    total <- matrix(0, n_subjects, ncol(features))
    sums <- rowsum(each, term$subject[near], reorder = FALSE)
    total[as.integer(rownames(sums)), ] <- sums
    features[pairs, ] <- total[subject[risk$row[pairs]], ]
  }
  features
}

# Which pairs have a record in the window.
reference_near <- function(risk, subject, term, window) {
  near <- logical(length(risk$row))
  used <- term$dose != 0
  for (pairs in split(seq_along(risk$row), risk$set)) {
    time <- risk$time[pairs[1L]]
    inside <- used & term$start < time & term$stop > time - window
    near[pairs] <- subject[risk$row[pairs]] %in% term$subject[inside]
  }
  near
}

# Which stretches between neighbouring `cells` some person at risk had a dose
# in.
reference_cells <- function(risk, subject, term) {
  cells <- term$cells
  n <- length(cells) - 1L
  step <- numeric(n + 1L)
  for (pairs in split(seq_along(risk$row), risk$set)) {
    time <- risk$time[pairs[1L]]
    near <- term$dose != 0 & term$subject %in% subject[risk$row[pairs]] &
      term$start < time & term$stop > time - cells[n + 1L]
    from <- pmax(time - term$stop[near], 0)
    to <- pmin(time - term$start[near], cells[n + 1L])
    begin <- findInterval(from, cells)
    after <- findInterval(to, cells, left.open = TRUE) + 1L
    step <- step + tabulate(begin, n + 1L) - tabulate(after, n + 1L)
  }
  cumsum(step)[seq_len(n)] > 0
}
