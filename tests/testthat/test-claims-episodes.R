# Cases worked by hand. Rules that AdhereR documents (carry-over within the
# window, carry-over only for the same medication, dosage change, special
# periods, permissible gaps and medication change of treatment episodes) are
# marked with its argument.

one_drug <- function(date, days, dose = 1, drug = "a", person = 1) {
  data.frame(person_id = person, drug = drug, date = date, days_supply = days,
             daily_dose = dose)
}
plain <- function(...) as.data.frame(exposure_episodes(...))
spans <- function(...) {
  r <- plain(..., join = FALSE)
  paste0(r$drug, " ", r$start, "-", r$stop, " x", r$dose)
}

test_that("a dispensing on day D for n days is (D, D + n], dates stay dates", {
  d <- data.frame(person_id = "p", drug = "a", date = as.Date("2024-02-20"),
                  days_supply = 30L)
  r <- plain(d)
  expect_identical(r$start, as.Date("2024-02-20"))
  expect_identical(r$stop, as.Date("2024-03-21"))
  expect_identical(r$dose, 1)
})

test_that("carryover.within.obs.window: early refills wait, or they do not", {
  # 30 days on day 0; again on day 20 and day 100: 10 days of oversupply, then
  # a gap of 40 days (with carry-over) or 50 days (without).
  d <- one_drug(c(0, 20, 100), 30)
  expect_identical(spans(d), c("a 0-30 x1", "a 30-60 x1", "a 100-130 x1"))
  expect_identical(spans(d, overlap = "truncate"),
                   c("a 0-20 x1", "a 20-50 x1", "a 100-130 x1"))
  expect_identical(spans(d, overlap = "add"),
                   c("a 0-30 x1", "a 20-50 x1", "a 100-130 x1"))
})

test_that("oversupply accumulates over several early refills, up to the cap", {
  d <- one_drug(c(0, 10, 20, 30), 30)
  expect_identical(range(unlist(plain(d)[c("start", "stop")])), c(0, 120))
  # At most 15 days kept: at 10, 15 of 20 are left; at 20 and at 30, 15 of 35.
  expect_identical(spans(d, max_stock = 15),
                   c("a 0-25 x1", "a 25-35 x1", "a 35-45 x1", "a 45-75 x1"))
  expect_identical(attr(exposure_episodes(d, max_stock = 15),
                        "counts")$discarded_days, 5 + 20 + 20)
  expect_identical(spans(d, max_stock = 0), spans(d, overlap = "truncate"))
})

test_that("consider.dosage.change: oversupply is taken at the new dose", {
  # 20 mg for 30 days, then on day 20 40 mg for 30 days: 10 x 20 mg are left,
  # 5 days at 40 mg.
  d <- one_drug(c(0, 20), 30, c(20, 40))
  expect_identical(spans(d, dose = "daily_dose", stock_dose = "new"),
                   c("a 0-20 x20", "a 20-55 x40"))
  expect_identical(spans(d, dose = "daily_dose"),
                   c("a 0-30 x20", "a 30-60 x40"))
  # Downwards: 10 x 40 mg are 20 days at 20 mg.
  d <- one_drug(c(0, 20), 30, c(40, 20))
  expect_identical(spans(d, dose = "daily_dose", stock_dose = "new"),
                   c("a 0-20 x40", "a 20-70 x20"))
})

test_that("carry.only.for.same.medication: other drugs run at the same time", {
  d <- one_drug(c(0, 10, 20), 30, drug = c("x", "y", "x"))
  expect_identical(spans(d), c("x 0-30 x1", "x 30-60 x1", "y 10-40 x1"))
})

test_that("medication change ends an episode, and its oversupply is lost", {
  d <- one_drug(c(0, 10, 30), 30, drug = c("C09AA01", "C09AA02", "C09AA01"))
  expect_identical(
    spans(d, switch_class = 5, grace = 90),
    c("C09AA01 0-10 x1", "C09AA01 30-60 x1", "C09AA02 10-30 x1")
  )
  expect_identical(attr(exposure_episodes(d, switch_class = 5),
                        "counts")$switched, 2)
  # Other classes do not end one another; named classes say the same.
  expect_identical(spans(d, switch_class = 7), spans(d))
  named <- c(C09AA01 = "ace", C09AA02 = "ace")
  expect_identical(spans(d, switch_class = named), spans(d, switch_class = 5))
  # Together on one day: a combination.
  both <- one_drug(c(0, 0, 20), 30, drug = c("C09AA01", "C09AA02", "C09AA01"))
  expect_identical(spans(both, switch_class = 5),
                   c("C09AA01 0-30 x1", "C09AA01 30-60 x1", "C09AA02 0-20 x1"))
})

