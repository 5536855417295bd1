# New people for a fitted model: their covariates, times and dose histories.

# fit; newdata; newrecords (or NULL); env: where the formula's functions are;
# at: times of linear predictors, or NULL for the end of each row; need: "rows"
# (start, stop] or "time" only; strata: are they needed?
# Value: list(x, offset, stratum, subject, n_subjects, names, start, stop, time,
# kind, terms, row_names), with terms as wce_design() makes them: shifted by
# lag_in.
new_people <- function(fit, newdata, newrecords, env, at = NULL, need = "rows",
                       strata = TRUE) {
  check_table(newdata, "newdata")
  parts <- split_formula(fit$formula)
  faults <- new_faults()
  people <- new_times(faults, fit, parts, newdata, at, need, env)
  people$subject <- new_subjects(faults, fit, newdata)
  frame <- new_covariates(faults, fit, newdata)
  book <- new_book(faults, fit, newrecords, people, newdata, env)
  stop_for_faults(faults)
  terms <- new_terms(fit, parts, newdata, book, people, env)
  codes <- if (strata && length(fit$meta$strata)) {
    new_strata(fit, parts, newdata, env)
  } else {
    rep.int(1L, nrow(newdata))
  }
  list(x = frame$x, offset = frame$offset, stratum = codes,
       subject = people$subject$code, n_subjects = people$subject$n,
       names = people$subject$names, start = as.vector(people$start),
       stop = as.vector(people$stop), time = people$time,
       kind = people$kind, terms = terms,
       row_names = row.names(newdata))
}

# ---- times -------------------------------------------------------------------

# Rows (start, stop], as far as they are needed, and the time of linear
# predictors.
new_times <- function(faults, fit, parts, newdata, at, need, env) {
  surv <- surv_arguments(parts$surv)
  read <- function(expression) {
    absent <- setdiff(all.vars(expression), names(newdata))
    if (length(absent)) {
      add_missing_columns(faults, absent, names(newdata), "newdata")
      return(NULL)
    }
    time_column(faults, eval(expression, newdata, env),
                rlang::as_label(expression), "newdata")
  }
  rows <- need == "rows" || doses_in(fit, newdata, env)
  stop_time <- if (rows || is.null(at)) read(surv$stop)
  start <- if (rows && !is.null(surv$start)) read(surv$start) else {
    structure(numeric(length(stop_time)), kind = attr(stop_time, "kind"))
  }
  time <- stop_time
  if (!is.null(at)) time <- read_at(faults, at, nrow(newdata), "`newdata`")
  if (rows && length(start) && length(start) == length(stop_time)) {
    backward <- which(stop_time <= start)
    if (length(backward)) {
      add_fault(faults, "stop_before_start",
                "Stop must be later than start: a row is (start, stop].",
                rows = backward, table = "newdata")
    }
  }
  fractional <- if (!identical(fit$clock, "continuous") && length(time)) {
    which(time != floor(time))
  }
  if (length(fractional)) {
    add_fault(faults, "fractional_time",
              "Times must be whole numbers of time units, as in the fit.",
              rows = fractional, table = "newdata")
  }
  list(start = start, stop = stop_time, time = as.vector(time),
       kind = attr(time, "kind"))
}

# Times given apart from the table: one, or one per row.
read_at <- function(faults, at, n, table) {
  if (!length(at) %in% c(1L, n)) {
    abort_input(sprintf("`at` must be one time, or one for each row of %s.",
                        table),
                x = sprintf("It has %d elements; there are %d rows.",
                            length(at), n), arg = "at", code = "at")
  }
  time <- time_column(faults, at, "at", table)
  structure(rep_len(as.vector(time), n), kind = attr(time, "kind"))
}

# Does newdata hold the doses of a term, row by row?
doses_in <- function(fit, newdata, env) {
  any(vapply(exposure_words(fit, env), function(word) {
    !word$drug && all(all.vars(word$e) %in% names(newdata))
  }, NA))
}

