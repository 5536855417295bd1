# Predictions against coxph on rows written out.

# New people with their own records, followed in two rows each.
new_people_case <- function(case) {
  people <- data.frame(
    person_id = c(1, 1, 2, 2, 3), entry = c(0, 12, 4, 20, 0),
    exit = c(12, 30, 20, 33, 25), sex = factor(c("f", "f", "m", "m", "f")),
    age = c(40, 40, 61, 61, 50), region = c("north", "north", "south",
                                            "south", "north"),
    known = c(0.1, 0.2, -0.3, 0, 0.4)
  )
  records <- data.frame(
    person_id = c(1, 1, 2, 2, 9), drug = c("a", "b", "a", "a", "a"),
    start = c(-5, 3, 6, 10, 0), stop = c(9, 20, 18, 14, 9),
    dose = c(1, 0.5, 2, 0.3, 1)
  )
  list(people = people, records = records,
       pieces = cut_people(people, records, case$bases, case$times))
}

test_that("expected events and survival are coxph's, in and out of sample", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- results_case(91, ties, engine)
    people <- case$study$people
    records <- case$study$records
    mine <- predict(case$fit, type = "expected", data = people,
                    records = records)
    peer <- rowsum(predict(case$peer, type = "expected"), case$pieces$row)
    expect_equal(unname(mine), peer[, 1], tolerance = 1e-6,
                 ignore_attr = TRUE)
    new <- new_people_case(case)
    # survival's own se of a path is another; its expected events are ours.
    lp <- drop(stats::model.matrix(~ sex + age, new$pieces)[, -1] %*%
                 coef(case$peer)[1:2] +
                 new$pieces$feature %*% coef(case$peer)[-(1:2)]) +
      new$pieces$known
    base <- baseline_hazard(case$fit, FALSE, people, records)
    step <- vapply(seq_len(nrow(new$pieces)), function(i) {
      p <- new$pieces[i, ]
      mine <- base[base$strata == p$region, ]
      inside <- mine$time > p$entry & mine$time <= p$exit
      sum(diff(c(0, mine$hazard))[inside])
    }, 0)
    want <- rowsum(exp(lp) * step, new$pieces$row)[, 1]
    found <- predict(case$fit, new$people, new$records, type = "expected",
                     se.fit = TRUE, data = people, records = records)
    expect_equal(unname(found$fit), unname(want), tolerance = 1e-6)
    survival <- predict(case$fit, new$people, new$records, type = "survival",
                        se.fit = TRUE, data = people, records = records)
    expect_equal(survival$fit, exp(-found$fit))
    expect_equal(survival$se.fit, found$se.fit * exp(-found$fit))
    # In sample the two ways agree.
    again <- predict(case$fit, type = "expected", se.fit = TRUE, data = people,
                     records = records)
    expect_equal(again$fit, mine, tolerance = 1e-9)
  }
})

test_that("linear predictors, risks and terms are coxph's", {
  for (engine in engines_here()) {
    case <- results_case(92, engine = engine)
    new <- new_people_case(case)
    at <- c(5, 17, 10, 33, 20)
    there <- new$people
    there$entry <- at - 1
    there$exit <- at
    pieces <- cut_people(there, new$records, case$bases, 1000)
    peer <- predict(case$peer, pieces, type = "lp", reference = "zero",
                    se.fit = TRUE)
    mine <- predict(case$fit, new$people, new$records, at = at, se.fit = TRUE,
                    reference = "zero")
    # predict.coxph() takes some mean off the offsets.
    expect_equal(diff(unname(mine$fit)), diff(unname(peer$fit)),
                 tolerance = 1e-7)
    full <- cbind(pieces$sex == "m", pieces$age, pieces$feature)
    expect_equal(unname(mine$fit), drop(full %*% coef(case$peer)) +
                   pieces$known, tolerance = 1e-7)
    expect_equal(unname(mine$se.fit), unname(peer$se.fit), tolerance = 1e-6)
    risk <- predict(case$fit, new$people, new$records, at = at, se.fit = TRUE,
                    reference = "zero", type = "risk")
    expect_equal(risk$fit, exp(mine$fit))
    expect_equal(risk$se.fit, mine$se.fit * risk$fit)
    # At the end of each row when no time is given.
    expect_equal(predict(case$fit, new$people, new$records),
                 predict(case$fit, new$people, new$records,
                         at = new$people$exit))
    terms <- predict(case$fit, new$people, new$records, "terms", TRUE, at)
    expect_identical(colnames(terms$fit),
                     c("sex", "age", "exposure(\"a\")", "exposure(\"b\")"))
    expect_equal(rowSums(terms$fit) + attr(terms$fit, "constant") +
                   new$people$known, mine$fit)
    part <- pieces$feature[, 6:9] %*% vcov(case$peer)[8:11, 8:11]
    expect_equal(unname(terms$se.fit[, 4]),
                 sqrt(rowSums(part * pieces$feature[, 6:9])),
                 tolerance = 1e-6)
  }
})

