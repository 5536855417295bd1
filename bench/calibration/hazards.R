# The baseline hazards of simulate_wce(design = "sylvestre"): such that half of
# the people have the event, in each of the six scenarios.
#
#   Rscript bench/calibration/hazards.R
#
# The same seed for every hazard makes the number of events a rising function
# of the hazard, so that a root can be found. What it prints, rounded to three
# digits, is written into sylvestre_arguments() of R/simulate-wce.R.

library(vigitensor)

n <- 200000
hazard_for_half <- function(scenario) {
  excess <- function(log_hazard) {
    sim <- simulate_wce(n, weights = scenario, hazard = exp(log_hazard),
                        design = "sylvestre", seed = 2009)
    sim$counts$events / n - 0.5
  }
  exp(stats::uniroot(excess, log(c(2e-4, 5e-3)), tol = 1e-4)$root)
}
scenarios <- eval(formals(scenario_weights)$scenario)
print(signif(vapply(scenarios, hazard_for_half, 0), 3))
