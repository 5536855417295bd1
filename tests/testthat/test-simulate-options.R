# What simulate_wce() adds to the plain cohort: strata, recurrent events,
# frailty, several drugs, confounding, the published design. Closed forms, and
# the truth recovered by survival::coxph.

# Rows with the true weighted cumulative exposure of one drug at the end of each
# person-day. A row of `people` becomes a person of its own, with all records.
daily_rows <- function(sim, drugs = names(sim$truth$log_hr)) {
  people <- sim$people
  people$row_id <- seq_len(nrow(people))
  records <- merge(sim$records, people[c("person_id", "row_id")])
  rows <- NULL
  for (drug in drugs) {
    weights <- sim$truth$weights
    weights <- weights$weight[weights$drug == drug]
    of_drug <- unit_rows(people, records, id = "row_id", drug = drug,
                         weights = weights)
    rows <- rows %||% of_drug[c("Id", "Start", "Stop", "Event",
                                setdiff(names(people), c("row_id", "entry",
                                                         "exit", "event")))]
    rows[[paste0("wce_", drug)]] <- of_drug$wce
  }
  # Only rows that end at an event time matter to coxph.
  rows[rows$Stop %in% rows$Stop[rows$Event == 1], ]
}

# Largest distance from the truth in standard errors.
largest_z <- function(fit, truth) {
  max(abs(coef(fit) - truth) / sqrt(diag(vcov(fit))))
}

follow_up <- function(people) people$exit - people$entry

# ---- nothing changes when the options are off --------------------------------

test_that("an option that is off, or another option, leaves the draws alone", {
  plain <- simulate_wce(400, shape = 1.4, late_entry = 0.3, seed = 9)
  off <- simulate_wce(400, shape = 1.4, late_entry = 0.3, strata = 1,
                      recurrent = FALSE, frailty = 0, confounding = 0,
                      seed = 9)
  expect_identical(off$people, plain$people)
  expect_identical(off$records, plain$records)
  expect_named(plain$people, c("person_id", "entry", "exit", "event", "sex",
                               "age"))
  # A factor of 1 in every stratum: the same people, with a label.
  equal <- simulate_wce(400, shape = 1.4, late_entry = 0.3,
                        strata = c(north = 1, south = 1), seed = 9)
  expect_identical(equal$people[names(plain$people)], plain$people)
  # The first event of recurrent events is the event.
  recurrent <- simulate_wce(400, shape = 1.4, late_entry = 0.3,
                            recurrent = TRUE, seed = 9)
  first <- recurrent$people[!duplicated(recurrent$people$person_id), ]
  row.names(first) <- NULL
  expect_identical(first, plain$people)
  # Severity that does not speed up prescribing leaves the prescriptions.
  severe <- simulate_wce(400, hazard = 1e-12, dropout = 0, seed = 9,
                         confounding = c(prescribing = 0, hazard = 1))
  calm <- simulate_wce(400, hazard = 1e-12, dropout = 0, seed = 9)
  expect_identical(severe$records, calm$records)
})

test_that("a person stays the same as more people are added", {
  draw <- function(n) {
    simulate_wce(n, users = 0.8, strata = 3, recurrent = TRUE, frailty = 0.5,
                 confounding = 1, hazard = 4e-3, first_day = c(-50, 200),
                 seed = 77)
  }
  few <- draw(40)
  many <- draw(150)
  expect_identical(many$people[many$people$person_id <= 40, ], few$people)
  expect_identical(many$records[many$records$person_id <= 40, ], few$records)
})

# ---- strata -----------------------------------------------------------------

test_that("strata have hazards and shapes of their own", {
  sim <- simulate_wce(
    30000, users = 0, covariates = numeric(), hazard = 2e-3, dropout = 0,
    strata = c(low = 0.5, high = 2), shape = c(1, 2), seed = 5
  )
  people <- sim$people
  expect_identical(levels(people$stratum), c("low", "high"))
  expect_lt(abs(mean(people$stratum == "low") - 0.5), 0.01)
  expected <- list(low = function(t) 1 - exp(-0.5 * 2e-3 * t),
                   high = function(t) 1 - exp(-2 * 2e-3 * t^2 / 365))
  for (stratum in names(expected)) {
    of_stratum <- people[people$stratum == stratum, ]
    n <- nrow(of_stratum)
    for (t in c(60, 200, 365)) {
      p <- expected[[stratum]](t)
      got <- mean(of_stratum$event == 1 & of_stratum$exit <= t)
      expect_lt(abs(got - p), 3.5 * sqrt(p * (1 - p) / n))
    }
  }
  # A number of strata: factors evenly from 1/2 to 2 on the log scale.
  expect_equal(simulate_wce(5, strata = 3)$truth$settings$strata,
               c("1" = 0.5, "2" = 1, "3" = 2), tolerance = 1e-15)
})

