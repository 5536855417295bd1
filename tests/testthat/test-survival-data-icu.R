# Nutrition in intensive care and survival: coarsened data of the package
# pammtools, and what coxph gave for them on expanded rows, at its optimum
# (tests/golden/make-icu.R).

golden_icu <- function(name) {
  testthat::test_path("..", "golden", name)
}

icu_study <- function() {
  icu <- utils::read.csv(golden_icu("golden-icu.csv.gz"), colClasses = c(
    calories = "character", protein = "character"
  ))
  list(
    people = data.frame(id = seq_len(nrow(icu)), icu[1:5]),
    records = rbind(
      cbind(intake_records(icu$calories, 0.25), drug = "calories"),
      cbind(intake_records(icu$protein, 0.5), drug = "protein")
    )
  )
}

icu_numbers <- function(model) {
  numbers <- utils::read.csv(golden_icu("golden-icu-coxph.csv"))
  numbers <- numbers[numbers$model == model, ]
  lapply(split(numbers$value, numbers$quantity), as.numeric)
}

expect_golden <- function(fit, model) {
  golden <- icu_numbers(model)
  expect_equal(fit$loglik, golden$loglik, tolerance = 1e-10)
  expect_within(unname(coef(fit)), golden$coefficient, 1e-8, model)
  expect_equal(as.vector(fit$var), golden$var, tolerance = 1e-7)
}

test_that("nutrition in intensive care, as coxph has it", {
  skip_if_no_engine()
  study <- icu_study()
  for (engine in c("cpu", "reference")) {
    fit <- wce(Surv(stop, died) ~ male + age + apache + exposure("calories"),
               study$people, id = id, records = study$records, cutoff = 30,
               nknots = 1, engine = engine)
    expect_golden(fit, "calories")
    fit <- wce(Surv(stop, died) ~ age + strata(male) + exposure("calories") +
                 exposure("protein"), study$people, id = id,
               records = study$records, cutoff = 14, nknots = 1, lag_in = 1,
               constrained = "right", ties = "breslow", engine = engine)
    expect_golden(fit, "both")
  }
})
