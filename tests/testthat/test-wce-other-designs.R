# Case-control, self-controlled and Poisson models: each against the usual
# function on a design matrix written out by hand, to 1e-8.

test_that("nested sets give what clogit() gives, person in several sets", {
  sim <- row_study()
  sets <- sample_riskset(Surv(entry, exit, event) ~ 1, data = sim$people,
                         id = person_id, controls = 3, seed = 1)
  expect_gt(max(table(sets$person_id)), 1)
  for (engine in engines_here()) {
    fit <- wce_case_control(
      case ~ sex + exposure("drug") + strata(set), data = sets, id = person_id,
      time = time, records = sim$records, cutoff = 40, nknots = 1,
      constrained = "right", engine = engine
    )
    d <- by_hand(fit, sets$person_id, sets$time, sim$records)
    peer <- survival::clogit(
      case ~ sex + d + strata(set), data = sets,
      control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                           toler.chol = 1e-15)
    )
    same_fit(fit, peer)
    expect_output(print(fit), "conditional logistic model")
  }
})

test_that("several cases in a set are as clogit()'s exact likelihood", {
  sim <- row_study(150)
  sets <- sample_riskset(Surv(entry, exit, event) ~ 1, data = sim$people,
                         id = person_id, controls = 3, seed = 2)
  sets$pair <- (sets$set + 1) %/% 2
  for (engine in engines_here()) {
    fit <- wce_case_control(
      case ~ exposure("drug") + strata(pair), data = sets, id = "person_id",
      time = "time", records = sim$records, cutoff = 30, nknots = 0,
      constrained = "right", engine = engine
    )
    d <- by_hand(fit, sets$person_id, sets$time, sim$records)
    peer <- survival::clogit(
      case ~ d + strata(pair), data = sets,
      control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                           toler.chol = 1e-15)
    )
    same_fit(fit, peer)
  }
})

test_that("all at risk as controls is the cohort itself", {
  sim <- row_study(120)
  # One event a time: the risk sets of the Cox model, whatever its ties.
  sim$people <- sim$people[!(sim$people$event == 1 &
                               duplicated(sim$people$exit)), ]
  sets <- sample_riskset(Surv(entry, exit, event) ~ 1, data = sim$people,
                         id = person_id, controls = 1000, seed = 2)
  expect_true(all(tapply(sets$case, sets$set, sum) == 1))
  arguments <- list(cutoff = 30, nknots = 1, constrained = "right",
                    engine = "reference")
  cohort <- do.call(wce, c(list(
    Surv(entry, exit, event) ~ sex + exposure("drug"), data = sim$people,
    id = "person_id", records = sim$records), arguments))
  nested <- do.call(wce_case_control, c(list(
    case ~ sex + exposure("drug") + strata(set), data = sets, id = "person_id",
    time = "time", records = sim$records), arguments))
  expect_equal(nested$coefficients, cohort$coefficients, tolerance = 1e-8)
  expect_equal(nested$loglik, cohort$loglik, tolerance = 1e-10)
  expect_equal(weight_function(nested)$weight, weight_function(cohort)$weight,
               tolerance = 1e-8)
})

test_that("unmatched cases and controls give what glm() gives", {
  sim <- row_study()
  people <- sim$people
  fit <- wce_case_control(
    event ~ sex + age + exposure("drug"), data = people, id = person_id,
    time = exit, records = sim$records, cutoff = 40, nknots = 1:2,
    constrained = "right"
  )
  d <- by_hand(fit, people$person_id, people$exit, sim$records)
  peer <- stats::glm(event ~ sex + age + d, stats::binomial(), data = people,
                     control = list(epsilon = 1e-14, maxit = 60))
  same_fit(fit, peer)
  expect_output(print(fit), "OR ")
  expect_equal(nrow(fit$selection), 2L)
  hr <- hazard_ratio(fit, rep(1, 40))
  expect_output(print(hr), "Odds ratio of")
  expect_output(print(total_effect(fit)), "Odds ratio of")
  expect_equal(log(hr$hr), sum(weight_function(fit)$weight), tolerance = 1e-10)
})

test_that("case-control doses count in continuous time too", {
  sim <- row_study(200)
  moved <- transform(sim$records, start = start + 0.25, stop = stop + 0.25)
  people <- transform(sim$people, exit = exit + 0.25)
  fit <- function(people, records, ...) {
    wce_case_control(event ~ sex + exposure("drug"), data = people,
                     id = person_id, time = exit, records = records,
                     cutoff = 40, nknots = 1, constrained = "right", ...)
  }
  a <- fit(people, moved, clock = "continuous")
  b <- fit(sim$people, sim$records, clock = "continuous")
  expect_equal(a$coefficients, b$coefficients, tolerance = 1e-8)
})

