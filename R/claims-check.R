# check_claims(): faults of raw claims, and their repair by named rules. The
# rules are in claims-check-rules.R; each is found on the tables as the rules
# before it have left them, so that repairs add up. Row numbers are always those
# of the tables that were given.

#' Check raw claims, and repair them by named rules
#'
#' Looks through the tables for what makes studies wrong, and says how many
#' rows, which, why, and what can be done. Nothing is changed unless `fix` names
#' the rule; the repaired tables are then in `$tables`.
#'
#' @section Rules:
#' In the order in which they are applied. Found only:
#' \describe{
#' \item{`missing_column`, `wrong_type`}{A required column is not there, or a
#'   column has another type than the schema says.}
#' \item{`mixed_time`, `id_type`}{Days are dates in one table and numbers in
#'   another; ids are strings in one and numbers in another.}
#' \item{`id_precision`}{Ids that numbers do not hold: of 2^53 or more,
#'   fractions, or strings such as `"1.2e+11"`.}
#' \item{`duplicate_person`}{Several rows of a person in `people` or `deaths`.}
#' }
#' Repaired by changing the column:
#' \describe{
#' \item{`encoding`}{Strings that are not UTF-8 are converted from Latin-1.}
#' \item{`blanks`}{Blanks around ids or codes are removed.}
#' \item{`time_zone`}{Date-times become dates, in their own time zone; the rows
#'   are those that have another day in UTC.}
#' \item{`fractional_days`}{Days that are not whole are rounded down.}
#' }
#' Repaired by dropping rows:
#' \describe{
#' \item{`missing_values`}{A required value is missing.}
#' \item{`impossible_dates`}{Before `first_day` or after `last_day`.}
#' \item{`end_before_start`}{The end comes before the start.}
#' \item{`duplicates`}{Rows equal in all columns to an earlier one.}
#' \item{`reversals`}{Negative quantities, and the dispensing that each one
#'   cancels: the last one up to that day, not cancelled yet, of the same
#'   person, drug and quantity.}
#' \item{`reversals_alone`}{Negative quantities that cancel nothing.}
#' \item{`no_supply`}{Days or quantities of zero, negative days.}
#' \item{`unknown_person`}{People who are not in `people`.}
#' \item{`unknown_code`}{Drugs not in `drugs`, diagnoses not in `codes`.}
#' \item{`before_birth`, `after_death`, `outside_coverage`}{On days when the
#'   person was not born, was dead, or was not covered.}
#' }
#'
#' @param dispensings,people,coverage,stays,diagnoses,deaths Data frames, or
#'   results of [source_table()]; see [claims_schema()]. Those that are not
#'   given are not checked.
#' @param id Name of the column that identifies a person, bare or a string.
#' @param drugs,codes Known codes of drugs and of diagnoses; a code stands for
#'   all below it. `NULL`: not checked.
#' @param first_day,last_day Days outside which dates are impossible; `NULL`:
#'   1900-01-01 and today for dates, no limits for numbers.
#' @param fix Names of rules to repair by; `NULL`: none.
#' @return An object of class `claims_check`: `$findings`, a data frame with one
#'   row per rule, table and column (`rule`, `table`, `column`, `n_rows`,
#'   `reason`, `fix`, `fixed`); `$rows`, a list with the row numbers of each;
#'   `$n_rows`, the sizes of the tables; `$tables`, the repaired tables, if
#'   `fix` was given.
#' @seealso [exposure_episodes()], [cohort()]
#' @export
#' @examples
#' d <- data.frame(
#'   person_id = c(1, 1, 1, 2), drug = c("A", "A", "A", "B"),
#'   date = as.Date("2024-01-01") + c(0, 0, 3, 900),
#'   quantity = c(30, 30, -30, 1)
#' )
#' deaths <- data.frame(person_id = 2, date = as.Date("2024-06-01"))
#' found <- check_claims(d, deaths = deaths, last_day = as.Date("2026-12-31"))
#' found
#' clean <- check_claims(d, deaths = deaths, last_day = as.Date("2026-12-31"),
#'                       fix = c("duplicates", "reversals", "after_death"))
#' clean$tables$dispensings
check_claims <- function(dispensings = NULL, people = NULL, coverage = NULL,
                         stays = NULL, diagnoses = NULL, deaths = NULL,
                         id = "person_id", drugs = NULL, codes = NULL,
                         first_day = NULL, last_day = NULL, fix = NULL) {
  tables <- list(dispensings = dispensings, people = people,
                 coverage = coverage, stays = stays, diagnoses = diagnoses,
                 deaths = deaths)
  tables <- tables[!vapply(tables, is.null, NA)]
  if (!length(tables)) {
    abort_input("Give at least one table.", code = "missing_table")
  }
  id <- id_column(rlang::enquo(id), table_columns(tables[[1L]]))
  tables <- lapply(tables, claims_rows)
  for (name in names(tables)) {
    if (is.data.frame(tables[[name]])) next
    abort_input(sprintf("`%s` must be a data frame.", name),
                x = sprintf("It is %s.", what_is(tables[[name]])),
                arg = name, code = "data_type")
  }
  check_fix(fix)
  ctx <- new.env(parent = emptyenv())
  ctx$tables <- tables
  ctx$row <- lapply(tables, function(t) seq_len(nrow(t)))
  ctx$schema <- schema_of_tables(names(tables), id)
  ctx$id <- id
  ctx$coded <- list()
  ctx$known <- list(drug = drugs, code = codes)
  ctx$days <- list(first = first_day, last = last_day)

  findings <- list()
  for (rule in names(claims_rules)) {
    found <- claims_rules[[rule]]$find(ctx)
    fixed <- rule %in% fix
    for (one in found) {
      findings <- c(findings, list(c(one, list(
        rule = rule, fixed = fixed,
        original = ctx$row[[one$table]][one$rows]
      ))))
    }
    if (fixed) repair_claims(ctx, claims_rules[[rule]], found)
  }
  new_claims_check(findings, tables, if (length(fix)) ctx$tables)
}

