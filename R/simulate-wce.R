# simulate_wce(): cohorts with dispensing records and a known truth. The people
# are drawn in src/simulate.cpp; here the arguments are checked, the tables of
# cumulated weights and hazards made, and the result put together.

#' Simulate a cohort with dispensing records and a known effect
#'
#' Draws people with dispensing records, as a claims database would show them,
#' and the day of their event from a Cox model with weighted cumulative
#' exposure. What was put in comes back with the data, so that an analysis can
#' be held against the truth.
#'
#' On each day `t` at risk, that is on (`t - 1`, `t`], the hazard is
#'
#' \deqn{h(t) = h_0(t) \exp\{\beta_{sex}\, sex + \beta_{age} (age - 55) +
#'   \sum_d \log HR_d \; WCE_d(t)\}}{h(t) = h0(t) exp(b_sex sex + b_age
#'   (age - 55) + sum over drugs of log_hr WCE(t))}
#'
#' and an event happens with probability `1 - exp(-h(t))`. `WCE(t)` is the sum
#' of past daily doses times the weight of their lag; lag 1 is the day that
#' ends at `t`; overlapping records add.
#'
#' Half of the people have `sex = 1`; `age` is a whole number of years, normal
#' with mean 55 and standard deviation 15, held between 18 and 95.
#'
#' @section Spells:
#' A user's first spell starts on a day drawn evenly from `first_day`; spells
#' follow one another until the last day.
#' * `"claims"`: a spell is a geometric number of packs (`packs` on average) of
#'   `supply` days each. The next pack of a spell is dispensed some days before
#'   (the two packs overlap) or after the end of the one before: a whole number
#'   drawn evenly from `refill`. Between spells there is a geometric number of
#'   days, `gap` on average.
#' * `"sylvestre"`: as in Sylvestre and Abrahamowicz (2009): spells of
#'   `7 + 7 round(X)` days, X lognormal with parameters 0.5 and 0.8, separated
#'   by times drawn in the same way.
#'
#' In both the dose per day is drawn once per spell from `doses`. A person's
#' records that start at or after the end of follow-up are not kept; those that
#' start before entry are.
#'
#' @section Random numbers:
#' Each person's numbers depend only on `seed` and on the person's number, so
#' person 17 is the same whatever `n` is, and one drug more leaves the others
#' as they were. R's own random numbers are neither used nor changed.
#'
#' @param n Number of people, at least 1.
#' @param days Length of the study in days, at least 1.
#' @param weights Weight function: the name of one of the six scenarios of
#'   [scenario_weights()], a function of the lag in days (vectorised; called
#'   with `1:cutoff`), or a numeric vector (the weights of lags 1, 2, ...). A
#'   list gives one for each drug. Functions and vectors are used as they are;
#'   scenarios have area 1 over 180 days.
#' @param cutoff Number of lags with a weight, in days. By default the length
#'   of a numeric `weights`, 240 for `"hat"`, 180 otherwise.
#' @param log_hr Effect: log hazard ratio per unit of weighted cumulative
#'   exposure. A named vector simulates several drugs, used independently; a
#'   drug with 0 has no effect. Without a name the drug is called `"drug"`.
#' @param spells `"claims"` or `"sylvestre"`, see Spells.
#' @param users Share of people who ever use the drug, between 0 and 1; one
#'   number, or one for each drug. By default 0.3 for `"claims"` and 1 for
#'   `"sylvestre"`.
#' @param first_day Two whole numbers: the days between which a user's first
#'   spell starts. Negative days give a history before the study. By default
#'   `c(0, days - 1)` for `"claims"`, `c(0, 0)` for `"sylvestre"`.
#' @param supply,packs,refill,gap Spells of `"claims"`: days of supply of a
#'   pack; mean number of packs per spell, at least 1; two whole numbers, the
#'   days from the end of a supply to its refill (more than `-supply`); mean
#'   number of days between spells, at least 1.
#' @param doses Daily doses to draw from, positive.
#' @param hazard Baseline hazard: mean rate per day over the study, for
#'   `sex = 0` and age 55 without exposure.
#' @param shape Weibull shape of the baseline hazard: 1 (constant), above 1
#'   (rising) or below (falling). The cumulative baseline hazard on day `t` is
#'   `hazard * days * (t / days)^shape`.
#' @param covariates Log hazard ratios of `sex` (1 against 0) and `age` (per
#'   year), a named vector; those not named have no effect.
#' @param late_entry Share of people who enter late, on a day drawn evenly from
#'   1 to `days / 2`; the others enter on day 0. Their earlier records are
#'   there; they are free of the event on entry.
#' @param dropout Share of people whose follow-up would end early, on a day
#'   drawn evenly from entry + 1 to `days`, without an event. The default gives
#'   a mean follow-up of about three quarters of the study.
#' @param seed A whole number. The same seed gives the same data.
#'
#' @return An object of class `"wce_simulation"`, a list of
#' * `people`: data frame with one row per person, columns `person_id` (1 to
#'   `n`), `entry` and `exit` (days, whole: at risk on (entry, exit]), `event`
#'   (0 or 1), `sex`, `age` (years);
#' * `records`: data frame with one row per record, columns `person_id`,
#'   `drug`, `start` and `stop` (days, (start, stop]), `dose` (per day), in
#'   order of person, drug and start;
#' * `truth`: list of `weights` (data frame: `drug`, `lag`, `weight`, and
#'   `log_hr`, the weight times the drug's effect, which is what
#'   [weight_function()] estimates), `log_hr`, `covariates`, `cutoff`, `seed`,
#'   and `settings` (all arguments as used);
#' * `counts`: number of `people`, `events`, `person_days` at risk,
#'   `window_days` (of these, the days with a record inside the window), `users`
#'   (people with a record) and `records`.
#'
#' @section Errors:
#' `vigitensor_error_simulation` when an argument is not as described.
#'
#' @references Sylvestre MP, Abrahamowicz M (2009). Flexible modeling of the
#'   cumulative effects of time-dependent exposures on the hazard. *Statistics
#'   in Medicine* 28, 3437-3453. \doi{10.1002/sim.3701}
#' @seealso [unit_rows()] for one row per person-day; [scenario_weights()].
#' @export
#' @examples
#' sim <- simulate_wce(n = 500, weights = "early_peak", seed = 7)
#' sim
#' head(sim$records)
#'
#' # Two drugs, one without effect; a weight function of one's own
#' sim <- simulate_wce(
#'   n = 500, log_hr = c(a = log(2), b = 0), users = 0.5, late_entry = 0.2,
#'   weights = function(lag) ifelse(lag <= 30, 1 / 30, 0), cutoff = 90
#' )
#' sim$counts
simulate_wce <- function(n = 1000, days = 365, weights = "exponential",
                         cutoff = NULL, log_hr = c(drug = log(2)),
                         spells = c("claims", "sylvestre"), users = NULL,
                         first_day = NULL, supply = 30, packs = 3,
                         refill = c(-3, 7), gap = 60,
                         doses = seq(0.5, 3, by = 0.5), hazard = 1e-3,
                         shape = 1, covariates = c(sex = 0.5, age = 0.02),
                         late_entry = 0, dropout = 0.5, seed = 1) {
  most_days <- 1e6
  check_sim_number(n, "n", low = 1, high = .Machine$integer.max, whole = TRUE)
  check_sim_number(days, "days", low = 1, high = most_days, whole = TRUE)
  if (!is.null(cutoff)) {
    check_sim_number(cutoff, "cutoff", low = 1, high = most_days, whole = TRUE)
  }
  spells <- check_sim_spells(spells)
  claims <- spells == "claims"
  log_hr <- check_sim_log_hr(log_hr)
  users <- check_sim_users(users %||% if (claims) 0.3 else 1, length(log_hr))
  first_day <- first_day %||% if (claims) c(0, days - 1) else c(0, 0)
  check_sim_range(first_day, "first_day", -most_days, days - 1)
  check_sim_number(supply, "supply", low = 1, high = most_days, whole = TRUE)
  check_sim_number(packs, "packs", low = 1)
  check_sim_range(refill, "refill", 1 - supply, most_days)
  check_sim_number(gap, "gap", low = 1)
  check_sim_number(hazard, "hazard", low = 0, open_low = TRUE)
  check_sim_number(shape, "shape", low = 0, open_low = TRUE)
  check_sim_number(late_entry, "late_entry", low = 0, high = 1)
  check_sim_number(dropout, "dropout", low = 0, high = 1)
  check_sim_number(seed, "seed", low = -2^53, high = 2^53, whole = TRUE)
  settings <- list(
    n = n, days = days, weights = weights, cutoff = cutoff, log_hr = log_hr,
    spells = spells, users = users, first_day = first_day, supply = supply,
    packs = packs, refill = refill, gap = gap, doses = check_sim_doses(doses),
    hazard = hazard, shape = shape,
    covariates = check_sim_covariates(covariates), late_entry = late_entry,
    dropout = dropout, seed = seed
  )
  new_wce_simulation(settings, weights_by_drug(weights, cutoff, names(log_hr)))
}