# People are told apart by the id; without it every row is somebody.
new_subjects <- function(faults, fit, newdata) {
  n <- nrow(newdata)
  id <- fit$settings$id
  if (!id %in% names(newdata)) {
    return(list(code = seq_len(n), ids = seq_len(n), n = n, bits = FALSE,
                names = row.names(newdata), id = id, own = FALSE))
  }
  values <- id_values(faults, newdata[[id]], id, "newdata")
  if (is.null(values) || anyNA(values)) return(NULL)
  codes <- subject_codes(values)
  codes$names <- as.character(newdata[[id]][match(seq_len(codes$n),
                                                  codes$code)])
  c(codes, list(id = id, own = TRUE))
}

# ---- covariates --------------------------------------------------------------

new_covariates <- function(faults, fit, newdata) {
  terms <- fit$meta$terms
  n <- nrow(newdata)
  wanted <- all.vars(attr(terms, "predvars") %||% attr(terms, "variables"))
  absent <- wanted[!wanted %in% names(newdata) &
                     !vapply(wanted, exists, NA, envir = globalenv())]
  if (length(absent)) {
    add_missing_columns(faults, absent, names(newdata), "newdata")
    return(NULL)
  }
  for (name in intersect(wanted, names(newdata))) {
    values <- newdata[[name]]
    if (inherits(values, "Date") || is_integer64(values)) {
      newdata[[name]] <- plain_double(unclass_date(values))
    }
    check_values(faults, newdata[[name]], name, "newdata")
  }
  if (any_faults(faults)) return(NULL)
  check_new_levels(faults, fit$meta$xlevels, newdata)
  if (any_faults(faults)) return(NULL)
  frame <- stats::model.frame(terms, newdata, na.action = stats::na.pass,
                              xlev = fit$meta$xlevels)
  x <- if (length(attr(terms, "term.labels"))) {
    stats::model.matrix(terms, frame, contrasts.arg = fit$meta$contrasts)
  } else {
    matrix(1, n, 1L, dimnames = list(NULL, "(Intercept)"))
  }
  x <- x[, colnames(x) != "(Intercept)", drop = FALSE]
  offset <- stats::model.offset(frame)
  list(x = matrix(x, n, dimnames = list(NULL, colnames(x))),
       offset = if (is.null(offset)) numeric(n) else as.double(offset))
}

check_new_levels <- function(faults, xlevels, newdata) {
  for (name in intersect(names(xlevels), names(newdata))) {
    strange <- which(!as.character(newdata[[name]]) %in% xlevels[[name]])
    if (length(strange)) {
      add_fault(faults, "new_level",
                sprintf("`%s` has levels that the model has not seen.", name),
                sprintf("It knows %d levels.", length(xlevels[[name]])),
                strange, "newdata")
    }
  }
}

# Codes of the strata, found by their labels.
new_strata <- function(fit, parts, newdata, env) {
  terms <- stats::terms(rlang::new_formula(NULL, parts$covariates),
                        specials = "strata", allowDotAsName = TRUE)
  variables <- as.list(attr(terms, "variables"))[-1L]
  wanted <- variables[attr(terms, "specials")$strata]
  faults <- new_faults()
  add_missing_columns(faults, setdiff(unlist(lapply(wanted, all.vars)),
                                      names(newdata)),
                      names(newdata), "newdata")
  stop_for_faults(faults)
  values <- lapply(wanted, eval, newdata, env_with_specials(env))
  labels <- if (length(values) == 1L) values[[1L]] else {
    frame <- stats::setNames(values, vapply(wanted, rlang::expr_deparse, ""))
    survival::strata(as.data.frame(frame, optional = TRUE), shortlabel = TRUE)
  }
  code <- match(as.character(labels), fit$meta$strata)
  if (anyNA(code)) {
    add_fault(faults, "new_level",
              "There are strata that the model has not seen.",
              rows = which(is.na(code)), table = "newdata")
    stop_for_faults(faults)
  }
  code
}
