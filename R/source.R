# Sources: where tables of claims lie when they are not data frames. A source
# knows its tables; source_table() gives a handle on one of them, and nothing is
# read before someone asks for rows.
#
#   source -> source_table(): names, filters -> plan: a type and an SQL
#   expression per column -> one query -> data frame
#
# A kind of source answers four questions: source_tables(), source_columns()
# (names and types of a table), source_from() (what follows FROM),
# source_query(); and has a dialect (source-sql.R).

#' Tables of claims in files and databases
#'
#' A source is a place with tables. [source_table()] takes one of them, by its
#' own names of columns, and the functions for claims ([check_claims()],
#' [cohort()], [outcomes()], [exposure_episodes()], [waiting_time()]) take that
#' in place of a data frame. Data frames, tibbles and `data.table`s need no
#' source.
#'
#' Files are read by DuckDB, a part of the engine that
#' `install_engine(parts = "duckdb")` installs; nothing is copied or written.
#' Databases are read through DBI: SQLite (RSQLite), PostgreSQL (RPostgres or
#' RPostgreSQL), and others with what their drivers offer. Names are quoted and
#' values are quoted or compared in R; there is no way to pass SQL.
#'
#' @section Files of a table:
#' A file is a table that is called as the file without its ending. A folder has
#' a table for each file in it, and one for each folder in it, whose files
#' (however deep) are its parts. Give a named vector to say what is what:
#' `c(dispensings = "pharmacy", people = "lists/people.csv")`; `*` stands for
#' any characters in the name of a file. Files whose names begin with a dot or
#' an underscore are left out. All files of a table must have the same columns,
#' of the same types.
#'
#' @section Types:
#' Integers that fit into 32 bits are integers, others are `integer64` (class of
#' the bit64 package), so that identifiers are exact; integers of more than 64
#' bits are strings. The whole column decides. Days are `Date`s. Times of a day
#' (timestamps) are `POSIXct`: those without a zone as they are written, in UTC,
#' those with a zone in `time_zone`. CSV files have no types: a column is
#' integer if all its values are written as integers without leading zeros (in
#' columns that [claims_schema()] calls codes they are strings all the same),
#' then number, `TRUE`/`FALSE`, date (2024-01-31), time, or string. SQLite has
#' no dates: strings in columns that [claims_schema()] calls dates become dates
#' if they are written 2024-01-31; for others see `dates` of [source_table()].
#'
#' @param path Files or folders; see Files of a table.
#' @param time_zone Time zone in which moments are read, as in
#'   `OlsonNames()`.
#' @param sep What parts the columns; `NULL`: found out for each file.
#' @param encoding `"utf-8"`, `"latin-1"` or `"utf-16"`.
#' @param na Strings that stand for missing values.
#' @param con A connection of DBI; it stays yours to close.
#' @param schema `NULL`, or the schema of the database that has the tables.
#' @param x A source.
#' @param ... Not used.
#' @return An object of class `claims_source`. `source_tables()`: the names of
#'   its tables.
#' @section Errors:
#' `vigitensor_error_source_missing` (there is no such file, folder or table),
#' `vigitensor_error_source_empty` (a folder without such files),
#' `vigitensor_error_source_file` (a file that is cut short or of another
#' format), `vigitensor_error_source_types` (a column whose type changes),
#' `vigitensor_error_source_connection` (the database does not answer),
#' `vigitensor_error_source_query` (it refuses), `vigitensor_error_no_duckdb`.
#' @seealso [source_table()], [source_blocks()], [omop_source()]
#' @name claims_source
#' @examples
#' folder <- tempfile()
#' dir.create(folder)
#' people <- data.frame(BEN_IDT = c("000000000017", "000000000025"),
#'                      BEN_NAI = as.Date(c("1950-06-01", "1961-02-11")))
#' write.csv(people, file.path(folder, "people.csv"), row.names = FALSE)
#' source <- csv_source(folder)
#' source
#' if (engine_available() && "duckdb" %in% engine_info()$parts) {
#'   source_table(source, "people",
#'                columns = c(person_id = "BEN_IDT", birth_date = "BEN_NAI"))
#' }
#' unlink(folder, recursive = TRUE)
NULL

#' @rdname claims_source
#' @export
parquet_source <- function(path, time_zone = "UTC") {
  tables <- files_of_tables(path, "[.](parquet|parq|pq)$", "Parquet")
  new_source("parquet_source", tables = tables,
             time_zone = check_time_zone(time_zone), dialect = "duckdb")
}

