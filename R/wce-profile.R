# Dose histories as users write them -> a k x cutoff matrix, newest first.

#' Dose history of a course of treatment
#'
#' Writes the vector that [hazard_ratio()] reads: doses per time unit, newest
#' first. "A course of `days = 3` begun `began = 5` days ago" is
#'
#'     now
#'      |<- 1 ->|<- 2 ->|<- 3 ->|<- 4 ->|<- 5 ->|   lag
#'      |   0   |   0   | dose  | dose  | dose  |
#'                              ended ^         ^ began
#'
#' that is, the doses at lags 5, 4 and 3. A course longer than the time since it
#' began is still going on: it fills the lags from `began` to 1. What lies
#' beyond the cutoff is left out.
#'
#' @param days Length of the course, in time units of the data: whole, at
#'   least 1.
#' @param began How long ago it began: the lag of its first unit, whole, at
#'   least 1.
#' @param dose Dose per time unit, not negative.
#' @param cutoff Length of the window, that of the model: the length of the
#'   result.
#'
#'   `days`, `began` and `dose` may be vectors, one element for each of several
#'   courses (those of length 1 serve all): their doses add.
#' @return A numeric vector of length `cutoff`.
#' @section Errors: `vigitensor_error_profile`.
#' @export
#' @examples
#' dose_profile(days = 3, began = 5, cutoff = 8)
#' # two courses
#' dose_profile(days = 3, began = c(10, 4), dose = c(1, 2), cutoff = 12)
dose_profile <- function(days = 10, began = days, dose = 1, cutoff) {
  if (missing(cutoff)) {
    abort_input("`cutoff` is needed: the length of the model's window.",
                code = "profile", arg = "cutoff")
  }
  check_whole(days, "days", least = 1)
  check_whole(began, "began", least = 1)
  check_doses(dose, "dose")
  check_whole(cutoff, "cutoff", least = 1, most_length = 1L)
  n <- max(length(days), length(began), length(dose))
  lengths <- c(days = length(days), began = length(began), dose = length(dose))
  wrong <- lengths != 1L & lengths != n
  if (any(wrong)) {
    abort_input(
      "`days`, `began` and `dose` must have one element, or one per course.",
      x = sprintf("Their lengths are %s.", format_list(lengths)),
      code = "profile"
    )
  }
  sum_over_lags(from = rep_len(began - days + 1, n), to = rep_len(began, n),
                dose = rep_len(dose, n), cutoff = cutoff)
}

# Doses by lag 1..cutoff of pieces that each cover the lags from..to.
sum_over_lags <- function(from, to, dose, cutoff) {
  from <- pmax(from, 1)
  to <- pmin(to, cutoff)
  profile <- numeric(cutoff)
  for (k in which(from <= to)) {
    lags <- from[k]:to[k]
    profile[lags] <- profile[lags] + dose[k]
  }
  profile
}

# x: see hazard_ratio(). Value: matrix with a row per history, named.
read_profiles <- function(x, cutoff, at, arg) {
  if (is.data.frame(x)) {
    records <- read_records(x, at, arg)
    rows <- lapply(as.numeric(at), function(t) {
      records_to_lags(records, t, cutoff)
    })
    names(rows) <- if (length(at) > 1L) paste("at", at)
  } else if (is.list(x)) {
    if (!length(x)) stop_empty_profile(arg)
    rows <- lapply(seq_along(x), function(k) {
      one <- read_profiles(x[[k]], cutoff, at, sprintf("%s[[%d]]", arg, k))
      if (nrow(one) != 1L) {
        abort_input(
          sprintf("`%s[[%d]]` must be one history.", arg, k),
          x = sprintf("It holds %d.", nrow(one)), code = "profile", arg = arg
        )
      }
      one[1L, ]
    })
    names(rows) <- names(x)
  } else if (is.matrix(x)) {
    check_doses(x, arg)
    rows <- lapply(seq_len(nrow(x)), function(k) {
      fit_to_window(x[k, ], cutoff, arg)
    })
    names(rows) <- rownames(x)
  } else {
    check_doses(x, arg)
    rows <- list(if (length(x) == 1L) rep(as.numeric(x), cutoff) else {
      fit_to_window(x, cutoff, arg)
    })
  }
  labels <- names(rows) %||% rep("", length(rows))
  unnamed <- is.na(labels) | labels == ""
  labels[unnamed] <- seq_along(rows)[unnamed]
  matrix(unlist(rows), nrow = length(rows), ncol = cutoff, byrow = TRUE,
         dimnames = list(labels, NULL))
}

# Older doses that are not given are zero; those beyond the window must be.
fit_to_window <- function(doses, cutoff, arg) {
  doses <- as.numeric(doses)
  beyond <- if (length(doses) > cutoff) doses[-seq_len(cutoff)]
  if (any(beyond != 0)) {
    abort_input(
      sprintf("`%s` must have at most %s doses, one per lag of the window.",
              arg, format_count(cutoff)),
      x = sprintf("It has %s, and not all beyond the cutoff are zero.",
                  format_count(length(doses))),
      i = "Older doses have no effect in this model: leave them out.",
      code = "profile", arg = arg
    )
  }
  c(doses, numeric(max(0, cutoff - length(doses))))[seq_len(cutoff)]
}