check_sim_spells <- function(spells) {
  known <- c("claims", "sylvestre")
  if (identical(spells, known)) return("claims")
  if (!is.character(spells) || length(spells) != 1L || !spells %in% known) {
    stop_sim_argument("\"claims\" or \"sylvestre\"", spells, "spells")
  }
  spells
}

# A list of weight vectors, one per drug.
weights_by_drug <- function(weights, cutoff, drugs) {
  if (!is.list(weights)) weights <- list(weights)
  if (!length(weights) %in% c(1L, length(drugs))) {
    abort_input(
      "`weights` must be one weight function, or a list of one for each drug.",
      x = sprintf("It is a list of %d for %d drug(s).", length(weights),
                  length(drugs)),
      code = "simulation", arg = "weights"
    )
  }
  if (is.null(names(weights))) {
    weights <- rep_len(weights, length(drugs))
    names(weights) <- drugs
  }
  if (!setequal(names(weights), drugs)) {
    abort_input("The names of `weights` must be the names of `log_hr`.",
                code = "simulation", arg = "weights")
  }
  lapply(weights[drugs], resolve_weights, cutoff = cutoff)
}

new_wce_simulation <- function(settings, weights) {
  drugs <- names(settings$log_hr)
  cum <- Map(function(w, log_hr) log_hr * c(0, cumsum(w)), weights,
             settings$log_hr)
  days <- settings$days
  cum_hazard <- settings$hazard * days * (0:days / days)^settings$shape
  out <- simulate_cohort_cpp(
    settings$n, days, settings$seed,
    list(claims = settings$spells == "claims", first_day = settings$first_day,
         supply = settings$supply, packs = settings$packs,
         refill = settings$refill, gap = settings$gap, doses = settings$doses),
    settings$users, unname(cum), cum_hazard, settings$covariates[["sex"]],
    settings$covariates[["age"]], settings$late_entry, settings$dropout
  )
  people <- data.frame(
    person_id = seq_len(settings$n), entry = out$entry, exit = out$exit,
    event = out$event, sex = out$sex, age = out$age
  )
  records <- data.frame(
    person_id = out$person, drug = drugs[out$drug], start = out$start,
    stop = out$stop, dose = out$dose
  )
  n_lags <- lengths(weights)
  truth <- list(
    weights = data.frame(
      drug = rep(drugs, n_lags), lag = sequence(n_lags),
      weight = unlist(weights, use.names = FALSE),
      log_hr = unlist(Map(`*`, weights, settings$log_hr), use.names = FALSE)
    ),
    log_hr = settings$log_hr, covariates = settings$covariates,
    cutoff = max(n_lags), seed = settings$seed, settings = settings
  )
  counts <- list(
    people = nrow(people), events = sum(people$event),
    person_days = sum(as.numeric(people$exit) - people$entry),
    window_days = out$window_days, users = length(unique(out$person)),
    records = nrow(records)
  )
  structure(list(people = people, records = records, truth = truth,
                 counts = counts), class = "wce_simulation")
}

