# The intensive care patients of pammtools: death and the calories of the days
# before, in 2,000 patients. The rows, the lag-lead window and the matrices are
# those of its article on data transformation (as_ped() and cumulative() with
# the default window: all days up to now), the model is the Poisson one of its
# article on cumulative effects, h(latency) times dose; see Bender, Groll and
# Scheipl (2018), Statistical Modelling 18, 299-321, and for these patients
# Bender, Scheipl, Hartl, Day and Kuechenhoff (2019), Biostatistics 20, 315-331.
# A second window leaves out the last four days.
#
#   R_LIBS=<library with pammtools> Rscript bench/icu.R
source("bench/common.R")
if (!requireNamespace("pammtools", quietly = TRUE)) {
  stop("pammtools is not installed.", call. = FALSE)
}

patient <- as.data.frame(pammtools::patient)
daily <- as.data.frame(pammtools::daily)
columns <- c("CombinedID", "survhosp", "PatientDied", "Gender", "Age",
             "AdmCatID", "ApacheIIScore")
patient <- stats::na.omit(patient[, columns])
daily <- daily[daily$CombinedID %in% patient$CombinedID, ]
daily$calories <- daily$caloriesPercentage / 100

windows <- list(
  "latency 0 to 28 days" = list(lag_in = 0, ll = function(t, tz) t >= tz),
  "latency 4 to 28 days" = list(lag_in = 4, ll = function(t, tz) t >= tz + 4)
)
cutoff <- 29 # lag 1 is latency 0
covariates <- ~ splines::ns(tend, 4) + Gender + Age + AdmCatID + ApacheIIScore

# as_ped() looks for `in_window` in the global environment.
rows_of <- function() {
  ped <- pammtools::as_ped(
    list(patient, daily),
    survival::Surv(survhosp, PatientDied) ~ . +
      cumulative(latency(Study_Day), calories, tz_var = "Study_Day",
                 ll_fun = in_window),
    cut = 0:30, id = "CombinedID"
  )
  class(ped) <- "data.frame"
  ped$event <- as.integer(ped$ped_status)
  ped
}

# A dose of day d is in as_ped()'s window of (d, d + 1] first: a record
# (d, d + 1], whose lag is its latency and one.
records <- data.frame(CombinedID = daily$CombinedID, start = daily$Study_Day,
                      stop = daily$Study_Day + 1, dose = daily$calories,
                      drug = "calories")

ours <- function(ped, window, ...) {
  # `offset` of the rows: the log of the part of the day that was seen.
  rows <- as.data.frame(unclass(ped)[c("CombinedID", "tstart", "tend", "event",
                                       "offset", columns[-(1:3)])])
  names(rows)[names(rows) == "offset"] <- "seen"
  fit <- quiet(wce_poisson(
    stats::update(covariates, survival::Surv(tstart, tend, event) ~ . +
                    offset(seen) + exposure("calories")),
    data = rows, id = "CombinedID", records = records, cutoff = cutoff,
    lag_in = window$lag_in, ...
  ))
  fit
}

# Doses times window, and the basis of a fit at the latencies.
doses <- function(ped) ped$LL * ped$calories
features <- function(ped, exposure) {
  dose <- doses(ped)
  found <- 0
  for (k in seq_len(ncol(dose))) {
    # Outside the window the latency says nothing and the dose is zero.
    at <- match(ped$Study_Day_latency[, k] + 1, exposure$lags, 1L)
    found <- found + dose[, k] * exposure$basis_matrix[at, , drop = FALSE]
  }
  found
}

# Knots of a fit as mgcv's B-splines take them, by latency. Its integrals of the
# squared second derivative are then ours, up to the unit of length.
same_spline <- function(ped, fit) {
  m <- cutoff - fit$settings$lag_in
  knots <- vigitensor:::wce_all_knots(m, fit$exposures[[1L]]$knots, "clamped",
                                      4L)
  list(latency = knots + fit$settings$lag_in - 1)
}

rows <- list()
for (name in names(windows)) {
  window <- windows[[name]]
  in_window <- window$ll
  ped <- rows_of()
  size <- sprintf("%s patients, %s rows, %d deaths, %s",
                  format(length(unique(ped$CombinedID)), big.mark = ","),
                  format(nrow(ped), big.mark = ","), sum(ped$event), name)

  # One basis in both: three knots, no penalty.
  fixed <- ours(ped, window, nknots = 3)
  ped$f <- features(ped, fixed$exposures[[1L]])
  peer <- stats::glm(stats::update(covariates, event ~ . + f + offset(offset)),
                     stats::poisson(), ped,
                     control = list(epsilon = 1e-14, maxit = 60))
  se <- sqrt(diag(stats::vcov(peer)))
  off <- max(abs(coef(fixed) - coef(peer)) / se)
  stopifnot(off < 1e-8)
  rows[[length(rows) + 1L]] <- figure(
    "icu", "wce_poisson(), 3 knots: coefficients, in standard errors", size,
    "glm", target = "1e-8", difference = off
  )

  # Many knots and a penalty: the same spline in mgcv.
  smooth <- ours(ped, window, nknots = 8, smooth = wce_smooth(far_end = FALSE))
  ped$latency <- pmin(pmax(ped$Study_Day_latency, window$lag_in), cutoff - 1)
  ped$dose <- doses(ped)
  curve <- as.data.frame(quiet(weight_function(smooth)))
  curve <- curve[is.finite(curve$weight) & curve$lag > window$lag_in, ]
  for (method in c("fREML", "REML")) {
    model <- if (method == "REML") mgcv::gam else mgcv::bam
    gam <- model(
      stats::update(covariates, event ~ . + offset(offset) +
                      s(latency, by = dose, bs = "bs", k = 12, m = c(3, 2))),
      family = stats::poisson(), data = ped, method = method,
      knots = same_spline(ped, smooth)
    )
    new <- ped[rep(1L, nrow(curve)), ]
    new$latency <- matrix(curve$lag - 1)
    new$dose <- matrix(1, nrow(curve))
    told <- stats::predict(gam, new, type = "terms", se.fit = TRUE)
    at <- grep("latency", colnames(told$fit))
    off <- max(abs(told$fit[, at] - curve$weight) / told$se.fit[, at])
    own <- grep("latency", names(gam$edf))
    cat(sprintf("%s, %s: df %.3f and %.3f, curve within %.2g of its se\n",
                name, method, sum(gam$edf[own]), smoothness(smooth)$edf[1L],
                off))
    stopifnot(off < 0.05)
    rows[[length(rows) + 1L]] <- figure(
      "icu", sprintf("smooth = \"reml\": the curve, in standard errors (%s)",
                     method), size, "mgcv", target = "0.05", difference = off
    )
  }
  cat("All calories that were aimed at, for the 12 days of the protocol:\n")
  print(hazard_ratio(smooth, dose_profile(days = 12, began = window$lag_in + 12,
                                          cutoff = cutoff)))
}
do.call(write_results, c("icu", rows))
