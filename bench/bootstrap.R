# Bootstraps of 100,000 patients: 500 of an exposure model from records, 1,000
# of a Cox model with one covariate that changes. Equality first: three
# replicates against wce() and cox() with the drawn weights, and one against
# coxph().
#
#   Rscript bench/bootstrap.R [patients]
source("bench/common.R")
need_engine()
draw_weights <- getFromNamespace("draw_weights", "vigitensor")

check_replicates <- function(b, fits) {
  beta <- vapply(fits, stats::coef, numeric(ncol(b$coefficients)))
  loglik <- vapply(fits, function(f) f$loglik[2L], 0)
  few <- seq_along(fits)
  off <- max(abs(t(beta) - b$coefficients[few, ]))
  relative <- max(abs(b$loglik[few] / loglik - 1))
  if (!all(b$converged) || off > 1e-8 || relative > 1e-10) {
    stop(sprintf(paste("The replicates differ: coefficients by %.2g,",
                       "log-likelihood by %.2g (relative)."), off, relative),
         call. = FALSE)
  }
  off
}

# ---- WCE --------------------------------------------------------------------

# A cohort as `sim`, a fit of it and its bootstrap, in one environment where the
# call of the fit finds its data.
wce_case <- function(n, times) {
  sim <- bench_cohort(n)
  fit <- quiet(wce(
    Surv(entry, exit, event) ~ sex + age + exposure("drug"), data = sim$people,
    id = person_id, records = sim$records, cutoff = 180, nknots = 1,
    constrained = "right", engine = "cpu"
  ))
  few <- bootstrap(fit, 3, seed = 1)
  weights <- draw_weights(n, "multinomial", 1, 1, 3)
  person <- match(sim$people$person_id, unique(sim$people$person_id))
  refits <- lapply(1:3, function(r) {
    sim$people$drawn <- weights[r, person]
    quiet(wce(
      Surv(entry, exit, event) ~ sex + age + exposure("drug"),
      data = sim$people, id = person_id, records = sim$records, cutoff = 180,
      nknots = 1, constrained = "right", weights = drawn, robust = FALSE,
      engine = "cpu"
    ))
  })
  difference <- check_replicates(few, refits)
  found <- measure_first(function() bootstrap(fit, times, seed = 1))
  c(found, list(difference = difference, pairs = fit$n_pairs))
}

# ---- Cox --------------------------------------------------------------------

# Rows of 29 days at most, with a treatment that changes between them.
cox_case <- function(n, times) {
  set.seed(100)
  last <- sample.int(368L, n, replace = TRUE)
  phase <- sample.int(29L, n, replace = TRUE)
  rows <- 1L + (last > phase) * ceiling((last - phase) / 29)
  id <- rep.int(seq_len(n), rows)
  place <- sequence(rows)
  data <- data.frame(
    id, start = ifelse(place == 1L, 0, phase[id] + 29 * (place - 2)),
    stop = pmin(last[id], phase[id] + 29 * (place - 1)),
    x = stats::rbinom(length(id), 1L, 0.4)
  )
  ends <- data$stop == last[id]
  data$event <- as.integer(
    ends & stats::runif(length(id)) < stats::plogis(0.5 * data$x - 0.3)
  )
  fit <- cox(Surv(start, stop, event) ~ x, data, id = id, engine = "cpu")
  few <- bootstrap(fit, 3, seed = 1)
  weights <- draw_weights(n, "multinomial", 1, 1, 3)
  refit <- function(r, fitter, ...) {
    data$drawn <- weights[r, data$id]
    fitter(Surv(start, stop, event) ~ x, data[data$drawn > 0, ],
           weights = drawn, robust = FALSE, ...)
  }
  refits <- lapply(1:3, refit, cox, engine = "cpu")
  # coxph stops where its likelihood no longer changes, digits before ours.
  seconds <- system.time(peer <- refit(1L, coxph))[["elapsed"]]
  stopifnot(abs(peer$loglik[2L] / few$loglik[1L] - 1) < 1e-9)
  difference <- check_replicates(few, refits)
  found <- measure_first(function() bootstrap(fit, times, seed = 1))
  c(found, list(difference = difference, peer = seconds,
                rows = nrow(data)))
}

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 1e5
count <- function(x) format(x, big.mark = ",", scientific = FALSE)
exposure <- wce_case(n, 500)
plain <- cox_case(n, 1000)
cox_size <- sprintf("%s patients, %s rows, 1,000 replicates", count(n),
                    count(plain$rows))
write_results(
  "bootstrap",
  figure("bootstrap", "bootstrap() of wce()",
         paste0(cohort_size(n, exposure$pairs), ", 500 replicates"), "cpu",
         exposure$seconds, exposure$memory_gb, target = "30 s",
         difference = exposure$difference),
  figure("bootstrap", "bootstrap() of cox()", cox_size, "cpu", plain$seconds,
         plain$memory_gb, target = "20 s", difference = plain$difference),
  figure("bootstrap", "coxph(weights = ), 1,000 times one", cox_size,
         "survival", 1000 * plain$peer)
)
