# How the rules of check_claims() find faults. ctx: environment with `tables`
# as the rules before have left them, `schema`, `id`, `known` (codes), `days`.
# Each find_*() returns a list of list(table, column, rows), or NULL.

finding <- function(table, column = "", rows = integer(), always = FALSE) {
  if (length(rows) || always) list(list(table = table, column = column,
                                        rows = rows))
}

# One finder over all columns of the schema that are there; find(x, column row
# of the schema) returns rows, or NULL.
over_columns <- function(ctx, find, types = c("id", "date", "number", "code"),
                         required = FALSE) {
  s <- ctx$schema
  use <- s$type %in% types & (s$required | !required)
  found <- lapply(which(use), function(k) {
    x <- ctx$tables[[s$table[k]]][[s$given[k]]]
    if (is.null(x)) return(NULL)
    rows <- find(x, s[k, ])
    if (isTRUE(rows)) return(finding(s$table[k], s$given[k], always = TRUE))
    finding(s$table[k], s$given[k], rows)
  })
  do.call(c, found)
}

# Days of a date column as whole numbers (NA where there is none), whatever it
# is made of.
day_numbers <- function(x) {
  if (inherits(x, "POSIXt")) x <- local_date(x)
  if (inherits(x, "Date") || is_plain_number(x)) floor(plain_double(x)) else
    rep(NA_real_, length(x))
}

# The calendar day where the clock was read.
local_date <- function(x) {
  zone <- attr(x, "tzone")[1L]
  as.Date(x, tz = if (is.null(zone)) "" else zone)
}

first_date <- c(dispensings = "date", coverage = "start", stays = "admission",
                diagnoses = "date", deaths = "date")
last_date <- c(coverage = "end", stays = "discharge")

table_days <- function(ctx, name, which = first_date) {
  x <- if (name %in% names(which)) ctx$tables[[name]][[which[[name]]]]
  if (is.null(x)) NULL else day_numbers(x)
}

table_ids <- function(ctx, name) {
  x <- ctx$tables[[name]][[ctx$id]]
  if (is.factor(x)) return(as.character(x))
  if (is_integer64(x)) x <- structure(unclass(x), bits = TRUE)
  if (is.atomic(x)) x else NULL
}

# How ids are told apart: only ids of one kind are compared; NULL: not at all.
id_kind <- function(ctx, name) {
  x <- ctx$tables[[name]][[ctx$id]]
  if (is.null(x) || !is.atomic(x)) return(NULL)
  if (is.factor(x) || is.character(x)) "text" else
    if (is_integer64(x)) "bits" else "number"
}

# Rows of table `name` in table `of` ("people", "deaths"); NULL when not known.
rows_in <- function(ctx, name, of) {
  kind <- id_kind(ctx, name)
  if (is.null(kind) || !identical(kind, id_kind(ctx, of))) return(NULL)
  ids <- coded_column(ctx, name, ctx$id)
  match(ids$values, as.vector(table_ids(ctx, of)))[ids$code]
}

over_tables <- function(ctx, names, find) {
  names <- intersect(names, names(ctx$tables))
  do.call(c, lapply(names, function(name) {
    finding(name, rows = find(name))
  }))
}

dated_tables <- c("dispensings", "diagnoses", "stays")

find_missing_columns <- function(ctx) {
  s <- ctx$schema[ctx$schema$required, ]
  absent <- !mapply(function(table, column) {
    column %in% names(ctx$tables[[table]])
  }, s$table, s$given)
  do.call(c, Map(finding, s$table[absent], s$given[absent],
                 MoreArgs = list(always = TRUE)))
}

find_wrong_types <- function(ctx) {
  over_columns(ctx, function(x, s) {
    right <- switch(
      s$type,
      id = is.atomic(x) && (is.numeric(x) || is.character(x) || is.factor(x)),
      date = inherits(x, c("Date", "POSIXt")) || is_plain_number(x) ||
        is.logical(x) && all(is.na(x)),
      number = is_plain_number(x) || is.logical(x),
      code = is.character(x) || is.factor(x) || is.numeric(x)
    )
    if (right) NULL else TRUE
  })
}

