# unit_rows(): people and records -> one row per person-day, the form that
# WCE() reads. The expansion itself is in src/claims-unit-rows.cpp.

#' One row per person-day from people and their records
#'
#' Expands people and exposure records to the form that [WCE()] and other
#' packages read: one row per person and day, with the dose of that day. The
#' dose of a day is the sum of the doses of the records that cover it. [wce()]
#' needs no such expansion: it reads the records themselves.
#'
#' @param people A data frame with one row per person, holding at least the
#'   columns named by `id`, `entry`, `exit` and `event`; other columns are
#'   carried over. Or the result of [simulate_wce()], which holds both tables.
#' @param records A data frame with columns `id`, `start`, `stop` (whole days,
#'   (start, stop]), `dose` (per day) and, where there are several drugs,
#'   `drug`.
#' @param id Name of the column that identifies a person, in both tables: bare,
#'   or a string.
#' @param drug Name of the drug to expand; `NULL` when there is only one.
#' @param entry,exit,event Names of the columns of `people`, as strings:
#'   follow-up is (entry, exit], in whole days or as dates (in both tables, and
#'   then counted from 1970-01-01); `event` is 0 or 1, or `FALSE` or `TRUE`.
#' @param weights Weights of lags 1, 2, ... as a numeric vector, to add the
#'   column `wce`: the weighted cumulative exposure at the end of each day, from
#'   all records, those before entry included. `NULL`: no such column.
#'
#' @return A data frame with one row per person-day, in the order of `people`
#'   and of time: `Id`, `Event` (0 or 1, on the last row of those with an
#'   event), `Start`, `Stop` (whole days, Stop = Start + 1), the other columns
#'   of `people`, `dose`, and `wce` when `weights` is given. The attribute
#'   `counts` says how many `records` there were for the drug, and how many of
#'   these were of `other_people` or `outside` follow-up (no day in common).
#'
#' @section Errors:
#' `vigitensor_error_data` with the class of each fault, all faults together:
#' `missing_column`, `missing_values`, `infinite_values`, `non_numeric`,
#' `fractional_time`, `mixed_time`, `stop_before_start`, `event_values`,
#' `duplicate_id`, `id`, `id_type`, `negative_dose`, each with
#' `vigitensor_error_` in front. Likewise `no_records` when no record matches,
#' `exposure` for a drug that is not there, and `too_many_rows`.
#'
#' @seealso [simulate_wce()]
#' @export
#' @examples
#' sim <- simulate_wce(n = 50, users = 1, seed = 3)
#' rows <- unit_rows(sim)
#' nrow(rows) == sim$counts$person_days
#' head(rows)
unit_rows <- function(people, records = NULL, id = "person_id", drug = NULL,
                      entry = "entry", exit = "exit", event = "event",
                      weights = NULL) {
  id <- rlang::enquo(id)
  if (inherits(people, "wce_simulation")) {
    records <- records %||% people$records
    people <- people$people
  }
  check_table(people, "people")
  id <- id_column(id, names(people))
  columns <- c(id, entry, exit, event)
  if (!is.null(weights)) weights <- resolve_weights(weights, NULL)
  records <- records_of_drug(records, drug, id)
  tables <- read_unit_tables(people, records, id, entry, exit, event)

  n_rows <- sum(tables$exit - tables$entry)
  if (n_rows > .Machine$integer.max) {
    abort_input(
      sprintf("There would be %s rows; a data frame holds at most %s.",
              format_count(n_rows), format_count(.Machine$integer.max)),
      i = "wce() reads `people` and `records` without rows per day.",
      code = "too_many_rows"
    )
  }
  person <- tables$person
  used <- order(person, na.last = NA)
  out <- unit_rows_cpp(
    tables$entry, tables$exit, tables$event, n_rows,
    c(0L, cumsum(tabulate(person, nrow(people)))), tables$start[used],
    tables$stop[used], tables$dose[used],
    if (is.null(weights)) numeric() else c(0, cumsum(weights))
  )
  rows <- c(
    list(Id = people[[id]][out$person], Event = out$event, Start = out$start,
         Stop = out$stop),
    lapply(as.list(people)[setdiff(names(people), columns)],
           function(column) column[out$person]),
    list(dose = out$dose), if (!is.null(weights)) list(wce = out$wce)
  )
  met <- tables$start < tables$exit[person] & tables$stop > tables$entry[person]
  structure(
    rows, class = "data.frame", row.names = .set_row_names(as.integer(n_rows)),
    counts = c(records = nrow(records), other_people = sum(is.na(person)),
               outside = sum(!met, na.rm = TRUE))
  )
}

