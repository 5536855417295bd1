# outcomes(): the events of a cohort, from diagnoses and causes of death.

#' Outcomes of a cohort
#'
#' Finds the events of the people in a [cohort()], ends their follow-up there
#' (or splits it, for recurrent events), and excludes people who had the outcome
#' before entry. An event on day D is at D + 1; a diagnosis on the day of entry
#' is an event.
#'
#' @param cohort A result of [cohort()].
#' @param diagnoses Data frame, or a result of [source_table()]; see
#'   `claims_schema("diagnoses")`.
#' @param codes Codes of the outcome. A code stands for all below it in the
#'   hierarchy (`"I21"` for `"I21.4"`), unless `exact`. Dots and case do not
#'   matter. With `deaths` alone, `NULL` is death of any cause.
#' @param deaths Data frame of deaths, whose `cause` is looked up as well; see
#'   `claims_schema("deaths")`.
#' @param exact `TRUE`: only the codes themselves.
#' @param position `"any"`, `"primary"` or `"secondary"`: position of the
#'   diagnosis (column `position`).
#' @param type `"first"`: follow-up ends with the first event. `"recurrent"`:
#'   several events, and rows, per person.
#' @param lookback People with the outcome in this many days before entry are
#'   excluded. `NULL`: `Inf` for first events, 0 (nobody) for recurrent ones.
#' @param blind Days after an event in which further codes are the same event,
#'   and the person is not at risk (recurrent events).
#' @return The cohort with the column `event` (0 or 1), `exit` and `exit_date`
#'   at the event, `exit_reason` `"outcome"`; class `outcomes` too. With
#'   `type = "recurrent"`, one row per event and one for the time after the
#'   last. The attrition table gets a row for those excluded, with the events
#'   among those left.
#' @section Errors:
#' As for [cohort()]; `vigitensor_error_no_events` when nobody has an event.
#' @seealso [cohort()], [describe_exposure()]
#' @export
#' @examples
#' day <- as.Date("2020-01-01")
#' x <- cohort(data.frame(person_id = 1:3), start = day, end = day + 365)
#' diagnoses <- data.frame(person_id = c(1, 2), date = day + c(100, -5),
#'                         code = c("I21.4", "I21.0"))
#' outcomes(x, diagnoses, "I21")
outcomes <- function(cohort, diagnoses = NULL, codes = NULL, deaths = NULL,
                     exact = FALSE, position = "any", type = "first",
                     lookback = NULL, blind = 0) {
  if (!inherits(cohort, "cohort") || is.null(attr(cohort, "id"))) {
    abort_input("`cohort` must be a result of cohort().",
                x = sprintf("It is %s.", what_is(cohort)), arg = "cohort",
                code = "cohort")
  }
  type <- check_word(type, c("first", "recurrent"), "type")
  position <- check_word(position, c("any", "primary", "secondary"),
                         "position")
  lookback <- lookback %||% if (type == "first") Inf else 0
  if (!identical(lookback, Inf)) {
    lookback <- check_integer(lookback, "lookback", 0)
  }
  blind <- check_integer(blind, "blind", 0)
  if (!is.null(diagnoses)) check_codes(codes, "codes")
  if (is.null(diagnoses) && is.null(deaths)) {
    abort_input("Give `diagnoses`, `deaths`, or both.", code = "missing_table")
  }
  hits <- outcome_days(cohort, diagnoses, deaths, codes, exact, position)
  entry <- as.double(cohort$entry_date)
  exit <- as.double(cohort$exit_date)
  prior <- has_day_between(hits, seq_len(nrow(cohort)), entry - lookback, entry)
  hits <- hits[hits$day >= entry[hits$person] & hits$day < exit[hits$person] &
                 !prior[hits$person], ]
  if (nrow(hits) == 0L) {
    abort_input("Nobody in the cohort has an event.",
                i = "Check `codes` and `position`, and that ids agree.",
                code = "no_events")
  }
  out <- if (type == "first") {
    first_events(cohort, hits, prior)
  } else {
    recurrent_events(cohort, hits, prior, blind)
  }
  finish_outcomes(out, cohort, prior, list(
    codes = codes, exact = exact, position = position, type = type,
    lookback = lookback, blind = blind, deaths = !is.null(deaths)
  ))
}

