# 100,000 patients x 365 days from records, 3.7 million exposed pairs: the case
# that the paper of a peer reports.
source("bench/common.R")
need_engine()

# A person is the same in a cohort of any size: the first 1,500 are fitted by
# both engines.
few <- bench_cohort(1500)
difference <- quiet(check_same_fit(fit_cohort(few),
                                   fit_cohort(few, "reference")))

n <- 100000
found <- measure_cohort(bench_cohort(n))
size <- cohort_size(n, found[["pairs"]])
write_results(
  "records-100k",
  figure("records-100k", "wce(), records", size, "cpu", found[["seconds"]],
         target = "0.4 s", difference = difference),
  figure("records-100k", "wce(), first call of the process", size, "cpu",
         found[["first_seconds"]], found[["memory_gb"]])
)