test_that("maximum.permissible.gap: at the limit one episode, beyond it two", {
  d <- one_drug(c(0, 120), 30)
  expect_identical(spans(d, grace = 89), c("a 0-30 x1", "a 120-150 x1"))
  expect_identical(spans(d, grace = 90), c("a 0-120 x1", "a 120-150 x1"))
  expect_identical(plain(d, grace = 89)$spell, 1:2)
  expect_identical(plain(d, grace = 90)$spell, 1L)
  # In percent of the supply; both kinds add.
  expect_identical(spans(d, grace_share = 3), spans(d, grace = 90))
  expect_identical(spans(d, grace_share = 2.9), spans(d, grace = 0))
  expect_identical(spans(d, grace_share = 2, grace = 30), spans(d, grace = 90))
  # maximum.permissible.gap.append.to.episode: days after the last supply.
  expect_identical(spans(d, tail = 10), c("a 0-40 x1", "a 120-160 x1"))
  expect_identical(spans(d, tail = 100), c("a 0-120 x1", "a 120-250 x1"))
  expect_identical(plain(d, tail = 100)$spell, 1L)
})

test_that("special periods: continue, carryover and discard", {
  d <- one_drug(0, 30)
  stays <- data.frame(person_id = 1, admission = 10, discharge = 15)
  expect_identical(spans(d, stays = stays, in_hospital = "ignore"), "a 0-30 x1")
  expect_identical(spans(d, stays = stays, in_hospital = "pause"),
                   c("a 0-10 x1", "a 15-35 x1"))
  expect_identical(spans(d, stays = stays, in_hospital = "discard"),
                   "a 0-10 x1")
  expect_identical(spans(d, stays = stays, in_hospital = "supplied"),
                   "a 0-35 x1")
  expect_identical(plain(d, stays = stays)$spell, c(1L, 1L))
  # Dispensed during the stay: begins at discharge. Overlapping and touching
  # stays are one, a stay of no days is none, and other people's are theirs.
  d <- one_drug(c(0, 12), c(5, 10))
  stays <- data.frame(person_id = c(1, 1, 1, 2, 1),
                      admission = c(10, 14, 16, 0, 22),
                      discharge = c(15, 16, 18, 400, 22))
  for (rule in c("pause", "supplied", "discard")) {
    expect_identical(spans(d, stays = stays, in_hospital = rule),
                     c("a 0-5 x1", "a 18-28 x1"))
  }
})

test_that("joining records does not change what they say", {
  # Where doses add, a stay between two packs is in neither of them.
  d <- one_drug(c(10, 19), c(9, 4))
  stays <- data.frame(person_id = 1, admission = 19, discharge = 26)
  for (join in c(TRUE, FALSE)) {
    r <- plain(d, stays = stays, in_hospital = "supplied", overlap = "add",
               join = join)
    expect_identical(c(r$start, r$stop), c(10, 26, 19, 30))
  }
})

test_that("days of supply: the first source that knows them", {
  d <- data.frame(
    person_id = 1:5, drug = "a", date = 0, days_supply = c(10, NA, 0, NA, NA),
    quantity = c(1, 60, 60, 30, 3), strength = c(1, 50, 10, 20, NA),
    daily_dose = c(1, 100, NA, NA, NA)
  )
  ddd <- data.frame(drug = "a", ddd = 40)
  r <- exposure_episodes(d, supply = c("given", "dose", "ddd", "fixed"),
                         ddd = ddd, fixed_days = 28)
  # 60 x 50 mg at 100 mg; 60 x 10 mg and 30 x 20 mg at 40 mg; nothing known.
  expect_identical(r$stop, c(10, 30, 15, 15, 28))
  expect_identical(attr(r, "counts")$by_source,
                   c(given = 1L, dose = 1L, ddd = 2L, fixed = 1L))
  error <- expect_error(exposure_episodes(d, supply = c("given", "ddd"),
                                          ddd = ddd),
                        class = "vigitensor_error_unknown_supply")
  expect_identical(error$rows$unknown_supply, 5L)
})