find_mixed_time <- function(ctx) {
  kinds <- over_columns(ctx, types = "date", function(x, s) {
    if (is_plain_number(x)) TRUE else NULL
  })
  n_dates <- sum(ctx$schema$type == "date" & mapply(function(table, column) {
    column %in% names(ctx$tables[[table]])
  }, ctx$schema$table, ctx$schema$given))
  if (length(kinds) < n_dates) kinds else NULL
}

strings_of <- function(x) if (is.factor(x)) levels(x) else x

# Rows (of strings or of a factor) whose value is one of those marked.
rows_of_values <- function(x, mark) {
  if (is.factor(x)) which(mark[as.integer(x)]) else which(mark)
}

# The different values of a column, and the place of each row's among them: ids
# and codes come again and again. Kept until a repair changes the column.
# Value: list(values, code); values without a class, those of 64-bit integers
# as bits.
coded_column <- function(ctx, table, column) {
  known <- ctx$coded[[table]][[column]]
  if (!is.null(known)) return(known)
  x <- ctx$tables[[table]][[column]]
  coded <- if (is.factor(x)) {
    list(values = levels(x), code = as.integer(x))
  } else {
    code_values(as.vector(unclass(x)))
  }
  ctx$coded[[table]][[column]] <- coded
  coded
}

code_values <- function(x) {
  if (is.integer(x) || is.double(x)) {
    coded <- code_values_cpp(x)
    return(list(values = x[coded$row], code = coded$code))
  }
  values <- unique(x)
  list(values = values, code = match(x, values))
}

# Rows whose value is one of those that find() tells of all different values.
rows_with_value <- function(ctx, s, find) {
  coded <- coded_column(ctx, s$table, s$given)
  hit <- find(coded$values)
  if (any(hit, na.rm = TRUE)) which(hit[coded$code]) else integer()
}

change_strings <- function(x, change) {
  if (is.factor(x)) {
    levels(x) <- change(levels(x))
    x
  } else {
    change(x)
  }
}

beyond_ascii <- function(x) {
  grepl("[^\x01-\x7f]", x, perl = TRUE, useBytes = TRUE)
}

# Bytes that are not UTF-8, or strings that say they are of another encoding.
not_utf8 <- function(x) {
  !is.na(x) & (!validUTF8(x) | Encoding(x) == "latin1")
}

to_utf8 <- function(x) {
  change_strings(x, function(s) {
    bad <- not_utf8(s)
    s[bad] <- iconv(s[bad], "latin1", "UTF-8")
    s
  })
}

find_encoding <- function(ctx) {
  over_columns(ctx, types = c("id", "code"), function(x, s) {
    if (!is.character(x) && !is.factor(x)) return(NULL)
    # Strings without bytes beyond ASCII are the same in all encodings.
    if (!any(beyond_ascii(coded_column(ctx, s$table, s$given)$values))) {
      return(NULL)
    }
    rows_of_values(x, not_utf8(strings_of(x)))
  })
}

find_blanks <- function(ctx) {
  over_columns(ctx, types = c("id", "code"), function(x, s) {
    if (!is.character(x) && !is.factor(x)) return(NULL)
    rows_with_value(ctx, s, function(strings) {
      # useBytes: blanks are to be found whatever the encoding.
      grepl("^[ \t]|[ \t]$", strings, useBytes = TRUE)
    })
  })
}

find_id_precision <- function(ctx) {
  over_columns(ctx, types = "id", function(x, s) {
    if (is.character(x) || is.factor(x)) {
      return(rows_with_value(ctx, s, function(strings) {
        grepl("^[0-9][.]?[0-9]*[eE][+]?[0-9]+$", strings, useBytes = TRUE)
      }))
    }
    if (!is.double(x) || is_integer64(x)) return(NULL)
    which(abs(x) >= 2^53 | x != floor(x))
  })
}

