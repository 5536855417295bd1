test_that("states of exposure, worked by hand", {
  people <- data.frame(person_id = c("a", "b", "c"), entry = c(0, 10, 0),
                       exit = c(100, 60, 50), event = c(1, 1, 0))
  records <- data.frame(person_id = c("a", "a", "a", "b", "z"),
                        drug = "x", start = c(20, 25, 90, 0, 0),
                        stop = c(30, 40, 99, 5, 500), dose = 1)
  x <- describe_exposure(people, records, recent = 15, min_cell = 0)
  e <- x$exposure
  days <- e$person_years * 365.25
  # a: never 20, current 20 + 9, recent 15 + 1, past 35. b: recent (10, 20],
  # past 40. c: never 50.
  expect_equal(days, c(29, 16 + 10, 35 + 40, 20 + 50, 200), tolerance = 1e-12)
  expect_identical(e$events, c(0, 1, 1, 0, 2))
  expect_identical(e$people, c(1L, 2L, 2L, 2L, 3L))
  expect_identical(x$drugs$users, 1L)
  expect_identical(x$drugs$spells, 2L)
  expect_identical(x$drugs$days_per_spell, 14.5)
  p <- 29 / 200
  expect_equal(x$drugs$detectable_hr,
               exp((qnorm(0.975) + qnorm(0.8)) / sqrt(2 * p * (1 - p))))
  # Schoenfeld: 88 events for a hazard ratio of 2 in two halves need 65.
  expect_equal(exp(qnorm_sum(0.05, 0.8) / sqrt(65.4 * 0.25)), 2,
               tolerance = 1e-3)
})

test_that("states are those of person-days looked at one by one", {
  sim <- simulate_wce(80, days = 120, users = 0.7, late_entry = 0.3,
                      refill = c(-10, 5), hazard = 3e-3, seed = 21)
  p <- sim$people
  r <- sim$records
  x <- describe_exposure(p, r, recent = 12, min_cell = 0)$exposure
  count <- matrix(0, 4, 2)
  for (i in seq_len(nrow(p))) {
    mine <- r[r$person_id == p$person_id[i], ]
    for (t in (p$entry[i] + 1):p$exit[i]) {
      on <- any(mine$start < t & mine$stop >= t)
      was <- any(mine$start < t & mine$stop + 12 >= t)
      ever <- any(mine$start < t)
      state <- if (on) 1 else if (was) 2 else if (ever) 3 else 4
      count[state, 1] <- count[state, 1] + 1
      if (p$event[i] == 1 && t == p$exit[i]) {
        count[state, 2] <- count[state, 2] + 1
      }
    }
  }
  expect_equal(x$person_years[1:4] * 365.25, count[, 1], tolerance = 1e-12)
  expect_equal(x$events[1:4], count[, 2])
})

test_that("a cohort's records are put on its time scale", {
  day <- as.Date("2020-01-01")
  people <- data.frame(person_id = 1:2)
  d <- data.frame(person_id = c(1, 2), drug = "a", date = day + c(10, 30),
                  days_supply = 20)
  hits <- data.frame(person_id = 1, date = day + 25, code = "I21")
  described <- lapply(c("entry", "calendar"), function(scale) {
    x <- outcomes(cohort(people, dispensings = d, new_users = "a",
                         end = day + 99, washout = 0, time_scale = scale),
                  hits, "I21")
    describe_exposure(x, exposure_episodes(d), min_cell = 0)
  })
  expect_equal(described[[1]], described[[2]])
  expect_equal(described[[1]]$exposure$person_years[1] * 365.25, 16 + 20)
  expect_identical(described[[1]]$exposure$events[1], 1)
})

# A published table: can a hidden count be worked out by anybody with a pencil?
# Independent of the package's own check: hidden cells are changed along every
# direction that keeps all published numbers, found by Gauss elimination.
can_be_worked_out <- function(full, mask) {
  cells <- which(mask)
  if (!length(cells)) return(integer())
  n <- nrow(full)
  k <- ncol(full)
  at <- matrix(seq_along(full), n)
  a <- rbind(
    t(vapply(seq_len(n), function(i) {
      as.numeric(cells %in% at[i, -k]) - (cells %in% at[i, k])
    }, cells + 0)),
    t(vapply(seq_len(k), function(j) {
      as.numeric(cells %in% at[-n, j]) - (cells %in% at[n, j])
    }, cells + 0))
  )
  a <- matrix(a, ncol = length(cells))
  # Reduced row echelon form: a cell is determined when a row holds it alone.
  row <- 1
  for (j in seq_along(cells)) {
    if (row > nrow(a)) break
    pivot <- which.max(abs(a[row:nrow(a), j])) + row - 1
    if (abs(a[pivot, j]) < 1e-9) next
    a[c(row, pivot), ] <- a[c(pivot, row), ]
    a[row, ] <- a[row, ] / a[row, j]
    for (i in setdiff(seq_len(nrow(a)), row)) {
      a[i, ] <- a[i, ] - a[i, j] * a[row, ]
    }
    row <- row + 1
  }
  alone <- rowSums(abs(a) > 1e-9) == 1
  cells[apply(abs(a[alone, , drop = FALSE]) > 1e-9, 1, which)]
}