test_that("dose: in units, mg or DDD per day; what is dispensed is preserved", {
  d <- data.frame(person_id = 1, drug = "a", date = c(0, 50), days_supply = 30,
                  quantity = c(60, 45), strength = 20)
  expect_identical(plain(d, dose = "units")$dose, c(2, 1.5))
  expect_identical(plain(d, dose = "mg")$dose, c(40, 30))
  ddd <- data.frame(drug = "a", ddd = 80)
  expect_identical(plain(d, dose = "ddd", ddd = ddd)$dose, c(0.5, 0.375))
  # 100 tablets at 3 a day are 33.3 days: 33, of 100/33 each.
  d <- data.frame(person_id = 1, drug = "a", date = 0, quantity = 100,
                  daily_dose = 3)
  r <- plain(d, supply = "dose", dose = "units")
  expect_identical(r$stop, 33)
  expect_equal(r$dose * r$stop, 100, tolerance = 1e-15)
})

test_that("touching records of one dose are joined, and lag_in moves all", {
  d <- one_drug(c(0, 20, 40), 30, c(1, 1, 2))
  expect_identical(plain(d, dose = "daily_dose")$stop, c(60, 90))
  r <- plain(d, dose = "daily_dose", lag_in = 7)
  expect_identical(r$start, c(7, 67))
})

test_that("ids of every kind are kept exactly; row order does not matter", {
  d <- one_drug(c(0, 15, 3, 70, 5), 30, c(1, 2, 1, 1, 3),
                drug = c("a", "b", "a", "a", "a"), person = c(1, 1, 2, 2, 3))
  big <- c(123456789012, 999999999999, 123456789013)
  kinds <- list(
    c(7L, -2L, 40L), big, format(big), c("\u00e9", "z", "a"),
    factor(c("p10", "p9", "p1"))
  )
  if (requireNamespace("bit64", quietly = TRUE)) {
    kinds <- c(kinds, list(bit64::as.integer64("9007199254740993") + 0:2))
  }
  base <- plain(d, dose = "daily_dose")
  for (ids in kinds) {
    e <- d
    e$person_id <- ids[d$person_id]
    r <- plain(e, dose = "daily_dose")
    # One row per record of the base, with the id in its place.
    expect_identical(class(r$person_id), class(ids))
    at <- match(as.character(r$person_id), as.character(ids))
    expect_false(anyNA(at))
    again <- r[order(at, r$drug, r$start), -1]
    expect_identical(as.list(again), as.list(base[-1]))
    expect_identical(plain(e[c(4, 1, 5, 3, 2), ], dose = "daily_dose"), r)
    stays <- data.frame(person_id = ids[1], admission = 2, discharge = 4)
    expect_identical(
      nrow(plain(e, dose = "daily_dose", stays = stays)), nrow(r) + 1L
    )
  }
})

test_that("a column of another name, and threads, make no difference", {
  made <- random_histories(4000, 3)$dispensings
  names(made)[c(1, 4, 5)] <- c("nir", "days_supply", "daily_dose")
  one <- withr::with_options(list(vigitensor.threads = 1), {
    exposure_episodes(made, id = nir, dose = "daily_dose", grace = 3)
  })
  three <- withr::with_options(list(vigitensor.threads = 3), {
    exposure_episodes(made, id = "nir", dose = "daily_dose", grace = 3)
  })
  expect_identical(one, three)
})

test_that("many people: order of rows, distance of ids, kinds of columns", {
  withr::local_seed(31)
  n <- 160000
  d <- data.frame(person_id = sample.int(20000L, n, TRUE),
                  drug = sample(c("a", "b", "c"), n, TRUE),
                  date = sample.int(900L, n, TRUE), days_supply = 30L)
  base <- plain(d, grace = 5)
  expect_identical(plain(d[sample(n), ], grace = 5), base)
  by_group <- order(base$person_id, base$drug, base$start)
  expect_identical(by_group, seq_len(nrow(base)))
  # Carry-over loses no day.
  counts <- attr(exposure_episodes(d, grace = 5), "counts")
  expect_identical(sum(base$stop - base$start), 30 * n + counts$bridged_days)
  same_but_ids <- function(x) expect_identical(x[-1], base[-1])
  # One person so far from the others that all these are sorted at once.
  far <- d
  far$person_id[d$person_id == 20000L] <- 2000000000L
  same_but_ids(plain(far, grace = 5))
  same_but_ids(plain(transform(d, person_id = person_id - 30000L), grace = 5))
  same_but_ids(plain(transform(d, days_supply = 30), grace = 5))
  same_but_ids(plain(transform(d, daily_dose = 1), dose = "daily_dose",
                     grace = 5))
  ids <- factor(d$person_id)
  same_but_ids(plain(transform(d, person_id = ids), grace = 5))
})