records_of_drug <- function(records, drug, id) {
  if (!is.data.frame(records)) {
    abort_input("`records` must be a data frame.",
                x = sprintf("It is %s.", what_is(records)), arg = "records",
                code = "data_type")
  }
  faults <- new_faults()
  wanted <- c(id, "start", "stop", "dose", if (!is.null(drug)) "drug")
  add_missing_columns(faults, setdiff(wanted, names(records)), names(records),
                      "records")
  stop_for_faults(faults)
  if (is.null(drug)) {
    n_drugs <- length(unique(records$drug))
    if (n_drugs < 2L) return(records)
    abort_input("`drug` is needed when `records` has several drugs.",
                x = sprintf("`records$drug` has %d values.", n_drugs),
                i = "Doses of different drugs are not added: choose one.",
                code = "exposure", arg = "drug")
  }
  rows <- if (rlang::is_string(drug)) which(records$drug == drug)
  if (length(rows) == 0L) {
    abort_input("`drug` must be one value of `records$drug`.",
                i = "See `unique(records$drug)`.", code = "exposure",
                arg = "drug")
  }
  records[rows, , drop = FALSE]
}

# Checked columns: doubles `entry`, `exit`, `start`, `stop`, `dose`, integer
# `event`, and `person`, the row of `people` of each record (NA: of no one).
read_unit_tables <- function(people, records, id, entry, exit, event) {
  faults <- new_faults()
  add_missing_columns(faults, setdiff(c(id, entry, exit, event), names(people)),
                      names(people), "people")
  stop_for_faults(faults)
  read_time <- function(table, column, name) {
    x <- time_column(faults, table[[column]], column, name)
    rows <- which(x != floor(x) | abs(x) > .Machine$integer.max)
    if (length(rows)) {
      add_fault(faults, "fractional_time", sprintf(
        "Column `%s` must be whole numbers of time units below 2^31.", column
      ), "Count in other units, or round.", rows, name)
    }
    x
  }
  tables <- list(
    entry = read_time(people, entry, "people"),
    exit = read_time(people, exit, "people"),
    event = event_column(faults, people[[event]], event, "people"),
    start = read_time(records, "start", "records"),
    stop = read_time(records, "stop", "records"),
    dose = dose_column(faults, records$dose, "dose", "records")
  )
  check_unit_times(faults, tables)
  ids <- id_values(faults, people[[id]], id, "people")
  twice <- if (!is.null(ids)) which(duplicated(ids))
  if (length(twice)) {
    add_fault(faults, "duplicate_id", "A person must have one row in `people`.",
              "Keep one row per person.", twice, "people")
  }
  record_ids <- id_values(faults, records[[id]], id, "records")
  if (!is.null(ids) && !is.null(record_ids) && !length(twice)) {
    tables$person <- match_subjects(faults, record_ids, subject_codes(ids), id)
  }
  stop_for_faults(faults)
  if (nrow(records) > 0L && all(is.na(tables$person))) {
    abort_input("No record is of a person in `people`.",
                i = sprintf("Check that `%s` is written alike in both.", id),
                code = "no_records")
  }
  tables
}

check_unit_times <- function(faults, tables) {
  kinds <- lapply(tables[c("entry", "exit", "start", "stop")], attr, "kind")
  if (length(unique(unlist(kinds))) > 1L) {
    add_fault(faults, "mixed_time",
              "Times of both tables must all be dates or all be numbers.",
              "Convert one of them, as `as.Date(start)`.", table = "people")
  }
  order_fault <- function(from, to, names, table) {
    rows <- which(to <= from)
    if (length(rows) == 0L) return(invisible())
    add_fault(faults, "stop_before_start",
              sprintf("%s must be later than %s.", names[2L], names[1L]),
              "One day is (day, day + 1].", rows, table)
  }
  order_fault(tables$entry, tables$exit, c("entry", "Exit"), "people")
  order_fault(tables$start, tables$stop, c("start", "Stop"), "records")
}
