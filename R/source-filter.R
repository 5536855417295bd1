# Filters of a handle as conditions of SQL.

# list(sql, here): conditions, and the columns whose ranges only R can compare.
filter_sql <- function(handle) {
  if (!is.null(handle$cache$filters)) return(handle$cache$filters)
  if (!any(lengths(handle$filters))) {
    return(list(sql = handle$conditions, here = NULL))
  }
  plan <- column_plan(handle)
  row_of <- function(name) plan[match(name, plan$name), ]
  codes <- lapply(names(handle$filters$codes), function(name) {
    code_condition(handle, row_of(name), handle$filters$codes[[name]])
  })
  values <- lapply(names(handle$filters$values), function(name) {
    value_condition(handle$source, row_of(name), handle$filters$values[[name]])
  })
  between <- handle$filters$between
  here <- vapply(names(between), function(name) {
    one <- row_of(name)
    nzchar(one$to_date) && one$kind == "character" &&
      one$to_date != "%Y-%m-%d" || one$kind == "any"
  }, NA)
  ranges <- lapply(names(between)[!here], function(name) {
    range_condition(handle$source, row_of(name), between[[name]])
  })
  found <- list(sql = unlist(c(handle$conditions, codes, values, ranges)),
                here = names(between)[here])
  handle$cache$filters <- found
  found
}

where_sql <- function(conditions) {
  if (!length(conditions)) return("")
  paste0(" WHERE ", paste0("(", conditions, ")", collapse = " AND "))
}

# The codes that are there are matched here, by the one rule that there is, and
# come back as a list of values: the same rows as for a data frame, and an index
# of the database can be used.
code_condition <- function(handle, column, codes) {
  src <- handle$source
  there <- source_query(src, sprintf(
    "SELECT DISTINCT %s AS v FROM %s t WHERE %s IS NOT NULL", column$sql,
    handle_from(handle), column$key
  ))
  there <- as_kind(if (length(there)) there[[1L]] else logical(), column$kind,
                   "UTC")
  text <- if (is_integer64(there)) bit64::as.character.integer64(there) else
    as.character(there)
  in_list(src, column, there[has_code(text, codes)])
}

in_list <- function(src, column, values) {
  if (!length(values)) return("1 = 0")
  # Lists of thousands are slow to read for some databases, not wrong.
  sprintf("%s IN (%s)", column$key,
          paste(quote_values(src, values), collapse = ", "))
}

value_condition <- function(src, column, values) {
  text <- is.character(values) || is.factor(values)
  if (inherits(values, c("Date", "POSIXt"))) {
    abort_input(sprintf("Days in `%s` are chosen by `between`.", column$name),
                arg = "values", code = "filter")
  }
  if (text != (column$kind == "character") && column$kind != "any") {
    abort_input(sprintf("The filter of `%s` must be %s, as the column is.",
                        column$name, if (text) "numbers" else "strings"),
                arg = "values", code = "filter")
  }
  if (is.logical(values)) {
    values <- as.integer(values)
    if (column$kind == "logical") {
      column$key <- sprintf("CASE WHEN %1$s THEN 1 WHEN NOT %1$s THEN 0 END",
                            column$key)
    }
  }
  in_list(src, column, values)
}

# First and last value, both inside; NA is no limit.
range_condition <- function(src, column, range) {
  days <- nzchar(column$to_date) ||
    column$kind %in% c("date", "datetime", "moment")
  numbers <- is.numeric(range) && !inherits(range, "Date")
  if (all(is.na(range))) return("1 = 1")
  fits <- if (days) inherits(range, "Date") else {
    if (column$kind == "character") is.character(range) else numbers
  }
  if (!fits) {
    abort_input(sprintf("The range of `%s` must be %s.", column$name,
                        if (days) "dates" else if (numbers) "strings" else
                          "numbers"), arg = "between", code = "filter")
  }
  ends <- if (days) day_limits(src, column, range) else {
    list(from = quote_values(src, range[1L]), to = quote_values(src, range[2L]),
         below = "<=")
  }
  key <- if (column$kind == "character") column$order else column$key
  c(if (!is.na(range[1L])) sprintf("%s >= %s", key, ends$from),
    if (!is.na(range[2L])) sprintf("%s %s %s", key, ends$below, ends$to))
}

# A day lasts until the next one begins: times and strings may go on.
day_limits <- function(src, column, range) {
  limit <- switch(
    column$kind,
    date = function(day) quote_date(src, day),
    datetime = function(day) quote_midnight(src, day, "UTC", FALSE),
    moment = function(day) quote_midnight(src, day, src$time_zone, TRUE),
    character = function(day) quote_text(src, format(day, "%Y-%m-%d")),
    function(day) quote_number(as.double(day))
  )
  list(from = limit(range[1L]), to = limit(range[2L] + 1), below = "<")
}
