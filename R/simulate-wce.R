# simulate_wce(): cohorts with dispensing records and a known truth. The people
# are drawn in src/simulate.cpp; here the arguments are checked. The result is
# put together in simulate-result.R.

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
#' (times the factors of stratum, severity and frailty, where these are used)
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
#' @section The published design:
#' `design = "sylvestre"` sets what Sylvestre and Abrahamowicz (2009) used,
#' for all arguments that are not given: 500 new users over 365 days, treated
#' from day 0 in `"sylvestre"` spells, a log hazard ratio of log(4), no other
#' covariate, and censoring drawn evenly from twice the study (`dropout = 0.5`).
#' They matched event times to people by a permutation algorithm; here the
#' hazard itself is simulated, constant at baseline and such that about 250 of
#' 500 people have the event, whichever of the six scenarios is used.
#'
#' @section Confounding:
#' With `confounding`, every person's disease is `severe` on some days and calm
#' on others: lengths are geometric with the means in `severity`, from a
#' process that has gone on for ever. A severe day multiplies the hazard of
#' that day, and the clock that waits for the next spell of treatment (of any
#' drug) runs faster in severe time; a first spell is likelier on a severe day
#' in the same proportion. Packs and doses do not depend on severity, and no
#' drug changes it. So a model with `severe` as a time-varying covariate is
#' right, one without it is confounded.
#'
#' @section Random numbers:
#' Each person's numbers depend only on `seed` and on the person's number, so
#' person 17 is the same whatever `n` is, and one drug more leaves the others
#' as they were. R's own random numbers are neither used nor changed.
#'
#' @param n Number of people, at least 1. With `design = "sylvestre"` 500.
#' @param days Length of the study in days, at least 1.
#' @param weights Weight function: the name of one of the six scenarios of
#'   [scenario_weights()], a function of the lag in days (vectorised; called
#'   with `1:cutoff`), or a numeric vector (the weights of lags 1, 2, ...). A
#'   list gives one for each drug. Functions and vectors are used as they are;
#'   scenarios have area 1 over 180 days.
#' @param cutoff Number of lags with a weight, in days; one number, or one for
#'   each drug. By default the length of a numeric `weights`, 240 for `"hat"`,
#'   180 otherwise.
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
#'   `hazard * days * (t / days)^shape`. One number, or one for each stratum.
#' @param covariates Log hazard ratios of `sex` (1 against 0) and `age` (per
#'   year), a named vector; those not named have no effect.
#' @param late_entry Share of people who enter late, on a day drawn evenly from
#'   1 to `days / 2`; the others enter on day 0. Their earlier records are
#'   there; they are free of the event on entry.
#' @param dropout Share of people whose follow-up would end early, on a day
#'   drawn evenly from entry + 1 to `days`, without an event. The default gives
#'   a mean follow-up of about three quarters of the study.
#' @param strata Strata with baseline hazards of their own, to which people
#'   belong with equal chance: positive numbers, the factors of `hazard`, named
#'   by stratum; or one whole number, how many (factors evenly from 1/2 to 2 on
#'   the log scale). 1: no strata.
#' @param recurrent If `TRUE`, people stay at risk after an event, and have a
#'   row (entry, exit] for every event and one for the rest.
#' @param frailty Variance of a gamma distributed factor with mean 1 of each
#'   person's hazard, which is in no column. 0: none.
#' @param confounding Log ratios, `c(prescribing = , hazard = )`, of severe
#'   against calm time, or one number for both. 0: none. See Confounding.
#' @param severity Mean lengths in days, at least 1, `c(calm = , severe = )`.
#' @param design `"claims"`, or `"sylvestre"` for the published design, see
#'   below.
#' @param seed A whole number. The same seed gives the same data.
#'
#' @return An object of class `"wce_simulation"`, a list of
#' * `people`: data frame with one row per person, columns `person_id` (1 to
#'   `n`), `entry` and `exit` (days, whole: at risk on (entry, exit]), `event`
#'   (0 or 1), `sex`, `age` (years), and where they are used `stratum` (factor)
#'   and `severe` (0 or 1). With `recurrent` or `confounding` a person has
#'   several rows, in order of time, cut at events and where `severe` changes;
#' * `records`: data frame with one row per record, columns `person_id`,
#'   `drug`, `start` and `stop` (days, (start, stop]), `dose` (per day), in
#'   order of person, drug and start;
#' * `truth`: list of `weights` (data frame: `drug`, `lag`, `weight`, and
#'   `log_hr`, the weight times the drug's effect, which is what
#'   [weight_function()] estimates), `log_hr`, `covariates`, `cutoff`, `seed`,
#'   `formulas` (for [wce()]: `right`, with all that the hazard depends on but
#'   frailty; with confounding also `biased`, without `severe`), and `settings`
#'   (all arguments as used);
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
#'
#' # Severity of disease as a confounder: the models to compare
#' sim <- simulate_wce(n = 500, confounding = log(3), seed = 2)
#' head(sim$people)
#' sim$truth$formulas
#'
#' # The published simulation study
#' simulate_wce(weights = "hat", design = "sylvestre")
simulate_wce <- function(n = 1000, days = 365, weights = "exponential",
                         cutoff = NULL, log_hr = c(drug = log(2)),
                         spells = c("claims", "sylvestre"), users = NULL,
                         first_day = NULL, supply = 30, packs = 3,
                         refill = c(-3, 7), gap = 60,
                         doses = seq(0.5, 3, by = 0.5), hazard = 1e-3,
                         shape = 1, covariates = c(sex = 0.5, age = 0.02),
                         late_entry = 0, dropout = 0.5, strata = 1,
                         recurrent = FALSE, frailty = 0, confounding = 0,
                         severity = c(calm = 90, severe = 30),
                         design = c("claims", "sylvestre"), seed = 1) {
  design <- check_sim_word(design, c("claims", "sylvestre"), "design")
  settings <- mget(setdiff(names(formals()), "design"))
  if (design == "sylvestre") {
    published <- sylvestre_arguments(weights)
    given <- names(match.call())[-1L]
    published <- published[setdiff(names(published), given)]
    settings[names(published)] <- published
  }
  settings <- check_sim_settings(settings)
  weights <- weights_by_drug(settings$weights, settings$cutoff,
                             names(settings$log_hr))
  new_wce_simulation(settings, weights)
}

