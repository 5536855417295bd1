# Where the blocks of a store come from: data frames, a function, or
# source_blocks().
#
# A source is list(read = function(k), n = number of blocks or NULL, id, key =
# what the blocks depend on, per_block).

block_source <- function(people, records, id, path, per_block) {
  if (is.data.frame(people)) {
    return(frame_source(people, records, id_column(id, names(people)), path,
                        per_block))
  }
  if (!is.null(records) || !is.null(per_block)) {
    abort_input("`records` and `people_per_block` go with a data frame.",
                x = sprintf("`people` is %s.", what_is(people)),
                arg = "records", code = "source")
  }
  if (inherits(people, "source_blocks")) {
    name <- id_column(id, character())
    return(list(read = function(k) read_block(people, k), n = length(people),
                id = name, key = block_key(people), per_block = 0L))
  }
  if (is.function(people)) {
    name <- id_column(id, character())
    return(list(read = people, id = name, key = "function", per_block = 0L))
  }
  abort_input("`people` must be a data frame, a function or source_blocks().",
              x = sprintf("It is %s.", what_is(people)), arg = "people",
              code = "data_type")
}

check_block <- function(block, id, k) {
  table <- function(name) {
    x <- block[[name]]
    if (is.null(x)) return(NULL)
    if (!is.data.frame(x)) {
      abort_input(sprintf("`%s` of block %d must be a data frame.", name, k),
                  x = sprintf("It is %s.", what_is(x)), arg = "people",
                  code = "data_type")
    }
    if (!id %in% names(x)) {
      abort_input(sprintf("`%s` of block %d must have the column `%s`.", name,
                          k, id), code = "missing_column")
    }
    x
  }
  found <- list(people = table("people"), records = table("records"))
  if (is.null(found$people) || nrow(found$people) == 0L) {
    abort_input(sprintf("Block %d has no people.", k),
                i = "A block is a list with a data frame `people`.",
                code = "empty_data")
  }
  found
}

# ---- data frames ------------------------------------------------------------

frame_source <- function(people, records, id, path, per_block) {
  check_table(people, "people")
  if (!is.null(records)) check_table(records, "records")
  faults <- new_faults()
  for (table in c("people", if (!is.null(records)) "records")) {
    x <- get(table)
    add_missing_columns(faults, setdiff(id, names(x)), names(x), table)
  }
  stop_for_faults(faults)
  ids <- id_values(faults, people[[id]], id, "people")
  stop_for_faults(faults)
  subjects <- subject_codes(ids)
  per_block <- known_per_block(path) %||%
    (if (is.null(per_block)) {
      people_by_memory(people, records, subjects$n)
    } else {
      check_integer(per_block, "people_per_block", 1)
    })
  block_of <- (seq_len(subjects$n) - 1L) %/% as.integer(per_block) + 1L
  rows <- split(seq_along(subjects$code), block_of[subjects$code])
  of_records <- if (!is.null(records)) {
    code <- match_subjects(faults, id_values(faults, records[[id]], id,
                                             "records"), subjects, id)
    stop_for_faults(faults)
    block <- block_of[code]
    # People who are not there are counted with the first block.
    block[is.na(block)] <- 1L
    split(seq_along(block), factor(block, seq_along(rows)))
  }
  list(
    read = function(k) {
      list(people = people[rows[[k]], , drop = FALSE],
           records = if (!is.null(records)) {
             records[of_records[[k]], , drop = FALSE]
           })
    },
    n = length(rows), id = id, per_block = as.integer(per_block),
    key = frame_key(people, records)
  )
}

# What tells tables apart, without looking at every value.
frame_key <- function(people, records) {
  ends <- function(x) {
    if (is.null(x)) return(NULL)
    n <- nrow(x)
    at <- unique(c(utils::head(seq_len(n), 500L), utils::tail(seq_len(n), 500L),
                   seq.int(1L, n, length.out = min(n, 500L))))
    list(dim(x), names(x), as.list(x[at, , drop = FALSE]))
  }
  rlang::hash(list(ends(people), ends(records)))
}

# A store that was begun is gone on with in the same cuts.
known_per_block <- function(path) {
  if (!file.exists(file.path(path, "manifest.json"))) return(NULL)
  found <- engine_call("store_info", path = path)$settings$per_block
  if (is.null(found) || found < 1) NULL else found
}

# A block is copied a few times when covariates are evaluated.
people_by_memory <- function(people, records, n) {
  cells <- as.double(nrow(people)) * (ncol(people) + 8) +
    as.double(NROW(records)) * (NCOL(records) + 4)
  budget <- do.call(engine_call, c("memory_budget", option_memory()))$bytes
  as.integer(min(n, 2e6, max(1e4, budget / 6 / (8 * 6 * cells / n))))
}
