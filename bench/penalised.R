# A penalised fit beside a fit of one knot, from records: 660,000 patients x 365
# days, or as many as are asked for.
#
#   Rscript bench/penalised.R [patients]
#
# First a small cohort is fitted by both engines. The two fits are then timed in
# turn, so that what else the machine does falls on both; the ratio is that of
# the smallest times.
source("bench/common.R")
need_engine()

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 660000

fit_smooth <- function(sim, smooth = "reml", engine = "cpu") {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
      data = sim$people, id = person_id, records = sim$records, cutoff = 180,
      smooth = smooth, engine = engine)
}

few <- bench_cohort(1500)
one <- quiet(fit_smooth(few))
other <- quiet(fit_smooth(few, engine = "reference"))
stopifnot(one$df > 2.5) # more than the covariates: there is a curve to compare
stopifnot(abs(one$df - other$df) < 1e-5,
          abs(one$loglik - other$loglik) < 1e-9 * abs(other$loglik))
curves <- lapply(list(one, other), function(fit) {
  as.data.frame(quiet(weight_function(fit)))
})
difference <- max(abs(curves[[1L]]$weight - curves[[2L]]$weight) /
                    curves[[2L]]$se, na.rm = TRUE)
stopifnot(difference < 1e-5)

sim <- bench_cohort(n)
calls <- list(
  "wce(), one knot" = function() fit_cohort(sim),
  "wce(smooth = \"reml\")" = function() fit_smooth(sim),
  "wce(smooth = \"aic\")" = function() fit_smooth(sim, "aic")
)
for (call in calls) quiet(call())
seconds <- replicate(5L, vapply(calls, function(call) {
  gc(FALSE)
  system.time(quiet(call()), gcFirst = FALSE)[["elapsed"]]
}, 0))
best <- apply(seconds, 1L, min)
pairs <- quiet(fit_cohort(sim))$n_pairs
size <- cohort_size(n, pairs)
rows <- lapply(names(calls), function(what) {
  figure("penalised", what, size, "cpu", best[[what]],
         target = if (what != names(calls)[1L]) {
           sprintf("4 times one knot; %.1f", best[[what]] / best[[1L]])
         } else {
           ""
         },
         difference = if (what == names(calls)[2L]) difference else NA)
})
do.call(write_results, c("penalised", rows))