test_that("a ratio of predictions is the hazard ratio of the histories", {
  study <- random_study(93)
  fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure("a"),
             data = study$people, id = person_id, records = study$records,
             cutoff = 20, nknots = 1, lag_in = 2, engine = "reference")
  course <- data.frame(start = 0, stop = 10, dose = 2)
  none <- course[0, ]
  who <- data.frame(sex = "f", age = 50)
  for (at in c(1, 8, 25, 40)) {
    ratio <- predict(fit, who, course, "risk", at = at) /
      predict(fit, who, none, "risk", at = at)
    expect_equal(unname(ratio), hazard_ratio(fit, course, at = at)$hr)
  }
  # Centred covariates and no dose: the risk of nobody in particular.
  average <- data.frame(sex = c("f", "m"), age = fit$meta$means[["age"]])
  lp <- predict(fit, average, none, at = 5)
  share <- fit$meta$means[["sexm"]]
  expect_equal(sum(lp * c(1 - share, share)), 0, tolerance = 1e-12)
})

test_that("dates, real times and splines are read as in the fit", {
  study <- random_study(94, rows_per_person = 1)
  people <- study$people
  records <- study$records
  fits <- function(people, records, ...) {
    wce(Surv(entry, exit, event) ~ splines::ns(age, 2) + exposure("a"),
        data = people, id = person_id, records = records, cutoff = 20,
        nknots = 1, engine = "reference", ...)
  }
  numbers <- fits(people, records)
  day <- as.Date("2020-01-01")
  dated <- people
  dated[c("entry", "exit")] <- lapply(people[c("entry", "exit")], `+`, day)
  taken <- records
  taken[c("start", "stop")] <- lapply(records[c("start", "stop")], `+`, day)
  dates <- fits(dated, taken)
  some <- 3:9
  for (type in c("lp", "terms", "expected")) {
    expect_equal(unname(predict(numbers, people[some, ], records, type)),
                 unname(predict(dates, dated[some, ], taken, type,
                                data = dated, records = taken)),
                 tolerance = 1e-9, ignore_attr = TRUE)
    # New people who are the old ones.
    whole <- predict(numbers, type = type)
    whole <- if (is.matrix(whole)) whole[some, ] else whole[some]
    expect_equal(predict(numbers, people[some, ], records, type), whole,
                 tolerance = 1e-9, ignore_attr = TRUE)
  }
  # `people` is found, but these are other days.
  expect_error(predict(dates, dated[some, ], taken, "expected"),
               class = "vigitensor_error_mixed_time")
  # Other people altogether, in the same numbers.
  dates$coefficients[1L] <- dates$coefficients[1L] + 0.1
  expect_error(residuals(dates), class = "vigitensor_error_data_changed")
  expect_error(baseline_hazard(dates), class = "vigitensor_error_data_changed")
  expect_error(predict(numbers, dated[some, ], records),
               class = "vigitensor_error_mixed_time")
  smooth <- fits(people, records, clock = "continuous")
  course <- data.frame(start = 0.25, stop = 10.5, dose = 2)
  who <- data.frame(age = 50)
  lp <- function(course) predict(smooth, who, course, at = 12.75)
  expect_equal(unname(exp(lp(course) - lp(course[0, ]))),
               hazard_ratio(smooth, course, at = 12.75)$hr)
  for (engine in setdiff(engines_here(), "reference")) {
    fast <- wce(Surv(entry, exit, event) ~ splines::ns(age, 2) + exposure("a"),
                data = people, id = person_id, records = records, cutoff = 20,
                nknots = 1, engine = engine, clock = "continuous")
    expect_equal(predict(fast, type = "expected", se.fit = TRUE),
                 predict(smooth, type = "expected", se.fit = TRUE),
                 tolerance = 1e-6)
    expect_equal(unname(residuals(fast, "dfbeta")),
                 unname(residuals(smooth, "dfbeta")), tolerance = 1e-6)
  }
})

