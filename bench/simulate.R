# The simulator: cohorts drawn, and expanded to one row per person-day.
source("bench/common.R")

small <- bench_cohort(10000)
# The same people whatever the size, before anything is timed.
stopifnot(identical(bench_cohort(20000)$people[1:10000, ], small$people))

write_results(
  "simulate",
  figure("simulate", "simulate_wce()", "100,000 patients x 365 days", "C++",
         median_seconds(function() bench_cohort(1e5)), target = "seconds"),
  figure("simulate", "unit_rows()",
         sprintf("%s rows", format(small$counts$person_days, big.mark = ",")),
         "C++", median_seconds(function() unit_rows(small)))
)
