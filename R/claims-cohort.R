# cohort(): who is followed, from when to when. One candidate per person and
# period of coverage goes through the steps; each step moves its entry or
# removes it, and is one row of the attrition table (claims-attrition.R).

#' A cohort from people, coverage, dispensings, diagnoses and deaths
#'
#' Selects people and their follow-up, one decision per argument, and counts
#' whom each decision excludes. The result is a data frame that [wce()] and
#' [cox()] take as `data`, after [outcomes()] has added the events.
#'
#' @section Days:
#' A calendar day D is (D, D + 1]. Entry on day D begins at D; coverage until
#' day D, death on D and the end of the study on D end follow-up at D + 1. A
#' switch on day D ends it at D. A year is 365.25 days.
#'
#' @section Time scales:
#' `entry` and `exit` are on the scale that `time_scale` names: days since
#' `"entry"`, `"age"` in days, or `"calendar"` time. [align_records()] puts the
#' records of [exposure_episodes()] on the same scale.
#'
#' @param people A data frame (or a result of [source_table()], as all tables
#'   here) with one row per person; `birth_date` is needed
#'   for age. Other columns are carried along. See `claims_schema("people")`.
#' @param coverage Periods of coverage (`start`, `end`, the last day covered),
#'   any number per person; `NULL`: all are covered always.
#' @param dispensings,diagnoses,deaths Tables as in [claims_schema()], where the
#'   decisions need them.
#' @param id Name of the column that identifies a person, bare or a string.
#' @param start,end First and last day of the study; `start` may be `NULL` if
#'   `coverage` or `new_users` says when people begin.
#' @param new_users Codes of drugs (ATC prefixes). Entry is then the first
#'   dispensing of one of them that comes after `washout` days without any.
#'   `NULL`: the whole population, from the first day on which coverage,
#'   look-back, age and indication allow it.
#' @param washout Days; `Inf`: never before.
#' @param lookback Days of coverage without a gap that must precede entry.
#' @param max_gap Gaps of coverage of at most this many days are ignored.
#' @param indication Codes of diagnoses (prefixes). New users must have one in
#'   the `indication_window` days before entry, that day included; in a
#'   population entry is the first such diagnosis if that is later.
#' @param indication_window Days.
#' @param exclude Codes of diagnoses that exclude people who have one in the
#'   `exclude_window` days before entry.
#' @param exclude_window Days.
#' @param age Youngest and oldest age in years; follow-up ends at the second.
#' @param switch_to Codes of drugs whose first dispensing from entry on ends
#'   follow-up.
#' @param max_follow_up Days.
#' @param time_scale `"entry"`, `"age"` or `"calendar"`.
#' @return A data frame of class `cohort` with one row per person: the id,
#'   `entry`, `exit`, `origin` (day at which the time scale is zero),
#'   `entry_date`, `exit_date`, `exit_reason` (`"death"`, `"coverage"`, `"end"`,
#'   `"age"`, `"switch"` or `"max_follow_up"`), and the other columns of
#'   `people`. [attrition()] shows whom each step excluded.
#' @section Errors:
#' `vigitensor_error_data`, with the class of each fault, all of them together:
#' `missing_column`, `missing_values`, `fractional_time`, `mixed_time`,
#' `duplicate_id`, `id`, `id_type`, `stop_before_start`, `reserved_column`;
#' and `vigitensor_error_empty_cohort` when nobody is left.
#' @seealso [outcomes()], [attrition()], [align_records()],
#'   [describe_exposure()]
#' @export
#' @examples
#' day <- as.Date("2020-01-01")
#' people <- data.frame(person_id = 1:4, sex = c("f", "m", "f", "m"),
#'                      birth_date = as.Date("1950-06-01"))
#' coverage <- data.frame(person_id = c(1, 2, 3), start = day + c(0, 0, 700),
#'                        end = day + 1000)
#' x <- cohort(people, coverage, start = day, end = day + 900,
#'             lookback = 365, age = c(18, 90))
#' attrition(x, min_cell = 0)
#' as.data.frame(x)
cohort <- function(people, coverage = NULL, dispensings = NULL,
                   diagnoses = NULL, deaths = NULL, id = "person_id",
                   start = NULL, end, new_users = NULL, washout = 365,
                   lookback = 365, max_gap = 0, indication = NULL,
                   indication_window = Inf, exclude = NULL,
                   exclude_window = Inf, age = c(0, Inf), switch_to = NULL,
                   max_follow_up = Inf, time_scale = "entry") {
  id <- id_column(rlang::enquo(id), table_columns(people))
  people <- claims_rows(people)
  check_table(people, "people")
  s <- check_cohort_settings(
    list(new_users = new_users, indication = indication, exclude = exclude,
         switch_to = switch_to, washout = washout, lookback = lookback,
         max_gap = max_gap, indication_window = indication_window,
         exclude_window = exclude_window, max_follow_up = max_follow_up,
         age = age, time_scale = time_scale),
    dispensings, diagnoses
  )
  coverage <- claims_rows(coverage, "coverage", id)
  dispensings <- claims_rows(dispensings, "dispensings", id,
                             list(drug = c(new_users, switch_to)))
  diagnoses <- claims_rows(diagnoses, "diagnoses", id,
                           list(code = c(indication, exclude)))
  deaths <- claims_rows(deaths, "deaths", id)
  faults <- new_faults()
  tables <- read_cohort_tables(faults, s, people, coverage, dispensings,
                               diagnoses, deaths, id)
  known <- list(tables$people, tables$coverage, tables$dispensings)
  if (missing(end)) {
    abort_input("`end` is missing.", i = "Give the last day of the study.",
                arg = "end", code = "end")
  }
  s$start <- claims_day(faults, start, "start", unlist(known, FALSE)) %||% -Inf
  s$end <- claims_day(faults, end, "end", unlist(known, FALSE)) %||% Inf
  tables$kind <- settings_clock(faults, tables, list(start = start, end = end))
  if (is.null(coverage) && is.null(new_users) && is.infinite(s$start)) {
    abort_input("`start` is needed: nothing else says when people begin.",
                arg = "start", code = "start")
  }
  stop_for_faults(faults)

  steps <- new_attrition(nrow(people), "people in the table")
  candidates <- cohort_entries(tables, s, steps)
  candidates <- cohort_exits(candidates, tables, s, steps)
  new_cohort(candidates, people, tables, s, steps, id)
}

