# Databases through DBI.

# All that is said to a database is said here. Drivers differ in what they do on
# an error: RPostgreSQL's dbGetQuery() gives a warning and no rows.
dbi_query <- function(src, sql) {
  tryCatch({
    result <- DBI::dbSendQuery(src$con, sql)
    on.exit(try(DBI::dbClearResult(result), silent = TRUE))
    rows <- DBI::dbFetch(result, n = -1)
    if (is.null(rows)) stop("The database gave no answer.")
    rows
  }, error = function(e) abort_dbi(src, conditionMessage(e)))
}

abort_dbi <- function(src, detail) {
  alive <- tryCatch({
    result <- DBI::dbSendQuery(src$con, "SELECT 1")
    DBI::dbFetch(result, n = -1)
    DBI::dbClearResult(result)
    TRUE
  }, error = function(e) FALSE, warning = function(w) FALSE)
  if (!alive) {
    abort_source("The connection to the database is lost.",
                 i = "Connect again with DBI::dbConnect() and dbi_source().",
                 code = "connection", detail = detail)
  }
  abort_source("The database refused a query.",
               i = paste("What it said is in rlang::last_error()$detail, as it",
                         "may show values of patients."),
               code = "query", detail = detail)
}

dbi_columns_of <- function(src, sql) {
  rows <- suppressWarnings(dbi_query(src, sql))
  columns <- as.list(rows)
  if (src$dialect == "postgres") columns <- lapply(columns, mark_utf8)
  columns
}

# RPostgreSQL gives bytes without a word about their encoding.
mark_utf8 <- function(x) {
  if (is.character(x) && all(validUTF8(x[!is.na(x)]))) Encoding(x) <- "UTF-8"
  x
}

dbi_from <- function(src, table) {
  paste(c(if (!is.null(src$schema)) quote_name(src, src$schema),
          quote_name(src, table)), collapse = ".")
}

dbi_tables <- function(src) {
  if (src$dialect == "postgres") {
    where <- if (is.null(src$schema)) {
      "pg_catalog.pg_table_is_visible(c.oid) AND n.nspname !~ '^pg_'"
    } else {
      paste("n.nspname =", quote_text(src, src$schema))
    }
    return(as.character(source_query(src, paste(
      "SELECT CAST(c.relname AS text) AS name FROM pg_catalog.pg_class c",
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
      "WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND", where, "AND",
      "n.nspname <> 'information_schema' ORDER BY 1"
    ))$name))
  }
  tryCatch(sort(DBI::dbListTables(src$con), method = "radix"),
           error = function(e) abort_dbi(src, conditionMessage(e)))
}

dbi_columns <- function(src, table) {
  found <- switch(src$dialect, postgres = postgres_columns(src, table),
                  sqlite = sqlite_columns(src, table),
                  generic_columns(src, table))
  if (length(found$column)) return(found)
  abort_source(
    sprintf("There is no table %s%s.", dQuote(table, FALSE),
            if (is.null(src$schema)) "" else
              sprintf(" in schema %s", dQuote(src$schema, FALSE))),
    i = sprintf("There are: %s.", some_of(dbi_tables(src))), code = "missing"
  )
}

postgres_columns <- function(src, table) {
  in_schema <- if (is.null(src$schema)) {
    "pg_catalog.pg_table_is_visible(c.oid)"
  } else {
    paste("n.nspname =", quote_text(src, src$schema))
  }
  found <- source_query(src, paste(
    "SELECT CAST(a.attname AS text) AS name,",
    "CAST(pg_catalog.format_type(a.atttypid, a.atttypmod) AS text) AS type",
    "FROM pg_catalog.pg_attribute a",
    "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid",
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND", in_schema,
    "AND c.relkind IN ('r', 'v', 'm', 'p', 'f')",
    "AND c.relname =", quote_text(src, table), "ORDER BY a.attnum"
  ))
  data.frame(column = as.character(found$name),
             type = as.character(found$type))
}

sqlite_columns <- function(src, table) {
  found <- source_query(src, sprintf(
    "PRAGMA %stable_info(%s)",
    if (is.null(src$schema)) "" else paste0(quote_name(src, src$schema), "."),
    quote_name(src, table)
  ))
  data.frame(column = as.character(found$name),
             type = toupper(as.character(found$type)))
}

# No rows, but their types in R.
generic_columns <- function(src, table) {
  rows <- tryCatch(
    source_query(src, sprintf("SELECT * FROM %s WHERE 1 = 0",
                              source_from(src, table))),
    vigitensor_error_source_query = function(e) list()
  )
  data.frame(column = as.character(names(rows)),
             type = vapply(rows, function(x) class(x)[1L], "",
                           USE.NAMES = FALSE))
}
