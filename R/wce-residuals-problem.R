# The data of a fitted model again, and what the engines say of the fit at its
# coefficients. All that looks back at the data begins here.

# Value: wce_again()'s problem, with `ids`: those of the people in the order of
# their codes, as strings; `people`: their rows as they are in the data (see
# people_of_rows()); `names`: of all coefficients.
fit_problem <- function(fit, data, records, env) {
  check_is_wce(fit)
  problem <- wce_again(fit, data, records, env)
  table <- data %||% look_up(fit$call$data, env, "data")
  problem$people <- people_of_rows(fit, problem$rows, table, env)
  problem$ids <- problem$people$ids
  problem$engine <- fit$engine
  problem$ties <- fit$ties
  problem$coefficients <- fit$coefficients
  problem$fitted <- list(loglik = fit$loglik, score = fit$score,
                         smoothing = fit$smoothing)
  problem
}

# Other data with the same numbers of rows, people and events have another
# likelihood, and another score.
check_same_likelihood <- function(problem, loglik) {
  before <- problem$fitted$loglik[2L]
  if (abs(loglik - before) <= 1e-6 * (1 + abs(before))) return(invisible())
  stop_other_data()
}

# score: subjects (or rows) x p, with their weights.
check_same_score <- function(problem, score) {
  used <- !is.na(problem$coefficients)
  wanted <- problem$fitted$score
  # Of a penalised fit, `score` is that of the penalised likelihood.
  penalised <- problem$fitted$smoothing
  if (!is.null(penalised)) {
    wanted <- wanted + penalised$theta * problem$coefficients
  }
  moved <- abs(colSums(score) - wanted)[used]
  # Far more than rounding, far less than other data make.
  if (all(moved <= 1e-6 * colSums(abs(score))[used] + 1e-9)) {
    return(invisible())
  }
  stop_other_data()
}

# The clock of new people must be that of the fit.
check_same_kind <- function(problem, kind) {
  ours <- problem$people$kind
  if (identical(ours, kind)) return(invisible())
  words <- c(number = "numbers", date = "dates")
  abort_input(
    sprintf("Times of `newdata` must be %s, as those of the fit.",
            words[[ours]]),
    x = sprintf("They are %s.", words[[kind]]), arg = "newdata",
    code = "mixed_time"
  )
}

stop_other_data <- function() {
  abort_input(
    "The data of this fit have changed since it was made.",
    x = "Its likelihood is another one on the data that were found.",
    i = "Give those of the fit as `data` and `records`, or fit again.",
    code = "data_changed"
  )
}

# d'V d for every row d.
row_forms <- function(d, var) pmax(rowSums((d %*% var) * d), 0)

# The rows of the data before neighbours were joined: `joined` is the joined row
# that a row went into, NA where its weight is zero.
people_of_rows <- function(fit, rows, data, env) {
  parts <- split_formula(fit$formula)
  id <- fit$settings$id
  faults <- new_faults()
  people <- read_people(faults, data, id, surv_arguments(parts$surv), env)
  stop_for_faults(faults)
  if (identical(fit$clock, "continuous")) people <- snap_times(people)
  code <- people$subject$code
  start <- as.vector(people$start)
  same <- length(rows$start) == length(start) && identical(rows$start, start) &&
    identical(as.integer(rows$subject), as.integer(code))
  joined <- if (same) seq_along(start) else {
    place_rows(code, start, as.vector(people$stop), rows)
  }
  ids <- as.character(data[[id]][match(seq_len(people$subject$n), code)])
  list(subject = code, start = start, stop = as.vector(people$stop),
       event = people$event, joined = joined, ids = ids,
       kind = attr(people$stop, "kind"))
}

# Joined rows hold whole rows of one person.
place_rows <- function(code, start, stop, rows) {
  times <- sort(unique(c(start, rows$start)))
  width <- length(times) + 1
  key <- function(subject, time) subject * width + match(time, times)
  known <- key(rows$subject, rows$start)
  sorted <- order(known)
  at <- findInterval(key(code, start), known[sorted])
  at[at == 0L] <- NA
  joined <- sorted[at]
  inside <- rows$subject[joined] == code & rows$stop[joined] >= stop
  joined[!(inside %in% TRUE)] <- NA
  joined
}

# The rows of the data as an engine takes them.
unjoined_rows <- function(problem) {
  people <- problem$people
  kept <- which(!is.na(people$joined))
  from <- people$joined[kept]
  rows <- problem$rows
  list(subject = people$subject[kept], start = people$start[kept],
       stop = people$stop[kept], event = people$event[kept],
       stratum = rows$stratum[from], offset = rows$offset[from],
       weight = rows$weight[from], x = rows$x[from, , drop = FALSE],
       n_subjects = rows$n_subjects, kept = kept)
}

# One of the engine functions on the results of a fit.
fit_results <- function(fun, problem, ..., rows = problem$rows) {
  compute <- if (problem$engine != "reference") {
    function(...) engine_call(fun, ...)
  } else {
    switch(fun, wce_baseline = wce_baseline_reference,
           wce_time_information = wce_time_information_reference)
  }
  coefficients <- unname(problem$coefficients)
  coefficients[is.na(coefficients)] <- 0
  arguments <- list(design = problem$tables, coefficients = coefficients,
                    ties = problem$ties, ...)
  do.call(compute, c(engine_rows(rows, problem$terms), arguments), quote = TRUE)
}

# The steps of the baseline hazard, as vectors and a matrix with a row per event
# time, and how many are at risk and have the event there.
fit_baseline <- function(problem, residuals = FALSE) {
  base <- fit_results("wce_baseline", problem, residuals = residuals)
  check_same_likelihood(problem, base$loglik)
  p <- length(problem$coefficients)
  base$mean <- matrix(base$mean, ncol = p)
  if (residuals) base$schoenfeld <- matrix(base$schoenfeld, ncol = p)
  c(base, risk_counts(problem$rows, base$time, base$stratum))
}

# Weighted numbers at risk and of events at given times of strata.
risk_counts <- function(rows, time, stratum) {
  n_risk <- n_event <- numeric(length(time))
  for (s in unique(stratum)) {
    at <- which(stratum == s)
    mine <- which(rows$stratum == s)
    w <- rows$weight[mine]
    entered <- weight_below(rows$start[mine], w, time[at])
    left <- weight_below(rows$stop[mine], w, time[at])
    n_risk[at] <- entered - left
    dead <- rows$event[mine] == 1
    died <- rowsum(w[dead], match(rows$stop[mine][dead], time[at]))
    n_event[at][as.integer(rownames(died))] <- died
  }
  list(n_risk = n_risk, n_event = n_event)
}

# Total weight of the x that are less than each time.
weight_below <- function(x, weight, time) {
  sorted <- order(x)
  c(0, cumsum(weight[sorted]))[
    findInterval(time, x[sorted], left.open = TRUE) + 1L
  ]
}

# Inverse information of the model, zero for dropped coefficients.
model_variance <- function(fit) {
  unname(fit$smoothing$bayes %||% fit$naive.var %||% fit$var)
}
