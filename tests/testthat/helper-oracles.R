# Fits written out with survival::coxph, without the package's own code.

at_optimum <- survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                      iter.max = 60)

# Persons cut at every event time, with the sum over lags of dose x basis of
# each piece. basis: function(lags) -> matrix with a row per lag.
oracle_rows <- function(people, records, basis, drug = "a", cutoff = 20) {
  times <- sort(unique(people$exit[people$event == 1]))
  people$row <- seq_len(nrow(people))
  pieces <- survival::survSplit(Surv(entry, exit, event) ~ ., people,
                                cut = times)
  table <- basis(seq_len(cutoff))
  records <- records[records$drug == drug, ]
  features <- lapply(seq_len(nrow(pieces)), function(i) {
    mine <- records[records$person_id == pieces$person_id[i], ]
    day <- pieces$exit[i] - seq_len(cutoff)
    dose <- vapply(day, function(d) {
      sum(mine$dose[mine$start <= d & mine$stop > d])
    }, 0)
    drop(dose %*% table)
  })
  pieces$feature <- do.call(rbind, features)
  pieces
}

# coxph at its optimum for sex + age + exposure("a").
oracle_fit <- function(people, records, weights = NULL, ties = "efron",
                       cutoff = 20, nknots = 1, basis = NULL, ...) {
  if (is.null(basis)) {
    table <- wce_basis(cutoff, wce_knots(cutoff, nknots))
    basis <- function(lags) table[lags, , drop = FALSE]
  }
  pieces <- oracle_rows(people, records, basis, cutoff = cutoff)
  pieces$case_weight <- (weights %||% rep(1, nrow(people)))[pieces$row]
  survival::coxph(Surv(entry, exit, event) ~ sex + age + feature, pieces,
                  weights = case_weight, ties = ties, control = at_optimum,
                  ...)
}

# Persons cut into unit rows with the summed dose of each day.
to_unit_rows <- function(people, records) {
  do.call(rbind, lapply(seq_len(nrow(people)), function(i) {
    p <- people[i, ]
    day <- seq(p$entry, p$exit - 1)
    mine <- records[records$person_id == p$person_id, ]
    dose <- vapply(day, function(d) {
      sum(mine$dose[mine$start <= d & mine$stop > d])
    }, 0)
    data.frame(p[setdiff(names(p), c("entry", "exit", "event"))],
               entry = day, exit = day + 1, dose = dose,
               event = as.integer(p$event == 1 & day + 1 == p$exit),
               row.names = NULL)
  }))
}
