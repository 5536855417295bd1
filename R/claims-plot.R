# Figures of exposure records. What is drawn comes from a data frame that plot()
# returns invisibly.

#' Plot exposure records
#'
#' `"population"`: people exposed on each day, by drug. `"sample"`: the records
#' of people drawn at random, one line each. `"person"`: the records of one
#' person, with the dose as height. No figure shows an identifier.
#'
#' @param x Records from [exposure_episodes()].
#' @param which `"population"`, `"sample"` or `"person"`.
#' @param person The identifier of one person, for `which = "person"`.
#' @param n Number of people in the sample.
#' @param seed Seed of the sample; the generator's state is kept.
#' @param followed Number of people followed, to show shares instead of numbers
#'   of people.
#' @param every In `"population"`, people exposed at any time within each period
#'   of this many days. `NULL`: each day, or for records over more than ten
#'   years periods of 30, over more than thirty of 365 days.
#' @param min_cell In `"population"`, periods in which fewer people than this,
#'   but some, were exposed are left out.
#' @param dispensings,stays Data frames with the dispensings and stays of the
#'   person, to mark them.
#' @param xlab,ylab,main Labels; `NULL`: made.
#' @param ... Further arguments of [graphics::plot.default()].
#' @return The data frame that was drawn, invisibly.
#' @export
#' @examples
#' sim <- simulate_wce(300, users = 0.8, seed = 2)
#' d <- with(sim$records, data.frame(person_id, drug, date = start,
#'                                   days_supply = stop - start,
#'                                   daily_dose = dose))
#' records <- exposure_episodes(d, dose = "daily_dose", grace = 7)
#' plot(records)
#' plot(records, "sample", n = 15)
#' plot(records, "person", person = records$person_id[1], dispensings = d)
plot.exposure_episodes <- function(x, which = "population", person = NULL,
                                   n = 20, seed = 1, followed = NULL,
                                   every = NULL, min_cell = 10,
                                   dispensings = NULL, stays = NULL,
                                   xlab = NULL, ylab = NULL, main = NULL, ...) {
  which <- check_word(which, c("population", "sample", "person"), "which")
  check_table(x, "x")
  look <- list(xlab = xlab, ylab = ylab, main = main, dots = list(...))
  drawn <- switch(
    which,
    population = draw_population(x, followed, period_length(x, every),
                                 check_integer(min_cell, "min_cell", 0), look),
    sample = draw_sample(x, check_integer(n, "n", 1), seed, look),
    person = draw_person(x, person, dispensings, stays, look)
  )
  invisible(drawn)
}

drug_colours <- function(drugs) {
  # As in the figures of fits: kept apart by colour-blind eyes.
  colours <- c("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
               "#56B4E9", "#8C8C8C")
  stats::setNames(rep_len(colours, length(drugs)), drugs)
}

episode_ids <- function(x) {
  id <- attr(x, "id") %||% "person_id"
  code_people(claims_id(new_faults(), x[[id]], id, "x"))$code
}

empty_plot <- function(x, y, look, xlab, ylab, ...) {
  dates <- inherits(x, "Date")
  arguments <- utils::modifyList(
    list(x = as.double(x), y = y, type = "n", bty = "l", las = 1,
         mgp = c(3.1, 0.8, 0), xaxt = if (dates) "n" else "s",
         xlab = look$xlab %||% xlab, ylab = look$ylab %||% ylab,
         main = look$main %||% "", ...),
    look$dots
  )
  do.call(graphics::plot.default, arguments)
  if (dates) {
    at <- pretty(x)
    graphics::axis(1, as.double(at), format(at, "%Y-%m"), mgp = c(3, 0.8, 0))
  }
}

day_label <- function(x) if (inherits(x$start, "Date")) "Date" else "Day"

# Above the figure, outside the data.
drug_legend <- function(colours) {
  if (length(colours) < 2L) return(invisible())
  graphics::legend("top", names(colours), col = colours, lwd = 3, bty = "n",
                   horiz = length(colours) <= 4L, inset = c(0, -0.12),
                   xpd = NA, cex = 0.9)
}

# ---- the population ---------------------------------------------------------

period_length <- function(x, every) {
  if (!is.null(every)) return(check_integer(every, "every", 1))
  years <- diff(range(as.double(x$start), as.double(x$stop))) / 365.25
  if (years <= 10) 1 else if (years <= 30) 30 else 365
}

# People exposed, as steps: day from which, number, by drug.
population_steps <- function(x, every = 1) {
  code <- episode_ids(x)
  drug <- as.character(x$drug)
  # In whole periods since the first day.
  first <- min(as.double(x$start))
  start <- floor((as.double(x$start) - first) / every)
  stop <- ceiling((as.double(x$stop) - first) / every)
  steps <- lapply(sort(unique(drug), method = "radix"), function(one) {
    mine <- which(drug == one)
    now <- union_intervals(code[mine], start[mine], stop[mine])
    day <- sort(unique(c(now$start, now$stop)))
    change <- tabulate(match(now$start, day), length(day)) -
      tabulate(match(now$stop, day), length(day))
    data.frame(drug = one, day = first + day * every, people = cumsum(change))
  })
  do.call(rbind, steps)
}

