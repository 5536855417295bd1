# One block of a store as the rows and records of a model.

# block: of read_store_block(); model: of store_design(). Value: list(rows,
# strata = labels, stratum = codes among them, notes, meta, template, records,
# cluster, n_people, number).
store_rows <- function(block, model) {
  data <- block$people
  env <- model$parts$env
  where <- sprintf("people, block %d", block$number)
  faults <- new_faults()
  check_event_coding(eval(model$surv$event, data, env), block$number)
  people <- read_people(faults, data, model$id, model$surv, env)
  columns <- covariate_columns(faults, model$covariates, data, env)
  weight <- read_weights(faults, model$weights, data)
  if (model$whole) check_clock(faults, "unit", people, list(), NULL)
  check_people(faults, people)
  cluster <- store_cluster(faults, model, data, people)
  stop_for_faults(in_table(faults, where))
  joined <- join_people(people, columns, weight, FALSE)
  found <- store_covariates(model, joined, block$number)
  first <- joined$first
  rows <- list(
    subject = people$subject$code[first],
    start = as.vector(people$start)[first],
    stop = as.vector(people$stop)[joined$last],
    event = people$event[joined$last],
    offset = found$offset, weight = joined$weight, x = found$x
  )
  c(list(rows = rows, n_people = block$n_people, records = block$records,
         number = block$number, joined = joined, cluster = cluster,
         kind = attr(people$stop, "kind"),
         notes = row_notes(rows, people, weight)),
    found[c("strata", "stratum", "meta", "template")])
}

in_table <- function(faults, where) {
  faults$list <- lapply(faults$list, function(f) {
    f$table <- where
    f
  })
  faults
}

# In a block without an event, 1 of the coding 1/2 would read as an event.
check_event_coding <- function(event, number) {
  if (!is.numeric(event) || all(event %in% 0:1)) return(invisible())
  abort_input("In a store the event must be 0 or 1, or a comparison.",
              x = sprintf("It is not in block %d.", number),
              i = "Make it a comparison, as `status == 2`.",
              code = "event_values")
}

row_notes <- function(rows, people, weight) {
  x <- rows$x
  each <- function(f) {
    if (!nrow(x)) return(rep(0, ncol(x)))
    vapply(seq_len(ncol(x)), function(j) f(x[, j]), 0)
  }
  died <- rows$subject[rows$event == 1]
  list(
    events = sum(rows$event), rows_used = length(rows$start),
    zero_weight = sum(weight == 0), repeated = sum(duplicated(died)),
    unwhole = sum(rows$weight != floor(rows$weight)),
    low = each(min), high = each(max), total = each(sum)
  )
}

# ---- covariates -------------------------------------------------------------

# Value: x, offset, strata (labels), stratum (codes), meta, template.
store_covariates <- function(model, joined, number) {
  n <- length(joined$first)
  data <- structure(joined$columns, class = "data.frame",
                    row.names = .set_row_names(n))
  frame <- store_frame(model, data, number)
  at <- attr(frame$terms, "specials")$strata
  strata <- store_strata(frame, at, n)
  offset <- stats::model.offset(frame$frame)
  found <- read_matrix(frame$terms, frame$frame, n)
  x <- found$matrix
  template <- model$template %||% list(
    labels = colnames(x), xlevels = frame$xlevels, contrasts = found$contrasts,
    predvars = attr(attr(frame$frame, "terms"), "predvars")
  )
  check_block_columns(x, frame$frame, template, number)
  list(
    x = x, offset = if (is.null(offset)) numeric(n) else as.double(offset),
    strata = strata$labels, stratum = strata$code, template = template,
    meta = list(terms = found$terms, xlevels = found$xlevels,
                contrasts = found$contrasts, assign = found$assign,
                strata = if (!is.null(at)) strata$labels)
  )
}

# Factors keep the levels that they have in the store, or in the first block.
store_frame <- function(model, data, number) {
  rhs <- rlang::new_formula(NULL, model$parts$covariates,
                            env = model$parts$env)
  terms <- stats::terms(rhs, specials = c("strata", not_supported),
                        data = data)
  refuse_specials(terms)
  frame <- tryCatch(
    stats::model.frame(terms, data, na.action = stats::na.pass,
                       xlev = model$template$xlevels),
    error = function(e) {
      if (is.null(model$template)) stop(e)
      abort_whole_column(sprintf("Block %d has levels that block 1 has not.",
                                 number))
    }
  )
  list(terms = terms, frame = frame,
       xlevels = without_strata(stats::.getXlevels(terms, frame)))
}

without_strata <- function(levels) {
  levels[!startsWith(as.character(names(levels)), "strata(")]
}

store_strata <- function(frame, at, n) {
  if (is.null(at)) return(list(labels = "all", code = rep.int(1L, n)))
  # strata() must stand alone, and labels are the same in all blocks.
  both <- read_strata(frame$terms, frame$frame, n)
  used <- sort(unique(both$code))
  list(labels = both$levels[used], code = match(both$code, used))
}

