# The simulator against closed forms, plain R twins of its parts, and the truth
# recovered by survival::coxph.

scenarios <- c("exponential", "bilinear", "early_peak", "inverted_u",
               "constant", "hat")

people_of <- function(sim, who) {
  people <- sim$people[sim$people$person_id %in% who, ]
  records <- sim$records[sim$records$person_id %in% who, ]
  row.names(records) <- NULL
  list(people = people, records = records)
}

# WCE of one person on days 1..last, from the definition: doses by day, then a
# sum over lags. Slow and plain.
plain_wce <- function(records, weights, last, first = -400) {
  days <- first:last
  dose <- numeric(length(days))
  for (k in seq_len(nrow(records))) {
    covered <- days > records$start[k] & days <= records$stop[k]
    dose[covered] <- dose[covered] + records$dose[k]
  }
  vapply(seq_len(last), function(t) {
    # Lag u is the day (t - u, t - u + 1], called by its end.
    sum(weights * dose[match(t - seq_along(weights) + 1, days, nomatch = 0)])
  }, 0)
}

# For every person: the WCE on the last day, and the sums over follow-up of the
# hazard times WCE^0, WCE^1 and WCE^2.
plain_hazard_sums <- function(sim, weights) {
  s <- sim$truth$settings
  h0 <- diff(s$hazard * s$days * (0:s$days / s$days)^s$shape)
  sums <- vapply(seq_len(nrow(sim$people)), function(i) {
    person <- sim$people[i, ]
    records <- sim$records[sim$records$person_id == i, ]
    at_risk <- (person$entry + 1):person$exit
    wce <- plain_wce(records, weights, person$exit)[at_risk]
    lp <- s$covariates[["sex"]] * person$sex +
      s$covariates[["age"]] * (person$age - 55)
    hazard <- h0[at_risk] * exp(lp + s$log_hr * wce)
    c(wce[length(wce)], sum(hazard), sum(wce * hazard), sum(wce^2 * hazard))
  }, numeric(4))
  as.data.frame(t(sums), col.names = NULL) |>
    stats::setNames(c("last_wce", "hazard", "wce_hazard", "wce2_hazard"))
}

# ---- random numbers ---------------------------------------------------------

test_that("the generator is SplitMix64", {
  # First outputs from state 1234567, published with the reference code.
  expect_identical(
    splitmix64_cpp(1234567, 5),
    c("599ed017fb08fc85", "2c73f08458540fa5", "883ebce5a3f27c77",
      "3fbef740e9177b3f", "e3b8346708cb5ecd")
  )
})

test_that("the seed fixes the data and R's own numbers are left alone", {
  set.seed(11)
  before <- .Random.seed
  one <- simulate_wce(200, seed = 5)
  expect_identical(.Random.seed, before)
  expect_identical(simulate_wce(200, seed = 5), one)
  expect_false(identical(simulate_wce(200, seed = 6)$people, one$people))
  expect_false(identical(simulate_wce(200, seed = -5)$people, one$people))
})

test_that("a person stays the same in a larger cohort", {
  few <- simulate_wce(50, users = 0.8, late_entry = 0.3, seed = 9)
  many <- simulate_wce(500, users = 0.8, late_entry = 0.3, seed = 9)
  expect_identical(people_of(many, 1:50), people_of(few, 1:50))
})

test_that("a drug without effect leaves everything else as it was", {
  one <- simulate_wce(300, log_hr = c(a = 1), users = 0.5, seed = 2)
  two <- simulate_wce(300, log_hr = c(a = 1, b = 0), users = 0.5, seed = 2)
  expect_identical(two$people, one$people)
  records <- two$records[two$records$drug == "a", ]
  row.names(records) <- NULL
  expect_identical(records, one$records)
})

# ---- weights ----------------------------------------------------------------

test_that("the six scenarios have area 1 over 180 days", {
  areas <- vapply(scenarios, function(s) sum(scenario_weights(s, 180)), 0)
  expect_equal(unname(areas), rep(1, 6), tolerance = 1e-14)
  # The hat goes on: a triangle of 60 days as high as the one of 180.
  expect_equal(sum(scenario_weights("hat")), 1 + 60 / 180, tolerance = 1e-14)
  expect_length(scenario_weights("hat"), 240)
})

