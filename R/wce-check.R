# Checks of single columns and settings. Column checks add to a fault collector
# (see conditions.R) and hand back the column as numbers, or NULL when it is of
# no use; a wrong setting stops at once.

# ---- columns ----------------------------------------------------------------

# Rows whose value is missing or infinite become faults. The sum of a column is
# finite exactly when all its values are (short of overflow), and is quick.
check_values <- function(faults, x, name, table) {
  if (is_integer64(x)) {
    missing_rows <- which(is_na_integer64(x))
    infinite_rows <- integer()
  } else if (is.integer(x) && !anyNA(x)) {
    return(invisible())
  } else if (is.numeric(x) && is.finite(sum(as.numeric(x)))) {
    return(invisible())
  } else {
    missing_rows <- if (anyNA(x)) which(is.na(x)) else integer()
    infinite_rows <- if (is.double(x)) which(is.infinite(x)) else integer()
  }
  if (length(missing_rows)) {
    add_fault(faults, "missing_values",
              sprintf("Column `%s` must have no missing values.", name),
              "Remove these rows, or fill them in where you know the value.",
              missing_rows, table)
  }
  if (length(infinite_rows)) {
    add_fault(faults, "infinite_values",
              sprintf("Column `%s` must be finite.", name),
              "Infinite values often come from a division by zero or log(0).",
              infinite_rows, table)
  }
  invisible()
}

add_type_fault <- function(faults, x, name, wanted, fix, table) {
  add_fault(faults, "non_numeric",
            sprintf("Column `%s` must be %s; it is %s.", name, wanted,
                    what_is(x)), fix, table = table)
  NULL
}

# A time: whole or fractional numbers, or dates (then days since 1970).
# Value: doubles with attribute "kind" ("number" or "date"), or NULL.
time_column <- function(faults, x, name, table) {
  if (inherits(x, "POSIXt")) {
    return(add_type_fault(faults, x, name, "a number or a Date",
                          "Give days: `as.Date(x)`.", table))
  }
  if (!inherits(x, "Date") && !is_plain_number(x)) {
    return(add_type_fault(faults, x, name, "a number or a Date",
                          "Convert it with `as.Date()` or `as.numeric()`.",
                          table))
  }
  check_values(faults, x, name, table)
  kind <- if (inherits(x, "Date")) "date" else "number"
  structure(plain_double(x), kind = kind)
}

number_column <- function(faults, x, name, table) {
  if (is.logical(x)) x <- as.integer(x)
  if (!is_plain_number(x)) {
    return(add_type_fault(faults, x, name, "a number",
                          "Convert it with `as.numeric()`.", table))
  }
  check_values(faults, x, name, table)
  plain_double(x)
}

dose_column <- function(faults, x, name, table, negative = FALSE) {
  x <- number_column(faults, x, name, table)
  rows <- which(x < 0)
  if (length(rows) && !negative) {
    add_fault(faults, "negative_dose",
              sprintf("Doses in `%s` must be zero or more.", name),
              paste("Negative quantities in claims are often reversals of an",
                    "earlier dispensing: remove both."), rows, table)
  }
  x
}

# 0/1, FALSE/TRUE, or 1/2 as Surv() reads them. Value: integers 0/1, or NULL.
event_column <- function(faults, x, name, table) {
  if (!is.logical(x) && !is_plain_number(x)) {
    return(add_type_fault(faults, x, name, "0/1 or FALSE/TRUE",
                          "Make it a comparison, as `status == \"dead\"`.",
                          table))
  }
  check_values(faults, x, name, table)
  x <- plain_double(x)
  if (length(x) && all(x == 1 | x == 2, na.rm = TRUE) &&
        any(x == 2, na.rm = TRUE)) {
    x <- x - 1
  }
  rows <- which(x != 0 & x != 1 & is.finite(x))
  if (length(rows)) {
    add_fault(faults, "event_values",
              sprintf("The event `%s` must be 0 or 1.", name),
              "Make it a comparison, as `status == 2`.", rows, table)
    return(NULL)
  }
  as.integer(x)
}

is_plain_number <- function(x) {
  is.numeric(x) && is.null(dim(x)) && !is.factor(x) &&
    !inherits(x, c("Date", "POSIXt", "difftime"))
}

plain_double <- function(x) {
  if (is_integer64(x)) x <- integer64_to_double(x)
  as.double(x)
}

# ---- 64-bit integers, with or without the bit64 package ---------------------
# bit64 keeps the bits of the integer in a double.

is_integer64 <- function(x) inherits(x, "integer64")

# The missing value is the smallest integer, whose bits are those of -0.
is_na_integer64 <- function(x) {
  bits <- unclass(x)
  bits == 0 & 1 / bits == -Inf
}

integer64_to_double <- function(x) {
  if (!requireNamespace("bit64", quietly = TRUE)) {
    abort_input("Columns of 64-bit integers need the bit64 package here.",
                i = "Install bit64, or convert the column with as.numeric().",
                code = "non_numeric")
  }
  bit64::as.double.integer64(x)
}