check_cohort_settings <- function(s, dispensings, diagnoses) {
  for (name in c("new_users", "indication", "exclude", "switch_to")) {
    if (is.null(s[[name]])) next
    check_codes(s[[name]], name)
    of_drugs <- name %in% c("new_users", "switch_to")
    if (is.null(if (of_drugs) dispensings else diagnoses)) {
      abort_input(sprintf("`%s` needs the table `%s`.", name,
                          if (of_drugs) "dispensings" else "diagnoses"),
                  arg = name, code = "missing_table")
    }
  }
  days <- c("washout", "lookback", "max_gap", "indication_window",
            "exclude_window", "max_follow_up")
  for (name in days) {
    if (!identical(as.numeric(s[[name]]), Inf) || name == "max_gap") {
      s[[name]] <- check_integer(s[[name]], name, 0)
    }
  }
  ok <- is.numeric(s$age) && length(s$age) == 2L && !anyNA(s$age) &&
    s$age[1L] >= 0 && s$age[1L] < s$age[2L]
  if (!ok) {
    abort_input("`age` must be two ages in years, the younger one first.",
                x = sprintf("It is %s.", what_is(s$age)), arg = "age",
                code = "age")
  }
  s$time_scale <- check_word(s$time_scale, c("entry", "age", "calendar"),
                             "time_scale")
  s$needs_birth <- any(s$age != c(0, Inf)) || s$time_scale == "age"
  s
}

# Tables without a date take their kind from the settings.
settings_clock <- function(faults, tables, days) {
  days <- Filter(function(day) !is.null(day) && is.finite(day), days)
  if (!length(days)) return(tables$kind)
  dates <- vapply(days, inherits, NA, "Date")
  if (length(unique(dates)) > 1L) {
    add_fault(faults, "mixed_time",
              "`start` and `end` must both be dates, or both be numbers.",
              "Convert one of them, as with `as.Date()`.", table = "people")
  }
  if (any(dates)) "date" else tables$kind
}

