# Does the clock of the simulator agree with the clock of the model?
#
#   Rscript bench/calibration/clock.R [people]
#
# The simulator draws events day by day: on (t - 1, t] with probability
# 1 - exp(-h(t)), the dose of that day at lag 1. A Cox model on the true
# weighted exposure must then give back the effect, log(4); on an exposure that
# is one day late or early it must not, and its likelihood must be lower. Days
# have many events here, so that the handling of ties shows too.

source(file.path("bench", "calibration", "common.R"))
library(survival)

people <- as.numeric(c(commandArgs(TRUE), 10000)[1L])
# Weights on five days only: a smooth curve would hide a day.
weights <- rep(1 / 5, 5)
sim <- simulate_wce(people, weights = weights, design = "sylvestre", seed = 1)

# The exposure that a model with the clock `shift` days late would use.
shifted <- function(shift) {
  if (shift >= 0) return(c(numeric(shift), weights))
  weights[-seq_len(-shift)]
}

cox_on <- function(shift, ties) {
  rows <- unit_rows(sim, weights = shifted(shift))
  fit <- coxph(Surv(Start, Stop, Event) ~ wce, rows, ties = ties)
  data.frame(days_late = shift, ties = ties, people = people,
             events = fit$nevent, log_hr = coef(fit)[["wce"]],
             se = sqrt(vcov(fit)[1L, 1L]), loglik = fit$loglik[2L])
}

found <- rbind(cox_on(0, "efron"), cox_on(0, "breslow"), cox_on(1, "efron"),
               cox_on(-1, "efron"))
found$z <- (found$log_hr - log(4)) / found$se
print(found, row.names = FALSE)
if (abs(found$z[1L]) > 3 || which.max(found$loglik[-2L]) != 1L) {
  stop("The clocks do not agree.", call. = FALSE)
}
folder <- file.path("bench", "calibration", "results")
dir.create(folder, showWarnings = FALSE, recursive = TRUE)
numbers <- vapply(found, is.double, NA)
found[numbers] <- lapply(found[numbers], signif, 6)
utils::write.csv(found, file.path(folder, "clock.csv"), row.names = FALSE,
                 quote = FALSE)
