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

# Rows of table `name` in table `of` ("people", "deaths"); NULL when not known.
rows_in <- function(ctx, name, of) {
  one <- table_ids(ctx, name)
  other <- table_ids(ctx, of)
  if (is.null(one) || is.null(other) ||
        is.character(one) != is.character(other) ||
        !identical(attr(one, "bits"), attr(other, "bits"))) {
    return(NULL)
  }
  match(as.vector(one), as.vector(other))
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

change_strings <- function(x, change) {
  if (is.factor(x)) {
    levels(x) <- change(levels(x))
    x
  } else {
    change(x)
  }
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
    rows_of_values(x, not_utf8(strings_of(x)))
  })
}

find_blanks <- function(ctx) {
  over_columns(ctx, types = c("id", "code"), function(x, s) {
    if (!is.character(x) && !is.factor(x)) return(NULL)
    strings <- strings_of(x)
    # useBytes: blanks are to be found whatever the encoding.
    rows_of_values(x, grepl("^[ \t]|[ \t]$", strings, useBytes = TRUE))
  })
}

find_id_precision <- function(ctx) {
  over_columns(ctx, types = "id", function(x, s) {
    if (is.character(x) || is.factor(x)) {
      like <- grepl("^[0-9][.]?[0-9]*[eE][+]?[0-9]+$", strings_of(x),
                    useBytes = TRUE)
      return(rows_of_values(x, like))
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

# As duplicated() of a data frame, in linear time and exactly: columns become
# numbers, and two columns of numbers one.
duplicated_rows <- function(data) {
  rows <- seq_len(nrow(data))
  code <- numeric(nrow(data))
  size <- 1 # codes are below this
  for (x in as.list(data)) {
    if (is.list(x)) return(duplicated(data))
    if (is_integer64(x)) x <- unclass(x)
    x <- x[rows]
    x <- if (is.factor(x)) as.integer(x) else match(x, unique(x))
    x[is.na(x)] <- 0L
    width <- max(x, 0L) + 1
    if (size * width > 2^52) {
      # Few are left: rows with a code that no other row has repeat nothing.
      alike <- duplicated(code) | duplicated(code, fromLast = TRUE)
      rows <- rows[alike]
      x <- x[alike]
      code <- code[alike]
      code <- as.double(match(code, unique(code)))
      size <- max(code, 0) + 1
    }
    code <- code * width + x
    size <- size * width
  }
  repeats <- logical(nrow(data))
  repeats[rows[duplicated(code)]] <- TRUE
  repeats
}

# Pairs of a reversal and what it cancels; rows of both, and reversals alone.
match_reversals <- function(ctx) {
  d <- ctx$tables$dispensings
  ids <- table_ids(ctx, "dispensings")
  day <- table_days(ctx, "dispensings")
  if (is.null(d$quantity) || !is.numeric(d$quantity) || is.null(ids) ||
        is.null(day) || is.null(d$drug)) {
    return(list(pairs = integer(), alone = integer()))
  }
  negative <- which(d$quantity < 0)
  drug <- as.character(d$drug)
  person <- match(as.vector(ids), unique(as.vector(ids)[negative]))
  rows <- which(!is.na(person) & !is.na(day) & !is.na(d$quantity) &
                  d$quantity != 0)
  key <- paste(person[rows], match(drug[rows], unique(drug)),
               format(abs(d$quantity[rows]), digits = 15))
  # On one day, dispensings come before reversals.
  rows <- rows[order(key, day[rows], d$quantity[rows] < 0, rows,
                     method = "radix")]
  key <- sort(key, method = "radix")
  # As brackets: a reversal closes the last dispensing that is still open.
  is_back <- d$quantity[rows] < 0
  new_key <- c(TRUE, key[-1L] != key[-length(key)])
  stack <- integer(length(rows))
  partner <- integer(length(rows))
  top <- 0L
  for (k in seq_along(rows)) {
    if (new_key[k]) top <- 0L
    if (!is_back[k]) {
      top <- top + 1L
      stack[top] <- k
    } else if (top > 0L) {
      partner[c(k, stack[top])] <- c(stack[top], k)
      top <- top - 1L
    }
  }
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
    finding(table, column, which(!has_code(as.character(x), known)))
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
  if (is.null(ctx$tables$coverage)) return(NULL)
  ids <- as.vector(table_ids(ctx, "coverage"))
  from <- table_days(ctx, "coverage")
  to <- table_days(ctx, "coverage", last_date)
  use <- which(!is.na(ids) & is.finite(from) & is.finite(to) & to >= from)
  values <- unique(ids[use])
  covered <- union_intervals(match(ids[use], values), from[use], to[use] + 1)
  over_tables(ctx, dated_tables, function(name) {
    if (is.null(rows_in(ctx, name, "coverage"))) return(NULL)
    code <- match(as.vector(table_ids(ctx, name)), values)
    day <- table_days(ctx, name)
    ok <- !is.na(code) & is.finite(day)
    inside <- rep(FALSE, length(day))
    if (any(ok) && length(covered$code)) {
      axis <- interval_axis(covered, range(day[ok], day[ok] + 1))
      inside[ok] <- is_inside(axis, code[ok], day[ok] + 1)
    }
    which(!inside & !is.na(day))
  })
}
