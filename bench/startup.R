# Loading the package, and the first fit of a process, with compiled kernels in
# the cache and with none. All in fresh processes.
source("bench/common.R")
need_engine()

seconds_of <- function(code, times = 5L, variables = character()) {
  rscript <- file.path(R.home("bin"), "Rscript")
  stats::median(vapply(seq_len(times), function(k) {
    system.time(
      system2(rscript, c("--vanilla", "-e", shQuote(code)), stdout = FALSE,
              stderr = FALSE, env = variables)
    )[["elapsed"]]
  }, 0))
}

# Seconds of the first fit, number of messages during it, log-likelihood.
first_fit <- function(variables = character()) {
  fresh_numbers(c(
    "library(vigitensor)",
    "seen <- new.env()",
    "seen$messages <- 0",
    "seconds <- system.time(withCallingHandlers(",
    "  fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure(\"drug_a\"),",
    "             data = claims_people, id = person_id,",
    "             records = claims_dispensings, cutoff = 90, nknots = 1,",
    "             constrained = \"right\", engine = \"cpu\"),",
    "  message = function(m) seen$messages <- seen$messages + 1",
    "))[[\"elapsed\"]]",
    "cat(seconds, seen$messages, format(fit$loglik[2], digits = 17))"
  ), variables)
}

loglik <- wce(
  Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
  data = claims_people, id = person_id, records = claims_dispensings,
  cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
)$loglik[2L]

warm <- replicate(6L, first_fit())[, -1L]
cold <- replicate(3L, {
  folder <- tempfile("cache-")
  on.exit(unlink(folder, recursive = TRUE))
  first_fit(paste0("VIGITENSOR_CACHE_DIR=", folder))
})
stopifnot(abs(c(warm[3L, ], cold[3L, ]) / loglik - 1) < 1e-10,
          warm[2L, ] == 0, cold[2L, ] == 1)

base <- seconds_of("library(survival)")
ours <- seconds_of("library(vigitensor)")
write_results(
  "startup",
  figure("startup", "library(vigitensor) less library(survival)", "", "cpu",
         ours - base, target = "0.3 s"),
  figure("startup", "first fit, kernels in the cache", "1,000 patients", "cpu",
         stats::median(warm[1L, ]), target = "1.2 s"),
  figure("startup", "first fit, empty cache", "1,000 patients", "cpu",
         stats::median(cold[1L, ]), target = "20 s")
)
