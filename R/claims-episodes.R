# exposure_episodes(): dispensings -> records (start, stop], dose per day. The
# histories themselves are walked in src/episodes.cpp.

#' From dispensings to exposure records
#'
#' Turns dispensings into the records that [wce()] reads: who took which drug
#' from when to when, at what dose. Each decision is one argument, and is kept
#' in the result. A dispensing on day D for n days is (D, D + n].
#'
#' @section Rules:
#' All rules work on the dispensings of one person and drug in order of time;
#' the order of the rows does not matter. Packs of one drug dispensed on one day
#' are taken one after the other (with `overlap = "add"`, together).
#'
#' *Overlap.* When a dispensing comes before the last one is used up:
#' `"carry_over"` begins it when the old supply ends, so that no day is lost;
#' at most `max_stock` days of old supply are kept. The old supply is finished
#' at its own dose, or, with `stock_dose = "new"`, all of it is taken at the
#' dose of the new dispensing (for as many days as that gives, to the nearest).
#' `"truncate"` begins it at once and throws the rest of the old supply away.
#' `"add"` keeps both: doses add while they overlap.
#'
#' *Grace.* A gap before the next dispensing of the same drug of at most `grace`
#' days (plus `grace_share` times the days of the dispensing before it, rounded
#' down) counts as exposed, at the dose before it. Other gaps end a spell; the
#' supply before them is made `tail` days longer.
#'
#' *Hospital.* A stay from admission on day A to discharge on day B is (A, B].
#' `"pause"`: the supply is not used, and goes on at discharge; the stay is not
#' exposed. `"supplied"`: the hospital gives the same drug, so that a stay in
#' the middle of a supply is exposed, and the supply lasts as much longer.
#' `"discard"`: what is left at admission is thrown away. `"ignore"`: stays do
#' not matter. What is dispensed during a stay begins at discharge, except
#' with `"ignore"`. With `"pause"` and `"supplied"`, gaps count days at home.
#'
#' *Switching.* With `switch_class`, a dispensing of another drug of the same
#' class ends the supply of the drug before it, and no grace or tail reaches
#' beyond that day. Drugs of one class dispensed on the same day are taken
#' together.
#'
#' @param dispensings A data frame (or a result of [source_table()], as all
#'   tables here): the id column, `date`, `drug`, and the columns that `supply`
#'   and `dose` need; see `claims_schema("dispensings")`.
#' @param id Name of the column that identifies a person, bare or a string.
#'   Numbers, strings, a factor or 64-bit integers: kept as they are.
#' @param supply Where the days of supply come from, in order of preference: for
#'   each dispensing the first source that knows them. `"given"`: column
#'   `days_supply`; `"dose"`: `quantity` (times `strength`, if there) by
#'   `daily_dose`; `"ddd"`: `quantity` times `strength` by the defined daily
#'   dose; `"fixed"`: `fixed_days`; `"waiting_time"`: see [waiting_time()]. Days
#'   are rounded to whole ones, at least 1.
#' @param dose Dose per day: `"one"`: 1 while exposed; `"daily_dose"`: that
#'   column; `"units"`: `quantity` by days; `"mg"`: `quantity` times `strength`
#'   by days; `"ddd"`: the same in defined daily doses.
#' @param ddd Data frame with columns `drug` and `ddd` (mg per day).
#' @param fixed_days Days of supply for `supply = "fixed"`.
#' @param waiting A result of [waiting_time()], or `NULL` to estimate it here
#'   with its defaults.
#' @param overlap,max_stock,stock_dose,grace,grace_share,tail See Rules. Days,
#'   and for `grace_share` a share of the days of supply.
#' @param stays Data frame of stays in hospital; see `claims_schema("stays")`.
#' @param in_hospital See Rules.
#' @param switch_class `NULL`: drugs do not end one another. A whole number:
#'   drugs whose codes share that many first characters are one class (4 for
#'   ATC: `"C09A"`). Or a named vector: the class of each drug.
#' @param lag_in Days by which all records are moved later. [wce()] has a
#'   `lag_in` of its own, which does the same: use one of them.
#' @param join `TRUE`: records that touch and have the same dose become one.
#'
#' @return A data frame of class `exposure_episodes`, sorted by person, drug and
#'   start, with the id column, `drug`, `start`, `stop` (dates if the
#'   dispensings have dates), `dose` per day, and `spell`, the number of the
#'   spell of that person and drug (spells are parted by gaps). Attributes:
#'   `rules`, the settings; `counts`: `dispensings`, `people`, `records`,
#'   `by_source` (dispensings by source of their days), `switched` (treatments
#'   ended by a switch while supply was left), `discarded_days`, `bridged_days`
#'   (gaps filled by the grace period), `same_day` (dispensings on a day that a
#'   waiting time covers already).
#'
#' @section Errors:
#' `vigitensor_error_data`, with the class of each fault, all of them together:
#' `missing_column`, `missing_values`, `infinite_values`, `non_numeric`, `id`,
#' `fractional_time`, `mixed_time`, `reversal`, `unknown_supply`,
#' `unknown_dose`, `negative_dose`, `ddd`, `duplicate_drug`,
#' `stop_before_start`, `drug_class`, each with `vigitensor_error_` in front.
#' [check_claims()] finds and repairs more.
#'
#' @seealso [check_claims()], [cohort()], [episode_variants()], [wce()]
#' @export
#' @examples
#' d <- data.frame(
#'   person_id = c(1, 1, 1, 2), drug = "a",
#'   date = as.Date("2024-01-01") + c(0, 20, 75, 3), days_supply = 30,
#'   quantity = c(30, 60, 30, 30), strength = 10
#' )
#' exposure_episodes(d, dose = "mg")
#' exposure_episodes(d, overlap = "truncate", grace = 30)
exposure_episodes <- function(dispensings, id = "person_id", supply = "given",
                              dose = "one", ddd = NULL, fixed_days = NULL,
                              waiting = NULL, overlap = "carry_over",
                              max_stock = Inf, stock_dose = "own", grace = 0,
                              grace_share = 0, tail = 0, stays = NULL,
                              in_hospital = "pause", switch_class = NULL,
                              lag_in = 0, join = TRUE) {
  id <- id_column(rlang::enquo(id), table_columns(dispensings))
  dispensings <- claims_rows(dispensings, "dispensings", id)
  check_table(dispensings, "dispensings")
  stays <- claims_rows(stays, "stays", id)
  ddd <- claims_rows(ddd)
  check_supply_settings(supply, dose, ddd, fixed_days)
  rules <- check_episode_rules(overlap, max_stock, stock_dose, grace,
                               grace_share, tail, in_hospital, lag_in, join)
  settings <- c(list(supply = supply, dose = dose, ddd = ddd,
                     fixed_days = fixed_days), rules)

  faults <- new_faults()
  columns <- read_claims(
    faults, dispensings, "dispensings", id = id,
    wanted = supply_columns(supply, dose),
    also = c("quantity", if ("dose" %in% supply) "strength")
  )
  people <- if (!is.null(columns$person_id)) code_people(columns$person_id)
  stays <- read_stays(faults, stays, id, people, columns)
  drugs <- if (!is.null(columns$drug)) code_drugs(columns$drug)
  classes <- drug_classes(faults, switch_class, drugs)
  stop_for_faults(faults)
  waiting <- waiting_days(waiting, settings, dispensings, id, drugs)
  supply_dose <- supply_of(faults, columns, settings, waiting)
  check_stock_dose(faults, rules, supply_dose$dose)
  stop_for_faults(faults)

  once <- if (!is.null(waiting)) {
    as.integer(supply_dose$source %||% rep(1L, columns$n) ==
                 match("waiting_time", supply))
  }
  out <- episodes_cpp(
    people$code, classes, drugs$code, columns$date, supply_dose$days,
    supply_dose$dose, once, stays$person, stays$admission, stays$discharge,
    episode_rules_vector(rules), episode_threads()
  )
  settings$switch_class <- switch_class
  new_exposure_episodes(out, dispensings, columns, people, drugs, id, settings,
                        supply_dose$source)
}