test_that("self-controlled series are a Poisson model with a level a person", {
  sim <- row_study(60)
  # Two rows for some, cut at half time; and events before the end.
  half <- transform(sim$people, mid = floor((entry + exit) / 2))
  people <- rbind(
    transform(half, exit = mid, event = rep_len(c(1L, 0L, 0L), nrow(half)),
              late = 0),
    transform(half, entry = mid, late = 1)
  )[, c("person_id", "sex", "age", "entry", "exit", "event", "late")]
  people <- people[people$exit > people$entry, ]
  for (engine in engines_here()) {
    fit <- wce_self_controlled(
      Surv(entry, exit, event) ~ late + exposure("drug"), data = people,
      id = person_id, records = sim$records, cutoff = 30, nknots = 0,
      constrained = "right", engine = engine
    )
    days <- days_of(people)
    days$late <- people$late[days$row]
    cases <- unique(days$person_id[days$y == 1])
    days <- days[days$person_id %in% cases, ]
    d <- by_hand(fit, days$person_id, days$day, sim$records)
    peer <- stats::glm(y ~ 0 + factor(person_id) + late + d, stats::poisson(),
                       data = days, control = list(epsilon = 1e-14, maxit = 60))
    own <- -seq_along(cases)
    expect_equal(unname(fit$coefficients), unname(coef(peer)[own]),
                 tolerance = 1e-8)
    expect_equal(unname(fit$var), unname(vcov(peer)[own, own]),
                 tolerance = 1e-6)
    expect_equal(fit$n_subjects, length(cases))
    # Rows cut once more are the same person-time.
    more <- people$entry + 10
    long <- which(people$exit > more)
    cut_up <- rbind(transform(people[long, ], exit = more[long], event = 0L),
                    transform(people[long, ], entry = more[long]),
                    people[-long, ])
    again <- wce_self_controlled(
      Surv(entry, exit, event) ~ late + exposure("drug"), data = cut_up,
      id = person_id, records = sim$records, cutoff = 30, nknots = 0,
      constrained = "right", engine = engine
    )
    expect_equal(again$loglik, fit$loglik, tolerance = 1e-10)
  }
})

test_that("Poisson regression is that of all days", {
  sim <- row_study(80)
  fit <- wce_poisson(
    Surv(entry, exit, event) ~ sex + exposure("drug"), data = sim$people,
    id = person_id, records = sim$records, cuts = c(60, 120), cutoff = 30,
    nknots = 1, constrained = "right"
  )
  days <- days_of(sim$people)
  days$rate <- cut(days$day, c(-Inf, 60, 120, Inf))
  d <- by_hand(fit, days$person_id, days$day, sim$records)
  peer <- stats::glm(y ~ 0 + rate + sex + d, stats::poisson(), data = days,
                     control = list(epsilon = 1e-14, maxit = 60))
  expect_equal(unname(fit$coefficients), unname(coef(peer))[c(1:3, 4:7)][
    seq_along(fit$coefficients)], tolerance = 1e-8)
  expect_equal(fit$loglik[2L], as.numeric(logLik(peer)), tolerance = 1e-8)
  expect_match(names(fit$coefficients)[2L], "rate(60,120]", fixed = TRUE)
})

test_that("Fine and Gray's model is wce() on the rows of finegray()", {
  sim <- row_study(200, seed = 5)
  people <- sim$people
  n <- nrow(people)
  people$status <- factor(ifelse(people$event == 1, "event",
                                 rep_len(c("censored", "death"), n)),
                          c("censored", "event", "death"))
  rows <- survival::finegray(
    Surv(entry, exit, status) ~ ., data = people[, c("person_id", "sex", "age",
                                                     "entry", "exit",
                                                     "status")],
    id = people$person_id, etype = "event"
  )
  for (engine in engines_here()) {
    fit <- wce(Surv(fgstart, fgstop, fgstatus) ~ sex + exposure("drug"),
               data = rows, id = person_id, records = sim$records,
               weights = fgwt, cutoff = 30, nknots = 0, robust = FALSE,
               constrained = "right", engine = engine)
    # The days of all rows at event times, each with its doses.
    times <- sort(unique(rows$fgstop[rows$fgstatus == 1]))
    long <- survival::survSplit(Surv(fgstart, fgstop, fgstatus) ~ ., rows,
                                cut = times)
    d <- by_hand(fit, long$person_id, long$fgstop, sim$records)
    peer <- survival::coxph(
      Surv(fgstart, fgstop, fgstatus) ~ sex + d, long, weights = fgwt,
      robust = FALSE,
      control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15)
    )
    same_fit(fit, peer)
  }
})

