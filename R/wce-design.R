# From a formula and data to a design: a plain R list of arrays.
#
#   rows     person rows: subject, start, stop, event, stratum, offset, weight,
#            x (matrix of covariates), n_subjects
#   terms    one list per exposure() term: settings and its records
#   meta     what methods need to know of the covariates
#   counts   numbers of rows and records, used and not
#
# All faults of the data are found before any is reported. Unit rows are joined
# first (rows.cpp), and the covariates are evaluated on the joined rows.

# weights: a quosure; NULL when there are none.
wce_design <- function(parts, data, id, records, defaults,
                       weights = rlang::quo(NULL), clock = "unit") {
  check_table(data, "data")
  surv <- surv_arguments(parts$surv)
  settings <- lapply(parts$exposures, exposure_arguments, defaults, parts$env)
  needed <- covariate_names(parts, data, id, surv, settings,
                            all.vars(rlang::quo_get_expr(weights)),
                            all.vars(parts$cluster))
  check_columns_present(data, c(id, needed$all), parts$env, records, id,
                        absent_weights(weights, data))
  settings <- expand_terms(settings, data, records, parts$env)

  faults <- new_faults()
  people <- read_people(faults, data, id, surv, parts$env)
  columns <- covariate_columns(faults, needed$covariates, data, parts$env)
  weight <- read_weights(faults, weights, data)
  cluster <- read_cluster(faults, parts, data, people)
  doses <- lapply(settings, read_dose, faults, data, parts$env, people)
  book <- if (!is.null(records)) {
    read_dispensings(faults, records, id, people, settings, doses)
  }
  clock <- choose_clock(clock, people, doses, book)
  settings <- lapply(settings, check_exposure_settings, clock)
  if (clock == "continuous") people <- snap_times(people)
  check_clock(faults, clock, people, doses, book)
  check_people(faults, people)
  stop_for_faults(faults)
  check_events(people, weight)

  joined <- join_people(people, columns, weight,
                        any(vapply(doses, is.numeric, NA)))
  covariates <- wce_covariates(parts, joined)
  rows <- c(
    list(subject = people$subject$code[joined$first],
         start = people$start[joined$first], stop = people$stop[joined$last],
         event = people$event[joined$last], n_subjects = people$subject$n,
         weight = joined$weight),
    covariates[c("stratum", "offset", "x")]
  )
  follow_up <- subject_follow_up(rows)
  terms <- lapply(seq_along(settings), function(k) {
    exposure_term(settings[[k]], doses[[k]], people, book, follow_up)
  })
  # What prints say of the weights.
  covariates$meta$weights <- if (!rlang::quo_is_null(weights)) {
    rlang::as_label(weights)
  }
  list(rows = rows, terms = terms, clock = clock, cluster = cluster,
       meta = covariates$meta,
       counts = list(rows = nrow(data), joined_rows = length(rows$start),
                     subjects = rows$n_subjects, events = sum(rows$event),
                     zero_weight = sum(weight == 0)))
}

# ---- tables and columns -----------------------------------------------------

check_table <- function(data, name) {
  if (!is.data.frame(data)) {
    abort_input(sprintf("`%s` must be a data frame.", name),
                x = sprintf("It is %s.", what_is(data)), arg = name,
                code = "data_type")
  }
  if (nrow(data) == 0L) {
    abort_input(sprintf("`%s` has no rows.", name), arg = name,
                code = "empty_data")
  }
}

# Names of variables that the formula reads; a dot stands for every column
# that has no other part in the model.
covariate_names <- function(parts, data, id, surv, settings,
                            in_weights = character(),
                            in_cluster = character()) {
  in_surv <- unlist(lapply(surv, all.vars))
  in_dose <- c(unlist(lapply(settings, function(s) all.vars(s$e))),
               by_names(settings, data))
  covariates <- all.vars(parts$covariates)
  if ("." %in% covariates) {
    covariates <- union(setdiff(covariates, "."),
                        setdiff(names(data), c(id, in_surv, in_dose,
                                               in_weights, in_cluster)))
  }
  list(covariates = covariates,
       all = unique(c(in_surv, in_dose, in_cluster, covariates)))
}

check_columns_present <- function(data, needed, env, records, id,
                                  also_missing = character()) {
  absent <- function(name) {
    !name %in% names(data) &&
      !(name != id && exists(name, envir = env, mode = "numeric")) &&
      !(name != id && exists(name, envir = env, mode = "character")) &&
      !(name != id && exists(name, envir = env, mode = "logical"))
  }
  faults <- new_faults()
  missing_names <- unique(c(needed[vapply(needed, absent, NA)], also_missing))
  add_missing_columns(faults, missing_names, names(data), "data")
  if (!is.null(records)) {
    check_table(records, "records")
    wanted <- c(id, "start", "stop", "dose")
    add_missing_columns(faults, setdiff(wanted, names(records)),
                        names(records), "records")
  }
  stop_for_faults(faults)
}