draw_population <- function(x, followed, every, min_cell, look) {
  steps <- population_steps(x, every)
  small <- steps$people > 0 & steps$people < min_cell
  if (!is.null(followed)) {
    followed <- check_integer(followed, "followed", 1)
    # Those who are not exposed are a count, too.
    rest <- followed - steps$people
    small <- small | rest > 0 & rest < min_cell
  }
  steps$people[small] <- NA
  steps$value <- steps$people / (followed %||% 1)
  if (inherits(x$start, "Date")) {
    steps$day <- structure(steps$day, class = "Date")
  }
  colours <- drug_colours(unique(steps$drug))
  label <- if (is.null(followed)) "People exposed" else
    "Share of people exposed"
  if (every > 1) label <- sprintf("%s within %d days", label, every)
  empty_plot(range(steps$day), c(0, max(steps$value, 0, na.rm = TRUE)), look,
             day_label(x), label)
  for (drug in names(colours)) {
    one <- steps[steps$drug == drug, ]
    graphics::lines(one$day, one$value, type = "s", col = colours[[drug]],
                    lwd = 2)
  }
  drug_legend(colours)
  steps
}

# ---- a sample of people -----------------------------------------------------

draw_sample <- function(x, n, seed, look) {
  code <- episode_ids(x)
  people <- unique(code)
  picked <- with_random_seed(seed, {
    people[sort(sample.int(length(people), min(n, length(people))))]
  })
  mine <- which(code %in% picked)
  drawn <- data.frame(line = match(code[mine], picked),
                      drug = as.character(x$drug)[mine],
                      start = x$start[mine], stop = x$stop[mine],
                      dose = x$dose[mine])
  colours <- drug_colours(sort(unique(as.character(x$drug)), method = "radix"))
  empty_plot(range(drawn$start, drawn$stop), c(length(picked) + 0.5, 0.5), look,
             day_label(x), "Person (in the order of the records)",
             yaxt = "n", ylim = c(length(picked) + 0.5, 0.5))
  graphics::abline(h = seq_along(picked), col = "#EFEFEF")
  k <- match(drawn$drug, names(colours))
  # Drugs of a person lie beside each other.
  shift <- (k - (length(colours) + 1) / 2) * 0.7 / length(colours)
  half <- 0.3 / length(colours)
  start <- as.double(drawn$start)
  # A short record in a long life is seen, too.
  stop <- pmax(as.double(drawn$stop), start + 0.004 * diff(range(start)))
  graphics::rect(start, drawn$line + shift - half, stop,
                 drawn$line + shift + half,
                 col = colours[k], border = NA)
  drug_legend(colours)
  drawn
}

# ---- one person -------------------------------------------------------------

draw_person <- function(x, person, dispensings, stays, look) {
  if (is.null(person) || length(person) != 1L || is.na(person)) {
    abort_input("`person` must be the identifier of one person.",
                arg = "person", code = "person")
  }
  id <- attr(x, "id") %||% "person_id"
  of <- function(table) {
    table[which(as.character(table[[id]]) == as.character(person)), ,
          drop = FALSE]
  }
  drawn <- of(as.data.frame(x))
  if (nrow(drawn) == 0L) {
    abort_input("There are no records of this person.", arg = "person",
                code = "person")
  }
  drugs <- sort(unique(as.character(drawn$drug)), method = "radix")
  colours <- drug_colours(drugs)
  top <- max(drawn$dose)
  row <- match(as.character(drawn$drug), drugs)
  given <- if (!is.null(dispensings)) of(dispensings)
  away <- if (!is.null(stays)) of(stays)
  days <- range(c(drawn$start, drawn$stop, given$date, away$admission,
                  away$discharge))
  left <- max(graphics::strwidth(drugs, "inches"), 0.6) + 0.5
  old <- graphics::par(mai = replace(graphics::par("mai"), 2L, left))
  on.exit(graphics::par(old))
  empty_plot(days, c(0, length(drugs)), look, day_label(x), "", yaxt = "n",
             yaxs = "i")
  if (NROW(away)) {
    graphics::rect(as.double(away$admission), 0, as.double(away$discharge),
                   length(drugs), col = "#EFEFEF", border = NA)
  }
  base <- length(drugs) - row
  graphics::rect(as.double(drawn$start), base, as.double(drawn$stop),
                 base + 0.8 * drawn$dose / top, col = colours[row],
                 border = "white")
  graphics::axis(2, length(drugs) - seq_along(drugs) + 0.4, drugs, las = 1,
                 tick = FALSE)
  graphics::abline(h = length(drugs) - seq_along(drugs), col = "#8C8C8C")
  if (NROW(given)) {
    at <- length(drugs) - match(as.character(given$drug), drugs)
    graphics::points(as.double(given$date), at, pch = 17, cex = 0.8, xpd = NA)
  }
  graphics::mtext(sprintf(
    "height: dose per day, at most %s%s%s", format(top),
    if (NROW(given)) "; triangles: dispensings" else "",
    if (NROW(away)) "; grey: in hospital" else ""
  ), 3, line = 0.2, cex = 0.8, adj = 0)
  drawn
}
