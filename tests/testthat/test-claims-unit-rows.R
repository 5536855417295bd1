test_that("rows worked by hand: history, overlap, and the end of follow-up", {
  people <- data.frame(person_id = c(7, 3), entry = c(2, 0), exit = c(6, 3),
                       event = c(1, 0), site = c("x", "y"))
  records <- data.frame(
    person_id = c(7, 7, 3, 7), start = c(0, 3, 1, 5), stop = c(4, 5, 9, 6),
    dose = c(0.1, 0.2, 2, 1)
  )
  rows <- unit_rows(people, records, weights = c(1, 10))
  expect_named(rows, c("Id", "Event", "Start", "Stop", "site", "dose", "wce"))
  expect_identical(rows$Id, c(7, 7, 7, 7, 3, 3, 3))
  expect_identical(rows$Start, c(2:5, 0:2))
  expect_identical(rows$Stop, c(3:6, 1:3))
  expect_identical(rows$Event, c(0L, 0L, 0L, 1L, 0L, 0L, 0L))
  expect_identical(rows$site, rep(c("x", "y"), c(4, 3)))
  # Days (2,3] .. (5,6] of person 7: 0.1, 0.1 + 0.2, 0.2, 1.
  expect_equal(rows$dose, c(0.1, 0.3, 0.2, 1, 0, 2, 2), tolerance = 1e-15)
  # Dose of the day itself plus ten times that of the day before; the day
  # before entry counts.
  expect_equal(rows$wce, c(1.1, 1.3, 3.2, 3, 0, 2, 22), tolerance = 1e-14)
})

test_that("a day without a record has dose zero, whatever the doses", {
  # As differences, 0.1 + 0.2 - 0.1 - 0.2 would leave 2.8e-17.
  people <- data.frame(person_id = 1, entry = 0, exit = 5, event = 0)
  records <- data.frame(person_id = 1, start = c(0, 1), stop = c(2, 3),
                        dose = c(0.1, 0.2))
  expect_identical(unit_rows(people, records)$dose[4:5], c(0, 0))
})

test_that("totals: person-days, events and doses are those of the tables", {
  sim <- simulate_wce(400, users = 0.7, late_entry = 0.3, refill = c(-10, 5),
                      seed = 13)
  rows <- unit_rows(sim)
  expect_identical(nrow(rows), sum(sim$people$exit - sim$people$entry))
  expect_identical(sum(rows$Event), sum(sim$people$event))
  expect_true(all(rows$Stop - rows$Start == 1L))
  at <- match(sim$records$person_id, sim$people$person_id)
  clipped <- pmin(sim$records$stop, sim$people$exit[at]) -
    pmax(sim$records$start, sim$people$entry[at])
  expect_equal(sum(rows$dose), sum(pmax(clipped, 0) * sim$records$dose))
  expect_gt(max(rows$dose), 3) # two packs of the highest dose at once
  expect_identical(attr(rows, "counts")[["other_people"]], 0L)
  expect_identical(attr(rows, "counts")[["outside"]], sum(clipped <= 0))
})

test_that("the order of the records and the kind of id do not matter", {
  sim <- simulate_wce(60, users = 1, seed = 17)
  rows <- unit_rows(sim)
  shuffled <- sim$records[order(sim$records$dose, sim$records$stop), ]
  expect_equal(unit_rows(sim$people, shuffled)$dose, rows$dose,
               tolerance = 1e-15)
  for (recode in list(function(id) sprintf("p%03d", id), factor,
                      function(id) 123456789012 + id)) {
    people <- sim$people
    records <- sim$records
    people$who <- recode(people$person_id)
    records$who <- recode(records$person_id)
    people$person_id <- records$person_id <- NULL
    again <- unit_rows(people, records, id = who)
    expect_identical(as.vector(again$dose), rows$dose)
    expect_identical(as.character(again$Id),
                     as.character(people$who[rows$Id]))
  }
})

test_that("dates give the same rows as days", {
  sim <- simulate_wce(40, users = 1, seed = 19)
  dated <- sim
  day <- function(x) as.Date("1970-01-01") + x
  dated$people$entry <- day(sim$people$entry)
  dated$people$exit <- day(sim$people$exit)
  dated$records$start <- day(sim$records$start)
  dated$records$stop <- day(sim$records$stop)
  expect_identical(unit_rows(dated), unit_rows(sim))
})

test_that("several drugs: one at a time", {
  sim <- simulate_wce(80, log_hr = c(a = 1, b = 0), users = 1, seed = 23)
  expect_error(unit_rows(sim), class = "vigitensor_error_exposure")
  expect_error(unit_rows(sim, drug = "c"), class = "vigitensor_error_exposure")
  of_b <- sim$records[sim$records$drug == "b", ]
  expect_identical(unit_rows(sim, drug = "b"), unit_rows(sim$people, of_b))
})

test_that("records of others are counted; none at all of these people stops", {
  sim <- simulate_wce(60, users = 1, seed = 29)
  rows <- unit_rows(sim$people[1:30, ], sim$records)
  expect_identical(attr(rows, "counts")[["other_people"]],
                   sum(sim$records$person_id > 30))
  elsewhere <- transform(sim$records, person_id = person_id + 1000L)
  expect_error(unit_rows(sim$people, elsewhere),
               class = "vigitensor_error_no_records")
  none <- unit_rows(sim$people, sim$records[0, ])
  expect_true(all(none$dose == 0))
})

test_that("faults of both tables are told together", {
  people <- data.frame(person_id = c(1, 1, 2), entry = c(0, NA, 2.5),
                       exit = c(3, 5, 1), event = c(0, 1, 3))
  records <- data.frame(person_id = 1, start = 4, stop = 4, dose = -1)
  condition <- expect_error(unit_rows(people, records),
                            class = "vigitensor_error_data")
  expect_setequal(condition$faults$code, c(
    "missing_values", "fractional_time", "event_values", "stop_before_start",
    "negative_dose", "duplicate_id"
  ))
  expect_identical(condition$rows$duplicate_id, 2L)
  dated <- transform(records, stop = as.Date("2020-01-01"))
  expect_error(unit_rows(people, dated), class = "vigitensor_error_mixed_time")
  expect_error(unit_rows(people, records[-2]),
               class = "vigitensor_error_missing_column")
  expect_error(unit_rows(people[-4], records),
               class = "vigitensor_error_missing_column")
  expect_error(unit_rows(1, records), class = "vigitensor_error_data_type")
  expect_error(unit_rows(people), class = "vigitensor_error_data_type")
})

test_that("more rows than a data frame holds are refused", {
  people <- data.frame(person_id = 1:3, entry = 0, exit = 1e9, event = 0)
  records <- data.frame(person_id = 1, start = 0, stop = 1, dose = 1)
  expect_error(unit_rows(people, records),
               class = "vigitensor_error_too_many_rows")
})
