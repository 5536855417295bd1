# Rows of people cut by the time since their first use of a drug.

#' Rows cut at times since the first use
#'
#' Cuts the rows (start, stop] of people where the time since their first use
#' of a drug passes one of the `breaks`, so that it can be a covariate: at most
#' one row more for each break, whatever the number of days. For a smooth
#' effect of the time since the first use, without any cut, see
#' `exposure("drug", first = TRUE)`.
#'
#' The unit that begins with the first use, (f, f + 1], is 1 time unit since
#' it, as lag 1 of [wce()]; a class "(0,30]" is the first 30 of them. The first
#' use is that of `records`: with records from cohort entry on, prevalent users
#' begin there too. Records without a dose are no use.
#'
#' @param data Data frame of rows (start, stop].
#' @param records Data frame of dispensings: the id column, `start`, and `dose`
#'   and `drug` if there are any.
#' @param id,start,stop,event Names of columns of `data`. `event` keeps its
#'   value in the last row of those that a row is cut into, and is 0 (or FALSE)
#'   in the others.
#' @param drug A value of `records$drug`; `NULL`: all records.
#' @param breaks Rising times since the first use, the first usually 0.
#' @param name Name of the new column.
#' @return `data` with more rows, in their order, and a factor `name`: "never"
#'   up to the first use (and its first break), then "(0,30]", ..., "(90,Inf]".
#' @section Errors: `vigitensor_error_missing_column`,
#'   `vigitensor_error_first_use`.
#' @seealso [exposure()]
#' @export
#' @examples
#' rows <- since_first_use(claims_people, claims_dispensings, id = "person_id",
#'                         start = "entry", stop = "exit", event = "event",
#'                         drug = "drug_a", breaks = c(0, 30, 90))
#' table(rows$since_first)
since_first_use <- function(data, records, id, start = "start", stop = "stop",
                            event = "event", drug = NULL, breaks = c(0, 30, 90),
                            name = "since_first") {
  check_table(data, "data")
  check_table(records, "records")
  faults <- new_faults()
  add_missing_columns(faults, setdiff(c(id, start, stop, event), names(data)),
                      names(data), "data")
  add_missing_columns(faults, setdiff(c(id, "start", if (!is.null(drug))
    "drug"), names(records)), names(records), "records")
  stop_for_faults(faults)
  fine <- is.numeric(breaks) && length(breaks) > 0L && all(is.finite(breaks)) &&
    all(breaks >= 0) && !is.unsorted(breaks, strictly = TRUE)
  if (!fine) {
    abort_input("`breaks` must be rising times, zero or more.",
                x = sprintf("It is %s.", what_is(breaks)), arg = "breaks",
                code = "first_use")
  }
  if (!is.null(drug)) {
    records <- records[!is.na(records$drug) & records$drug %in% drug, ,
                       drop = FALSE]
  }
  if (!is.null(records$dose)) {
    records <- records[!is.na(records$dose) & records$dose > 0, , drop = FALSE]
  }
  if (nrow(records) == 0L) {
    abort_input("No record is a use of this drug.", arg = "drug",
                i = "Check the spelling in `records$drug`.",
                code = "first_use")
  }
  from <- as.numeric(data[[start]])
  to <- as.numeric(data[[stop]])
  first <- first_of_each(records[[id]], as.numeric(records$start), data[[id]])
  if (anyNA(from) || anyNA(to) || anyNA(records$start) || any(to <= from)) {
    abort_input("Times must not be missing, and stop later than start.",
                arg = "data", code = "first_use")
  }
  # The stretches of a row between its breaks; most are empty.
  ends <- cbind(outer(first, breaks, `+`), Inf)
  ends[is.na(ends)] <- Inf
  lower <- pmax(cbind(-Inf, ends[, -ncol(ends), drop = FALSE]), from)
  upper <- pmin(ends, to)
  lower[] <- pmin(lower, upper)
  kept <- which(t(upper > lower))
  n_classes <- ncol(ends)
  row <- (kept - 1L) %/% n_classes + 1L
  class <- (kept - 1L) %% n_classes + 1L
  out <- data[row, , drop = FALSE]
  rownames(out) <- NULL
  at <- cbind(row, class)
  out[[start]] <- like_time(lower[at], data[[start]])
  out[[stop]] <- like_time(upper[at], data[[stop]])
  last <- c(row[-1L] != row[-length(row)], TRUE)
  out[[event]][!last] <- if (is.logical(data[[event]])) FALSE else 0L
  limits <- c(format(breaks, trim = TRUE), "Inf")
  labels <- c("never", sprintf("(%s,%s]", limits[-length(limits)], limits[-1L]))
  out[[name]] <- factor(labels[class], labels)
  out
}

# The earliest time of each person.
first_of_each <- function(id, time, wanted) {
  sorted <- order(time, method = "radix")
  time[sorted][match(wanted, id[sorted])]
}

like_time <- function(x, pattern) {
  if (inherits(pattern, "Date")) return(as.Date(x, origin = "1970-01-01"))
  if (is.integer(pattern) && all(x == floor(x))) return(as.integer(x))
  x
}