check_episode_rules <- function(overlap, max_stock, stock_dose, grace,
                                grace_share, tail, in_hospital, lag_in, join) {
  if (!identical(as.numeric(max_stock), Inf)) {
    max_stock <- check_integer(max_stock, "max_stock", 0)
  }
  if (!rlang::is_bool(join)) {
    abort_input("`join` must be TRUE or FALSE.", arg = "join", code = "join")
  }
  list(
    overlap = check_word(overlap, c("carry_over", "add", "truncate"),
                         "overlap"),
    max_stock = as.numeric(max_stock),
    stock_dose = check_word(stock_dose, c("own", "new"), "stock_dose"),
    grace = check_integer(grace, "grace", 0),
    grace_share = check_number(grace_share, "grace_share", 0),
    tail = check_integer(tail, "tail", 0),
    in_hospital = check_word(in_hospital, hospital_rules, "in_hospital"),
    lag_in = check_integer(lag_in, "lag_in", 0), join = join
  )
}

hospital_rules <- c("pause", "supplied", "discard", "ignore")

# In the order of struct Rules in src/episodes-history.h.
episode_rules_vector <- function(rules) {
  c(match(rules$overlap, c("carry_over", "add", "truncate")) - 1,
    rules$stock_dose == "new", rules$max_stock, rules$grace,
    rules$grace_share, rules$tail,
    match(rules$in_hospital, c("ignore", "pause", "supplied", "discard")) - 1,
    rules$join)
}