test_that("weights of days are integrals of the published functions", {
  density <- list(
    exponential = function(u) exp(-7 * u / 365),
    bilinear = function(u) pmax(1 - u / 50, 0),
    early_peak = function(u) dnorm(u / 365, 0.04, 0.05),
    inverted_u = function(u) dnorm(u / 365, 0.2, 0.06),
    constant = function(u) as.numeric(u <= 180),
    hat = function(u) pmin(u / 180, pmax((240 - u) / 60, 0))
  )
  integral <- function(f, from, to) {
    integrate(f, from, to, rel.tol = 1e-10)$value
  }
  for (name in scenarios) {
    # Over whole days, so that kinks fall on the ends of the intervals.
    area <- sum(vapply(1:180, function(v) {
      integral(density[[name]], v - 1, v)
    }, 0))
    for (v in c(1, 17, 50, 180, 181, 230)) {
      expect_equal(scenario_weights(name, 240)[v],
                   integral(density[[name]], v - 1, v) / area,
                   tolerance = 1e-8, info = paste(name, v))
    }
  }
})

test_that("a function and its values are the same weights", {
  by_function <- simulate_wce(200, weights = function(u) exp(-u / 30) / 30,
                              cutoff = 60, seed = 4)
  by_values <- simulate_wce(200, weights = exp(-(1:60) / 30) / 30, seed = 4)
  expect_identical(by_function$people, by_values$people)
  expect_identical(by_function$truth$weights, by_values$truth$weights)
  expect_equal(by_values$truth$weights$log_hr,
               log(2) * exp(-(1:60) / 30) / 30, tolerance = 1e-15)
})

# ---- people -----------------------------------------------------------------

test_that("without exposure the event rate is the one that was set", {
  sim <- simulate_wce(20000, users = 0, covariates = numeric(),
                      hazard = 2e-3, dropout = 0, seed = 3)
  # Geometric times: n (1 - exp(-365 h)) events are expected.
  p <- 1 - exp(-365 * 2e-3)
  z <- (sim$counts$events - 20000 * p) / sqrt(20000 * p * (1 - p))
  expect_lt(abs(z), 3)
  # Events over person-days estimate 1 - exp(-h).
  rate <- -log(1 - sim$counts$events / sim$counts$person_days)
  expect_lt(abs(rate / 2e-3 - 1), 3 / sqrt(sim$counts$events))
  expect_identical(sim$counts$records, 0L)
})

test_that("a Weibull baseline gives Weibull times", {
  sim <- simulate_wce(20000, users = 0, covariates = numeric(), shape = 2,
                      hazard = 2e-3, dropout = 0, seed = 8)
  expected <- function(t) 1 - exp(-2e-3 * 365 * (t / 365)^2)
  for (t in c(50, 150, 300, 365)) {
    p <- expected(t)
    got <- mean(sim$people$event == 1 & sim$people$exit <= t)
    expect_lt(abs(got - p), 3.5 * sqrt(p * (1 - p) / 20000))
  }
})

test_that("dropout, late entry and covariates are as described", {
  sim <- simulate_wce(20000, users = 0, hazard = 1e-12, dropout = 0.4,
                      late_entry = 0.3, seed = 12)
  people <- sim$people
  expect_lt(abs(mean(people$entry > 0) - 0.3), 0.012)
  expect_identical(range(people$entry), c(0L, 182L))
  # Of those who leave, 1 in 365 or so leaves on the last day.
  expect_lt(abs(mean(people$exit < 365) - 0.4), 0.015)
  expect_true(all(people$exit > people$entry & people$exit <= 365))
  expect_lt(abs(mean(people$sex) - 0.5), 0.012)
  expect_lt(abs(mean(people$age) - 55), 0.4)
  expect_lt(abs(sd(people$age) - 15), 0.4)
  expect_true(all(people$age >= 18 & people$age <= 95))
  expect_identical(sum(people$event), 0L)
})

# ---- records ----------------------------------------------------------------

test_that("claims are packs of the supply, dispensed about its end", {
  sim <- simulate_wce(3000, users = 0.4, hazard = 1e-12, dropout = 0,
                      first_day = c(-20, 10), supply = 28, packs = 4,
                      refill = c(-2, 3), gap = 40, doses = c(1, 2),
                      days = 2000, seed = 21)
  records <- sim$records
  expect_lt(abs(sim$counts$users / 3000 - 0.4), 0.03)
  expect_true(all(records$stop - records$start == 28))
  expect_true(all(records$dose %in% c(1, 2)))
  same <- diff(records$person_id) == 0
  wait <- (records$start[-1] - records$stop[-nrow(records)])[same]
  expect_gte(min(wait), -2)
  # Refills wait -2 to 3 days, breaks 1 or more: below 1 there are refills
  # only, half of them, and 3 of 4 packs are followed by a refill.
  expect_lt(abs(mean(wait < 1) - 0.75 / 2), 0.01)
  expect_lt(abs(mean(wait[wait > 3]) - 3 - 40), 1.5)
  first <- records$start[!duplicated(records$person_id)]
  expect_identical(range(first), c(-20L, 10L))
  # The dose changes between spells, never at a refill.
  change <- diff(records$dose)[same] != 0
  expect_false(any(change[wait < 1]))
})

