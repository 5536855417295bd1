# Figures of a fitted model with base graphics. Everything drawn comes from a
# data frame that plot() returns invisibly, so that any figure can be drawn
# again elsewhere.

#' Plot a fitted model
#'
#' `plot()` draws with base graphics, `autoplot()` the same with ggplot2.
#'
#' @param x,object A fitted model, from [wce()].
#' @param which `"weight"`: the weight function with its band, ticks at the
#'   interior knots, and grey where no data cover the lags. `"all"`: the weight
#'   functions of all fits of the grid, the chosen one thick. `"selection"`: the
#'   information criterion by number of knots and cutoff. `"cutoff"`: the total
#'   effect and the criterion by cutoff, see [by_cutoff()].
#' @param term Which exposure term: its label or its number. `NULL`: all, one
#'   panel each.
#' @param level Confidence level of the band.
#' @param band `"pointwise"`, `"simultaneous"` (see [weight_function()]), or
#'   both: the simultaneous band is the wider, lighter one.
#' @param xlab,ylab Axis labels; `NULL`: from the model.
#' @param main Title, off by default.
#' @param xlim,ylim Axis limits; `NULL`: all that is drawn.
#' @param col Colour of the line and, lighter, of the band.
#' @param ... For `plot()` other arguments of [graphics::plot.default()]. Not
#'   used by `autoplot()`.
#' @return `plot()`: the data frame that was drawn, invisibly: the
#'   [weight_function()], with columns `outer_lower` and `outer_upper` if both
#'   bands are drawn, with columns `cutoff` and `nknots` for `"all"`; or the
#'   table `selection`, or [by_cutoff()]. `autoplot()`: a ggplot.
#' @name plot.wce
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1:2,
#'   constrained = "right", engine = "reference"
#' )
#' plot(fit)
#' plot(fit, band = c("pointwise", "simultaneous"))
#' plot(fit, which = "all")
#' plot(fit, which = "selection")
NULL

#' @rdname plot.wce
#' @export
plot.wce <- function(x, which = c("weight", "selection", "all", "cutoff"),
                     term = NULL, level = 0.95, band = "pointwise", xlab = NULL,
                     ylab = NULL, main = NULL, xlim = NULL, ylim = NULL,
                     col = NULL, ...) {
  which <- match_which(which)
  drawn <- plot_data(x, which, term, level, band)
  look <- list(xlab = xlab, ylab = ylab, main = main, xlim = xlim, ylim = ylim,
               col = col %||% wce_colours[["line"]], dots = list(...))
  if (which == "selection") {
    with_margins(1L, main, draw_selection(drawn, x$criterion, look),
                 legend = several_cutoffs(drawn))
    return(invisible(drawn))
  }
  if (which == "cutoff") {
    with_margins(2L, main, draw_cutoffs(drawn, look), shape = c(2L, 1L))
    return(invisible(drawn))
  }
  terms <- if (is.null(term)) seq_along(x$exposures) else find_term(x, term)
  labels <- exposure_labels(x)
  with_margins(length(terms), main, for (k in terms) {
    one <- if (is.null(drawn$term)) drawn else {
      drawn[drawn$term == labels[k], , drop = FALSE]
    }
    panel <- look
    if (length(terms) > 1L) {
      panel$main <- main %||% labels[k]
      panel$ylab <- ylab %||% "Weight: log HR per unit of dose"
    }
    if (which == "weight") {
      exposure <- x$exposures[[k]]
      draw_weight(one, x$unit, panel, exposure$knots + exposure$lag_in)
    } else {
      draw_all(one, x, panel)
    }
  }, legend = which == "all")
  invisible(drawn)
}

match_which <- function(which,
                        choices = c("weight", "selection", "all", "cutoff")) {
  if (identical(which, choices)) return("weight")
  if (!rlang::is_string(which) || !which %in% choices) {
    abort_input(sprintf("`which` must be %s.",
                        format_list(paste0("\"", choices, "\""), "or")),
                arg = "which")
  }
  which
}

