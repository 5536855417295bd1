# Data sets of the package survival as studies: rows (start, stop] with
# covariates that change, made with survival::tmerge() as its manual does.

library(survival)

# The whole of a large data set in `make test-full`; every k-th person of it
# otherwise.
some_people <- function(data, k, id = "id") {
  if (in_full()) return(data)
  data[data[[id]] %% k == 1L, ]
}

# Liver trial with repeated laboratory values.
pbc_rows <- function() {
  first <- pbc[1:312, c("id", "time", "status", "trt", "age", "sex", "edema")]
  rows <- tmerge(first, first, id = id, death = event(time, status))
  tmerge(rows, pbcseq, id = id, ascites = tdc(day, ascites),
         bili = tdc(day, bili), albumin = tdc(day, albumin),
         protime = tdc(day, protime), alk = tdc(day, alk.phos))
}

# Heart transplants, from the dates of the patients.
heart_rows <- function() {
  people <- within(jasa, {
    id <- seq_len(nrow(jasa))
    time <- pmax(0.5, futime)
    moved <- ifelse(transplant == 1 & wait.time == futime, wait.time - 0.5,
                    wait.time)
    years <- as.numeric(accept.dt - as.Date("1967-10-01")) / 365.25
  })
  rows <- tmerge(people, people, id = id, death = event(time, fustat))
  tmerge(rows, people, id = id, graft = tdc(moved))
}

# Infections in chronic granulomatous disease.
cgd_rows <- function() {
  rows <- tmerge(cgd0[, 1:13], cgd0, id = id, tstop = futime,
                 infect = event(etime1), infect = event(etime2),
                 infect = event(etime3), infect = event(etime4),
                 infect = event(etime5), infect = event(etime6),
                 infect = event(etime7))
  tmerge(rows, rows, id = id, number = cumtdc(tstart))
}

# Infections in cystic fibrosis. Nobody is at risk while being treated, nor in
# the six days after.
dnase_rows <- function() {
  first <- rhDNase[!duplicated(rhDNase$id), ]
  rows <- tmerge(first, first, id = id, tstop = as.numeric(end.dt - entry.dt))
  again <- with(rhDNase, pmin(ivstop + 6, end.dt - entry.dt))
  rows <- tmerge(rows, transform(rhDNase, again = again), id = id,
                 infect = event(ivstart), over = event(again))
  rows[rows$infect == 1 | rows$over == 0, ]
}

# Fatty liver disease: people, with dated diagnoses and laboratory values.
nafld_rows <- function(people) {
  rows <- tmerge(people[, c("id", "age", "male", "bmi", "futime", "status")],
                 people, id = id, death = event(futime, status))
  for (what in c("diabetes", "htn", "nafld")) {
    found <- nafld3[nafld3$event == what & nafld3$id %in% people$id, ]
    rows <- tmerge(rows, found, id = id, now = tdc(days))
    names(rows)[names(rows) == "now"] <- what
  }
  chol <- nafld2[nafld2$test == "chol" & nafld2$id %in% people$id, ]
  chol <- chol[order(chol$id, chol$days), ]
  rows <- tmerge(rows, chol, id = id, chol = tdc(days, value))
  rows$entry <- rows$age + rows$tstart / 365.25
  rows$exit <- rows$age + rows$tstop / 365.25
  rows
}

# Measurements as records: a value stands until the next one, at most for
# `longest` time units. Columns id, days, value in; person, start, stop, dose.
values_as_records <- function(values, longest) {
  values <- values[order(values$id, values$days), ]
  values <- values[!duplicated(values[c("id", "days")]), ]
  n <- nrow(values)
  next_day <- c(values$days[-1L], Inf)
  next_day[c(values$id[-1L] != values$id[-n], TRUE)] <- Inf
  data.frame(id = values$id, start = values$days,
             stop = pmin(next_day, values$days + longest), dose = values$value)
}

# ---- exposure models written out --------------------------------------------

