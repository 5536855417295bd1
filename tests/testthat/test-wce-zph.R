# The check of proportional hazards against cox.zph() on rows written out.

ph_case <- function(seed, ties, engine) {
  # cox.zph() takes case weights; ties in the expanded rows are its own.
  results_case(seed, ties, engine, n = 60L)
}

check_of <- function(case, ...) {
  ph_check(case$fit, ..., data = case$study$people,
           records = case$study$records)
}

test_that("the tests are those of cox.zph", {
  for (way in ways_here()) {
    case <- ph_case(111, way[1L], way[2L])
    ranks <- rank(case$peer$y[case$peer$y[, 3] == 1, 2])
    times <- case$peer$y[case$peer$y[, 3] == 1, 2]
    same_ranks <- function(t) {
      found <- ranks[match(t, times)]
      ifelse(is.na(found), 0, found)
    }
    peers <- list(km = "km", identity = "identity", log = "log",
                  rank = same_ranks)
    for (name in names(peers)) {
      mine <- check_of(case, name, terms = FALSE)
      peer <- survival::cox.zph(case$peer, peers[[name]], terms = FALSE)
      expect_equal(unname(mine$table), unname(peer$table), tolerance = 1e-6)
      expect_equal(sort(unname(mine$x)), sort(unname(peer$x)),
                   tolerance = 1e-12)
    }
    # cox.zph() has one term for both drugs.
    found <- check_of(case, "identity")$table
    one <- survival::cox.zph(case$peer, "identity")$table
    expect_equal(found[c("sex", "age", "GLOBAL"), ],
                 one[c("sex", "age", "GLOBAL"), ], tolerance = 1e-6)
    expect_identical(rownames(found)[3:4], c("exposure(\"a\")",
                                             "exposure(\"b\")"))
    expect_identical(unname(found[, "df"]), c(1, 1, 5, 4, 11))
  }
})

test_that("a term is tested as cox.zph tests a matrix", {
  for (engine in engines_here()) {
    study <- random_study(112, n = 60L)
    fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure("a"),
               data = study$people, id = person_id, records = study$records,
               cutoff = 20, nknots = 1, engine = engine)
    peer <- survival::cox.zph(oracle_fit(study$people, study$records))
    mine <- ph_check(fit)
    expect_equal(unname(mine$table), unname(peer$table), tolerance = 1e-6)
    expect_equal(unname(mine$time), unname(peer$time))
    # The residuals of a single coefficient, up to the order of ties. Those of
    # cox.zph() are of a model with one column per term.
    scaled <- residuals(oracle_fit(study$people, study$records), "scaledsch")
    expect_equal(sort(unname(mine$y[, "age"])), sort(unname(scaled[, 2])),
                 tolerance = 1e-6)
    expect_equal(mine$var[2, 2], fit$var["age", "age"])
    # Residuals of a total effect are around it.
    total <- hazard_ratio(fit, 1)
    expect_equal(mean(mine$y[, 3]), total$log_hr, tolerance = 1e-6)
    expect_equal(sqrt(mine$var[3, 3]), total$se, tolerance = 1e-9)
  }
})

test_that("the one-step weight functions are those of a Newton step of coxph", {
  study <- random_study(113, n = 80L)
  fit <- wce(Surv(entry, exit, event) ~ age + exposure("a"),
             data = study$people, id = person_id, records = study$records,
             cutoff = 15, nknots = 0, engine = "reference")
  table <- wce_basis(15, numeric())
  times <- sort(unique(study$people$exit[study$people$event == 1]))
  pieces <- cut_people(study$people, study$records, list(a = table), times)
  # Every piece ends at its event time.
  deaths <- pieces$exit[pieces$event == 1]
  g <- pieces$exit - mean(deaths)
  x <- cbind(pieces$age, pieces$feature)
  step <- suppressWarnings(survival::coxph(
    Surv(entry, exit, event) ~ cbind(x, g * x), pieces,
    init = c(coef(fit), 0 * coef(fit)),
    control = survival::coxph.control(iter.max = 1)
  ))
  found <- ph_check(fit, "identity")$curves
  late <- found[found$when == "late", ]
  moved <- coef(step)[2:5] + (late$time[1] - mean(deaths)) * coef(step)[7:10]
  expect_equal(late$weight, unname(drop(table %*% moved)), tolerance = 1e-6)
})

test_that("a weight function that changes is found, one that stays is not", {
  skip_if_no_engine()
  p <- vapply(1:6, function(seed) {
    study <- random_study(200 + seed, n = 300L, rows_per_person = 1)
    early <- study$records[study$records$start < 20, ]
    people <- study$people
    # Early doses kill, late ones save.
    size <- vapply(people$person_id, function(i) {
      mine <- study$records[study$records$person_id == i, ]
      sum(mine$dose * (mine$stop - mine$start) * sign(20 - mine$start))
    }, 0)
    people$exit <- people$entry + pmax(16, round(
      people$exit * exp(-0.05 * size)))
    people$event <- 1L
    fit <- wce(Surv(entry, exit, event) ~ age + exposure("a"), data = people,
               id = person_id, records = study$records, cutoff = 15,
               nknots = 0)
    ph_check(fit)$table[, "p"]
  }, c(age = 0, exposure = 0, GLOBAL = 0))
  # Independent of age, but not of the doses.
  expect_lt(median(p["exposure", ]), 0.01)
  expect_gt(median(p["age", ]), 0.05)
})

test_that("shapes are tested on the face where the fit lies", {
  study <- random_study(114, n = 60L)
  fit <- wce(Surv(entry, exit, event) ~ age + exposure("a"),
             data = study$people, id = person_id, records = study$records,
             cutoff = 15, nknots = 1, engine = "reference",
             shape = c("nonnegative", "decreasing"))
  expect_gt(sum(fit$active), 0)
  found <- ph_check(fit)
  expect_equal(found$table["GLOBAL", "df"], fit$df, ignore_attr = TRUE)
  late <- found$curves[found$curves$when == "late", ]
  expect_true(all(is.finite(late$weight)))
  expect_error(ph_check(fit, terms = FALSE), class = "vigitensor_error_shape")
})

test_that("prints, and bad arguments", {
  case <- results_case(115, engine = "reference")
  shown <- capture.output(print(check_of(case, "rank")))
  expect_match(shown[1], "change with the rank of time?", fixed = TRUE)
  expect_match(shown, "GLOBAL", all = FALSE)
  expect_no_match(shown, "[*]")
  expect_identical(nrow(check_of(case, global = FALSE)$table), 4L)
  expect_error(check_of(case, "square"), class = "vigitensor_error_transform")
  expect_error(check_of(case, function(t) "a"),
               class = "vigitensor_error_transform")
  expect_error(check_of(case, terms = NA), class = "vigitensor_error_input")
})