find_id_types <- function(ctx) {
  kinds <- over_columns(ctx, types = "id", function(x, s) {
    if (is.character(x) || is.factor(x)) TRUE else NULL
  })
  n <- sum(vapply(ctx$tables, function(t) ctx$id %in% names(t), NA))
  if (length(kinds) < n) kinds else NULL
}

find_missing_values <- function(ctx) {
  over_columns(ctx, required = TRUE, function(x, s) {
    which(if (is_integer64(x)) is_na_integer64(x) else is.na(x))
  })
}

find_time_zones <- function(ctx) {
  over_columns(ctx, types = "date", function(x, s) {
    if (!inherits(x, "POSIXt")) return(NULL)
    rows <- which(local_date(x) != as.Date(x, tz = "UTC"))
    if (length(rows)) rows else TRUE
  })
}

find_fractions <- function(ctx) {
  over_columns(ctx, types = "date", function(x, s) {
    if (inherits(x, "POSIXt") || !is.numeric(unclass(x))) return(NULL)
    which(as.double(x) != floor(as.double(x)))
  })
}

whole_days <- function(x) {
  if (inherits(x, "Date")) structure(floor(unclass(x)), class = "Date") else
    floor(x)
}

find_impossible_dates <- function(ctx) {
  over_columns(ctx, types = "date", function(x, s) {
    dates <- inherits(x, c("Date", "POSIXt"))
    first <- ctx$days$first %||% if (dates) as.Date("1900-01-01") else -Inf
    last <- ctx$days$last %||% if (dates) Sys.Date() else Inf
    # Coverage may go on beyond today.
    if (s$column == "end" && is.null(ctx$days$last)) last <- Inf
    day <- day_numbers(x)
    which(day < as.double(first) | day > as.double(last) | is.infinite(day))
  })
}

find_end_before_start <- function(ctx) {
  over_tables(ctx, names(last_date), function(name) {
    which(table_days(ctx, name, last_date) < table_days(ctx, name))
  })
}

find_duplicate_people <- function(ctx) {
  over_tables(ctx, c("people", "deaths"), function(name) {
    ids <- table_ids(ctx, name)
    same_row <- duplicated_rows(ctx$tables[[name]])
    which(duplicated(as.vector(ids)) & !same_row)
  })
}

# As duplicated() of a data frame, in linear time and exactly.
#   coded  function(column name) -> codes of a column of strings
duplicated_rows <- function(data, coded = NULL) {
  plain <- vapply(data, function(x) is.atomic(x) && is.null(dim(x)), NA)
  if (!all(plain) || !length(plain)) return(duplicated(data))
  if (anyDuplicated(names(data))) coded <- NULL
  columns <- lapply(seq_along(data), function(k) {
    x <- data[[k]]
    if (is.numeric(unclass(x)) || is.logical(x)) return(unclass(x))
    if (is.null(coded)) code_values(x)$code else coded(names(data)[k])
  })
  repeated_rows_cpp(columns, vapply(data, is_integer64, NA))
}

# Pairs of a reversal and what it cancels; rows of both, and reversals alone, as
# rows of the table that was given: the second rule asks after the first has
# been repaired, which leaves alone who was alone.
match_reversals <- function(ctx) {
  ctx$reversals <- ctx$reversals %||% lapply(find_reversals(ctx), function(k) {
    ctx$row$dispensings[k]
  })
  lapply(ctx$reversals, function(rows) {
    at <- match(rows, ctx$row$dispensings)
    at[!is.na(at)]
  })
}

