#' People and records on disk, for data that do not fit into memory
#'
#' Writes people and their dispensings into a folder of columns, block by block
#' of people, for [wce()] and [cox()] to read as `data`. Only one block is in
#' memory at any time, when building as when fitting.
#'
#' @section Building:
#' A block is written whole or not at all. A run that was killed, interrupted or
#' met a full disk leaves the blocks before, and the same call goes on behind
#' them. A folder that holds other data is refused.
#'
#' From a function, block k is `people(k)`, a list with data frames `people` and
#' `records`, or `NULL` behind the last block. All rows and records of a person
#' must be in one block; the ids are compared at the end.
#'
#' @section Fitting:
#' `wce(formula, data = store, ...)` and `cox(formula, data = store)` give the
#' fit of all rows at once, to rounding. Covariates are evaluated block by
#' block: a term must tell the value of a row from that row alone.
#' `splines::ns(age, 3)` places its knots by the whole column and is refused
#' (`vigitensor_error_whole_column`); `ns(age, knots = c(50, 70),
#' Boundary.knots = c(20, 90))` is not. Times are whole numbers (for `cox()`,
#' any numbers that do not differ by rounding alone). The formula must not use
#' the id column. Exact ties, continuous time, predictions, survival curves and
#' residuals of single rows or events need data in memory.
#'
#' @section Results:
#' The robust variance is that of people, also for `cox()`, or of the groups of
#' `cluster()`, which may have people in several blocks. [residuals()] of type
#' `"martingale"`, `"deviance"`, `"score"`, `"dfbeta"` and `"dfbetas"` has one
#' element or row for each person, in the order of the blocks. [bootstrap()]
#' draws people, counted in that order: for a store made of data frames, and
#' whenever the order is that of the data frames, replicates of a seed are those
#' of the fit in memory, to rounding. With `strata =` the column is one of the
#' store. Both write the design again, and hold one number for each person and
#' coefficient, or person and replicate, in memory. On a cluster blocks of
#' people stay where they are, and sums by event time move.
#'
#' The design and the state of a fit are kept in the folder until it is done: a
#' fit that was killed goes on from its last Newton step when called again, with
#' the message `vigitensor_message_resumed`. Processes that fit the same at the
#' same time have a folder each.
#'
#' @section Memory:
#' Option `vigitensor.memory_mb` (`NULL`: a quarter of what is free) decides how
#' many people make a block, and how much of a fit's own arrays stays in memory;
#' the rest is in the folder, as memory-mapped files. Results do not depend on
#' it, but for rounding.
#'
#' @section Errors:
#' Classes `vigitensor_error_store_damaged` (a file was cut short or changed),
#' `_store_version`, `_store_differs` (the folder holds something else),
#' `_no_store`, `_disk_full`, `_disk`, `_repeated_people` (a person in two
#' blocks), `_column_type`, `_whole_column`, `_id_column`, `_store_rows` (the
#' rows are needed).
#'
#' @param people Data frame with one or more rows (start, stop] per person; a
#'   function of the number of a block, see Building; or the blocks that
#'   `source_blocks()` makes of tables named `people` and `records`.
#' @param records Data frame of dispensings: the id column, `start`, `stop`,
#'   `dose`, `drug`; or `NULL`. With a function, left out.
#' @param path Name of the folder.
#' @param id The column that tells people apart, bare or as a string.
#' @param people_per_block Number of people in a block of a data frame. `NULL`:
#'   by the memory.
#' @param progress Show a progress bar? `NULL`: option `vigitensor.progress`.
#' @return An object of class `claims_store`: a list with `path`, `id`,
#'   `n_blocks`, `n_people`, `n_rows`, `n_records`, `people` and `records`
#'   (kinds of the columns, by name). It holds no data, and survives [saveRDS()]
#'   as long as the folder stays.
#' @export
#' @examples
#' if (engine_available()) {
#'   folder <- tempfile()
#'   store <- claims_store(claims_people, claims_dispensings, folder,
#'                         id = person_id)
#'   print(store)
#'   unlink(folder, recursive = TRUE)
#' }
claims_store <- function(people, records = NULL, path, id,
                         people_per_block = NULL, progress = NULL) {
  check_path(path)
  source <- block_source(people, records, rlang::enquo(id), path,
                         people_per_block)
  first <- source$read(1L)
  if (is.null(first)) {
    abort_input("There are no blocks.", i = "`people(1)` gave NULL.",
                arg = "people", code = "empty_data")
  }
  first <- check_block(first, source$id, 1L)
  settings <- list(
    kind = "people and records", id = source$id, key = source$key,
    people = names(first$people), people_kinds = table_kinds(first$people),
    records = names(first$records), records_kinds = table_kinds(first$records),
    per_block = source$per_block
  )
  found <- engine_call("store_create", path = path, settings = settings)
  write_blocks(path, source, first, settings, found$n_blocks, progress)
  check_people_apart(path)
  open_claims_store(path)
}