plot_data <- function(fit, which, term, level, band = "pointwise") {
  if (which == "selection") return(fit$selection)
  if (which == "cutoff") return(by_cutoff(fit, term, level = level))
  if (which == "weight") return(banded_weights(fit, term, level, band))
  pieces <- lapply(seq_along(fit$fits), function(row) {
    settings <- intersect(c("cutoff", "nknots"), names(fit$selection))
    cbind(fit = fit_labels(fit$selection)[row],
          fit$selection[row, settings, drop = FALSE],
          as.data.frame(weight_function(select_fit(fit, row), term, level)),
          row.names = NULL)
  })
  do.call(rbind, pieces)
}

# The weight function of a fit or a bootstrap with one band, or with two.
banded_weights <- function(fit, term, level, band, ...) {
  bands <- c("pointwise", "simultaneous")
  if (!is.character(band) || !length(band) || !all(band %in% bands)) {
    abort_input("`band` must be \"pointwise\", \"simultaneous\" or both.",
                arg = "band", code = "band")
  }
  inner <- weight_function(fit, term = term, level = level, band = band[1L],
                           ...)
  if (length(unique(band)) == 1L) return(inner)
  both <- lapply(bands, function(one) {
    weight_function(fit, term = term, level = level, band = one, ...)
  })
  inner <- both[[1L]]
  inner$outer_lower <- both[[2L]]$lower
  inner$outer_upper <- both[[2L]]$upper
  inner
}

# Grey behind every run of lags without an estimate.
draw_uncovered <- function(lag, weight) {
  missing <- is.na(weight)
  if (!any(missing)) return(invisible())
  usr <- graphics::par("usr")
  run <- cumsum(c(TRUE, diff(missing) != 0))
  for (at in split(seq_along(lag), run)) {
    if (!missing[at[1L]]) next
    left <- max(usr[1L], lag[at[1L]] - 0.5)
    right <- min(usr[2L], lag[at[length(at)]] + 0.5)
    graphics::rect(left, usr[3L], right, usr[4L], border = NA,
                   col = wce_colours[["missing"]])
    if (graphics::strwidth("no data") < right - left) {
      graphics::text((left + right) / 2, usr[4L], "no data", cex = 0.85,
                     pos = 1L, col = wce_colours[["grey"]])
    }
  }
}

draw_knots <- function(knots) {
  if (!length(knots)) return(invisible())
  usr <- graphics::par("usr")
  height <- 0.025 * (usr[4L] - usr[3L])
  graphics::segments(knots, usr[3L], knots, usr[3L] + height, lwd = 1.6,
                     col = wce_colours[["zero"]])
}

# one: lag, weight, lower, upper, and outer_lower and outer_upper of a second
# band. curves: replicates, lags x curves, drawn thin behind the line.
draw_weight <- function(one, unit, look, knots = NULL, curves = NULL) {
  values <- c(0, one$lower, one$upper, one$outer_lower, one$outer_upper,
              if (!is.null(curves)) spread_of(curves))
  values <- values[is.finite(values)]
  if (length(values) == 1L) values <- c(-1, 1)
  draw_frame(one$lag, values, look, lag_label(unit), weight_label)
  draw_uncovered(one$lag, one$weight)
  draw_axes()
  if (!is.null(curves)) {
    graphics::matlines(one$lag, curves, lty = 1L, lwd = 0.6,
                       col = grDevices::adjustcolor(wce_colours[["zero"]],
                                                    0.2))
  }
  if (!is.null(one$outer_lower)) {
    draw_band(one$lag, one$outer_lower, one$outer_upper, look$col, 0.13)
  }
  draw_band(one$lag, one$lower, one$upper, look$col)
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  graphics::lines(one$lag, one$weight, col = look$col, lwd = 2.5)
  if (nrow(one) == 1L) {
    graphics::points(one$lag, one$weight, col = look$col, pch = 19)
  }
  draw_knots(knots)
  draw_lag_axis(one$lag, look$xlim)
}