# Checked columns of all tables; `person` is the row of people (NA: of nobody).
read_cohort_tables <- function(faults, s, people, coverage, dispensings,
                               diagnoses, deaths, id) {
  reserved <- intersect(names(people), c("entry", "exit", "event", "origin",
                                         "entry_date", "exit_date",
                                         "exit_reason"))
  if (length(reserved)) {
    add_fault(faults, "reserved_column",
              sprintf("`people` must not have columns %s.",
                      format_list(paste0("`", reserved, "`"))),
              "They are what cohort() makes: rename them.", table = "people")
  }
  tables <- list(people = read_claims(
    faults, people, "people", id = id,
    wanted = if (s$needs_birth) "birth_date", also = "birth_date"
  ))
  ids <- tables$people$person_id
  twice <- if (!is.null(ids)) which(duplicated(ids))
  if (length(twice)) {
    add_fault(faults, "duplicate_id", "A person must have one row in `people`.",
              "Keep one row per person.", twice, "people")
  }
  given <- list(coverage = coverage, dispensings = dispensings,
                diagnoses = diagnoses, deaths = deaths)
  for (name in names(given)) {
    if (is.null(given[[name]])) next
    table <- read_claims(faults, given[[name]], name, id = id)
    table$person <- person_rows(faults, table$person_id, ids, id)
    tables[[name]] <- table
  }
  backward <- which(tables$coverage$end < tables$coverage$start)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "The last day covered must not come before the first.",
              "Correct or remove these periods.", backward, "coverage")
  }
  tables$kind <- claims_clock(faults, tables)
  tables
}

# Rows of people; NA for others.
person_rows <- function(faults, id, ids, name) {
  if (is.null(id) || is.null(ids)) return(NULL)
  plain <- function(x) if (is.factor(x)) as.character(x) else x
  match_subjects(faults, plain(id), list(ids = plain(ids),
                                         bits = isTRUE(attr(ids, "bits"))),
                 name)
}

# ---- entry ------------------------------------------------------------------

# Value: data frame with a row per person: person, entry, to (end of coverage).
cohort_entries <- function(tables, s, steps) {
  cand <- coverage_periods(tables, s)
  if (!is.null(tables$coverage)) {
    note_step(steps, cand$person, "no period of coverage")
  }
  if (is.null(s$new_users)) {
    cand$entry <- pmax(cand$from + s$lookback, s$start)
    cand <- cand[cand$entry < pmin(cand$to, s$end + 1), ]
    note_step(steps, cand$person, paste0(
      "not covered during the study",
      if (s$lookback > 0) {
        sprintf(" after %s of look-back", count_of(s$lookback, "day"))
      }
    ))
  } else {
    cand <- new_user_entries(cand, tables, s, steps)
  }
  cand <- age_limits(cand, tables, s, steps)
  cand <- indication_limits(cand, tables, s, steps)
  # Entry is settled: the first of a person's periods that will do.
  cand <- cand[order(cand$person, cand$entry), , drop = FALSE]
  cand <- cand[!duplicated(cand$person), , drop = FALSE]
  if (!is.null(s$exclude)) {
    hits <- diagnosis_days(tables, s$exclude)
    prior <- has_day_between(hits, cand$person, cand$entry - s$exclude_window,
                             cand$entry)
    cand <- cand[!prior, ]
    note_step(steps, cand$person, "excluded diagnosis before entry")
  }
  cand
}

coverage_periods <- function(tables, s) {
  n <- tables$people$n
  if (is.null(tables$coverage)) {
    return(data.frame(person = seq_len(n), from = rep(-Inf, n),
                      to = rep(Inf, n)))
  }
  rows <- which(!is.na(tables$coverage$person))
  joined <- union_intervals(
    tables$coverage$person[rows], tables$coverage$start[rows],
    tables$coverage$end[rows] + 1 + s$max_gap
  )
  data.frame(person = joined$code, from = joined$start,
             to = joined$stop - s$max_gap)
}

