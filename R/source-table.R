# source_table(): a handle on one table of a source. It holds names, filters and
# what has been learnt of the table (an environment, `cache`), and no rows.

#' One table of a source
#'
#' A handle on a table of a [source][claims_source]: which columns, under which
#' names, and which rows. Nothing is read until it is printed (its types and its
#' number of rows) or its rows are asked for, by `as.data.frame()` or by a
#' function that takes it in place of a data frame; those read the columns and,
#' where they are given lists of codes, the rows that they need.
#'
#' @section Filters:
#' They are applied in the database, together (rows must pass all). Rows whose
#' value is missing do not pass.
#'
#' @param src A source, as of [parquet_source()], [csv_source()], [dbi_source()]
#'   or [omop_source()].
#' @param table Name of a table, see [source_tables()]; blanks and quotes in it
#'   do not matter.
#' @param columns Columns to read, and what to call them: `c(person_id =
#'   "BEN_IDT", date = "EXE_SOI_DTD", "sex")`. `NULL`: all, by their own names.
#'   [claims_schema()] has the names that functions look for.
#' @param codes Filter by codes: a named list, as `list(drug = c("C09",
#'   "C10AA"))`. A code stands for all below it; dots and case do not matter.
#' @param values Filter by values: a named list, as `list(position =
#'   "primary")`.
#' @param between Filter by range: a named list of the first and the last value,
#'   both of them inside, as `list(date = as.Date(c("2019-01-01",
#'   "2019-12-31")))`. `NA` is no limit.
#' @param dates Columns to read as days: a vector of names, or formats (of
#'   [strptime()]) with names, as `c(date = "%d/%m/%Y")`. Strings need a format
#'   unless they are written 2024-01-31; times become the day in their zone;
#'   numbers are days since 1970-01-01.
#' @param types Columns to read as another type: a vector with names, as
#'   `c(person_id = "character")`. For CSV files, `"integer"`, `"numeric"`,
#'   `"logical"`, `"Date"` too, which is then an error where a value is not.
#' @param x A result of `source_table()`.
#' @param row.names,optional,... Not used.
#' @return An object of class `source_table`. `as.data.frame()` gives a data
#'   frame; `dim()` and `nrow()` count in the database. The order of the rows is
#'   that of the files; a database has none.
#' @section Errors:
#' Those of [sources][claims_source], and `vigitensor_error_columns`,
#' `vigitensor_error_filter`, `vigitensor_error_dates`, `vigitensor_error_types`
#' for arguments that do not fit.
#' @export
#' @examples
#' if (requireNamespace("RSQLite", quietly = TRUE)) {
#'   con <- DBI::dbConnect(RSQLite::SQLite())
#'   DBI::dbWriteTable(con, "pharmacy", data.frame(
#'     BEN_IDT = c("001", "001", "002"),
#'     ATC = c("C09AA02", "N02BE01", "C09AA05"),
#'     DAT = c("2024-01-05", "2024-02-01", "2024-01-09"), NB = 30L
#'   ))
#'   d <- source_table(dbi_source(con), "pharmacy",
#'                     columns = c(person_id = "BEN_IDT", drug = "ATC",
#'                                 date = "DAT", days_supply = "NB"),
#'                     codes = list(drug = "C09"))
#'   print(d)
#'   print(as.data.frame(d))
#'   print(exposure_episodes(d))
#'   DBI::dbDisconnect(con)
#' }
source_table <- function(src, table, columns = NULL, codes = NULL,
                         values = NULL, between = NULL, dates = NULL,
                         types = NULL) {
  check_source(src)
  if (source_kind(src) == "omop") {
    others <- list(codes, values, dates, types)
    return(omop_table(src, table, columns, between, others))
  }
  table <- check_table_name(src, table)
  found <- source_columns(src, table)
  columns <- check_columns(columns, found$column, table)
  names <- names(columns)
  cache <- new.env(parent = emptyenv())
  cache$from <- attr(found, "from")
  structure(
    list(source = src, table = table, columns = columns,
         types = stats::setNames(found$type, found$column),
         changes = attr(found, "changes"),
         filters = list(codes = check_filter(codes, names, "codes"),
                        values = check_filter(values, names, "values"),
                        between = check_filter(between, names, "between")),
         dates = check_dates(dates, names), as = check_types(types, names, src),
         cache = cache),
    class = "source_table"
  )
}

# What follows FROM; for CSV files it takes a look at each of them.
handle_from <- function(handle) {
  if (is.null(handle$cache$from)) {
    handle$cache$from <- source_from(handle$source, handle$table)
  }
  handle$cache$from
}

is_source_table <- function(x) inherits(x, "source_table")

# Names of the columns of a handle or of a data frame.
table_columns <- function(x) {
  if (!is_source_table(x)) return(names(x))
  x$names %||% names(x$columns)
}

# ---- arguments --------------------------------------------------------------

check_columns <- function(columns, there, table) {
  if (is.null(columns)) return(stats::setNames(there, there))
  if (!is.character(columns) || !length(columns) || anyNA(columns)) {
    abort_input("`columns` must be names of columns, as strings.",
                x = sprintf("It is %s.", what_is(columns)), arg = "columns",
                code = "columns")
  }
  names <- names(columns) %||% rep("", length(columns))
  names[names == ""] <- columns[names == ""]
  absent <- setdiff(columns, there)
  if (length(absent)) {
    abort_source(
      sprintf("Table %s has no column %s.", dQuote(table, FALSE),
              some_of(paste0("`", absent, "`"))),
      i = sprintf("It has: %s.", some_of(there, 30L)), code = "missing"
    )
  }
  if (anyDuplicated(names)) {
    abort_input("`columns` must not give one name twice.", arg = "columns",
                code = "columns")
  }
  stats::setNames(columns, names)
}