test_that("a stratified Cox model finds the effect", {
  sim <- simulate_wce(1500, users = 0.8, strata = c(a = 0.2, b = 1, c = 3),
                      shape = c(2, 1, 0.7), weights = "early_peak", cutoff = 60,
                      seed = 15)
  fit <- survival::coxph(
    Surv(Start, Stop, Event) ~ sex + age + wce_drug + strata(stratum),
    daily_rows(sim)
  )
  expect_lt(largest_z(fit, c(sim$truth$covariates, sim$truth$log_hr)), 3)
  expect_lt(sqrt(vcov(fit)["wce_drug", "wce_drug"]), 0.1)
  expect_match(deparse1(sim$truth$formulas$right), "strata(stratum)",
               fixed = TRUE)
})

# ---- recurrent events and frailty -------------------------------------------

test_that("rows of recurrent events follow one another", {
  sim <- simulate_wce(500, recurrent = TRUE, hazard = 6e-3, late_entry = 0.3,
                      seed = 25)
  people <- sim$people
  expect_true(any(duplicated(people$person_id)))
  expect_identical(unique(people$person_id), 1:500)
  same <- diff(people$person_id) == 0
  last <- c(!same, TRUE)
  # A row goes on where the one before ended, with an event; what comes after
  # the last event has none.
  expect_identical(people$entry[-1][same], people$exit[-nrow(people)][same])
  expect_true(all(people$event[!last] == 1))
  expect_true(all(people$exit > people$entry))
  expect_identical(sim$counts$events, sum(people$event))
  expect_identical(sim$counts$people, 500L)
})

test_that("counts of events are those of a Bernoulli process by day", {
  h <- 5e-3
  sim <- simulate_wce(10000, users = 0, covariates = numeric(), hazard = h,
                      dropout = 0, recurrent = TRUE, seed = 35)
  counts <- tapply(sim$people$event, sim$people$person_id, sum)
  p <- 1 - exp(-h)
  expect_lt(abs(mean(counts) - 365 * p), 3 * sqrt(365 * p * (1 - p) / 10000))
  # The variance of a sample variance of binomial counts is near 2 var^2 / n.
  expect_lt(abs(var(counts) / (365 * p * (1 - p)) - 1), 4 * sqrt(2.5 / 10000))
  # Exponential times of a Weibull process: the mean number by day t.
  sim <- simulate_wce(10000, users = 0, covariates = numeric(), hazard = 2e-3,
                      shape = 2, dropout = 0, recurrent = TRUE, seed = 36)
  events <- sim$people$exit[sim$people$event == 1]
  for (t in c(100, 250, 365)) {
    expected <- 10000 * 2e-3 * 365 * (t / 365)^2
    expect_lt(abs(sum(events <= t) - expected), 3.5 * sqrt(expected))
  }
})

test_that("gamma frailty gives the negative binomial", {
  for (v in c(0.3, 2)) {
    sim <- simulate_wce(10000, users = 0, covariates = numeric(),
                        hazard = 2e-3, dropout = 0, recurrent = TRUE,
                        frailty = v, seed = 45)
    counts <- tapply(sim$people$event, sim$people$person_id, sum)
    total <- 2e-3 * 365
    # P(none) = (1 + v H)^(-1/v), exactly, whatever the day.
    none <- (1 + v * total)^(-1 / v)
    expect_lt(abs(mean(counts == 0) - none),
              3 * sqrt(none * (1 - none) / 10000))
    # One event a day at most makes the mean a little smaller than H: by less
    # than H^2 (1 + v) / (2 * 365), below 0.003.
    sd_mean <- sqrt((total + v * total^2) / 10000)
    expect_lt(abs(mean(counts) - total), 3 * sd_mean + 0.003)
    # Standard error of the variance, by the fourth moment of the sample.
    centred <- (counts - mean(counts))^2
    expect_lt(abs(var(counts) - (total + v * total^2)),
              3 * sd(centred) / 100 + 0.02)
  }
})

