# Continuous time: integrals, invariances, and coxph on features integrated by
# Simpson's rule (exact for cubics) between all the break points.

random_real_study <- function(seed, n = 40L) {
  study <- random_study(seed, n = n)
  withr::with_seed(seed, {
    # Neighbouring rows of a person must still meet.
    stretch <- 1 + 0.013 * pi
    p <- study$people
    shift <- runif(n, 0, 0.4)[p$person_id]
    p$entry <- p$entry * stretch + shift
    p$exit <- p$exit * stretch + shift
    # Some ties remain.
    tied <- p$person_id %% 5 == 0
    p$entry[tied] <- p$entry[tied] - shift[tied]
    p$exit[tied] <- p$exit[tied] - shift[tied]
    r <- study$records
    r$start <- r$start + runif(nrow(r))
    r$stop <- r$start + runif(nrow(r), 0.3, 14)
    list(people = p, records = r)
  })
}

real_fit <- function(study, ..., formula = NULL, cutoff = 18.5, nknots = 1,
                     engine = "reference") {
  suppressWarnings(
    wce(formula %||% (Surv(entry, exit, event) ~ sex + age + exposure("a")),
        data = study$people, id = person_id, records = study$records,
        cutoff = cutoff, nknots = nknots, clock = "continuous",
        engine = engine, ...),
    classes = "vigitensor_warning"
  )
}

# The integral over (from, to] of each column of basis(u), a polynomial of
# degree 3 at most between `breaks`.
simpson <- function(basis, from, to, breaks) {
  cuts <- sort(unique(c(from, to, breaks[breaks > from & breaks < to])))
  left <- cuts[-length(cuts)]
  right <- cuts[-1L]
  # Just inside, where a step has its own value.
  inside <- 1e-9 * (right - left)
  weights <- (right - left) / 6
  colSums(weights * (basis(left + inside) + 4 * basis((left + right) / 2) +
                       basis(right - inside)))
}

test_that("the integrated basis is the integral of the basis", {
  for (order in 1:5) for (ends in list(FALSE, "both", c(right = "value"))) {
    m <- 7.3
    knots <- smooth_knots(m, 4)
    table <- integrate_basis(m, knots, ends, order)
    for (u in c(0.4, 1.46, 3, 6.99, 7.3)) {
      basis <- function(v) smooth_basis(m, knots, ends, order, v)
      for (j in seq_len(ncol(table$coefficients))) {
        numeric <- sum(vapply(seq_along(c(knots, m)), function(k) {
          bounds <- pmin(c(0, knots, m)[k + 0:1], u)
          if (bounds[1L] == bounds[2L]) return(0)
          stats::integrate(function(v) basis(v)[, j], bounds[1L],
                           bounds[2L] - 1e-12, rel.tol = 1e-10)$value
        }, 0))
        expect_equal(integral_at(table, u)[, j], numeric, tolerance = 1e-8)
      }
    }
    expect_identical(integral_at(table, c(-1, 0)),
                     matrix(0, 2, ncol(table$coefficients)))
    expect_equal(integral_at(table, 9), integral_at(table, m))
    # Continuous where pieces meet.
    expect_equal(integral_at(table, knots - 1e-12),
                 integral_at(table, knots + 1e-12), tolerance = 1e-10)
  }
})

test_that("a fit in continuous time is coxph on integrated doses", {
  study <- random_real_study(51)
  p <- study$people
  m <- 18.5
  for (order in c(4, 2)) {
    knots <- smooth_knots(m, 1)
    basis <- function(u) smooth_basis(m, knots, FALSE, order, u)
    pieces <- survival::survSplit(
      Surv(entry, exit, event) ~ ., p,
      cut = sort(unique(p$exit[p$event == 1]))
    )
    features <- lapply(seq_len(nrow(pieces)), function(i) {
      t <- pieces$exit[i]
      mine <- study$records[study$records$person_id == pieces$person_id[i], ]
      total <- numeric(order + 1)
      for (k in seq_len(nrow(mine))) {
        from <- max(t - mine$stop[k], 0)
        to <- min(t - mine$start[k], m)
        if (from < to) {
          total <- total + mine$dose[k] * simpson(basis, from, to, knots)
        }
      }
      total
    })
    pieces$feature <- do.call(rbind, features)
    oracle <- survival::coxph(Surv(entry, exit, event) ~ sex + age + feature,
                              pieces, control = at_optimum)
    fit <- real_fit(study, order = order)
    # Simpson's rule stays 1e-9 inside the pieces.
    expect_equal(unname(coef(fit)), unname(coef(oracle)), tolerance = 1e-6)
    expect_equal(fit$loglik, oracle$loglik, tolerance = 1e-9)
    expect_lt(max(abs(fit$score)), 1e-6)
  }
})

