# Unions of intervals of people, and time inside them. People are put one after
# the other on one long axis, so that sorting and searching need no loop.

# code: whole numbers; start, stop: (start, stop]. Value: disjoint intervals
# that do not touch, sorted by code and start.
union_intervals <- function(code, start, stop) {
  n <- length(code)
  if (n == 0L) {
    return(list(code = code, start = numeric(), stop = numeric()))
  }
  o <- order(code, start, method = "radix")
  code <- code[o]
  zero <- min(start)
  span <- max(stop) - zero + 1
  base <- (code - code[1L]) * as.double(span)
  from <- base + (start[o] - zero)
  reach <- cummax(base + (stop[o] - zero))
  new <- c(TRUE, from[-1L] > reach[-n])
  last <- c(which(new)[-1L] - 1L, n)
  list(code = code[new], start = as.double(start[o][new]),
       stop = reach[last] - base[new] + zero)
}

# A union of intervals as something that can be asked about many (code, time).
#   range  earliest and latest time that will be asked about
interval_axis <- function(union, range) {
  zero <- min(union$start, range)
  span <- max(union$stop, range) - zero + 1
  base <- as.double(union$code) * span
  from <- base + (union$start - zero)
  length <- union$stop - union$start
  list(zero = zero, span = span, from = from, to = from + length,
       before = c(0, cumsum(length)))
}

# Time of a person inside the intervals up to `time`, but for a constant per
# person (differences are what matter).
time_inside <- function(axis, code, time) {
  x <- as.double(code) * axis$span + (time - axis$zero)
  k <- findInterval(x, axis$from)
  inside <- axis$before[k + 1L]
  in_last <- k > 0L
  over <- pmax(axis$to[k[in_last]] - x[in_last], 0)
  inside[in_last] <- inside[in_last] - over
  inside
}

# TRUE where the unit that ends at `time` lies in an interval.
is_inside <- function(axis, code, time) {
  x <- as.double(code) * axis$span + (time - axis$zero)
  k <- findInterval(x, axis$from, left.open = TRUE)
  hit <- k > 0L
  hit[hit] <- x[hit] <= axis$to[k[hit]]
  hit
}