#' @rdname claims_store
#' @export
open_claims_store <- function(path) {
  check_path(path)
  found <- engine_call("store_info", path = path)
  s <- found$settings
  if (!identical(s$kind, "people and records")) {
    abort_input("The folder holds no people and records.", arg = "path",
                code = "no_store")
  }
  count <- function(name) sum(vapply(found$notes, `[[`, 0, name))
  if (found$n_blocks == 0L) {
    abort_input("The store has no block yet.",
                i = "Give the call of claims_store() again.", arg = "path",
                code = "no_store")
  }
  kinds <- function(table) {
    stats::setNames(as.character(unlist(s[[paste0(table, "_kinds")]])),
                    as.character(unlist(s[[table]])))
  }
  structure(
    list(path = normalizePath(path), id = s$id, n_blocks = found$n_blocks,
         n_people = count("n_people"), n_rows = count("n_rows"),
         n_records = count("n_records"), people = kinds("people"),
         records = kinds("records"), key = s$key),
    class = "claims_store"
  )
}

#' @export
print.claims_store <- function(x, ...) {
  cat_wrapped("People and records on disk: ", count_of(x$n_people, "person",
                                                       "people"), ", ",
              count_of(x$n_rows, "row"), ", ", count_of(x$n_records, "record"),
              ", ", count_of(x$n_blocks, "block"))
  show <- function(kinds) {
    if (!length(kinds)) return("none")
    paste0(names(kinds), " (", kinds, ")", collapse = ", ")
  }
  cat_wrapped("People: ", show(x$people), indent = 2L, exdent = 4L)
  cat_wrapped("Records: ", show(x$records), indent = 2L, exdent = 4L)
  invisible(x)
}

is_claims_store <- function(x) inherits(x, "claims_store")

check_path <- function(path) {
  if (!rlang::is_string(path) || !nzchar(path) || !dir.exists(dirname(path))) {
    abort_input("`path` must be the name of a folder, in a folder that exists.",
                x = sprintf("It is %s.", what_is(path)), arg = "path",
                code = "path")
  }
}

table_kinds <- function(data) {
  if (is.null(data)) return(character())
  kinds <- lapply(data, column_kind)
  bad <- names(data)[vapply(kinds, is.null, NA)]
  if (length(bad)) {
    abort_input(
      sprintf("Column `%s` cannot be stored.", bad[1L]),
      x = sprintf("It is %s.", what_is(data[[bad[1L]]])),
      i = "Numbers, strings, factors, logical values and dates can.",
      code = "column_type"
    )
  }
  unlist(kinds)
}

# ---- writing ----------------------------------------------------------------

write_blocks <- function(path, source, first, settings, done, progress) {
  bar <- progress_bar(source$n %||% 0L, "Blocks ", progress, from = done)
  on.exit(bar$done())
  k <- done
  repeat {
    k <- k + 1L
    if (!is.null(source$n) && k > source$n) break
    block <- if (k == 1L) first else source$read(k)
    if (is.null(block)) break
    block <- check_block(block, source$id, k)
    write_block(path, block, settings, k)
    bar$step(1)
  }
}