test_that("controls are at risk, distinct, of the stratum, and not the case", {
  sim <- row_study(300, seed = 7)
  people <- sim$people
  sets <- sample_riskset(Surv(entry, exit, event) ~ strata(sex), data = people,
                         id = person_id, controls = 4, seed = 11)
  again <- sample_riskset(Surv(entry, exit, event) ~ strata(sex), data = people,
                          id = person_id, controls = 4, seed = 11)
  expect_identical(sets, again)
  expect_true(all(sets$entry < sets$time & sets$exit >= sets$time))
  expect_equal(as.vector(tapply(sets$case, sets$set, sum)),
               rep(1, max(sets$set)))
  expect_false(any(tapply(sets$person_id, sets$set, anyDuplicated) > 0))
  expect_true(all(tapply(sets$sex, sets$set, function(x) {
    length(unique(x))
  }) == 1))
  first <- sets[sets$case == 1, ]
  at_risk <- vapply(seq_len(nrow(first)), function(k) {
    sum(people$entry < first$time[k] & people$exit >= first$time[k] &
          people$sex == first$sex[k])
  }, 0L)
  expect_equal(first$n_at_risk, at_risk)
  # Every person at risk is drawn equally often.
  small <- data.frame(id = 1:6, entry = 0, exit = c(5, 9, 9, 9, 4, 9),
                      event = c(1, 0, 0, 0, 0, 0))
  drawn <- replicate(2000, {
    found <- sample_riskset(Surv(entry, exit, event) ~ 1, small, id,
                            controls = 2)
    found$id[found$case == 0]
  })
  expect_gt(stats::chisq.test(table(drawn))$p.value, 1e-4)
  expect_setequal(drawn, c(2, 3, 4, 6))
})

test_that("what these designs cannot do is said", {
  sim <- row_study(100)
  people <- sim$people
  expect_error(wce_case_control(event ~ exposure(dose), transform(people,
                                                                  dose = 1),
                                person_id, exit, cutoff = 10,
                                records = sim$records),
               class = "vigitensor_error_exposure")
  expect_error(wce_case_control(event ~ exposure("drug"), people, person_id,
                                records = sim$records, cutoff = 10),
               class = "vigitensor_error_time")
  expect_error(wce_case_control(event ~ exposure("drug"),
                                transform(people, event = 1), person_id, exit,
                                records = sim$records, cutoff = 10),
               class = "vigitensor_error_no_event")
  expect_error(wce_self_controlled(Surv(entry, exit, event) ~ strata(sex) +
                                     exposure("drug"), people, person_id,
                                   sim$records, cutoff = 10),
               class = "vigitensor_error_unsupported_term")
  expect_error(wce_poisson(Surv(entry, exit, event) ~ exposure("drug"), people,
                           person_id, sim$records, cuts = c(5, 5),
                           cutoff = 10),
               class = "vigitensor_error_cuts")
  expect_error(sample_riskset(Surv(entry, exit, event) ~ age, people,
                              person_id),
               class = "vigitensor_error_formula")
  expect_error(sample_riskset(Surv(entry, exit, event) ~ 1,
                              transform(people, set = 1), person_id),
               class = "vigitensor_error_name_taken")
  fit <- wce_case_control(event ~ exposure("drug"), people, person_id, exit,
                          records = sim$records, cutoff = 40, nknots = 0,
                          constrained = "right", engine = "reference")
  refused <- function(expression) {
    expect_error(expression, class = "vigitensor_error_other_model")
  }
  refused(ph_check(fit, data = people, records = sim$records))
  refused(baseline_hazard(fit, data = people, records = sim$records))
  refused(residuals(fit, "schoenfeld"))
  refused(residuals(fit, "deviance"))
  refused(predict(fit, type = "survival", data = people))
  series <- wce_self_controlled(Surv(entry, exit, event) ~ exposure("drug"),
                                people, person_id, sim$records, cutoff = 40,
                                nknots = 0, constrained = "right",
                                engine = "reference")
  refused(residuals(series, by = "row"))
})
