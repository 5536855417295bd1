# Shared by the scripts of the calibration study: cases, fits, files. Sourced
# by each of them from the folder of the project; never run.

suppressPackageStartupMessages(library(vigitensor))

# ---- the study --------------------------------------------------------------

# Scenario of the truth, and the window of the models. The published window is
# 180 days, which is too short for "hat"; the last case gives it enough.
study_cases <- data.frame(
  case = c("exponential", "bilinear", "early_peak", "inverted_u", "constant",
           "hat", "hat_240"),
  scenario = c("exponential", "bilinear", "early_peak", "inverted_u",
               "constant", "hat", "hat"),
  cutoff = c(180, 180, 180, 180, 180, 180, 240)
)
constraints <- c("none", "right")
all_knots <- 1:5
published_knots <- 1:3

case_row <- function(case) study_cases[study_cases$case == case, ]

# What the model should find: log hazard ratio per unit of dose, by lag.
true_curve <- function(case) {
  row <- case_row(case)
  log(4) * scenario_weights(row$scenario, row$cutoff)
}

# ---- one data set -----------------------------------------------------------

simulate_case <- function(case, size, seed) {
  simulate_wce(size, weights = case_row(case)$scenario, design = "sylvestre",
               seed = seed)
}

# Warnings about the data (lags that no dose covers and the like) are counted:
# they belong to a study of many data sets, and would hide its progress.
count_warnings <- function(code) {
  counter <- new.env()
  counter$n <- 0L
  value <- withCallingHandlers(code, vigitensor_warning = function(condition) {
    counter$n <- counter$n + 1L
    tryInvokeRestart("muffleWarning")
  })
  list(value = value, warnings = counter$n)
}

fit_case <- function(sim, case, constraint) {
  wce(Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
      id = person_id, records = sim$records, cutoff = case_row(case)$cutoff,
      nknots = all_knots,
      constrained = if (constraint == "none") FALSE else constraint)
}

# All fits of one data set: one element per constraint and number of knots.
fit_all <- function(sim, case) {
  out <- lapply(constraints, function(constraint) {
    got <- count_warnings(fit_case(sim, case, constraint))
    lapply(all_knots, function(nknots) {
      fit <- refit(got$value, nknots)
      list(constraint = constraint, nknots = nknots,
           coefficients = unname(coef(fit)), var = unname(vcov(fit)),
           aic = AIC(fit), bic = BIC(fit), converged = fit$converged,
           basis = fit$exposures[[1L]]$basis_matrix, warnings = got$warnings)
    })
  })
  do.call(c, out)
}

# Bases by constraint and number of knots, in the order of fit_all(). They
# depend on the window alone.
study_bases <- function(case) {
  lapply(fit_all(simulate_case(case, 500, 1), case), `[[`, "basis")
}

# ---- files ------------------------------------------------------------------

study_file <- function(folder, case, size, part) {
  file.path("bench", "calibration", folder,
            sprintf("%s-%d-%s.rds", case, size, part))
}

# A file that is there is whole: an interrupted run leaves a temporary one.
save_whole <- function(object, file) {
  dir.create(dirname(file), showWarnings = FALSE, recursive = TRUE)
  partial <- paste0(file, ".", Sys.getpid(), ".partial")
  saveRDS(object, partial)
  file.rename(partial, file)
}

# "size=500,2000" and the like, as a named list; names that are not known stop.
read_arguments <- function(defaults, args = commandArgs(TRUE)) {
  parts <- strsplit(args, "=", fixed = TRUE)
  names <- vapply(parts, `[`, "", 1L)
  if (any(lengths(parts) != 2L) || !all(names %in% names(defaults))) {
    stop("Arguments are name=value, with the names ",
         paste(names(defaults), collapse = ", "), ".", call. = FALSE)
  }
  for (part in parts) {
    values <- strsplit(part[2L], ",", fixed = TRUE)[[1L]]
    if (is.numeric(defaults[[part[1L]]])) values <- as.numeric(values)
    if (anyNA(values)) stop(part[1L], " must be numbers.", call. = FALSE)
    defaults[[part[1L]]] <- values
  }
  unknown <- setdiff(defaults$case, study_cases$case)
  if (length(unknown)) {
    stop("There is no case ", paste(unknown, collapse = ", "), ".",
         call. = FALSE)
  }
  defaults
}
