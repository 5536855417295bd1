# Survival curves of planned histories against survfit.coxph on rows that are
# written out.

plan_case <- function(seed, ties, engine) {
  case <- results_case(seed, ties, engine)
  people <- data.frame(
    person_id = c("u", "u", "v"), entry = c(0, 12, 0), exit = c(12, 40, 33),
    sex = factor(c("f", "f", "m")), age = c(40, 47, 61), event = 0,
    region = c("north", "north", "south"), known = c(0.1, 0.2, -0.3)
  )
  records <- data.frame(
    person_id = c("u", "u", "v", "v"), drug = c("a", "b", "a", "a"),
    start = c(-5, 3, 6, 10), stop = c(9, 20, 18, 14), dose = c(1, 0.5, 2, 0.3)
  )
  c(case, list(people = people, records = records,
               plan = cut_people(people, records, case$bases, case$times)))
}

curves_of <- function(case, ..., newrecords = case$records) {
  survfit(case$fit, case$people, newrecords, ...,
          data = case$study$people, records = case$study$records)
}

test_that("curves of plans are survfit.coxph's", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- plan_case(101, ties, engine)
    mine <- curves_of(case)
    peer <- survival::survfit(case$peer, case$plan, id = person_id,
                              censor = FALSE)
    expect_equal(mine$surv, peer$surv, tolerance = 1e-6)
    expect_equal(mine$cumhaz, peer$cumhaz, tolerance = 1e-6)
    for (name in c("time", "n.risk", "n.event", "strata")) {
      expect_equal(mine[[name]], peer[[name]], ignore_attr = TRUE)
    }
    expect_identical(names(mine$strata), c("u", "v"))
  }
})

test_that("standard errors are those of coxph where nothing changes", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- results_case(102, ties, engine)
    who <- data.frame(entry = 0, exit = 900, sex = c("f", "m"),
                      age = c(44, 60), region = c("north", "south"),
                      known = 0, row.names = c("x", "y"))
    none <- case$study$records[0, c("start", "stop", "dose", "drug")]
    peer_who <- who
    peer_who$feature <- matrix(0, 2, 9)
    peer <- survival::survfit(case$peer, peer_who, censor = FALSE,
                              conf.type = "log-log")
    for (type in c("log", "log-log", "plain")) {
      mine <- survfit(case$fit, who, none, conf.type = type, conf.int = 0.9,
                      data = case$study$people, records = case$study$records)
      peer <- survival::survfit(case$peer, peer_who, censor = FALSE,
                                conf.type = type, conf.int = 0.9)
      for (name in c("std.err", "lower", "upper")) {
        last <- peer$surv > 0
        expect_equal(mine[[name]][last], peer[[name]][last], tolerance = 1e-6)
      }
    }
    expect_identical(names(mine$strata), c("x", "y"))
    # Expected events are the end of the curve.
    ends <- cumsum(mine$strata)
    found <- predict(case$fit, who, none, "expected", TRUE,
                     data = case$study$people, records = case$study$records)
    expect_equal(unname(found$fit), mine$cumhaz[ends])
    expect_equal(unname(found$se.fit), mine$std.err[ends])
  }
})

test_that("along a path the standard error is that of the whole path", {
  for (way in ways_here()) {
    ties <- way[1L]
    engine <- way[2L]
    case <- plan_case(103, ties, engine)
    mine <- curves_of(case)
    # The derivative of the cumulative hazard by the coefficients, by
    # differences of survfit.coxph at coefficients held there.
    hazard_at <- function(b) {
      model <- suppressWarnings(survival::coxph(
        Surv(entry, exit, event) ~ sex + age + feature + strata(region) +
          offset(known), case$pieces, weights = w, ties = ties, init = b,
        control = survival::coxph.control(iter.max = 0), robust = FALSE
      ))
      survival::survfit(model, case$plan, id = person_id, censor = FALSE,
                        se.fit = FALSE)$cumhaz
    }
    b <- unname(coef(case$peer))
    size <- sqrt(diag(vcov(case$peer)))
    slope <- vapply(seq_along(b), function(k) {
      h <- 1e-4 * size[k] * (seq_along(b) == k)
      (hazard_at(b + h) - hazard_at(b - h)) / (2e-4 * size[k])
    }, numeric(length(mine$time)))
    from_b <- rowSums((slope %*% vcov(case$peer)) * slope)
    # With coefficients known what is left is the baseline's part.
    known <- case$fit
    known$var[] <- 0
    case$fit <- known
    own <- curves_of(case)
    expect_equal(mine$std.err^2, own$std.err^2 + from_b, tolerance = 1e-5)
  }
})

test_that("plans are compared, print and summarise as survfit objects", {
  case <- plan_case(104, "efron", "reference")
  case$people <- case$people[3, ]
  plans <- list(never = case$records[0, ], now = case$records[4, ],
                case$records)
  mine <- curves_of(case, newrecords = plans)
  expect_identical(names(mine$strata), c("never", "now", "3"))
  expect_s3_class(mine, c("survfitwce", "survfitcox", "survfit"),
                  exact = TRUE)
  expect_output(print(mine), "never")
  table <- summary(mine, times = c(10, 20))
  expect_identical(dim(table$table), c(3L, 9L))
  expect_equal(table$surv[3:4], summary(curves_of(
    case, newrecords = plans[[2]]), times = c(10, 20))$surv)
  expect_lt(tail(mine[3]$surv, 1), 1)
  expect_null(curves_of(case, se.fit = FALSE)$std.err)
  expect_null(curves_of(case, conf.type = "none")$lower)
  average <- survfit(case$fit, data = case$study$people,
                     records = case$study$records)
  expect_equal(average$cumhaz, baseline_hazard(
    case$fit, data = case$study$people, records = case$study$records)$hazard)
  expect_equal(unname(average$std.err), baseline_hazard(
    case$fit, data = case$study$people,
    records = case$study$records)$std.err)
})

test_that("rows that overlap and follow-up without events are refused", {
  case <- plan_case(105, "efron", "reference")
  case$people$entry[2] <- 5
  expect_error(curves_of(case), class = "vigitensor_error_overlapping_rows")
  case$people$entry <- 1000
  case$people$exit <- 1010 + 10 * (1:3)
  case$people$person_id <- 1:3
  case$records$person_id <- 1
  expect_error(curves_of(case), class = "vigitensor_error_no_event")
  expect_error(curves_of(case, newrecords = 1:3),
               class = "vigitensor_error_data_type")
  expect_error(curves_of(case, conf.type = "odd"),
               class = "vigitensor_error_conf.type")
})
