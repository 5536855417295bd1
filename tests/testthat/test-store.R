test_that("wce() of a store is wce() of the data frames", {
  skip_if_no_engine()
  cohort <- store_cohort()
  store <- new_store(cohort)
  expect_identical(store$n_blocks, 3L)
  expect_output(print(store), "600 people.*3 blocks")
  fit <- function(formula, data, records = NULL, ...) {
    suppressWarnings(wce(formula, data, id = person_id, records = records,
                         cutoff = 40, engine = "cpu", ...))
  }
  models <- list(
    list(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
         nknots = 0:1, constrained = "right"),
    list(Surv(entry, exit, event == 1) ~ region * sex + strata(site) +
           offset(shift) + exposure("drug") + exposure("other", cutoff = 30),
         nknots = 0, lag_in = 2),
    list(Surv(exit, event) ~ I(age > 50) + log(age) + site +
           splines::ns(age, knots = 45, Boundary.knots = c(20, 80)) +
           exposure("drug"),
         nknots = 1, shape = "nonnegative", ties = "breslow",
         weights = quote(w))
  )
  for (model in models) {
    stored <- do.call(fit, c(model, list(data = store)), quote = FALSE)
    whole <- do.call(fit, c(model, list(data = cohort$people,
                                        records = cohort$records)))
    expect_stored_model(stored, whole)
    same <- c("n_rows", "n_subjects", "n_pairs", "df", "selection", "active",
              "exposed_events", "n_event_times")
    expect_equal(stored[same], whole[same], tolerance = 1e-9)
    expect_equal(stored$exposures[[1]]$covered, whole$exposures[[1]]$covered)
    expect_equal(weight_function(stored), weight_function(whole),
                 tolerance = 1e-6)
  }
  expect_identical(list.files(file.path(store$path, "fits")), character())
  expect_output(print(stored), "Weighted cumulative exposure")
})

test_that("cox() of a store is cox() of the data frame", {
  skip_if_no_engine()
  cohort <- store_cohort()
  store <- new_store(cohort, 250)
  f <- Surv(entry, exit, event) ~ sex + region + strata(site) + offset(shift)
  stored <- cox(f, store, weights = w, robust = FALSE, engine = "cpu")
  whole <- cox(f, cohort$people, weights = w, robust = FALSE, engine = "cpu")
  expect_stored_model(stored, whole)
  expect_equal(stored$wald.test, whole$wald.test, tolerance = 1e-6)
  expect_equal(as.integer(stored$n), whole$n)
  expect_equal(AIC(stored), AIC(whole))
  expect_output(print(stored), "Engine \"cpu\"")
  for (g in list(predict, fitted, survival::survfit,
                 survival::concordance)) {
    expect_error(g(stored), class = "vigitensor_error_store_rows")
  }
  expect_error(cox(f, store, ties = "exact", engine = "cpu"),
               class = "vigitensor_error_store_rows")
})

test_that("a function gives blocks, and a run that stopped goes on", {
  skip_if_no_engine()
  cohort <- store_cohort(300)
  calls <- integer()
  blocks <- function(stop_at) {
    force(stop_at)
    function(k) {
      calls[[length(calls) + 1L]] <<- k # nolint: what is counted
      if (k == stop_at) stop("the source is gone")
      if (k > 3) return(NULL)
      own <- (cohort$people$person_id - 1) %/% 100 + 1 == k
      ids <- cohort$people$person_id[own]
      list(people = cohort$people[own, ],
           records = cohort$records[cohort$records$person_id %in% ids, ])
    }
  }
  folder <- withr::local_tempfile()
  expect_error(claims_store(blocks(3), path = folder, id = "person_id"),
               "the source is gone")
  calls <- integer()
  store <- claims_store(blocks(99), path = folder, id = "person_id")
  # Block 1 tells the columns; 2 is there.
  expect_equal(calls, c(1, 3, 4))
  f <- Surv(entry, exit, event) ~ sex + exposure("drug")
  stored <- wce(f, store, cutoff = 30, nknots = 0, engine = "cpu")
  whole <- wce(f, cohort$people, person_id, cohort$records, cutoff = 30,
               nknots = 0, engine = "cpu")
  expect_stored_model(stored, whole)
  expect_equal(stored$selection, whole$selection, tolerance = 1e-9)
})

