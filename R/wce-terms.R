# exposure() terms that are several: a weight function for each level of `by`,
# or one for each column of a basis of doses.
#
# A term's `part` says which of the doses are its own (where = "people" or
# "records", code = level of each row, level), `response` how doses enter
# (a dose_basis, of which it is `column`), and `group` which terms belong
# together.

# settings: of exposure_arguments(). Value: settings, one per term.
expand_terms <- function(settings, data, records, env) {
  several <- lapply(settings, function(s) {
    s <- label_joint(s)
    terms <- if (is.null(s$by)) list(s) else {
      split_by(s, data, records, env)
    }
    unlist(lapply(terms, split_response), recursive = FALSE)
  })
  unlist(several, recursive = FALSE)
}

# The names that `by` reads, of a column of data; those of records are seen to
# by split_by().
by_names <- function(settings, data) {
  names <- unlist(lapply(settings, function(s) all.vars(s$by)))
  intersect(names, names(data))
}

split_by <- function(s, data, records, env) {
  names <- all.vars(s$by)
  where <- if (all(names %in% names(data))) "people" else "records"
  if (where == "records" && !all(names %in% names(records))) {
    abort_input(
      sprintf("`by` of `%s` must be made of columns of `data` or of `records`.",
              s$label),
      x = sprintf("It is `%s`.", rlang::as_label(s$by)), code = "by",
      arg = "by"
    )
  }
  table <- if (where == "people") data else records
  value <- eval(s$by, table, env)
  usable <- (is.factor(value) || is.character(value) || is.logical(value) ||
               is.numeric(value)) && length(value) == nrow(table)
  if (!usable || anyNA(value)) {
    abort_input(
      sprintf("`by` of `%s` must be groups of the rows of `%s`.", s$label,
              if (where == "people") "data" else "records"),
      x = if (usable) sprintf("%s.", count_of(sum(is.na(value)),
                                              "missing value")) else
        sprintf("It is %s.", what_is(value)),
      code = "by", arg = "by"
    )
  }
  value <- droplevels(as.factor(value))
  if (nlevels(value) > 20L) {
    abort_input(sprintf("`by` of `%s` has %s levels.", s$label,
                        format_count(nlevels(value))),
                i = "Group them: `cut()`.", code = "by", arg = "by")
  }
  lapply(seq_len(nlevels(value)), function(k) {
    s$part <- list(where = where, code = as.integer(value), level = k)
    s$group <- s$label
    s$label <- labelled(s$label, rlang::as_label(s$by), levels(value)[k])
    s
  })
}

# What a term of more than one drug, or of first doses, is called.
label_joint <- function(s) {
  s$joint <- isTRUE(s$first) || !is.null(s[["with"]])
  if (isTRUE(s$first)) s$label <- labelled(s$label, "first", TRUE)
  for (name in c("with", "within")) {
    if (!is.null(s[[name]])) {
      s$label <- labelled(s$label, name, format(s[[name]]))
    }
  }
  s
}

labelled <- function(label, name, value) {
  sub(")$", sprintf(", %s = %s)", name, value), label)
}

split_response <- function(s) {
  if (is.null(s$response)) return(list(s))
  s$response <- as_dose_basis(s$response, s$label)
  if (!is.null(s$smooth)) s$response <- turned_dose_basis(s$response, s$label)
  s$surface <- s$label
  n <- s$response$n
  lapply(seq_len(n), function(k) {
    s$column <- k
    if (n > 1L) s$label <- labelled(s$label, "dose", k)
    s
  })
}

# ---- doses of one term ------------------------------------------------------

# records: list(subject, dose, ..., row = of the book, or NULL for row doses).
own_records <- function(s, records, book, people) {
  part <- s$part
  if (!is.null(part)) {
    code <- if (part$where == "records") part$code[records$row] else
      person_level(s, people)[records$subject]
    mine <- code == part$level
    columns <- c("subject", "start", "stop", "dose", "row")
    records[columns] <- lapply(records[columns], `[`, mine)
  }
  records$dose <- response_of(s, records$dose)
  records
}

# Doses of rows.
own_row_doses <- function(s, dose) {
  if (!is.null(s$part)) {
    if (s$part$where == "records") {
      abort_input(sprintf("`by` of `%s` must be made of columns of `data`.",
                          s$label),
                  i = "The doses are those of its rows.", code = "by",
                  arg = "by")
    }
    dose <- dose * (s$part$code == s$part$level)
  }
  response_of(s, dose)
}

response_of <- function(s, dose) {
  if (is.null(s$response)) return(dose)
  dose_columns(s$response, dose)[, s$column]
}

# The level of every person: rows of a person have one.
person_level <- function(s, people) {
  subject <- people$subject$code
  level <- integer(people$subject$n)
  level[subject] <- s$part$code
  if (any(level[subject] != s$part$code)) {
    abort_input(
      sprintf("`by` of `%s` changes within a person.", s$label),
      i = paste("Doses of records have the level of their person, or of a",
                "column of `records`."), code = "by", arg = "by"
    )
  }
  level
}

# What overlaps adds up before its effect is known: not so with a response.
check_one_at_a_time <- function(s, n_overlapping) {
  if (is.null(s$response) || n_overlapping == 0) return(invisible())
  abort_input(
    sprintf("Records of `%s` overlap, and its dose does not enter as it is.",
            s$label),
    x = sprintf("%s.", count_of(n_overlapping, "overlapping record")),
    i = "Add them up first: `exposure_episodes()`.", code = "overlapping_rows"
  )
}

# Methods that know one dose per term.
refuse_several <- function(fit, what) {
  several <- vapply(fit$exposures, function(e) {
    !is.null(e$group) || !is.null(e$response) || isTRUE(e$joint)
  }, NA)
  if (!any(several)) return(invisible())
  abort_input(
    sprintf(paste("%s is not available with `by`, `dose`, `with` or `first` in",
                  "`exposure()`."), what),
    i = "`weight_function()` and `dose_response()` are.",
    code = "several_terms"
  )
}

refuse_in_store <- function(settings) {
  used <- vapply(settings, function(s) {
    !is.null(s$by) || !is.null(s$response) || !is.null(s[["with"]]) ||
      isTRUE(s$first)
  }, NA)
  if (!any(used)) return(invisible())
  abort_input(
    paste("`by`, `dose`, `with` and `first` of `exposure()` do not go with a",
          "store."),
    i = "Give data frames, or records with one drug for each group.",
    code = "unsupported_term"
  )
}
