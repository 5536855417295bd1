# Bad input: each fault has its own class, all faults of one data set come
# together, and no message shows an id, a date or a value of a patient.

good <- function() {
  study <- random_study(1, n = 60L, rows_per_person = 1L)
  study$people$person_id <- study$people$person_id + 770000000000
  study$records$person_id <- study$records$person_id + 770000000000
  study
}

fit_good <- function(people, records, formula = NULL, ..., nknots = 1,
                     cutoff = 20) {
  formula <- formula %||%
    (Surv(entry, exit, event) ~ sex + age + exposure("a"))
  suppressWarnings(
    wce(formula, data = people, id = person_id, records = records,
        cutoff = cutoff, nknots = nknots, engine = "reference", ...),
    classes = "vigitensor_warning"
  )
}

# Runs and returns the error; fails when there is none.
fault_of <- function(...) {
  e <- tryCatch(fit_good(...), error = identity)
  expect_s3_class(e, "vigitensor_error")
  expect_false(grepl("7700000000", conditionMessage(e)))
  e
}
expect_fault <- function(code, ...) {
  e <- fault_of(...)
  expect_s3_class(e, paste0("vigitensor_error_", code))
  invisible(e)
}

test_that("good data fit", {
  study <- good()
  expect_s3_class(fit_good(study$people, study$records), "wce")
})

test_that("tables and columns", {
  study <- good()
  p <- study$people
  r <- study$records
  expect_fault("data_type", as.list(p), r)
  expect_fault("empty_data", p[0, ], r)
  expect_fault("empty_data", p, r[0, ])
  e <- expect_fault("missing_column", p[setdiff(names(p), c("sex", "age"))], r)
  expect_match(conditionMessage(e), "`sex`, `age`")
  expect_fault("missing_column", p, r[setdiff(names(r), "dose")])
  expect_fault("missing_column", p, r[setdiff(names(r), "drug")])
  expect_error(wce(Surv(entry, exit, event) ~ exposure("a"), data = p,
                   id = nobody, records = r, cutoff = 20),
               class = "vigitensor_error_missing_column")
  expect_error(wce(Surv(entry, exit, event) ~ exposure("a"), data = p,
                   records = r, cutoff = 20), class = "vigitensor_error_id")
})

test_that("values", {
  study <- good()
  p <- study$people
  r <- study$records
  at <- function(table, column, rows, value) {
    table[[column]][rows] <- value
    table
  }
  e <- expect_fault("missing_values", at(p, "age", c(2, 9), NA), r)
  expect_identical(e$rows$missing_values, c(2L, 9L))
  expect_match(conditionMessage(e), "rows 2; 9 (2 in all)", fixed = TRUE)
  expect_fault("missing_values", at(p, "sex", 3, NA), r)
  expect_fault("missing_values", at(p, "exit", 3, NA), r)
  expect_fault("missing_values", at(p, "event", 3, NA), r)
  expect_fault("missing_values", at(p, "person_id", 3, NA), r)
  expect_fault("missing_values", p, at(r, "dose", 4, NA))
  expect_fault("missing_values", p, at(r, "drug", 4, NA))
  expect_fault("missing_values", p, at(r, "person_id", 4, NA))
  expect_fault("infinite_values", at(p, "exit", 3, Inf), r)
  expect_fault("infinite_values", at(p, "age", 3, -Inf), r)
  expect_fault("infinite_values", p, at(r, "dose", 3, Inf))
  expect_fault("infinite_values", at(p, "age", 3, 0), r,
               Surv(entry, exit, event) ~ log(age) + exposure("a"))
  expect_fault("non_numeric", at(p, "exit", 1:2, "x"), r)
  expect_fault("non_numeric", p, at(r, "dose", 1, "one"))
  expect_fault("non_numeric", at(p, "event", 1, "dead"), r)
  expect_fault("event_values", at(p, "event", 5, 3), r)
  expect_fault("stop_before_start", at(p, "exit", 7, p$entry[7]), r)
  expect_fault("stop_before_start", p, at(r, "stop", 7, r$start[7] - 1))
  expect_fault("negative_dose", p, at(r, "dose", 7, -1))
  expect_fault("fractional_time", p, at(r, "start", 7, r$start[7] - 0.5),
               clock = "unit")
  expect_fault("fractional_time", at(p, "exit", 7, p$exit[7] + 0.5), r,
               clock = "unit")
})

