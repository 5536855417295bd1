# wce() on the data sets of survival in which something is taken, measured or
# done over time, against coxph on people cut at every event time.

test_that("treated infections as the exposure, recurrent infections", {
  skip_if_no_engine()
  rows <- dnase_rows()
  treated <- subset(rhDNase, !is.na(ivstart) & ivstart < ivstop)
  records <- data.frame(id = treated$id, drug = "iv", start = treated$ivstart,
                        stop = treated$ivstop, dose = 1)
  people <- with(rows, data.frame(id, start = tstart, stop = tstop,
                                  event = infect, trt, fev))
  basis <- splines::splineDesign(c(rep(1, 4), 30, rep(60, 4)), 1:60)
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ trt + fev + exposure("iv"), people, id = id,
        records = records, cutoff = 60, nknots = 1),
    "trt + fev", people, robust = TRUE,
    function(id, time) unit_features(id, time, records, basis)
  )
  # Nobody is at risk in the week after a treatment, so these lags are left out:
  # lags 8 to 60 are 53 days of records that are a week late. Both ends zero:
  # the first and the last two columns of the basis are gone.
  late <- transform(records, start = start + 7, stop = stop + 7)
  short <- splines::splineDesign(c(rep(1, 4), 27, rep(53, 4)), 1:53)[, 2:3]
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ fev + strata(trt) + exposure("iv"), people,
        id = id, records = records, cutoff = 60, nknots = 1, robust = FALSE,
        lag_in = 7, constrained = c(left = "value", right = "slope")),
    "fev + strata(trt)", people,
    function(id, time) unit_features(id, time, late, short)
  )
})

test_that("bilirubin as the exposure", {
  skip_if_no_engine()
  people <- pbc[1:312, c("id", "time", "status", "age", "edema", "sex")]
  people <- transform(people, start = 0, stop = time,
                      event = as.integer(status == 2))
  values <- with(pbcseq, data.frame(id, days = day, value = bili))
  records <- cbind(values_as_records(values, 730), drug = "bili")
  basis <- splines::splineDesign(c(rep(1, 4), 61, 120, rep(180, 4)), 1:180)
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ age + edema + strata(sex) +
          exposure("bili"), people, id = id, records = records, cutoff = 180,
        nknots = 2, constrained = "right"),
    "age + edema + strata(sex)", people,
    function(id, time) unit_features(id, time, records, basis[, 1:4])
  )
})

test_that("dated laboratory values and diagnoses, with history before entry", {
  skip_if_no_engine()
  # Deaths are few: more of them than of the others.
  k <- if (in_full()) 8 else 80
  chosen <- with(nafld1, futime > 0 &
                   (status == 1 & id %% 10 == 1 | id %% k == 1))
  people <- with(nafld1[chosen, ], data.frame(
    id, start = as.Date("2000-03-01"), stop = as.Date("2000-03-01") + futime,
    event = status, age, male
  ))
  values <- nafld2[nafld2$test == "chol" & nafld2$id %in% people$id, ]
  records <- values_as_records(transform(values, value = value / 100), 365)
  ill <- nafld3[nafld3$event == "diabetes" & nafld3$id %in% people$id, ]
  # The first two years after the diagnosis.
  records <- rbind(
    cbind(records, drug = "chol"),
    data.frame(id = ill$id, start = ill$days, stop = ill$days + 730, dose = 1,
               drug = "diabetes")
  )
  expect_true(any(records$start < 0))
  dated <- transform(records, start = as.Date("2000-03-01") + start,
                     stop = as.Date("2000-03-01") + stop)
  cubic <- splines::splineDesign(c(rep(1, 4), 90, rep(180, 4)), 1:180)
  linear <- splines::splineDesign(c(1, 1, 365, 365), 1:365, ord = 2)
  counted <- transform(people, start = 0, stop = as.numeric(stop - start))
  fit <- expect_like_expanded(
    wce(Surv(start, stop, event) ~ age + male +
          exposure("chol", cutoff = 180, nknots = 1) +
          exposure("diabetes", cutoff = 365, nknots = 0, order = 2),
        people, id = id, records = dated),
    "age + male", counted, function(id, time) {
      of <- split(records, records$drug)
      cbind(unit_features(id, time, of$chol, cubic),
            unit_features(id, time, of$diabetes, linear))
    }, engines = "cpu"
  )
  expect_gt(fit$n_pairs, 9000)
})

test_that("a transplanted heart as the exposure, in continuous time", {
  skip_if_no_engine()
  rows <- heart_rows()
  people <- with(rows[!duplicated(rows$id), ], data.frame(
    id, start = 0, stop = time, event = fustat, age, surgery
  ))
  moved <- rows[rows$graft == 1 & !duplicated(rows[c("id", "graft")]), ]
  records <- data.frame(id = moved$id, drug = "heart", start = moved$tstart,
                        stop = 2000, dose = 1)
  expect_true(any(records$start %% 1 != 0))
  knots <- c(rep(0, 4), 45, rep(90, 4))
  features <- function(id, time) {
    smooth_features(id, time, records, c(0, 45, 90), function(u) {
      splines::splineDesign(knots, u)
    })
  }
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ age + surgery + exposure("heart"), people,
        id = id, records = records, cutoff = 90, nknots = 1,
        clock = "continuous"),
    "age + surgery", people, features, engines = c("cpu", "reference")
  )
  # From rows that say when somebody had one, the same.
  both <- with(rows, data.frame(id, start = tstart, stop = tstop,
                                event = death, age, surgery, graft))
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ age + surgery + exposure(graft), both,
        id = id, cutoff = 90, nknots = 1, clock = "continuous"),
    "age + surgery", people, features
  )
})

test_that("earlier recurrences as the exposure, from rows in months", {
  skip_if_no_engine()
  people <- with(subset(bladder1, start < stop), data.frame(
    id, start, stop, event = as.integer(status == 1), treatment, number,
    before = enum - 1
  ))
  records <- with(people, data.frame(id, start, stop, dose = before))
  basis <- splines::splineDesign(c(1, 1, 1, 12, 12, 12), 1:12, ord = 3)
  expect_like_expanded(
    wce(Surv(start, stop, event) ~ treatment + number + exposure(before),
        people, id = id, cutoff = 12, nknots = 0, order = 3, unit = "month"),
    "treatment + number", people, robust = TRUE,
    function(id, time) unit_features(id, time, records, basis),
    engines = c("cpu", "reference")
  )
})
