# When the follow-up of a cohort's candidates ends, and the cohort itself. See
# claims-cohort.R.

# ---- exit -------------------------------------------------------------------

cohort_exits <- function(cand, tables, s, steps) {
  none <- rep(Inf, nrow(cand))
  death <- none
  if (!is.null(tables$deaths)) {
    d <- tables$deaths
    o <- order(d$person, d$date, na.last = NA)
    at <- match(cand$person, d$person[o])
    death <- ifelse(is.na(at), Inf, d$date[o][at] + 1)
    keep <- death > cand$entry
    cand <- cand[keep, ]
    death <- death[keep]
    note_step(steps, cand$person, "dead before entry")
  }
  changed <- switch_days(cand, tables, s)
  limits <- cbind(death = death, switch = changed, coverage = cand$to,
                  age = cand$until, end = rep(s$end + 1, nrow(cand)),
                  max_follow_up = cand$entry + s$max_follow_up)
  # The first of those that are earliest is the reason.
  which_first <- max.col(-pmin(limits, 1e15), ties.method = "first")
  cand$exit <- limits[cbind(seq_len(nrow(cand)), which_first)]
  cand$exit_reason <- colnames(limits)[which_first]
  cand <- cand[cand$exit > cand$entry, ]
  note_step(steps, cand$person, "no follow-up")
  if (nrow(cand) == 0L) {
    table <- steps$table
    worst <- table$step[which.max(replace(table$n_excluded, 1L, 0L))]
    abort_input("Nobody is left in the cohort.",
                x = sprintf("The step that excluded most: %s.", worst),
                i = "Check the settings, and that all tables write ids alike.",
                code = "empty_cohort")
  }
  cand
}

switch_days <- function(cand, tables, s) {
  if (is.null(s$switch_to)) return(rep(Inf, nrow(cand)))
  d <- tables$dispensings
  at <- match(d$person, cand$person)
  rows <- which(!is.na(at) & has_code(d$drug, s$switch_to))
  rows <- rows[d$date[rows] >= cand$entry[at[rows]]]
  rows <- rows[order(d$date[rows])]
  first <- match(cand$person, d$person[rows])
  ifelse(is.na(first), Inf, d$date[rows][first])
}

# ---- result -----------------------------------------------------------------

new_cohort <- function(cand, people, tables, s, steps, id) {
  origin <- switch(s$time_scale, entry = cand$entry,
                   age = tables$people$birth_date[cand$person],
                   calendar = rep(0, nrow(cand)))
  date <- function(x) as_claims_time(as.vector(x), tables$kind)
  on_scale <- function(x) {
    if (s$time_scale == "calendar") date(x) else as.vector(x - origin)
  }
  columns <- data.frame(
    entry = on_scale(cand$entry), exit = on_scale(cand$exit),
    origin = date(origin), entry_date = date(cand$entry),
    exit_date = date(cand$exit), exit_reason = cand$exit_reason
  )
  others <- people[cand$person, setdiff(names(people), id), drop = FALSE]
  x <- cbind(people[cand$person, id, drop = FALSE], columns, others)
  rownames(x) <- NULL
  structure(x, class = c("cohort", "data.frame"), id = id,
            time_scale = s$time_scale, attrition = steps$table,
            settings = s[setdiff(names(s), "needs_birth")])
}

#' @export
as.data.frame.cohort <- function(x, ...) {
  structure(x, class = "data.frame", time_scale = NULL, attrition = NULL,
            settings = NULL, id = NULL)
}

#' @export
print.cohort <- function(x, n = 6L, ...) {
  if (!is.null(attr(x, "attrition"))) {
    scale <- c(entry = "days since entry", age = "age in days",
               calendar = "calendar time")[[attr(x, "time_scale")]]
    years <- sum(as.double(x$exit) - as.double(x$entry)) / 365.25
    people <- length(unique(x[[attr(x, "id")]]))
    cat_wrapped(sprintf(
      "Cohort of %s, %s person-years, on %s%s", count_of(people, "person",
                                                         "people"),
      format_ratio(years), scale,
      if (is.null(x$event)) "; outcomes() adds the events" else {
        sprintf("; %s", count_of(sum(x$event), "event"))
      }
    ))
    print(attrition(x))
  }
  print.data.frame(utils::head(as.data.frame(x), n), row.names = FALSE, ...)
  if (nrow(x) > n) cat(sprintf("... %s more\n", format_count(nrow(x) - n)))
  invisible(x)
}
