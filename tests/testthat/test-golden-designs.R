# Published data of other designs, where VIGITENSOR_SHARED has them (they are
# not shipped): sccs/hipdat.txt.gz and condat.txt.gz of the package SCCS,
# pammtools/patient.rda and daily.rda of pammtools. Estimates are compared with
# survival::clogit(), as in the package SCCS, glm() and mgcv on matrices that
# are written out here; bench/sccs.R and bench/icu.R run the packages.

shared_design_data <- function(...) {
  folder <- Sys.getenv("VIGITENSOR_SHARED")
  files <- file.path(folder, c("", "data"), ...)
  found <- files[nzchar(folder) & file.exists(files)]
  skip_if(length(found) == 0L,
          paste("VIGITENSOR_SHARED has no", file.path(...)))
  found[1L]
}

# Observation periods cut at ages and events, as (lower, upper].
sccs_people <- function(events, ages) {
  ages <- ages[ages > min(events$start) & ages <= max(events$end)]
  parts <- lapply(split(events, events$case), function(e) {
    cuts <- c(e$start[1L] - 1, e$end[1L], e$event, ages - 1)
    cuts <- sort(unique(pmin(pmax(cuts, e$start[1L] - 1), e$end[1L])))
    upper <- cuts[-1L]
    data.frame(case = e$case[1L], lower = cuts[-length(cuts)], upper = upper,
               y = as.integer(upper %in% e$event),
               age = findInterval(upper, ages))
  })
  transform(do.call(rbind, parts), age = factor(age))
}

test_that("steps of a weight function are the risk windows of a series", {
  file <- shared_design_data("sccs", "condat.txt.gz")
  condat <- utils::read.table(file, header = TRUE)
  if (!in_full()) condat <- condat[condat$case <= 700, ]
  events <- with(condat, data.frame(case, start = sta, end, event = conv))
  ages <- seq(387, 707, 20)
  people <- sccs_people(events, ages)
  given <- unique(condat[!is.na(condat$mmr), c("case", "mmr")])
  records <- with(given, data.frame(case, start = mmr - 1, stop = mmr,
                                    dose = 1, drug = "mmr"))
  fit <- wce_self_controlled(
    Surv(lower, upper, y) ~ age + exposure("mmr"), data = people, id = case,
    records = records, cutoff = 15, order = 1, nknots = 1
  )
  # Every day of everybody, in a set for each event.
  begins <- fit$exposures[[1L]]$knots
  days <- do.call(rbind, lapply(seq_len(nrow(events)), function(k) {
    e <- events[k, ]
    day <- e$start:e$end
    lag <- day - condat$mmr[k] + 1
    lag[is.na(lag) | lag < 1 | lag > 15] <- 0
    data.frame(set = k, y = as.integer(day == e$event),
               age = findInterval(day, ages),
               window = (lag > 0) + (lag >= begins))
  }))
  # As many days as are alike are one row.
  same <- stats::aggregate(cbind(days = 1, y = days$y),
                           days[c("set", "age", "window")], sum)
  peer <- survival::clogit(
    y ~ factor(age) + factor(window) + offset(log(days)) + strata(set), same,
    control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                      toler.chol = 1e-15)
  )
  off <- (coef(fit) - coef(peer)) / sqrt(diag(fit$var))
  expect_lt(max(abs(off)), 1e-8)
  expect_equal(unname(fit$var), unname(peer$var), tolerance = 1e-6)
})

test_that("windows of a treatment and after it are as clogit() has them", {
  file <- shared_design_data("sccs", "hipdat.txt.gz")
  hipdat <- utils::read.table(file, header = TRUE)
  if (!in_full()) hipdat <- hipdat[1:400, ]
  ages <- floor(stats::quantile(hipdat$frac, seq(0.1, 0.9, 0.1),
                                names = FALSE))
  treated <- function(h, day) {
    since <- day - h$ad
    after <- day - h$endad
    found <- ifelse(after > 0, 4 + (after > 91), 1 + (since >= 15) +
                      (since >= 43))
    found[is.na(h$ad) | since < 0 | after > 182] <- 0
    found
  }
  days <- do.call(rbind, lapply(seq_len(nrow(hipdat)), function(k) {
    day <- hipdat$sta[k]:hipdat$end[k]
    data.frame(set = k, y = as.integer(day == hipdat$frac[k]),
               age = findInterval(day, ages),
               window = treated(hipdat[k, ], day))
  }))
  key <- with(days, paste(set, age, window))
  first <- !duplicated(key)
  same <- days[first, ]
  sums <- rowsum(cbind(1, days$y), key, reorder = FALSE)
  same$days <- sums[, 1L]
  same$y <- as.integer(sums[, 2L])
  same$age <- factor(same$age)
  same$window <- factor(same$window)
  formula <- Surv(rep(1, length(y)), y) ~ window + age + offset(log(days)) +
    strata(set)
  fit <- cox(formula, same, ties = "breslow")
  peer <- survival::coxph(formula, same, ties = "breslow",
                          control = survival::coxph.control(
                            eps = 1e-14, iter.max = 60, toler.chol = 1e-15
                          ))
  off <- (coef(fit) - coef(peer)) / sqrt(diag(peer$var))
  expect_lt(max(abs(off)), 1e-8)
  # A treatment as doses with a smooth weight, and people drawn.
  events <- with(hipdat, data.frame(case, start = sta, end, event = frac))
  people <- sccs_people(events, ages)
  records <- with(hipdat, data.frame(case, start = ad - 1, stop = endad,
                                     dose = 1, drug = "ad"))
  smooth <- wce_self_controlled(
    Surv(lower, upper, y) ~ age + exposure("ad"), data = people, id = case,
    records = records[!is.na(records$start), ], cutoff = 120, smooth = "reml"
  )
  expect_true(smooth$converged)
  # Four months of treatment are near the window from day 43 on.
  expect_lt(abs(total_effect(smooth)$log_hr - coef(peer)[["window3"]]),
            sqrt(peer$var[3L, 3L]))
})

