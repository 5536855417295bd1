# Out of core against in memory, and two local Dask workers against one process
# with two threads, on the same data: at most 2 times and 1.3 times the time.
#
#   Rscript bench/store.R [people]
source("bench/common.R")
need_engine()

n <- as.numeric(c(commandArgs(TRUE), 660000)[1L])
sim <- bench_cohort(n)
folder <- tempfile("store")
fit <- function(data, records = NULL) {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"), data = data,
      id = person_id, records = records, cutoff = 180, nknots = 1,
      constrained = "right", engine = "cpu")
}
# Fits in turn, so that what else the machine does meets all of them alike.
in_turn <- function(calls, times = 5L) {
  seconds <- matrix(0, times, length(calls))
  colnames(seconds) <- names(calls)
  lapply(calls, function(call) quiet(call()))
  for (k in seq_len(times)) {
    for (name in names(calls)) {
      gc(FALSE)
      seconds[k, name] <- system.time(quiet(calls[[name]]()),
                                      gcFirst = FALSE)[["elapsed"]]
    }
  }
  apply(seconds, 2L, min)
}

options(vigitensor.threads = 2)
building <- system.time(
  store <- claims_store(sim$people, sim$records, folder, id = person_id,
                        people_per_block = ceiling(n / 12))
)[["elapsed"]]
whole <- fit(sim$people, sim$records)
difference <- quiet(check_same_fit(fit(store), whole, coefficients = 1e-10))
local <- in_turn(list(memory = function() fit(sim$people, sim$records),
                      store = function() fit(store)))
# One process and the cluster in turn, three times: what else the machine does
# changes within minutes. use_cluster() itself is not timed.
from_store <- list(store = function() fit(store))
pairs <- vapply(1:3, function(k) {
  here <- in_turn(from_store, 3L)
  use_cluster("local", workers = 2)
  invisible(quiet(check_same_fit(fit(store), whole, coefficients = 1e-10)))
  there <- in_turn(from_store, 3L)
  use_cluster(NULL)
  c(here = unname(here), dask = unname(there))
}, c(here = 0, dask = 0))
dask <- apply(pairs, 1L, min)
unlink(folder, recursive = TRUE)

size <- cohort_size(n, whole$n_pairs)
write_results(
  "store",
  figure("store", "claims_store()", size, "cpu", building),
  figure("store", "wce(), data frames", size, "cpu", local[["memory"]]),
  figure("store", "wce(), store", size, "cpu", local[["store"]],
         target = "2 x data frames", difference = difference),
  figure("store", "wce(), store, 2 local workers", size, "cpu",
         dask[["dask"]], target = "1.3 x store, 2 threads",
         difference = difference)
)
cat(sprintf("store / data frames: %.2f; 2 workers / 2 threads: %.2f\n",
            local[["store"]] / local[["memory"]],
            dask[["dask"]] / dask[["here"]]))