test_that("spells as published by Sylvestre and Abrahamowicz", {
  sim <- simulate_wce(500, spells = "sylvestre", hazard = 1e-12, dropout = 0,
                      days = 1000, seed = 31)
  records <- sim$records
  expect_identical(sim$counts$users, 500L)
  expect_true(all(records$start[!duplicated(records$person_id)] == 0))
  length_of <- records$stop - records$start
  expect_true(all(length_of %% 7 == 0 & length_of >= 7))
  same <- diff(records$person_id) == 0
  off <- (records$start[-1] - records$stop[-nrow(records)])[same]
  expect_true(all(off %% 7 == 0 & off >= 7))
  # Mean of round(lognormal(0.5, 0.8)), summed over its distribution. Long
  # spells are cut off by the end of the study less often than they start
  # late, so the first spell of each person is compared.
  k <- 0:2000
  mean_weeks <- sum(k * (plnorm(k + 0.5, 0.5, 0.8) -
                           plnorm(pmax(k - 0.5, 0), 0.5, 0.8)))
  first <- length_of[!duplicated(records$person_id)]
  expect_lt(abs(mean(first) - 7 - 7 * mean_weeks), 3 * sd(first) / sqrt(500))
  expect_setequal(records$dose, seq(0.5, 3, by = 0.5))
})

test_that("records stop at the end of follow-up and keep the history", {
  sim <- simulate_wce(2000, users = 1, late_entry = 0.5, seed = 41)
  person <- match(sim$records$person_id, sim$people$person_id)
  expect_true(all(sim$records$start < sim$people$exit[person]))
  expect_true(any(sim$records$stop <= sim$people$entry[person]))
  expect_false(is.unsorted(sim$records$person_id))
})

# ---- the event mechanism ----------------------------------------------------

test_that("events follow the hazard that was set, person by person", {
  # With H the cumulative hazard over follow-up, sum f(person) (event - H) has
  # mean 0 and variance about sum f^2 H, for f known at entry; likewise the
  # sum over days of WCE(t) times (event on t - hazard of t).
  weights <- scenario_weights("inverted_u", 120)
  sim <- simulate_wce(800, users = 0.7, weights = weights, log_hr = log(3),
                      first_day = c(-150, 300), late_entry = 0.3, shape = 1.5,
                      refill = c(-10, 5), seed = 51)
  sums <- plain_hazard_sums(sim, weights)
  event <- sim$people$event
  for (f in list(rep(1, 800), sim$people$sex, sim$people$age - 55,
                 sim$people$entry)) {
    z <- sum(f * (event - sums$hazard)) / sqrt(sum(f^2 * sums$hazard))
    expect_lt(abs(z), 3)
  }
  z <- sum(event * sums$last_wce - sums$wce_hazard) /
    sqrt(sum(sums$wce2_hazard))
  expect_lt(abs(z), 3)
})

test_that("a weight at one lag acts at that lag exactly", {
  # So strong an effect that the first day on which it can act is the event.
  for (lag in c(1, 5)) {
    sim <- simulate_wce(300, users = 1, hazard = 1e-15, log_hr = 100,
                        weights = replace(numeric(10), lag, 1), doses = 1,
                        first_day = c(-20, 200), dropout = 0, seed = 81)
    first <- tapply(sim$records$start, sim$records$person_id, min)
    first <- first[as.character(seq_len(300))]
    # The first dose is that of day (start, start + 1]: lag 1 at start + 1.
    expect_identical(sim$people$exit, as.integer(pmax(first + lag, 1)))
    expect_true(all(sim$people$event == 1))
  }
})

test_that("coxph on the true exposure finds the coefficients put in", {
  for (spells in c("claims", "sylvestre")) {
    sim <- simulate_wce(1000, spells = spells, users = 0.8, late_entry = 0.2,
                        weights = "early_peak", cutoff = 90, seed = 61)
    rows <- unit_rows(sim, weights = sim$truth$weights$weight)
    times <- unique(rows$Stop[rows$Event == 1])
    fit <- survival::coxph(Surv(Start, Stop, Event) ~ sex + age + wce,
                           rows[rows$Stop %in% times, ])
    truth <- c(sim$truth$covariates, sim$truth$log_hr)
    expect_true(all(abs(coef(fit) - truth) < 3 * sqrt(diag(vcov(fit)))))
    # A test that a wrong lag or a lost history would fail: the truth is well
    # determined here.
    expect_lt(sqrt(vcov(fit)["wce", "wce"]), 0.08)
  }
})