# Days of the outcome, sorted: data frame of person (row of the cohort), day.
outcome_days <- function(cohort, diagnoses, deaths, codes, exact, position) {
  id <- attr(cohort, "id")
  faults <- new_faults()
  ids <- claims_id(faults, cohort[[id]], id, "cohort")
  kind <- if (inherits(cohort$entry_date, "Date")) "date" else "number"
  tables <- list(cohort = list(day = structure(0, kind = kind)))
  given <- list(
    diagnoses = claims_rows(diagnoses, "diagnoses", id, list(code = codes)),
    deaths = claims_rows(deaths, "deaths", id)
  )
  for (name in names(given)) {
    if (is.null(given[[name]])) next
    table <- read_claims(
      faults, given[[name]], name, id = id,
      wanted = c(if (position != "any") "position",
                 if (name == "deaths" && !is.null(codes)) "cause")
    )
    table$person <- person_rows(faults, table$person_id, ids, id)
    tables[[name]] <- table
  }
  claims_clock(faults, tables)
  stop_for_faults(faults)
  pick <- function(table, code, position) {
    rows <- which(!is.na(table$person))
    if (!is.null(codes)) rows <- rows[has_code(code[rows], codes, exact)]
    if (position != "any") {
      place <- tolower(as.character(table$position[rows]))
      primary <- place %in% c("primary", "1", "p")
      rows <- rows[if (position == "primary") primary else
        !primary & !is.na(place)]
    }
    data.frame(person = table$person[rows], day = as.vector(table$date[rows]))
  }
  hits <- rbind(
    if (!is.null(tables$diagnoses)) {
      pick(tables$diagnoses, tables$diagnoses$code, position)
    },
    if (!is.null(deaths)) pick(tables$deaths, tables$deaths$cause, "any")
  )
  hits <- unique(hits)
  hits[order(hits$person, hits$day), , drop = FALSE]
}

# Rows of follow-up as days: data frame of person, from, to, event.
first_events <- function(cohort, hits, prior) {
  people <- which(!prior)
  day <- hits$day[match(people, hits$person)]
  data.frame(
    person = people, from = as.double(cohort$entry_date)[people],
    to = ifelse(is.na(day), as.double(cohort$exit_date)[people], day + 1),
    event = as.integer(!is.na(day))
  )
}

recurrent_events <- function(cohort, hits, prior, blind) {
  people <- which(!prior)
  exit <- as.double(cohort$exit_date)
  from <- as.double(cohort$entry_date)
  rows <- list()
  # The next event of everybody at once; those it blinds are dropped.
  while (nrow(hits)) {
    first <- hits[!duplicated(hits$person), ]
    rows <- c(rows, list(data.frame(
      person = first$person, from = from[first$person], to = first$day + 1,
      event = 1L
    )))
    from[first$person] <- first$day + 1 + blind
    hits <- hits[hits$day >= from[hits$person], ]
  }
  rest <- people[from[people] < exit[people]]
  rows <- c(rows, list(data.frame(person = rest, from = from[rest],
                                  to = exit[rest],
                                  event = rep(0L, length(rest)))))
  rows <- do.call(rbind, rows)
  rows[order(rows$person, rows$from), ]
}

finish_outcomes <- function(rows, cohort, prior, settings) {
  x <- as.data.frame(cohort)[rows$person, , drop = FALSE]
  rownames(x) <- NULL
  dates <- inherits(cohort$entry_date, "Date")
  date <- function(day) if (dates) structure(day, class = "Date") else day
  scale <- attr(cohort, "time_scale")
  on_scale <- function(day) {
    if (scale == "calendar") date(day) else day - as.double(x$origin)
  }
  x$entry <- on_scale(rows$from)
  x$exit <- on_scale(rows$to)
  x$entry_date <- date(rows$from)
  x$exit_date <- date(rows$to)
  x$exit_reason[rows$event == 1L] <- "outcome"
  x$event <- NULL
  at <- match("exit", names(x))
  x <- cbind(x[seq_len(at)], event = rows$event, x[-seq_len(at)])
  table <- attr(cohort, "attrition")
  table <- rbind(table, data.frame(
    step = "outcome before entry", n_left = sum(!prior),
    n_excluded = sum(prior), events = sum(rows$event)
  ))
  structure(x, class = c("outcomes", "cohort", "data.frame"),
            id = attr(cohort, "id"), time_scale = scale, attrition = table,
            settings = c(attr(cohort, "settings"), list(outcome = settings)))
}