test_that("on whole times, constant pieces are sums over days", {
  study <- random_study(52)
  rows <- c(4, 11)
  steps <- cbind(as.numeric(1:20 <= 4), as.numeric(1:20 > 4 & 1:20 <= 11),
                 as.numeric(1:20 > 11))
  integral <- list(breaks = c(0, rows, 20), coefficients = rbind(
    c(0, 0, 0), c(1, 0, 0), c(4, 0, 0), c(0, 1, 0), c(4, 7, 0), c(0, 0, 1)
  ))
  expect_equal(integral_at(integral, 0:20), wce_cumulate(steps))
  defaults <- list(cutoff = 20, nknots = 1, lag_in = 0, constrained = FALSE,
                   shape = "free", order = 4, basis = "clamped")
  design <- wce_design(
    split_formula(Surv(entry, exit, event) ~ sex + exposure("a")),
    study$people, "person_id", study$records, defaults
  )
  fit <- function(terms, table) {
    wce_fit_impl(design$rows, terms, list(list(table)), engine = "reference")
  }
  whole <- fit(design$terms, wce_cumulate(steps))
  terms <- design$terms
  terms[[1]]$cells <- 0:20
  smooth <- fit(terms, integral)
  expect_equal(smooth$fits[[1]]$coefficients, whole$fits[[1]]$coefficients,
               tolerance = 1e-10)
  expect_equal(smooth[-1], whole[-1])
  expect_identical(smooth$fits[[1]]$n_pairs, whole$fits[[1]]$n_pairs)
})

test_that("the unit of time, its origin and cuts do not matter", {
  study <- random_real_study(53)
  base <- real_fit(study, lag_in = 1.5, constrained = "right")
  expect_identical(range(base$exposures[[1]]$lags), c(1.5, 18.5))
  change <- function(f) {
    list(people = transform(study$people, entry = f(entry), exit = f(exit)),
         records = transform(study$records, start = f(start), stop = f(stop)))
  }
  hours <- real_fit(change(function(t) 24 * t), cutoff = 24 * 18.5,
                    lag_in = 24 * 1.5, constrained = "right")
  scale <- c(1, 1, 24, 24, 24)
  expect_equal(coef(hours) * scale, coef(base), tolerance = 1e-9)
  expect_equal(hours$loglik, base$loglik, tolerance = 1e-12)
  expect_equal(weight_function(hours)$weight[1] * 24,
               weight_function(base)$weight[1], tolerance = 1e-9)
  later <- real_fit(change(function(t) t + 1000), lag_in = 1.5,
                    constrained = "right")
  expect_equal(coef(later), coef(base), tolerance = 1e-8)
  cut <- study
  middle <- with(study$records, start + 0.37 * (stop - start))
  cut$records <- rbind(transform(study$records, stop = middle),
                       transform(study$records, start = middle))
  again <- real_fit(cut, lag_in = 1.5, constrained = "right")
  expect_equal(coef(again), coef(base), tolerance = 1e-9)
})

test_that("the clock is chosen, said and checked", {
  study <- random_real_study(54)
  run <- function(...) {
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ exposure("a"), data = study$people,
          id = person_id, records = study$records, cutoff = 15, nknots = 0,
          engine = "reference", ...), classes = "vigitensor_warning"
    )
  }
  expect_message(fit <- run(), class = "vigitensor_message_clock")
  expect_identical(fit$clock, "continuous")
  expect_no_message(run(clock = "continuous"))
  expect_error(run(clock = "unit"), class = "vigitensor_error_fractional_time")
  expect_error(run(clock = "sun"), class = "vigitensor_error_clock")
  expect_error(run(clock = "continuous", basis = "WCE"),
               class = "vigitensor_error_basis")
  expect_error(run(clock = "continuous", lag_in = 15),
               class = "vigitensor_error_cutoff")
  expect_output(print(fit), "lags 0 to 15 days, continuous time", fixed = TRUE)
  whole <- random_study(54)
  unit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ exposure("a"), data = whole$people,
        id = person_id, records = whole$records, cutoff = 15, nknots = 0,
        engine = "reference"), classes = "vigitensor_warning"
  )
  expect_identical(unit$clock, "unit")
})

test_that("times that differ by rounding are tied", {
  study <- random_study(55)
  scaled <- list(people = transform(study$people, entry = entry / 10,
                                    exit = exit / 10),
                 records = transform(study$records, start = start / 10,
                                     stop = stop / 10))
  base <- real_fit(scaled, cutoff = 2)
  shaken <- scaled
  shaken$people$exit <- shaken$people$exit *
    (1 + rep_len(c(0, 2, -2), nrow(shaken$people)) * .Machine$double.eps)
  again <- real_fit(shaken, cutoff = 2)
  expect_identical(again$n_event_times, base$n_event_times)
  expect_equal(again$loglik, base$loglik, tolerance = 1e-12)
})

