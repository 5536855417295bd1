# Makes data/claims_people.rda and data/claims_dispensings.rda.
# Run from the package's folder, with the package installed:
#   Rscript data-raw/claims.R
# Simulated with a known truth: no real person is in these data.

library(vigitensor)

sim <- simulate_wce(
  n = 1000, days = 365, weights = "early_peak", cutoff = 90,
  log_hr = c(drug_a = log(2), drug_b = 0), users = 0.5, hazard = 1e-3,
  covariates = c(sex = 0.5, age = 0.02), late_entry = 0.2, seed = 2026
)
print(sim)

claims_people <- sim$people
claims_dispensings <- sim$records
save(claims_people, file = "data/claims_people.rda", compress = "xz",
     version = 2)
save(claims_dispensings, file = "data/claims_dispensings.rda", compress = "xz",
     version = 2)
