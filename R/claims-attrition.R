# Whom each step of a selection excludes.

# An environment, as steps are noted where they are taken.
new_attrition <- function(n, step) {
  steps <- new.env(parent = emptyenv())
  steps$table <- data.frame(step = step, n_left = n, n_excluded = 0L,
                            events = NA_integer_)
  steps
}

# person: of the candidates that are left, several of a person possible.
note_step <- function(steps, person, step, events = NA_integer_) {
  n <- length(unique(person))
  before <- steps$table$n_left[nrow(steps$table)]
  steps$table <- rbind(steps$table, data.frame(
    step = step, n_left = n, n_excluded = before - n, events = events
  ))
}

#' Whom each step of a selection excluded
#'
#' @param x A result of [cohort()] or [outcomes()].
#' @param min_cell Counts below this are not shown. As the people left and
#'   excluded give each other away, a step that excludes fewer is put together
#'   with the next one. 0: all is shown.
#' @return A data frame of class `attrition`, one row per step: `step`,
#'   `n_left` and `n_excluded` (people), `events` (among those left; `NA`
#'   before [outcomes()], or where suppressed).
#' @export
#' @examples
#' people <- data.frame(person_id = 1:100,
#'                      birth_date = as.Date("1990-01-01") + 1:100 * 100)
#' x <- cohort(people, start = as.Date("2020-01-01"),
#'             end = as.Date("2020-12-31"), age = c(18, 80))
#' attrition(x)
attrition <- function(x, min_cell = 10) {
  table <- attr(x, "attrition")
  if (is.null(table)) {
    abort_input("`x` must be a result of cohort() or outcomes().",
                x = sprintf("It is %s.", what_is(x)), arg = "x",
                code = "cohort")
  }
  min_cell <- check_integer(min_cell, "min_cell", 0)
  structure(suppress_attrition(table, min_cell), min_cell = min_cell,
            class = c("attrition", "data.frame"))
}

suppress_attrition <- function(table, min_cell) {
  n <- nrow(table)
  small <- function(k) k > 0 & k < min_cell
  if (n > 1L && small(table$n_left[n])) {
    # What is left is itself too small: nothing between may be shown.
    table$n_left[-1L] <- NA
    table$n_excluded[-1L] <- NA
    table$events <- NA
    return(table)
  }
  k <- 2L
  while (k <= nrow(table)) {
    if (!small(table$n_excluded[k])) {
      k <- k + 1L
      next
    }
    # Together with the next step; the last one with the one before it.
    with <- if (k < nrow(table)) k + 1L else k - 1L
    if (with == 1L) {
      table[k, c("n_left", "n_excluded", "events")] <- NA
      break
    }
    pair <- sort(c(k, with))
    table$step[pair[2L]] <- paste(table$step[pair], collapse = "; ")
    table$n_excluded[pair[2L]] <- sum(table$n_excluded[pair])
    table <- table[-pair[1L], ]
    k <- min(pair)
  }
  table$events[which(small(table$events))] <- NA
  rownames(table) <- NULL
  table
}

#' @export
print.attrition <- function(x, ...) {
  cell <- function(n) ifelse(is.na(n), "-", format_count(n))
  shown <- data.frame(left = cell(x$n_left), excluded = cell(x$n_excluded))
  if (!all(is.na(x$events))) shown$events <- cell(x$events)
  shown$excluded[1L] <- ""
  shown$step <- formatC(x$step, flag = "-", width = max(nchar(x$step)))
  print.data.frame(shown, row.names = FALSE, right = TRUE)
  invisible(x)
}