test_that("coverage, weights and hazard ratios in continuous time", {
  study <- random_real_study(56)
  fit <- real_fit(study, constrained = "right", cutoff = c(9.25, 18.5))
  fit <- refit(fit, cutoff = 18.5)
  expect_true(all(fit$exposures[[1]]$covered))
  w <- weight_function(fit)
  expect_identical(range(w$lag), c(0, 18.5))
  b <- coef(fit)[fit$exposures[[1]]$index]
  # One unit of dose over the whole window: the area under the curve.
  area <- simpson(function(u) {
    smooth_basis(18.5, smooth_knots(18.5, 1), "right", 4, u)
  }, 0, 18.5, smooth_knots(18.5, 1))
  expect_equal(hazard_ratio(fit, 1)$log_hr, sum(area * b), tolerance = 1e-8)
  course <- data.frame(start = c(0.25, 3), stop = c(2.75, 30), dose = c(2, 1))
  by_records <- hazard_ratio(fit, course, at = c(4.5, 9))
  expect_identical(by_records$profile, c("at 4.5", "at 9"))
  byhand <- function(t) {
    from <- pmax(t - course$stop, 0)
    to <- pmin(t - course$start, 18.5)
    sum(vapply(1:2, function(k) {
      course$dose[k] * sum(b * simpson(function(u) {
        smooth_basis(18.5, smooth_knots(18.5, 1), "right", 4, u)
      }, from[k], to[k], smooth_knots(18.5, 1)))
    }, 0))
  }
  expect_equal(by_records$log_hr, c(byhand(4.5), byhand(9)), tolerance = 1e-7)
  # Days as a vector and as records.
  expect_equal(
    hazard_ratio(fit, c(0, 0, 1, 1, 1))$log_hr,
    hazard_ratio(fit, data.frame(start = 5, stop = 8, dose = 1), at = 10)$log_hr
  )
  expect_equal(hazard_ratio(fit, course, course, at = 5)$log_hr, 0)
})

test_that("the engines agree in continuous time, with every option", {
  skip_if_no_engine()
  calls <- list(
    list(seed = 57, cutoff = c(6.5, 18.5), nknots = 0:2),
    list(seed = 58, order = 3, constrained = "right", lag_in = 0.75),
    list(seed = 59, order = 1, ties = "breslow", robust = TRUE),
    list(seed = 60, order = 2, shape = c("nonnegative", "decreasing")),
    list(seed = 61, constrained = c(left = "value"), robust = TRUE,
         formula = Surv(entry, exit, event) ~ age + exposure("a") +
           exposure("b", cutoff = 9.2, nknots = 0) + strata(region))
  )
  for (call in calls) {
    study <- random_real_study(call$seed, n = 60L)
    study$records$drug <- rep_len(c("a", "a", "b"), nrow(study$records))
    run <- function(engine) {
      do.call(real_fit, c(list(study), call[names(call) != "seed"],
                          list(engine = engine)))
    }
    reference <- run("reference")
    cpu <- run("cpu")
    expect_identical(cpu$engine, "cpu")
    expect_equal(cpu$selection, reference$selection, tolerance = 1e-9)
    expect_equal(cpu$n_pairs, reference$n_pairs)
    expect_identical(cpu$n_event_times, reference$n_event_times)
    for (row in seq_along(cpu$fits)) {
      a <- select_fit(cpu, row)
      b <- select_fit(reference, row)
      # The flattest direction bounds how well coefficients are known.
      expect_equal(coef(a), coef(b), tolerance = 1e-6)
      expect_equal(a$loglik, b$loglik, tolerance = 1e-10)
      expect_equal(a$var, b$var, tolerance = 1e-5)
      expect_identical(a$active, b$active)
      expect_equal(a$n_pairs, b$n_pairs)
      expect_identical(lapply(a$exposures, `[[`, "covered"),
                       lapply(b$exposures, `[[`, "covered"))
    }
  }
})

test_that("stretches without a dose are known", {
  cells <- seq(0, 10, by = 2.5)
  risk <- list(row = 1:2, set = c(1, 1), time = c(20, 20))
  term <- list(subject = c(1L, 2L, 3L), start = c(12.6, 17.5, 0),
               stop = c(14.9, 19, 20), dose = c(1, 0, 1), cells = cells)
  # The third person is not at risk, the second took nothing.
  expect_identical(reference_cells(risk, c(1L, 2L), term),
                   c(FALSE, FALSE, TRUE, FALSE))
  expect_identical(
    covered_points(c(0, 2.5, 5, 7.5, 10), cells, c(FALSE, FALSE, TRUE, FALSE)),
    c(FALSE, FALSE, TRUE, TRUE, FALSE)
  )
  # A window that ends at 5 does not see beyond it.
  expect_identical(covered_points(c(0, 2.5, 5), cells,
                                  c(FALSE, FALSE, TRUE, FALSE)),
                   c(FALSE, FALSE, FALSE))
})
