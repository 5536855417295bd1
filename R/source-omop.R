# OMOP CDM 5.x as our tables. A table here is a handle on one table of the CDM
# with a last step, `finish`, that turns its rows into ours; so filters, blocks
# and everything else of handles work.

#' Tables of an OMOP common data model
#'
#' A [source][claims_source] whose tables are `people`, `coverage`,
#' `dispensings`, `diagnoses`, `deaths` and `stays`, as [claims_schema()] has
#' them, made from a database in OMOP CDM 5.x.
#'
#' @section What becomes what:
#' \describe{
#' \item{`people`}{`person`. A birthday without a day is the 15th of the month,
#'   without a month the 1st of July. `sex` is `"male"`, `"female"` or missing.}
#' \item{`coverage`}{`observation_period`.}
#' \item{`dispensings`}{`drug_exposure`: `days_supply` as it is given, if more
#'   than zero, and otherwise the days from start to end, both counted;
#'   `quantity`. Or `drug_era`: the days from start to end, both counted.}
#' \item{`diagnoses`}{`condition_occurrence`, by its start.}
#' \item{`deaths`}{`death`.}
#' \item{`stays`}{`visit_occurrence` of inpatients (concepts 9201 and 262 and
#'   those below 9201).}
#' }
#'
#' @section Concepts:
#' `drugs` and `conditions` are sets of concepts. The name of a set is then the
#' code (`drug`, `code`, `cause`) of all rows whose concept is in it or, through
#' `concept_ancestor`, below it; other rows are not read. A row in several sets
#' is there once for each; a cause of death has the first. Without sets, codes
#' are concept ids written with 10 digits (`"0001124957"`), so that none is the
#' beginning of another.
#'
#' @param con A connection of DBI, or a [source][claims_source] with the tables
#'   of the CDM, such as a folder of Parquet files.
#' @param schema `NULL`, or the schema that has the tables.
#' @param drugs,conditions `NULL`, or named lists of concept ids, as
#'   `list(celecoxib = 1118084, nsaid = c(1115008, 1177480))`. No name may begin
#'   with another one.
#' @param drug_table `"drug_exposure"` or `"drug_era"`.
#' @param time_zone As for [dbi_source()].
#' @return A source. [source_table()] of it takes `columns` (names of ours, as
#'   they are) and `between` (for the date); other filters are the sets.
#' @section Warnings:
#' `vigitensor_warning_no_descendants`: there is no table `concept_ancestor`, so
#' that sets are the concepts alone.
#' @seealso [source_table()], [claims_source]
#' @export
#' @examples
#' if (requireNamespace("RSQLite", quietly = TRUE)) {
#'   con <- DBI::dbConnect(RSQLite::SQLite())
#'   DBI::dbWriteTable(con, "person", data.frame(
#'     person_id = 1:2, gender_concept_id = c(8507, 8532),
#'     year_of_birth = c(1950, 1961), month_of_birth = c(6, NA),
#'     day_of_birth = c(1, NA)
#'   ))
#'   cdm <- omop_source(con)
#'   print(as.data.frame(source_table(cdm, "people")))
#'   DBI::dbDisconnect(con)
#' }
omop_source <- function(con, schema = NULL, drugs = NULL, conditions = NULL,
                        drug_table = "drug_exposure", time_zone = "UTC") {
  base <- if (inherits(con, "claims_source")) con else {
    dbi_source(con, schema, time_zone)
  }
  drug_table <- check_word(drug_table, c("drug_exposure", "drug_era"),
                           "drug_table")
  src <- new_source("omop_source", base = base, dialect = base$dialect,
                    time_zone = base$time_zone, drug_table = drug_table,
                    sets = list(drug = check_sets(drugs, "drugs"),
                                code = check_sets(conditions, "conditions")))
  there <- source_tables(base)
  src$there <- stats::setNames(there, tolower(there))
  if (!length(source_tables(src))) {
    abort_source("There are no tables of an OMOP CDM.",
                 x = sprintf("There are: %s.", some_of(there)),
                 i = "Give the schema that has them.", code = "missing")
  }
  has_sets <- lengths(src$sets) > 0L
  if (any(has_sets) && !"concept_ancestor" %in% names(src$there)) {
    warn_user("There is no table concept_ancestor.",
              i = "Sets are the concepts that were given, without those below.",
              code = "no_descendants")
  }
  src
}