write_block <- function(path, block, settings, k) {
  faults <- new_faults()
  id <- settings$id
  ids <- id_values(faults, block$people[[id]], id,
                   sprintf("people, block %d", k))
  stop_for_faults(faults)
  subjects <- subject_codes(ids)
  kinds <- function(table) {
    x <- stats::setNames(settings[[paste0(table, "_kinds")]], settings[[table]])
    x[names(x) != id]
  }
  people <- encode_table(faults, block$people, "people", kinds("people"), k)
  records <- list(columns = list(), levels = list())
  n_records <- other <- 0L
  if (!is.null(block$records)) {
    records_ids <- id_values(faults, block$records[[id]], id,
                             sprintf("records, block %d", k))
    code <- match_subjects(faults, records_ids, subjects, id)
    stop_for_faults(faults)
    known <- which(!is.na(code))
    # By person: kernels then go through them in slices.
    known <- known[order(code[known], method = "radix")]
    other <- nrow(block$records) - length(known)
    n_records <- length(known)
    records <- encode_table(faults, block$records[known, , drop = FALSE],
                            "records", kinds("records"), k)
    records$columns$records.subject <- code[known]
  }
  stop_for_faults(faults)
  ids <- subjects$ids
  columns <- c(people$columns, records$columns, list(
    people.subject = subjects$code,
    people.id = if (is.character(ids)) enc2utf8(ids) else as.vector(ids)
  ))
  engine_call("store_write", path = path, block = k, columns = columns,
              notes = list(n_people = subjects$n, n_rows = nrow(block$people),
                           n_records = n_records, other_people = other,
                           files = names(columns),
                           levels = c(people$levels, records$levels)))
}

check_people_apart <- function(path) {
  found <- engine_call("store_repeated", path = path, name = "people.id")
  if (found$repeated == 0) return(invisible())
  abort_input(
    sprintf("%s %s in more than one block.",
            count_of(found$repeated, "person", "people"),
            if (found$repeated == 1) "is" else "are"),
    i = paste("All rows and records of a person must be in one block: cut the",
              "data by person, and build the store again in a new folder."),
    code = "repeated_people"
  )
}

# ---- reading ----------------------------------------------------------------

# One block as data frames; `people` has the code of the person (1, 2, ... in
# the block) in the id column. notes: of all blocks (see store_notes()).
read_store_block <- function(store, k, notes, people = names(store$people),
                             records = names(store$records)) {
  list(people = read_store_table(store, "people", k, notes, people),
       records = read_store_table(store, "records", k, notes, records),
       n_people = notes[[k]]$n_people)
}

read_store_table <- function(store, table, k, notes, wanted) {
  kinds <- store[[table]]
  if (!length(kinds)) return(NULL)
  kinds <- kinds[names(kinds) != store$id]
  at <- which(names(kinds) %in% wanted)
  files <- vapply(at, function(j) column_file(table, j), "")
  missing <- vapply(at, function(j) column_file(table, j, "missing"), "")
  missing <- intersect(missing, unlist(notes[[k]]$files))
  subject <- paste0(table, ".subject")
  found <- engine_call("store_read", path = store$path, block = k,
                       names = c(subject, files, missing))
  columns <- lapply(seq_along(at), function(i) {
    file <- files[i]
    is_text <- kinds[[at[i]]] == "text"
    decode_column(
      found[[file]], found[[paste0(file, ".missing")]], kinds[[at[i]]],
      if (is_text) unlist(notes[[k]]$levels[[file]]),
      if (is_text) all_levels(notes, file)
    )
  })
  names(columns) <- names(kinds)[at]
  columns <- c(stats::setNames(list(as.integer(found[[subject]])), store$id),
               columns)
  structure(columns, class = "data.frame",
            row.names = .set_row_names(length(columns[[1L]])))
}

store_notes <- function(store) {
  engine_call("store_info", path = store$path)$notes
}
