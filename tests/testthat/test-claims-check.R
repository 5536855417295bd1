day <- as.Date("2024-01-01")

rows_found <- function(x, rule, table = "dispensings") {
  f <- x$findings
  unlist(x$rows[f$rule == rule & f$table == table], use.names = FALSE)
}

messy <- function() {
  list(
    dispensings = data.frame(
      person_id = c(1, 1, 1, 1, 2, 2, 3, 9, 2, 2),
      drug = c("A01", "A01", "A01", "B02", "A01", "ZZZ", "A01", "A01", "A01",
               "A01"),
      date = day + c(0, 0, 5, 7, 40, 10, 400, 3, -60000, 12),
      quantity = c(30, 30, -30, -10, 20, 10, 5, 5, 5, 0)
    ),
    people = data.frame(person_id = c(1, 2, 3),
                        birth_date = as.Date("1960-01-01")),
    coverage = data.frame(person_id = c(1, 2, 3), start = day - 10,
                          end = day + c(30, 30, 500)),
    deaths = data.frame(person_id = 3, date = day + 399)
  )
}

test_that("every fault of a small table is found, with its rows", {
  t <- messy()
  x <- check_claims(t$dispensings, t$people, t$coverage, deaths = t$deaths,
                    drugs = c("A", "B"), last_day = day + 1000)
  expect_identical(rows_found(x, "duplicates"), 2L)
  # The later of the two alike is taken; the other reversal cancels nothing.
  expect_identical(rows_found(x, "reversals"), c(2L, 3L))
  expect_identical(rows_found(x, "reversals_alone"), 4L)
  expect_identical(rows_found(x, "after_death"), 7L)
  expect_identical(rows_found(x, "unknown_person"), 8L)
  expect_identical(rows_found(x, "unknown_code"), 6L)
  expect_identical(rows_found(x, "impossible_dates"), 9L)
  expect_identical(rows_found(x, "before_birth"), 9L)
  expect_identical(rows_found(x, "no_supply"), 10L)
  expect_identical(rows_found(x, "outside_coverage"), c(5L, 8L, 9L))
  expect_null(x$tables)
  expect_false(any(x$findings$fixed))
  expect_true(all(nzchar(x$findings$reason) & nzchar(x$findings$fix)))
})

test_that("fix applies the rules that are named, and no others", {
  t <- messy()
  run <- function(fix) {
    check_claims(t$dispensings, t$people, t$coverage, deaths = t$deaths,
                 drugs = c("A", "B"), last_day = day + 1000, fix = fix)
  }
  one <- run("after_death")
  expect_identical(one$tables$dispensings, t$dispensings[-7, ])
  expect_identical(one$tables$people, t$people)
  expect_identical(one$findings$fixed, one$findings$rule == "after_death")
  # The repeat goes first; the reversal then cancels the one that is left.
  two <- run(c("duplicates", "reversals"))
  expect_identical(rows_found(two, "reversals"), c(1L, 3L))
  expect_identical(rownames(two$tables$dispensings),
                   as.character(c(4:10)))
  can <- names(Filter(function(r) !is.null(r$repair), claims_rules))
  all <- run(can)
  expect_identical(nrow(all$tables$dispensings), 0L)
  clean <- do.call(check_claims, c(all$tables, list(
    drugs = c("A", "B"), last_day = day + 1000
  )))
  expect_identical(nrow(clean$findings), 0L)
  expect_error(run("id_type"), class = "vigitensor_error_fix")
})

test_that("reversals close the last open dispensing of the same quantity", {
  d <- data.frame(person_id = 1, drug = "a", date = c(0, 10, 20, 20, 30, 40),
                  quantity = c(5, 5, -5, 5, -5, -5))
  # Day 20 holds a dispensing and a reversal: that of the same day goes.
  x <- check_claims(d)
  expect_identical(rows_found(x, "reversals"), 1:6)
  d$quantity[1] <- 7
  x <- check_claims(d)
  expect_identical(rows_found(x, "reversals"), 2:5)
  expect_identical(rows_found(x, "reversals_alone"), 6L)
  d$drug <- c("a", "a", "b", "a", "a", "b")
  expect_identical(rows_found(check_claims(d), "reversals_alone"), c(3L, 6L))
})

test_that("ids: precision, notation, blanks, types, 64 bits", {
  d <- function(id) data.frame(person_id = id, drug = "a", date = 0)
  expect_identical(
    rows_found(check_claims(d(c(123456789012, 2^53, 1.5))), "id_precision"),
    2:3
  )
  strings <- c("123456789012", "1.23457e+11", "00042", "12E4", " 7")
  x <- check_claims(d(strings))
  expect_identical(rows_found(x, "id_precision"), c(2L, 4L))
  expect_identical(rows_found(x, "blanks"), 5L)
  fixed <- check_claims(d(strings), fix = "blanks")$tables$dispensings
  expect_identical(fixed$person_id, trimws(strings))
  # As a factor too, whose levels are then joined where they become alike.
  fixed <- check_claims(d(factor(c("7", " 7", "8"))), fix = "blanks")
  expect_identical(fixed$tables$dispensings$person_id,
                   factor(c("7", "7", "8")))
  skip_if_not_installed("bit64")
  big <- bit64::as.integer64("9007199254740993") + 0:1
  people <- data.frame(person_id = big)
  both <- check_claims(d(c(big, big[2] + 1L)), people)
  expect_identical(rows_found(both, "unknown_person"), 3L)
  expect_identical(length(rows_found(both, "id_precision")), 0L)
  mixed <- check_claims(d("1"), data.frame(person_id = 1))
  expect_identical(mixed$findings$rule, "id_type")
})