# The arguments as used: checked, with defaults that depend on other arguments.
check_sim_settings <- function(settings) {
  most_days <- 1e6
  used <- settings
  number <- function(arg, ...) check_sim_number(settings[[arg]], arg, ...)
  number("n", low = 1, high = .Machine$integer.max, whole = TRUE)
  number("days", low = 1, high = most_days, whole = TRUE)
  used$spells <- check_sim_word(settings$spells, c("claims", "sylvestre"),
                                "spells")
  claims <- used$spells == "claims"
  used$log_hr <- check_sim_log_hr(settings$log_hr)
  n_drugs <- length(used$log_hr)
  check_sim_cutoff(settings$cutoff, n_drugs, most_days)
  used$users <- check_sim_users(settings$users %||% if (claims) 0.3 else 1,
                                n_drugs)
  used$first_day <- settings$first_day %||%
    if (claims) c(0, settings$days - 1) else c(0, 0)
  check_sim_range(used$first_day, "first_day", -most_days, settings$days - 1)
  number("supply", low = 1, high = most_days, whole = TRUE)
  number("packs", low = 1)
  check_sim_range(settings$refill, "refill", 1 - settings$supply, most_days)
  number("gap", low = 1)
  used$doses <- check_sim_doses(settings$doses)
  number("hazard", low = 0, open_low = TRUE)
  used$strata <- check_sim_strata(settings$strata)
  check_sim_shape(settings$shape, length(used$strata))
  used$covariates <- check_sim_covariates(settings$covariates)
  number("late_entry", low = 0, high = 1)
  number("dropout", low = 0, high = 1)
  check_sim_flag(settings$recurrent, "recurrent")
  number("frailty", low = 0)
  used$confounding <- check_sim_named(settings$confounding, "confounding",
                                      c("prescribing", "hazard"))
  used$severity <- check_sim_named(settings$severity, "severity",
                                   c("calm", "severe"), low = 1)
  number("seed", low = -2^53, high = 2^53, whole = TRUE)
  used
}

# What "sylvestre" means for arguments that are not given. The hazards give
# events to half of the people: made by bench/calibration/hazards.R.
sylvestre_arguments <- function(weights) {
  hazards <- c(exponential = 8.36e-4, bilinear = 5.96e-4, early_peak = 6.38e-4,
               inverted_u = 8.74e-4, constant = 1.04e-3, hat = 9.12e-4)
  if (is.list(weights) && length(weights)) weights <- weights[[1L]]
  known <- rlang::is_string(weights) && weights %in% names(hazards)
  list(n = 500, log_hr = c(drug = log(4)), spells = "sylvestre",
       covariates = numeric(),
       hazard = hazards[[if (known) weights else "exponential"]])
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
  cutoff <- if (is.null(cutoff)) list(NULL) else as.list(cutoff)
  Map(resolve_weights, weights[drugs], cutoff)
}
