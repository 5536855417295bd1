# Controls from the risk sets beside the whole cohort: 100,000 patients, or as
# many as are asked for.
#
#   Rscript bench/designs.R [patients]
#
# Of a log hazard ratio of zero, m controls per case have (m + 1) / m of the
# variance of the cohort (Goldstein and Langholz 1992, Annals of Statistics 20,
# 1903-1928); with an effect it takes more controls. The `difference` of a row
# is the ratio of the variances less that, the mean over five draws of the
# controls: of the total effect, without an effect of the dose and with one.
source("bench/common.R")
need_engine()

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 1e5
controls <- c(1, 2, 4, 10)
draws <- 5L

cohort_of <- function(log_hr) {
  simulate_wce(n, days = 365, weights = "exponential", users = 0.315,
               hazard = 1e-4, log_hr = log_hr, seed = 661)
}
sample_sets <- function(sim, m, seed) {
  sample_riskset(Surv(entry, exit, event) ~ 1, data = sim$people,
                 id = person_id, controls = m, seed = seed)
}
fit_sets <- function(sim, sets, ...) {
  quiet(wce_case_control(
    case ~ sex + age + exposure("drug") + strata(set), data = sets,
    id = "person_id", time = "time", records = sim$records, cutoff = 180, ...
  ))
}
fit_nested <- function(sim, sets) {
  fit_sets(sim, sets, nknots = 1, constrained = "right")
}
fit_smooth <- function(sim) {
  quiet(wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
            data = sim$people, id = person_id, records = sim$records,
            cutoff = 180, smooth = "reml"))
}
effect <- function(fit) unlist(as.data.frame(total_effect(fit))[c("log_hr",
                                                                  "se")])

rows <- list()
add <- function(rows, ...) c(rows, list(figure("designs", ...)))
for (log_hr in c(0, log(2))) {
  sim <- cohort_of(log_hr)
  size <- sprintf("%s patients, %s events, hazard ratio %s",
                  format(n, big.mark = ",", scientific = FALSE),
                  format(sum(sim$people$event), big.mark = ","),
                  format(exp(log_hr)))
  whole <- quiet(fit_cohort(sim))
  full <- effect(whole)
  rows <- add(rows, "cohort, one knot", size, "cpu",
              median_seconds(function() fit_cohort(sim)))
  rows <- add(rows, "cohort, smooth = \"reml\"", size, "cpu",
              median_seconds(function() fit_smooth(sim)))
  for (m in controls) {
    found <- vapply(seq_len(draws), function(seed) {
      effect(fit_nested(sim, sample_sets(sim, m, seed)))
    }, numeric(2L))
    ratio <- mean(found["se", ]^2) / full[["se"]]^2
    theory <- (m + 1) / m
    # What the draws add: their estimates around that of the cohort.
    spread <- mean((found["log_hr", ] - full[["log_hr"]])^2) / full[["se"]]^2
    cat(sprintf(paste("hazard ratio %s, %d controls: variance %.3f times that",
                      "of the cohort, theory %.3f; draws around the cohort",
                      "%.3f, theory %.3f\n"), format(exp(log_hr)), m, ratio,
                theory, spread, 1 / m))
    if (log_hr == 0) stopifnot(abs(ratio / theory - 1) < 0.1)
    sets <- sample_sets(sim, m, 1)
    rows <- add(rows, sprintf("%d controls: draw them", m), size, "R",
                median_seconds(function() sample_sets(sim, m, 1)))
    rows <- add(rows, sprintf("%d controls, one knot", m), size, "cpu",
                median_seconds(function() fit_nested(sim, sets)),
                target = sprintf("variance %.3f, theory %.3f", ratio, theory),
                difference = ratio - theory)
    if (m == 4) {
      rows <- add(rows, sprintf("%d controls, smooth = \"reml\"", m), size,
                  "cpu", median_seconds(function() {
                    fit_sets(sim, sets, smooth = "reml")
                  }))
    }
  }
}
do.call(write_results, c("designs", rows))