# Most of what the replicates do; a few go anywhere.
spread_of <- function(curves) {
  stats::quantile(curves, c(0.005, 0.995), na.rm = TRUE, names = FALSE)
}

# ---- the grid ----------------------------------------------------------------

# What tells the fits of a grid apart.
fit_labels <- function(selection) {
  knots <- vapply(selection$nknots, knots_label, "")
  if (!several_cutoffs(selection)) return(knots)
  paste0(selection$cutoff, ", ", knots)
}

draw_all <- function(drawn, fit, look) {
  values <- c(0, drawn$weight)
  values <- values[is.finite(values)]
  if (length(values) == 1L) values <- c(-1, 1)
  draw_frame(drawn$lag, values, look, lag_label(fit$unit), weight_label)
  labels <- fit_labels(fit$selection)
  chosen <- which(fit$selection$selected)
  one <- drawn[drawn$fit == labels[chosen], ]
  draw_uncovered(one$lag, one$weight)
  draw_axes()
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  others <- setdiff(seq_along(labels), chosen)
  colours <- rep_len(look$col, length(labels))
  types <- rep_len(1L, length(labels))
  colours[others] <- rep_len(unname(wce_colours[2:6]), length(others))
  types[others] <- rep_len(c(1L, 5L, 4L, 2L, 3L), length(others))
  widths <- ifelse(seq_along(labels) == chosen, 3, 1.6)
  for (k in c(others, chosen)) {
    at <- drawn$fit == labels[k]
    graphics::lines(drawn$lag[at], drawn$weight[at], col = colours[k],
                    lwd = widths[k], lty = types[k])
  }
  draw_lag_axis(drawn$lag, look$xlim)
  if (length(labels) <= 6L && !several_cutoffs(fit$selection)) {
    draw_key(labels, colours, types, widths)
  } else {
    graphics::legend("topright", labels, col = colours, lty = types,
                     lwd = widths, bty = "n", cex = 0.8,
                     title = paste0("Cutoff in ", plural_unit(fit$unit)),
                     ncol = if (length(labels) > 8L) 2L else 1L)
  }
}

# One line per number of knots over the cutoffs; or over the numbers of knots.
draw_selection <- function(selection, criterion, look) {
  layout <- selection_layout(selection, criterion)
  value <- layout$value[is.finite(layout$value)]
  space <- if (length(value) > 1L) range(value) else value + c(-1, 1)
  draw_frame(range(layout$x) + c(-0.2, 0.2), space, look, layout$xlab,
             paste0(toupper(criterion), " (lower is better)"))
  draw_axes()
  lines <- unique(layout$line)
  colours <- if (length(lines) == 1L) look$col else curve_colours(length(lines))
  for (k in seq_along(lines)) {
    at <- which(layout$line == lines[k])
    at <- at[order(layout$x[at])]
    graphics::lines(layout$x[at], layout$value[at], lwd = 1.5,
                    col = if (length(lines) == 1L) wce_colours[["grey"]] else
                      colours[k])
    graphics::points(layout$x[at], layout$value[at], pch = 21, cex = 1.5,
                     lwd = 1.5, col = colours[k],
                     bg = ifelse(layout$selected[at], colours[k], "white"))
  }
  draw_bottom_axis(at = layout$ticks, labels = layout$tick_labels)
  if (length(lines) > 1L) draw_key(lines, colours)
}

# Positions for the criterion: data frame columns as a list.
selection_layout <- function(selection, criterion) {
  several <- several_cutoffs(selection)
  along <- if (several) selection$cutoff else selection$nknots
  places <- unique(along)
  if (is.numeric(places)) places <- sort(places)
  list(
    x = match(along, places), value = selection[[criterion]],
    selected = selection$selected,
    line = if (several) vapply(selection$nknots, knots_label, "") else
      rep("", nrow(selection)),
    ticks = seq_along(places), tick_labels = places,
    xlab = if (several) "Cutoff" else "Interior knots"
  )
}
