# Cohorts in stores, for test-store*.R.

# A cohort with everything that a model can ask for.
store_cohort <- function(n = 600, days = 150, seed = 1) {
  sim <- simulate_wce(n, days = days, hazard = 2e-3, seed = seed)
  people <- sim$people
  people$region <- c("south", "north", "east")[people$person_id %% 3 + 1]
  people$site <- factor(people$person_id %% 2, 0:2, c("b", "a", "unused"))
  people$w <- ifelse(people$person_id %% 7 == 0, 2, 1)
  people$shift <- people$age / 100
  records <- sim$records
  other <- records
  other$drug <- "other"
  other$start <- other$start + 3L
  other$stop <- other$stop + 3L
  list(people = people, records = rbind(records, other))
}

new_store <- function(cohort, per_block = 200, env = parent.frame()) {
  folder <- withr::local_tempfile(.local_envir = env)
  claims_store(cohort$people, cohort$records, folder, id = person_id,
               people_per_block = per_block)
}

# The two fits, to `tolerance` standard errors.
expect_stored_model <- function(stored, whole, tolerance = 1e-8) {
  expect_identical(names(coef(stored)), names(coef(whole)))
  se <- sqrt(diag(as.matrix(whole$var)))
  off <- abs(coef(stored) - coef(whole)) / ifelse(se > 0, se, 1)
  expect_lt(max(off, na.rm = TRUE), tolerance)
  expect_equal(unname(as.matrix(stored$var)), unname(as.matrix(whole$var)),
               tolerance = 1e-6)
  expect_equal(stored$loglik, whole$loglik, tolerance = 1e-12)
  expect_equal(stored$nevent, whole$nevent)
}