check_fix <- function(fix) {
  can <- names(Filter(function(r) !is.null(r$repair), claims_rules))
  bad <- setdiff(fix, can)
  if (length(bad)) {
    abort_input(
      "`fix` must name rules that can repair.",
      x = sprintf("These cannot: %s.", paste(dQuote(bad, FALSE),
                                             collapse = ", ")),
      i = sprintf("There are: %s.", paste(dQuote(can, FALSE), collapse = ", ")),
      arg = "fix", code = "fix"
    )
  }
}

schema_of_tables <- function(names, id) {
  schema <- claims_schema()
  schema <- schema[schema$table %in% names, ]
  schema$given <- ifelse(schema$column == "person_id", id, schema$column)
  schema
}

# Drops rows, or changes columns; all findings of the rule at once, as row
# numbers move.
repair_claims <- function(ctx, rule, found) {
  for (name in unique(vapply(found, `[[`, "", "table"))) {
    mine <- Filter(function(f) f$table == name, found)
    if (identical(rule$repair, "drop")) {
      gone <- unique(unlist(lapply(mine, `[[`, "rows")))
      if (!length(gone)) next
      keep <- seq_along(ctx$row[[name]])[-gone]
      ctx$tables[[name]] <- only_rows(ctx$tables[[name]], keep)
      ctx$row[[name]] <- ctx$row[[name]][keep]
      for (column in names(ctx$coded[[name]])) {
        ctx$coded[[name]][[column]]$code <-
          ctx$coded[[name]][[column]]$code[keep]
      }
    } else {
      for (f in mine) {
        x <- ctx$tables[[name]][[f$column]]
        ctx$tables[[name]][[f$column]] <- rule$repair(x)
        ctx$coded[[name]][[f$column]] <- NULL
      }
    }
  }
}

# As data[keep, , drop = FALSE], which looks through the names of all rows.
only_rows <- function(data, keep) {
  plain <- identical(class(data), "data.frame") &&
    all(vapply(data, function(x) is.null(dim(x)), NA))
  if (!plain) return(data[keep, , drop = FALSE])
  names <- attr(data, "row.names")[keep]
  data <- lapply(data, function(x) x[keep])
  class(data) <- "data.frame"
  attr(data, "row.names") <- names
  data
}

new_claims_check <- function(findings, tables, repaired) {
  text <- function(name) {
    vapply(findings, function(f) f[[name]] %||% "", "")
  }
  rules <- claims_rules[text("rule")]
  table <- data.frame(
    rule = text("rule"), table = text("table"), column = text("column"),
    n_rows = vapply(findings, function(f) length(f$original), 1L),
    reason = vapply(rules, `[[`, "", "reason"),
    fix = vapply(rules, `[[`, "", "fix"),
    fixed = vapply(findings, `[[`, NA, "fixed"), row.names = NULL
  )
  rows <- lapply(findings, `[[`, "original")
  names(rows) <- paste(table$rule, table$table, table$column, sep = ".")
  names(rows) <- sub("[.]$", "", names(rows))
  structure(
    list(findings = table, rows = rows,
         n_rows = vapply(tables, nrow, 1L), tables = repaired),
    class = "claims_check"
  )
}

#' @export
print.claims_check <- function(x, ...) {
  sizes <- paste(sprintf("%s (%s)", names(x$n_rows),
                         vapply(x$n_rows, count_of, "", noun = "row")),
                 collapse = ", ")
  cat_wrapped("Claims checked: ", sizes)
  f <- x$findings
  if (nrow(f) == 0L) {
    cat("Nothing was found.\n")
    return(invisible(x))
  }
  for (k in seq_len(nrow(f))) {
    where <- paste0(f$table[k], if (nzchar(f$column[k])) "$", f$column[k])
    cat_wrapped(sprintf(
      "%s %s, %s: %s %s", if (f$fixed[k]) "[fixed]" else "-", f$rule[k],
      where, f$reason[k],
      if (f$n_rows[k] > 0) sprintf("(%s)", count_of(f$n_rows[k], "row")) else ""
    ))
    if (!f$fixed[k]) cat_wrapped(f$fix[k], indent = 4L, exdent = 4L)
  }
  cat(if (is.null(x$tables)) "Row numbers are in `$rows`.\n" else
    "Row numbers are in `$rows`, repaired tables in `$tables`.\n")
  invisible(x)
}
