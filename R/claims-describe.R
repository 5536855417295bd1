# describe_exposure(): person-time and events by exposure, with small counts
# suppressed, and what such a study can detect.

#' Describe exposure in a cohort
#'
#' Person-time, people and events by exposure: current (under a record), recent
#' (within `recent` days after one), past (before that), never (before the first
#' one); users and spells; and the smallest hazard ratio that the study can
#' detect.
#'
#' @section Detectable hazard ratio:
#' Schoenfeld's formula for two groups, taking the share \eqn{p} of person-time
#' with current exposure as the share of people: with \eqn{d} events,
#' \deqn{\log HR = (z_{1-\alpha/2} + z_{power}) / \sqrt{d p (1 - p)}.}
#' A rough guide: the weighted exposure of [wce()] has its own power.
#'
#' @section Suppression:
#' Counts of people or events below `min_cell` are `NA`, together with the
#' person-time and the rate of that line, and as many others as are needed so
#' that totals do not give them away; see [suppress_small()].
#'
#' @param cohort A result of [outcomes()]. Or a data frame with the id column,
#'   `entry`, `exit` and `event`, on the time scale of `records`.
#' @param records Records, as from [exposure_episodes()], in the days of the
#'   tables (for a data frame, on its time scale).
#' @param id Name of the column that identifies a person; from the cohort if
#'   `NULL`.
#' @param recent Days.
#' @param min_cell Smallest count that is shown. 0: all are.
#' @param alpha,power Two-sided level, and power, of the detectable hazard
#'   ratio.
#' @return An object of class `exposure_description`: `$exposure`, a data frame
#'   with a row per drug and state (`drug`, `state`, `people`, `person_years`,
#'   `events`, `rate` per 1000 person-years; `"all"` is the total); `$drugs`,
#'   with a row per drug (`drug`, `users` with current exposure in follow-up,
#'   `spells`, `days_per_spell`, `share_exposed`, `detectable_hr`); `$settings`.
#' @references Schoenfeld DA (1983). Sample-size formula for the
#'   proportional-hazards regression model. Biometrics 39, 499-503.
#' @export
#' @examples
#' describe_exposure(claims_people, claims_dispensings, id = "person_id",
#'                   recent = 60)
describe_exposure <- function(cohort, records, id = NULL, recent = 0,
                              min_cell = 10, alpha = 0.05, power = 0.8) {
  recent <- check_integer(recent, "recent", 0)
  min_cell <- check_integer(min_cell, "min_cell", 0)
  for (p in list(alpha, power)) {
    if (!is.numeric(p) || length(p) != 1L || is.na(p) || p <= 0 || p >= 1) {
      abort_input("`alpha` and `power` must lie between 0 and 1.",
                  code = "power")
    }
  }
  check_table(cohort, "cohort")
  if (inherits(cohort, "cohort") && !is.null(attr(cohort, "id"))) {
    id <- id %||% attr(cohort, "id")
    records <- align_records(records, cohort)
  }
  id <- id %||% "person_id"
  data <- read_described(cohort, records, id)
  drugs <- sort(unique(data$drug), method = "radix")
  parts <- lapply(drugs, function(drug) {
    describe_drug(data, drug, recent, qnorm_sum(alpha, power))
  })
  new_description(parts, data, list(recent = recent, min_cell = min_cell,
                                    alpha = alpha, power = power))
}

qnorm_sum <- function(alpha, power) {
  stats::qnorm(1 - alpha / 2) + stats::qnorm(power)
}

# Follow-up: person (codes), entry, exit, event; records of these people:
# code, start, stop, drug.
read_described <- function(cohort, records, id) {
  faults <- new_faults()
  check_table(records, "records")
  add_missing_columns(
    faults, setdiff(c(id, "entry", "exit", "event"), names(cohort)),
    names(cohort), "cohort"
  )
  add_missing_columns(faults, setdiff(c(id, "start", "stop"), names(records)),
                      names(records), "records")
  stop_for_faults(faults)
  entry <- time_column(faults, cohort$entry, "entry", "cohort")
  exit <- time_column(faults, cohort$exit, "exit", "cohort")
  event <- event_column(faults, cohort$event, "event", "cohort")
  start <- time_column(faults, records$start, "start", "records")
  stop <- time_column(faults, records$stop, "stop", "records")
  kinds <- lapply(list(entry, exit, start, stop), attr, "kind")
  if (length(unique(unlist(kinds))) > 1L) {
    add_fault(faults, "mixed_time",
              "Times in `cohort` and `records` must all be dates or numbers.",
              "Convert one of them.", table = "records")
  }
  ids <- claims_id(faults, cohort[[id]], id, "cohort")
  record_ids <- claims_id(faults, records[[id]], id, "records")
  first <- if (!is.null(ids)) person_rows(faults, ids, ids, id)
  at <- person_rows(faults, record_ids, ids, id)
  stop_for_faults(faults)
  keep <- which(!is.na(at))
  if (!length(keep)) {
    abort_input("No record is of a person in `cohort`.",
                i = sprintf("Check that `%s` is written alike in both.", id),
                code = "no_records")
  }
  list(person = first, entry = as.vector(entry), exit = as.vector(exit),
       event = event, code = at[keep], start = as.vector(start)[keep],
       stop = as.vector(stop)[keep],
       drug = as.character(records$drug %||% rep("all", nrow(records)))[keep])
}

