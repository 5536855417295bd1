# Does the cost grow linearly? 10,000 to 640,000 patients from records, each
# size in a fresh process: median of 5 warm calls, memory of the first.
#
#   Rscript bench/growth.R [size ...]    sizes: numbers of patients
source("bench/common.R")
need_engine()

sizes <- as.numeric(commandArgs(TRUE))
if (!length(sizes)) sizes <- 10000 * 4^(0:3)

few <- bench_cohort(1500)
quiet(invisible(check_same_fit(fit_cohort(few), fit_cohort(few, "reference"))))

found <- as.data.frame(t(vapply(sizes, function(n) {
  measure_cohort(bench_cohort(n))
}, numeric(4))))

# Ratios per factor of 4 in size, between neighbours.
step <- log(sizes[-1L] / sizes[-length(sizes)], 4)
ratio <- function(x) c(NA, (x[-1L] / x[-length(x)])^(1 / step))
rows <- lapply(seq_along(sizes), function(k) {
  figure("growth", "wce(), records", cohort_size(sizes[k], found$pairs[k]),
         "cpu", found$seconds[k], found$memory_gb[k],
         target = if (k > 1L) "ratio 4" else "",
         difference = ratio(found$seconds)[k])
})
cat("Ratios of time per factor of 4:  ", format(ratio(found$seconds)), "\n")
cat("Ratios of memory per factor of 4:", format(ratio(found$memory_gb)), "\n")
do.call(write_results, c("growth", rows))
