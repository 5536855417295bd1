# What must not change an answer of wce(), on random studies: order of rows and
# records, names of people and strata, rows and records cut in two, moved time,
# the unit of dose, the number of threads; with both clocks.

wce_of <- function(study, clock) {
  wce(Surv(entry, exit, event) ~ sex + age + strata(region) +
        exposure("a", cutoff = 20, constrained = "right") +
        exposure("b", cutoff = 12, nknots = 0),
      study$people, id = person_id, records = study$records, nknots = 1,
      clock = clock, robust = TRUE)
}

changed_studies <- function(study, seed) {
  people <- study$people
  records <- study$records
  n <- nrow(people)
  change <- function(people_now = people, records_now = records) {
    list(people = people_now, records = records_now)
  }
  withr::with_seed(seed, {
    name <- sample(1e6, max(records$person_id))
    # A cut at a whole time inside of the row or record, or none.
    cut_of <- function(from, to) {
      from + ceiling((to - from) * stats::runif(length(from)))
    }
    middle <- cut_of(people$entry, people$exit)
    long <- middle < people$exit
    half <- cut_of(records$start, records$stop)
    wide <- half < records$stop
    list(
      shuffled = change(people[sample(n), ],
                        records[sample(nrow(records)), ]),
      renamed = change(
        transform(people, person_id = name[person_id],
                  region = ifelse(region == "north", "z", "a")),
        transform(records, person_id = name[person_id])
      ),
      later = change(
        transform(people, entry = entry + 5000, exit = exit + 5000),
        transform(records, start = start + 5000, stop = stop + 5000)
      ),
      cut = change(
        rbind(transform(people, exit = ifelse(long, middle, exit),
                        event = ifelse(long, 0L, event)),
              transform(people, entry = middle)[long, ]),
        rbind(transform(records, stop = ifelse(wide, half, stop)),
              transform(records, start = half)[wide, ])
      ),
      # Two records of half the dose, on top of each other.
      halved = change(records_now = transform(rbind(records, records),
                                              dose = dose / 2))
    )
  })
}

expect_same_wce <- function(a, b, info) {
  expect_equal(a$loglik, b$loglik, tolerance = 1e-12, info = info)
  loose <- max(1e-8, digits_lost(b$naive.var))
  expect_within(coef(a), coef(b), loose, info)
  expect_equal(a$var, b$var, tolerance = max(1e-7, loose), info = info)
  expect_identical(a$nevent, b$nevent, info = info)
}

test_that("what must not matter to wce()", {
  skip_if_no_engine()
  for (seed in seq_len(if (in_full()) 60L else 3L)) {
    study <- random_study(seed, n = 60L, drugs = 2L)
    clock <- c("unit", "continuous")[1L + seed %% 2L]
    given <- function(study) {
      suppressWarnings(wce_of(study, clock), classes = "vigitensor_warning")
    }
    fit <- given(study)
    # Without an optimum there is nothing to be the same.
    if (any(fit$infinite) || anyNA(coef(fit))) next
    others <- changed_studies(study, seed)
    for (name in names(others)) {
      expect_same_wce(given(others[[name]]), fit, paste(seed, clock, name))
    }
    in_milligrams <- study
    in_milligrams$records$dose <- 1000 * study$records$dose
    scaled <- given(in_milligrams)
    doses <- unlist(lapply(fit$exposures, `[[`, "index"))
    expect_equal(scaled$loglik, fit$loglik, tolerance = 1e-12, info = seed)
    expect_within(1000 * coef(scaled)[doses], coef(fit)[doses], 1e-7, seed)
    threads <- lapply(1:2, function(n) {
      withr::local_options(vigitensor.threads = n)
      given(study)
    })
    expect_identical(threads[[1L]]$var, threads[[2L]]$var, info = seed)
    expect_identical(coef(threads[[1L]]), coef(threads[[2L]]), info = seed)
  }
})
