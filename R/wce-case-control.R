#' Weighted cumulative exposure in case-control studies
#'
#' The exposure terms of [wce()] in a nested case-control study (conditional
#' logistic regression, when the formula has `strata()`) or an unmatched one
#' (logistic regression). Doses are looked back at from the index time of each
#' row.
#'
#' With sets of one case and the controls that were at risk at its time (see
#' [sample_riskset()]), the weight function is that of the hazard of the whole
#' cohort, with wider intervals. Without `strata()`, a weight is a log odds
#' ratio.
#'
#' @inheritParams wce
#' @param formula `case ~ covariates + exposure("drug") + strata(set)`, where
#'   `case` is 0/1 or logical. [exposure()] names drugs of `records`.
#' @param data Data frame, one row per person of a set: a person may be in
#'   several sets.
#' @param time The column of index times, bare or as a string: the end of the
#'   time unit of the event, as `stop` in [wce()].
#' @param records Data frame of dispensings, see [wce()].
#' @return An object of class `wce`, with `model`. [weight_function()],
#'   [hazard_ratio()] (an odds ratio for unmatched data), [total_effect()],
#'   [bootstrap()] (of sets, or of people if there are none), [residuals()] and
#'   [influence()], [model_average()], [refit()], plots and tidiers work on it;
#'   what needs the follow-up of a cohort, such as [baseline_hazard()] and
#'   [ph_check()], is refused.
#' @section Errors: As in [wce()]; `vigitensor_error_no_event` when cases or
#'   controls are missing.
#' @seealso [sample_riskset()], [wce_self_controlled()], [wce_poisson()]
#' @export
#' @examples
#' set.seed(1)
#' sets <- sample_riskset(
#'   Surv(entry, exit, event) ~ strata(sex), data = claims_people,
#'   id = person_id, controls = 3
#' )
#' fit <- wce_case_control(
#'   case ~ age + exposure("drug_a") + strata(set), data = sets,
#'   id = person_id, time = time, records = claims_dispensings, cutoff = 90,
#'   nknots = 1, constrained = "right", engine = "reference"
#' )
#' fit
wce_case_control <- function(formula, data, id, time, records, cutoff = NULL,
                             nknots = NULL, constrained = FALSE, order = 4,
                             basis = "clamped", lag_in = 0, smooth = NULL,
                             criterion = "bic", clock = "auto", unit = "day",
                             engine = getOption("vigitensor.engine", "auto"),
                             control = wce_control(), ...) {
  call <- without_data(match.call())
  check_no_more(..., known = setdiff(names(formals(wce_case_control)), "..."))
  criterion <- check_word(criterion, c("bic", "aic"), "criterion")
  clock <- check_word(clock, c("auto", "unit", "continuous"), "clock")
  control <- do.call(wce_control, as.list(control))
  check_table(data, "data")
  parts <- split_formula(formula)
  refuse_cluster(parts)
  id <- id_column(rlang::enquo(id), names(data))
  defaults <- term_defaults(parts, cutoff, nknots, lag_in, constrained, order,
                            basis, smooth)
  time <- time_name(rlang::enquo(time))
  design <- case_control_design(parts, data, id, time, records, defaults, clock)
  model <- case_control_model(design$at, time)
  model$control <- control
  likelihood <- list(kind = model$likelihood, control = control,
                     engine = rows_engine(engine, model$likelihood))
  finish_rows_fit(fit_rows(design, likelihood, criterion, defaults$smooth),
                  call, formula, c(defaults, id = id), likelihood$engine,
                  design$clock, unit, model)
}

# The rows of index_design(), with an intercept where there are no sets.
case_control_design <- function(parts, data, id, time, records, defaults,
                                clock) {
  design <- index_design(parts, data, id, time, records, defaults, clock)
  if (is.null(design$meta$strata)) {
    design$at$x <- cbind(`(Intercept)` = 1, design$at$x)
    design$at$stratum <- NULL
  }
  design
}

case_control_model <- function(at, time) {
  if (is.null(at$stratum)) {
    return(list(name = "logistic model", measure = "odds ratio", short = "OR",
                rows = "exposed row", kind = "case_control", time = time,
                likelihood = "logistic", unit = "patient"))
  }
  cases <- rowsum(at$y, at$stratum)
  list(name = "conditional logistic model", sets = length(cases),
       measure = "hazard ratio", short = "HR", rows = "exposed row",
       kind = "case_control", time = time, unit = "set",
       likelihood = if (max(cases) > 1) "exact" else "sets")
}

# Sets are risk sets, which every engine knows; exact ties and generalised
# linear models are R's.
rows_engine <- function(engine, kind) {
  engine <- choose_engine(engine)
  if (kind %in% c("logistic", "poisson")) return("reference")
  if (kind == "exact" && engine == "torch") "cpu" else engine
}

refuse_cluster <- function(parts) {
  if (is.null(parts$cluster)) return(invisible())
  abort_input("`cluster()` is for `wce()` alone.",
              i = "Leave it out of the formula.", code = "unsupported_term")
}
