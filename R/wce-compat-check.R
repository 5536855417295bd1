# What WCE() and checkWCE() ask of their arguments and of the data.
#
# Settings and column names stop at once; faults of the data are collected, so
# that all are reported together (see conditions.R).

# ---- arguments --------------------------------------------------------------

# ... : name = is it missing?
compat_need <- function(...) {
  is_missing <- c(...)
  if (!any(is_missing)) return(invisible())
  names <- names(is_missing)[is_missing]
  abort_input(
    sprintf("%s must be given.", paste0("`", names, "`", collapse = ", ")),
    i = "Columns are given by name, as `id = \"Id\"`.",
    arg = names[1L], code = "missing_argument"
  )
}

# The settings of one call, checked; `constrained` in WCE's own spelling.
compat_spec <- function(analysis, nknots, cutoff, constrained, aic, matched_set,
                        controls) {
  if (!identical(analysis, "Cox")) {
    abort_input("`analysis` must be \"Cox\".",
                i = "Case-control analyses are not available.",
                arg = "analysis", code = "analysis")
  }
  if (!is.null(matched_set)) {
    abort_input("`MatchedSet` must be NULL.",
                i = "It belongs to case-control analyses.",
                arg = "MatchedSet", code = "analysis")
  }
  if (!isTRUE(aic) && !isFALSE(aic)) {
    abort_input("`aic` must be TRUE or FALSE.",
                x = sprintf("It is %s.", what_is(aic)),
                arg = "aic", code = "aic")
  }
  nknots <- sort(unique(check_integer(nknots, "nknots", 1, several = TRUE)))
  cutoff <- check_integer(cutoff, "cutoff", 1)
  side <- check_constrained(constrained)
  knots <- lapply(nknots, function(n) wce_knots(cutoff, n))
  list(
    nknots = nknots, cutoff = cutoff, aic = aic, side = side,
    constrained = switch(as.character(side), "FALSE" = FALSE, right = "Right",
                         left = "Left"),
    knots = knots,
    all_knots = lapply(knots, function(inner) {
      wce_all_knots(cutoff, inner, "WCE")
    }),
    control = compat_control(controls)
  )
}

# coxph.control() -> the engine's settings. The change of the log-likelihood at
# which coxph may stop (`eps`) is not passed on: a fit always runs to the
# optimum, where every looser rule is met as well.
compat_control <- function(controls) {
  control <- wce_control()
  if (is.null(controls)) return(control)
  known <- names(formals(survival::coxph.control))
  unknown <- setdiff(names(controls), known)
  if (!is.list(controls) || is.null(names(controls)) || length(unknown)) {
    abort_input(
      "`controls` must be a list as made by survival::coxph.control().",
      x = if (length(unknown)) {
        sprintf("Unknown: %s.", paste0("`", unknown, "`", collapse = ", "))
      } else {
        sprintf("It is %s.", what_is(controls))
      },
      arg = "controls", code = "controls"
    )
  }
  # Checks the values as coxph would.
  controls <- tryCatch(
    do.call(survival::coxph.control, controls),
    error = function(e) {
      abort_input("`controls` was refused by survival::coxph.control().",
                  x = conditionMessage(e), arg = "controls", code = "controls")
    }
  )
  wce_control(max_iter = max(1, controls$iter.max),
              tol_singular = controls$toler.chol)
}

# Every name must be a column. Value: the covariates' names, NULL for none.
compat_columns <- function(data, roles, covariates = NULL) {
  if (!is.data.frame(data)) {
    abort_input("`data` must be a data frame.",
                x = sprintf("It is %s.", what_is(data)),
                arg = "data", code = "data_type")
  }
  for (role in names(roles)) {
    if (!rlang::is_string(roles[[role]])) {
      abort_input(
        sprintf("`%s` must be the name of a column, as a string.", role),
        x = sprintf("It is %s.", what_is(roles[[role]])),
        arg = role, code = "missing_column"
      )
    }
  }
  if (!is.null(covariates) && !is.character(covariates)) {
    abort_input("`covariates` must be names of columns, or NULL.",
                x = sprintf("It is %s.", what_is(covariates)),
                arg = "covariates", code = "missing_column")
  }
  absent <- setdiff(c(unlist(roles), covariates), names(data))
  if (length(absent)) {
    where <- c(names(roles)[roles %in% absent],
               if (any(covariates %in% absent)) "covariates")
    abort_input(
      sprintf("`data` has no column %s.",
              paste0("`", absent, "`", collapse = ", ")),
      x = sprintf("It was named by %s.",
                  paste0("`", where, "`", collapse = ", ")),
      i = sprintf("The columns are %s.",
                  paste0("`", names(data), "`", collapse = ", ")),
      arg = where[1L], code = "missing_column"
    )
  }
  if (anyDuplicated(covariates)) {
    abort_input("Each of `covariates` must be given once.",
                x = sprintf("`%s` comes twice.",
                            covariates[duplicated(covariates)][1L]),
                arg = "covariates", code = "duplicated_covariate")
  }
  if (length(covariates)) covariates
}