test_that("coxph finds the effect on recurrent events", {
  sim <- simulate_wce(600, users = 0.8, recurrent = TRUE, hazard = 2e-3,
                      weights = "early_peak", cutoff = 60, late_entry = 0.2,
                      seed = 55)
  fit <- survival::coxph(Surv(Start, Stop, Event) ~ sex + age + wce_drug,
                         daily_rows(sim))
  expect_lt(largest_z(fit, c(sim$truth$covariates, sim$truth$log_hr)), 3)
  expect_lt(sqrt(vcov(fit)["wce_drug", "wce_drug"]), 0.1)
})

# ---- several drugs ----------------------------------------------------------

test_that("every drug has the effect and the weights of its own", {
  sim <- simulate_wce(
    1500, users = 0.7, log_hr = c(a = log(3), b = log(0.5), c = 0),
    weights = list(a = "early_peak", b = "constant", c = rep(0.1, 10)),
    cutoff = c(40, 90, 10), seed = 65
  )
  expect_identical(as.vector(table(sim$truth$weights$drug)), c(40L, 90L, 10L))
  fit <- survival::coxph(
    Surv(Start, Stop, Event) ~ sex + age + wce_a + wce_b + wce_c,
    daily_rows(sim)
  )
  expect_lt(largest_z(fit, c(sim$truth$covariates, sim$truth$log_hr)), 3)
  expect_lt(max(sqrt(diag(vcov(fit)))[c("wce_a", "wce_b")]), 0.2)
})

# ---- confounding ------------------------------------------------------------

test_that("severity comes and goes as described", {
  sim <- simulate_wce(3000, confounding = 1, hazard = 1e-12, dropout = 0,
                      severity = c(calm = 60, severe = 20), days = 500,
                      seed = 75)
  people <- sim$people
  days <- follow_up(people)
  expect_lt(abs(sum(days[people$severe == 1]) / sum(days) - 0.25), 0.01)
  # On the first day the share is that of the long run already.
  first <- !duplicated(people$person_id)
  expect_lt(abs(mean(people$severe[first]) - 0.25), 0.025)
  # Stretches between the first and the last are whole: geometric lengths.
  # Those that would not end in time are missing, so early ones are taken.
  whole <- !first & people$entry < 150
  for (state in 0:1) {
    length_of <- days[whole & people$severe == state]
    mean_of <- c(60, 20)[state + 1]
    expect_lt(abs(mean(length_of) - mean_of), 0.05 * mean_of)
  }
  same <- diff(people$person_id) == 0
  expect_true(all(abs(diff(people$severe))[same] == 1))
})

test_that("treatment starts sooner in severe time", {
  ratio <- 4
  sim <- simulate_wce(4000, users = 1, confounding = log(ratio), packs = 1,
                      supply = 10, gap = 80, hazard = 1e-12, dropout = 0,
                      days = 700, first_day = c(0, 30), seed = 85)
  # The last day of the stretch that ends at a start says how severe the days
  # before were; rates of starts per day off treatment.
  rows <- unit_rows(transform(sim$people, row_id = seq_along(person_id)),
                    merge(sim$records, transform(
                      sim$people[c("person_id", "entry")],
                      row_id = seq_along(person_id)
                    )[c("person_id", "row_id")]), id = "row_id")
  person <- sim$people$person_id[rows$Id]
  rows <- rows[order(person, rows$Start), ]
  person <- sort(person)
  n <- nrow(rows)
  off <- rows$dose[-n] == 0 & rows$Stop[-n] > 40 & diff(person) == 0
  starts <- rows$dose[-1] > 0
  severe <- rows$severe[-n] == 1
  rate <- function(who) sum(starts & off & who) / sum(off & who)
  log_ratio <- log(rate(severe) / rate(!severe))
  # A geometric wait in days of a clock: the hazards per day are
  # 1 - (1 - 1/80)^4 and 1/80, of which a day is the discrete grain.
  expected <- log((1 - (1 - 1 / 80)^ratio) * 80)
  se <- sqrt(1 / sum(starts & off & severe) + 1 / sum(starts & off & !severe))
  expect_lt(abs(log_ratio - expected), 3 * se + 0.03)
  expect_lt(se, 0.05)
})

