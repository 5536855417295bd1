# Worked by hand, in day numbers; then against person-by-person loops.

steps_of <- function(x) {
  table <- attrition(x, min_cell = 0)
  stats::setNames(table$n_excluded, table$step)
}

test_that("a population: coverage, look-back, gaps, death, end of study", {
  people <- data.frame(person_id = 1:7, sex = rep(c("f", "m"), length.out = 7))
  coverage <- data.frame(
    person_id = c(1, 2, 3, 3, 4, 5, 6, 99),
    start = c(0, 900, 0, 205, 0, 0, 500, 0),
    end = c(2000, 2000, 200, 2000, 450, 2000, 600, 1)
  )
  deaths <- data.frame(person_id = c(5, 1), date = c(300, 700))
  x <- cohort(people, coverage, deaths = deaths, start = 400, end = 1000,
              lookback = 365, max_gap = 4)
  # 1: from 400 to his death on day 700. 2: covered too late (900 + 365). 3: a
  # gap of days 201 to 204. 4: to the end of coverage. 5: dead. 6: covered for
  # less than a year. 7: never covered.
  expect_identical(as.integer(x$person_id), c(1L, 3L, 4L))
  expect_identical(x$entry, c(0, 0, 0))
  expect_identical(x$exit, c(301, 601, 51))
  expect_identical(x$exit_date, c(701, 1001, 451))
  expect_identical(x$exit_reason, c("death", "end", "coverage"))
  expect_identical(x$sex, c("f", "f", "m"))
  expect_identical(unname(steps_of(x)), c(0L, 1L, 2L, 1L, 0L))
  # With the gap counted, person 3 begins a year after it.
  y <- cohort(people, coverage, deaths = deaths, start = 400, end = 1000,
              lookback = 365, max_gap = 3)
  expect_identical(y$entry_date, c(400, 570, 400))
})

test_that("tables without a date take the kind of the study's days", {
  day <- as.Date("2020-01-01")
  x <- cohort(data.frame(person_id = 1:2), start = day, end = day + 9)
  expect_identical(x$entry_date, rep(day, 2))
  expect_identical(x$exit, c(10, 10))
  expect_error(cohort(data.frame(person_id = 1), start = 3, end = day),
               class = "vigitensor_error_mixed_time")
})

test_that("new users: wash-out, study days, look-back", {
  d <- data.frame(
    person_id = c(1, 1, 2, 2, 3, 4, 5, 6, 6),
    drug = c("C09AA01", "C09AA02", "C09AA01", "c09aa01", "B01", "C09AA05",
             "C09AA01", "C09AA01", "C09AA01"),
    date = c(500, 600, 300, 500, 500, 50, 450, 450, 900)
  )
  people <- data.frame(person_id = 1:6)
  coverage <- data.frame(person_id = 1:6, start = c(0, 0, 0, 0, 200, 0),
                         end = 1000)
  x <- cohort(people, coverage, dispensings = d, start = 400, end = 1000,
              new_users = "C09AA", washout = 365, lookback = 365)
  # 1: day 500. 2: had it 200 days before. 3: another drug. 4: before the
  # study. 5: 250 days of cover. 6: day 450.
  expect_identical(as.integer(x$person_id), c(1L, 6L))
  expect_identical(x$entry_date, c(500, 450))
  expect_identical(unname(steps_of(x)), c(0L, 0L, 1L, 1L, 1L, 1L, 0L))
  # A dispensing exactly `washout` days before is inside the wash-out.
  two <- data.frame(person_id = 1, drug = "a", date = c(100, 200))
  one <- data.frame(person_id = 1)
  expect_error(cohort(one, dispensings = two, new_users = "a", start = 150,
                      end = 900, washout = 100),
               class = "vigitensor_error_empty_cohort")
  y <- cohort(one, dispensings = two, new_users = "a", start = 150, end = 900,
              washout = 99)
  expect_identical(y$entry_date, 200)
  # Switch: follow-up ends at its day.
  z <- cohort(people, coverage, dispensings = d, start = 400, end = 1000,
              new_users = "C09AA", switch_to = "C09AA02")
  expect_identical(z$exit_date, c(600, 1001))
  expect_identical(z$exit_reason, c("switch", "coverage"))
})