compat_check_cutoff <- function(spec, longest) {
  # One row more than the longest follow-up is let through, as in WCE.
  if (spec$cutoff <= longest + 1) return(invisible())
  abort_input(
    "`cutoff` must not exceed the longest follow-up.",
    x = sprintf("It is %s; the longest follow-up has %s.",
                format_count(spec$cutoff), count_of(longest, "row")),
    arg = "cutoff", code = "cutoff"
  )
}

# More columns than lags, or than events, cannot be told apart.
compat_check_size <- function(spec, bases, n_covariates, n_events) {
  size <- vapply(bases, ncol, 0L)
  twice <- vapply(spec$knots, anyDuplicated, 0L) > 0L
  bad <- twice | size > spec$cutoff | size + n_covariates > n_events
  if (!any(bad)) return(invisible())
  g <- which(bad)[1L]
  abort_input(
    sprintf("`nknots = %d` is too many.", spec$nknots[g]),
    x = sprintf("It needs %d coefficients, from %d lags and %s.",
                size[g] + n_covariates, spec$cutoff,
                count_of(n_events, "event")),
    i = "Take fewer knots.", arg = "nknots", code = "too_many_knots"
  )
}

# ---- data -------------------------------------------------------------------

# All that the design needs, with times in rows since the earliest start;
# faults go into `faults`, and the value is then of no use.
compat_check_data <- function(data, roles, covariates, faults) {
  if (nrow(data) == 0L) {
    add_fault(faults, "empty_data", "`data` must have rows; it has none.")
    return(invisible())
  }
  column <- function(role) data[[roles[[role]]]]
  id <- id_values(faults, column("id"), roles$id, "data")
  event <- compat_event(faults, column("event"), roles$event)
  dose <- dose_column(faults, column("expos"), roles$expos, "data")
  times <- compat_times(faults, column("start"), column("stop"), roles)
  values <- lapply(covariates, function(name) {
    compat_covariate(faults, data[[name]], name)
  })
  names(values) <- covariates
  if (!is.null(event) && sum(event) == 0L && !anyNA(event)) {
    add_fault(faults, "no_event",
              sprintf("`%s` must be 1 somewhere; there is no event.",
                      roles$event))
  }
  if (is.null(id) || is.null(times) || anyNA(id)) return(invisible())

  subjects <- subject_codes(id)
  ord <- if (is_sorted_within(subjects$code, times$start)) integer() else
    order(subjects$code, times$start)
  compat_sequence(faults, subjects$code, times, ord)
  n_rows <- tabulate(subjects$code, subjects$n)
  first <- if (length(ord)) ord[cumsum(c(1L, n_rows[-subjects$n]))] else
    cumsum(c(1L, n_rows[-subjects$n]))
  list(
    subject = subjects$code, start = times$start, stop = times$stop,
    event = event, dose = dose, covariates = values, ord = ord,
    n_subjects = subjects$n, n_rows = nrow(data), longest = max(n_rows),
    n_delayed = sum(times$start[first] > min(times$start)),
    row_length = times$row_length,
    nevents = if (is.double(column("event"))) as.double(sum(event)) else
      sum(event)
  )
}

# 0/1 or FALSE/TRUE; not 1/2, which WCE never read as Surv() does.
compat_event <- function(faults, x, name) {
  if (is_plain_number(x) && any(plain_double(x) == 2, na.rm = TRUE)) {
    add_fault(faults, "event_values",
              sprintf("The event `%s` must be 0 or 1.", name),
              "Make it a comparison, as `status == 2`.",
              which(plain_double(x) == 2))
    return(NULL)
  }
  event_column(faults, x, name, "data")
}

compat_covariate <- function(faults, x, name) {
  plain <- is.logical(x) || is.character(x) || is.factor(x) ||
    is_plain_number(x)
  if (!plain || !is.null(dim(x))) {
    add_type_fault(faults, x, name, "a number, logical, string or factor",
                   "Convert it first.", "data")
  } else {
    check_values(faults, x, name, "data")
  }
  x
}

# Start and stop, in rows since the earliest start when all rows are equally
# long; NULL when they cannot be used at all.
compat_times <- function(faults, start, stop, roles) {
  start <- time_column(faults, start, roles$start, "data")
  stop <- time_column(faults, stop, roles$stop, "data")
  if (is.null(start) || is.null(stop)) return(NULL)
  if (attr(start, "kind") != attr(stop, "kind")) {
    add_fault(faults, "mixed_time", sprintf(
      "`%s` and `%s` must both be numbers or both be dates.",
      roles$start, roles$stop), "Convert one of them.")
    return(NULL)
  }
  attributes(start) <- attributes(stop) <- NULL
  length <- stop - start
  shortest <- min(length)
  if (!is.finite(shortest) || !is.finite(max(length))) return(NULL)
  if (shortest <= 0) {
    add_fault(faults, "stop_before_start", sprintf(
      "`%s` must be greater than `%s`.", roles$stop, roles$start),
      "A row covers (start, stop]: one time unit.", which(length <= 0))
    return(NULL)
  }
  compat_units(faults, start, stop, length)
}

