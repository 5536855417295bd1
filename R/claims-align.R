# Records on the time scale of a cohort.

#' Records on the time scale of a cohort
#'
#' Moves records (of [exposure_episodes()]) to the time scale of a [cohort()],
#' so that both can go to [wce()]. Records of other people are left out.
#'
#' @param records Data frame with the id column, `start` and `stop`, in the days
#'   of the tables that the cohort was made from.
#' @param cohort A cohort.
#' @return The records of people in the cohort, with `start` and `stop` on its
#'   scale: days since entry, age in days, or calendar time as it was.
#' @export
#' @examples
#' day <- as.Date("2020-01-01")
#' d <- data.frame(person_id = 1, drug = "a", date = day + c(10, 50),
#'                 days_supply = 30)
#' x <- cohort(data.frame(person_id = 1), dispensings = d, new_users = "a",
#'             end = day + 300, washout = 0)
#' align_records(exposure_episodes(d), x)
align_records <- function(records, cohort) {
  if (!inherits(cohort, "cohort") || is.null(attr(cohort, "id"))) {
    abort_input("`cohort` must be a result of cohort() or outcomes().",
                x = sprintf("It is %s.", what_is(cohort)), arg = "cohort",
                code = "cohort")
  }
  id <- attr(cohort, "id")
  faults <- new_faults()
  check_table(records, "records")
  add_missing_columns(faults, setdiff(c(id, "start", "stop"), names(records)),
                      names(records), "records")
  stop_for_faults(faults)
  ids <- claims_id(faults, records[[id]], id, "records")
  at <- person_rows(faults, ids, claims_id(faults, cohort[[id]], id, "cohort"),
                    id)
  kinds <- c(inherits(records$start, "Date"), inherits(records$stop, "Date"),
             inherits(cohort$origin, "Date"))
  if (length(unique(kinds)) > 1L) {
    add_fault(faults, "mixed_time",
              "Days must be dates in both tables, or numbers in both.",
              "Convert one of them, as with `as.Date()`.", table = "records")
  }
  stop_for_faults(faults)
  keep <- which(!is.na(at))
  records <- as.data.frame(records)[keep, , drop = FALSE]
  rownames(records) <- NULL
  if (attr(cohort, "time_scale") == "calendar") return(records)
  origin <- as.double(cohort$origin)[at[keep]]
  records$start <- as.double(records$start) - origin
  records$stop <- as.double(records$stop) - origin
  records
}
