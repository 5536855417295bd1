# The tables of claims that the package reads and writes. Their columns are
# described in files (inst/schema), which the checks read and the help shows.

claims_tables <- c("dispensings", "people", "coverage", "stays", "diagnoses",
                   "deaths", "ddd", "records", "cohort")

#' Tables of claims, and their columns
#'
#' The tables that the functions for claims read (`dispensings`, `people`,
#' `coverage`, `stays`, `diagnoses`, `deaths`, `ddd`) and write (`records`,
#' `cohort`). Columns beyond these are carried along or ignored.
#'
#' Dates are `Date`s, or whole numbers of days; all tables of one analysis must
#' agree. Persons are identified by numbers, strings, a factor or 64-bit
#' integers, which are kept exactly. Codes are strings or factors.
#'
#' @param table Name of one table, or `NULL` for all.
#' @return A data frame with one row per column of a table: `table`, `column`,
#'   `type` (`"id"`, `"date"`, `"number"` or `"code"`), `unit`, `required`
#'   (`TRUE` or `FALSE`) and `meaning`.
#' @export
#' @examples
#' claims_schema("dispensings")
#' subset(claims_schema(), required, c(table, column, type))
claims_schema <- function(table = NULL) {
  tables <- if (is.null(table)) claims_tables else {
    check_word(table, claims_tables, "table")
  }
  parts <- lapply(tables, function(name) {
    file <- system.file("schema", paste0(name, ".csv"), package = "vigitensor",
                        mustWork = TRUE)
    schema <- utils::read.csv(file, colClasses = "character",
                              na.strings = character())
    schema$required <- schema$required == "yes"
    cbind(table = name, schema)
  })
  do.call(rbind, parts)
}

# Reads the columns of a table that the schema knows: those required and those
# of `wanted`, which must be there, and those of `also` that are there. Faults
# are added to the collector.
#   name   how the user calls the table (its argument)
#   id     name of the column with the person
# Value: list(n, id, <column> = ...): dates and numbers as doubles (dates with
# attribute "kind"), codes as they came. NULL where a column is of no use.
read_claims <- function(faults, data, table, name = table, id = "person_id",
                        wanted = character(), also = character()) {
  if (!is.data.frame(data)) {
    abort_input(sprintf("`%s` must be a data frame.", name),
                x = sprintf("It is %s.", what_is(data)), arg = name,
                code = "data_type")
  }
  schema <- claims_schema(table)
  schema$given <- ifelse(schema$column == "person_id", id, schema$column)
  needed <- schema$required | schema$column %in% wanted
  absent <- setdiff(schema$given[needed], names(data))
  add_missing_columns(faults, absent, names(data), name)
  read <- schema$given %in% names(data) &
    (needed | schema$column %in% also)
  columns <- list(n = nrow(data))
  for (k in which(read)) {
    columns[[schema$column[k]]] <- read_claims_column(
      faults, data[[schema$given[k]]], schema$given[k], schema$type[k], name,
      schema$required[k]
    )
  }
  columns
}

read_claims_column <- function(faults, x, column, type, name, required) {
  switch(
    type,
    id = claims_id(faults, x, column, name),
    date = claims_date(faults, x, column, name, required),
    number = claims_number(faults, x, column, name),
    code = claims_code(faults, x, column, name, required)
  )
}

# As id_values(), but a factor stays one: its levels are told apart quicker.
claims_id <- function(faults, x, column, name) {
  if (!is.factor(x)) return(id_values(faults, x, column, name))
  check_values(faults, as.integer(x), column, name)
  x
}

# Whole days; missing ones are faults only where the schema requires them.
claims_date <- function(faults, x, column, name, required) {
  kind_is_wrong <- inherits(x, "POSIXt") ||
    !(inherits(x, "Date") || is_plain_number(x))
  if (kind_is_wrong) return(time_column(faults, x, column, name))
  kind <- if (inherits(x, "Date")) "date" else "number"
  if (required) check_values(faults, unclass(x), column, name)
  whole <- is.integer(x)
  x <- plain_double(x)
  rows <- if (!whole) which(x != floor(x) | abs(x) >= 2^31)
  if (length(rows)) {
    add_fault(faults, "fractional_time",
              sprintf("Column `%s` must be whole days, below 2^31.", column),
              "Round down: a day is the unit of time here.", rows, name)
  }
  structure(x, kind = kind)
}