test_that("records go to wce() as they are", {
  sim <- simulate_wce(150, days = 150, users = 0.8, seed = 4)
  d <- with(sim$records, data.frame(person_id, drug, date = start,
                                    days_supply = stop - start,
                                    daily_dose = dose))
  records <- exposure_episodes(d, dose = "daily_dose", overlap = "add",
                               join = FALSE)
  fit <- function(r) {
    wce(Surv(entry, exit, event) ~ exposure("drug"), sim$people, person_id, r,
        cutoff = 30, nknots = 1, engine = "reference")
  }
  expect_equal(coef(fit(records)), coef(fit(sim$records)), tolerance = 1e-12)
})

test_that("all faults of a table are reported together", {
  d <- data.frame(person_id = c(1, NA, 3), drug = c("a", "a", NA),
                  date = c(0, 1.5, Inf), days_supply = c(10, 10, 10),
                  quantity = c(1, -1, 1))
  error <- expect_error(exposure_episodes(d), class = "vigitensor_error_data")
  expect_s3_class(error, "vigitensor_error_missing_values")
  expect_s3_class(error, "vigitensor_error_infinite_values")
  expect_s3_class(error, "vigitensor_error_fractional_time")
  d <- data.frame(person_id = 1:2, drug = "a", date = c(0, 1),
                  days_supply = c(10, NA), quantity = c(-1, 1))
  error <- expect_error(exposure_episodes(d), class = "vigitensor_error_data")
  expect_identical(error$rows$reversal, 1L)
  expect_identical(error$rows$unknown_supply, 2L)
  expect_error(exposure_episodes(d[-4]),
               class = "vigitensor_error_missing_column")
  expect_error(exposure_episodes(d, overlap = "sum"),
               class = "vigitensor_error_overlap")
  expect_error(exposure_episodes(d, supply = "ddd"),
               class = "vigitensor_error_ddd")
  stays <- data.frame(person_id = 1, admission = as.Date("2024-01-05"),
                      discharge = as.Date("2024-01-02"))
  error <- expect_error(exposure_episodes(one_drug(0, 3), stays = stays),
                        class = "vigitensor_error_stop_before_start")
  expect_s3_class(error, "vigitensor_error_mixed_time")
})

test_that("waiting times: the percentile of the time between dispensings", {
  set.seed(11)
  n <- 3000
  gaps <- matrix(rlnorm(n * 30, log(60), 0.25), n)
  day <- runif(n, -60, 60) + t(apply(gaps, 1, cumsum))
  stop_at <- ifelse(runif(n) < 0.3, runif(n, 0, 900), Inf)
  d <- data.frame(person_id = rep(seq_len(n), 30), drug = "a",
                  date = floor(as.vector(day)))
  d <- d[as.vector(day) < pmin(stop_at, 900)[d$person_id] & d$date >= 0, ]
  w <- waiting_time(d, window = 400, end = 899)
  # Standard errors at this size: about 2 % of the days, 3 points of the share.
  expect_equal(w$days, qlnorm(0.8, log(60), 0.25), tolerance = 0.05)
  expect_true(w$converged)
  r <- exposure_episodes(d, supply = "waiting_time", waiting = w)
  expect_gt(sum(r$stop - r$start) / (900 * n), 0.6)
  # A second pack on the day says nothing more.
  twice <- rbind(d, d)
  again <- exposure_episodes(twice, supply = "waiting_time", waiting = w)
  expect_identical(as.data.frame(again), as.data.frame(r))
  expect_identical(attr(again, "counts")$same_day, as.double(nrow(d)))
})

test_that("schemas name the columns that are read", {
  schema <- claims_schema()
  expect_setequal(unique(schema$type), c("id", "date", "number", "code"))
  expect_true(all(nzchar(schema$meaning)))
  expect_false(anyDuplicated(schema[c("table", "column")]) > 0)
})