check_block_columns <- function(x, frame, template, number) {
  if (!identical(colnames(x), template$labels)) {
    abort_whole_column(sprintf("The columns of block %d are not those of %s.",
                               number, "block 1"))
  }
  if (!identical(attr(attr(frame, "terms"), "predvars"), template$predvars)) {
    abort_whole_column("Its knots or constants come from the data.")
  }
  faults <- new_faults()
  for (j in seq_len(ncol(x))) {
    bad <- which(!is.finite(x[, j]))
    if (length(bad)) {
      add_fault(
        faults, "infinite_values",
        sprintf("The covariate `%s` is not a finite number.", colnames(x)[j]),
        "Is it a logarithm or a ratio of a column with zeros?", bad,
        sprintf("people, block %d", number)
      )
    }
  }
  stop_for_faults(faults)
}

# The rows of the first block, evaluated without their neighbours.
check_by_row <- function(first, model) {
  n <- nrow(first$rows$x)
  if (n < 3L || ncol(first$rows$x) == 0L) return(invisible())
  parts <- list(seq.int(1L, n, by = 2L), rev(seq_len(ceiling(n / 3))))
  model$template <- first$template
  for (rows in parts) {
    part <- first$joined
    part$first <- part$first[rows]
    part$columns <- lapply(part$columns, function(x) {
      if (is.matrix(x)) x[rows, , drop = FALSE] else x[rows]
    })
    again <- store_covariates(model, part, 1L)
    same <- isTRUE(all.equal(unname(again$x),
                             unname(first$rows$x[rows, , drop = FALSE]),
                             tolerance = 1e-12, check.attributes = FALSE))
    if (!same || !identical(again$offset, first$rows$offset[rows])) {
      abort_whole_column("Some rows have other values without the others.")
    }
  }
}

abort_whole_column <- function(why) {
  abort_input(
    "A term of the formula looks at the whole column, and a store has blocks.",
    x = why,
    i = paste("Give knots and boundary knots in numbers, and levels by a",
              "factor column of the store."),
    code = "whole_column"
  )
}

# ---- records ----------------------------------------------------------------

# Value: list(terms = records for the engine, counts), by exposure.
store_terms <- function(block, model) {
  if (!length(model$settings)) return(list(terms = list(), counts = list()))
  faults <- new_faults()
  where <- sprintf("records, block %d", block$number)
  r <- block$records
  book <- list(
    start = time_column(faults, r$start, "start", where),
    stop = time_column(faults, r$stop, "stop", where),
    dose = dose_column(faults, r$dose, "dose", where)
  )
  check_dispensings(faults, book, r, where, block$kind)
  stop_for_faults(faults)
  follow_up <- subject_follow_up(c(block$rows,
                                   list(n_subjects = block$n_people)))
  found <- lapply(model$settings, function(s) {
    of_drug <- which(as.character(r$drug) == s$drug)
    block_term(s, list(subject = r[[model$id]][of_drug],
                       start = as.vector(book$start)[of_drug],
                       stop = as.vector(book$stop)[of_drug],
                       dose = book$dose[of_drug]), follow_up)
  })
  list(terms = lapply(found, `[[`, "records"),
       counts = lapply(found, `[[`, "counts"))
}

check_dispensings <- function(faults, book, r, where, kind) {
  kinds <- c(kind, attr(book$start, "kind"), attr(book$stop, "kind"))
  if (length(unique(kinds)) > 1L) {
    add_fault(faults, "mixed_time",
              "Times of people and records must all be dates or all numbers.",
              "Convert one of them, as `as.Date(start)`.", table = where)
  }
  if (anyNA(r$drug)) {
    add_fault(faults, "missing_values",
              "Column `drug` must have no missing values.",
              "Remove these records.", which(is.na(r$drug)), where)
  }
  backward <- which(book$stop <= book$start)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "Stop must be later than start: a record is (start, stop].",
              "A dispensing on day D for n days is (D, D + n].", backward,
              where)
  }
  check_clock(faults, "unit", list(), list(), book)
}

block_term <- function(s, records, follow_up) {
  begin <- follow_up$entry
  if (length(records$start)) {
    oldest <- order(records$start, decreasing = TRUE)
    begin[records$subject[oldest]] <- pmin(begin[records$subject[oldest]],
                                           records$start[oldest])
  }
  sorted <- if (is_sorted_within(records$subject, records$start)) {
    integer()
  } else {
    order(records$subject, records$start, method = "radix")
  }
  scan <- scan_records(records$subject, records$start + s$lag_in,
                       records$stop + s$lag_in, follow_up$entry,
                       follow_up$exit, max(s$n_lags), sorted)
  inside <- scan$place == 0L & records$dose != 0
  keep <- which(inside)
  span <- follow_up$exit - begin
  list(
    records = list(subject = records$subject[keep],
                   start = records$start[keep] + s$lag_in,
                   stop = records$stop[keep] + s$lag_in,
                   dose = records$dose[keep]),
    counts = list(given = length(inside), used = sum(inside),
                  other_people = 0, outside_window = sum(scan$place != 0L),
                  overlapping = as.double(scan$n_overlapping),
                  longest = max(span[is.finite(span)], 0))
  )
}