claims_number <- function(faults, x, column, name) {
  if (is.logical(x)) x <- as.integer(x)
  if (!is_plain_number(x)) {
    return(add_type_fault(faults, x, column, "a number",
                          "Convert it with `as.numeric()`.", name))
  }
  if (is_integer64(x)) x <- integer64_to_double(x)
  rows <- if (is.double(x)) which(is.infinite(x))
  if (length(rows)) {
    add_fault(faults, "infinite_values",
              sprintf("Column `%s` must be finite.", column),
              "Infinite values often come from a division by zero.", rows,
              name)
  }
  x
}

claims_code <- function(faults, x, column, name, required) {
  if (is.numeric(x) && !is.factor(x)) x <- as.character(x)
  if (!is.character(x) && !is.factor(x)) {
    return(add_type_fault(faults, x, column, "strings or a factor",
                          "Convert it with `as.character()`.", name))
  }
  if (required && anyNA(x)) {
    add_fault(faults, "missing_values",
              sprintf("Column `%s` must have no missing values.", column),
              "Remove these rows, or fill them in where you know the value.",
              which(is.na(x)), name)
  }
  x
}

# Dates of all tables must be of one kind. tables: named by argument, as
# read_claims() returns them. Value: "date" or "number".
claims_clock <- function(faults, tables) {
  kinds <- lapply(tables, function(columns) {
    unlist(lapply(columns, attr, "kind"))
  })
  all_kinds <- unique(unlist(kinds))
  if (length(all_kinds) > 1L) {
    add_fault(faults, "mixed_time",
              "Days must be dates in all tables and settings, or numbers.",
              "Convert one of them, as with `as.Date()`.",
              table = names(tables)[1L])
  }
  if ("date" %in% all_kinds) "date" else "number"
}

as_claims_time <- function(x, kind) {
  attr(x, "kind") <- NULL
  if (kind == "date") structure(x, class = "Date") else x
}

# ---- people of several tables -----------------------------------------------

# Codes of the people of one table: ascending integers, whatever the order of
# the rows. Integers code themselves.
code_people <- function(id) {
  if (is.integer(id)) return(list(code = id, ids = NULL, bits = FALSE))
  if (is.factor(id)) {
    return(list(code = as.integer(id), ids = levels(id), bits = FALSE))
  }
  bits <- isTRUE(attr(id, "bits"))
  id <- as.vector(id)
  ids <- sort(unique(id), method = "radix")
  list(code = match(id, ids), ids = ids, bits = bits)
}

# The people of codes, as the column that `people` was made of has them.
people_of_codes <- function(x, people, code) {
  if (is.factor(x)) {
    return(structure(code, levels = levels(x), class = class(x)))
  }
  if (people$bits) return(structure(people$ids[code], class = class(x)))
  if (is.object(x)) return(x[match(code, people$code)])
  if (is.null(people$ids)) code else people$ids[code]
}

# Codes of another table's people by those of `people` (from code_people()); NA
# for others.
match_people <- function(faults, id, people, name) {
  if (is.null(id) || is.null(people)) return(NULL)
  if (is.factor(id)) id <- as.character(id)
  if (!is.null(people$ids)) return(match_subjects(faults, id, people, name))
  ids <- unique(people$code)
  at <- match_subjects(faults, id, list(ids = ids, bits = FALSE), name)
  if (is.null(at)) NULL else ids[at]
}

# ---- codes of drugs and diagnoses -------------------------------------------

# ICD and ATC codes are written with dots or without, in either case.
plain_codes <- function(x) toupper(gsub("[^[:alnum:]]", "", x))

# TRUE where a code of x is one of `codes` or, unless exact, lies below one in
# the hierarchy ("I21" holds "I21.4").
has_code <- function(x, codes, exact = FALSE) {
  values <- if (is.factor(x)) levels(x) else unique(x)
  plain <- plain_codes(as.character(values))
  wanted <- plain_codes(as.character(codes))
  hit <- if (exact) plain %in% wanted else {
    Reduce(`|`, lapply(wanted, function(w) startsWith(plain, w)),
           rep(FALSE, length(plain)))
  }
  hit <- hit & !is.na(values)
  if (is.factor(x)) !is.na(x) & hit[as.integer(x)] else hit[match(x, values)]
}

check_codes <- function(codes, name) {
  ok <- is.character(codes) && length(codes) > 0L && !anyNA(codes) &&
    all(nzchar(plain_codes(codes)))
  if (!ok) {
    abort_input(sprintf("`%s` must be codes, as strings.", name),
                x = sprintf("It is %s.", what_is(codes)), arg = name,
                code = "codes")
  }
  codes
}
