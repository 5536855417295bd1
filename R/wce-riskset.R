# Controls for cases, from those at risk at their times.

#' Sample controls from the risk sets of a cohort
#'
#' For each event, draws controls among the people at risk at its time
#' (incidence density sampling): the nested case-control study of a cohort. A
#' case can be a control before its event, and a person of several sets.
#'
#' @param formula `Surv(start, stop, event) ~ 1`, or `~ strata(sex, region)` for
#'   controls of the case's own stratum (matching).
#' @param data Data frame, one or more rows (start, stop] per person.
#' @param id The column that tells people apart, bare or as a string.
#' @param controls Number of controls per case; all there are, where they are
#'   fewer.
#' @param seed A whole number, so that the same call draws the same controls;
#'   `NULL` takes the state of R's generator.
#' @return The rows of `data` of cases and controls, case first, with the
#'   columns `set` (1, 2, ... in the order of event times), `case` (0/1), `time`
#'   (of the event, for [wce_case_control()]) and `n_at_risk` (in the stratum at
#'   the time, the case included). Columns of these names in `data` are an
#'   error.
#' @section Errors: `vigitensor_error_name_taken`, and as in [wce()].
#' @references Goldstein L, Langholz B (1992). Asymptotic theory for nested
#'   case-control sampling in the Cox regression model. Annals of Statistics
#'   20(4), 1903-1928. \doi{10.1214/aos/1176348895}
#' @seealso [wce_case_control()]
#' @export
#' @examples
#' sets <- sample_riskset(Surv(entry, exit, event) ~ strata(sex),
#'                        data = claims_people, id = person_id, controls = 2,
#'                        seed = 1)
#' head(sets)
sample_riskset <- function(formula, data, id, controls = 4, seed = NULL) {
  check_table(data, "data")
  controls <- check_integer(controls, "controls", 1)
  id <- id_column(rlang::enquo(id), names(data))
  taken <- intersect(c("set", "case", "time", "n_at_risk"), names(data))
  if (length(taken)) {
    abort_input(sprintf("`data` already has the column `%s`.", taken[1L]),
                i = "Rename it: the result has a column of this name.",
                code = "name_taken")
  }
  rows <- riskset_rows(formula, data, id)
  drawn <- if (is.null(seed)) draw_controls(rows, controls) else {
    with_random_seed(check_integer(seed, "seed", 0),
                     draw_controls(rows, controls))
  }
  out <- data[drawn$row, , drop = FALSE]
  rownames(out) <- NULL
  out$set <- drawn$set
  out$case <- drawn$case
  out$time <- as_claims_time(rows$stop[drawn$event],
                             attr(rows$stop, "kind"))
  out$n_at_risk <- drawn$n_at_risk
  out
}

riskset_rows <- function(formula, data, id) {
  if (!rlang::is_formula(formula, lhs = TRUE)) {
    abort_input("`formula` must be a formula with a `Surv()` on its left.",
                i = "Like `Surv(entry, exit, event) ~ strata(sex)`.",
                code = "formula")
  }
  env <- env_with_specials(rlang::f_env(formula))
  surv <- surv_arguments(rlang::f_lhs(formula))
  faults <- new_faults()
  people <- read_people(faults, data, id, surv, env)
  check_people(faults, people)
  rhs <- rlang::f_rhs(formula)
  columns <- covariate_columns(faults, all.vars(rhs), data, env)
  stop_for_faults(faults)
  check_events(people, rep(1, people$n))
  joined <- join_people(people, columns, rep(1, people$n), FALSE)
  covariates <- wce_covariates(
    list(covariates = bare_specials(rhs), env = env), joined
  )
  if (ncol(covariates$x)) {
    abort_input("Only `strata()` can be matched on.",
                x = sprintf("The formula has `%s`.",
                            colnames(covariates$x)[1L]),
                i = "Like `~ strata(sex, region)`.", code = "formula")
  }
  list(subject = people$subject$code, start = people$start,
       stop = people$stop, event = people$event, stratum = covariates$stratum)
}

# Value: list(row, set, case, event = row of the set's case, n_at_risk).
draw_controls <- function(rows, n_controls) {
  events <- which(rows$event == 1L)
  events <- events[order(rows$stop[events], rows$stratum[events],
                         method = "radix")]
  at_risk <- count_at_risk(rows, events)
  by_stratum <- split(seq_along(events), rows$stratum[events])
  members <- split(seq_along(rows$stop), rows$stratum)
  drawn <- vector("list", length(events))
  for (s in names(by_stratum)) {
    k <- by_stratum[[s]]
    drawn[k] <- draw_in_stratum(rows, events[k], members[[s]],
                                pmin(n_controls, at_risk[k] - 1L))
  }
  n <- lengths(drawn) + 1L
  set <- rep(seq_along(events), n)
  first <- cumsum(n) - n + 1L
  row <- integer(length(set))
  row[first] <- events
  row[-first] <- unlist(drawn)
  case <- integer(length(set))
  case[first] <- 1L
  list(row = row, set = set, case = case, event = events[set],
       n_at_risk = at_risk[set])
}

# Rows of the event's stratum that are at risk at its time.
count_at_risk <- function(rows, events) {
  at <- integer(length(events))
  for (k in split(seq_along(events), rows$stratum[events])) {
    same <- rows$stratum == rows$stratum[events[k[1L]]]
    time <- rows$stop[events[k]]
    at[k] <- findInterval(time, sort(rows$start[same]), left.open = TRUE) -
      findInterval(time, sort(rows$stop[same]), left.open = TRUE)
  }
  at
}

# Draws rows for all events at once, keeps those at risk that are new to the
# set, and again for what is missing; sets that stay short are drawn from the
# list of all at risk.
draw_in_stratum <- function(rows, events, members, wanted) {
  time <- rows$stop[events]
  own <- rows$subject[events]
  got <- rep(list(integer()), length(events))
  for (turn in 1:8) {
    open <- which(lengths(got) < wanted)
    if (length(open) == 0L) return(got)
    missing <- wanted[open] - lengths(got)[open]
    set <- rep(open, 4L * missing)
    row <- members[sample.int(length(members), length(set), replace = TRUE)]
    good <- rows$start[row] < time[set] & rows$stop[row] >= time[set] &
      rows$subject[row] != own[set]
    fresh <- split(row[good], factor(set[good], levels = open))
    got[open] <- Map(function(old, new, n) {
      utils::head(unique(c(old, new)), n)
    }, got[open], fresh, wanted[open])
  }
  for (k in which(lengths(got) < wanted)) {
    all_rows <- members[rows$start[members] < time[k] &
                          rows$stop[members] >= time[k] &
                          rows$subject[members] != own[k]]
    left <- setdiff(all_rows, got[[k]])
    more <- left[sample.int(length(left), wanted[k] - length(got[[k]]))]
    got[[k]] <- c(got[[k]], more)
  }
  got
}
