# Blocks of people: tables that do not fit in memory, some people at a time.
#
# Blocks are ranges of the id. The cuts are quantiles of the rows of the first
# table: with c the number of rows of ids up to this one, N of all rows and B
# blocks, an id is in block floor((c - 1) * B / N). One grouped query finds
# them; reading a block is one query per table, which files sorted by person and
# indexes answer without looking at the rest.

#' Blocks of people
#'
#' Divides the people of one or several tables into blocks that can be read one
#' at a time, with all rows of each person.
#'
#' @param tables A named list of results of [source_table()] and of data frames.
#'   The first one decides where blocks end: give the largest.
#' @param id Name of the column that identifies a person, a string.
#' @param blocks Number of blocks; there are fewer when there are not as many
#'   people.
#' @param x A result of `source_blocks()`.
#' @param k Number of a block.
#' @return `source_blocks()`: an object of class `source_blocks`, whose
#'   `length()` is the number of blocks. `read_block()`: a named list of data
#'   frames, as `tables`, with the rows of the people of block `k`; columns have
#'   the same types in all blocks. Every row is in one block, and all rows of a
#'   person are in the same one; rows without an id are in the first.
#'   `block_key()`: a string that is another one when files (by their sizes and
#'   times), numbers of rows, columns, filters or blocks have changed.
#' @section Errors:
#' Those of [sources][claims_source], `vigitensor_error_tables`,
#' `vigitensor_error_id`, and `vigitensor_error_id_type` when ids are strings in
#' one table and numbers in another.
#' @export
#' @examples
#' d <- data.frame(person_id = rep(1:10, each = 3), dose = 1)
#' people <- data.frame(person_id = 1:10)
#' blocks <- source_blocks(list(dispensings = d, people = people), blocks = 3)
#' length(blocks)
#' vapply(read_block(blocks, 2), nrow, 1L)
source_blocks <- function(tables, id = "person_id", blocks = 16) {
  ok <- is.list(tables) && !is.data.frame(tables) && length(tables) &&
    !is.null(names(tables)) && all(nzchar(names(tables))) &&
    all(vapply(tables, function(t) is_source_table(t) || is.data.frame(t), NA))
  if (!ok) {
    abort_input("`tables` must be a list of tables with names.",
                i = "As list(dispensings = source_table(...), people = d).",
                arg = "tables", code = "tables")
  }
  if (!rlang::is_string(id)) {
    abort_input("`id` must be the name of a column, as a string.", arg = "id",
                code = "id")
  }
  blocks <- check_integer(blocks, "blocks", 1)
  for (name in names(tables)) {
    if (id %in% table_columns(tables[[name]])) next
    abort_input(sprintf("`%s` has no column `%s`.", name, id),
                i = sprintf("It has: %s.",
                            some_of(table_columns(tables[[name]]), 30L)),
                arg = "id", code = "id")
  }
  tables <- ids_of_one_type(tables, id)
  cuts <- block_cuts(tables[[1L]], id, blocks)
  sizes <- lapply(tables, function(t) {
    if (is_source_table(t)) table_state(t) else dim(t)
  })
  structure(
    list(tables = tables, id = id, cuts = cuts,
         key = rlang::hash(list(sizes, id, cuts))),
    class = "source_blocks"
  )
}

# Strings or numbers in all; 64-bit integers in all if they are in one.
ids_of_one_type <- function(tables, id) {
  kinds <- vapply(tables, function(t) {
    x <- if (is_source_table(t)) {
      one <- id_column_plan(t, id)
      if (one$kind != "any") return(one$kind)
      source_query(t$source, sprintf("SELECT %s FROM %s t WHERE 1 = 0",
                                     one$sql, handle_from(t)))[[1L]]
    } else t[[id]]
    if (is.factor(x) || is.character(x)) "character" else
      if (is_integer64(x)) "integer64" else typeof(x)
  }, "")
  if (length(unique(kinds == "character")) > 1L) {
    abort_input(
      sprintf("`%s` is strings in %s and numbers in %s.", id,
              some_of(names(tables)[kinds == "character"]),
              some_of(names(tables)[kinds != "character"])),
      i = sprintf("`types = c(%s = \"character\")` reads strings.", id),
      arg = "id", code = "id_type"
    )
  }
  generic <- vapply(tables, function(t) {
    is_source_table(t) && t$source$dialect == "generic"
  }, NA)
  if (any(generic) && !all(generic)) {
    abort_input(
      paste("Tables of a database that is neither PostgreSQL nor SQLite cannot",
            "be divided together with others."),
      i = "It may compare strings in another order.", arg = "tables",
      code = "tables"
    )
  }
  if (!"integer64" %in% kinds) return(tables)
  lapply(tables, function(t) {
    if (!is_source_table(t)) return(t)
    # A handle is shared: what this one learns is its own.
    cache <- new.env(parent = emptyenv())
    plan <- column_plan(t)
    at <- match(id, plan$name)
    if (plan$kind[at] == "integer") {
      plan$kind[at] <- "integer64"
      plan$sql[at] <- column_sql(t$source$dialect, "integer64", plan$type[at],
                                 quote_name(t$source, plan$column[at]))
    }
    cache$plan <- plan
    t$cache <- cache
    t
  })
}

id_column_plan <- function(handle, id) {
  plan <- column_plan(handle)
  plan[match(id, plan$name), ]
}

# ---- cuts -------------------------------------------------------------------