test_that("intensive care patients: glm() and mgcv on a matrix of the days", {
  skip_if_not_installed("mgcv")
  place <- new.env()
  load(shared_design_data("pammtools", "patient.rda"), place)
  load(shared_design_data("pammtools", "daily.rda"), place)
  patient <- as.data.frame(place$patient)
  daily <- as.data.frame(place$daily)
  patient <- patient[!is.na(patient$ApacheIIScore), ][1:900, ]
  end <- pmin(patient$survhosp, 30)
  n <- ceiling(end)
  who <- rep(seq_along(n), n)
  start <- sequence(n) - 1
  rows <- data.frame(
    CombinedID = patient$CombinedID[who], start = start, stop = start + 1,
    seen = log(pmin(end[who] - start, 1)), apache = patient$ApacheIIScore[who],
    event = as.integer(patient$PatientDied[who] == 1 & start + 1 == n[who] &
                         patient$survhosp[who] <= 30)
  )
  # The dose of a day begins to count on the next one.
  daily <- daily[daily$CombinedID %in% patient$CombinedID, ]
  records <- with(daily, data.frame(CombinedID, start = Study_Day,
                                    stop = Study_Day + 1, drug = "calories",
                                    dose = caloriesPercentage / 100))
  dose <- matrix(0, nrow(rows), 29)
  for (day in 1:12) {
    of_day <- daily[daily$Study_Day == day, ]
    given <- of_day$caloriesPercentage[match(rows$CombinedID,
                                             of_day$CombinedID)] / 100
    lag <- rows$stop - day
    there <- which(lag >= 1 & !is.na(given))
    dose[cbind(there, lag[there])] <- given[there]
  }
  fit <- function(...) {
    suppressWarnings(wce_poisson(
      Surv(start, stop, event) ~ apache + offset(seen) + exposure("calories"),
      data = rows, id = CombinedID, records = records, cuts = c(5, 10, 20),
      cutoff = 29, ...
    ), classes = "vigitensor_warning")
  }
  fixed <- fit(nknots = 2)
  rows$rate <- cut(rows$stop, c(-Inf, 5, 10, 20, Inf))
  rows$f <- dose %*% fixed$exposures[[1L]]$basis_matrix
  peer <- stats::glm(event ~ 0 + rate + apache + f + offset(seen),
                     stats::poisson(), rows,
                     control = list(epsilon = 1e-14, maxit = 60))
  off <- (coef(fixed) - coef(peer)) / sqrt(diag(fixed$var))
  expect_lt(max(abs(off)), 1e-8)
  # The same penalised spline by mgcv, which has its own basis of it.
  smooth <- fit(nknots = 8, smooth = wce_smooth(far_end = FALSE))
  rows$lag <- matrix(1:29, nrow(rows), 29, byrow = TRUE)
  rows$dose <- dose
  knots <- wce_all_knots(29, smooth$exposures[[1L]]$knots, "clamped", 4L)
  gam <- mgcv::bam(
    event ~ 0 + rate + apache + offset(seen) +
      s(lag, by = dose, bs = "bs", k = 12, m = c(3, 2)),
    family = stats::poisson(), data = rows, method = "fREML",
    knots = list(lag = knots)
  )
  new <- rows[rep(1L, 29), ]
  new$lag <- matrix(1:29)
  new$dose <- matrix(1, 29)
  told <- stats::predict(gam, new, type = "terms", se.fit = TRUE)
  at <- grep("lag", colnames(told$fit))
  curve <- smooth$exposures[[1L]]$basis_matrix %*%
    coef(smooth)[smooth$exposures[[1L]]$index]
  # A straight line here, at which mgcv stops somewhere on the way.
  expect_lt(max(abs(told$fit[, at] - curve) / told$se.fit[, at]), 0.05)
})
