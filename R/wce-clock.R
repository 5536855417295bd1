# The clock: whole time units, or continuous time.
#
# In whole units the weight function lives on the lags 1..m and doses are
# summed. In continuous time it lives on (0, m] and doses are integrated: a
# record (s, e] of dose d contributes, at time t,
#   d * integral of w over the lags from t - e to t - s, clipped to [0, m].
# With C the integral of the basis from 0 to u this is again d * (C - C). C is a
# piecewise polynomial, and kept as one:
#   breaks         0 = b_0 < b_1 < ... < b_K = m
#   coefficients   K (order + 1) x J; the rows of piece k multiply
#                  (u - b_k)^0, ..., (u - b_k)^order
# so that the integrals are exact.

# ---- which clock ------------------------------------------------------------

# Value: "unit" or "continuous".
choose_clock <- function(clock, people, doses, book) {
  if (clock != "auto") return(clock)
  fractional <- vapply(clock_times(people, doses, book), function(time) {
    any(time$x != floor(time$x), na.rm = TRUE)
  }, NA)
  if (!any(fractional)) return("unit")
  rlang::inform(
    c("Some times are not whole numbers: the clock is continuous.",
      i = paste("`clock = \"unit\"` finds the rows;",
                "`clock = \"continuous\"` keeps this message away.")),
    class = "vigitensor_message_clock", use_cli_format = TRUE
  )
  "continuous"
}

# The times that must be whole on the unit clock: entry into follow-up need not
# be, unless doses are counted from it.
clock_times <- function(people, doses, book) {
  times <- list(
    list(x = people$stop, what = "Stop times", table = "data"),
    if (any(vapply(doses, is.numeric, NA))) {
      list(x = people$start, what = "Start times", table = "data")
    },
    list(x = book$start, what = "Column `start`", table = "records"),
    list(x = book$stop, what = "Column `stop`", table = "records")
  )
  Filter(function(time) !is.null(time$x), times)
}

check_clock <- function(faults, clock, people, doses, book) {
  if (clock != "unit") return(invisible())
  for (time in clock_times(people, doses, book)) {
    rows <- which(time$x != floor(time$x))
    if (length(rows)) {
      add_fault(faults, "fractional_time",
                sprintf("%s must be whole numbers of time units.", time$what),
                paste("Count in smaller units, round, or use",
                      "`clock = \"continuous\"`."), rows, time$table)
    }
  }
}

# Times that differ by rounding alone, as the ends of 0.1 + 0.2 and 0.3, are
# made equal: they would be untied, or rows with a gap between them. The
# tolerance is that of survival::aeqSurv().
snap_times <- function(people, tolerance = sqrt(.Machine$double.eps)) {
  times <- sort(unique(c(people$start, people$stop)))
  if (length(people$start) != length(people$stop) || anyNA(people$start) ||
        anyNA(people$stop) || any(is.infinite(range(times)))) {
    return(people) # faults, which are reported elsewhere
  }
  gap <- diff(times)
  new_time <- c(TRUE, gap > tolerance & gap / mean(abs(times)) > tolerance)
  if (all(new_time)) return(people)
  snapped <- times[new_time][cumsum(new_time)]
  for (name in c("start", "stop")) {
    people[[name]][] <- snapped[match(people[[name]], times)]
  }
  people
}

# ---- the weight function in continuous time ---------------------------------

smooth_knots <- function(m, nknots) m * seq_len(nknots) / (nknots + 1)

# The basis, or a derivative, at lags u; columns as constraints leave them.
smooth_basis <- function(m, knots, constrained, order, u, derivative = 0L) {
  all_knots <- c(rep(0, order), knots, rep(m, order))
  columns <- splines::splineDesign(all_knots, u, ord = order,
                                   derivs = rep(derivative, length(u)))
  keep <- constrained_columns(ncol(columns), constraint_ends(constrained),
                              order)
  columns[, keep, drop = FALSE]
}

# Its integral from 0, as list(breaks, coefficients).
integrate_basis <- function(m, knots, constrained, order) {
  breaks <- c(0, knots, m)
  left <- breaks[-length(breaks)]
  # Taylor coefficients at the left end of each piece; B has degree order - 1.
  powers <- lapply(seq_len(order), function(p) {
    smooth_basis(m, knots, constrained, order, left, p - 1L) / factorial(p)
  })
  n_pieces <- length(left)
  coefficients <- array(0, c(order + 1L, n_pieces, ncol(powers[[1L]])))
  for (p in seq_len(order)) coefficients[p + 1L, , ] <- powers[[p]]
  width <- diff(breaks)
  for (k in seq_len(n_pieces)[-1L]) {
    before <- matrix(coefficients[, k - 1L, ], order + 1L)
    coefficients[1L, k, ] <- width[k - 1L]^(0:order) %*% before
  }
  list(breaks = breaks,
       coefficients = matrix(coefficients, (order + 1L) * n_pieces))
}

# C at lags u, clipped to the window: length(u) x J.
integral_at <- function(table, u) {
  n_pieces <- length(table$breaks) - 1L
  degree <- nrow(table$coefficients) / n_pieces - 1L
  u <- pmin(pmax(u, 0), table$breaks[n_pieces + 1L])
  piece <- findInterval(u, table$breaks, rightmost.closed = TRUE)
  h <- u - table$breaks[piece]
  first <- (piece - 1L) * (degree + 1L) + 1L
  value <- matrix(0, length(u), ncol(table$coefficients))
  for (p in degree:0) {
    value <- value * h + table$coefficients[first + p, , drop = FALSE]
  }
  value
}

# The lags at which a weight function is shown.
shown_lags <- function(m) {
  if (m >= 20 && m <= 1000 && m == round(m)) 0:m else
    seq(0, m, length.out = 101L)
}

# A shown lag is covered when the stretch on one of its sides is.
covered_points <- function(lags, cells, covered) {
  after <- covered[pmin(findInterval(lags, cells), length(covered))]
  before <- covered[pmax(findInterval(lags, cells, left.open = TRUE), 1L)]
  after & lags < lags[length(lags)] | before & lags > lags[1L]
}
