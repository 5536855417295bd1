# Two engines, one answer: drugdata, the records of the demo, and 200 random
# designs with ties, delayed entry, factors, strata, time-varying covariates,
# several drugs, overlapping records and records before entry.
source("bench/common.R")
need_engine()
if (!requireNamespace("withr", quietly = TRUE)) {
  stop("The random designs need the package withr.", call. = FALSE)
}
source("tests/testthat/helper-designs.R")

# `call(engine)` gives a fit; every model of its grid is compared. A model is
# left out when it has no finite optimum, or Newton did not reach it: there
# both engines must say so. Value: c(coefficients, log-likelihood, models,
# models left out), the first two as largest differences.
compare <- function(call) {
  one <- quiet(call("cpu"))
  other <- quiet(call("reference"))
  pairs <- mapply(function(a, b) {
    no_optimum <- !a$converged || any(a$infinite) || !b$converged ||
      any(b$infinite)
    relative <- abs(a$loglik - b$loglik) / abs(b$loglik)
    if (no_optimum) {
      agree <- a$converged == b$converged &&
        identical(as.vector(a$infinite), as.vector(b$infinite))
      return(c(NA, NA, 1, 1, !agree))
    }
    dropped <- is.na(a$coefficients) != is.na(b$coefficients)
    c(max(abs(a$coefficients - b$coefficients), 0, na.rm = TRUE),
      max(relative), 1, 0, any(dropped))
  }, one$fits, other$fits)
  c(max(pairs[1L, ], -Inf, na.rm = TRUE), max(pairs[2L, ], -Inf, na.rm = TRUE),
    rowSums(pairs[3:5, , drop = FALSE]))
}

random_call <- function(seed) {
  pick <- function(x) x[1L + seed %% length(x)]
  study <- random_study(seed, n = pick(c(40L, 80L, 160L)), drugs = 2L)
  right <- pick(c("sex", "sex + age", "sex + dose_group",
                  "age + strata(region)", "sex * age + strata(region)", "1",
                  "dose_group + offset(age / 50)"))
  drugs <- if (seed %% 5 == 0) "exposure(\"a\") + exposure(\"b\")" else
    "exposure(\"a\")"
  formula <- stats::as.formula(
    paste("Surv(entry, exit, event) ~", right, "+", drugs)
  )
  function(engine) {
    wce(formula, data = study$people, id = "person_id",
        records = study$records, cutoff = 14, nknots = 0:1,
        constrained = list(FALSE, "right", "left")[[1L + seed %% 3]],
        lag_in = seed %% 2, ties = if (seed %% 4 < 2) "efron" else "breslow",
        engine = engine)
  }
}

summarise <- function(what, size, found) {
  found <- matrix(found, 5L)
  worst <- apply(found[1:2, , drop = FALSE], 1L, max)
  cat(sprintf("%s: %d models, %d without an optimum; coefficients %.2g, %s\n",
              what, sum(found[3L, ]), sum(found[4L, ]), worst[1L],
              sprintf("log-likelihood %.2g (relative)", worst[2L])))
  if (any(found[5L, ] > 0) || worst[1L] > 1e-8 || worst[2L] > 1e-10) {
    bad <- which(found[5L, ] > 0 | found[1L, ] > 1e-8 | found[2L, ] > 1e-10)
    stop(what, ": the engines differ, case ", paste(bad, collapse = ", "),
         call. = FALSE)
  }
  rbind(
    figure("agreement", paste0(what, ": coefficients"), size,
           "cpu - reference", target = "1e-8", difference = worst[1L]),
    figure("agreement", paste0(what, ": log-likelihood, relative"), size,
           "cpu - reference", target = "1e-10", difference = worst[2L])
  )
}

results <- list()

drugdata <- read_drugdata()
if (is.null(drugdata)) {
  cat("drugdata: not here (set VIGITENSOR_SHARED)\n")
} else {
  found <- vapply(list(FALSE, "right", "left"), function(constrained) {
    compare(function(engine) {
      wce(Surv(Start, Stop, Event) ~ sex + age + exposure(dose),
          data = drugdata, id = "Id", cutoff = 90, nknots = 1:3,
          constrained = constrained, engine = engine)
    })
  }, numeric(5))
  results$drugdata <- summarise("drugdata", "77,038 rows", found)
}

demo_file <- file.path("demo-output", "study.rds")
if (!file.exists(demo_file)) {
  cat("Records of the demo: not here (run `make demo`)\n")
} else {
  study <- readRDS(demo_file)
  people <- study$people
  dispensings <- study$records
  found <- vapply(c(90, 180), function(cutoff) {
    compare(function(engine) {
      wce(Surv(entry, exit, event) ~ sex + year_of_birth +
            exposure("antibiotic"), data = people, id = "person_id",
          records = dispensings, cutoff = cutoff, nknots = 1:3,
          constrained = "right", engine = engine)
    })
  }, numeric(5))
  results$demo <- summarise(
    "demo", sprintf("%s patients", format(nrow(people), big.mark = ",")), found
  )
}

found <- vapply(seq_len(200), function(seed) compare(random_call(seed)),
                numeric(5))
results$random <- summarise("random designs", "200 designs", found)
do.call(write_results, c("agreement", unname(results)))
