# Parquet and CSV files, read by DuckDB in the engine's Python.

# ---- finding files ----------------------------------------------------------

# path: files, folders or patterns; names say which table they are. ending: a
# regular expression. Value: named list of sorted, absolute paths.
files_of_tables <- function(path, ending, what) {
  if (!is.character(path) || !length(path) || anyNA(path)) {
    abort_input("`path` must be files or folders, as strings.",
                x = sprintf("It is %s.", what_is(path)), arg = "path",
                code = "path")
  }
  given <- names(path) %||% rep("", length(path))
  found <- list()
  for (k in seq_along(path)) {
    one <- path.expand(path[[k]])
    if (nzchar(given[k])) {
      one <- stats::setNames(list(files_below(one, ending, what)), given[k])
    } else if (dir.exists(one)) {
      one <- tables_in_folder(one, ending, what)
    } else {
      one <- files_below(one, ending, what)
      one <- stats::setNames(as.list(one), sub(ending, "", basename(one)))
    }
    found <- c(found, one)
  }
  twice <- unique(names(found)[duplicated(names(found))])
  if (length(twice)) {
    abort_input(
      sprintf("Several files or folders are the table %s.",
              some_of(dQuote(twice, FALSE))),
      i = "Name them: c(dispensings = \"a\", people = \"b\").", arg = "path",
      code = "path"
    )
  }
  lapply(found, normalizePath)
}

tables_in_folder <- function(folder, ending, what) {
  inside <- visible(list.files(folder, full.names = TRUE))
  folders <- inside[dir.exists(inside)]
  files <- inside[!dir.exists(inside) & has_ending(inside, ending)]
  parts <- lapply(folders, parts_below, ending = ending)
  names(parts) <- basename(folders)
  found <- c(stats::setNames(as.list(files), sub(ending, "", basename(files),
                                                 ignore.case = TRUE)),
             parts[lengths(parts) > 0L])
  if (!length(found)) abort_empty(folder, what)
  found[order(names(found), method = "radix")]
}

# All files of one table.
files_below <- function(path, ending, what) {
  if (dir.exists(path)) {
    files <- parts_below(path, ending)
    if (!length(files)) abort_empty(path, what)
    return(files)
  }
  files <- if (file.exists(path)) path else Sys.glob(path)
  if (!length(files)) {
    abort_source(sprintf("There is no file or folder %s.", short_path(path)),
                 code = "missing")
  }
  sort(files, method = "radix")
}

parts_below <- function(folder, ending) {
  files <- list.files(folder, recursive = TRUE)
  hidden <- grepl("(^|/)[._]", files)
  files <- files[!hidden & has_ending(files, ending)]
  file.path(folder, sort(files, method = "radix"))
}

visible <- function(files) files[!grepl("^[._]", basename(files))]

has_ending <- function(files, ending) grepl(ending, files, ignore.case = TRUE)

abort_empty <- function(folder, what) {
  abort_source(sprintf("The folder %s has no %s files.", short_path(folder),
                       what),
               i = "Give the folder that has them, or name the files.",
               code = "empty")
}

# Sizes and times of the files of a table: another value when they change.
files_state <- function(files) {
  info <- file.info(files, extra_cols = FALSE)
  list(files, info$size, as.numeric(info$mtime))
}

check_files_are_there <- function(files) {
  gone <- files[!file.exists(files)]
  if (length(gone)) {
    abort_source(sprintf("Files are no longer there: %s.",
                         some_of(basename(gone))), code = "missing")
  }
}

# ---- columns ----------------------------------------------------------------

parquet_columns <- function(src, table) {
  files <- src$tables[[table]]
  check_files_are_there(files)
  need_part("duckdb")
  found <- engine_call("source_parquet_columns", files)
  found <- data.frame(file = as_vector(found$file, integer()) + 1L,
                      column = as_vector(found$name, character()),
                      type = as_vector(found$type, character()))
  agreed_columns(found, files)
}