test_that("rows of one person", {
  study <- good()
  p <- study$people
  r <- study$records
  e <- expect_fault("duplicate_id", p[c(1:60, 5, 6), ], r)
  expect_setequal(e$rows$duplicate_id, 61:62)
  later <- transform(p[8, ], entry = exit - 1, exit = exit + 3)
  e <- expect_fault("overlapping_rows", rbind(p, later), r)
  expect_identical(e$rows$overlapping_rows, 61L)
})

test_that("faults of one data set come together", {
  study <- good()
  p <- study$people
  r <- study$records
  p$age[4] <- NA
  p$exit[7] <- p$entry[7]
  r$dose[1:3] <- -1
  r$stop[9] <- Inf
  e <- fault_of(p, r)
  expect_s3_class(e, c("vigitensor_error_missing_values",
                       "vigitensor_error_stop_before_start",
                       "vigitensor_error_negative_dose",
                       "vigitensor_error_infinite_values"), exact = FALSE)
  expect_identical(nrow(e$faults), 4L)
  expect_identical(e$rows$negative_dose, 1:3)
  expect_match(conditionMessage(e), "4 faults")
})

test_that("clocks and ids of different types", {
  study <- good()
  p <- study$people
  r <- study$records
  day_one <- as.Date("2020-01-01")
  dated <- transform(p, entry = day_one + entry, exit = day_one + exit)
  expect_fault("mixed_time", transform(p, exit = day_one + exit), r)
  expect_fault("mixed_time", dated, r)
  expect_fault("non_numeric", transform(p, exit = Sys.time() + exit), r)
  expect_fault("id_type", transform(p, person_id = paste0("p", person_id)), r)
  expect_fault("id", transform(p, person_id = I(as.list(person_id))), r)
  # The same answer whatever the type.
  reference <- coef(fit_good(p, r))
  records <- transform(r, start = day_one + start, stop = day_one + stop)
  expect_equal(coef(fit_good(dated, records)), reference, tolerance = 1e-12)
  as_string <- function(x) transform(x, person_id = sprintf("%.0f", person_id))
  expect_equal(coef(fit_good(as_string(p), as_string(r))), reference,
               tolerance = 1e-12)
  as_factor <- function(x) transform(x, person_id = factor(person_id))
  expect_equal(coef(fit_good(as_factor(p), as_string(r))), reference,
               tolerance = 1e-12)
  skip_if_not_installed("bit64")
  as_bits <- function(x) {
    x$person_id <- bit64::as.integer64(x$person_id)
    x
  }
  expect_equal(coef(fit_good(as_bits(p), as_bits(r))), reference,
               tolerance = 1e-12)
  expect_equal(coef(fit_good(as_bits(p), r)), reference, tolerance = 1e-12)
  expect_equal(coef(fit_good(p, as_bits(r))), reference, tolerance = 1e-12)
})

test_that("64-bit ids that differ in their last digit are different people", {
  skip_if_not_installed("bit64")
  big <- bit64::as.integer64("9007199254740992") + 0:1
  faults <- new_faults()
  codes <- subject_codes(id_values(faults, big, "id", "data"))
  expect_identical(codes$n, 2L)
  expect_false(any_faults(faults))
  big[2] <- NA
  id_values(faults, big, "id", "data")
  expect_identical(faults$list[[1]]$rows, 2L)
})

