# The result of simulate_wce(): tables for the drawing in src/simulate.cpp, and
# from what it returns the object of class "wce_simulation".

# settings: checked; weights: named list, weights of the lags by drug.
new_wce_simulation <- function(settings, weights) {
  confounded <- any(settings$confounding != 0)
  out <- draw_cohort(settings, weights, confounded)
  drugs <- names(weights)
  people <- data.frame(
    person_id = out$people$person, entry = out$people$entry,
    exit = out$people$exit, event = out$people$event, sex = out$people$sex,
    age = out$people$age
  )
  stratified <- length(settings$strata) > 1L
  if (stratified) {
    people$stratum <- factor(names(settings$strata)[out$people$stratum],
                             names(settings$strata))
  }
  if (confounded) people$severe <- out$people$severe
  records <- data.frame(
    person_id = out$records$person, drug = drugs[out$records$drug],
    start = out$records$start, stop = out$records$stop,
    dose = out$records$dose
  )
  n_lags <- lengths(weights)
  truth <- list(
    weights = data.frame(
      drug = rep(drugs, n_lags), lag = sequence(n_lags),
      weight = unlist(weights, use.names = FALSE),
      log_hr = unlist(Map(`*`, weights, settings$log_hr), use.names = FALSE)
    ),
    log_hr = settings$log_hr, covariates = settings$covariates,
    cutoff = max(n_lags), seed = settings$seed,
    formulas = sim_formulas(drugs, stratified, confounded),
    settings = settings
  )
  counts <- list(
    people = as.integer(settings$n), events = sum(people$event),
    person_days = sum(as.numeric(people$exit) - people$entry),
    window_days = out$window_days, users = length(unique(out$records$person)),
    records = nrow(records)
  )
  structure(list(people = people, records = records, truth = truth,
                 counts = counts), class = "wce_simulation")
}

draw_cohort <- function(settings, weights, confounded) {
  days <- settings$days
  cum <- Map(function(w, log_hr) log_hr * c(0, cumsum(w)), weights,
             settings$log_hr)
  cum_hazard <- Map(function(factor, shape) {
    factor * (settings$hazard * days * (0:days / days)^shape)
  }, settings$strata, settings$shape)
  simulate_cohort_cpp(
    settings$n, days, settings$seed,
    spells = list(
      claims = settings$spells == "claims", first_day = settings$first_day,
      supply = settings$supply, packs = settings$packs,
      refill = settings$refill, gap = settings$gap, doses = settings$doses
    ),
    people = list(
      sex = settings$covariates[["sex"]], age = settings$covariates[["age"]],
      late_entry = settings$late_entry, dropout = settings$dropout,
      recurrent = settings$recurrent, frailty = settings$frailty
    ),
    confounding = list(
      on = confounded, calm = settings$severity[["calm"]],
      severe = settings$severity[["severe"]],
      speed = exp(settings$confounding[["prescribing"]]),
      log_hazard_ratio = settings$confounding[["hazard"]]
    ),
    users = settings$users, cum = unname(cum), cum_hazard = unname(cum_hazard)
  )
}

# What to give to wce(). One drug needs no name there, but then its records
# would be those of all drugs: it is named all the same.
sim_formulas <- function(drugs, stratified, confounded) {
  exposures <- sprintf("exposure(\"%s\")", drugs)
  formula_of <- function(covariates) {
    terms <- c(covariates, if (stratified) "strata(stratum)", exposures)
    stats::as.formula(
      paste("Surv(entry, exit, event) ~", paste(terms, collapse = " + ")),
      env = globalenv()
    )
  }
  known <- c("sex", "age")
  if (!confounded) return(list(right = formula_of(known)))
  list(right = formula_of(c(known, "severe")), biased = formula_of(known))
}

# What was simulated beyond the plain cohort, in words.
sim_options <- function(settings) {
  n_strata <- length(settings$strata)
  ratios <- format_ratio(exp(settings$confounding))
  c(
    if (n_strata > 1L) paste(n_strata, "strata"),
    if (settings$recurrent) "recurrent events",
    if (settings$frailty > 0) {
      paste0("frailty of variance ", format(settings$frailty))
    },
    if (any(settings$confounding != 0)) {
      sprintf("confounding by `severe` (prescribing %s, hazard %s)",
              ratios[1L], ratios[2L])
    }
  )
}

#' @param x A simulation.
#' @param ... Not used.
#' @return `print()` returns its argument, invisibly.
#' @rdname simulate_wce
#' @export
print.wce_simulation <- function(x, ...) {
  counts <- x$counts
  settings <- x$truth$settings
  cat("Simulated cohort: ", count_of(counts$people, "person", "people"), ", ",
      count_of(counts$events, "event"), ", ",
      count_of(counts$person_days, "person-day"), " of a study of ",
      count_of(settings$days, "day"), "\n", sep = "")
  cat("Records: ", format_count(counts$records), " of ",
      count_of(length(x$truth$log_hr), "drug"), ", ",
      count_of(counts$users, "user"), "; ",
      sprintf("%.1f%%", 100 * counts$window_days / counts$person_days),
      " of person-days have a record within the cutoff\n", sep = "")
  effects <- paste0(names(x$truth$log_hr), " ",
                    format(exp(x$truth$log_hr), digits = 3, trim = TRUE))
  cat_wrapped("Truth: hazard ratio per unit of weighted cumulative exposure: ",
              paste(effects, collapse = ", "), "; cutoff ",
              count_of(x$truth$cutoff, "day"), "; seed ",
              format_count(x$truth$seed))
  options <- sim_options(settings)
  if (length(options)) cat_wrapped("With ", format_list(options))
  cat("Next: `$people` and `$records` for wce(), with `$truth$formulas`\n")
  invisible(x)
}
