# Checks of what cox() is given. Faults of the data are collected where
# survival::coxph would drop rows or go on in silence, and reported together.

# ---- the response -----------------------------------------------------------

# surv: the columns start (or NULL), stop, event of a plain Surv(), evaluated;
# labels: how the user wrote them; keep: rows that `subset` leaves. Missing
# values are na.action's matter. Value: TRUE when the events are a factor with
# several states, which this is not the place to judge.
check_surv <- function(faults, surv, labels, keep = NULL) {
  if (is.factor(surv$event)) return(TRUE)
  for (name in intersect(c("start", "stop"), names(surv))) {
    check_surv_time(faults, surv[[name]], labels[[name]], keep)
  }
  check_surv_event(faults, surv$event, labels[["event"]], keep)
  if (is.numeric(surv$start) && is.numeric(surv$stop) &&
        length(surv$start) == length(surv$stop)) {
    rows <- kept_rows(surv$stop <= surv$start, keep)
    if (length(rows)) {
      add_fault(faults, "stop_before_start",
                "Stop must be later than start: a row is (start, stop].",
                paste("Somebody who enters and leaves on one day is (day,",
                      "day + 1]."), rows)
    }
  }
  FALSE
}

# Row numbers where a condition holds, of the rows in use.
kept_rows <- function(condition, keep) {
  if (!is.null(keep)) condition <- condition & keep
  which(condition)
}

check_surv_time <- function(faults, x, label, keep) {
  if (!is.numeric(x) && !inherits(x, "difftime") || is_integer64(x)) {
    add_fault(faults, "non_numeric",
              sprintf("Times in `%s` must be numbers; it is %s.", label,
                      what_is(x)),
              "Convert it with `as.numeric()`; dates become days.")
    return(invisible())
  }
  if (is.finite(sum(x))) return(invisible())
  rows <- kept_rows(is.infinite(x), keep)
  if (length(rows)) {
    add_fault(faults, "infinite_values",
              sprintf("Times in `%s` must be finite.", label),
              "An open end is the last day on which the person was seen.",
              rows)
  }
}

# 0/1, FALSE/TRUE or, as Surv() reads them, 1/2.
check_surv_event <- function(faults, x, label, keep) {
  if (is.logical(x)) return(invisible())
  if (!is.numeric(x) || is.object(x)) {
    add_fault(faults, "non_numeric",
              sprintf("The event `%s` must be 0/1 or FALSE/TRUE; it is %s.",
                      label, what_is(x)),
              "Make it a comparison, as `status == \"dead\"`.")
    return(invisible())
  }
  values <- if (all(x == 0 | x == 1, na.rm = TRUE)) 0:1 else 1:2
  rows <- kept_rows(x != values[1L] & x != values[2L] & !is.na(x), keep)
  if (length(rows) && values[1L] == 1L) {
    rows <- kept_rows(x != 0 & x != 1 & !is.na(x), keep)
  }
  if (length(rows)) {
    add_fault(faults, "event_values",
              sprintf("The event `%s` must be 0 or 1.", label),
              "Make it a comparison, as `status == 2`.", rows)
  }
}

# ---- everything else --------------------------------------------------------

# design: see cox_design(); rows: the row numbers of `data` that it holds.
check_cox_design <- function(faults, design, rows = NULL) {
  of_data <- function(bad) if (is.null(rows)) bad else rows[bad]
  check_cox_matrix(faults, design$x, design$labels, of_data)
  check_cox_weights(faults, design$weights, of_data)
  offset <- design$offset
  if (!is.null(offset) && !is.finite(sum(exp(offset)))) {
    bad <- which(!is.finite(offset) | !is.finite(exp(offset)))
    add_fault(faults, "infinite_values",
              "The offset must give every row a finite risk.",
              "It is a log hazard ratio: take the logarithm, or scale it.",
              of_data(bad))
  }
}

