# exposure(by = ) and exposure(dose = ): several weight functions from one term.

people_and_records <- function(n = 250, seed = 4) {
  sim <- simulate_wce(n, days = 200, cutoff = 60, hazard = 5e-3, seed = seed)
  # One dispensing at a time, so that doses do not add up.
  sim$records <- sim$records[!duplicated(sim$records$person_id), ]
  sim
}

fit_terms <- function(formula, sim, ..., engine = "reference") {
  wce(formula, data = sim$people, id = person_id, records = sim$records,
      cutoff = 30, nknots = 1, constrained = "right", engine = engine, ...)
}

test_that("a term by a person's group is one term for each group's drug", {
  sim <- people_and_records()
  fit <- fit_terms(Surv(entry, exit, event) ~ sex + exposure("drug", by = sex),
                   sim)
  split <- sim
  sex <- sim$people$sex[match(sim$records$person_id, sim$people$person_id)]
  split$records$drug <- paste0("drug", sex)
  peer <- fit_terms(Surv(entry, exit, event) ~ sex + exposure("drug0") +
                      exposure("drug1"), split)
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-12)
  expect_equal(fit$loglik, peer$loglik, tolerance = 1e-12)
  expect_equal(vapply(fit$exposures, `[[`, "", "label"),
               sprintf("exposure(\"drug\", sex = %d)", 0:1))
  found <- equal_weights(fit)
  i <- lapply(fit$exposures, `[[`, "index")
  gap <- coef(fit)[i[[1]]] - coef(fit)[i[[2]]]
  v <- fit$var
  v <- v[i[[1]], i[[1]]] + v[i[[2]], i[[2]]] - v[i[[1]], i[[2]]] -
    v[i[[2]], i[[1]]]
  expect_equal(unname(found$statistic), drop(gap %*% solve(v, gap)),
               tolerance = 1e-8)
  expect_output(print(found), "equal weight functions")
})

test_that("groups of records and of unit rows work too", {
  sim <- people_and_records()
  sim$records$early <- sim$records$start < 100
  fit <- fit_terms(Surv(entry, exit, event) ~ exposure("drug", by = early), sim)
  split <- sim
  split$records$drug <- ifelse(sim$records$early, "b", "a")
  peer <- fit_terms(Surv(entry, exit, event) ~ exposure("a") + exposure("b"),
                    split)
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-12)

  rows <- unit_rows(sim$people, sim$records, person_id)
  rows$late <- rows$Stop > 100
  by_row <- wce(Surv(Start, Stop, Event) ~ exposure(dose, by = late),
                data = rows, id = Id, cutoff = 30, nknots = 0,
                constrained = "right", engine = "reference")
  rows$before <- rows$dose * !rows$late
  rows$after <- rows$dose * rows$late
  peer <- wce(Surv(Start, Stop, Event) ~ exposure(before) + exposure(after),
              data = rows, id = Id, cutoff = 30, nknots = 0,
              constrained = "right", engine = "reference")
  expect_equal(unname(coef(by_row)), unname(coef(peer)), tolerance = 1e-12)
})

# Rows at risk at event times, and the dose at every lag before.
risk_rows <- function(sim, m) {
  people <- sim$people
  times <- sort(unique(people$exit[people$event == 1]))
  rows <- do.call(rbind, lapply(times, function(t) {
    at <- which(people$entry < t & people$exit >= t)
    data.frame(k = at, time = t, y = people$event[at] * (people$exit[at] == t))
  }))
  dose <- matrix(0, nrow(rows), m)
  r <- sim$records[match(people$person_id[rows$k], sim$records$person_id), ]
  for (u in seq_len(m)) {
    day <- rows$time - u
    dose[, u] <- ifelse(!is.na(r$dose) & r$start <= day & r$stop > day, r$dose,
                        0)
  }
  list(rows = rows, dose = dose)
}

