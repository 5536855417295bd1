# 660,000 patients x 365 days from records: 24 million exposed pairs.
source("bench/common.R")
need_engine()

# A person is the same in a cohort of any size: the first 1,500 are fitted by
# both engines.
few <- bench_cohort(1500)
difference <- quiet(check_same_fit(fit_cohort(few),
                                   fit_cohort(few, "reference")))

n <- 660000
found <- measure_cohort(bench_cohort(n))
size <- cohort_size(n, found[["pairs"]])
write_results(
  "records-660k",
  figure("records-660k", "wce(), records", size, "cpu", found[["seconds"]],
         target = "2 s", difference = difference),
  figure("records-660k", "wce(), first call of the process", size, "cpu",
         found[["first_seconds"]], found[["memory_gb"]], target = "1.5 GB")
)
