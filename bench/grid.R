# A grid of 10 cutoffs x 3 numbers of knots in one call, 100,000 patients. Every
# fit of the grid is first compared with the same model fitted alone.
#
#   Rscript bench/grid.R [patients]
source("bench/common.R")
need_engine()

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 1e5
sim <- bench_cohort(n)
cutoffs <- seq(60, 240, by = 20)
sizes <- 1:3

fit_grid <- function(cutoff = cutoffs, nknots = sizes) {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"),
      data = sim$people, id = person_id, records = sim$records,
      cutoff = cutoff, nknots = nknots, constrained = "right", engine = "cpu")
}

# Variances in units of the standard errors.
relative_variance <- function(one, other) {
  se <- sqrt(diag(other$var))
  max(abs(one$var - other$var) / tcrossprod(se))
}

together <- quiet(fit_grid())
points <- expand.grid(nknots = sizes, cutoff = cutoffs)
found <- vapply(seq_len(nrow(points)), function(k) {
  alone <- quiet(fit_grid(points$cutoff[k], points$nknots[k]))
  one <- refit(together, nknots = points$nknots[k], cutoff = points$cutoff[k])
  c(check_same_fit(one, alone), relative_variance(one, alone))
}, numeric(2))
stopifnot(all(found[2L, ] < 1e-7))

size <- sprintf("%s, %d cutoffs x %d knots",
                cohort_size(n, together$n_pairs), length(cutoffs),
                length(sizes))
write_results(
  "grid",
  figure("grid", "wce(), a grid in one call", size, "cpu",
         median_seconds(fit_grid, 3L), target = "5 s",
         difference = max(found[1L, ])),
  figure("grid", "wce(), one of its models", size, "cpu",
         median_seconds(function() fit_grid(180, 1)))
)