# One drug: table of states, and figures. The states are differences of nested
# sets of time: current, current or recent, ever since the first record.
describe_drug <- function(data, drug, recent, z) {
  mine <- data$drug == drug
  code <- data$code[mine]
  start <- data$start[mine]
  stop <- data$stop[mine]
  last <- max(data$exit, stop) + recent
  now <- union_intervals(code, start, stop)
  sets <- list(now, union_intervals(code, start, stop + recent),
               union_intervals(code, start, rep(last, length(code))))
  range <- range(data$entry, data$exit, start, last)
  time <- vapply(sets, function(set) {
    axis <- interval_axis(set, range)
    time_inside(axis, data$person, data$exit) -
      time_inside(axis, data$person, data$entry)
  }, data$entry)
  time <- matrix(time, ncol = 3L)
  event <- vapply(sets, function(set) {
    is_inside(interval_axis(set, range), data$person, data$exit) &
      data$event == 1L
  }, data$event == 1L)
  event <- matrix(event, ncol = 3L)
  time <- cbind(time, data$exit - data$entry)
  event <- cbind(event, data$event == 1L)
  state_time <- cbind(time[, 1L], time[, 2:4] - time[, 1:3])
  state_event <- cbind(event[, 1L], event[, 2:4] & !event[, 1:3])
  people <- apply(state_time > 0, 2L, function(x) {
    length(unique(data$person[x]))
  })
  days <- colSums(state_time)
  events <- colSums(state_event)
  share <- days[1L] / sum(days)
  d <- sum(events)
  spells <- spells_in_follow_up(now, data)
  list(
    drug = drug,
    states = data.frame(state = c("current", "recent", "past", "never"),
                        people = people, days = days, events = events),
    users = people[1L], spells = length(spells),
    days_per_spell = if (length(spells)) mean(spells) else NA_real_,
    share = share,
    detectable = if (d > 0 && share > 0 && share < 1) {
      exp(z / sqrt(d * share * (1 - share)))
    } else {
      NA_real_
    }
  )
}

# Lengths of the spells that have a day of follow-up.
spells_in_follow_up <- function(now, data) {
  followed <- union_intervals(data$person, data$entry, data$exit)
  axis <- interval_axis(followed, range(now$start, now$stop))
  days <- time_inside(axis, now$code, now$stop) -
    time_inside(axis, now$code, now$start)
  (now$stop - now$start)[days > 0]
}

# ---- suppression and result -------------------------------------------------

new_description <- function(parts, data, settings) {
  min_cell <- settings$min_cell
  n_people <- length(unique(data$person))
  small <- function(n) n > 0 & n < min_cell
  masks <- lapply(parts, function(p) {
    s <- p$states
    suppress_small(s$events, min_cell, also = small(s$people))
  })
  # The total is the same for all drugs.
  hide_total <- any(vapply(masks, function(m) is.na(m$total), NA)) ||
    small(n_people)
  exposure <- Map(function(p, m) {
    s <- p$states
    hidden <- is.na(m$cells)
    years <- s$days / 365.25
    total <- if (hide_total) NA else sum(s$events)
    out <- data.frame(
      drug = p$drug, state = c(s$state, "all"),
      people = c(replace(s$people, hidden | small(s$people) |
                           small(n_people - s$people), NA),
                 if (small(n_people)) NA else n_people),
      person_years = c(replace(years, hidden, NA),
                       if (hide_total) NA else sum(years)),
      events = c(m$cells, total)
    )
    out$rate <- 1000 * out$events / out$person_years
    out$rate[which(out$person_years == 0)] <- NA
    # States that the settings make empty.
    out[!(out$state == "recent" & settings$recent == 0), ]
  }, parts, masks)
  exposure <- do.call(rbind, exposure)
  rownames(exposure) <- NULL
  drugs <- do.call(rbind, Map(function(p, m) {
    # Those who are not users are a count too.
    hidden <- small(p$users) || small(n_people - p$users)
    hidden_time <- is.na(m$cells[1L]) || hide_total
    data.frame(
      drug = p$drug, users = if (hidden) NA else p$users,
      spells = if (small(p$spells) || hidden) NA else p$spells,
      days_per_spell = if (small(p$spells) || hidden) NA else p$days_per_spell,
      share_exposed = if (hidden_time) NA else p$share,
      detectable_hr = if (hidden_time) NA else p$detectable
    )
  }, parts, masks))
  rownames(drugs) <- NULL
  structure(list(exposure = exposure, drugs = drugs, settings = settings),
            class = "exposure_description")
}

#' @export
print.exposure_description <- function(x, ...) {
  cell <- function(n, format) ifelse(is.na(n), "-", format(n))
  e <- x$exposure
  cat("Person-time and events by exposure\n")
  print.data.frame(data.frame(
    drug = e$drug, state = e$state, people = cell(e$people, format_count),
    `person-years` = cell(e$person_years, format_ratio),
    events = cell(e$events, format_count),
    `per 1000` = cell(e$rate, format_ratio), check.names = FALSE
  ), row.names = FALSE)
  d <- x$drugs
  cat(sprintf("\nUsers, and the hazard ratio detectable with power %s\n",
              format_level(x$settings$power)))
  print.data.frame(data.frame(
    drug = d$drug, users = cell(d$users, format_count),
    spells = cell(d$spells, format_count),
    `days per spell` = cell(d$days_per_spell, format_ratio),
    `share exposed` = cell(100 * d$share_exposed, function(s) {
      paste0(format_ratio(s), "%")
    }),
    `detectable HR` = cell(d$detectable_hr, format_ratio), check.names = FALSE
  ), row.names = FALSE)
  if (x$settings$min_cell > 1L) {
    cat_wrapped(sprintf(
      "-: not shown, as it is below %s, or would give such a count away.",
      format_count(x$settings$min_cell)
    ))
  }
  invisible(x)
}
