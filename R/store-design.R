# A design from a store: what wce_design() makes of data frames, one block of
# people after the other. Each block's arrays are written for the engine; here
# stays what everybody needs: settings, names of covariates, counts.
#
# Covariates are evaluated on a block alone, so that a term must tell the value
# of a row from that row: the first block is evaluated once more in part, and
# every block must have the columns of the first.

# Value: a design whose `rows` are empty, with `store`: list(path, n_blocks,
# key, resumed).
store_design <- function(parts, store, defaults, weights = rlang::quo(NULL),
                         clock = "unit") {
  check_store_formula(parts, clock)
  surv <- surv_arguments(parts$surv)
  settings <- lapply(parts$exposures, exposure_arguments, defaults, parts$env)
  refuse_in_store(settings)
  settings <- lapply(settings, check_exposure_settings, "unit")
  settings <- lapply(settings, store_drug, store, parts$env)
  seen <- names(store$people)
  if (rlang::quo_is_missing(weights)) weights <- rlang::quo(NULL)
  in_weights <- all.vars(rlang::quo_get_expr(weights))
  needed <- covariate_names(
    parts, stats::setNames(vector("list", length(seen)), seen), store$id, surv,
    settings, in_weights, all.vars(parts$cluster)
  )
  needed$all <- union(needed$all, in_weights)
  check_store_columns(store, needed, parts$env, length(settings) > 0L)
  check_no_id(store, needed$all)
  model <- list(parts = parts, surv = surv, settings = settings,
                weights = weights, covariates = needed$covariates,
                columns = needed$all, id = store$id,
                whole = length(settings) > 0L)
  write_designs(store, model, NULL)
}

check_only_store <- function(records) {
  if (is.null(records)) return(invisible())
  abort_input("A store has its own records.",
              i = "Leave `records` out, or build another store.",
              arg = "records", code = "records")
}

check_store_formula <- function(parts, clock) {
  if (clock == "continuous") {
    abort_input("A store is fitted on the unit clock.",
                i = "Count time in smaller units.", arg = "clock",
                code = "clock")
  }
}

abort_store_rows <- function(what) {
  abort_input(paste(what, "the rows in memory, and these are in a store."),
              i = "Fit data frames, of a sample of the people if need be.",
              code = "store_rows")
}

# The drug that a term names.
store_drug <- function(s, store, env) {
  s$drug <- tryCatch(eval(s$e, env), error = function(e) NULL)
  if (!rlang::is_string(s$drug)) {
    abort_input(sprintf("`%s` must name one drug of the records.", s$label),
                x = "A store has doses in its records alone.",
                code = "exposure")
  }
  if (!length(store$records)) {
    abort_input(
      sprintf("`%s` names a drug, but there are no records.", s$label),
      i = "Build the store with `records =`.", code = "no_records"
    )
  }
  s
}

# Within a block people are numbered: the column would be another one there.
check_no_id <- function(store, names) {
  if (!store$id %in% names) return(invisible())
  abort_input(sprintf("The formula must not use the id column, `%s`.",
                      store$id),
              x = "A store knows people by their numbers within a block.",
              i = "Build the store with a copy of it under another name.",
              arg = "formula", code = "id_column")
}

check_store_columns <- function(store, needed, env, doses) {
  faults <- new_faults()
  absent <- setdiff(needed$all, names(store$people))
  # Constants of the place where the formula was written.
  absent <- absent[!vapply(absent, exists, NA, envir = env)]
  add_missing_columns(faults, absent, names(store$people), "people")
  if (doses) {
    add_missing_columns(
      faults, setdiff(c("start", "stop", "dose", "drug"),
                      names(store$records)), names(store$records), "records"
    )
  }
  stop_for_faults(faults)
}

write_designs <- function(store, model, progress) {
  found <- engine_call("store_info", path = store$path)
  notes <- found$notes
  bar <- progress_bar(store$n_blocks, "Design ", progress)
  on.exit(bar$done())
  first <- store_rows(read_model_block(store, 1L, notes, model), model)
  check_by_row(first, model)
  model$template <- first$template
  place <- design_folder(store, found$stamp, model, first)
  found <- engine_call("design_begin", path = place$path,
                       settings = list(key = place$key))
  done <- found$notes
  strata <- groups <- character()
  for (k in seq_len(store$n_blocks)) {
    if (k <= found$n_blocks) {
      strata <- union(strata, unlist(done[[k]]$strata))
      groups <- union(groups, unlist(done[[k]]$groups))
      bar$step(1)
      next
    }
    block <- if (k == 1L) first else {
      store_rows(read_model_block(store, k, notes, model), model)
    }
    strata <- union(strata, block$strata)
    block$rows$stratum <- match(block$strata, strata)[block$stratum]
    groups <- union(groups, block$cluster$labels)
    part <- store_terms(block, model)
    written <- c(block$notes, list(strata = block$strata, terms = part$counts,
                                   groups = block$cluster$labels))
    engine_call("design_write", path = place$path, block = k,
                n_subjects = block$n_people,
                rows = block$rows, terms = part$terms, notes = written,
                group = if (!is.null(block$cluster)) {
                  match(block$cluster$labels, groups)[block$cluster$group] - 1L
                })
    done[[k]] <- written
    bar$step(1)
  }
  place$resumed <- found$n_blocks > 0L
  design <- design_of_blocks(store, model, first, done, strata, place)
  design$cluster <- list(label = first$cluster$label,
                         n = if (length(groups)) length(groups) else
                           as.integer(store$n_people))
  design
}