# ---- ids --------------------------------------------------------------------

# ids: numbers, strings, a factor or 64-bit integers. Value: a vector that ==
# and match() understand exactly (12-digit numbers are exact doubles; the bits
# of 64-bit integers are told apart as doubles), or NULL.
id_values <- function(faults, x, name, table) {
  usable <- (is.numeric(x) || is.character(x) || is.factor(x)) &&
    is.null(dim(x))
  if (!usable) {
    add_fault(faults, "id",
              sprintf("The id `%s` must be numbers, strings or a factor; %s",
                      name, paste0("it is ", what_is(x), ".")), table = table)
    return(NULL)
  }
  check_values(faults, if (is.factor(x)) as.integer(x) else x, name, table)
  if (is.factor(x)) return(as.character(x))
  if (is_integer64(x)) {
    # The bits of negative integers read as NaN, which are all alike.
    if (anyNA(unclass(x))) return(integer64_to_double(x))
    return(structure(unclass(x), bits = TRUE))
  }
  if (is.character(x)) x else as.vector(x)
}

# Codes 1..n in order of first appearance. Value: list(code, ids, n).
subject_codes <- function(id) {
  first <- run_starts(id)
  ids <- id[first]
  if (!anyDuplicated(ids)) {
    code <- rep.int(seq_along(first), diff(c(first, length(id) + 1L)))
  } else {
    ids <- unique(id)
    code <- match(id, ids)
  }
  list(code = code, ids = ids, n = length(ids),
       bits = isTRUE(attr(id, "bits")))
}

# Codes of the records' people; NA for people who are not in the data.
match_subjects <- function(faults, id, subjects, name) {
  if (is.null(id)) return(NULL)
  bits <- isTRUE(attr(id, "bits"))
  if (bits != subjects$bits && is.numeric(id) && is.numeric(subjects$ids)) {
    as_number <- function(x) {
      integer64_to_double(structure(x, class = "integer64"))
    }
    if (bits) id <- as_number(as.vector(id)) else
      subjects$ids <- as_number(as.vector(subjects$ids))
  }
  if (is.numeric(id) != is.numeric(subjects$ids)) {
    add_fault(faults, "id_type", sprintf(paste(
      "`%s` must be of one type in `data` and `records`; it is %s there and",
      "%s here."), name, if (is.numeric(id)) "strings" else "numbers",
      if (is.numeric(id)) "numbers" else "strings"),
      "Convert one of them.", table = "records")
    return(NULL)
  }
  match(id, subjects$ids)
}

# ---- settings ---------------------------------------------------------------

check_integer <- function(x, name, min, most = Inf, several = FALSE) {
  ok <- is.numeric(x) && length(x) >= 1L && (several || length(x) == 1L) &&
    all(is.finite(x)) && all(x == round(x)) && all(x >= min) && all(x <= most)
  if (!ok) {
    came <- if (is.numeric(x) && length(x) %in% 1:5) {
      paste(x, collapse = ", ")
    } else {
      what_is(x)
    }
    abort_input(
      sprintf("`%s` must be %s of at least %s.", name,
              if (several) "whole numbers" else "one whole number",
              format(min)),
      x = sprintf("It is %s.", came), arg = name, code = name
    )
  }
  as.integer(x)
}

check_number <- function(x, name, min, several = FALSE) {
  ok <- is.numeric(x) && length(x) >= 1L && (several || length(x) == 1L) &&
    all(is.finite(x)) && all(x >= min)
  if (!ok) {
    abort_input(
      sprintf("`%s` must be %s, %s.", name,
              if (several) "finite numbers" else "one finite number",
              if (min > 0) "more than 0" else "0 or more"),
      x = sprintf("It is %s.", what_is(x)), arg = name, code = name
    )
  }
  as.double(x)
}

check_word <- function(x, choices, name) {
  if (identical(x, choices)) return(choices[1L])
  if (rlang::is_string(x) && x %in% choices) return(x)
  abort_input(
    sprintf("`%s` must be %s.", name,
            paste(dQuote(choices, FALSE), collapse = " or ")),
    x = sprintf("It is %s.",
                if (rlang::is_string(x)) dQuote(x, FALSE) else what_is(x)),
    arg = name, code = name
  )
}

# A typo in an argument's name must never be swallowed by `...`.
check_no_more <- function(..., known) {
  n <- ...length()
  if (n == 0L) return(invisible())
  names <- ...names() %||% rep("", n)
  names[is.na(names)] <- ""
  unnamed <- names == ""
  abort_input(
    if (all(unnamed)) "Arguments after the known ones must be named." else
      "There are arguments that this function does not have.",
    x = if (any(!unnamed)) {
      sprintf("Unknown: %s.", paste0("`", names[!unnamed], "`",
                                     collapse = ", "))
    },
    i = sprintf("It has: %s.", paste0("`", known, "`", collapse = ", ")),
    code = "unknown_argument"
  )
}