# All cores unless the user, or a check, says otherwise.
episode_threads <- function() {
  wanted_threads() %||% min(8L, hardware_threads_cpp())
}

# Old supply cannot be taken at a dose of zero.
check_stock_dose <- function(faults, rules, dose) {
  rows <- if (rules$stock_dose == "new") which(dose <= 0)
  if (length(rows)) {
    add_fault(faults, "negative_dose",
              "With `stock_dose = \"new\"`, doses must be more than zero.",
              "Remove these dispensings, or keep `stock_dose = \"own\"`.",
              rows, "dispensings")
  }
}

# Codes of drugs by the order of their names, so that results do not depend on
# the order of the rows.
code_drugs <- function(drug) {
  values <- if (is.factor(drug)) levels(drug) else unique(drug)
  sorted <- sort(values, method = "radix")
  code <- match(values, sorted)
  at <- if (is.factor(drug)) as.integer(drug) else match(drug, values)
  list(code = if (identical(code, seq_along(sorted))) at else code[at],
       values = sorted)
}

# The drugs of records, as the column has them. code: by `drugs`, a result of
# code_drugs().
drugs_of_codes <- function(x, drugs, code) {
  if (is.factor(x)) {
    at <- match(drugs$values, levels(x))
    return(structure(at[code], levels = levels(x), class = class(x)))
  }
  if (is.character(x)) return(drugs$values[code])
  values <- unique(x)
  values[match(drugs$values, as.character(values))][code]
}

# Class of each dispensing's drug: integers from 0. Without switching each drug
# is a class of its own.
drug_classes <- function(faults, switch_class, drugs) {
  if (is.null(drugs)) return(NULL)
  if (is.null(switch_class)) {
    return(if (length(drugs$values) > 1L) drugs$code)
  }
  class <- if (is.numeric(switch_class)) {
    substr(plain_codes(drugs$values), 1L,
           check_integer(switch_class, "switch_class", 1))
  } else {
    unname(switch_class[drugs$values])
  }
  unknown <- which(is.na(class))
  if (length(unknown)) {
    add_fault(faults, "drug_class",
              "Every drug must have a class in `switch_class`.",
              "Give the classes as c(drug = \"class\", ...).",
              which(drugs$code %in% unknown), "dispensings")
    return(NULL)
  }
  match(class, sort(unique(class), method = "radix"))[drugs$code]
}

# Stays of the people who have dispensings, sorted and made disjoint.
read_stays <- function(faults, stays, id, people, columns) {
  none <- list(person = integer(), admission = numeric(),
               discharge = numeric())
  if (is.null(stays)) return(none)
  table <- read_claims(faults, stays, "stays", id = id)
  claims_clock(faults, list(dispensings = columns, stays = table))
  backward <- which(table$discharge < table$admission)
  if (length(backward)) {
    add_fault(faults, "stop_before_start",
              "Discharge must not come before admission.",
              "Correct or remove these stays.", backward, "stays")
  }
  person <- match_people(faults, table$person_id, people, id)
  if (any_faults(faults)) return(none)
  keep <- which(!is.na(person) & table$discharge > table$admission)
  union <- union_intervals(person[keep], table$admission[keep],
                           table$discharge[keep])
  list(person = union$code, admission = union$start, discharge = union$stop)
}

