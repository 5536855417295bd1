# Tidy data frames of what a fit says.

people <- claims_people[1:150, ]
fit <- wce(
  Surv(entry, exit, event) ~ sex + age + exposure("drug_a"), data = people,
  id = person_id, records = claims_dispensings, cutoff = 40, nknots = 0,
  engine = "reference"
)

test_that("augment() has the rows of the data and broom's columns", {
  skip_if_not_installed("generics")
  found <- generics::augment(fit, se_fit = TRUE)
  expect_identical(found[names(people)], people)
  expect_identical(setdiff(names(found), names(people)),
                   c(".fitted", ".se.fit", ".resid"))
  expect_equal(found$.fitted, unname(predict(fit)))
  expect_equal(found$.resid, unname(residuals(fit, by = "row")))
  other <- generics::augment(fit, data = people, type.predict = "expected",
                             type.residuals = "deviance",
                             records = claims_dispensings)
  expect_equal(other$.fitted + found$.resid, people$event)
  expect_equal(other$.resid, unname(residuals(fit, "deviance", by = "row")))
  who <- data.frame(entry = 0, exit = 30, sex = people$sex[1], age = 60)
  plan <- data.frame(start = 0, stop = 10, dose = 1)
  new <- generics::augment(fit, newdata = who, newrecords = plan)
  expect_identical(names(new), c(names(who), ".fitted"))
  expect_equal(new$.fitted, unname(predict(fit, who, plan)))
})

test_that("weight functions, hazard ratios and checks are tidied", {
  skip_if_not_installed("generics")
  weights <- weight_function(fit)
  found <- generics::tidy(weights)
  expect_identical(names(found), c("lag", "estimate", "std.error", "conf.low",
                                   "conf.high"))
  expect_identical(found$conf.high, weights$upper)
  ratios <- hazard_ratio(fit, list(a = 1, b = c(1, 2)))
  found <- generics::tidy(ratios)
  expect_equal(found$conf.low, found$estimate - qnorm(0.975) * found$std.error)
  expect_identical(found$profile, c("a", "b"))
  expect_equal(generics::tidy(ratios, exponentiate = TRUE)$estimate,
               exp(found$estimate))
  check <- ph_check(fit)
  found <- generics::tidy(check)
  expect_identical(names(found), c("term", "statistic", "df", "p.value"))
  expect_identical(found$p.value, unname(check$table[, "p"]))
})
