# write_parquet(): a table in memory, or of a source, as a file that
# parquet_source() reads.

#' Write a table as a Parquet file
#'
#' For a copy of a table of a slow database, or of CSV files, that is read many
#' times. DuckDB writes it: `install_engine(parts = "duckdb")`.
#'
#' Types are kept: integers, `integer64`, numbers, logicals, dates, moments (in
#' UTC, to the microsecond) and strings; factors become strings.
#'
#' @param x A data frame, or a result of [source_table()].
#' @param path Where to write. A file that is there is replaced, when the new
#'   one is complete.
#' @return `path`, invisibly.
#' @section Errors: `vigitensor_error_source_types` for a column of another
#'   type, `vigitensor_error_source_missing` for a folder that is not there,
#'   `vigitensor_error_no_duckdb`.
#' @seealso [parquet_source()]
#' @export
#' @examples
#' if (engine_available() && "duckdb" %in% engine_info()$parts) {
#'   file <- tempfile(fileext = ".parquet")
#'   write_parquet(claims_dispensings, file)
#'   source_table(parquet_source(c(dispensings = file)), "dispensings")
#'   unlink(file)
#' }
write_parquet <- function(x, path) {
  if (is_source_table(x)) x <- as.data.frame(x)
  check_table(x, "x")
  if (!rlang::is_string(path)) {
    abort_input("`path` must be the name of a file.", arg = "path",
                code = "path")
  }
  if (!dir.exists(dirname(path))) {
    abort_input("The folder of `path` is not there.", arg = "path",
                code = "source_missing")
  }
  need_part("duckdb")
  types <- vapply(names(x), function(name) parquet_type(x[[name]], name), "")
  csv <- tempfile(fileext = ".csv")
  on.exit(unlink(csv))
  utils::write.csv(
    as.data.frame(lapply(x, parquet_cells), optional = TRUE), csv,
    row.names = FALSE, fileEncoding = "UTF-8"
  )
  engine_call("source_write_parquet", csv,
              file.path(normalizePath(dirname(path)), basename(path)),
              names(x), unname(types))
  invisible(path)
}

# The first class that is known, or the type.
parquet_types <- c(
  integer64 = "BIGINT", Date = "DATE", POSIXct = "TIMESTAMP",
  factor = "VARCHAR", integer = "INTEGER", double = "DOUBLE",
  logical = "BOOLEAN", character = "VARCHAR"
)

parquet_type <- function(x, name) {
  kinds <- c(class(x), typeof(x))
  found <- parquet_types[match(kinds, names(parquet_types), 0L)]
  if (length(found) == 0L) {
    abort_input(
      sprintf("Column `%s` cannot be written: it is %s.", name, what_is(x)),
      code = "source_types", arg = "x"
    )
  }
  unname(found[1L])
}

# As text that loses nothing.
parquet_cells <- function(x) {
  if (inherits(x, "integer64")) return(as.character(x))
  if (inherits(x, "POSIXct")) {
    return(format(x, "%Y-%m-%d %H:%M:%OS6", tz = "UTC"))
  }
  if (is.factor(x) || is.character(x)) return(enc2utf8(as.character(x)))
  if (inherits(x, "Date") || !is.double(x)) return(x)
  ifelse(is.na(x), NA, sprintf("%.17g", x))
}