test_that("unit rows of new people carry their doses, or records do", {
  study <- random_study(95, n = 30L)
  units <- to_unit_rows(study$people, study$records)
  fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure(dose),
             data = units, id = person_id, cutoff = 15, nknots = 0,
             engine = "reference")
  some <- units$person_id %in% 4:6
  expect_equal(unname(predict(fit, units[some, ])),
               unname(predict(fit)[some]), tolerance = 1e-12)
  expect_equal(unname(predict(fit, units[some, ], type = "expected")),
               unname(predict(fit, type = "expected")[some]),
               tolerance = 1e-9)
  bare <- units[some, setdiff(names(units), "dose")]
  own <- data.frame(person_id = units$person_id, start = units$entry,
                    stop = units$exit, dose = units$dose)
  expect_equal(predict(fit, bare, own), predict(fit, units[some, ]),
               tolerance = 1e-12)
  expect_error(predict(fit, bare), class = "vigitensor_error_no_records")
})

test_that("bad newdata and newrecords are refused", {
  study <- random_study(96, drugs = 2L)
  people <- study$people
  records <- study$records
  fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure("a") +
               exposure("b"), data = people, id = person_id,
             records = records, cutoff = 12, nknots = 0, engine = "reference")
  who <- data.frame(entry = 0, exit = 20, sex = "f", age = 50)
  plan <- data.frame(drug = "a", start = 0, stop = 5, dose = 1)
  fails <- function(code, who, plan, ..., type = "expected") {
    expect_error(predict(fit, who, plan, type, ...),
                 class = paste0("vigitensor_error_", code))
  }
  fails("no_records", who, NULL)
  fails("missing_column", who[-3], plan)
  fails("missing_column", who[-2], plan)
  fails("missing_column", who, plan[-1])
  fails("missing_column", who, plan[-2])
  fails("data_type", who, as.list(plan))
  fails("data_type", as.list(who), plan)
  fails("new_level", replace(who, "sex", "x"), plan)
  fails("missing_values", replace(who, "age", NA), plan)
  fails("stop_before_start", replace(who, "exit", 0), plan)
  fails("stop_before_start", who, replace(plan, "stop", 0))
  fails("negative_dose", who, replace(plan, "dose", -1))
  fails("fractional_time", who, plan, at = 2.5, type = "lp")
  fails("fractional_time", who, replace(plan, "stop", 2.5))
  fails("at", who, plan, at = 3)
  fails("at", who, plan, at = 1:3, type = "lp")
  fails("type", who, plan, type = "link")
  fails("input", NULL, plan)
  fails("missing_column", who, cbind(plan, person_id = 1))
  e <- fails("new_level", replace(who, "sex", "secret"), plan)
  expect_no_match(conditionMessage(e), "secret")
})

test_that("the engine's expected events are those of R, for any row", {
  skip_if_no_engine()
  for (clock in c("unit", "continuous")) {
    study <- random_study(93, n = 60L, drugs = 2L)
    people <- study$people
    fit <- wce(Surv(entry, exit, event) ~ sex + age + strata(region) +
                 offset(dose_group / 5) + exposure("a", lag_in = 1) +
                 exposure("b", cutoff = 12, nknots = 0),
               people, id = person_id, records = study$records, cutoff = 20,
               nknots = 1, clock = clock, engine = "cpu")
    other <- random_study(94, n = 30L, drugs = 2L)
    # Before, among and after the event times.
    other$people$exit[1:5] <- other$people$exit[1:5] + 200
    problem <- fit_problem(fit, people, study$records, environment())
    base <- fit_baseline(problem)
    for (doses in list(other$records, other$records[0, ])) {
      new <- new_people(fit, other$people, doses, environment())
      ours <- engine_hazard_sums(problem, base, new, TRUE)
      theirs <- hazard_sums(fit, base, new)
      for (name in names(theirs)) {
        expect_equal(ours[[name]], theirs[[name]], tolerance = 1e-10,
                     info = paste(clock, name))
      }
    }
  }
})