waiting_days <- function(waiting, settings, dispensings, id, drugs) {
  if (!"waiting_time" %in% settings$supply) return(NULL)
  waiting <- waiting %||% waiting_time(dispensings, id = id)
  if (!is.data.frame(waiting) || !all(c("drug", "days") %in% names(waiting))) {
    abort_input("`waiting` must be a result of waiting_time().",
                x = sprintf("It is %s.", what_is(waiting)), arg = "waiting",
                code = "waiting")
  }
  waiting$days[match(drugs$values, as.character(waiting$drug))][drugs$code]
}

new_exposure_episodes <- function(out, dispensings, columns, people, drugs, id,
                                  settings, source) {
  kind <- attr(columns$date, "kind")
  shift <- settings$lag_in
  time <- function(x) as_claims_time(if (shift > 0) x + shift else x, kind)
  records <- list(people_of_codes(dispensings[[id]], people, out$person),
                  drugs_of_codes(dispensings$drug, drugs, out$drug),
                  time(out$start), time(out$stop), out$dose, out$spell)
  names(records) <- c(id, "drug", "start", "stop", "dose", "spell")
  by_source <- if (is.null(source)) columns$n else
    tabulate(source, length(settings$supply))
  names(by_source) <- settings$supply
  counts <- list(
    dispensings = columns$n, people = count_runs(out$person),
    records = length(out$person), by_source = by_source,
    switched = out$switched, discarded_days = out$discarded_days,
    bridged_days = out$bridged_days, same_day = out$skipped
  )
  structure(records, class = c("exposure_episodes", "data.frame"),
            row.names = .set_row_names(length(out$person)), id = id,
            rules = settings, counts = counts)
}

# Number of different values of a vector whose equal values lie together.
count_runs <- function(x) length(run_starts(x))

# ---- print ------------------------------------------------------------------

#' @export
print.exposure_episodes <- function(x, n = 6L, ...) {
  counts <- attr(x, "counts")
  if (!is.null(counts) && counts$records == nrow(x)) {
    cat_wrapped(sprintf(
      "Exposure records: %s of %s, from %s",
      count_of(counts$records, "record"),
      count_of(counts$people, "person", "people"),
      count_of(counts$dispensings, "dispensing")
    ))
    for (line in describe_rules(attr(x, "rules"), counts)) {
      cat_wrapped(line, indent = 2L, exdent = 4L)
    }
  }
  print.data.frame(utils::head(as.data.frame(x), n), row.names = FALSE, ...)
  if (nrow(x) > n) cat(sprintf("... %s more\n", format_count(nrow(x) - n)))
  invisible(x)
}

#' @export
as.data.frame.exposure_episodes <- function(x, ...) {
  structure(x, class = "data.frame", id = NULL, rules = NULL, counts = NULL)
}

describe_rules <- function(rules, counts) {
  c(
    sprintf("days of supply: %s", paste(
      rules$supply, sprintf("(%s)", format_count(counts$by_source)),
      collapse = ", "
    )),
    sprintf("dose: %s", rules$dose),
    paste0("overlap: ", rules$overlap,
           if (is.finite(rules$max_stock)) {
             sprintf(", at most %s of stock", count_of(rules$max_stock, "day"))
           },
           if (rules$stock_dose == "new") ", stock at the new dose"),
    sprintf("grace: %s%s; tail: %s", count_of(rules$grace, "day"),
            if (rules$grace_share > 0) {
              sprintf(" and %s of the supply", format_level(rules$grace_share))
            } else {
              ""
            }, count_of(rules$tail, "day")),
    sprintf("in hospital: %s", rules$in_hospital),
    if (!is.null(rules$switch_class)) {
      sprintf("switching ends a drug: %s treatments with supply left",
              format_count(counts$switched))
    },
    if (rules$lag_in > 0) sprintf("lag-in: %s", count_of(rules$lag_in, "day"))
  )
}
