# Residuals and the baseline hazard against coxph on rows written out.

test_that("residuals by person and by row are coxph's, added up", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- results_case(81, ties, engine)
    fit <- case$fit
    people <- case$study$people
    mine <- function(...) residuals(fit, ..., data = people,
                                    records = case$study$records)
    peer <- function(type, by, ...) {
      residuals(case$peer, type, collapse = case$pieces[[by]], ...)
    }
    for (type in c("martingale", "score", "dfbeta", "dfbetas")) {
      expect_equal(unname(mine(type)), unname(peer(type, "person_id")),
                   tolerance = 1e-6)
      expect_equal(unname(mine(type, by = "row")), unname(peer(type, "row")),
                   tolerance = 1e-6)
    }
    expect_equal(unname(mine("deviance")), unname(peer("deviance",
                                                       "person_id")),
                 tolerance = 1e-6)
    expect_equal(unname(mine("score", weighted = TRUE)),
                 unname(peer("score", "person_id", weighted = TRUE)),
                 tolerance = 1e-6)
    expect_identical(names(mine()), as.character(unique(people$person_id)))
    expect_identical(colnames(mine("score")), names(coef(fit)))
    # Optimum: weighted scores add up to nothing.
    expect_lt(max(abs(colSums(mine("score", weighted = TRUE)))), 1e-6)
  }
})

test_that("Schoenfeld residuals are coxph's", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- results_case(82, ties, engine)
    for (type in c("schoenfeld", "scaledsch")) {
      mine <- residuals(case$fit, type, data = case$study$people,
                        records = case$study$records)
      peer <- residuals(case$peer, type)
      expect_identical(rownames(mine), rownames(peer))
      if (type == "schoenfeld") {
        expect_equal(as.vector(attr(mine, "strata")),
                     as.vector(attr(peer, "strata")))
      }
      # Ties of one time may be in another order.
      expect_equal(rowsum(unname(mine), rownames(mine)),
                   rowsum(unname(peer), rownames(peer)), tolerance = 1e-6,
                   ignore_attr = TRUE)
    }
    expect_identical(nrow(mine), as.integer(case$fit$nevent))
  }
})

test_that("unit rows have residuals row by row", {
  study <- random_study(83, n = 30L)
  units <- to_unit_rows(study$people, study$records)
  units <- units[withr::with_seed(1, sample(nrow(units))), ]
  table <- wce_basis(15, wce_knots(15, 0))
  for (engine in engines_here()) {
    fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure(dose),
               data = units, id = person_id, cutoff = 15, nknots = 0,
               engine = engine)
    expect_lt(fit$counts$joined_rows, nrow(units))
    past <- data.frame(person_id = units$person_id, drug = "a",
                       start = units$entry, stop = units$exit,
                       dose = units$dose)
    pieces <- units
    pieces$feature <- cut_people(units, past, list(a = table), -1)$feature[
      order(order(seq_len(nrow(units)))), ]
    peer <- survival::coxph(Surv(entry, exit, event) ~ sex + age + feature,
                            pieces, control = at_optimum)
    expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-7)
    expect_equal(unname(residuals(fit, by = "row")),
                 unname(residuals(peer)), tolerance = 1e-7)
    expect_equal(unname(residuals(fit, "dfbeta", by = "row")),
                 unname(residuals(peer, "dfbeta")), tolerance = 1e-6)
    by_person <- rowsum(residuals(peer), units$person_id, reorder = FALSE)
    expect_equal(residuals(fit), by_person[, 1], tolerance = 1e-7)
    # What the model expects is what happened less the residual.
    expect_equal(unname(predict(fit, type = "expected")),
                 unname(predict(peer, type = "expected")), tolerance = 1e-7)
    expect_equal(unname(predict(fit, type = "lp", reference = "zero")),
                 unname(predict(peer, type = "lp", reference = "zero")),
                 tolerance = 1e-7)
  }
})

