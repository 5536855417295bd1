# Exposure terms: their settings, and their doses as records (start, stop].

# s: the arguments of one term; clock: "unit" or "continuous".
check_exposure_settings <- function(s, clock) {
  if (is.null(s$cutoff)) {
    abort_input("`cutoff` is missing.",
                i = "Give the number of past time units that can matter.",
                code = "cutoff")
  }
  s$clock <- clock
  s$order <- check_integer(s$order, "order", 1)
  s <- check_window_settings(s)
  s$basis <- check_word(s$basis, c("clamped", "WCE"), "basis")
  s$constrained <- constraint_word(constraint_ends(s$constrained))
  s$shape <- check_shape(s$shape)
  check_basis(s)
  check_smooth_term(s)
  if (is.null(s$nknots)) {
    s$nknots <- default_smooth_knots(s$n_lags, clock)
    if (!is.null(s$response$rough)) s$nknots <- min(s$nknots,
                                                    n_surface_lag_knots)
  }
  s$nknots <- sort(unique(check_integer(s$nknots, "nknots", 0, several = TRUE)))
  for (n_lags in s$n_lags) for (n in s$nknots) check_knots(s, n_lags, n)
  s
}

# cutoff and lag_in: whole on the unit clock. n_lags is the length of the window
# on both.
check_window_settings <- function(s) {
  unit <- s$clock == "unit"
  read <- if (unit) check_integer else check_number
  s$cutoff <- sort(unique(read(s$cutoff, "cutoff", if (unit) 1 else 1e-8,
                               several = TRUE)))
  s$lag_in <- read(s$lag_in, "lag_in", 0)
  s$n_lags <- s$cutoff - s$lag_in
  if (s$clock == "continuous") {
    if (min(s$n_lags) <= 0) {
      abort_input("`cutoff` must be longer than `lag_in`.",
                  x = sprintf("They are %s and %s.", format(s$cutoff[1L]),
                              format(s$lag_in)), code = "cutoff")
    }
    return(s)
  }
  least <- max(2L, s$order)
  if (min(s$n_lags) < least) {
    abort_input(
      sprintf("`cutoff` must leave at least %d lags for the weight function.",
              least),
      x = sprintf("With cutoff %d and lag_in %d there are %d.", s$cutoff[1L],
                  s$lag_in, s$n_lags[1L]),
      code = "cutoff"
    )
  }
  s
}

# The basis of the WCE package is cubic, with its own two constraints.
check_basis <- function(s) {
  if (s$basis != "WCE") return(invisible())
  plain <- isFALSE(s$constrained) ||
    identical(s$constrained, "right") || identical(s$constrained, "left")
  if (s$order != 4L || !plain || s$clock != "unit") {
    abort_input(
      paste("The basis of the WCE package is cubic, free or constrained at one",
            "end, on the unit clock."),
      x = sprintf("`order` is %d, `constrained` is %s, the clock is %s.",
                  s$order, paste(format(s$constrained), collapse = ", "),
                  s$clock),
      i = "Use `basis = \"clamped\"`.", arg = "basis", code = "basis"
    )
  }
}

check_knots <- function(s, n_lags, nknots) {
  knots <- if (s$clock == "unit") wce_knots(n_lags, nknots)
  if (anyDuplicated(knots) || any(knots <= 1 | knots >= n_lags)) {
    abort_input(
      sprintf("%d interior knots do not fit into %d lags.", nknots, n_lags),
      i = "Use fewer knots or a longer cutoff.", code = "too_many_knots"
    )
  }
  if (length(constrained_columns(nknots + s$order,
                                 constraint_ends(s$constrained),
                                 s$order)) == 0L) {
    abort_input(
      sprintf("With %s, `constrained` leaves nothing of the weight function.",
              count_of(nknots, "interior knot")),
      i = "Use more knots, a higher order, or constrain the value alone.",
      arg = "constrained", code = "constrained"
    )
  }
}

# Value: the dose of every row (doubles), or the name of a drug (a string), or
# NULL after a fault.
read_dose <- function(s, faults, data, env, people) {
  e <- eval(s$e, data, env)
  if (rlang::is_string(e)) return(e)
  if (is.null(dim(e)) && length(e) == nrow(data) &&
        (is.numeric(e) || is.logical(e))) {
    return(dose_column(faults, e, rlang::as_label(s$e), "data"))
  }
  abort_input(
    sprintf("`%s` must be the dose of each row, or the name of one drug.",
            s$label),
    x = sprintf("It is %s; `data` has %d rows.", what_is(e), nrow(data)),
    code = "exposure"
  )
}

# ---- records ----------------------------------------------------------------

