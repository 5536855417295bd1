some_records <- function(dates = FALSE) {
  d <- data.frame(person_id = c(1, 1, 2, 3), drug = c("a", "b", "a", "a"),
                  date = c(0, 5, 5, 20), days_supply = 10, daily_dose = 1:4)
  if (dates) d$date <- as.Date("2020-01-01") + d$date
  exposure_episodes(d, dose = "daily_dose")
}

quietly_drawn <- function(code) {
  file <- tempfile(fileext = ".png")
  on.exit(unlink(file))
  grDevices::png(file)
  value <- tryCatch(code, finally = grDevices::dev.off())
  expect_gt(file.size(file), 1000)
  value
}

test_that("the population: people exposed on each day", {
  steps <- quietly_drawn(plot(some_records(), min_cell = 0))
  a <- steps[steps$drug == "a", ]
  expect_identical(a$day, c(0, 5, 10, 15, 20, 30))
  expect_identical(a$people, c(1L, 2L, 1L, 0L, 1L, 0L))
  # Fewer than ten are not drawn; none at all is.
  steps <- quietly_drawn(plot(some_records(TRUE)))
  expect_identical(steps$people[steps$drug == "a"],
                   c(NA, NA, NA, 0L, NA, 0L))
  expect_s3_class(steps$day, "Date")
  # Nor are shares that say that all but a few are exposed.
  many <- exposure_episodes(data.frame(
    person_id = 1:95, drug = "a", date = 0, days_supply = 10
  ))
  steps <- quietly_drawn(plot(many, followed = 100))
  expect_identical(steps$people, c(NA, 0L))
  steps <- quietly_drawn(plot(many, followed = 200))
  expect_identical(steps$value, c(95 / 200, 0))
  # By periods: anybody exposed within one counts once.
  steps <- quietly_drawn(plot(some_records(), min_cell = 0, every = 10))
  a <- steps[steps$drug == "a", ]
  expect_identical(a$day, c(0, 10, 20, 30))
  expect_identical(a$people, c(2L, 1L, 1L, 0L))
})

test_that("a sample has a seed of its own, and one person his records", {
  records <- some_records(TRUE)
  set.seed(3)
  before <- .Random.seed
  one <- quietly_drawn(plot(records, "sample", n = 2))
  expect_identical(.Random.seed, before)
  expect_identical(quietly_drawn(plot(records, "sample", n = 2)), one)
  expect_identical(max(one$line), 2L)
  stays <- data.frame(person_id = 1, admission = as.Date("2020-01-03"),
                      discharge = as.Date("2020-01-05"))
  mine <- quietly_drawn(plot(records, "person", person = 1, stays = stays))
  expect_identical(mine$drug, c("a", "b"))
  expect_error(plot(records, "person", person = 99),
               class = "vigitensor_error_person")
})

test_that("variants side by side", {
  d <- data.frame(person_id = rep(1:12, each = 3), drug = "a",
                  date = rep(c(0, 25, 70), 12), days_supply = 30)
  v <- episode_variants(d, list(main = list(), grace = list(grace = 10),
                                replace = list(overlap = "truncate")),
                        keep = TRUE)
  # 90 days; a gap of 10 days more; 5 days less.
  expect_identical(v$exposed_days, 12 * c(90, 100, 85))
  expect_identical(v$relative_days, c(1, 100 / 90, 85 / 90))
  expect_identical(v$spells, c(24L, 12L, 24L))
  expect_identical(attr(v, "records")$grace,
                   exposure_episodes(d, grace = 10))
  grid <- episode_variants(d, expand.grid(grace = c(0, 10), tail = c(0, 4)))
  expect_identical(grid$variant[4], "grace 10, tail 4")
  expect_identical(grid$exposed_days, 12 * c(90, 100, 98, 104))
  few <- episode_variants(d[1:6, ], list(main = list()))
  expect_true(is.na(few$people) && is.na(few$exposed_days))
  expect_error(episode_variants(d, list(list())),
               class = "vigitensor_error_variants")
  expect_error(episode_variants(d, list(a = list(gap = 3))),
               class = "vigitensor_error_unknown_argument")
})
