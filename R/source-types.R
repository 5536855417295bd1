# What the columns of a table become in R. A plan has one row per column:
#   name     what we call it           column  what the table calls it
#   type     in the database's words   kind    what it crosses as (below)
#   to_date  "" or the format of days: the column becomes a Date
#   sql      its expression            key     what it is compared by
# Kinds: integer, integer64, double, logical, character, date, datetime (a time
# without zone), moment (with one), any (what the driver makes of it).
# The whole column decides, never the rows that are asked for: the parts of a
# table that are read one after the other have the same types.

column_plan <- function(handle) {
  if (!is.null(handle$cache$plan)) return(handle$cache$plan)
  src <- handle$source
  columns <- handle$columns
  plan <- data.frame(name = names(columns), column = unname(columns),
                     type = handle$types[columns], row.names = NULL)
  quoted <- vapply(plan$column, function(x) quote_name(src, x), "")
  wanted <- handle$as[plan$name]
  hint <- schema_hint(plan$name)
  plan$kind <- switch(
    src$dialect,
    duckdb = if (inherits(src, "csv_source")) {
      csv_kinds(handle, plan, quoted, hint, wanted)
    } else duckdb_kinds(handle, plan, quoted),
    postgres = postgres_kinds(handle, plan, quoted),
    sqlite = sqlite_kinds(handle, plan, quoted, wanted),
    rep("any", nrow(plan))
  )
  plan$kind[!is.na(wanted)] <- wanted[!is.na(wanted)]
  odd <- plan$kind == "none"
  if (any(odd)) {
    abort_source(sprintf("Columns are of types that R has no word for: %s.",
                         some_of(paste0("`", plan$column[odd], "` (",
                                        plan$type[odd], ")"))),
                 i = "Leave them out: name the others in `columns`.",
                 code = "types")
  }
  plan$to_date <- date_formats(handle, plan, hint)
  sql <- function(f, ...) {
    as.character(mapply(f, src$dialect, plan$kind, plan$type, quoted, ...))
  }
  plan$sql <- sql(column_sql)
  plan$key <- sql(compared_sql)
  plan$order <- sql(compared_sql, ordered = TRUE)
  handle$cache$plan <- plan
  plan
}

# What the schema of claims says of columns of this name: "id", "date",
# "number", "code" or NA. A name means the same in all its tables.
schema_hint <- function(names) {
  schema <- claims_schema()
  schema$type[match(names, schema$column)]
}

# ---- kinds ------------------------------------------------------------------

# Integers too wide for R are told apart by the least and the largest value.
range_kinds <- function(handle, quoted, whole = NULL) {
  if (!length(quoted)) return(character())
  outer <- c("-9223372036854775807", "9223372036854775807")
  parts <- unlist(lapply(quoted, function(x) {
    within <- function(from, to) {
      sprintf(paste("CASE WHEN min(%1$s) >= %2$s AND max(%1$s) <= %3$s THEN 1",
                    "WHEN min(%1$s) IS NULL THEN 1 ELSE 0 END"), x, from, to)
    }
    c(within("-2147483647", "2147483647"), within(outer[1L], outer[2L]))
  }))
  found <- whole_table(handle, parts)
  narrow <- found[seq(1L, length(found), 2L)] == 1
  fits <- found[seq(2L, length(found), 2L)] == 1
  ifelse(narrow, "integer", ifelse(fits, "integer64", "character"))
}

# Aggregates over the table as it is, without its filters: a plain vector.
whole_table <- function(handle, parts) {
  src <- handle$source
  parts <- sprintf("%s AS a%d", parts, seq_along(parts))
  as.vector(unlist(source_query(src, sprintf(
    "SELECT %s FROM %s t", paste(parts, collapse = ", "),
    handle_from(handle)
  ))))
}

