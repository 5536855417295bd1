# Rows cut by the time since the first use, against one row for every unit.

test_that("cut rows give the fit of unit rows", {
  study <- random_study(33, n = 80L)
  study$records <- study$records[study$records$start >= 10, ]
  rows <- since_first_use(study$people, study$records, "person_id", "entry",
                          "exit", "event", drug = "a", breaks = c(0, 5, 20))
  expect_identical(levels(rows$since_first),
                   c("never", "(0,5]", "(5,20]", "(20,Inf]"))
  expect_lte(nrow(rows), 4L * nrow(study$people))
  expect_identical(sum(rows$event), sum(study$people$event))
  units <- do.call(rbind, lapply(seq_len(nrow(study$people)), function(i) {
    p <- study$people[i, ]
    stop <- seq(p$entry + 1, p$exit)
    data.frame(p[c("person_id", "sex", "age")], start = stop - 1, stop = stop,
               event = p$event * (stop == p$exit), row.names = NULL)
  }))
  a <- study$records[study$records$drug == "a", ]
  begun <- tapply(a$start, a$person_id, min)
  since <- units$stop - begun[as.character(units$person_id)]
  units$since_first <- cut(ifelse(is.na(since), 0, pmax(since, 0)),
                           c(-Inf, 0, 5, 20, Inf), levels(rows$since_first))
  expect_equal(sum(rows$exit - rows$entry), nrow(units))
  one <- survival::coxph(Surv(entry, exit, event) ~ sex + age + since_first,
                         rows, control = at_optimum)
  other <- survival::coxph(Surv(start, stop, event) ~ sex + age + since_first,
                           units, control = at_optimum)
  expect_equal(coef(one), coef(other), tolerance = 1e-8)
  expect_equal(one$loglik, other$loglik, tolerance = 1e-10)
  # And goes into wce() beside the doses.
  fit <- wce(Surv(entry, exit, event) ~ since_first + exposure("a"),
             data = rows, id = person_id, records = study$records, cutoff = 20,
             nknots = 0, constrained = "right", engine = "reference")
  expect_length(coef(fit), 5L)
})

test_that("people without a use, dates and logical events stay as they are", {
  day <- as.Date("2024-01-01")
  data <- data.frame(id = c("x", "y"), start = day, stop = day + 50,
                     event = c(TRUE, FALSE))
  records <- data.frame(id = "x", start = day + c(40, 10, 5),
                        dose = c(1, 1, 0))
  cut <- since_first_use(data, records, "id", breaks = c(0, 30))
  expect_identical(cut$id, c("x", "x", "x", "y"))
  expect_identical(cut$start, day + c(0, 10, 40, 0))
  expect_identical(cut$stop, day + c(10, 40, 50, 50))
  expect_identical(cut$event, c(FALSE, FALSE, TRUE, FALSE))
  expect_identical(as.character(cut$since_first),
                   c("never", "(0,30]", "(30,Inf]", "never"))
  expect_error(since_first_use(data, records, "id", drug = "a"),
               class = "vigitensor_error_missing_column")
  expect_error(since_first_use(data, records, "id", breaks = c(3, 1)),
               class = "vigitensor_error_first_use")
  expect_error(since_first_use(data, records[3, ], "id"),
               class = "vigitensor_error_first_use")
})