check_sets <- function(sets, arg) {
  if (is.null(sets)) return(list())
  names <- names(sets) %||% ""
  ids <- is.list(sets) && all(vapply(sets, function(x) {
    is_plain_number(x) && length(x) > 0L && all(is.finite(x)) &&
      all(x == floor(x) & x > 0)
  }, NA))
  if (!ids || any(plain_codes(names) == "") || anyDuplicated(names)) {
    abort_input(sprintf("`%s` must be a named list of concept ids.", arg),
                i = "As list(celecoxib = 1118084).", arg = arg, code = "sets")
  }
  plain <- plain_codes(names)
  within <- outer(plain, plain, startsWith) & !diag(length(plain))
  if (any(within)) {
    abort_input(
      sprintf("No name in `%s` may begin with another one.", arg),
      i = "Codes stand for all that begins with them.", arg = arg,
      code = "sets"
    )
  }
  lapply(sets, as.integer)
}

# ---- which table of the CDM, and which of its columns ------------------------

# concept: the column that sets are about; dates: those that become days.
omop_layout <- list(
  people = list(
    from = "person", dates = character(),
    columns = c("person_id", "gender_concept_id", "year_of_birth",
                "month_of_birth", "day_of_birth"),
    ours = c("person_id", "birth_date", "sex")
  ),
  coverage = list(
    from = "observation_period",
    dates = c(start = "observation_period_start_date",
              end = "observation_period_end_date"),
    columns = "person_id", ours = c("person_id", "start", "end")
  ),
  drug_exposure = list(
    from = "drug_exposure", concept = "drug_concept_id", set = "drug",
    dates = c(date = "drug_exposure_start_date",
              until = "drug_exposure_end_date"),
    columns = c("person_id", "days_supply", "quantity"),
    ours = c("person_id", "date", "drug", "days_supply", "quantity")
  ),
  drug_era = list(
    from = "drug_era", concept = "drug_concept_id", set = "drug",
    dates = c(date = "drug_era_start_date", until = "drug_era_end_date"),
    columns = "person_id", ours = c("person_id", "date", "drug", "days_supply")
  ),
  diagnoses = list(
    from = "condition_occurrence", concept = "condition_concept_id",
    set = "code", dates = c(date = "condition_start_date"),
    columns = "person_id", ours = c("person_id", "date", "code")
  ),
  deaths = list(
    from = "death", dates = c(date = "death_date"),
    columns = c("person_id", "cause_concept_id"),
    ours = c("person_id", "date", "cause")
  ),
  stays = list(
    from = "visit_occurrence", concept = "visit_concept_id",
    dates = c(admission = "visit_start_date", discharge = "visit_end_date"),
    columns = "person_id", ours = c("person_id", "admission", "discharge")
  )
)

layout_of <- function(src, table) {
  omop_layout[[if (table == "dispensings") src$drug_table else table]]
}

omop_tables <- function(x) {
  ours <- c("people", "coverage", "dispensings", "diagnoses", "deaths", "stays")
  from <- vapply(ours, function(table) layout_of(x, table)$from, "")
  ours[from %in% names(x$there)]
}

# others: the arguments of source_table() that are not for these tables.
omop_table <- function(src, table, columns, between, others) {
  table <- check_table_name(src, table)
  layout <- layout_of(src, table)
  if (any(lengths(others) > 0L)) {
    abort_input("Tables of omop_source() take `columns` and `between` only.",
                i = "Codes are chosen by `drugs` and `conditions` there.",
                arg = "codes", code = "filter")
  }
  wanted <- columns %||% layout$ours
  if (!is.character(wanted) || !all(wanted %in% layout$ours)) {
    abort_input("`columns` must be columns of this table.",
                i = sprintf("There are: %s.", some_of(layout$ours)),
                arg = "columns", code = "columns")
  }
  handle <- source_table(
    src$base, src$there[[layout$from]],
    columns = omop_columns(src, layout), between = between,
    dates = names(layout$dates)
  )
  concepts <- wanted_concepts(src, table, layout)
  if (!is.null(concepts)) {
    handle$conditions <- concept_condition(src, handle, concepts)
  }
  handle$names <- wanted
  handle$finish <- function(rows) {
    rows <- finish_omop(src, table, rows)
    rows[wanted]
  }
  handle$shown <- data.frame(column = wanted, from = layout$from)
  handle
}

# Names of columns are written in upper or lower case; ours are the lower ones.
omop_columns <- function(src, layout) {
  there <- source_columns(src$base, src$there[[layout$from]])$column
  wanted <- c(stats::setNames(nm = layout$columns), layout$dates,
              concept = layout$concept)
  at <- match(wanted, tolower(there))
  if (anyNA(at)) {
    abort_source(
      sprintf("Table %s of the CDM has no column %s.", layout$from,
              some_of(paste0("`", wanted[is.na(at)], "`"))),
      i = "omop_source() reads OMOP CDM 5.x.", code = "missing"
    )
  }
  stats::setNames(there[at], names(wanted))
}

