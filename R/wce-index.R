# Designs whose rows are people at one time each: cases and controls. And what
# every design other than the cohort has in common: features at the rows, one
# fit per point of the grid, and the object.

# As wce_design(), of rows (id, time); outcome is the left of the formula.
# Value: list(rows, terms, clock, meta, counts, at = list(row, subject, time, y,
# offset, stratum, x)).
index_design <- function(parts, data, id, time, records, defaults, clock) {
  settings <- lapply(parts$exposures, exposure_arguments, defaults, parts$env)
  needed <- covariate_names(parts, data, id, list(parts$surv), settings, time)
  check_columns_present(data, c(id, time, needed$all), parts$env, records, id)
  settings <- expand_terms(settings, data, records, parts$env)
  faults <- new_faults()
  people <- index_people(faults, parts, data, id, time)
  columns <- covariate_columns(faults, setdiff(needed$covariates, time), data,
                               parts$env)
  doses <- lapply(settings, read_dose, faults, data, parts$env, people)
  check_from_records(settings, doses)
  book <- if (!is.null(records)) {
    read_dispensings(faults, records, id, people, settings, doses)
  }
  clock <- choose_clock(clock, people, doses, book)
  settings <- lapply(settings, check_exposure_settings, clock)
  check_free_shape(settings)
  check_clock(faults, clock, people, doses, book)
  stop_for_faults(faults)
  if (!any(people$event == 1L) || all(people$event == 1L)) {
    abort_input("There must be cases (1) and controls (0) in `data`.",
                x = sprintf("All rows have %d.", people$event[1L]),
                code = "no_event")
  }
  covariates <- wce_covariates(parts, join_people(people, columns,
                                                  rep(1, people$n), FALSE))
  subject <- people$subject
  rows <- list(subject = subject$code, start = people$start, stop = people$stop,
               event = people$event, n_subjects = subject$n, x = covariates$x)
  follow_up <- subject_follow_up(rows)
  terms <- lapply(seq_along(settings), function(k) {
    exposure_term(settings[[k]], doses[[k]], people, book, follow_up)
  })
  list(
    rows = rows, terms = terms, clock = clock, meta = covariates$meta,
    counts = list(rows = people$n, subjects = subject$n,
                  events = sum(people$event)),
    at = list(subject = subject$code, time = people$stop, y = people$event,
              offset = covariates$offset, stratum = covariates$stratum,
              x = covariates$x)
  )
}

index_people <- function(faults, parts, data, id, time) {
  at <- time_column(faults, data[[time]], time, "data")
  ids <- id_values(faults, data[[id]], id, "data")
  people <- list(
    n = nrow(data), stop = at, start = if (!is.null(at)) at - 1,
    event = event_column(faults, eval(parts$surv, data, parts$env),
                         rlang::as_label(parts$surv), "data"),
    id = id, order = integer()
  )
  if (!is.null(ids) && !anyNA(ids)) people$subject <- subject_codes(ids)
  people
}

# A row of one time knows no dose of the past.
check_from_records <- function(settings, doses) {
  of_rows <- !vapply(doses, is.character, NA)
  if (!any(of_rows)) return(invisible())
  abort_input(
    sprintf("`%s` must name a drug of `records`.",
            settings[[which(of_rows)[1L]]]$label),
    x = "A row of one time knows only the dose of that time.",
    i = "Like `exposure(\"amoxicillin\")`, with `records = `.",
    code = "exposure"
  )
}

check_free_shape <- function(settings) {
  free <- vapply(settings, function(s) identical(s$shape, "free"), NA)
  if (all(free)) return(invisible())
  abort_input("`shape` is for `wce()` alone.",
              i = "Use `constrained`, or the cohort.", arg = "shape",
              code = "shape")
}

# The column that holds the times, bare or as a string.
time_name <- function(time) {
  if (rlang::quo_is_missing(time)) {
    abort_input("`time` is missing.",
                i = "Give the column of the index times, as `time = day`.",
                code = "time", arg = "time")
  }
  e <- rlang::quo_get_expr(time)
  if (rlang::is_string(e)) return(e)
  if (is.symbol(e)) return(as.character(e))
  abort_input("`time` must be the name of a column, bare or as a string.",
              x = sprintf("It is `%s`.", rlang::as_label(e)),
              code = "time", arg = "time")
}

# One fit per point of the grid. likelihood: of maximise_rows(); smooth: of
# read_smooth().
fit_rows <- function(design, likelihood, criterion, smooth = NULL) {
  at <- design$at
  design$rows$x <- at$x
  grid <- wce_grid(design)
  check_size(design, grid)
  design$terms <- terms_with_cells(design$terms, grid)
  fits <- lapply(grid, function(g) fit_row(design, g, likelihood, smooth))
  exposed <- Reduce(`|`, lapply(fits, `[[`, "exposed"))
  result <- list(
    fits = lapply(fits, `[[`, "fit"),
    covered = lapply(seq_along(design$terms), covered_lags, fits, design),
    n_pairs = as.numeric(sum(exposed)),
    exposed_events = sum(exposed & at$y > 0),
    n_event_times = length(unique(at$time[at$y > 0]))
  )
  new_wce(result, design, grid, criterion)
}

# One point of the grid. Value: list(fit, exposed = rows with a dose in a
# window, lags = covered ones by term).
fit_row <- function(design, choices, likelihood, smooth) {
  made <- row_columns(design, choices)
  penalty <- design_penalty(choices, smooth, ncol(design$at$x))
  fit <- tidy_fit(maximise_rows(made$z, design$at, likelihood, penalty))
  fit <- describe_smoothing(fit, penalty)
  fit$n_pairs <- as.numeric(sum(made$exposed))
  c(list(fit = fit), made[c("exposed", "lags")])
}

# Covariates and features of all rows.
row_columns <- function(design, choices) {
  at <- design$at
  past <- Map(function(term, choice) {
    features_at(at$subject, at$time, term, choice$table)
  }, design$terms, choices)
  list(z = do.call(cbind, c(list(at$x), lapply(past, `[[`, "features"))),
       exposed = Reduce(`|`, lapply(past, `[[`, "exposed")),
       lags = lapply(past, `[[`, "lags"))
}

# Those of the longest window; in continuous time all are taken for covered.
covered_lags <- function(k, fits, design) {
  cells <- design$terms[[k]]$cells
  if (!is.null(cells)) return(rep(TRUE, length(cells) - 1L))
  lags <- lapply(fits, function(f) f$lags[[k]])
  lags[[which.max(lengths(lags))]]
}

# model: list(name, rows, measure, short) for prints; kind, likelihood, control,
# unit (what a bootstrap draws), and what else rows_again() needs.
finish_rows_fit <- function(fit, call, formula, settings, engine, clock, unit,
                            model) {
  environment(formula) <- globalenv()
  fit <- c(fit, list(call = call, formula = formula, settings = settings,
                     engine = engine, clock = clock, unit = unit,
                     model = model, session = session_record(engine)))
  class(fit) <- "wce"
  warn_about_fit(fit)
  fit
}
