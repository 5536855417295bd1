test_that("interior knots are the published ones", {
  expect_equal(wce_knots(90, 1), 46)
  expect_equal(wce_knots(90, 2), c(31, 60))
  expect_equal(wce_knots(90, 3), c(23, 46, 68))
  expect_equal(wce_knots(180, 1), 90)
  expect_equal(wce_knots(180, 2), c(61, 120))
  expect_equal(wce_knots(180, 3), c(46, 90, 135))
  expect_equal(wce_knots(365, 3), c(92, 183, 274))
  expect_length(wce_knots(90, 0), 0)
})

test_that("constraints bring value and slope to exactly zero", {
  for (m in c(30, 90, 365)) for (n in 0:4) {
    knots <- wce_knots(m, n)
    right <- wce_basis(m, knots, "right")
    expect_identical(max(abs(right[m, ])), 0)
    left <- wce_basis(m, knots, "left")
    expect_identical(max(abs(left[1, ])), 0)
    slope <- splines::splineDesign(wce_all_knots(m, knots, "clamped"),
                                   c(1, m), ord = 4L, derivs = c(1, 1))
    expect_lt(max(abs(slope[2, seq_len(ncol(right))])), 1e-12)
    expect_lt(max(abs(slope[1, -(1:2)])), 1e-12)
    expect_equal(ncol(right), n + 2)
    expect_equal(ncol(left), n + 2)
    expect_equal(qr(right)$rank, n + 2)
  }
})

test_that("without a constraint both bases span the same weight functions", {
  m <- 60
  knots <- wce_knots(m, 2)
  ours <- wce_basis(m, knots, FALSE, "clamped")
  peer <- wce_basis(m, knots, FALSE, "WCE")
  expect_equal(ncol(ours), 6)
  expect_lt(max(abs(qr.resid(qr(peer), ours))), 1e-12)
  # Both bases sum to one at every lag.
  expect_equal(rowSums(ours), rep(1, m))
  expect_equal(rowSums(peer), rep(1, m))
})

test_that("the cumulated basis differences back to the basis", {
  basis <- wce_basis(40, wce_knots(40, 1), "right")
  table <- wce_cumulate(basis)
  expect_equal(dim(table), c(41L, 3L))
  expect_identical(table[1, ], c(0, 0, 0))
  expect_equal(apply(table, 2, diff), basis, tolerance = 1e-14)
})
