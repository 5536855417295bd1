# Makes the two small data sets behind the golden numbers, in this folder:
#   Rscript make-data.R
#
# golden-daily.csv.gz   120 patients followed for up to 100 days from day 0, a
#                       day a row; packs of 10 days at four doses; fixed sex
#                       and age, a three-level arm, a score that changes every
#                       25 days; male = 1 - sex, for a collinear pair.
# golden-ties.csv.gz    90 patients followed for up to 45 units from unit 10;
#                       events only on every third unit, so most are tied;
#                       text ids that are not in order, column names of its own.
#
# Only base R; R's default generators from R 3.6.0 on.

# Doses of one patient: packs with gaps between them, in `n` units.
simulate_doses <- function(n, pack, strengths, gap) {
  dose <- numeric(n)
  at <- 1L + stats::rpois(1L, gap)
  while (at <= n) {
    n_packs <- 1L + stats::rpois(1L, 1)
    upto <- min(n, at + n_packs * pack - 1L)
    dose[at:upto] <- sample(strengths, 1L)
    at <- upto + 2L + stats::rpois(1L, gap)
  }
  dose
}

# First unit with an event, or NA: hazard = base * exp(WCE + eta), the most
# recent dose first in `weight`; `open[u]` says if events may fall on unit u.
simulate_event <- function(dose, eta, weight, base, open) {
  n <- length(dose)
  wce <- vapply(seq_len(n), function(u) {
    lag <- seq_len(min(u, length(weight)))
    sum(weight[lag] * dose[u - lag + 1L])
  }, 0)
  hazard <- ifelse(open, base * exp(wce + eta), 0)
  hit <- which(stats::runif(n) < 1 - exp(-hazard))
  if (length(hit)) hit[1L] else NA_integer_
}

make_daily <- function() {
  set.seed(20240611)
  weight <- 0.05 * exp(-(0:29) / 9)
  rows <- lapply(1:120, function(id) {
    n <- sample(40:100, 1L)
    sex <- stats::rbinom(1L, 1L, 0.5)
    age <- sample(40:85, 1L)
    arm <- sample(c("usual", "low", "high"), 1L)
    score <- rep(round(stats::rnorm(4L), 2), each = 25L)[seq_len(n)]
    dose <- simulate_doses(n, 10L, c(0.5, 1, 1.5, 2), 12)
    eta <- 0.5 * sex + 0.02 * (age - 60) + 0.4 * (arm == "high") + 0.3 * score
    at <- simulate_event(dose, eta, weight, 0.007, rep(TRUE, n))
    last <- if (is.na(at)) n else at
    unit <- seq_len(last)
    data.frame(
      Id = id, Event = as.integer(unit == last & !is.na(at)),
      Start = unit - 1L, Stop = unit, dose = dose[unit], sex = sex,
      male = 1L - sex, age = age, arm = arm, score = score[unit]
    )
  })
  do.call(rbind, rows)
}

make_ties <- function() {
  set.seed(7081)
  weight <- 0.12 * exp(-((0:14) - 5)^2 / 18)
  ids <- sample(sprintf("P%03d", sample(400L, 90L)))
  rows <- lapply(ids, function(id) {
    n <- sample(20:45, 1L)
    frail <- stats::rbinom(1L, 1L, 0.3)
    dose <- simulate_doses(n, 4L, c(1, 2, 3), 6)
    at <- simulate_event(dose, 0.7 * frail, weight, 0.03,
                         seq_len(n) %% 3L == 0L)
    last <- if (is.na(at)) n else at
    unit <- seq_len(last)
    data.frame(
      person = id, from = unit + 9L, to = unit + 10L, mg = dose[unit],
      case = as.integer(unit == last & !is.na(at)), frail = frail
    )
  })
  do.call(rbind, rows)
}

write_gz <- function(table, file) {
  connection <- gzfile(file, "w", compression = 9)
  on.exit(close(connection))
  utils::write.csv(table, connection, row.names = FALSE, quote = FALSE)
}

write_gz(make_daily(), "golden-daily.csv.gz")
write_gz(make_ties(), "golden-ties.csv.gz")
