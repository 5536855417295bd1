# Every error and warning of the package is made here, so that each has a class
# that a script can catch and data it can look up.
#
#   vigitensor_error                        all of them
#     vigitensor_error_<code>               one kind of fault
#   vigitensor_warning > vigitensor_warning_<code>
#
# Several faults of one data set are collected (new_faults(), add_fault()) and
# signalled together: the condition then carries the class of each fault, and
# `$faults`, a data frame with one row per fault, and `$rows`, a named list of
# row numbers. Messages name columns, row numbers and counts; never the ids,
# dates or values of patients.

abort_input <- function(message, ..., code = "input", arg = NULL, rows = NULL,
                        call = NULL) {
  rlang::abort(
    c(message, ...),
    class = c(paste0("vigitensor_error_", code), "vigitensor_error"),
    arg = arg, rows = rows, call = call, use_cli_format = TRUE
  )
}

warn_user <- function(message, ..., code, data = list()) {
  rlang::warn(
    c(message, ...),
    class = c(paste0("vigitensor_warning_", code), "vigitensor_warning"),
    !!!data, use_cli_format = TRUE
  )
}

# ---- several faults at once -------------------------------------------------

new_faults <- function() {
  faults <- new.env(parent = emptyenv())
  faults$list <- list()
  faults
}

# code: the fault's name; message: what was expected and what came; fix: what to
# do; rows: row numbers of the user's own table; table: its argument name.
add_fault <- function(faults, code, message, fix = NULL, rows = integer(),
                      table = "data") {
  faults$list[[length(faults$list) + 1L]] <- list(
    code = code, message = message, fix = fix, rows = rows, table = table
  )
  invisible(faults)
}

any_faults <- function(faults) length(faults$list) > 0L

# Row numbers for a message: the first few, and how many there are.
format_rows <- function(rows, most = 5L) {
  n <- length(rows)
  shown <- paste(format(utils::head(rows, most), big.mark = ",", trim = TRUE),
                 collapse = "; ")
  if (n > most) shown <- paste0(shown, "; ...")
  sprintf("%s %s (%s in all)", if (n == 1L) "row" else "rows", shown,
          format(n, big.mark = ","))
}

stop_for_faults <- function(faults, call = NULL) {
  if (!any_faults(faults)) return(invisible())
  found <- faults$list
  codes <- vapply(found, `[[`, "", "code")
  bullets <- unlist(lapply(found, function(f) {
    at <- if (length(f$rows)) {
      sprintf(" [`%s`, %s]", f$table, format_rows(f$rows))
    }
    c(x = paste0(f$message, at), if (!is.null(f$fix)) c(i = f$fix))
  }))
  head <- if (length(found) == 1L) "The data cannot be used as they are." else {
    sprintf("The data cannot be used as they are: %d faults.", length(found))
  }
  rows <- lapply(found, `[[`, "rows")
  names(rows) <- codes
  rlang::abort(
    c(head, bullets),
    class = c(unique(paste0("vigitensor_error_", codes)),
              "vigitensor_error_data", "vigitensor_error"),
    faults = data.frame(
      code = codes, table = vapply(found, `[[`, "", "table"),
      message = vapply(found, `[[`, "", "message"), n_rows = lengths(rows)
    ),
    rows = rows, call = call, use_cli_format = TRUE
  )
}