test_that("rows of weight zero have no residual; recurrent events have one", {
  study <- random_study(84, rows_per_person = 2:4)
  people <- study$people
  people$event <- withr::with_seed(2, rbinom(nrow(people), 1, 0.5))
  people$w <- rep_len(c(1, 2, 0, 1), nrow(people))
  people$w[people$person_id == 3] <- 0
  for (engine in engines_here()) {
    fit <- suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + age + exposure("a"), data = people,
          id = person_id, records = study$records, cutoff = 12, nknots = 0,
          weights = w, engine = engine, robust = FALSE),
      classes = "vigitensor_warning"
    )
    expect_identical(which(is.na(residuals(fit, by = "row"))) |> unname(),
                     which(people$w == 0))
    found <- residuals(fit, "deviance")
    expect_identical(names(found)[is.na(found)], "3")
    m <- residuals(fit)
    events <- tapply(people$event * (people$w > 0), people$person_id, sum)
    other <- setdiff(names(m), "3")
    # The Poisson deviance, for any number of events.
    d <- events[other]
    mu <- d - m[other]
    expect_equal(unname(found[other]^2),
                 unname(as.vector(stats::poisson()$dev.resids(d, mu, 1))),
                 tolerance = 1e-8)
  }
})

test_that("the baseline hazard is basehaz's", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- results_case(85, ties, engine)
    zero <- data.frame(sex = factor("f", c("f", "m")), age = 0, known = 0,
                       region = c("north", "south"))
    zero$feature <- matrix(0, 2, ncol(case$pieces$feature))
    mine <- baseline_hazard(case$fit, centered = FALSE,
                            data = case$study$people,
                            records = case$study$records)
    peer <- survival::survfit(case$peer, zero, censor = FALSE)
    expect_equal(mine$hazard, peer$cumhaz, tolerance = 1e-6)
    expect_equal(mine$std.err, peer$std.err, tolerance = 1e-6)
    expect_identical(mine$time, peer$time)
    expect_equal(mine$n.risk, peer$n.risk)
    expect_equal(mine$n.event, peer$n.event)
    expect_identical(as.vector(table(mine$strata)),
                     unname(as.vector(peer$strata)))
    centred <- baseline_hazard(case$fit, data = case$study$people,
                               records = case$study$records)
    factor <- sum(coef(case$fit)[1:2] * case$fit$meta$means)
    expect_equal(centred$hazard, mine$hazard * exp(factor), tolerance = 1e-9)
  }
})

test_that("a change of the data is noticed, and arguments are checked", {
  case <- results_case(86, engine = "reference", weighted = FALSE)
  people <- case$study$people
  records <- case$study$records
  expect_error(residuals(case$fit, data = people[-1, ], records = records),
               class = "vigitensor_error_data_changed")
  fit <- case$fit
  fit$call$data <- quote(gone_for_good)
  expect_error(residuals(fit), class = "vigitensor_error_data_missing")
  expect_error(residuals(case$fit, "raw"), class = "vigitensor_error_type")
  expect_error(residuals(case$fit, by = "day"), class = "vigitensor_error_by")
  expect_error(residuals(case$fit, weighted = 2),
               class = "vigitensor_error_input")
  expect_error(residuals(case$fit, typ = "score"),
               class = "vigitensor_error")
  expect_error(baseline_hazard(case$fit, centered = NA),
               class = "vigitensor_error_input")
})

test_that("a dropped column has no residual", {
  study <- random_study(87)
  study$people$copy <- 2 * study$people$age
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ age + copy + exposure("a"),
        data = study$people, id = person_id, records = study$records,
        cutoff = 12, nknots = 0, engine = "reference"),
    classes = "vigitensor_warning"
  )
  people <- study$people
  records <- study$records
  fit$call$data <- quote(people)
  fit$call$records <- quote(records)
  found <- residuals(fit, "dfbeta")
  expect_true(all(is.na(found[, "copy"])))
  expect_false(anyNA(found[, -2]))
  expect_true(all(is.na(residuals(fit, "schoenfeld")[, "copy"])))
})

test_that("fits whose likelihood rises for ever have residuals", {
  study <- random_study(88)
  study$people$last <- as.numeric(study$people$event == 0)
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ age + last + exposure("a"),
        data = study$people, id = person_id, records = study$records,
        cutoff = 12, nknots = 0, engine = engines_here()[1L]),
    classes = "vigitensor_warning"
  )
  people <- study$people
  records <- study$records
  fit$call$data <- quote(people)
  fit$call$records <- quote(records)
  found <- residuals(fit)
  expect_equal(sum(found), 0, tolerance = 1e-6)
  expect_equal(unname(residuals(fit, by = "row")),
               people$event - unname(predict(fit, type = "expected")),
               tolerance = 1e-9)
})