test_that("no suppressed count can be recovered from the margins", {
  n_hidden <- 0
  for (seed in 1:300) {
    set.seed(seed)
    counts <- matrix(sample(c(0, 1:9, 10:30, 50, 100), 12, TRUE,
                            c(2, rep(0.4, 9), rep(0.4, 21), 2, 2)),
                     sample(2:4, 1))
    s <- suppress_small(counts)
    shown <- rbind(cbind(s$cells, s$rows), c(s$columns, s$total))
    full <- stats::addmargins(counts, FUN = sum, quiet = TRUE)
    # What is shown is right, and none of it is small.
    expect_true(all(is.na(shown) | shown == full))
    expect_false(any(shown > 0 & shown < 10, na.rm = TRUE))
    expect_identical(can_be_worked_out(unname(full), unname(is.na(shown))),
                     integer())
    # Nor the sum of those hidden in a line with a margin.
    lines <- rbind(cbind(counts, s$rows)[, ncol(counts) + 1])
    for (i in seq_len(nrow(counts))) {
      hidden <- sum(counts[i, is.na(s$cells[i, ])])
      expect_true(is.na(s$rows[i]) || hidden == 0 || hidden >= 10)
    }
    n_hidden <- n_hidden + sum(is.na(shown))
  }
  expect_gt(n_hidden, 300)
  # The check of the test itself: a single hidden cell is worked out.
  full <- stats::addmargins(matrix(c(5, 20, 30, 40), 2), FUN = sum,
                            quiet = TRUE)
  expect_identical(can_be_worked_out(unname(full), full == 5), 1L)
})

test_that("suppression in one dimension", {
  expect_identical(suppress_small(c(a = 120, b = 4, c = 35)),
                   list(cells = c(a = 120, b = NA, c = NA), total = 159))
  expect_identical(suppress_small(c(120, 4))$cells, c(NA_real_, NA_real_))
  expect_identical(suppress_small(c(120, 14)), list(cells = c(120, 14),
                                                    total = 134))
  expect_identical(suppress_small(c(2, 3, 0))$total, NA_real_)
  expect_identical(suppress_small(c(2, 3), min_cell = 0)$cells, c(2, 3))
  expect_error(suppress_small(c(1, NA)), class = "vigitensor_error_counts")
})

test_that("small counts of a description are suppressed everywhere", {
  people <- data.frame(person_id = 1:400, entry = 0, exit = 100,
                       event = as.integer(1:400 %% 8 == 0))
  # Drug x has 6 users; y has 200, drug w all but 4.
  records <- rbind(
    data.frame(person_id = 1:6, drug = "x", start = 10, stop = 60, dose = 1),
    data.frame(person_id = 1:200, drug = "y", start = 20, stop = 100,
               dose = 1),
    data.frame(person_id = 5:400, drug = "w", start = 0, stop = 100, dose = 1)
  )
  x <- describe_exposure(people, records)
  e <- x$exposure
  current <- e[e$state == "current", ]
  expect_identical(is.na(current$people), c(w = TRUE, x = TRUE, y = FALSE),
                   ignore_attr = TRUE)
  expect_true(is.na(x$drugs$users[x$drugs$drug == "x"]))
  expect_true(is.na(x$drugs$users[x$drugs$drug == "w"]))
  expect_identical(x$drugs$users[x$drugs$drug == "y"], 200L)
  expect_false(any(e$events > 0 & e$events < 10, na.rm = TRUE))
  for (drug in c("w", "x", "y")) {
    hidden <- is.na(e$events[e$drug == drug])
    expect_true(sum(hidden) != 1)
    expect_identical(is.na(e$person_years[e$drug == drug]), hidden)
    expect_true(all(is.na(e$rate[e$drug == drug][hidden])))
  }
  expect_output(print(x), "not shown")
})
