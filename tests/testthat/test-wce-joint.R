# Interactions of two drugs, and the first use alone, against coxph with columns
# built by hand from the doses of every unit.

joint_study <- random_study(31, n = 70L, drugs = 2L)

# Doses by lag of each drug, for every row between event times.
lag_doses <- function(drug) {
  oracle_rows(joint_study$people, joint_study$records,
              function(lags) diag(length(lags)), drug, cutoff = 20)
}

# Was b used in the unit at each lag, or up to `within` units before?
used_within <- function(pieces, within) {
  b <- joint_study$records[joint_study$records$drug == "b", ]
  t(vapply(seq_len(nrow(pieces)), function(i) {
    mine <- b[b$person_id == pieces$person_id[i], ]
    vapply(pieces$exit[i] - seq_len(20), function(day) {
      any(mine$start <= day & mine$stop + within > day)
    }, NA)
  }, logical(20))) + 0
}

joint_fit <- function(term, engine = "reference", ...) {
  formula <- stats::as.formula(sprintf(
    "Surv(entry, exit, event) ~ sex + exposure(\"a\") + exposure(\"b\") + %s",
    term
  ))
  wce(formula, data = joint_study$people, id = person_id,
      records = joint_study$records, cutoff = 20, nknots = 0,
      constrained = "right", engine = engine, ...)
}

joint_peer <- function(third) {
  basis <- wce_basis(20, numeric(), "right")
  pieces <- lag_doses("a")
  pieces$feature <- cbind(pieces$feature %*% basis,
                          lag_doses("b")$feature %*% basis, third %*% basis)
  survival::coxph(Surv(entry, exit, event) ~ sex + feature, pieces,
                  control = at_optimum)
}

test_that("an interaction is the product of the doses at the same lag", {
  peer <- joint_peer(lag_doses("a")$feature * lag_doses("b")$feature)
  for (engine in engines_here()) {
    fit <- joint_fit("exposure(\"a\", with = \"b\")", engine)
    expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-8)
    expect_equal(fit$loglik, peer$loglik, tolerance = 1e-10)
    expect_equal(unname(fit$var), unname(peer$var), tolerance = 1e-8)
  }
  expect_identical(fit$exposures[[3L]]$label, "exposure(\"a\", with = b)")
  # The other way round it is the same.
  other <- joint_fit("exposure(\"b\", with = \"a\")")
  expect_equal(unname(coef(other)), unname(coef(fit)), tolerance = 1e-8)
  # The test of no interaction.
  b <- coef(peer)[6:7]
  found <- zero_weights(fit, 3)
  expect_equal(unname(found$statistic),
               drop(b %*% solve(peer$var[6:7, 6:7], b)), tolerance = 1e-7)
  expect_identical(unname(found$parameter), 2L)
  expect_equal(zero_weights(fit, "exposure(\"a\", with = b)"), found)
  expect_error(zero_weights(fit), class = "vigitensor_error_unknown_term")
  expect_error(predict(fit, data = joint_study$people,
                       newdata = joint_study$people,
                       newrecords = joint_study$records),
               class = "vigitensor_error_several_terms")
})

test_that("current and recent use of the other drug modify the dose", {
  pieces <- lag_doses("a")
  for (within in c(0, 6)) {
    peer <- joint_peer(pieces$feature * used_within(pieces, within))
    fit <- joint_fit(sprintf("exposure(\"a\", with = \"b\", within = %d)",
                             within))
    expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-8)
    expect_equal(fit$loglik, peer$loglik, tolerance = 1e-10)
  }
})

test_that("the first use is an impulse, whose weight is time since then", {
  pieces <- lag_doses("a")
  a <- joint_study$records[joint_study$records$drug == "a", ]
  begun <- tapply(a$start, a$person_id, min)
  since <- pieces$exit - begun[as.character(pieces$person_id)]
  first <- outer(as.vector(since), 1:20, `==`) + 0
  first[is.na(first)] <- 0
  peer <- joint_peer(first)
  fit <- joint_fit("exposure(\"a\", first = TRUE)")
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-8)
  expect_equal(fit$loglik, peer$loglik, tolerance = 1e-10)
})

test_that("what makes no sense together is refused", {
  refused <- function(term, ...) {
    expect_error(joint_fit(term, ...),
                 class = "vigitensor_error_joint_exposure")
  }
  refused("exposure(\"a\", within = 3)")
  refused("exposure(\"a\", with = 3)")
  refused("exposure(\"a\", first = NA)")
  refused("exposure(\"a\", first = TRUE)", clock = "continuous")
  refused("exposure(\"a\", with = \"b\", dose = dose_cap(1))")
  refused("exposure(age, with = \"b\")")
  expect_error(joint_fit("exposure(\"a\", with = \"z\")"),
               class = "vigitensor_error_no_records")
})