# The first dispensing of a person in the study after a wash-out.
new_user_entries <- function(cand, tables, s, steps) {
  d <- tables$dispensings
  rows <- which(!is.na(d$person) & has_code(d$drug, s$new_users))
  used <- unique(data.frame(person = d$person[rows], day = d$date[rows]))
  used <- used[order(used$person, used$day), ]
  cand <- cand[cand$person %in% used$person, ]
  note_step(steps, cand$person, "no dispensing of the drugs")
  same <- c(FALSE, used$person[-1L] == used$person[-nrow(used)])
  since <- ifelse(same, used$day - c(NA, used$day[-nrow(used)]), Inf)
  in_study <- used$day >= s$start & used$day <= s$end
  cand <- cand[cand$person %in% used$person[in_study], ]
  note_step(steps, cand$person, "no dispensing of the drugs during the study")
  first <- used[in_study & (since > s$washout | !same), ]
  first <- first[!duplicated(first$person), ]
  cand$entry <- first$day[match(cand$person, first$person)]
  cand <- cand[!is.na(cand$entry), ]
  note_step(steps, cand$person, sprintf("dispensed during a wash-out of %s",
                                        count_of(s$washout, "day")))
  cand <- cand[cand$entry >= cand$from + s$lookback & cand$entry < cand$to, ]
  note_step(steps, cand$person, sprintf(
    "not covered for %s before entry", count_of(s$lookback, "day")
  ))
  cand
}

age_limits <- function(cand, tables, s, steps) {
  cand$until <- rep(Inf, nrow(cand))
  if (!s$needs_birth) return(cand)
  birth <- tables$people$birth_date[cand$person]
  cand <- cand[!is.na(birth), ]
  note_step(steps, cand$person, "day of birth unknown")
  birth <- birth[!is.na(birth)]
  from <- birth + ceiling(s$age[1L] * 365.25)
  cand$until <- birth + ceiling(s$age[2L] * 365.25)
  if (is.null(s$new_users)) cand$entry <- pmax(cand$entry, from)
  cand <- cand[cand$entry >= from & cand$entry < cand$until &
                 cand$entry < pmin(cand$to, s$end + 1), ]
  limits <- c(sprintf("younger than %s", format(s$age[1L]))[s$age[1L] > 0],
              sprintf("older than %s", format(s$age[2L]))[s$age[2L] < Inf])
  step <- "born after follow-up would end"
  if (length(limits)) step <- paste(paste(limits, collapse = " or "), "years")
  note_step(steps, cand$person, step)
  cand
}

indication_limits <- function(cand, tables, s, steps) {
  if (is.null(s$indication)) return(cand)
  hits <- diagnosis_days(tables, s$indication)
  if (is.null(s$new_users)) {
    first <- hits$day[match(cand$person, hits$person)]
    cand$entry <- pmax(cand$entry, first)
    keep <- !is.na(first) & cand$entry < pmin(cand$to, cand$until, s$end + 1)
  } else {
    keep <- has_day_between(hits, cand$person,
                            cand$entry - s$indication_window, cand$entry + 1)
  }
  cand <- cand[keep, ]
  note_step(steps, cand$person, "without the indication")
  cand
}

# Days of diagnoses with these codes, sorted by person and day.
diagnosis_days <- function(tables, codes, exact = FALSE) {
  d <- tables$diagnoses
  rows <- which(!is.na(d$person) & has_code(d$code, codes, exact))
  rows <- rows[order(d$person[rows], d$date[rows])]
  data.frame(person = d$person[rows], day = d$date[rows])
}

# TRUE where a person has a day in [from, before). hits: sorted.
has_day_between <- function(hits, person, from, before) {
  if (nrow(hits) == 0L) return(rep(FALSE, length(person)))
  zero <- min(hits$day) - 1
  span <- max(hits$day) - zero + 2
  place <- function(day) {
    person * span + pmin(pmax(day - zero, 0), span - 1)
  }
  at <- hits$person * span + (hits$day - zero)
  n_before <- function(x) findInterval(x, at, left.open = TRUE)
  n_before(place(before)) > n_before(place(from))
}
