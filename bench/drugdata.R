# WCE's own example: 500 patients, 77,038 unit rows, cutoff 90, one knot.
source("bench/common.R")
need_engine()

drugdata <- read_drugdata()
if (is.null(drugdata)) {
  stop("drugdata is not here: set VIGITENSOR_SHARED, or install WCE.",
       call. = FALSE)
}
columns <- list(
  analysis = "Cox", nknots = 1, cutoff = 90, constrained = "Right",
  id = "Id", event = "Event", start = "Start", stop = "Stop", expos = "dose",
  covariates = c("sex", "age")
)
ours <- function() do.call(vigitensor::WCE, c(list(drugdata), columns))
formula <- function() {
  wce(Surv(Start, Stop, Event) ~ sex + age + exposure(dose), data = drugdata,
      id = Id, cutoff = 90, nknots = 1, constrained = "right", basis = "WCE")
}
all_numbers <- function(fit) {
  c(fit$loglik, unlist(fit$est), unlist(fit$beta.hat.covariates))
}

fast <- ours()
slow <- with_engine("reference", ours())
difference <- max(abs(all_numbers(fast) - all_numbers(slow)))
stopifnot(difference < 1e-8)
by_formula <- formula()
stopifnot(abs(by_formula$loglik[2L] - fast$loglik) < 1e-8)

size <- "77,038 rows, 1 knot"
rows <- list(
  figure("drugdata", "WCE()", size, "cpu", median_seconds(ours),
         target = "0.03 s", difference = difference),
  figure("drugdata", "wce(), formula", size, "cpu", median_seconds(formula)),
  figure("drugdata", "WCE()", size, "reference",
         with_engine("reference", median_seconds(ours)))
)
if (requireNamespace("WCE", quietly = TRUE)) {
  peer <- function() do.call(WCE::WCE, c(list(drugdata), columns))
  # The peer stops once the log-likelihood changes by less than 1e-9 of its
  # value: it is the one that is off the optimum.
  off <- max(abs(all_numbers(peer()) - all_numbers(fast)))
  stopifnot(off < 1e-5)
  rows <- c(rows, list(
    figure("drugdata", "WCE()", size, "WCE", median_seconds(peer),
           difference = off)
  ))
}
do.call(write_results, c("drugdata", rows))