read_model_block <- function(store, k, notes, model) {
  block <- read_store_block(
    store, k, notes, model$columns,
    if (length(model$settings)) c("start", "stop", "dose", "drug") else
      character()
  )
  block$number <- k
  block
}

# The folder of one design: other data, formula or settings are another.
design_folder <- function(store, stamp, model, first) {
  kept <- c("cutoff", "nknots", "lag_in", "constrained", "shape", "order",
            "basis", "label", "drug")
  text <- function(e) paste(deparse(e), collapse = " ")
  key <- rlang::hash(list(
    stamp,
    text(model$parts$surv), text(model$parts$covariates),
    text(model$parts$cluster),
    text(rlang::quo_get_expr(model$weights)),
    lapply(model$settings, `[`, kept), first$rows
  ))
  folder <- file.path(store$path, "fits")
  if (!dir.exists(folder)) dir.create(folder, showWarnings = FALSE)
  # A store that cannot be written to is fitted from all the same.
  if (file.access(folder, 2L) != 0L) folder <- tempdir()
  # Another process that fits the same has a folder of its own.
  path <- engine_call("design_claim", folder = folder, key = key)$path
  list(path = path, key = key, n_blocks = store$n_blocks)
}

# ---- all blocks together ----------------------------------------------------

design_of_blocks <- function(store, model, first, notes, strata, place) {
  count <- function(name) sum(vapply(notes, `[[`, 0, name))
  by_column <- function(name, f) {
    found <- lapply(notes, function(n) as.double(unlist(n[[name]])))
    Reduce(f, found)
  }
  labels <- colnames(first$rows$x)
  if (count("events") == 0) {
    abort_input("There is no event in the store.",
                x = "Every row has event 0.",
                i = "Is the event coded 1, or TRUE?", code = "no_event")
  }
  if (length(labels)) {
    flat <- by_column("low", pmin) == by_column("high", pmax)
    if (any(flat)) stop_constant(labels[flat])
  }
  terms <- lapply(seq_along(model$settings), function(k) {
    store_term(model$settings[[k]], lapply(notes, function(n) n$terms[[k]]))
  })
  meta <- first$meta
  meta["strata"] <- list(if (!is.null(first$meta$strata)) strata)
  meta$means <- stats::setNames(by_column("total", `+`) / count("rows_used"),
                                labels)
  if (!rlang::quo_is_null(model$weights)) {
    meta$weights <- rlang::as_label(model$weights)
  }
  list(
    rows = list(x = first$rows$x[0L, , drop = FALSE], event = integer(),
                weight = numeric(), subject = integer()),
    terms = terms, clock = "unit", meta = meta, store = place,
    needs_robust = count("repeated") > 0 || count("unwhole") > 0,
    counts = list(rows = store$n_rows, joined_rows = count("rows_used"),
                  subjects = store$n_people, events = count("events"),
                  zero_weight = count("zero_weight"))
  )
}

store_term <- function(s, notes) {
  names <- c("given", "used", "other_people", "outside_window", "overlapping")
  counts <- lapply(stats::setNames(names, names), function(name) {
    sum(vapply(notes, `[[`, 0, name))
  })
  if (counts$given == 0) {
    abort_input(sprintf("No record matches `%s`.", s$label),
                i = "Check the spelling of the drug, and that ids agree.",
                code = "no_records")
  }
  longest <- max(vapply(notes, `[[`, 0, "longest"))
  if (max(s$cutoff) > longest) {
    abort_input(
      "`cutoff` must not be longer than the longest history of a patient.",
      x = sprintf("It is %s; the longest history has %s time units.",
                  format(max(s$cutoff)), format(longest)),
      code = "cutoff"
    )
  }
  c(s, list(counts = counts, from_records = TRUE))
}
