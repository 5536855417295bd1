# Studies of other designs, and their design matrices written out by hand.

row_study <- function(n = 400, seed = 3) {
  sim <- simulate_wce(n, days = 200, cutoff = 60, hazard = 4e-3, seed = seed)
  sim$people$event <- as.integer(sim$people$event)
  sim
}

# Dose by lag before each row's time, one unit of time after another.
dose_histories <- function(ids, times, records, m) {
  out <- matrix(0, length(ids), m)
  for (k in seq_along(ids)) {
    own <- records[records$person_id == ids[k], ]
    for (u in seq_len(m)) {
      day <- times[k] - u
      out[k, u] <- sum(own$dose[own$start <= day & own$stop > day])
    }
  }
  out
}

by_hand <- function(fit, ids, times, records) {
  e <- fit$exposures[[1L]]
  dose_histories(ids, times, records, e$cutoff) %*% e$basis_matrix
}

same_fit <- function(fit, peer, tolerance = 1e-8) {
  b <- unname(stats::coef(peer))
  found <- unname(fit$coefficients)
  expect_equal(found, b, tolerance = tolerance)
  p <- length(b)
  expect_equal(unname(fit$var), unname(stats::vcov(peer))[1:p, 1:p],
               tolerance = 1e-6)
  expect_equal(fit$loglik[2L], as.numeric(stats::logLik(peer)),
               tolerance = 1e-10)
}

engines_here <- function() {
  c("reference", if (engine_available() || engine_is_required()) "cpu")
}

# All days of all rows.
days_of <- function(people) {
  n <- people$exit - people$entry
  row <- rep(seq_len(nrow(people)), n)
  day <- sequence(n, from = people$entry + 1)
  data.frame(people[row, c("person_id", "sex", "age")], day = day,
             y = people$event[row] * (day == people$exit[row]), row = row)
}