duckdb_kinds <- function(handle, plan, quoted) {
  type <- plan$type
  kind <- rep("none", length(type))
  kind[type %in% c("TINYINT", "SMALLINT", "INTEGER", "UTINYINT",
                   "USMALLINT")] <- "integer"
  wide <- c("UINTEGER", "BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT")
  kind[type %in% wide | grepl("^DECIMAL[(][0-9]+,0[)]$", type)] <- "wide"
  kind[grepl("^DECIMAL[(][0-9]+,[1-9]", type) |
         type %in% c("FLOAT", "DOUBLE")] <- "double"
  kind[type %in% c("VARCHAR", "UUID") | grepl("^ENUM", type)] <- "character"
  kind[type == "BOOLEAN"] <- "logical"
  kind[type == "DATE"] <- "date"
  kind[grepl("^TIMESTAMP", type)] <- "datetime"
  kind[type == "TIMESTAMP WITH TIME ZONE"] <- "moment"
  changes <- type == "CHANGES" & is.na(handle$as[plan$name])
  if (any(changes)) {
    first <- which(changes)[1L]
    abort_source(
      sprintf("The type of column `%s` changes between files: %s.",
              plan$column[first],
              some_of(handle$changes[[plan$column[first]]], 3L)),
      i = "Write these files again with one type, or leave the column out.",
      code = "types"
    )
  }
  wide <- kind == "wide"
  kind[wide] <- range_kinds(handle, quoted[wide])
  kind
}

postgres_kinds <- function(handle, plan, quoted) {
  type <- plan$type
  kind <- rep("character", length(type))
  kind[type %in% c("smallint", "integer")] <- "integer"
  kind[type %in% c("bigint", "oid")] <- "wide"
  kind[grepl("^numeric[(][0-9]+,0[)]$", type)] <- "wide"
  kind[type %in% c("real", "double precision", "money") |
         grepl("^numeric[(][0-9]+,[1-9]", type)] <- "double"
  kind[type == "boolean"] <- "logical"
  kind[type == "date"] <- "date"
  kind[grepl("^timestamp.*without time zone$", type)] <- "datetime"
  kind[grepl("^timestamp.*with time zone$", type)] <- "moment"
  kind[type == "bytea" | grepl("[]]$", type)] <- "none"
  loose <- which(type == "numeric")
  if (length(loose)) {
    whole <- whole_table(handle, sprintf(
      "CASE WHEN bool_and(%1$s = trunc(%1$s)) THEN 1 ELSE 0 END", quoted[loose]
    ))
    kind[loose] <- ifelse(whole == 1, "wide", "double")
  }
  wide <- kind == "wide"
  kind[wide] <- range_kinds(handle, quoted[wide])
  kind
}

# A column of SQLite may hold anything: its values are counted by what they are.
sqlite_kinds <- function(handle, plan, quoted, wanted) {
  if (!nrow(plan)) return(character())
  classes <- c("integer", "real", "text", "blob")
  parts <- unlist(lapply(quoted, function(x) {
    c(sprintf("sum(typeof(%s) = '%s')", x, classes),
      sprintf(paste("min(CASE WHEN typeof(%1$s) = 'integer' THEN %1$s BETWEEN",
                    "-2147483647 AND 2147483647 END)"), x))
  }))
  found <- matrix(as.numeric(whole_table(handle, parts)), ncol = nrow(plan))
  found[is.na(found)] <- 0
  has <- found[1:4, , drop = FALSE] > 0
  declared <- plan$type
  kind <- ifelse(grepl("CHAR|CLOB|TEXT|DATE|TIME", declared), "character",
                 ifelse(grepl("REAL|FLOA|DOUB", declared), "double", "integer"))
  kind[has[1L, ]] <- ifelse(found[5L, has[1L, ]] == 1, "integer", "integer64")
  kind[has[2L, ]] <- "double"
  kind[has[3L, ]] <- "character"
  kind[has[4L, ]] <- "none"
  mixed <- has[3L, ] & (has[1L, ] | has[2L, ]) & is.na(wanted)
  if (any(mixed)) {
    first <- which(mixed)[1L]
    abort_source(
      sprintf("Column `%s` has %s strings and %s numbers.", plan$column[first],
              format_count(found[3L, first]),
              format_count(found[1L, first] + found[2L, first])),
      i = read_as_strings(plan$name[first]),
      code = "types"
    )
  }
  kind
}

