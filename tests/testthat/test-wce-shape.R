# Shapes: the matrices of inequalities, and the fits against the best of all
# faces of the feasible set, each fitted by coxph.

shaped_fit <- function(study, shape, ..., nknots = 2, engine = "reference") {
  suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + age + exposure("a"),
        data = study$people, id = person_id, records = study$records,
        cutoff = 20, nknots = nknots, shape = shape, engine = engine, ...),
    classes = "vigitensor_warning"
  )
}

test_that("shapes are read, and impossible ones refused", {
  expect_identical(check_shape("free"), "free")
  expect_identical(check_shape(c("nonnegative", "decreasing")),
                   c("nonnegative", "decreasing"))
  for (wrong in list("up", NULL, 1, c("nonnegative", "nonpositive"),
                     c("decreasing", "increasing"), c("free", "decreasing"))) {
    expect_error(check_shape(wrong), class = "vigitensor_error_shape")
  }
  refuse <- function(constrained, shape) {
    expect_error(shape_matrix(5, constrained, 4, shape),
                 class = "vigitensor_error_shape")
  }
  refuse(c(left = "value"), c("nonnegative", "decreasing"))
  refuse("right", c("nonnegative", "increasing"))
  refuse("right", c("nonpositive", "decreasing"))
  refuse("both", "decreasing")
})

test_that("inequalities are independent and mean what they say", {
  expect_null(shape_matrix(5, FALSE, 4, "free"))
  expect_identical(shape_matrix(3, FALSE, 4, "nonnegative"), diag(3))
  expect_identical(shape_matrix(3, FALSE, 4, "decreasing"),
                   rbind(c(1, -1, 0), c(0, 1, -1)))
  # The two columns at the end are left out: b3 is followed by zeros.
  expect_identical(shape_matrix(5, "right", 4, "decreasing"),
                   rbind(c(1, -1, 0), c(0, 1, -1), c(0, 0, 1)))
  combos <- list("nonnegative", "nonpositive", "decreasing", "increasing",
                 c("nonnegative", "decreasing"), c("nonpositive", "increasing"),
                 c("nonnegative", "increasing"), c("nonpositive", "decreasing"))
  withr::local_seed(1)
  for (order in 1:4) for (ends in list(FALSE, "right", c(left = "value"))) {
    knots <- wce_knots(40, 4)
    basis <- wce_basis(40, knots, ends, order = order)
    for (shape in combos) {
      a <- tryCatch(shape_matrix(4 + order, ends, order, shape),
                    vigitensor_error_shape = function(e) NULL)
      if (is.null(a)) next
      expect_identical(qr(t(a))$rank, nrow(a))
      # Points of the feasible set: b with A b = some non-negative numbers.
      along <- qr.Q(qr(t(a)), complete = TRUE)[, -seq_len(nrow(a)),
                                               drop = FALSE]
      for (draw in 1:5) {
        b <- qr.solve(rbind(a, t(along)),
                      c(rexp(nrow(a)), rnorm(ncol(along))))
        w <- drop(basis %*% b)
        if ("nonnegative" %in% shape) expect_gte(min(w), -1e-12)
        if ("nonpositive" %in% shape) expect_lte(max(w), 1e-12)
        if ("decreasing" %in% shape) expect_lte(max(diff(w)), 1e-12)
        if ("increasing" %in% shape) expect_gte(min(diff(w)), -1e-12)
      }
    }
  }
})

# The best feasible fit among those that hold some inequalities with equality.
best_face <- function(pieces, a) {
  x <- cbind(as.numeric(pieces$sex) - 1, pieces$age, pieces$feature)
  y <- with(pieces, survival::Surv(entry, exit, event))
  a <- cbind(matrix(0, nrow(a), 2), a)
  best <- list(loglik = -Inf)
  for (code in seq_len(2^nrow(a)) - 1) {
    held <- bitwAnd(code, 2^(seq_len(nrow(a)) - 1)) > 0
    z <- if (any(held)) {
      qr.Q(qr(t(a[held, , drop = FALSE])), complete = TRUE)[, -seq_len(
        sum(held)), drop = FALSE]
    } else {
      diag(ncol(x))
    }
    fit <- suppressWarnings(survival::coxph(y ~ I(x %*% z),
                                            control = at_optimum))
    beta <- drop(z %*% coef(fit))
    if (all(a %*% beta > -1e-9) && fit$loglik[2] > best$loglik) {
      best <- list(loglik = fit$loglik[2], beta = beta, held = held,
                   var = z %*% vcov(fit) %*% t(z))
    }
  }
  best
}

