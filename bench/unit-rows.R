# 10,000 patients x 365 days as a data frame of 2.7 million unit rows.
#
#   Rscript bench/unit-rows.R [peer]     peer: run WCE too, once (minutes)
source("bench/common.R")
need_engine()

sim <- bench_cohort(10000)
rows <- unit_rows(sim)
columns <- list(
  analysis = "Cox", nknots = 1, cutoff = 180, constrained = "Right",
  id = "Id", event = "Event", start = "Start", stop = "Stop", expos = "dose",
  covariates = c("sex", "age")
)
compatible <- function() do.call(vigitensor::WCE, c(list(rows), columns))
formula <- function(data = rows, engine = "cpu") {
  wce(Surv(Start, Stop, Event) ~ sex + age + exposure(dose), data = data,
      id = Id, cutoff = 180, nknots = 1, constrained = "right",
      basis = "WCE", engine = engine)
}
from_records <- function() {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
      data = sim$people, id = person_id, records = sim$records, cutoff = 180,
      nknots = 1, constrained = "right", basis = "WCE", engine = "cpu")
}

# Equal to the reference on the first patients, and to the records on all.
first <- rows[rows$Id <= 1500, ]
on_first <- quiet(check_same_fit(formula(first), formula(first, "reference")))
difference <- max(
  on_first, quiet(check_same_fit(formula(), from_records()))
)
of_compatible <- quiet(compatible())
stopifnot(abs(of_compatible$loglik / formula()$loglik[2L] - 1) < 1e-10)

size <- sprintf("%s rows", format(nrow(rows), big.mark = ","))
figures <- list(
  figure("unit-rows", "WCE()", size, "cpu", median_seconds(compatible),
         target = "1 s"),
  figure("unit-rows", "wce(), formula", size, "cpu", median_seconds(formula),
         target = "1.5 s", difference = difference),
  figure("unit-rows", "wce(), same data as records", size, "cpu",
         median_seconds(from_records))
)
if ("peer" %in% commandArgs(TRUE) && requireNamespace("WCE", quietly = TRUE)) {
  seconds <- system.time(peer <- do.call(WCE::WCE, c(list(rows), columns)))
  off <- abs(peer$loglik / of_compatible$loglik - 1)
  stopifnot(off < 1e-8)
  figures <- c(figures, list(
    figure("unit-rows", "WCE(), one call", size, "WCE", seconds[["elapsed"]],
           difference = off)
  ))
}
do.call(write_results, c("unit-rows", figures))