csv_columns <- function(src, table) {
  layout <- csv_layout(src, table)
  found <- layout$columns
  found$type <- "TEXT IN A FILE"
  structure(agreed_columns(found, src$tables[[table]]),
            from = csv_from(src, table, layout))
}

# Integers may be wider in some files; nothing else may differ. The types of
# columns that nobody reads do not matter, so they are told apart later: type
# "CHANGES" with the attribute `changes`.
agreed_columns <- function(found, files) {
  names <- unique(found$column)
  counts <- table(factor(found$column, names))
  twice <- duplicated(found[c("file", "column")])
  if (any(twice)) {
    abort_source(sprintf("Columns are there twice in a file: %s.",
                         some_of(unique(found$column[twice]))), code = "types")
  }
  lacking <- names[counts < length(files)]
  if (length(lacking)) {
    has <- found$file[found$column == lacking[1L]]
    abort_source(
      sprintf("The files of a table must have the same columns: %s %s in %s.",
              some_of(paste0("`", lacking, "`")),
              if (length(lacking) == 1L) "is not" else "are not",
              if (length(lacking) == 1L) {
                some_of(basename(files[-has]), 3L)
              } else {
                "some of them"
              }),
      i = "Name the files that belong together.", code = "types"
    )
  }
  types <- split(found$type, factor(found$column, names))
  type <- vapply(types, function(one) {
    if (length(unique(one)) == 1L) return(one[1L])
    if (all(one %in% narrow_integers)) "BIGINT" else "CHANGES"
  }, "", USE.NAMES = FALSE)
  changes <- lapply(types[type == "CHANGES"], function(one) {
    first <- match(unique(one), one)
    sprintf("%s in %s", one[first], basename(files[first]))
  })
  structure(data.frame(column = names, type = type), changes = changes)
}

narrow_integers <- c("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT",
                     "USMALLINT", "UINTEGER")

# Separators and columns of the files of a table.
csv_layout <- function(src, table) {
  files <- src$tables[[table]]
  check_files_are_there(files)
  need_part("duckdb")
  found <- engine_call("source_csv_columns", files, src$sep, src$encoding)
  list(columns = data.frame(file = as_vector(found$file, integer()) + 1L,
                            column = as_vector(found$name, character())),
       separator = as_vector(found$separator, character()))
}

# Python's lists come as vectors, or as lists when they are empty.
as_vector <- function(x, type) as.vector(unlist(x), typeof(type)) %||% type

# ---- queries ----------------------------------------------------------------

parquet_from <- function(src, table) {
  files <- src$tables[[table]]
  check_files_are_there(files)
  sprintf("read_parquet([%s], union_by_name = true, hive_partitioning = false)",
          paste(quote_text(src, files), collapse = ", "))
}

# Files that are laid out alike are read together.
csv_from <- function(src, table, layout = csv_layout(src, table)) {
  files <- src$tables[[table]]
  names <- split(layout$columns$column, layout$columns$file)
  alike <- vapply(seq_along(files), function(k) {
    paste(c(layout$separator[k], names[[k]]), collapse = "\r")
  }, "")
  readers <- vapply(unique(alike), function(one) {
    which <- which(alike == one)
    engine_call("source_csv_reader", files[which], layout$separator[which[1L]],
                src$encoding, src$na, names[[which[1L]]])
  }, "")
  if (length(readers) == 1L) return(unname(readers))
  sprintf("(%s)", paste("SELECT * FROM", readers,
                        collapse = " UNION ALL BY NAME "))
}

duckdb_columns_of <- function(src, sql) {
  answer <- do.call(engine_call, c(list("source_query", sql), option_memory()))
  kinds <- as_vector(answer$kinds, character())
  columns <- Map(function(x, kind) {
    switch(
      kind,
      integer64 = structure(x, class = "integer64"),
      logical = as.logical(x),
      string = {
        levels <- as_vector(x$levels, character())
        Encoding(levels) <- "UTF-8"
        levels[x$codes]
      },
      x
    )
  }, answer$columns, kinds)
  stats::setNames(columns, as_vector(answer$names, character()))
}
