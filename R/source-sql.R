# SQL: quoting, and what differs between databases. Every name and value that
# goes into a query passes through here; nothing else is ever pasted into one.

# ---- dialects ---------------------------------------------------------------

# Classes of connections, of whatever driver.
dialect_of <- function(con) {
  if (inherits(con, c("PqConnection", "PostgreSQLConnection", "PostgreSQL"))) {
    "postgres"
  } else if (inherits(con, "SQLiteConnection")) {
    "sqlite"
  } else {
    "generic"
  }
}

# ---- quoting ----------------------------------------------------------------

quote_name <- function(src, name) {
  name <- enc2utf8(name)
  if (inherits(src, "dbi_source")) {
    return(as.character(DBI::dbQuoteIdentifier(src$con, name)))
  }
  paste0("\"", gsub("\"", "\"\"", name, fixed = TRUE), "\"")
}

# Strings of SQL. PostgreSQL reads backslashes as itself or as escapes, as its
# settings say: E'' is the same under both.
quote_text <- function(src, x) {
  x <- enc2utf8(as.character(x))
  if (src$dialect == "generic") {
    return(as.character(DBI::dbQuoteString(src$con, x)))
  }
  quoted <- paste0("'", gsub("'", "''", x, fixed = TRUE), "'")
  if (src$dialect == "postgres") {
    slashed <- grepl("\\", x, fixed = TRUE)
    quoted[slashed] <- paste0(" E", gsub("\\", "\\\\", quoted[slashed],
                                         fixed = TRUE))
  }
  quoted
}

# Numbers with all their digits, integer64 too.
quote_number <- function(x) {
  if (is_integer64(x)) return(bit64::as.character.integer64(x))
  if (is.integer(x)) return(as.character(x))
  text <- format(x, digits = 17L, scientific = FALSE, trim = TRUE)
  exact <- x == floor(x) & abs(x) < 2^53
  text[exact] <- sprintf("%.0f", x[exact])
  text[!exact] <- sprintf("%.17g", x[!exact])
  text
}

quote_values <- function(src, x) {
  if (is.factor(x)) x <- as.character(x)
  if (is.character(x)) quote_text(src, x) else quote_number(x)
}

quote_date <- function(src, day) {
  text <- quote_text(src, format(day, "%Y-%m-%d"))
  if (src$dialect == "sqlite") text else paste("DATE", text)
}

# A moment, given as the day's midnight in a zone ("UTC" for times without one).
quote_midnight <- function(src, day, zone, with_zone) {
  moment <- as.POSIXct(format(day, "%Y-%m-%d"), tz = zone, "%Y-%m-%d")
  text <- format(moment, "%Y-%m-%d %H:%M:%S", tz = "UTC")
  if (with_zone) {
    paste("TIMESTAMPTZ", quote_text(src, paste0(text, "+00")))
  } else {
    paste("TIMESTAMP", quote_text(src, text))
  }
}

# ---- the SQL of a column ----------------------------------------------------

# How a column is asked for, so that nothing is lost on its way. kind: see
# source-types.R; type: the word of the database; x: the quoted name.
column_sql <- function(dialect, kind, type, x) {
  switch(dialect, duckdb = duckdb_sql(kind, type, x),
         postgres = postgres_sql(kind, x), sqlite = sqlite_sql(kind, x), x)
}

duckdb_sql <- function(kind, type, x) {
  cast <- function(to) sprintf("CAST(%s AS %s)", x, to)
  in_file <- type == "TEXT IN A FILE"
  switch(
    kind,
    integer = cast("INTEGER"), integer64 = cast("BIGINT"),
    double = cast("DOUBLE"), character = cast("VARCHAR"),
    logical = cast("BOOLEAN"),
    date = {
      day <- if (in_file) cast("DATE") else x
      sprintf(paste(
        "CASE WHEN %1$s IS NULL THEN NULL WHEN isfinite(%1$s) THEN",
        "CAST(date_diff('day', DATE '1970-01-01', %1$s) AS DOUBLE)",
        "WHEN %1$s > DATE '1970-01-01' THEN CAST('inf' AS DOUBLE)",
        "ELSE CAST('-inf' AS DOUBLE) END"
      ), day)
    },
    datetime = sprintf("CAST(epoch_us(%s) AS DOUBLE) / 1e6", cast("TIMESTAMP")),
    moment = sprintf("CAST(epoch_us(%s) AS DOUBLE) / 1e6", cast("TIMESTAMPTZ"))
  )
}

postgres_sql <- function(kind, x) {
  switch(
    kind,
    integer = sprintf("CAST(%s AS integer)", x),
    integer64 = , character = sprintf("CAST(%s AS text)", x),
    double = sprintf("CAST(%s AS double precision)", x),
    date = sprintf(paste(
      "CASE WHEN %1$s IS NULL THEN NULL WHEN isfinite(%1$s) THEN",
      "CAST(%1$s - DATE '1970-01-01' AS double precision)",
      "WHEN %1$s > DATE '1970-01-01' THEN 'Infinity'::double precision",
      "ELSE '-Infinity'::double precision END"
    ), x),
    datetime = , moment = sprintf(
      "CAST(extract(epoch FROM %s) AS double precision)", x
    ),
    x
  )
}

sqlite_sql <- function(kind, x) {
  switch(kind, integer64 = , character = sprintf("CAST(%s AS TEXT)", x),
         double = sprintf("CAST(%s AS REAL)", x), x)
}

# What values are compared with in WHERE and ORDER BY: strings by their bytes,
# as R's radix sort has them.
compared_sql <- function(dialect, kind, type, x, ordered = FALSE) {
  if (dialect == "duckdb" && type == "TEXT IN A FILE") {
    to <- c(integer = "INTEGER", integer64 = "BIGINT", double = "DOUBLE",
            logical = "BOOLEAN", date = "DATE", datetime = "TIMESTAMP",
            moment = "TIMESTAMPTZ")
    if (!kind %in% names(to)) return(x)
    return(sprintf("CAST(%s AS %s)", x, to[[kind]]))
  }
  if (kind != "character") return(x)
  plain_text <- grepl("^(text|character varying|VARCHAR)", type)
  if (dialect == "postgres") {
    if (!plain_text) x <- sprintf("CAST(%s AS text)", x)
    return(if (ordered) paste(x, "COLLATE \"C\"") else x)
  }
  if (dialect == "sqlite") {
    return(if (grepl("CHAR|CLOB|TEXT", type)) paste(x, "COLLATE BINARY") else
      sprintf("CAST(%s AS TEXT)", x))
  }
  if (dialect == "duckdb" && !plain_text) sprintf("CAST(%s AS VARCHAR)", x) else
    x
}