test_that("the model with severity is right, the one without is biased", {
  sim <- simulate_wce(
    2500, users = 0.9, confounding = c(prescribing = 3, hazard = 1.5),
    packs = 1, gap = 300, doses = 1, weights = rep(1 / 30, 30), log_hr = 0,
    severity = c(calm = 120, severe = 60), hazard = 2e-3, seed = 95
  )
  rows <- daily_rows(sim)
  right <- survival::coxph(
    Surv(Start, Stop, Event) ~ sex + age + severe + wce_drug, rows
  )
  truth <- c(sim$truth$covariates, 1.5, 0)
  expect_lt(largest_z(right, truth), 3)
  biased <- survival::coxph(Surv(Start, Stop, Event) ~ sex + age + wce_drug,
                            rows)
  z <- coef(biased)[["wce_drug"]] / sqrt(vcov(biased)["wce_drug", "wce_drug"])
  expect_gt(z, 4)
  formulas <- sim$truth$formulas
  expect_identical(
    setdiff(all.vars(formulas$right), all.vars(formulas$biased)), "severe"
  )
})

test_that("the formulas of the truth are for wce()", {
  sim <- simulate_wce(150, days = 150, users = 0.9, hazard = 5e-3, strata = 2,
                      recurrent = TRUE, confounding = 0.5,
                      log_hr = c(a = 1, b = 0), cutoff = 20,
                      weights = rep(0.05, 20), seed = 105)
  for (formula in sim$truth$formulas) {
    fit <- wce(formula, sim$people, id = person_id, records = sim$records,
               cutoff = 20, nknots = 1, constrained = "right",
               engine = "reference")
    expect_identical(fit$nevent, sim$counts$events)
    expect_identical(fit$n_subjects, 150L)
  }
})

# ---- the published design ---------------------------------------------------

test_that("the published design has its people, spells and events", {
  for (scenario in c("exponential", "bilinear", "early_peak", "inverted_u",
                     "constant", "hat")) {
    sim <- simulate_wce(weights = scenario, design = "sylvestre", seed = 115)
    expect_identical(sim$counts$people, 500L)
    expect_identical(sim$counts$users, 500L)
    # 250 expected; standard deviation about sqrt(125).
    expect_lt(abs(sim$counts$events - 250), 3.5 * sqrt(125))
    expect_equal(sim$truth$log_hr, c(drug = log(4)))
    expect_setequal(unique(sim$records$dose), seq(0.5, 3, by = 0.5))
  }
  # Half of the people would be censored before day 365, evenly.
  censored <- simulate_wce(4000, design = "sylvestre", hazard = 1e-12)$people
  expect_lt(abs(mean(censored$exit < 365) - 0.5), 0.03)
  # What is given is used.
  sim <- simulate_wce(30, design = "sylvestre", log_hr = 1, days = 100)
  expect_identical(sim$truth$settings$log_hr, c(drug = 1))
  expect_identical(sim$truth$settings$days, 100)
  expect_identical(sim$truth$settings$hazard,
                   simulate_wce(design = "sylvestre")$truth$settings$hazard)
})

# ---- arguments --------------------------------------------------------------

test_that("wrong options are refused by name", {
  refused <- function(...) {
    condition <- expect_error(simulate_wce(...),
                              class = "vigitensor_error_simulation")
    condition$arg
  }
  expect_identical(refused(strata = 0), "strata")
  expect_identical(refused(strata = 1.5), "strata")
  expect_identical(refused(strata = c(1, 2)), "strata")
  expect_identical(refused(strata = c(a = 1, b = -1)), "strata")
  expect_identical(refused(shape = c(1, 2)), "shape")
  expect_identical(refused(recurrent = NA), "recurrent")
  expect_identical(refused(frailty = -1), "frailty")
  expect_identical(refused(confounding = c(1, 2)), "confounding")
  expect_identical(refused(confounding = c(hazard = 1, dose = 1)),
                   "confounding")
  expect_identical(refused(severity = 0.5), "severity")
  expect_identical(refused(design = "rct"), "design")
  expect_identical(refused(cutoff = c(30, 60)), "cutoff")
})

test_that("print names what was added", {
  sim <- simulate_wce(60, strata = 2, recurrent = TRUE, frailty = 0.5,
                      confounding = log(2), seed = 1)
  text <- paste(capture.output(print(sim)), collapse = " ")
  expect_match(text, "60 people")
  expect_match(text, "2 strata, recurrent events, frailty of variance 0.5")
  expect_match(text, "prescribing 2.00, hazard 2.00")
})