test_that("a surface over dose and lag is a cross-basis in coxph()", {
  sim <- people_and_records(120)
  spline <- dose_spline(top = 3, knots = 1, degree = 2)
  risk <- risk_rows(sim, 30)
  for (engine in c("reference", if (engine_available()) "cpu")) {
    fit <- fit_terms(
      Surv(entry, exit, event) ~ sex + exposure("drug", dose = spline), sim,
      engine = engine
    )
    expect_length(fit$exposures, 3L)
    lag_basis <- fit$exposures[[1L]]$basis_matrix
    cross <- do.call(cbind, lapply(1:3, function(k) {
      g <- matrix(dose_columns(spline, as.vector(risk$dose))[, k],
                  nrow(risk$dose))
      g %*% lag_basis
    }))
    sex <- sim$people$sex[risk$rows$k]
    peer <- survival::coxph(
      Surv(rep(1, nrow(risk$rows)), y) ~ sex + cross + strata(time),
      data = risk$rows,
      control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                        toler.chol = 1e-15)
    )
    expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-7)
    expect_equal(fit$loglik, peer$loglik, tolerance = 1e-10)
  }
  # The surface from the coefficients, and its sum over lags.
  b <- matrix(coef(fit)[-1], ncol = 3)
  surface <- dose_response(fit, doses = c(0, 0.5, 2), lag = 1:30)
  expected <- dose_columns(spline, c(0, 0.5, 2)) %*% t(lag_basis %*% b)
  expect_equal(surface$log_hr, as.vector(expected), tolerance = 1e-10)
  expect_equal(surface$se[surface$dose == 0], numeric(30))
  total <- dose_response(fit, doses = c(0.5, 2))
  expect_equal(total$log_hr, rowSums(expected)[-1], tolerance = 1e-10)
  history <- dose_response(fit, profile = list(same = rep(2, 30)))
  expect_equal(history$log_hr, total$log_hr[2], tolerance = 1e-10)
  expect_equal(history$se, total$se[2], tolerance = 1e-10)
})

test_that("a surface is printed as one term", {
  sim <- people_and_records()
  fit <- fit_terms(Surv(entry, exit, event) ~
                     exposure("drug", dose = dose_spline(3, 1)), sim)
  for (shown in list(fit, summary(fit))) {
    words <- utils::capture.output(print(shown))
    expect_length(grep("exposure(\"drug\"): lags", words, fixed = TRUE), 1L)
    expect_length(grep("spline of degree 2, 1 interior knot", words), 1L)
    expect_length(grep("Dose 1 at all lags", words), 0L)
  }
})

test_that("one function of the dose is that dose", {
  sim <- people_and_records()
  cap <- 1
  fit <- fit_terms(Surv(entry, exit, event) ~
                     exposure("drug", dose = function(x) pmin(x, cap)), sim)
  capped <- sim
  capped$records$dose <- pmin(sim$records$dose, 1)
  peer <- fit_terms(Surv(entry, exit, event) ~ exposure("drug"), capped)
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-12)
  cap <- 5 # the fit has its own
  expect_equal(dose_response(fit, 3)$log_hr, total_effect(peer)$log_hr,
               tolerance = 1e-10)
})

test_that("plots and refusals of several terms", {
  sim <- people_and_records()
  fit <- fit_terms(Surv(entry, exit, event) ~
                     exposure("drug", dose = function(x) cbind(x, x^2)), sim)
  local_pdf <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(local_pdf)
  withr::defer(grDevices::dev.off())
  expect_silent(plot(dose_response(fit, 1:3)))
  expect_silent(plot(dose_response(fit, 1:3, lag = 1:30)))
  expect_silent(plot(dose_response(fit, 1:3, lag = 1:30), type = "surface"))
  expect_error(predict(fit, newdata = sim$people, newrecords = sim$records),
               class = "vigitensor_error_several_terms")
  expect_error(fit_terms(Surv(entry, exit, event) ~
                           exposure("drug", dose = function(x) x + 1), sim),
               class = "vigitensor_error_dose_basis")
  expect_error(fit_terms(Surv(entry, exit, event) ~
                           exposure("drug", dose = dose_spline(0.1)), sim),
               class = "vigitensor_error_dose_basis")
  expect_error(fit_terms(Surv(entry, exit, event) ~
                           exposure("drug", by = nothing), sim),
               class = "vigitensor_error_by")
  expect_error(dose_response(fit_terms(Surv(entry, exit, event) ~
                                         exposure("drug"), sim), 1),
               class = "vigitensor_error_no_surface")
  twice <- sim
  twice$records <- rbind(sim$records, sim$records)
  expect_error(fit_terms(Surv(entry, exit, event) ~
                           exposure("drug", dose = function(x) x^2), twice),
               class = "vigitensor_error_overlapping_rows")
  expect_error(dose_spline(3, knots = c(2, 1)),
               class = "vigitensor_error_dose_basis")
})