find_reversals <- function(ctx) {
  none <- list(pairs = integer(), alone = integer())
  d <- ctx$tables$dispensings
  day <- table_days(ctx, "dispensings")
  if (is.null(d$quantity) || !is.numeric(d$quantity) || is.null(d$drug) ||
        is.null(id_kind(ctx, "dispensings")) || is.null(day)) {
    return(none)
  }
  amount <- abs(plain_double(d$quantity))
  usable <- !is.na(day) & !is.na(amount) & d$quantity != 0
  back <- which(usable & d$quantity < 0)
  if (!length(back)) return(none)
  person <- coded_column(ctx, "dispensings", ctx$id)$code
  drug <- coded_column(ctx, "dispensings", "drug")
  # Rows of people, drugs and amounts that were taken back.
  of_person <- logical(max(person, 0L, na.rm = TRUE))
  of_person[person[back]] <- TRUE
  rows <- which(of_person[person] & usable)
  amounts <- code_values(amount[rows])
  size <- code_values(format(amounts$values, digits = 15))$code[amounts$code]
  key <- code_values(person[rows] * (length(drug$values) + 1) +
                       ifelse(is.na(drug$code[rows]), 0, drug$code[rows]))$code
  key <- (key - 1) * (max(size) + 1) + size
  is_back <- d$quantity[rows] < 0
  mine <- which(key %in% unique(key[is_back]))
  rows <- rows[mine]
  # On one day, dispensings come before reversals.
  o <- order(key[mine], day[rows], is_back[mine], method = "radix")
  rows <- rows[o]
  is_back <- is_back[mine][o]
  partner <- cancelled_rows_cpp(key[mine][o], is_back)
  list(pairs = sort(rows[partner > 0L]),
       alone = sort(rows[is_back & partner == 0L]))
}

find_no_supply <- function(ctx) {
  over_columns(ctx, types = "number", function(x, s) {
    if (!is_plain_number(x)) return(NULL)
    switch(s$column, days_supply = which(x <= 0), quantity = which(x == 0))
  })
}

find_unknown_people <- function(ctx) {
  if (is.null(ctx$tables$people)) return(NULL)
  over_tables(ctx, setdiff(names(ctx$tables), "people"), function(name) {
    at <- rows_in(ctx, name, "people")
    if (!is.null(at)) which(is.na(at))
  })
}

find_unknown_codes <- function(ctx) {
  one <- function(table, column) {
    x <- ctx$tables[[table]][[column]]
    known <- ctx$known[[column]]
    if (is.null(x) || is.null(known)) return(NULL)
    coded <- coded_column(ctx, table, column)
    known <- has_code(as.character(coded$values), known)
    finding(table, column, which(!known[coded$code] | is.na(coded$code)))
  }
  c(one("dispensings", "drug"), one("diagnoses", "code"))
}

find_before_birth <- function(ctx) {
  birth <- ctx$tables$people$birth_date
  if (is.null(birth)) return(NULL)
  birth <- day_numbers(birth)
  over_tables(ctx, c(dated_tables, "deaths"), function(name) {
    at <- rows_in(ctx, name, "people")
    if (!is.null(at)) which(table_days(ctx, name) < birth[at])
  })
}

find_after_death <- function(ctx) {
  if (is.null(ctx$tables$deaths)) return(NULL)
  died <- table_days(ctx, "deaths")
  over_tables(ctx, dated_tables, function(name) {
    at <- rows_in(ctx, name, "deaths")
    if (!is.null(at)) which(table_days(ctx, name) > died[at])
  })
}

find_outside_coverage <- function(ctx) {
  kind <- id_kind(ctx, "coverage")
  if (is.null(kind)) return(NULL)
  ids <- coded_column(ctx, "coverage", ctx$id)
  from <- table_days(ctx, "coverage")
  to <- table_days(ctx, "coverage", last_date)
  use <- which(!is.na(ids$values[ids$code]) & is.finite(from) &
                 is.finite(to) & to >= from)
  covered <- union_intervals(ids$code[use], from[use], to[use] + 1)
  over_tables(ctx, dated_tables, function(name) {
    day <- table_days(ctx, name)
    if (!identical(id_kind(ctx, name), kind) || is.null(day)) return(NULL)
    mine <- coded_column(ctx, name, ctx$id)
    code <- match(mine$values, ids$values)[mine$code]
    days_outside_cpp(code, day, covered$code, covered$start, covered$stop)
  })
}