#' @param x A simulation.
#' @param ... Not used.
#' @return `print()` returns its argument, invisibly.
#' @rdname simulate_wce
#' @export
print.wce_simulation <- function(x, ...) {
  counts <- x$counts
  settings <- x$truth$settings
  cat("Simulated cohort: ", count_of(counts$people, "person", "people"), ", ",
      count_of(counts$events, "event"), ", ",
      count_of(counts$person_days, "person-day"), " of a study of ",
      count_of(settings$days, "day"), "\n", sep = "")
  cat("Records: ", format_count(counts$records), " of ",
      count_of(length(x$truth$log_hr), "drug"), ", ",
      count_of(counts$users, "user"), "; ",
      sprintf("%.1f%%", 100 * counts$window_days / counts$person_days),
      " of person-days have a record within the cutoff\n", sep = "")
  effects <- paste0(names(x$truth$log_hr), " ",
                    format(exp(x$truth$log_hr), digits = 3, trim = TRUE))
  cat_wrapped("Truth: hazard ratio per unit of weighted cumulative exposure: ",
              paste(effects, collapse = ", "), "; cutoff ",
              count_of(x$truth$cutoff, "day"), "; seed ",
              format_count(x$truth$seed))
  cat("Next: `$people` and `$records`, or `unit_rows()` of this object\n")
  invisible(x)
}