test_that("age, indication, excluded diagnoses, longest follow-up", {
  people <- data.frame(person_id = 1:5,
                       birth_date = c(-18000, -6000, NA, -18000, -30000))
  diagnoses <- data.frame(
    person_id = c(1, 1, 2, 4, 4, 5), date = c(50, 120, 10, 20, 30, 10),
    code = c("I48.0", "I48", "I48.9", "I480", "C50.1", "I48")
  )
  x <- cohort(people, diagnoses = diagnoses, start = 0, end = 2000,
              lookback = 0, age = c(18, 85), indication = "I48",
              exclude = "C50", max_follow_up = 700)
  # 18 years are 6575 days: person 2 enters on day 575. Person 5 is 85 (31047
  # days) on day 1047. Person 4's cancer comes after entry.
  expect_identical(as.integer(x$person_id), c(1L, 2L, 4L, 5L))
  expect_identical(x$entry_date, c(50, 575, 20, 10))
  expect_identical(x$exit_date, c(750, 1275, 720, 710))
  y <- cohort(people, diagnoses = diagnoses, start = 40, end = 2000,
              lookback = 0, age = c(18, 85), exclude = "C50",
              exclude_window = 9, time_scale = "age")
  # Day 30 is ten days before entry on day 40.
  expect_true(4 %in% y$person_id)
  expect_identical(y$entry[y$person_id == 1], 18040)
  expect_identical(y$exit_reason[y$person_id == 5], "age")
  z <- cohort(people, diagnoses = diagnoses, start = 40, end = 2000,
              lookback = 0, exclude = "C50", exclude_window = 10)
  expect_false(4 %in% z$person_id)
})

test_that("outcomes: hierarchy, position, day of entry, those who had it", {
  x <- cohort(data.frame(person_id = 1:6), start = 100, end = 499,
              lookback = 0)
  diagnoses <- data.frame(
    person_id = c(1, 1, 2, 3, 4, 5), date = c(200, 150, 100, 99, 300, 499),
    code = c("I21.4", "I22", "I219", "i21", "I2", "I21"),
    position = c("primary", "primary", "secondary", "primary", "primary", 1)
  )
  first <- outcomes(x, diagnoses, "I21")
  expect_identical(as.integer(first$person_id), c(1L, 2L, 4L, 5L, 6L))
  expect_identical(first$event, c(1L, 1L, 0L, 1L, 0L))
  expect_identical(first$exit, c(101, 1, 400, 400, 400))
  expect_identical(first$exit_reason[c(1, 3)], c("outcome", "end"))
  last <- utils::tail(attrition(first, 0), 1)
  expect_identical(c(last$n_left, last$n_excluded, last$events), c(5L, 1L, 3L))
  expect_identical(sum(outcomes(x, diagnoses, "I21", exact = TRUE)$event), 1L)
  expect_identical(sum(outcomes(x, diagnoses, "I21",
                                position = "primary")$event), 2L)
  expect_identical(sum(outcomes(x, diagnoses, "I21",
                                position = "secondary")$event), 1L)
  expect_identical(nrow(outcomes(x, diagnoses, "I21", lookback = 0)), 6L)
  deaths <- data.frame(person_id = c(4, 6), date = c(400, 410),
                       cause = c("I21", "C50"))
  both <- outcomes(x, diagnoses, "I21", deaths = deaths)
  expect_identical(both$event[both$person_id %in% c(4, 6)], c(1L, 0L))
  expect_identical(sum(outcomes(x, deaths = deaths)$event), 2L)
  expect_error(outcomes(x, diagnoses, "Z99"),
               class = "vigitensor_error_no_events")
})

test_that("recurrent events: rows, and blind days", {
  x <- cohort(data.frame(person_id = 1:2), start = 0, end = 99, lookback = 0)
  diagnoses <- data.frame(person_id = 1, date = c(40, 10, 11, 20, 99),
                          code = "K92")
  all <- outcomes(x, diagnoses, "K92", type = "recurrent")
  expect_identical(all$entry[all$person_id == 1], c(0, 11, 12, 21, 41))
  expect_identical(all$exit[all$person_id == 1], c(11, 12, 21, 41, 100))
  expect_identical(all$event, c(1L, 1L, 1L, 1L, 1L, 0L))
  blind <- outcomes(x, diagnoses, "K92", type = "recurrent", blind = 10)
  # 10 blinds 11 to 20; 40 is new; 99 too.
  expect_identical(blind$entry, c(0, 21, 51, 0))
  expect_identical(blind$exit, c(11, 41, 100, 100))
  expect_identical(blind$event, c(1L, 1L, 1L, 0L))
})

