# Dose histories of new people, and what they contribute to the hazard.

# ---- records -----------------------------------------------------------------

# What every exposure() term is called in records: the drug, or the column of
# doses.
exposure_words <- function(fit, env) {
  refuse_several(fit, "This prediction")
  calls <- split_formula(fit$formula)$exposures
  lapply(seq_along(calls), function(k) {
    e <- as.list(match.call(exposure, calls[[k]]))$e
    drug <- isTRUE(fit$exposures[[k]]$from_records)
    if (drug && !rlang::is_string(e)) e <- eval(e, env)
    list(drug = drug, e = e,
         word = if (rlang::is_string(e)) e else rlang::as_label(e))
  })
}

# newrecords as checked vectors: list(subject, start, stop, dose, drug), or
# NULL.
new_book <- function(faults, fit, newrecords, people, newdata, env) {
  words <- exposure_words(fit, env)
  if (is.null(newrecords)) {
    needed <- Filter(function(w) {
      w$drug || !all(all.vars(w$e) %in% names(newdata))
    }, words)
    if (length(needed)) {
      abort_input(
        "`newrecords` is missing: the dose histories of the people.",
        i = paste("For people without any dose give a table of no rows, with",
                  "columns `start`, `stop` and `dose`."),
        arg = "newrecords", code = "no_records"
      )
    }
    return(NULL)
  }
  if (!is.data.frame(newrecords)) {
    abort_input("`newrecords` must be a data frame.",
                x = sprintf("It is %s.", what_is(newrecords)),
                arg = "newrecords", code = "data_type")
  }
  absent <- setdiff(c("start", "stop", "dose"), names(newrecords))
  if (length(absent)) {
    add_missing_columns(faults, absent, names(newrecords), "newrecords")
    return(NULL)
  }
  if (nrow(newrecords) == 0L) {
    return(list(subject = integer(), start = numeric(), stop = numeric(),
                dose = numeric(), drug = character()))
  }
  read_new_records(faults, newrecords, people, words)
}

read_new_records <- function(faults, newrecords, people, words) {
  table <- "newrecords"
  book <- list(start = time_column(faults, newrecords$start, "start", table),
               stop = time_column(faults, newrecords$stop, "stop", table),
               dose = dose_column(faults, newrecords$dose, "dose", table),
               drug = as.character(newrecords$drug))
  if (is.null(newrecords$drug)) {
    if (length(words) > 1L) {
      add_missing_columns(faults, "drug", names(newrecords), table)
      return(NULL)
    }
    book$drug <- rep_len(words[[1L]]$word, nrow(newrecords))
  }
  kinds <- unique(c(people$kind, attr(book$start, "kind"),
                    attr(book$stop, "kind")))
  if (length(kinds) > 1L) {
    add_fault(faults, "mixed_time",
              paste("Times in `newdata` and `newrecords` must all be dates or",
                    "all numbers."), "Convert one of them.", table = table)
  }
  backward <- which(book$stop <= book$start)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "Stop must be later than start: a record is (start, stop].",
              "A dispensing on day D for n days is (D, D + n].", backward,
              table)
  }
  id <- people$subject$id
  if (is.null(people$subject) || any_faults(faults)) return(NULL)
  if (!id %in% names(newrecords)) {
    # One plan for everybody.
    n <- nrow(newrecords)
    each <- rep(seq_len(people$subject$n), each = n)
    return(c(list(subject = each),
             lapply(book, function(x) rep(as.vector(x), people$subject$n))))
  }
  if (!people$subject$own) {
    add_missing_columns(faults, id, character(), "newdata")
    return(NULL)
  }
  book$subject <- match_subjects(
    faults, id_values(faults, newrecords[[id]], id, table), people$subject, id
  )
  kept <- which(!is.na(book$subject))
  lapply(book, function(x) as.vector(x)[kept])
}

# Records of each term, shifted by its lag_in.
new_terms <- function(fit, parts, newdata, book, people, env) {
  words <- exposure_words(fit, env)
  lapply(seq_along(words), function(k) {
    term <- fit$exposures[[k]]
    word <- words[[k]]
    from_rows <- !word$drug && all(all.vars(word$e) %in% names(newdata))
    records <- if (from_rows) {
      row_doses(word$e, newdata, people, env)
    } else {
      mine <- book$drug == word$word
      lapply(book[c("subject", "start", "stop", "dose")], `[`, mine)
    }
    check_whole_records(fit, records)
    records$start <- records$start + term$lag_in
    records$stop <- records$stop + term$lag_in
    records
  })
}

row_doses <- function(e, newdata, people, env) {
  faults <- new_faults()
  dose <- dose_column(faults, eval(e, newdata, env), rlang::as_label(e),
                      "newdata")
  stop_for_faults(faults)
  taken <- which(dose != 0 & people$stop > people$start)
  list(subject = people$subject$code[taken], start = people$start[taken],
       stop = people$stop[taken], dose = dose[taken])
}

check_whole_records <- function(fit, records) {
  if (identical(fit$clock, "continuous")) return(invisible())
  bad <- which(records$start != floor(records$start) |
                 records$stop != floor(records$stop))
  if (length(bad)) {
    abort_input(
      "Times of records must be whole numbers of time units, as in the fit.",
      x = sprintf("%s are not.", count_of(length(bad), "record")),
      code = "fractional_time", arg = "newrecords", rows = bad
    )
  }
}

# ---- features ----------------------------------------------------------------

# What the coefficients of all exposure terms multiply for `subject` at `time`
# (vectors of one length): pairs x (coefficients of all terms).
history_features <- function(fit, terms, subject, time) {
  pieces <- lapply(seq_along(terms), function(k) {
    term_features(fit$exposures[[k]], terms[[k]], subject, time)
  })
  do.call(cbind, pieces)
}

# A record (s, e] of dose c adds c (C(t - s) - C(t - e)), C the cumulated basis.
term_features <- function(exposure, records, subject, time) {
  cumulated <- cumulated_basis(exposure)
  features <- matrix(0, length(subject), ncol(exposure$basis_matrix))
  if (!length(records$subject) || !length(subject)) return(features)
  sorted <- order(records$subject)
  n <- max(records$subject, subject)
  size <- tabulate(records$subject, n)
  first <- cumsum(c(1L, size))[seq_len(n)]
  pairs <- which(size[subject] > 0L)
  for (some in in_portions(pairs, size[subject[pairs]])) {
    count <- size[subject[some]]
    record <- sorted[sequence(count, first[subject[some]])]
    pair <- rep(some, count)
    near <- records$start[record] < time[pair] &
      records$stop[record] > time[pair] - cumulated$window
    record <- record[near]
    pair <- pair[near]
    if (!length(pair)) next
    each <- records$dose[record] *
      (cumulated$at(time[pair] - records$start[record]) -
         cumulated$at(time[pair] - records$stop[record]))
    sums <- rowsum(each, pair)
    features[as.integer(rownames(sums)), ] <- sums
  }
  features
}

# C as a function of lags, which are clipped to the window.
cumulated_basis <- function(exposure) {
  if (identical(exposure$clock, "continuous")) {
    table <- exposure$integral
    return(list(window = max(table$breaks),
                at = function(u) integral_at(table, u)))
  }
  table <- wce_cumulate(exposure$basis_matrix)
  window <- nrow(table) - 1
  list(window = window, at = function(u) {
    table[pmin(pmax(u, 0), window) + 1, , drop = FALSE]
  })
}

# Cuts x where the running total of `size` passes a million.
in_portions <- function(x, size, most = 1e6) {
  split(x, floor(cumsum(as.double(size)) / most))
}
