# Tests of proportional hazards of penalised fits.

sim <- simulate_wce(300, days = 200, cutoff = 60, weights = "early_peak",
                    hazard = 4e-3, seed = 1)
fit_with <- function(...) {
  wce(Surv(entry, exit, event) ~ sex + exposure("drug"), sim$people,
      "person_id", sim$records, cutoff = 60, engine = "reference", ...)
}
check_of <- function(fit, ...) {
  ph_check(fit, data = sim$people, records = sim$records, ...)
}

test_that("with next to no penalty the tests are those of a free fit", {
  free <- check_of(fit_with(nknots = 2))
  held <- check_of(fit_with(
    nknots = 2, smooth = wce_smooth(lambda = c(1e-9, 1e-9))
  ), df = 30)
  # The tail of a sum of equal chi-squared variables is that of one of them,
  # up to the rounding of its third and fourth moments.
  expect_equal(held$table, free$table, tolerance = 1e-6)
  expect_equal(held$curves$weight, free$curves$weight, tolerance = 1e-5)
})

test_that("a change has the degrees of freedom that are asked for", {
  fit <- fit_with(smooth = "reml")
  found <- check_of(fit)
  expect_identical(rownames(found$table), c("sex", 'exposure("drug")',
                                            "GLOBAL"))
  expect_gt(found$table[2L, "df"], 3)
  expect_lt(found$table[2L, "df"], 7)
  expect_lt(check_of(fit, df = 2)$table[2L, "df"], found$table[2L, "df"])
  expect_equal(found$table["sex", "df"], 1)
})

test_that("weights that change with time are seen", {
  # People seen in the first hundred days, on whom the drug acts, and others
  # seen in the second, on whom it does not.
  arm <- function(log_hr, seed) {
    simulate_wce(800, days = 200, cutoff = 60, weights = "constant",
                 log_hr = c(drug = log_hr), hazard = 3e-3, seed = seed)
  }
  first <- arm(3, 4)
  second <- arm(0, 5)
  early <- transform(first$people, event = event * (exit <= 100),
                     exit = pmin(exit, 100))
  late <- second$people[second$people$exit > 100, ]
  late$entry <- 100
  shift <- max(first$people$person_id)
  move <- function(x) transform(x, person_id = person_id + shift)
  people <- rbind(early, move(late))
  records <- rbind(first$records, move(second$records))
  fit <- wce(Surv(entry, exit, event) ~ exposure("drug"), people, "person_id",
             records, cutoff = 60, engine = "reference",
             smooth = "reml")
  found <- ph_check(fit, data = people, records = records)
  expect_lt(found$table["GLOBAL", "p"], 0.02)
})