test_that("models that cannot be", {
  study <- good()
  p <- study$people
  r <- study$records
  expect_fault("no_event", transform(p, event = 0), r)
  expect_fault("constant_covariate", transform(p, age = 50), r)
  expect_fault("constant_covariate", transform(p, sex = factor("f")), r)
  expect_fault("cutoff", p, r, cutoff = 500)
  expect_fault("cutoff", p, r, cutoff = 2)
  expect_fault("cutoff", p, r, cutoff = NULL)
  expect_fault("cutoff", p, r, cutoff = 20.5)
  expect_fault("too_many_knots", p, r, nknots = 30)
  expect_fault("too_many_knots", transform(p, event = as.integer(
    seq_along(event) %in% which(event == 1)[1:4]
  )), r)
  expect_fault("nknots", p, r, nknots = -1)
  expect_fault("constrained", p, r, constrained = "middle")
  expect_fault("constrained", p, r, constrained = TRUE)
  expect_fault("basis", p, r, basis = "natural")
  expect_fault("ties", p, r, ties = "exact")
  expect_fault("criterion", p, r, criterion = "cv")
  expect_fault("lag_in", p, r, lag_in = -1)
  e <- expect_fault("unknown_argument", p, r, cutof = 20)
  expect_match(conditionMessage(e), "`cutof`")
  expect_fault("no_records", p, r,
               Surv(entry, exit, event) ~ exposure("nothing"))
  expect_fault("no_records", p, NULL, Surv(entry, exit, event) ~ exposure("a"))
  expect_fault("exposure", p, r, Surv(entry, exit, event) ~ exposure(c(1, 2)))
  expect_fault("unsupported_term", p, r,
               Surv(entry, exit, event) ~ frailty(region) + exposure("a"))
  expect_fault("unsupported_term", p, r,
               Surv(entry, exit, event) ~ strata(region):age + exposure("a"))
  expect_error(wce_control(tol_step = -1), class = "vigitensor_error_control")
})

test_that("strangers, old records and overlaps are legal, and counted", {
  study <- good()
  n <- nrow(study$records)
  strangers <- sum(!study$records$person_id %in% study$people$person_id)
  expect_gt(strangers, 0)
  old <- transform(study$records[1:5, ], start = -500, stop = -490,
                   person_id = study$people$person_id[1])
  late <- transform(study$records[1:3, ], start = 500, stop = 510,
                    person_id = study$people$person_id[1])
  fit <- fit_good(study$people, rbind(study$records, old, late))
  counts <- fit$counts$records[[1]]
  expect_equal(counts$given, n + 8)
  expect_equal(counts$other_people, strangers)
  expect_gte(counts$outside_window, 8)
  expect_gt(counts$overlapping, 0)
  expect_equal(coef(fit), coef(fit_good(study$people, study$records)),
               tolerance = 1e-12)
  expect_error(
    fit_good(study$people, transform(study$records, person_id = -person_id)),
    class = "vigitensor_error_no_records"
  )
})

test_that("collinear columns are NA with a warning, unused levels left out", {
  study <- good()
  p <- transform(study$people, twice = 2 * age)
  run <- function(formula, p) {
    wce(formula, data = p, id = "person_id", records = study$records,
        cutoff = 20, nknots = 1, engine = "reference")
  }
  expect_warning(
    fit <- run(Surv(entry, exit, event) ~ age + twice + exposure("a"), p),
    class = "vigitensor_warning_collinear"
  )
  expect_identical(unname(is.na(coef(fit))), c(FALSE, TRUE, rep(FALSE, 5)))
  expect_identical(fit$df, 6L)
  p$sex <- factor(p$sex, levels = c("f", "m", "x"))
  expect_warning(
    fit <- run(Surv(entry, exit, event) ~ sex + exposure("a"), p),
    class = "vigitensor_warning_unused_levels"
  )
  expect_identical(names(coef(fit))[1], "sexm")
})

test_that("lags that nobody covers are named", {
  study <- good()
  # Doses only long before follow-up: the 10 units before entry are free.
  records <- data.frame(person_id = study$people$person_id, drug = "a",
                        start = study$people$entry - 40,
                        stop = study$people$entry - 10,
                        dose = rep(1:3, length.out = 60))
  seen <- new.env()
  fit <- withCallingHandlers(
    wce(Surv(entry, exit, event) ~ exposure("a"), data = study$people,
        id = person_id, records = records, cutoff = 60, nknots = 1,
        engine = "reference"),
    vigitensor_warning = function(w) {
      seen$warnings <- c(seen$warnings, list(w))
      invokeRestart("muffleWarning")
    }
  )
  uncovered <- Filter(function(w) {
    inherits(w, "vigitensor_warning_uncovered_lags")
  }, seen$warnings)
  expect_length(uncovered, 1)
  expect_identical(fit$exposures[[1]]$covered, !seq_len(60) %in%
                     uncovered[[1]]$lags)
  # At risk means at least one unit after entry: lag 11 is the most recent.
  expect_true(all(1:10 %in% uncovered[[1]]$lags))
  expect_true(fit$exposures[[1]]$covered[30])
})
