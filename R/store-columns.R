# Columns of data frames as the arrays of a store, and back.
#
# A column is kept with its kind: "double", "integer", "logical", "date" or
# "text" (strings and factors: codes, with their levels in the notes of the
# block). Missing values are kept as a column of their own, since NA does not
# cross to the engine. Files are numbered: names of columns may be anything.

column_kind <- function(x) {
  if (is.factor(x) || is.character(x)) return("text")
  if (inherits(x, "Date")) return("date")
  if (is.logical(x)) return("logical")
  if (is_integer64(x)) return("double")
  if (!is.numeric(x) || is.object(x) || !is.null(dim(x))) return(NULL)
  if (is.integer(x)) "integer" else "double"
}

# table: "people" or "records". Value: list(columns, levels) of one block, or
# NULL after a fault.
encode_table <- function(faults, data, table, kinds, block) {
  columns <- levels <- list()
  where <- sprintf("%s, block %d", table, block)
  for (j in seq_along(kinds)) {
    name <- names(kinds)[j]
    x <- data[[name]]
    kind <- column_kind(x)
    if (!kinds_agree(kind, kinds[[j]])) {
      add_fault(
        faults, "column_type",
        sprintf("Column `%s` must be of one type throughout: %s.", name,
                kinds[[j]]),
        sprintf("Here it is %s.", what_is(x)), table = where
      )
      next
    }
    coded <- encode_column(x, kinds[[j]])
    columns[[column_file(table, j)]] <- coded$value
    columns[[column_file(table, j, "missing")]] <- coded$missing
    levels[[column_file(table, j)]] <- coded$levels
    levels[[column_file(table, j, "declared")]] <- coded$declared
  }
  list(columns = columns, levels = levels)
}

# Whole numbers may come as integers in one block and as doubles in another.
kinds_agree <- function(kind, wanted) {
  !is.null(kind) && (kind == wanted || kind == "integer" && wanted == "double")
}

column_file <- function(table, j, what = NULL) {
  paste(c(table, j, what), collapse = ".")
}

encode_column <- function(x, kind) {
  missing <- if (is_integer64(x)) is_na_integer64(x) else is.na(x)
  levels <- declared <- NULL
  value <- switch(kind,
    text = {
      if (is.factor(x)) {
        declared <- enc2utf8(levels(x))
        x <- droplevels(x)
      } else {
        x <- factor(x, sort(unique(x), method = "radix"))
      }
      levels <- enc2utf8(levels(x))
      as.integer(x)
    },
    date = as.double(unclass(x)),
    logical = as.integer(x),
    integer = as.integer(x),
    double = plain_double(x)
  )
  if (any(missing)) value[missing] <- 0L else missing <- NULL
  list(value = value, missing = if (!is.null(missing)) as.integer(missing),
       levels = levels, declared = declared)
}

# columns: as they were written; levels: of this block and of all blocks.
decode_column <- function(value, missing, kind, own, all) {
  value <- switch(kind,
    text = structure(match(own, all)[value], levels = all, class = "factor"),
    date = structure(as.double(value), class = "Date"),
    logical = as.logical(value),
    double = as.double(value),
    integer = as.integer(value)
  )
  if (!is.null(missing)) value[missing != 0] <- NA
  value
}

# Levels that some row of some block has, in the order in which a factor had
# them; strings in the order of strings. notes: of all blocks.
all_levels <- function(notes, file) {
  of_blocks <- function(name) {
    unique(unlist(lapply(notes, function(n) n$levels[[name]])))
  }
  used <- of_blocks(file)
  declared <- of_blocks(paste0(file, ".declared"))
  if (is.null(declared)) sort(used) else declared[declared %in% used]
}
