# Dispensings to episodes: time, memory and growth.
#
#   Rscript bench/episodes.R          # 1 and 4 million, then 16 million
#   Rscript bench/episodes.R 1e8      # a size of your own (needs about 10 GB)
#
# Every size runs in a process of its own. Rows are in random order, so that
# sorting is part of it. `result` is checked against the sum of all supplies:
# with doses and carry-over no day of supply is lost.
source("bench/common.R")

measure_episodes <- function(n) {
  found <- fresh_numbers(c(
    "source(\"bench/common.R\")",
    sprintf("n <- %s", format(n, scientific = FALSE)),
    "set.seed(100)",
    "d <- data.frame(person_id = sample.int(n / 15, n, TRUE),",
    "  drug = sample.int(4L, n, TRUE), date = sample.int(3650L, n, TRUE),",
    "  days_supply = 30L)",
    "d$drug <- factor(d$drug, labels = c(\"a\", \"b\", \"c\", \"d\"))",
    "call <- function() exposure_episodes(d, grace = 15)",
    "first <- measure_first(call)",
    "counts <- attr(first$value, \"counts\")",
    "days <- sum(first$value$stop - first$value$start)",
    "stopifnot(days == 30 * n + counts$bridged_days)",
    "cat(first$seconds, median_seconds(call, 3L), first$memory_gb,",
    "    counts$records)"
  ))
  stats::setNames(found, c("first", "seconds", "memory_gb", "records"))
}

sizes <- as.numeric(commandArgs(TRUE))
if (!length(sizes)) sizes <- c(1e6, 4e6, 16e6)
rows <- lapply(sizes, function(n) {
  found <- measure_episodes(n)
  figure("episodes", "exposure_episodes()",
         paste(format(n / 1e6), "million dispensings"), "C++",
         found[["seconds"]], found[["memory_gb"]],
         "60 s for 100 million; linear growth")
})
do.call(write_results, c("episodes", rows))
