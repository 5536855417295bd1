# How the hazard ratio of a course of treatment rises and fades.

#' Hazard ratio over time of a course of treatment
#'
#' The hazard ratio of a dose history against none at every time from its first
#' dose until the last one has left the window: [hazard_ratio()] at many times,
#' made to be plotted.
#'
#' @param fit A model fitted by [wce()], or its [bootstrap()].
#' @param courses A data frame of records with `start`, `stop` and `dose`, or a
#'   named list of several.
#' @param times Times on the clock of the records; `NULL`: about two hundred.
#' @param level Confidence level.
#' @param term Which exposure term, if there are several.
#' @param ... Passed to [hazard_ratio()].
#' @return A data frame of class `course_effect` with columns `course`, `time`
#'   (since the earliest dose of all courses), `dose` (in the time unit before),
#'   `log_hr`, `se`, `hr`, `lower`, `upper`; attributes `term`, `unit`, `level`.
#' @seealso [survfit.wce()] for the survival of a person on such a plan.
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' courses <- list(
#'   "30 days" = data.frame(start = 0, stop = 30, dose = 1),
#'   "10 days, twice" = data.frame(start = c(0, 60), stop = c(10, 70), dose = 1)
#' )
#' plot(course_effect(fit, courses))
course_effect <- function(fit, courses, times = NULL, level = 0.95,
                          term = NULL, ...) {
  model <- if (inherits(fit, "wce")) fit else fit$fit
  check_is_wce(model)
  exposure <- one_exposure(model, term)
  if (is.data.frame(courses)) courses <- list(courses)
  usable <- is.list(courses) && length(courses) &&
    all(vapply(courses, is.data.frame, NA)) &&
    all(vapply(courses, nrow, 0L) > 0L)
  if (!usable) {
    abort_input("`courses` must be a data frame of records, or a list of them.",
                x = sprintf("It is %s.", what_is(courses)), arg = "courses",
                code = "profile")
  }
  labels <- names(courses) %||% rep("", length(courses))
  labels[labels == ""] <- if (length(courses) == 1L) "course" else
    paste("course", which(labels == ""))
  first <- min(vapply(courses, function(x) min(undate(x$start)), 0))
  times <- times %||% course_times(courses, first, exposure)
  pieces <- lapply(seq_along(courses), function(k) {
    one <- courses[[k]]
    ratio <- hazard_ratio(fit, one, level = level, at = times, term = term, ...)
    since <- undate(times)
    data.frame(course = labels[k], time = since - first,
               dose = doses_before(one, since),
               as.data.frame(ratio)[c("log_hr", "se", "hr", "lower", "upper")])
  })
  structure(do.call(rbind, pieces), term = exposure$label, unit = model$unit,
            level = level, class = c("course_effect", "data.frame"))
}

course_times <- function(courses, first, exposure) {
  last <- max(vapply(courses, function(x) max(undate(x$stop)), 0))
  span <- last - first + exposure$cutoff
  times <- if (identical(exposure$clock, "continuous")) {
    first + seq(0, span, length.out = 201L)
  } else {
    first + unique(round(seq(0, span, length.out = min(span + 1, 201))))
  }
  if (inherits(courses[[1L]]$start, "Date")) {
    times <- structure(times, class = "Date")
  }
  times
}

doses_before <- function(records, times) {
  vapply(times, function(t) {
    sum(records$dose[undate(records$start) < t & undate(records$stop) >= t])
  }, 0)
}

#' @rdname course_effect
#' @param x,object An object of class `course_effect`.
#' @param log Draw hazard ratios on a logarithmic axis?
#' @inheritParams plot.wce
#' @export
plot.course_effect <- function(x, log = TRUE, xlab = NULL, ylab = NULL,
                               main = NULL, ...) {
  labels <- unique(x$course)
  colours <- curve_colours(length(labels))
  look <- list(main = main, xlab = xlab, ylab = ylab, dots = list(...))
  values <- range(c(1, x$lower, x$upper), finite = TRUE)
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(old))
  graphics::layout(matrix(1:2, 2L), heights = c(3, 1.25))
  graphics::par(mar = c(0.6, 4.8, 2.6, 1.2), mgp = c(2.7, 0.6, 0), tcl = -0.3,
                las = 1)
  draw_frame(x$time, values, c(look[c("main", "ylab", "dots")], xlab = ""), "",
             sprintf("Hazard ratio, %s", attr(x, "term")),
             log = if (log) "y" else "")
  draw_axes()
  graphics::abline(h = 1, col = wce_colours[["zero"]], lty = 2L)
  for (k in seq_along(labels)) {
    one <- x[x$course == labels[k], ]
    draw_band(one$time, one$lower, one$upper, colours[k], 0.16)
  }
  for (k in seq_along(labels)) {
    one <- x[x$course == labels[k], ]
    graphics::lines(one$time, one$hr, col = colours[k], lwd = 2.5)
  }
  if (length(labels) > 1L) draw_key(labels, colours)
  graphics::par(mar = c(4, 4.8, 0.4, 1.2))
  draw_frame(x$time, c(0, max(x$dose)), list(xlab = xlab),
             time_label(attr(x, "unit"), "the first dose"), "Dose")
  draw_axes()
  for (k in seq_along(labels)) {
    one <- x[x$course == labels[k], ]
    graphics::lines(one$time, one$dose, type = "S", col = colours[k], lwd = 2)
  }
  draw_bottom_axis()
  invisible(x)
}