check_filter <- function(filter, names, arg) {
  if (is.null(filter)) return(list())
  ok <- is.list(filter) && !is.null(names(filter)) &&
    all(names(filter) %in% names) && !anyDuplicated(names(filter))
  if (!ok) {
    abort_input(
      sprintf("`%s` must be a list with names of columns.", arg),
      i = sprintf("Columns are, as they are called here: %s.",
                  some_of(names, 30L)), arg = arg, code = "filter"
    )
  }
  for (name in names(filter)) {
    x <- filter[[name]]
    if (arg == "codes") check_codes(x, paste0("codes$", name))
    fits <- is.atomic(x) && switch(arg, codes = TRUE,
                                   values = length(x) && !anyNA(x),
                                   between = length(x) == 2L)
    if (!fits) {
      abort_input(
        sprintf("`%s$%s` must be %s.", arg, name,
                if (arg == "values") "values, none of them missing" else
                  "two values, the first and the last"),
        x = sprintf("It is %s.", what_is(x)), arg = arg, code = "filter"
      )
    }
  }
  filter
}

check_dates <- function(dates, names) {
  if (is.null(dates)) return(character())
  given <- names(dates) %||% rep("", length(dates))
  bare <- given == ""
  out <- ifelse(bare, "%Y-%m-%d", dates)
  names(out) <- ifelse(bare, dates, given)
  if (!is.character(dates) || !all(names(out) %in% names)) {
    abort_input("`dates` must be names of columns, or formats with names.",
                i = "As c(date = \"%d/%m/%Y\").", arg = "dates",
                code = "dates")
  }
  out
}

check_types <- function(types, names, src) {
  if (is.null(types)) return(character())
  words <- c(character = "character", integer = "integer", numeric = "double",
             logical = "logical", Date = "date")
  can <- if (inherits(src, "csv_source")) names(words) else "character"
  ok <- is.character(types) && !is.null(names(types)) &&
    all(names(types) %in% names) && all(types %in% can)
  if (!ok) {
    abort_input(
      sprintf("`types` must be %s, with names of columns.",
              paste(dQuote(can, FALSE), collapse = " or ")),
      i = "As c(person_id = \"character\").", arg = "types", code = "types"
    )
  }
  stats::setNames(words[types], names(types))
}

# ---- reading ----------------------------------------------------------------

# Rows of a handle. names: columns, by our names, NULL for all; more: further
# conditions, of SQL.
read_source_table <- function(handle, names = NULL, more = NULL) {
  plan <- column_plan(handle)
  if (!is.null(names)) {
    plan <- plan[match(intersect(names, plan$name), plan$name), ]
  }
  src <- handle$source
  filters <- filter_sql(handle)
  columns <- if (nrow(plan)) {
    source_query(src, sprintf(
      "SELECT %s FROM %s t%s",
      paste(sprintf("%s AS c%d", plan$sql, seq_len(nrow(plan))),
            collapse = ", "),
      handle_from(handle), where_sql(c(filters$sql, more))
    ))
  } else list()
  # Some drivers forget the columns of an empty answer.
  if (!length(columns)) columns <- rep(list(logical()), nrow(plan))
  columns <- finish_columns(handle, plan, columns)
  n <- if (length(columns)) length(columns[[1L]]) else 0L
  out <- structure(columns, class = "data.frame", row.names = .set_row_names(n))
  # Days in a format that databases do not know are compared here.
  for (name in intersect(filters$here, names(out))) {
    range <- handle$filters$between[[name]]
    x <- out[[name]]
    keep <- !is.na(x) & (is.na(range[1L]) | x >= range[1L]) &
      (is.na(range[2L]) | x <= range[2L])
    out <- out[keep, , drop = FALSE]
    rownames(out) <- NULL
  }
  if (is.null(handle$finish)) out else handle$finish(out)
}

#' @rdname source_table
#' @export
as.data.frame.source_table <- function(x, row.names = NULL, optional = FALSE,
                                       ...) {
  read_source_table(x)
}

#' @export
dim.source_table <- function(x) {
  c(count_source_rows(x), length(table_columns(x)))
}

count_source_rows <- function(handle) {
  if (is.null(handle$cache$n)) {
    filters <- filter_sql(handle)
    handle$cache$n <- if (length(filters$here) || !is.null(handle$finish)) {
      as.double(nrow(read_source_table(handle)))
    } else {
      src <- handle$source
      n <- source_query(src, sprintf(
        "SELECT count(*) AS n FROM %s t%s", handle_from(handle),
        where_sql(filters$sql)
      ))[[1L]]
      plain_double(n)
    }
  }
  handle$cache$n
}

#' @rdname source_table
#' @export
print.source_table <- function(x, ...) {
  n <- count_source_rows(x)
  cat_wrapped(sprintf("Table %s: %s%s", dQuote(x$table, FALSE),
                      count_of(n, "row"),
                      if (any(lengths(x$filters))) {
                        sprintf(" that pass the filters (%s)", some_of(
                          unique(unlist(lapply(x$filters, names)))
                        ))
                      } else ""))
  rows <- x$shown %||% shown_columns(x)
  print.data.frame(rows, row.names = FALSE, right = FALSE)
  invisible(x)
}

# What print() says of each column.
shown_columns <- function(handle) {
  plan <- column_plan(handle)
  words <- c(date = "Date", datetime = "POSIXct", moment = "POSIXct",
             double = "numeric", any = "as it comes")
  type <- ifelse(plan$kind %in% names(words), words[plan$kind], plan$kind)
  type[nzchar(plan$to_date)] <- "Date"
  data.frame(column = plan$name, type = unname(type), from = plan$column,
             "in the source" = tolower(plan$type), check.names = FALSE)
}