# The last id of each block but the last one.
block_cuts <- function(table, id, blocks) {
  if (!is_source_table(table)) return(cuts_of_ids(table[[id]], blocks))
  one <- id_column_plan(table, id)
  src <- table$source
  filters <- c(filter_sql(table)$sql, sprintf("%s IS NOT NULL", one$key))
  people <- sprintf("SELECT %s AS id, count(*) AS n FROM %s t%s GROUP BY %s",
                    one$order, handle_from(table), where_sql(filters),
                    if (src$dialect == "generic") one$order else "1")
  if (src$dialect == "generic") return(cuts_in_order(src, people, one, blocks))
  # sum() of whole numbers is a decimal number in PostgreSQL: kept whole.
  counted <- sprintf(paste(
    "SELECT id, CAST(sum(n) OVER (ORDER BY id) AS bigint) AS upto,",
    "CAST(sum(n) OVER () AS bigint) AS total FROM (%s) p"
  ), people)
  divide <- if (src$dialect == "duckdb") "//" else "/"
  last <- column_sql(src$dialect, one$kind, "", "max(id)")
  answer <- source_query(src, sprintf(
    "SELECT ((upto - 1) * %d) %s total AS block, %s AS last FROM (%s) q%s",
    blocks, divide, last, counted, " GROUP BY 1 ORDER BY 1"
  ))
  if (length(answer) < 2L) return(as_kind(logical(), one$kind, "UTC"))
  last <- as_kind(answer[[2L]], one$kind, "UTC")
  last[-length(last)]
}

# Databases that we do not know, whose words for the above may differ: people
# in the order that this database has, as it is this order that it compares by.
cuts_in_order <- function(src, people, one, blocks) {
  answer <- source_query(src, paste(people, "ORDER BY", one$order))
  if (length(answer) < 2L || !length(answer[[1L]])) return(character())
  block <- block_of(cumsum(plain_double(answer[[2L]])), blocks)
  last <- answer[[1L]][!duplicated(block, fromLast = TRUE)]
  last[-length(last)]
}

# upto: rows up to and with each id, ascending.
block_of <- function(upto, blocks) {
  floor((upto - 1) * blocks / upto[length(upto)])
}

cuts_of_ids <- function(id, blocks) {
  id <- plain_ids(id)
  id <- id[!is_missing_id(id)]
  if (!length(id)) return(id)
  if (is_integer64(id)) {
    sorted <- bit64::sort.integer64(id)
    first <- which(!bit64::duplicated.integer64(sorted))
  } else {
    sorted <- sort(id, method = "radix")
    first <- which(!duplicated(sorted))
  }
  upto <- c(first[-1L] - 1, length(sorted))
  last <- !duplicated(block_of(upto, blocks), fromLast = TRUE)
  last <- sorted[upto[last]]
  last[-length(last)]
}

plain_ids <- function(id) {
  if (is.factor(id)) as.character(id) else if (is.character(id)) {
    enc2utf8(id)
  } else id
}

is_missing_id <- function(id) {
  if (is_integer64(id)) is_na_integer64(id) else is.na(id)
}

# ---- reading ----------------------------------------------------------------

#' @rdname source_blocks
#' @export
read_block <- function(x, k) {
  check_blocks(x)
  k <- check_integer(k, "k", 1, length(x))
  from <- if (k > 1L) x$cuts[k - 1L]
  to <- if (k < length(x)) x$cuts[k]
  lapply(x$tables, function(table) {
    if (is_source_table(table)) {
      read_source_table(table, more = id_range_sql(table, x$id, from, to))
    } else {
      rows_of_block(table, x$id, from, to)
    }
  })
}

id_range_sql <- function(table, id, from, to) {
  one <- id_column_plan(table, id)
  key <- one$order
  src <- table$source
  after <- if (!is.null(from)) sprintf("%s > %s", key, quote_values(src, from))
  up_to <- if (!is.null(to)) sprintf("%s <= %s", key, quote_values(src, to))
  if (is.null(from) && is.null(to)) return(NULL)
  if (is.null(from)) up_to <- sprintf("%s OR %s IS NULL", up_to, key)
  c(after, up_to)
}

rows_of_block <- function(data, id, from, to) {
  ids <- plain_ids(data[[id]])
  lost <- is_missing_id(ids)
  inside <- rep(TRUE, length(ids))
  if (is.character(ids)) {
    # Order of bytes, whatever the language of the session.
    sorted <- sort(unique(c(ids, from, to)), method = "radix")
    place <- match(ids, sorted)
    if (!is.null(from)) inside <- inside & place > match(from, sorted)
    if (!is.null(to)) inside <- inside & place <= match(to, sorted)
  } else {
    if (!is.null(from)) inside <- inside & ids > from
    if (!is.null(to)) inside <- inside & ids <= to
  }
  inside[lost] <- is.null(from)
  out <- as.data.frame(data)[which(inside), , drop = FALSE]
  rownames(out) <- NULL
  out
}

check_blocks <- function(x) {
  if (inherits(x, "source_blocks")) return(invisible())
  abort_input("`x` must be a result of source_blocks().",
              x = sprintf("It is %s.", what_is(x)), arg = "x", code = "blocks")
}

#' @rdname source_blocks
#' @export
block_key <- function(x) {
  check_blocks(x)
  x$key
}

# What tells that a table has changed, as far as that can be seen without
# reading it.
table_state <- function(handle) {
  src <- handle$source
  files <- src$tables[[handle$table]]
  # Rows of the table, before they are made into others.
  handle$finish <- NULL
  list(handle$table, handle$columns, handle$filters, handle$conditions,
       handle$names, handle$dates, handle$as,
       if (is.character(files)) files_state(files) else
         count_source_rows(handle))
}

#' @export
length.source_blocks <- function(x) length(x$cuts) + 1L

#' @rdname source_blocks
#' @param ... Not used.
#' @export
print.source_blocks <- function(x, ...) {
  cat_wrapped(count_of(length(x), "block"), " of people, by `", x$id, "`, of ",
              some_of(names(x$tables)))
  invisible(x)
}
