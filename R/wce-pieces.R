# Person-time in pieces within which no exposure feature changes: units of time
# where a dose is in the window, whole stretches where none is.

# rows: start, stop, subject; terms: records; windows: number of lags per term.
# Value: list(row, start, stop), in the order of the rows.
pieces_of <- function(rows, terms, windows) {
  spans <- exposed_spans(rows, terms, windows)
  gaps <- unexposed_gaps(rows, spans)
  n_units <- spans$to - spans$from
  row <- c(rep(spans$row, n_units), gaps$row)
  stop <- c(sequence(n_units, from = spans$from + 1), gaps$to)
  start <- c(stop[seq_len(sum(n_units))] - 1, gaps$from)
  key <- order(row, stop, method = "radix")
  list(row = row[key], start = start[key], stop = stop[key])
}

# When a row can have a dose in a window of some term: spans (from, to] that
# neither overlap nor touch, sorted by row and time.
exposed_spans <- function(rows, terms, windows) {
  found <- lapply(seq_along(terms), function(k) {
    term <- terms[[k]]
    book <- records_of(term, rows$n_subjects)
    parts <- lapply(row_blocks(book$n[rows$subject]), function(some) {
      pair <- pairs_with_records(some, rows$subject, book)
      from <- pmax(rows$start[pair$row], term$start[pair$record])
      to <- pmin(rows$stop[pair$row],
                 term$stop[pair$record] + windows[k] - 1)
      near <- to > from & term$dose[pair$record] != 0
      data.frame(row = pair$row[near], from = from[near], to = to[near])
    })
    do.call(rbind, parts)
  })
  joined_spans(do.call(rbind, found))
}

joined_spans <- function(spans) {
  if (is.null(spans) || nrow(spans) == 0L) {
    return(list(row = integer(), from = numeric(), to = numeric()))
  }
  spans <- spans[order(spans$row, spans$from, method = "radix"), ]
  # Rows laid end to end, so that one running maximum serves them all.
  low <- min(spans$from)
  shift <- spans$row * (max(spans$to) - low + 1)
  reach <- cummax(spans$to - low + shift)
  begins <- c(TRUE, (spans$from - low + shift)[-1L] > reach[-length(reach)])
  last <- c(which(begins)[-1L] - 1L, nrow(spans))
  list(row = spans$row[begins], from = spans$from[begins],
       to = reach[last] + low - shift[last])
}

# What is left of each row, (from, to].
unexposed_gaps <- function(rows, spans) {
  n <- length(spans$row)
  new_row <- c(TRUE, spans$row[-1L] != spans$row[-n])[seq_len(n)]
  last <- c(new_row[-1L], TRUE)[seq_len(n)]
  before <- c(NA, spans$to[-n])[seq_len(n)]
  before[new_row] <- rows$start[spans$row[new_row]]
  none <- setdiff(seq_along(rows$start), spans$row)
  gaps <- list(
    row = c(spans$row, spans$row[last], none),
    from = c(before, spans$to[last], rows$start[none]),
    to = c(spans$from, rows$stop[spans$row[last]], rows$stop[none])
  )
  kept <- gaps$to > gaps$from
  lapply(gaps, `[`, kept)
}

# Rows cut at these times. Value: list(row, start, stop, interval), interval k
# being (cuts[k - 1], cuts[k]].
cut_rows <- function(rows, cuts) {
  first <- findInterval(rows$start, cuts) + 1L
  last <- findInterval(rows$stop, cuts, left.open = TRUE) + 1L
  n <- last - first + 1L
  row <- rep(seq_along(n), n)
  interval <- sequence(n, from = first)
  list(row = row, interval = interval,
       start = pmax(rows$start[row], c(-Inf, cuts)[interval]),
       stop = pmin(rows$stop[row], c(cuts, Inf)[interval]))
}