test_that("dates, missing values and odd names cross to the disk and back", {
  skip_if_no_engine()
  cohort <- store_cohort(60)
  people <- cohort$people
  day <- as.Date("2020-01-01")
  people$entry <- day + people$entry
  people$exit <- day + people$exit
  people$`odd name, "quoted"` <- ifelse(people$sex == 1, NA, people$age)
  people$person_id <- sprintf("p\u00e9rson %03d", people$person_id)
  records <- cohort$records
  records$person_id <- sprintf("p\u00e9rson %03d", records$person_id)
  records$start <- day + records$start
  records$stop <- day + records$stop
  store <- new_store(list(people = people, records = records), 25)
  notes <- store_notes(store)
  back <- lapply(1:3, function(k) read_store_block(store, k, notes)$people)
  back <- do.call(rbind, back)
  same <- setdiff(names(people), c("person_id", "region"))
  back$site <- factor(back$site, levels(people$site))
  expect_equal(back[same], people[same], ignore_attr = "row.names")
  expect_identical(as.character(back$region), people$region)
  f <- Surv(entry, exit, event) ~ sex + exposure("drug")
  expect_stored_model(
    wce(f, store, cutoff = 30, nknots = 0, engine = "cpu"),
    wce(f, people, person_id, records, cutoff = 30, nknots = 0, engine = "cpu")
  )
  expect_error(
    cox(Surv(exit, event) ~ `odd name, "quoted"`, store, engine = "cpu"),
    class = "vigitensor_error_missing_values"
  )
})

test_that("what a store cannot do is refused by name", {
  skip_if_no_engine()
  cohort <- store_cohort(200)
  store <- new_store(cohort, 90)
  fails <- function(formula, code, ...) {
    expect_error(wce(formula, store, cutoff = 30, nknots = 0, engine = "cpu",
                     ...), class = paste0("vigitensor_error_", code))
  }
  fails(Surv(exit, event) ~ scale(age) + exposure("drug"), "whole_column")
  fails(Surv(exit, event) ~ splines::ns(age, 3) + exposure("drug"),
        "whole_column")
  fails(Surv(exit, event) ~ sex + exposure(age), "exposure")
  fails(Surv(exit, event) ~ sex + exposure("nothing"), "no_records")
  fails(Surv(exit, event) ~ nobody + exposure("drug"), "missing_column")
  fails(Surv(exit, event + 1) ~ sex + exposure("drug"), "event_values")
  fails(Surv(exit / 2, event) ~ sex + exposure("drug"), "fractional_time")
  fails(Surv(exit, event) ~ I(person_id %% 2) + exposure("drug"), "id_column")
  fails(Surv(exit, event) ~ sex + exposure("drug"), "clock",
        clock = "continuous")
  fails(Surv(exit, event) ~ sex + exposure("drug"), "records",
        records = cohort$records)
  expect_error(wce(Surv(exit, event) ~ exposure("drug"), store, cutoff = 30,
                   engine = "reference"), class = "vigitensor_error_engine")
  fit <- wce(Surv(exit, event) ~ exposure("drug"), store, cutoff = 30,
             nknots = 0, engine = "cpu")
  expect_error(residuals(fit, "schoenfeld"),
               class = "vigitensor_error_store_rows")
  expect_error(open_claims_store(withr::local_tempfile()),
               class = "vigitensor_error_no_store")
  expect_error(
    claims_store(cohort$people[1:50, ], cohort$records, store$path,
                 id = person_id), class = "vigitensor_error_store_differs"
  )
})

test_that("a person in two blocks, and columns of two types, are faults", {
  skip_if_no_engine()
  cohort <- store_cohort(120)
  split_person <- function(k) {
    if (k < 3) list(people = cohort$people[c(60, 60 * k - 59:1), ])
  }
  expect_error(claims_store(split_person, path = withr::local_tempfile(),
                            id = "person_id"),
               class = "vigitensor_error_repeated_people")
  two_types <- function(k) {
    if (k > 2) return(NULL)
    people <- cohort$people[50 * (k - 1) + 1:50, ]
    if (k == 2) people$age <- as.character(people$age)
    list(people = people)
  }
  expect_error(claims_store(two_types, path = withr::local_tempfile(),
                            id = "person_id"),
               class = "vigitensor_error_column_type")
})