test_that("the fit is the best one of that shape", {
  cases <- list(
    list(61, "nonnegative", FALSE), list(62, "decreasing", "right"),
    list(63, c("nonnegative", "decreasing"), FALSE),
    list(64, "increasing", c(left = "value")), list(65, "nonpositive", FALSE)
  )
  n_active <- 0L
  for (case in cases) {
    study <- random_study(case[[1L]])
    table <- wce_basis(20, wce_knots(20, 1), case[[3L]])
    pieces <- oracle_rows(study$people, study$records,
                          function(lags) table[lags, , drop = FALSE])
    a <- shape_matrix(5, case[[3L]], 4, case[[2L]])
    best <- best_face(pieces, a)
    for (engine in engines_here()) {
      fit <- shaped_fit(study, case[[2L]], constrained = case[[3L]], nknots = 1,
                        engine = engine)
      expect_equal(fit$loglik[2], best$loglik, tolerance = 1e-10)
      expect_equal(unname(coef(fit)), best$beta, tolerance = 1e-6)
      expect_equal(unname(fit$var), best$var, tolerance = 1e-5)
      expect_identical(fit$active, best$held)
      expect_identical(fit$df, length(coef(fit)) - sum(best$held))
      n_active <- n_active + sum(fit$active)
      # On the face exactly, and the gradient points out of the feasible set.
      b <- coef(fit)[-(1:2)]
      expect_lt(max(abs(a[fit$active, ] %*% b), 0), 1e-12)
      expect_gte(min(a %*% b), -1e-12)
      multiplier <- qr.solve(t(a), -fit$score[-(1:2)])
      expect_lt(max(abs(t(a) %*% multiplier + fit$score[-(1:2)])), 1e-5)
      expect_gte(min(multiplier), -1e-5)
      expect_lt(max(abs(multiplier[!fit$active]), 0), 1e-5)
    }
  }
  expect_gt(n_active, 3L)
})

test_that("a shape that does not bind changes nothing", {
  sim <- simulate_wce(150, days = 150, weights = "exponential", cutoff = 60,
                      users = 1, log_hr = log(6), seed = 4)
  run <- function(shape) {
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
          id = person_id, records = sim$records, cutoff = 60, nknots = 0,
          order = 2, shape = shape, engine = "reference"),
      classes = "vigitensor_warning"
    )
  }
  free <- run("free")
  ends <- weight_function(free)$weight[c(1, 60)]
  shape <- if (ends[1] > ends[2]) "decreasing" else "increasing"
  shaped <- run(shape)
  expect_identical(coef(shaped), coef(free))
  expect_identical(shaped$active, FALSE)
  expect_identical(shaped$df, free$df)
})

test_that("a shaped fit says so", {
  study <- random_study(61)
  fit <- shaped_fit(study, c("nonnegative", "decreasing"), nknots = 1:2)
  w <- weight_function(fit)$weight
  expect_gte(min(w), -1e-12)
  expect_lte(max(diff(w)), 1e-12)
  expect_output(print(fit), "not\\s+negative\\s+and\\s+decreasing")
  expect_output(print(fit), "The shape holds back the fit")
  expect_identical(attr(logLik(fit), "df"), fit$df)
  expect_equal(BIC(fit), fit$selection$bic[fit$selection$selected])
  expect_length(refit(fit, 1)$active, 5)
  # Where all is zero there is nothing to test.
  none <- shaped_fit(random_study(66), c("nonpositive", "increasing"),
                     nknots = 0)
  table <- coef(summary(none))
  expect_true(all(is.na(table[table[, "se(coef)"] == 0, "z"])))
})

test_that("the engines agree on shapes over a grid", {
  skip_if_no_engine()
  for (seed in 68:71) {
    study <- random_study(seed, n = 60L)
    shape <- list(c("nonnegative", "decreasing"), "increasing", "nonpositive",
                  "decreasing")[[seed - 67L]]
    run <- function(engine) {
      suppressWarnings(
        wce(Surv(entry, exit, event) ~ age + exposure("a", shape = shape) +
              strata(region), data = study$people, id = person_id,
            records = study$records, cutoff = c(12, 25), nknots = 0:2,
            engine = engine), classes = "vigitensor_warning"
      )
    }
    cpu <- run("cpu")
    reference <- run("reference")
    expect_equal(cpu$selection, reference$selection, tolerance = 1e-9)
    for (row in seq_along(cpu$fits)) {
      expect_equal(cpu$fits[[row]]$coefficients,
                   reference$fits[[row]]$coefficients, tolerance = 1e-6)
      expect_identical(cpu$fits[[row]]$active, reference$fits[[row]]$active)
    }
  }
})

test_that("terms have their own shapes", {
  study <- random_study(67, n = 80L, drugs = 2L)
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ age + exposure("a", shape = "nonnegative") +
          exposure("b"), data = study$people, id = person_id,
        records = study$records, cutoff = 20, nknots = 0,
        engine = "reference"),
    classes = "vigitensor_warning"
  )
  expect_length(fit$active, 4)
  expect_gte(min(coef(fit)[2:5]), 0)
})