# ---- concepts ---------------------------------------------------------------

# Ancestors whose rows a table has; NULL for all rows.
wanted_concepts <- function(src, table, layout) {
  if (table == "stays") return(c(9201L, 262L))
  sets <- if (!is.null(layout$set)) src$sets[[layout$set]]
  if (length(sets)) unique(unlist(sets)) else NULL
}

# These concepts and what is below them, asked of the database as one question.
concept_condition <- function(src, handle, concepts) {
  base <- src$base
  key <- quote_name(base, handle$columns[["concept"]])
  list <- paste(quote_number(concepts), collapse = ", ")
  own <- sprintf("%s IN (%s)", key, list)
  if (!"concept_ancestor" %in% names(src$there)) return(own)
  names <- ancestor_columns(src)
  from <- source_from(base, src$there[["concept_ancestor"]])
  sprintf("%s OR %s IN (SELECT a.%s FROM %s a WHERE a.%s IN (%s))", own, key,
          quote_name(base, names[2L]), from, quote_name(base, names[1L]), list)
}

ancestor_columns <- function(src) {
  there <- source_columns(src$base, src$there[["concept_ancestor"]])$column
  at <- match(c("ancestor_concept_id", "descendant_concept_id"), tolower(there))
  if (anyNA(at)) {
    abort_source("Table concept_ancestor lacks columns.",
                 i = "omop_source() reads OMOP CDM 5.x.", code = "missing")
  }
  there[at]
}

# Which concepts are in which set: data frame of set, concept.
concept_sets <- function(src, sets) {
  own <- data.frame(set = rep(names(sets), lengths(sets)),
                    concept = unlist(sets, use.names = FALSE))
  if (!"concept_ancestor" %in% names(src$there)) return(unique(own))
  names <- ancestor_columns(src)
  below <- as.data.frame(source_table(
    src$base, src$there[["concept_ancestor"]],
    columns = c(concept = names[1L], below = names[2L]),
    values = list(concept = unique(own$concept))
  ))
  at <- split(below$below, below$concept)
  more <- lapply(seq_len(nrow(own)), function(k) {
    one <- at[[as.character(own$concept[k])]]
    data.frame(set = rep(own$set[k], length(one)), concept = as.integer(one))
  })
  unique(rbind(own, do.call(rbind, more)))
}

# Rows by the sets of their concepts: list(row, code).
codes_of_concepts <- function(src, concept, sets) {
  if (!length(sets)) {
    return(list(row = seq_along(concept), code = ifelse(
      is.na(concept), NA_character_, sprintf("%010.0f", as.double(concept))
    )))
  }
  map <- concept_sets(src, sets)
  rows <- lapply(names(sets), function(set) {
    which(concept %in% map$concept[map$set == set])
  })
  list(row = unlist(rows), code = rep(names(sets), lengths(rows)))
}

# ---- rows -------------------------------------------------------------------

finish_omop <- function(src, table, rows) {
  switch(
    table,
    people = omop_people(rows),
    dispensings = omop_dispensings(src, rows),
    diagnoses = {
      found <- codes_of_concepts(src, rows$concept, src$sets$code)
      rows <- rows[found$row, , drop = FALSE]
      rows$code <- found$code
      rownames(rows) <- NULL
      rows
    },
    deaths = {
      found <- codes_of_concepts(src, rows$cause_concept_id, src$sets$code)
      rows$cause <- found$code[match(seq_len(nrow(rows)), found$row)]
      rows
    },
    rows
  )
}

omop_people <- function(rows) {
  month <- ifelse(is.na(rows$month_of_birth), 7, rows$month_of_birth)
  day <- ifelse(is.na(rows$month_of_birth), 1,
                ifelse(is.na(rows$day_of_birth), 15, rows$day_of_birth))
  text <- sprintf("%04d-%02d-%02d", as.integer(rows$year_of_birth),
                  as.integer(month), as.integer(day))
  rows$birth_date <- as.Date(text, "%Y-%m-%d", optional = TRUE)
  rows$sex <- c("male", "female")[match(rows$gender_concept_id, c(8507, 8532))]
  rows
}

omop_dispensings <- function(src, rows) {
  found <- codes_of_concepts(src, rows$concept, src$sets$drug)
  rows <- rows[found$row, , drop = FALSE]
  rows$drug <- found$code
  rownames(rows) <- NULL
  span <- as.numeric(rows$until) - as.numeric(rows$date) + 1
  span[which(span < 1)] <- NA
  days <- if (is.null(rows$days_supply)) rep(NA_real_, nrow(rows)) else
    as.double(rows$days_supply)
  given <- !is.na(days) & days > 0
  rows$days_supply <- ifelse(given, days, span)
  rows
}