read_as_strings <- function(name) {
  sprintf("`types = c(%s = \"character\")` reads strings.", name)
}

# ---- dates ------------------------------------------------------------------

# Formats of the columns that become dates; "" for others.
date_formats <- function(handle, plan, hint) {
  format <- rep("", nrow(plan))
  text <- plan$kind == "character" & is.na(handle$as[plan$name])
  format[text & hint %in% "date"] <- "%Y-%m-%d"
  at <- match(names(handle$dates), plan$name)
  format[at] <- handle$dates
  format
}

# ---- values -----------------------------------------------------------------

# Columns as they came, by name, to those of the plan.
finish_columns <- function(handle, plan, columns) {
  zone <- handle$source$time_zone
  out <- lapply(seq_len(nrow(plan)), function(k) {
    x <- as_kind(columns[[k]], plan$kind[k], zone)
    if (nzchar(plan$to_date[k])) {
      x <- as_day(x, plan$to_date[k], plan$name[k])
    }
    x
  })
  stats::setNames(out, plan$name)
}

as_kind <- function(x, kind, zone) {
  if (is.factor(x)) x <- as.character(x)
  switch(
    kind,
    integer = as.integer(x),
    integer64 = as_integer64(x),
    double = as.double(x), logical = as.logical(x),
    character = as.character(x),
    date = structure(as.double(x), class = "Date"),
    datetime = structure(as.double(x), class = c("POSIXct", "POSIXt"),
                         tzone = "UTC"),
    moment = structure(as.double(x), class = c("POSIXct", "POSIXt"),
                       tzone = zone),
    x
  )
}

as_integer64 <- function(x) {
  if (!requireNamespace("bit64", quietly = TRUE)) {
    abort_input("Columns of 64-bit integers need the bit64 package here.",
                i = "Install bit64.", code = "non_numeric")
  }
  # Loaded now, whatever made x: without it these numbers print as others.
  if (is_integer64(x)) x else bit64::as.integer64(as.character(x))
}

# Days, from strings in a format, from times (the day on the clock) and from
# numbers (days since 1970-01-01).
as_day <- function(x, format, name) {
  if (inherits(x, "Date")) return(x)
  if (is.numeric(x) || is.logical(x)) {
    x <- floor(plain_double(x))
    if (any(abs(x) > 1e6, na.rm = TRUE)) {
      abort_source(sprintf("Column `%s` is no count of days since 1970-01-01.",
                           name), code = "types")
    }
    return(structure(x, class = "Date"))
  }
  values <- unique(x)
  days <- if (inherits(x, "POSIXt")) local_date(values) else {
    day_of_text(values, format)
  }
  lost <- is.na(days) & !is.na(values)
  if (any(lost)) {
    abort_source(
      sprintf("Column `%s` has strings that are no dates in the format %s.",
              name, format),
      x = sprintf("There are %s of %s different ones.",
                  format_count(sum(lost)), format_count(length(values))),
      i = sprintf("Give the format, as `dates = c(%s = \"%%d/%%m/%%Y\")`.",
                  name),
      i = read_as_strings(name),
      code = "types"
    )
  }
  days[match(as.vector(x), as.vector(values))]
}

# Nothing may follow the day but, in the standard format, a time.
day_of_text <- function(x, format) {
  standard <- format == "%Y-%m-%d"
  plain <- if (standard) sub("[ T][0-9:.]+$", "", x) else x
  days <- as.Date(plain, format = format)
  # strptime() ignores what follows: "2024-01-012".
  same <- format(days, format) == plain |
    gsub("(^|[^0-9])0+", "\\1", format(days, format)) ==
      gsub("(^|[^0-9])0+", "\\1", plain)
  days[!same] <- NA
  days
}