# Rounding moves a time by less than a millionth of a row. After a fault the
# times are whole millionths of a row, only to look for gaps and overlaps.
compat_units <- function(faults, start, stop, length) {
  near <- 1e-6
  unit <- length[1L]
  mixed <- max(length) - min(length) > near * unit
  if (mixed) {
    unit <- stats::quantile(length, 0.5, type = 1L, names = FALSE)
    add_fault(
      faults, "row_length",
      sprintf("All rows must be equally long; most are %s.", format(unit)),
      "Split the long rows, or use `wce()`, where rows may have any length.",
      which(abs(length - unit) > near * unit)
    )
  }
  origin <- min(start)
  if (origin != 0) start <- start - origin
  if (unit != 1) start <- start / unit
  whole <- floor(start + 0.5)
  off <- if (!mixed && max(abs(start - whole)) > near) {
    which(abs(start - whole) > near)
  }
  if (length(off)) {
    add_fault(faults, "row_alignment",
              "Rows must begin whole rows after the earliest start.",
              "Shift the times of these rows to the common grid.", off)
  }
  if (mixed || length(off)) {
    return(list(start = round(start / near), row_length = unit,
                stop = round((stop - origin) / unit / near)))
  }
  list(start = whole, stop = whole + 1, row_length = unit)
}

# Overlaps and gaps: a lag counts rows, which is time only without them.
compat_sequence <- function(faults, subject, times, ord) {
  found <- scan_rows(subject, times$start, times$stop, ord)
  overlap <- sort(c(found$overlap, found$`repeat`))
  if (length(overlap)) {
    add_fault(faults, "overlapping_rows",
              "A row must not begin before the patient's row before it ends.",
              "Look for duplicated rows, or two patients with one id.", overlap)
  }
  if (length(found$gap)) {
    add_fault(faults, "gap",
              "A row must begin where the patient's row before it ends.",
              paste("Add the missing rows, with the dose of that time; a lag",
                    "counts rows here. `wce()` takes rows with gaps."),
              sort(found$gap))
  }
  invisible()
}

# ---- checkWCE ---------------------------------------------------------------

#' @details `checkWCE()` looks for every fault of the data that would make
#'   `WCE()` stop, prints one note for each, or one line if there is none.
#' @return `checkWCE()`: invisibly, a list of class `wce_compat_check`: `ok`;
#'   `faults`, a data frame with a row per fault (`code`, `message`, `fix`,
#'   `n_rows`);
#'   `rows`, a list of row numbers of `data`, one element for each fault.
#' @export
#' @rdname wce_compat
#' @order 4
checkWCE <- function(data, id, event, start, stop, expos) {
  compat_need(
    data = missing(data), id = missing(id), event = missing(event),
    start = missing(start), stop = missing(stop), expos = missing(expos)
  )
  roles <- list(id = id, event = event, start = start, stop = stop,
                expos = expos)
  faults <- new_faults()
  if (is.data.frame(data)) {
    compat_columns(data, roles)
    compat_check_data(data, roles, NULL, faults)
  } else {
    add_fault(faults, "data_type", sprintf(
      "`data` must be a data frame; it is %s.", what_is(data)
    ))
  }
  found <- faults$list
  check <- structure(
    list(
      ok = length(found) == 0L,
      faults = data.frame(
        code = vapply(found, `[[`, "", "code"),
        message = vapply(found, `[[`, "", "message"),
        fix = vapply(found, function(f) f$fix %||% "", ""),
        n_rows = vapply(found, function(f) length(f$rows), 0L)
      ),
      rows = stats::setNames(lapply(found, `[[`, "rows"),
                             vapply(found, `[[`, "", "code"))
    ),
    class = "wce_compat_check"
  )
  print(check)
  invisible(check)
}

#' @export
#' @noRd
print.wce_compat_check <- function(x, ...) {
  if (x$ok) {
    cat("The data are in the form that WCE() needs.\n")
    return(invisible(x))
  }
  for (k in seq_len(nrow(x$faults))) {
    rows <- x$rows[[k]]
    at <- if (length(rows)) sprintf(" [%s]", format_rows(rows))
    cat_wrapped("- ", x$faults$message[k], at)
    if (nzchar(x$faults$fix[k])) {
      cat_wrapped(x$faults$fix[k], indent = 2L, exdent = 2L)
    }
  }
  invisible(x)
}