check_cox_weights <- function(faults, weights, of_data) {
  if (is.null(weights)) return(invisible())
  if (!is.numeric(weights)) {
    add_fault(faults, "weights", sprintf("`weights` must be numbers; it is %s.",
                                         what_is(weights)))
    return(invisible())
  }
  bad <- which(!is.finite(weights) | weights <= 0)
  if (length(bad)) {
    add_fault(faults, "weights", "`weights` must be positive and finite.",
              "Leave out rows that should not count, with `subset`.",
              of_data(bad))
  }
}

# The sum of finite numbers is finite, short of overflow, and is quick.
check_cox_matrix <- function(faults, x, labels, of_data) {
  if (is.finite(sum(x))) return(invisible())
  for (k in seq_len(ncol(x))) {
    bad <- which(!is.finite(x[, k]))
    if (length(bad) == 0L) next
    add_fault(faults, if (anyNA(x[, k])) "missing_values" else
      "infinite_values",
      sprintf("The covariate `%s` is not a finite number.", labels[k]),
      "Is it a logarithm or a ratio of a column with zeros?", of_data(bad))
  }
}

# The numbers of a Surv matrix in one vector. Its row names are strings that
# have not been made yet, and `[` would make them.
bare_values <- function(y) {
  attributes(y) <- NULL
  y
}

surv_status <- function(y) {
  utils::tail(bare_values(y), nrow(y))
}

check_cox_size <- function(design, n_given) {
  if (nrow(design$y) == 0L) {
    abort_input(
      "There is no row to fit.",
      x = sprintf("All %s rows were left out by missing values or `subset`.",
                  format(n_given, big.mark = ",")),
      code = "empty_data"
    )
  }
  if (sum(surv_status(design$y)) == 0) {
    abort_input("There is no event in the data.",
                x = "Every row has event 0.",
                i = "Is the event coded 1, or TRUE?", code = "no_event")
  }
}

# ---- settings ---------------------------------------------------------------

# What coxph takes and cox() hands over or reads itself, besides its own
# arguments.
cox_dots <- c("method", "singular.ok", "nocenter", "tt", "istate", "statedata")

check_cox_dots <- function(names, known) {
  names[is.na(names)] <- ""
  unknown <- names[!names %in% c(cox_dots, control_names())]
  if (length(unknown)) {
    values <- stats::setNames(as.list(rep(NA, length(unknown))), unknown)
    do.call(check_no_more,
            c(values, list(known = c(known, cox_dots, control_names()))))
  }
}

control_names <- function() names(formals(survival::coxph.control))

# control: a list, complete or not; given: settings that came as arguments.
# Value: a complete list, with `given`, the names that the user set.
check_cox_control <- function(control, given) {
  if (!is.null(control) && !is.list(control)) {
    abort_input("`control` must be a list, as `coxph.control()` makes it.",
                x = sprintf("It is %s.", what_is(control)), code = "control")
  }
  settings <- utils::modifyList(as.list(control), given)
  unknown <- setdiff(names(settings), control_names())
  if (length(unknown) || length(settings) && is.null(names(settings))) {
    abort_input("`control` has settings that `coxph.control()` does not have.",
                x = sprintf("Unknown: %s.", paste0("`", unknown, "`",
                                                   collapse = ", ")),
                i = sprintf("It has: %s.", paste0("`", control_names(), "`",
                                                  collapse = ", ")),
                code = "control")
  }
  full <- tryCatch(
    do.call(survival::coxph.control, settings),
    error = function(e) abort_input("`control` cannot be used.",
                                    x = conditionMessage(e), code = "control")
  )
  c(full, list(given = names(settings)))
}

check_flag <- function(x, name) {
  if (rlang::is_bool(x)) return(x)
  abort_input(sprintf("`%s` must be TRUE or FALSE.", name),
              x = sprintf("It is %s.", what_is(x)), arg = name, code = name)
}