test_that("window days are the person-days with a record in the window", {
  sim <- simulate_wce(300, users = 0.6, late_entry = 0.4, refill = c(-5, 5),
                      first_day = c(-100, 300), weights = rep(1, 45), seed = 71)
  rows <- unit_rows(sim, weights = rep(1, 45))
  expect_identical(sim$counts$window_days, as.numeric(sum(rows$wce > 0)))
  expect_identical(sim$counts$person_days, as.numeric(nrow(rows)))
  # Default-like settings: about a tenth of person-time is inside a window.
  sim <- simulate_wce(20000, hazard = 1e-4, seed = 1)
  share <- sim$counts$window_days / sim$counts$person_days
  expect_gt(share, 0.08)
  expect_lt(share, 0.16)
  expect_lt(abs(sim$counts$person_days / 20000 - 270), 8)
})

# ---- arguments, print, data -------------------------------------------------

test_that("wrong arguments are refused by name", {
  refused <- function(...) {
    condition <- expect_error(simulate_wce(...),
                              class = "vigitensor_error_simulation")
    condition$arg
  }
  expect_identical(refused(n = 0), "n")
  expect_identical(refused(n = 2.5), "n")
  expect_identical(refused(days = NA), "days")
  expect_identical(refused(seed = "a"), "seed")
  expect_identical(refused(weights = "flat"), "scenario")
  expect_identical(refused(weights = c(1, NA)), "weights")
  expect_identical(refused(weights = 1:3, cutoff = 4), "weights")
  expect_identical(refused(weights = function(u) 1, cutoff = 4), "weights")
  expect_identical(refused(weights = list(1:3, 1:3)), "weights")
  expect_identical(refused(weights = list(b = 1:3), log_hr = c(a = 1)),
                   "weights")
  expect_identical(refused(log_hr = c(1, 2)), "log_hr")
  expect_identical(refused(log_hr = c(a = 1, a = 2)), "log_hr")
  expect_identical(refused(spells = "weekly"), "spells")
  expect_identical(refused(users = 1.2), "users")
  expect_identical(refused(users = c(0.1, 0.2)), "users")
  expect_identical(refused(first_day = 3), "first_day")
  expect_identical(refused(first_day = c(5, 3)), "first_day")
  expect_identical(refused(first_day = c(0, 365)), "first_day")
  expect_identical(refused(supply = 0), "supply")
  expect_identical(refused(packs = 0.5), "packs")
  expect_identical(refused(refill = c(-30, 0)), "refill")
  expect_identical(refused(gap = 0), "gap")
  expect_identical(refused(doses = c(1, -1)), "doses")
  expect_identical(refused(hazard = 0), "hazard")
  expect_identical(refused(shape = -1), "shape")
  expect_identical(refused(covariates = c(bmi = 1)), "covariates")
  expect_identical(refused(late_entry = 2), "late_entry")
  expect_identical(refused(dropout = -0.1), "dropout")
  expect_error(scenario_weights("hat", 0.5),
               class = "vigitensor_error_simulation")
})

test_that("one day, one person and certain events work", {
  sim <- simulate_wce(1, days = 1, users = 1, late_entry = 1, seed = 1)
  expect_identical(sim$people$entry, 0L)
  expect_identical(sim$people$exit, 1L)
  sim <- simulate_wce(100, days = 2, hazard = 1e6, late_entry = 1, seed = 1)
  expect_true(all(sim$people$event == 1 & sim$people$exit == 2))
})

test_that("print says what was drawn", {
  sim <- simulate_wce(100, log_hr = c(a = log(2), b = 0), users = c(1, 0.2),
                      cutoff = 30, seed = 99)
  out <- capture.output(returned <- print(sim))
  expect_identical(returned, sim)
  expect_match(out[1], "100 people, .* events?, .* person-days .* 365 days")
  expect_match(out[2], "of 2 drugs, .* users; .*% of person-days")
  expect_match(paste(out[3:4], collapse = " "),
               "a 2, b 1; cutoff +30 days; seed 99")
})

test_that("the shipped data are what their page says", {
  sim <- simulate_wce(
    n = 1000, days = 365, weights = "early_peak", cutoff = 90,
    log_hr = c(drug_a = log(2), drug_b = 0), users = 0.5, hazard = 1e-3,
    covariates = c(sex = 0.5, age = 0.02), late_entry = 0.2, seed = 2026
  )
  expect_equal(claims_people, sim$people)
  expect_equal(claims_dispensings, sim$records)
})