add_missing_columns <- function(faults, absent, present, table) {
  if (length(absent) == 0L) return(invisible())
  quoted <- function(x) paste0("`", x, "`", collapse = ", ")
  shown <- utils::head(present, 12L)
  add_fault(
    faults, "missing_column",
    sprintf("`%s` must have the column%s %s.", table,
            if (length(absent) > 1L) "s" else "", quoted(absent)),
    sprintf("Its columns are %s%s.", quoted(shown),
            if (length(present) > length(shown)) ", ..." else ""),
    table = table
  )
}

# ---- people -----------------------------------------------------------------

read_people <- function(faults, data, id, surv, env) {
  read <- function(e) eval(e, data, env)
  label <- function(e) rlang::as_label(e)
  n <- nrow(data)
  stop_time <- time_column(faults, read(surv$stop), label(surv$stop), "data")
  start <- if (is.null(surv$start)) {
    structure(numeric(n), kind = attr(stop_time, "kind"))
  } else {
    time_column(faults, read(surv$start), label(surv$start), "data")
  }
  event <- event_column(faults, read(surv$event), label(surv$event), "data")
  ids <- id_values(faults, data[[id]], id, "data")
  people <- list(n = n, start = start, stop = stop_time, event = event,
                 id = id, order = integer())
  if (!is.null(ids) && !anyNA(ids)) {
    people$subject <- subject_codes(ids)
    if (!is.null(start) &&
          !is_sorted_within(people$subject$code, start)) {
      people$order <- order(people$subject$code, start, method = "radix")
    }
  }
  people
}

check_people <- function(faults, people) {
  if (is.null(people$start) || is.null(people$stop)) return(invisible())
  if (!identical(attr(people$start, "kind"), attr(people$stop, "kind"))) {
    add_fault(faults, "mixed_time",
              "Start and stop must both be dates or both be numbers.",
              "Convert one of them, as `as.Date(start)`.")
    return(invisible())
  }
  backward <- which(people$stop <= people$start)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "Stop must be later than start: a row is (start, stop].",
              paste("A patient who enters and leaves on one day is (day,",
                    "day + 1]."), backward)
  }
  clean <- !is.null(people$subject) && !anyNA(people$start) &&
    !anyNA(people$stop) && length(backward) == 0L
  if (!clean) return(invisible())
  found <- scan_rows(people$subject$code, people$start, people$stop,
                     people$order)
  if (length(found$`repeat`)) {
    add_fault(faults, "duplicate_id",
              sprintf("Column `%s` has rows that begin at the same time.",
                      people$id),
              "A person has one row, or rows that follow each other in time.",
              found$`repeat`)
  }
  if (length(found$overlap)) {
    add_fault(faults, "overlapping_rows",
              "Rows of one person must not overlap.",
              "End each row where the next begins.", found$overlap)
  }
}

check_events <- function(people, weight) {
  if (sum(people$event) == 0L) {
    abort_input("There is no event in `data`.",
                x = "Every row has event 0.",
                i = "Is the event coded 1, or TRUE?", code = "no_event")
  }
  if (!any(people$event == 1L & weight > 0)) {
    abort_input("There is no event in `data` that counts.",
                x = "Every row with an event has weight 0.", code = "no_event")
  }
}

# First entry and last exit of every subject.
subject_follow_up <- function(rows) {
  entry <- rep(Inf, rows$n_subjects)
  exit <- rep(-Inf, rows$n_subjects)
  latest_first <- order(rows$start, decreasing = TRUE)
  entry[rows$subject[latest_first]] <- rows$start[latest_first]
  earliest_first <- order(rows$stop)
  exit[rows$subject[earliest_first]] <- rows$stop[earliest_first]
  list(entry = entry, exit = exit)
}

# Rows that differ in nothing the model sees are joined; when the dose comes
# from records there is nothing to join. Rows of weight zero are left out.
join_people <- function(people, columns, weight, has_row_doses) {
  if (has_row_doses) {
    flat <- unlist(lapply(columns, function(x) {
      if (is.matrix(x)) asplit_columns(x) else list(x)
    }), recursive = FALSE)
    flat <- lapply(flat, function(x) if (is.factor(x)) as.integer(x) else x)
    flat <- c(unname(flat), list(weight))
    joined <- join_rows(people$subject$code, people$start, people$stop,
                        people$event, flat, people$order)
  } else {
    all_rows <- seq_len(people$n)
    joined <- list(first = all_rows, last = all_rows)
  }
  joined$weight <- weight[joined$first]
  if (any(joined$weight == 0)) {
    joined <- lapply(joined[c("first", "last", "weight")], `[`,
                     joined$weight > 0)
  }
  joined$columns <- lapply(columns, function(x) {
    if (is.matrix(x)) x[joined$first, , drop = FALSE] else x[joined$first]
  })
  joined
}

asplit_columns <- function(x) {
  lapply(seq_len(ncol(x)), function(k) as.vector(x[, k]))
}