random_claims <- function(n, seed) {
  set.seed(seed)
  pick <- function(k) sample(n, k, TRUE)
  from <- sample(0:300, 2 * n, TRUE)
  list(
    people = data.frame(person_id = sample(n) + 500000000000,
                        birth_date = -sample(5000:35000, n, TRUE)),
    coverage = data.frame(person_id = pick(2 * n) + 500000000000, start = from,
                          end = from + sample(0:600, 2 * n, TRUE)),
    dispensings = data.frame(person_id = pick(3 * n) + 500000000000,
                             drug = sample(c("A1", "A2", "B1"), 3 * n, TRUE),
                             date = sample(0:700, 3 * n, TRUE)),
    deaths = data.frame(person_id = sample(n, n / 4) + 500000000000,
                        date = sample(100:800, n / 4, TRUE)),
    diagnoses = data.frame(person_id = pick(2 * n) + 500000000000,
                           date = sample(0:800, 2 * n, TRUE),
                           code = sample(c("I1", "I2", "J"), 2 * n, TRUE))
  )
}

# One person: entry and exit, or NULL. All days are whole, so that days can be
# tried one by one.
slow_follow_up <- function(t, p, start, end, lookback, washout, drug, new) {
  of <- function(table) table[table$person_id == p, ]
  covered <- unlist(Map(seq, of(t$coverage)$start, of(t$coverage)$end))
  birth <- t$people$birth_date[t$people$person_id == p]
  died <- min(of(t$deaths)$date, Inf)
  used <- of(t$dispensings)$date[startsWith(of(t$dispensings)$drug, drug)]
  cancer <- of(t$diagnoses)$date[of(t$diagnoses)$code == "J"]
  fits <- function(day) {
    day - birth >= ceiling(20 * 365.25) && day - birth < ceiling(80 * 365.25) &&
      all((day - lookback):day %in% covered)
  }
  if (new) {
    days <- sort(unique(used[used >= start & used <= end]))
    days <- days[vapply(days, function(day) {
      !any(used >= day - washout & used < day)
    }, NA)]
    days <- utils::head(days, 1)
  } else {
    days <- start:end
  }
  days <- Filter(fits, days)
  if (!length(days)) return(NULL)
  entry <- days[1]
  if (any(cancer < entry & cancer >= entry - 100)) return(NULL)
  if (died < entry) return(NULL)
  exit <- entry
  while (exit %in% covered && exit <= end && exit <= died &&
           exit - birth < ceiling(80 * 365.25)) {
    exit <- exit + 1
  }
  c(entry, exit)
}

test_that("cohorts are those of days tried one by one", {
  t <- random_claims(120, 8)
  for (new in c(FALSE, TRUE)) {
    x <- cohort(
      t$people, t$coverage, t$dispensings[sample(360), ], t$diagnoses,
      t$deaths, start = 200, end = 600, lookback = 60, washout = 90,
      new_users = if (new) "A", exclude = "J", exclude_window = 100,
      age = c(20, 80), time_scale = "calendar"
    )
    slow <- lapply(t$people$person_id, slow_follow_up, t = t, start = 200,
                   end = 600, lookback = 60, washout = 90, drug = "A",
                   new = new)
    kept <- !vapply(slow, is.null, NA)
    expect_identical(x$person_id, t$people$person_id[kept])
    expect_identical(cbind(x$entry, x$exit), do.call(rbind, slow))
    table <- attrition(x, min_cell = 0)
    expect_identical(utils::tail(table$n_left, 1), nrow(x))
    expect_identical(table$n_left, 120L - cumsum(table$n_excluded))
  }
})