test_that("time zones: the day where the clock was read", {
  t <- as.POSIXct(c("2024-03-01 00:30", "2024-03-01 12:00"),
                  tz = "Europe/Paris")
  d <- data.frame(person_id = 1:2, drug = "a", date = t)
  x <- check_claims(d, fix = "time_zone")
  expect_identical(rows_found(x, "time_zone"), 1L)
  expect_identical(x$tables$dispensings$date, as.Date(c("2024-03-01",
                                                        "2024-03-01")))
  d$date <- structure(c(19000.5, 19000), class = "Date")
  x <- check_claims(d, fix = "fractional_days")
  expect_identical(rows_found(x, "fractional_days"), 1L)
  expect_identical(unclass(x$tables$dispensings$date), c(19000, 19000))
  mixed <- check_claims(data.frame(person_id = 1, drug = "a", date = day),
                        deaths = data.frame(person_id = 1, date = 3))
  expect_true("mixed_time" %in% mixed$findings$rule)
})

test_that("mixed encodings are found and made UTF-8", {
  latin <- "caf\xe9"
  marked <- "na\xefve"
  Encoding(marked) <- "latin1"
  d <- data.frame(person_id = 1:4, drug = c("ok", latin, "\u00e9t\u00e9",
                                            marked), date = 0)
  x <- check_claims(d, fix = "encoding")
  expect_identical(rows_found(x, "encoding"), c(2L, 4L))
  expect_identical(x$tables$dispensings$drug,
                   c("ok", "caf\u00e9", "\u00e9t\u00e9", "na\u00efve"))
  expect_true(all(validUTF8(x$tables$dispensings$drug)))
})

test_that("columns that are missing or of a wrong type; nothing to find", {
  d <- data.frame(person_id = 1, date = "2024-01-01")
  x <- check_claims(d)
  expect_setequal(x$findings$rule, c("missing_column", "wrong_type"))
  expect_setequal(x$findings$column, c("drug", "date"))
  x <- check_claims(data.frame(person_id = 1, drug = "a", date = NA))
  expect_identical(x$findings$rule, "missing_values")
  x <- check_claims(data.frame(person_id = 1, drug = "a", date = day))
  expect_identical(nrow(x$findings), 0L)
  expect_output(print(x), "Nothing was found")
  people <- data.frame(person_id = c(1, 1, 2, 2), sex = c("f", "f", "f", "m"))
  x <- check_claims(people = people)
  expect_identical(rows_found(x, "duplicates", "people"), 2L)
  expect_identical(rows_found(x, "duplicate_person", "people"), 4L)
})

test_that("prints and messages hold no values of patients", {
  t <- messy()
  t$dispensings$person_id <- t$dispensings$person_id + 777000
  t$people$person_id <- t$people$person_id + 777000
  x <- check_claims(t$dispensings, t$people, last_day = day + 1000)
  shown <- paste(utils::capture.output(print(x)), collapse = " ")
  expect_false(grepl("777", shown))
  expect_match(shown, "unknown_person, dispensings: .* [(]1 row[)]")
})

test_that("repeated rows, codes of values and days outside are R's own", {
  withr::local_seed(7)
  n <- 3000L
  odd <- c(NA, NaN, 0, -0, 1.5, Inf, -Inf)
  d <- data.frame(a = sample(odd, n, TRUE), b = sample(c(NA, 1:9), n, TRUE),
                  c = sample(c(NA, TRUE, FALSE), n, TRUE),
                  d = factor(sample(c("x", "y", NA), n, TRUE)),
                  e = sample(c("u", "v", NA), n, TRUE),
                  f = as.Date("2024-01-01") + sample(5, n, TRUE))
  # duplicated() pastes NaN and NA apart, and 0 and -0 together, as we do.
  expect_identical(duplicated_rows(d), duplicated(d))
  expect_identical(duplicated_rows(d[0, ]), logical())
  expect_identical(duplicated_rows(d[c("a", "a")]), duplicated(d["a"]))
  for (x in list(d$a, d$b, sample.int(1e6L, n), stats::rnorm(n))) {
    coded <- code_values(x)
    expect_identical(coded$values, unique(x))
    expect_identical(coded$code, match(x, unique(x)))
  }
  code <- sample(c(1:40, NA), n, TRUE)
  day <- sample(c(0:60, NA), n, TRUE)
  set <- union_intervals(sample(c(1:20, 35L), 50, TRUE), sample(60, 50, TRUE),
                         60 + sample(-5:9, 50, TRUE))
  set <- lapply(set, `[`, set$stop > set$start)
  inside <- vapply(seq_len(n), function(k) {
    any(set$code == code[k] & set$start <= day[k] & day[k] < set$stop)
  }, NA)
  expect_identical(
    days_outside_cpp(code, day, set$code, set$start, set$stop),
    which(!is.na(day) & !(inside %in% TRUE))
  )
})