# Checked records: list(subject, start, stop, dose, drug, order).
read_dispensings <- function(faults, records, id, people, settings, doses) {
  book <- list(
    n = nrow(records),
    start = time_column(faults, records$start, "start", "records"),
    stop = time_column(faults, records$stop, "stop", "records"),
    dose = dose_column(faults, records$dose, "dose", "records"),
    drug = records$drug
  )
  ids <- id_values(faults, records[[id]], id, "records")
  if (!is.null(people$subject)) {
    book$subject <- match_subjects(faults, ids, people$subject, id)
  }
  check_drug_column(faults, records, doses)
  backward <- which(book$stop <= book$start)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "Stop must be later than start: a record is (start, stop].",
              "A dispensing on day D for n days is (D, D + n].", backward,
              "records")
  }
  kinds <- c(attr(people$stop, "kind"), attr(book$start, "kind"),
             attr(book$stop, "kind"))
  if (length(unique(kinds)) > 1L) {
    add_fault(faults, "mixed_time",
              "Times in `data` and `records` must all be dates or all numbers.",
              "Convert one of them, as `as.Date(start)`.", table = "records")
  }
  book
}

check_drug_column <- function(faults, records, doses) {
  if (!any(vapply(doses, is.character, NA))) return(invisible())
  if (is.null(records$drug)) {
    add_missing_columns(faults, "drug", names(records), "records")
  } else if (anyNA(records$drug)) {
    add_fault(faults, "missing_values",
              "Column `drug` must have no missing values.",
              "Remove these records.", which(is.na(records$drug)), "records")
  }
}

# ---- one term ---------------------------------------------------------------

exposure_term <- function(s, dose, people, book, follow_up) {
  check_joint(s, dose)
  records <- if (is.character(dose)) {
    own <- joint_records(s, drug_records(s, dose, book), book)
    own_records(s, own, book, people)
  } else {
    join_doses(people$subject$code, people$start, people$stop,
               own_row_doses(s, dose), people$order)
  }
  check_window(s, records, follow_up)
  sorted <- if (is_sorted_within(records$subject, records$start)) {
    integer()
  } else {
    order(records$subject, records$start, method = "radix")
  }
  # The first event can be one unit after entry, or as soon as you like.
  window <- max(s$n_lags) + if (s$clock == "unit") 0 else 1
  scan <- scan_records(records$subject, records$start + s$lag_in,
                       records$stop + s$lag_in, follow_up$entry,
                       follow_up$exit, window, sorted)
  check_one_at_a_time(s, as.integer(scan$n_overlapping))
  inside <- scan$place == 0L & records$dose != 0
  counts <- list(
    given = records$given %||% length(inside), used = sum(inside),
    other_people = records$other_people %||% 0L,
    outside_window = sum(scan$place != 0L),
    overlapping = as.integer(scan$n_overlapping)
  )
  keep <- if (all(inside)) TRUE else which(inside)
  c(s, list(
    subject = records$subject[keep], start = records$start[keep] + s$lag_in,
    stop = records$stop[keep] + s$lag_in, dose = records$dose[keep],
    counts = counts, from_records = is.character(dose)
  ))
}

drug_records <- function(s, drug, book) {
  if (is.null(book)) {
    abort_input(
      sprintf("`%s` names a drug, but there are no records.", s$label),
      i = "Give the dispensings as `records =`.", code = "no_records"
    )
  }
  of_drug <- which(as.character(book$drug) == drug)
  known <- of_drug[!is.na(book$subject[of_drug])]
  if (length(known) == 0L) {
    abort_input(
      sprintf("No record matches `%s`.", s$label),
      x = sprintf(
        paste("`records` has %s rows: %s of this drug, %s of them of people",
              "in `data`."),
        format(book$n, big.mark = ","), format(length(of_drug), big.mark = ","),
        "none"
      ),
      i = "Check the spelling in `records$drug`, and that ids agree.",
      code = "no_records"
    )
  }
  list(subject = book$subject[known], start = as.double(book$start[known]),
       stop = as.double(book$stop[known]), dose = book$dose[known],
       row = known, given = length(of_drug),
       other_people = length(of_drug) - length(known))
}

# The oldest lag must fall inside the longest history of a patient.
check_window <- function(s, records, follow_up) {
  first <- follow_up$entry
  if (length(records$start)) {
    oldest <- order(records$start, decreasing = TRUE)
    begin <- rep(Inf, length(first))
    begin[records$subject[oldest]] <- records$start[oldest]
    first <- pmin(first, begin)
  }
  longest <- max(follow_up$exit - first)
  if (max(s$cutoff) > longest) {
    abort_input(
      "`cutoff` must not be longer than the longest history of a patient.",
      x = sprintf("It is %s; the longest history has %s time units.",
                  format(max(s$cutoff)), format(longest)),
      code = "cutoff"
    )
  }
}