# Unit (x, x + 1] has lag t - x: (start, stop] covers lags t - stop + 1 to
# t - start.
records_to_lags <- function(records, t, cutoff) {
  sum_over_lags(from = t - records$stop + 1, to = t - records$start,
                dose = records$dose, cutoff = cutoff)
}

# Dates are day numbers, but not beside plain numbers.
read_records <- function(records, at, arg, whole = TRUE) {
  needed <- c("start", "stop", "dose")
  absent <- setdiff(needed, names(records))
  if (length(absent)) {
    abort_input(
      sprintf("`%s`, a data frame of records, must have columns %s.", arg,
              format_list(needed)),
      x = sprintf("It lacks %s.", format_list(absent)),
      code = "profile", arg = arg
    )
  }
  if ("drug" %in% names(records) && length(unique(records$drug)) > 1L) {
    abort_input(
      sprintf("`%s` must hold records of one drug.", arg),
      x = sprintf("Its column `drug` has %d values.",
                  length(unique(records$drug))),
      i = "Take the rows of the drug that `term` stands for.",
      code = "profile", arg = arg
    )
  }
  is_date <- vapply(list(records$start, records$stop, at), inherits, NA, "Date")
  if (any(is_date) && !all(is_date)) {
    abort_input(
      sprintf("Times of `%s` and `at` must be all dates or all numbers.", arg),
      x = paste("Dates:", format_list(c("start", "stop", "at")[is_date])),
      code = "profile", arg = arg
    )
  }
  n_records <- nrow(records)
  records <- list(start = undate(records$start), stop = undate(records$stop),
                  dose = records$dose)
  if (n_records) {
    for (column in c("start", "stop")) {
      check_whole(records[[column]], paste0(arg, "$", column), least = -Inf,
                  whole = whole)
    }
    check_doses(records$dose, paste0(arg, "$dose"))
  }
  reversed <- which(records$stop <= records$start)
  if (length(reversed)) {
    abort_input(
      sprintf("Each record of `%s` must stop after it starts.", arg),
      x = sprintf("Not so in %s.", format_rows(reversed)),
      code = "profile", arg = arg, rows = reversed
    )
  }
  records
}

# `at` belongs to records: needed with them, a mistake without.
check_at <- function(at, profile, reference, whole = TRUE) {
  parts <- c(if (is_plain_list(profile)) profile else list(profile),
             if (is_plain_list(reference)) reference else list(reference))
  has_records <- any(vapply(parts, is.data.frame, NA))
  if (has_records && is.null(at)) {
    abort_input(
      "`at` is needed with records: the time at which hazards are compared.",
      code = "profile", arg = "at"
    )
  }
  if (!has_records && !is.null(at)) {
    abort_input(
      "`at` is for histories given as records (a data frame) only.",
      i = "Doses in a vector are counted back from now: lag 1 first.",
      code = "profile", arg = "at"
    )
  }
  if (has_records) check_whole(undate(at), "at", least = -Inf, whole = whole)
}

undate <- function(x) if (inherits(x, "Date")) as.numeric(x) else x

is_plain_list <- function(x) is.list(x) && !is.data.frame(x)

stop_empty_profile <- function(arg) {
  abort_input(sprintf("`%s` must have at least one dose; it is empty.", arg),
              code = "profile", arg = arg)
}

check_doses <- function(x, arg) {
  if (!is.numeric(x) || is.object(x)) {
    abort_input(
      sprintf("`%s` must be numeric: doses per time unit.", arg),
      x = sprintf("It is of class <%s>.", class(x)[1L]),
      code = "profile", arg = arg
    )
  }
  if (!length(x)) stop_empty_profile(arg)
  bad <- which(!is.finite(x) | x < 0)
  if (length(bad)) {
    abort_input(
      sprintf("The doses in `%s` must be finite and not negative.", arg),
      x = sprintf("%s of %s %s not.", format_count(length(bad)),
                  format_count(length(x)),
                  if (length(bad) == 1L) "is" else "are"),
      code = "profile", arg = arg, rows = bad
    )
  }
}

check_whole <- function(x, arg, least, most_length = Inf, whole = TRUE) {
  if (!is.numeric(x) || is.object(x)) {
    abort_input(
      sprintf("`%s` must be numeric.", arg),
      x = sprintf("It is of class <%s>.", class(x)[1L]),
      code = "profile", arg = arg
    )
  }
  bad <- which(!is.finite(x) | (whole & x != round(x)) | x < least)
  if (!length(x) || length(x) > most_length || length(bad)) {
    abort_input(
      sprintf("`%s` must be %s%s.", arg,
              if (!whole) "finite numbers" else if (most_length == 1)
                "one whole number" else "whole numbers",
              if (is.finite(least)) paste(" of at least", least) else ""),
      x = if (length(bad)) {
        sprintf("%s of %s %s not.", format_count(length(bad)),
                format_count(length(x)),
                if (length(bad) == 1L) "is" else "are")
      },
      code = "profile", arg = arg, rows = bad
    )
  }
}