#' @rdname claims_source
#' @export
csv_source <- function(path, sep = NULL, encoding = "utf-8", na = c("", "NA"),
                       time_zone = "UTC") {
  if (!is.null(sep) && !(rlang::is_string(sep) && nchar(sep) == 1L)) {
    abort_input("`sep` must be one character, or NULL.", arg = "sep",
                code = "sep")
  }
  encoding <- check_word(encoding, c("utf-8", "latin-1", "utf-16"), "encoding")
  if (!is.character(na) || anyNA(na)) {
    abort_input("`na` must be strings.", arg = "na", code = "na")
  }
  tables <- files_of_tables(path, "[.](csv|tsv|txt)([.]gz)?$", "CSV")
  new_source("csv_source", tables = tables, sep = sep, encoding = encoding,
             na = na, time_zone = check_time_zone(time_zone),
             dialect = "duckdb")
}

#' @rdname claims_source
#' @export
dbi_source <- function(con, schema = NULL, time_zone = "UTC") {
  if (!requireNamespace("DBI", quietly = TRUE)) {
    abort_input("Databases need the R package DBI.",
                i = "Install DBI and the driver of the database.",
                code = "no_dbi")
  }
  if (!inherits(con, "DBIConnection")) {
    abort_input("`con` must be a connection of DBI, made by DBI::dbConnect().",
                x = sprintf("It is %s.", what_is(con)), arg = "con",
                code = "con")
  }
  if (!is.null(schema) && !rlang::is_string(schema)) {
    abort_input("`schema` must be NULL or the name of a schema.",
                arg = "schema", code = "schema")
  }
  new_source("dbi_source", con = con, schema = schema,
             time_zone = check_time_zone(time_zone), dialect = dialect_of(con))
}

new_source <- function(class, ...) {
  structure(list(...), class = c(class, "claims_source"))
}

check_time_zone <- function(zone) {
  if (rlang::is_string(zone) && zone %in% OlsonNames()) return(zone)
  abort_input("`time_zone` must be the name of one time zone.",
              i = "OlsonNames() lists them.", arg = "time_zone",
              code = "time_zone")
}

check_source <- function(src) {
  if (inherits(src, "claims_source")) return(invisible())
  abort_input("`src` must be a source, as of parquet_source() or dbi_source().",
              x = sprintf("It is %s.", what_is(src)), arg = "src",
              code = "source")
}

# As abort_input(); `detail` keeps what a program said, out of the message, as
# it may show values of patients.
abort_source <- function(message, ..., code, detail = NULL) {
  rlang::abort(
    c(message, ...),
    class = c(paste0("vigitensor_error_source_", code), "vigitensor_error"),
    detail = detail, call = NULL, use_cli_format = TRUE
  )
}

# ---- the tables of a source -------------------------------------------------

#' @rdname claims_source
#' @export
source_tables <- function(x) {
  check_source(x)
  switch(source_kind(x), dbi = dbi_tables(x), omop = omop_tables(x),
         names(x$tables))
}

# Names and types of the columns of a table: data frame of `column`, `type` (in
# the words of the database).
source_columns <- function(src, table) {
  switch(source_kind(src), parquet = parquet_columns(src, table),
         csv = csv_columns(src, table), dbi = dbi_columns(src, table))
}

# What follows FROM.
source_from <- function(src, table) {
  switch(source_kind(src), parquet = parquet_from(src, table),
         csv = csv_from(src, table), dbi = dbi_from(src, table))
}

# The columns that a SELECT gives, as a named list of R vectors.
source_query <- function(src, sql) {
  if (source_kind(src) == "dbi") dbi_columns_of(src, sql) else
    duckdb_columns_of(src, sql)
}

source_kind <- function(src) sub("_source$", "", class(src)[1L])

check_table_name <- function(src, table) {
  if (!rlang::is_string(table) || !nzchar(table)) {
    abort_input("`table` must be the name of one table.",
                x = sprintf("It is %s.", what_is(table)), arg = "table",
                code = "table")
  }
  # A database may have tables that it does not list.
  if (inherits(src, "dbi_source") || table %in% source_tables(src)) {
    return(table)
  }
  abort_source(sprintf("There is no table %s.", dQuote(table, FALSE)),
               i = sprintf("There are: %s.", some_of(source_tables(src))),
               code = "missing")
}

# The first few of many names.
some_of <- function(names, most = 12L) {
  n <- length(names)
  if (n == 0L) return("none")
  shown <- paste(utils::head(names, most), collapse = ", ")
  if (n > most) sprintf("%s and %s more", shown, format_count(n - most)) else
    shown
}

#' @rdname claims_source
#' @export
print.claims_source <- function(x, ...) {
  what <- c(parquet_source = "Parquet files", csv_source = "CSV files",
            dbi_source = "A database", omop_source = "OMOP CDM")[[class(x)[1L]]]
  cat_wrapped(what, ", with tables ", some_of(source_tables(x)))
  invisible(x)
}
