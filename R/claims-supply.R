# Days of supply and dose per day of each dispensing.

supply_sources <- c("given", "dose", "ddd", "fixed", "waiting_time")
dose_kinds <- c("one", "daily_dose", "units", "mg", "ddd")

# Columns of the dispensings that the settings need.
supply_columns <- function(supply, dose) {
  unique(c(
    if ("given" %in% supply) "days_supply",
    if ("dose" %in% supply) c("quantity", "daily_dose"),
    if ("ddd" %in% supply) c("quantity", "strength"),
    switch(dose, daily_dose = "daily_dose", units = "quantity",
           mg = , ddd = c("quantity", "strength"))
  ))
}

check_supply_settings <- function(supply, dose, ddd, fixed_days) {
  if (!is.character(supply) || !length(supply) ||
        !all(supply %in% supply_sources) || anyDuplicated(supply)) {
    abort_input(
      sprintf("`supply` must be one or several of %s.",
              format_list(dQuote(supply_sources, FALSE), "and")),
      i = "Of several, the first that a dispensing has is used.",
      arg = "supply", code = "supply"
    )
  }
  check_word(dose, dose_kinds, "dose")
  if (is.null(ddd) && ("ddd" %in% supply || dose == "ddd")) {
    abort_input("`ddd` is needed: a data frame with columns `drug` and `ddd`.",
                i = "See claims_schema(\"ddd\").", arg = "ddd", code = "ddd")
  }
  if ("fixed" %in% supply) check_integer(fixed_days, "fixed_days", 1)
}

# Value: list(days, dose, source): days whole and at least 1 (NA where no source
# knows them); dose per day (one number when all are 1); source: numbers of
# `supply`, or NULL when there is one source.
supply_of <- function(faults, columns, settings, waiting) {
  check_quantities(faults, columns)
  mg_per_day <- if (!is.null(settings$ddd)) ddd_of(faults, columns, settings)
  days <- NULL
  source <- NULL
  for (k in seq_along(settings$supply)) {
    these <- days_by(settings$supply[k], columns, settings, mg_per_day, waiting)
    if (is.null(these)) next
    if (k == 1L) {
      days <- these
      if (length(settings$supply) > 1L) source <- ifelse(is.na(days), NA, 1L)
    } else {
      filled <- which(is.na(days) & !is.na(these))
      days[filled] <- these[filled]
      source[filled] <- k
    }
  }
  unknown <- if (is.null(days)) integer() else which(is.na(days))
  if (length(unknown)) {
    add_fault(faults, "unknown_supply",
              "The days of supply must be known for every dispensing.",
              paste("Add a source to `supply`, such as \"waiting_time\" or",
                    "\"fixed\"; days of zero or less count as unknown."),
              unknown, "dispensings")
  }
  list(days = days, source = source,
       dose = dose_per_day(faults, columns, settings, days, mg_per_day))
}

# Whole days, at least one; NA where nothing sensible is known.
days_by <- function(source, columns, settings, mg_per_day, waiting) {
  per_unit <- columns$strength %||% 1
  days <- switch(
    source,
    given = columns$days_supply,
    dose = columns$quantity * per_unit / columns$daily_dose,
    ddd = columns$quantity * columns$strength / mg_per_day,
    fixed = rep(settings$fixed_days, columns$n),
    waiting_time = waiting
  )
  if (is.null(days) || length(days) != columns$n) return(NULL)
  if (is.integer(days) && !anyNA(days) && all(days > 0L)) return(days)
  days[which(days <= 0 | !is.finite(days))] <- NA
  pmax(1, floor(days + 0.5))
}

check_quantities <- function(faults, columns) {
  negative <- which(columns$quantity < 0)
  if (length(negative)) {
    add_fault(faults, "reversal",
              "Quantities must not be negative: these are reversals.",
              paste("Remove them with the dispensings that they cancel:",
                    "check_claims(..., fix = \"reversals\")."),
              negative, "dispensings")
  }
}

# mg per day of one defined daily dose, by dispensing.
ddd_of <- function(faults, columns, settings) {
  table <- read_claims(faults, settings$ddd, "ddd")
  if (is.null(table$drug) || is.null(table$ddd) || is.null(columns$drug)) {
    return(NULL)
  }
  bad <- which(is.na(table$ddd) | table$ddd <= 0)
  if (length(bad)) {
    add_fault(faults, "ddd", "Defined daily doses must be more than 0.",
              "Remove drugs without one.", bad, "ddd")
  }
  twice <- which(duplicated(as.character(table$drug)))
  if (length(twice)) {
    add_fault(faults, "duplicate_drug", "A drug must have one row in `ddd`.",
              "Keep one row per drug.", twice, "ddd")
  }
  values <- if (is.factor(columns$drug)) levels(columns$drug) else
    unique(columns$drug)
  known <- table$ddd[match(values, as.character(table$drug))]
  known[if (is.factor(columns$drug)) as.integer(columns$drug) else
    match(columns$drug, values)]
}

dose_per_day <- function(faults, columns, settings, days, mg_per_day) {
  kind <- settings$dose
  if (kind == "one") return(1)
  if (is.null(days)) return(NULL)
  dose <- switch(
    kind,
    daily_dose = columns$daily_dose,
    units = columns$quantity / days,
    mg = columns$quantity * columns$strength / days,
    ddd = columns$quantity * columns$strength / days / mg_per_day
  )
  if (length(dose) != columns$n) return(NULL)
  unknown <- which(is.na(dose) & !is.na(days))
  if (length(unknown)) {
    add_fault(faults, "unknown_dose",
              sprintf("The dose (\"%s\") must be known for every dispensing.",
                      kind),
              "Fill in the columns that it is made of, or use another `dose`.",
              unknown, "dispensings")
  }
  negative <- which(dose < 0)
  if (length(negative) && kind == "daily_dose") {
    add_fault(faults, "negative_dose", "Doses must be zero or more.",
              "Correct these rows.", negative, "dispensings")
  }
  dose
}