# Sum over lags 1..m of dose x basis, for each person and time. records: id,
# start, stop, dose in whole units; basis: m x J.
unit_features <- function(id, time, records, basis) {
  m <- nrow(basis)
  features <- matrix(0, length(id), ncol(basis))
  records <- split(records, records$id)
  for (at in split(seq_along(id), id)) {
    mine <- records[[as.character(id[at[1L]])]]
    if (is.null(mine)) next
    first <- min(time[at]) - m
    dose <- numeric(max(time[at]) - first)
    for (k in seq_len(nrow(mine))) {
      from <- max(mine$start[k] - first, 0)
      to <- min(mine$stop[k] - first, length(dose))
      units <- seq_len(max(to - from, 0)) + from
      dose[units] <- dose[units] + mine$dose[k]
    }
    # A row of embed() is the past of one unit, newest first.
    past <- stats::embed(dose, m)[time[at] - first - m + 1, , drop = FALSE]
    features[at, ] <- past %*% basis
  }
  features
}

# The same in continuous time. basis: function(lags) -> matrix, cubic between
# the breaks, so that Simpson's rule is exact.
smooth_features <- function(id, time, records, breaks, basis) {
  from_zero <- function(u) {
    total <- 0
    for (k in seq_len(length(breaks) - 1L)) {
      a <- pmin(u, breaks[k])
      b <- pmin(u, breaks[k + 1L])
      a[u < breaks[k]] <- b[u < breaks[k]] <- breaks[k]
      total <- total +
        (b - a) / 6 * (basis(a) + 4 * basis((a + b) / 2) + basis(b))
    }
    total
  }
  clip <- function(u) pmin(pmax(u, 0), breaks[length(breaks)])
  features <- matrix(0, length(id), ncol(basis(0)))
  for (k in seq_len(nrow(records))) {
    mine <- which(id == records$id[k] & time > records$start[k])
    if (!length(mine)) next
    features[mine, ] <- features[mine, ] + records$dose[k] *
      (from_zero(clip(time[mine] - records$start[k])) -
         from_zero(clip(time[mine] - records$stop[k])))
  }
  features
}

# coxph at its optimum on people cut at every event time. rows: id, start,
# stop, event and covariates; features: function(id, time) -> matrix.
expanded_coxph <- function(right, rows, features, robust = FALSE, ...) {
  times <- sort(unique(rows$stop[rows$event == 1]))
  pieces <- survSplit(Surv(start, stop, event) ~ ., rows, cut = times)
  pieces <- pieces[pieces$stop %in% times, ]
  pieces$feature <- features(pieces$id, pieces$stop)
  formula <- stats::as.formula(paste("Surv(start, stop, event) ~", right,
                                     "+ feature"))
  arguments <- list(formula, quote(pieces), control = tight_control(), ...)
  if (robust) arguments$cluster <- quote(id)
  eval(as.call(c(quote(survival::coxph), arguments)))
}

expect_same_model <- function(fit, peer, info = NULL) {
  expect_true(fit$converged, info = info)
  expect_within(fit$loglik / peer$loglik, c(1, 1), 1e-10, paste(info, "loglik"))
  loose <- digits_lost(fit$naive.var %||% fit$var)
  expect_within(unname(coef(fit)), unname(coef(peer)), max(1e-8, loose),
                paste(info, "coefficients"))
  for (name in c("var", if (!is.null(peer$naive.var)) "naive.var")) {
    expect_equal(unname(fit[[name]]), unname(peer[[name]]),
                 tolerance = max(1e-7, loose), info = paste(info, name))
  }
}

in_full <- function() identical(Sys.getenv("VIGITENSOR_FULL"), "true")

# Engines against coxph. call: of wce(), without an engine.
expect_like_expanded <- function(call, right, rows, features, robust = FALSE,
                                 engines = c("cpu",
                                             if (in_full()) "reference")) {
  call <- substitute(call)
  env <- parent.frame()
  peer <- expanded_coxph(right, rows, features, robust)
  for (engine in engines) {
    call$engine <- engine
    fit <- suppressWarnings(eval(call, env),
                            classes = "vigitensor_warning_uncovered_lags")
    expect_identical(fit$nevent, as.integer(peer$nevent))
    expect_same_model(fit, peer, paste(engine, deparse1(call$formula)))
  }
  invisible(fit)
}

# Records from one string of digits per person, one digit for each day from the
# first on.
intake_records <- function(digits, step) {
  days <- nchar(digits)
  dose <- step * as.numeric(unlist(strsplit(digits, "")))
  start <- sequence(days) - 1
  data.frame(id = rep(seq_along(digits), days), start, stop = start + 1,
             dose)[dose > 0, ]
}
