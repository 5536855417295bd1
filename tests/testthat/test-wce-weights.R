# Case weights: against coxph, and what a weight means.

weighted_fit <- function(people, records, ..., engine = "reference",
                         ties = "efron") {
  suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + age + exposure("a"), data = people,
        id = person_id, records = records, cutoff = 20, nknots = 1,
        engine = engine, ties = ties, ...),
    classes = "vigitensor_warning"
  )
}

weighted_study <- function(seed) {
  study <- random_study(seed)
  study$people$w <- withr::with_seed(seed, {
    sample(c(0.3, 1, 2.5), nrow(study$people), replace = TRUE)
  })
  study
}

test_that("weights are those of coxph, with both kinds of ties", {
  study <- weighted_study(21)
  for (ties in c("efron", "breslow")) {
    oracle <- oracle_fit(study$people, study$records, weights = study$people$w,
                         ties = ties)
    for (engine in engines_here()) {
      fit <- weighted_fit(study$people, study$records, weights = w,
                          engine = engine, ties = ties)
      # Both at their optimum.
      expect_equal(unname(coef(fit)), unname(coef(oracle)), tolerance = 1e-8)
      expect_equal(fit$loglik, oracle$loglik, tolerance = 1e-10)
      # Fractional weights make the variance robust: by row in coxph, where it
      # knows nothing of persons.
      expect_equal(unname(fit$naive.var), unname(oracle$naive.var),
                   tolerance = 1e-7)
    }
  }
})

test_that("a whole weight is so many people", {
  study <- random_study(22)
  p <- study$people
  p$count <- 1 + p$person_id %% 3
  copies <- lapply(1:3, function(k) {
    mine <- p[p$count >= k, ]
    mine$person_id <- mine$person_id + 1000 * k
    mine
  })
  records <- do.call(rbind, lapply(1:3, function(k) {
    transform(study$records, person_id = person_id + 1000 * k)
  }))
  # Efron's ties tell one death of weight 2 from two; Breslow's do not.
  weighted <- weighted_fit(p, study$records, weights = count,
                           ties = "breslow")
  copied <- weighted_fit(do.call(rbind, copies), records, ties = "breslow")
  expect_equal(coef(weighted), coef(copied), tolerance = 1e-8)
  expect_equal(weighted$loglik, copied$loglik, tolerance = 1e-10)
})

test_that("a row of weight zero is not there, but its doses are", {
  study <- weighted_study(23)
  p <- study$people
  left_out <- p$person_id %% 4 == 0
  for (engine in engines_here()) {
    zero <- weighted_fit(p, study$records, engine = engine,
                         weights = ifelse(left_out, 0, w))
    gone <- weighted_fit(p[!left_out, ], study$records, weights = w,
                         engine = engine)
    expect_equal(coef(zero), coef(gone), tolerance = 1e-10)
    expect_equal(zero$loglik, gone$loglik, tolerance = 1e-12)
    expect_identical(zero$nevent, sum(p$event[!left_out]))
    expect_identical(zero$counts$zero_weight, sum(left_out))
  }
  # Unit rows: the first half of everybody's rows as history only.
  units <- to_unit_rows(p, study$records)
  units$w <- as.numeric(units$exit > 25)
  late <- units[units$w == 1, c("person_id", "entry", "exit", "event", "age")]
  doses <- data.frame(person_id = units$person_id, start = units$entry,
                      stop = units$exit, dose = units$dose, drug = "a")
  from_rows <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ age + exposure(dose), data = units,
        id = person_id, cutoff = 20, nknots = 1, engine = "reference",
        weights = w), classes = "vigitensor_warning"
  )
  from_records <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ age + exposure("a"), data = late,
        records = doses, id = person_id, cutoff = 20, nknots = 1,
        engine = "reference"), classes = "vigitensor_warning"
  )
  expect_equal(unname(coef(from_rows)), unname(coef(from_records)),
               tolerance = 1e-10)
})

test_that("weights are an expression in columns, and no part of the dot", {
  study <- weighted_study(24)
  p <- study$people[c("person_id", "entry", "exit", "event", "age", "w")]
  twice <- 2
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ . + exposure("a"), data = p,
        id = person_id, records = study$records, cutoff = 20, nknots = 0,
        engine = "reference", weights = w * twice),
    classes = "vigitensor_warning"
  )
  expect_identical(names(coef(fit))[1:2], c("age", "exposure(\"a\")1"))
  expect_output(print(fit), "weights `w * twice`", fixed = TRUE)
})

test_that("weights that are none are refused with their rows", {
  study <- weighted_study(25)
  refuse <- function(value, code) {
    study$people$w <- value
    expect_error(weighted_fit(study$people, study$records, weights = w),
                 class = paste0("vigitensor_error_", code))
  }
  e <- refuse(replace(study$people$w, 3, -1), "weights")
  expect_identical(e$rows$weights, 3L)
  refuse(replace(study$people$w, 3, NA), "missing_values")
  refuse(replace(study$people$w, 3, Inf), "infinite_values")
  refuse("w", "non_numeric")
  refuse(0, "no_event")
  expect_error(weighted_fit(study$people, study$records, weights = absent),
               class = "vigitensor_error_missing_column")
  expect_error(weighted_fit(study$people, study$records, weights = 1:3),
               class = "vigitensor_error_weights")
})