test_that("a study goes to wce(), the same on every time scale", {
  day <- as.Date("2015-01-01")
  sim <- simulate_wce(200, days = 200, users = 0.8, seed = 5)
  people <- data.frame(person_id = format(sim$people$person_id),
                       birth_date = day - 365 * sim$people$age)
  d <- data.frame(person_id = format(sim$records$person_id), drug = "a",
                  date = day + sim$records$start,
                  days_supply = sim$records$stop - sim$records$start)
  coverage <- data.frame(person_id = people$person_id, start = day,
                         end = day + sim$people$exit - 1)
  hits <- sim$people$event == 1
  diagnoses <- data.frame(person_id = people$person_id[hits],
                          date = day + sim$people$exit[hits] - 1,
                          code = "K92.2")
  records <- exposure_episodes(d)
  fits <- lapply(c("entry", "calendar"), function(scale) {
    x <- cohort(people, coverage, start = day, end = day + 400, lookback = 0,
                time_scale = scale)
    x <- outcomes(x, diagnoses, "K92")
    expect_identical(sum(x$event), sum(hits))
    wce(Surv(entry, exit, event) ~ exposure("a"), data = x, id = person_id,
        records = align_records(records, x), cutoff = 30, nknots = 1,
        engine = "reference")
  })
  # Everybody enters on the same day: the two scales have the same risk sets.
  expect_equal(coef(fits[[1]]), coef(fits[[2]]), tolerance = 1e-10)
})

test_that("cohorts, outcomes and descriptions keep ids of every kind", {
  t <- random_claims(60, 9)
  study <- function(recode) {
    t <- lapply(t, function(table) {
      table$person_id <- recode(table$person_id - 500000000000)
      table
    })
    x <- cohort(t$people, t$coverage, t$dispensings, t$diagnoses, t$deaths,
                start = 200, end = 600, lookback = 30, new_users = "A",
                washout = 60)
    x <- outcomes(x, t$diagnoses, "I1", lookback = 0)
    d <- cbind(t$dispensings, days_supply = 20)
    list(x = x, e = describe_exposure(x, exposure_episodes(d), min_cell = 0))
  }
  base <- study(as.integer)
  kinds <- list(
    function(k) k + 999999999000, function(k) sprintf("%012d", k),
    function(k) factor(k, 60:1)
  )
  if (requireNamespace("bit64", quietly = TRUE)) {
    kinds <- c(kinds, function(k) bit64::as.integer64("9007199254740992") + k)
  }
  for (recode in kinds) {
    other <- study(recode)
    expect_identical(as.vector(other$x$person_id),
                     as.vector(recode(base$x$person_id)))
    expect_identical(class(other$x$person_id), class(recode(1)))
    expect_identical(as.list(other$x)[-1], as.list(base$x)[-1])
    expect_equal(other$e, base$e, tolerance = 1e-12)
  }
})

test_that("small steps are put together, so that no count can be derived", {
  table <- data.frame(step = c("all", "a", "b", "c", "d"),
                      n_left = c(100L, 97L, 80L, 80L, 75L),
                      n_excluded = c(0L, 3L, 17L, 0L, 5L),
                      events = c(NA, NA, NA, NA, 4L))
  shown <- suppress_attrition(table, 10)
  expect_identical(shown$n_left, c(100L, 75L))
  expect_identical(shown$n_excluded, c(0L, 25L))
  expect_identical(shown$events, c(NA, NA_integer_))
  expect_match(shown$step[2], "a; b")
  table$n_left[5] <- 8L
  expect_true(all(is.na(suppress_attrition(table, 10)$n_left[-1])))
  expect_identical(suppress_attrition(table, 0)$n_left, table$n_left)
  for (seed in 1:200) {
    set.seed(seed)
    out <- c(0L, sample(c(0L, 1:12, 40L), 6, TRUE))
    t <- data.frame(step = letters[1:7], n_left = 300L - cumsum(out),
                    n_excluded = out, events = NA)
    s <- suppress_attrition(t, 10)
    differences <- -diff(s$n_left)
    expect_true(all(is.na(differences) | differences == 0 |
                      differences >= 10))
  }
})

test_that("faults of all tables together; missing tables are said", {
  people <- data.frame(person_id = c(1, 1), entry = 1)
  coverage <- data.frame(person_id = 1, start = 10, end = 5)
  deaths <- data.frame(person_id = 1, date = as.Date("2020-01-01"))
  error <- expect_error(cohort(people, coverage, deaths = deaths, start = 0,
                               end = 100),
                        class = "vigitensor_error_data")
  for (class in c("duplicate_id", "reserved_column", "stop_before_start",
                  "mixed_time")) {
    expect_s3_class(error, paste0("vigitensor_error_", class))
  }
  expect_error(cohort(data.frame(person_id = 1), start = 0, end = 9,
                      new_users = "a"),
               class = "vigitensor_error_missing_table")
  expect_error(cohort(data.frame(person_id = 1), end = 9),
               class = "vigitensor_error_start")
})
