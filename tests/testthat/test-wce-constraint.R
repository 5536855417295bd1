test_that("constraints are read end by end", {
  expect_identical(constraint_ends(FALSE), c(left = "free", right = "free"))
  expect_identical(constraint_ends("right"), c(left = "free", right = "slope"))
  expect_identical(constraint_ends("L"), c(left = "slope", right = "free"))
  expect_identical(constraint_ends("both"),
                   c(left = "slope", right = "slope"))
  expect_identical(constraint_ends(c(right = "value")),
                   c(left = "free", right = "value"))
  expect_identical(constraint_ends(list(right = "slope", left = FALSE)),
                   c(left = "free", right = "slope"))
  for (wrong in list("top", TRUE, NA, c("left", "right"), c(right = "zero"),
                     c(right = "value", right = "slope"), c(top = "value"),
                     list(right = 1), NULL, list())) {
    expect_error(constraint_ends(wrong),
                 class = "vigitensor_error_constrained")
  }
  # Said and read again, a constraint is the same.
  for (ends in list("right", "left", "both", FALSE, c(left = "value"),
                    c(left = "value", right = "slope"))) {
    read <- constraint_ends(ends)
    expect_identical(constraint_ends(constraint_word(read)), read)
  }
})

test_that("every constraint is exactly zero, and takes its columns", {
  # Value and slope at one end of the columns that are left.
  at_end <- function(m, knots, order, columns, at, derivative) {
    all <- splines::splineDesign(wce_all_knots(m, knots, "clamped", order), at,
                                 ord = order, derivs = derivative)
    max(abs(all[, columns]))
  }
  kinds <- names(end_columns)
  for (m in c(15, 90)) for (order in 1:5) for (n in c(1, 4)) {
    knots <- wce_knots(m, n)
    for (left in kinds) for (right in kinds) {
      ends <- c(left = left, right = right)
      dropped <- pmin(end_columns[ends], order)
      basis <- wce_basis(m, knots, ends, order = order)
      expect_equal(ncol(basis), max(0, n + order - sum(dropped)))
      if (ncol(basis) == 0L) next
      expect_equal(qr(basis)$rank, ncol(basis))
      columns <- constrained_columns(n + order, ends, order)
      at <- c(left = 1, right = m)
      for (side in names(at)) {
        if (ends[[side]] != "free") {
          expect_identical(max(abs(basis[at[[side]], ])), 0)
        }
        if (ends[[side]] == "slope" && order > 1) {
          expect_lt(at_end(m, knots, order, columns, at[[side]], 1L), 1e-12)
        }
      }
    }
  }
})

test_that("a step function is an average over the lags of its pieces", {
  basis <- wce_basis(12, c(4, 9), order = 1)
  expect_identical(unname(colSums(basis)), c(3, 5, 4))
  expect_true(all(basis %in% 0:1))
  expect_identical(wce_basis(12, c(4, 9), "right", order = 1), basis[, 1:2])
  # A linear spline is the straight line between the values at its knots.
  line <- wce_basis(12, 5, order = 2)
  expect_equal(drop(line %*% c(1, 3, -4)),
               approx(c(1, 5, 12), c(1, 3, -4), 1:12)$y)
})

test_that("constraints and orders are fitted as coxph would", {
  study <- random_study(31)
  cases <- list(
    list(constrained = "both", order = 4, df = 1),
    list(constrained = c(right = "value"), order = 4, df = 4),
    list(constrained = c(right = "value", left = "slope"), order = 3, df = 1),
    list(constrained = FALSE, order = 2, df = 3),
    list(constrained = "right", order = 1, df = 1)
  )
  for (case in cases) {
    table <- wce_basis(20, wce_knots(20, 1), case$constrained,
                       order = case$order)
    oracle <- oracle_fit(study$people, study$records,
                         basis = function(lags) table[lags, , drop = FALSE])
    for (engine in engines_here()) {
      fit <- suppressWarnings(
        wce(Surv(entry, exit, event) ~ sex + age + exposure("a"),
            data = study$people, id = person_id, records = study$records,
            cutoff = 20, nknots = 1, constrained = case$constrained,
            order = case$order, engine = engine),
        classes = "vigitensor_warning"
      )
      expect_identical(fit$df, 2L + as.integer(case$df))
      expect_equal(unname(coef(fit)), unname(coef(oracle)), tolerance = 1e-8)
      expect_equal(fit$loglik, oracle$loglik, tolerance = 1e-10)
      weight <- weight_function(fit)$weight
      ends <- constraint_ends(case$constrained)
      if (ends[["right"]] != "free") expect_lt(abs(weight[20]), 1e-12)
      if (ends[["left"]] != "free") expect_lt(abs(weight[1]), 1e-12)
    }
  }
})

test_that("terms have their own constraint and order", {
  study <- random_study(32, n = 80L, drugs = 2L)
  fit <- suppressWarnings(
    wce(Surv(entry, exit, event) ~
          exposure("a", order = 2, constrained = c(right = "value")) +
          exposure("b", constrained = "both", nknots = 2),
        data = study$people, id = person_id, records = study$records,
        cutoff = 20, nknots = 0, engine = "reference"),
    classes = "vigitensor_warning"
  )
  expect_length(coef(fit), 1L + 2L)
  expect_output(print(fit), "linear spline, 0 interior knots, zero with a\n",
                fixed = TRUE)
  expect_output(print(fit), "zero at lags 1 and\n", fixed = TRUE)
})

test_that("what cannot be is refused", {
  study <- random_study(33)
  refuse <- function(code, ...) {
    expect_error(
      wce(Surv(entry, exit, event) ~ exposure("a"), data = study$people,
          id = person_id, records = study$records, cutoff = 20,
          engine = "reference", ...),
      class = paste0("vigitensor_error_", code)
    )
  }
  refuse("constrained", constrained = "both", nknots = 0)
  refuse("constrained", constrained = "up")
  refuse("order", order = 0)
  refuse("order", order = 2.5)
  refuse("basis", basis = "WCE", order = 3)
  refuse("basis", basis = "WCE", constrained = "both", nknots = 2)
  refuse("basis", basis = "WCE", constrained = c(right = "value"))
  refuse("cutoff", order = 30)
})
