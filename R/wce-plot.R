# Figures of a fitted model. Everything drawn comes from a data frame that
# plot() returns invisibly, so that any figure can be drawn again elsewhere.

# Colours that the common kinds of colour blindness keep apart (Okabe and Ito).
wce_colours <- c(line = "#0072B2", second = "#D55E00", third = "#009E73",
                 fourth = "#CC79A7", fifth = "#E69F00", sixth = "#56B4E9",
                 grey = "#8C8C8C", missing = "#EFEFEF", zero = "#4D4D4D")

#' Plot a fitted model
#'
#' `plot()` draws with base graphics, `autoplot()` the same with ggplot2.
#'
#' @param x,object A fitted model, from [wce()].
#' @param which `"weight"`: the weight function with its pointwise band, ticks
#'   at the interior knots, and grey where no data cover the lags. `"all"`: the
#'   weight functions of all numbers of knots that were fitted. `"selection"`:
#'   the information criterion by number of knots.
#' @param term Which exposure term: its label or its number. `NULL`: all, one
#'   panel each.
#' @param level Confidence level of the band.
#' @param xlab,ylab Axis labels; `NULL`: from the model.
#' @param main Title, off by default.
#' @param xlim,ylim Axis limits; `NULL`: all that is drawn.
#' @param col Colour of the line and, lighter, of the band.
#' @param ... For `plot()` other arguments of [graphics::plot.default()]. Not
#'   used by `autoplot()`.
#' @return `plot()`: the data frame that was drawn, invisibly: the
#'   [weight_function()], with a column `nknots` for `"all"`, or the table
#'   `selection`. `autoplot()`: a ggplot.
#' @name plot.wce
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1:2,
#'   constrained = "right", engine = "reference"
#' )
#' plot(fit)
#' plot(fit, which = "all")
#' plot(fit, which = "selection")
NULL

#' @rdname plot.wce
#' @export
plot.wce <- function(x, which = c("weight", "selection", "all"), term = NULL,
                     level = 0.95, xlab = NULL, ylab = NULL, main = NULL,
                     xlim = NULL, ylim = NULL, col = NULL, ...) {
  which <- match_which(which)
  drawn <- plot_data(x, which, term, level)
  look <- list(xlab = xlab, ylab = ylab, main = main, xlim = xlim, ylim = ylim,
               col = col %||% wce_colours[["line"]], dots = list(...))
  if (which == "selection") {
    with_margins(1L, main, draw_selection(drawn, x$criterion, look))
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
      draw_weight(one, x$exposures[[k]], x$unit, panel)
    } else {
      this <- x$selection$nknots[x$selection$selected]
      draw_all(one, x$exposures[[k]], x$unit, this, panel)
    }
  }, legend = which == "all")
  invisible(drawn)
}

match_which <- function(which) {
  choices <- c("weight", "selection", "all")
  if (identical(which, choices)) return("weight")
  if (!rlang::is_string(which) || !which %in% choices) {
    abort_input(sprintf("`which` must be %s.",
                        format_list(paste0("\"", choices, "\""), "or")),
                arg = "which")
  }
  which
}

plot_data <- function(fit, which, term, level) {
  if (which == "selection") return(fit$selection)
  if (which == "weight") return(weight_function(fit, term, level))
  pieces <- lapply(same_cutoff(fit$selection), function(row) {
    one <- select_fit(fit, row)
    cbind(nknots = fit$selection$nknots[row],
          as.data.frame(weight_function(one, term, level)))
  })
  do.call(rbind, pieces)
}

# Sets the margins for n panels, draws, and puts everything back.
with_margins <- function(n, main, draw, legend = FALSE) {
  top <- if (is.null(main) && n == 1L && !legend) 1 else 2.6
  old <- graphics::par(mar = c(4, 4.8, top, 1.2), mgp = c(2.7, 0.6, 0),
                       tcl = -0.3, las = 1)
  on.exit(graphics::par(old), add = TRUE)
  if (n > 1L) {
    shape <- graphics::par(mfrow = rev(grDevices::n2mfrow(n)))
    on.exit(graphics::par(shape), add = TRUE)
  }
  force(draw)
}

lag_label <- function(unit) {
  unit <- unit %||% "time unit"
  sprintf("Lag: %s since the dose", plural_unit(unit))
}

weight_label <- "Weight: log hazard ratio per unit of dose"

# An empty frame with light horizontal guides and the zero line.
draw_frame <- function(x, y, look, xlab, ylab, axis_x = TRUE) {
  arguments <- list(
    x = range(x), y = range(y), type = "n", xlab = look$xlab %||% xlab,
    ylab = "", main = look$main %||% "", bty = "n", axes = FALSE,
    xlim = look$xlim %||% range(x), ylim = look$ylim %||% range(y),
    font.main = 1, cex.main = 1.05
  )
  do.call(graphics::plot, utils::modifyList(arguments, look$dots))
  graphics::title(ylab = look$ylab %||% ylab, line = 3.6)
}

draw_axes <- function(y_guides = TRUE) {
  usr <- graphics::par("usr")
  if (y_guides) {
    graphics::abline(h = graphics::axTicks(2L), col = "#E3E3E3", lwd = 0.8)
  }
  graphics::axis(2L, lwd = 0, lwd.ticks = 0, col.axis = "#333333")
  usr
}

# From 1, then round numbers, as lag 0 does not exist.
lag_ticks <- function(lags, xlim) {
  ticks <- pretty(xlim %||% range(lags), n = 7L)
  ticks <- ticks[ticks >= min(lags) & ticks <= max(lags)]
  step <- if (length(ticks) > 1L) ticks[2L] - ticks[1L] else 1
  first <- min(lags)
  c(first, ticks[ticks - first >= 0.6 * step])
}

draw_lag_axis <- function(lags, xlim) {
  graphics::axis(1L, at = lag_ticks(lags, xlim), col = "#8C8C8C",
                 col.axis = "#333333")
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

# A line and its band may be interrupted by lags without an estimate.
draw_band <- function(one, col) {
  ok <- !is.na(one$weight)
  run <- cumsum(c(TRUE, diff(ok) != 0))
  for (at in split(seq_len(nrow(one)), run)) {
    if (!ok[at[1L]]) next
    graphics::polygon(c(one$lag[at], rev(one$lag[at])),
                      c(one$lower[at], rev(one$upper[at])),
                      border = NA, col = grDevices::adjustcolor(col, 0.2))
  }
}

draw_weight <- function(one, exposure, unit, look) {
  values <- c(0, one$lower, one$upper)
  values <- values[is.finite(values)]
  if (length(values) == 1L) values <- c(-1, 1)
  draw_frame(one$lag, values, look, lag_label(unit), weight_label)
  draw_uncovered(one$lag, one$weight)
  draw_axes()
  draw_band(one, look$col)
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  graphics::lines(one$lag, one$weight, col = look$col, lwd = 2.5)
  if (nrow(one) == 1L) {
    graphics::points(one$lag, one$weight, col = look$col, pch = 19)
  }
  draw_knots(exposure$knots + exposure$lag_in)
  draw_lag_axis(one$lag, look$xlim)
}

draw_all <- function(drawn, exposure, unit, this, look) {
  values <- c(0, drawn$weight)
  values <- values[is.finite(values)]
  if (length(values) == 1L) values <- c(-1, 1)
  draw_frame(drawn$lag, values, look, lag_label(unit), weight_label)
  grid <- unique(drawn$nknots)
  one <- drawn[drawn$nknots == this, ]
  draw_uncovered(one$lag, one$weight)
  draw_axes()
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  others <- setdiff(grid, this)
  colours <- rep_len(unname(wce_colours[2:6]), length(others))
  types <- rep_len(c(1L, 5L, 4L, 2L, 3L), length(others))
  for (k in seq_along(others)) {
    at <- drawn$nknots == others[k]
    graphics::lines(drawn$lag[at], drawn$weight[at], col = colours[k],
                    lwd = 1.6, lty = types[k])
  }
  graphics::lines(one$lag, one$weight, col = look$col, lwd = 3)
  draw_lag_axis(drawn$lag, look$xlim)
  order_shown <- order(c(this, others))
  usr <- graphics::par("usr")
  graphics::legend(
    usr[1L], usr[4L], xjust = 0, yjust = 0, bty = "n", seg.len = 2.6,
    horiz = TRUE, xpd = NA,
    legend = vapply(c(this, others), knots_label, "")[order_shown],
    col = c(look$col, colours)[order_shown],
    lwd = c(3, rep(1.6, length(others)))[order_shown],
    lty = c(1L, types)[order_shown]
  )
}

# What tells the fits of a grid apart: numbers of knots, or cutoffs and knots.
selection_labels <- function(selection) {
  if (!several_cutoffs(selection)) return(selection$nknots)
  paste(selection$cutoff, selection$nknots, sep = " / ")
}

selection_axis <- function(selection) {
  if (several_cutoffs(selection)) "Cutoff / interior knots" else
    "Interior knots"
}

draw_selection <- function(selection, criterion, look) {
  labels <- selection_labels(selection)
  key <- if (is.numeric(labels)) order(labels) else seq_along(labels)
  value <- selection[[criterion]][key]
  labels <- labels[key]
  nknots <- if (is.numeric(labels)) labels else seq_along(labels)
  shown <- is.finite(value)
  space <- if (sum(shown) > 1L) range(value[shown]) else value[shown] + c(-1, 1)
  draw_frame(range(nknots) + c(-0.2, 0.2), space, look,
             selection_axis(selection),
             paste0(toupper(criterion), " (lower is better)"))
  draw_axes()
  graphics::lines(nknots, value, col = wce_colours[["grey"]], lwd = 1.5)
  graphics::points(nknots, value, pch = 21, cex = 1.5, lwd = 1.5,
                   col = look$col,
                   bg = ifelse(selection$selected[key], look$col, "white"))
  graphics::axis(1L, at = nknots, labels = labels, col = wce_colours[["grey"]],
                 col.axis = "#333333")
}

# ---- ggplot2 -----------------------------------------------------------------

#' @rdname plot.wce
#' @exportS3Method ggplot2::autoplot
autoplot.wce <- function(object, which = c("weight", "selection", "all"),
                         term = NULL, level = 0.95, ...) {
  which <- match_which(which)
  drawn <- plot_data(object, which, term, level)
  switch(which,
    weight = gg_weight(drawn, object),
    all = gg_all(drawn, object),
    selection = gg_selection(drawn, object)
  )
}

# `.data` stands for the data that is drawn (rlang).
gg_frame <- function(drawn, object, mapping, background = NULL) {
  plot <- ggplot2::ggplot(drawn, mapping) +
    background +
    ggplot2::geom_hline(yintercept = 0, linetype = 2L,
                        colour = wce_colours[["zero"]]) +
    ggplot2::labs(x = lag_label(object$unit), y = weight_label) +
    gg_theme()
  if (is.null(drawn$term)) plot else {
    plot + ggplot2::facet_wrap(ggplot2::vars(.data$term), scales = "free")
  }
}

gg_theme <- function() {
  ggplot2::theme_minimal(base_size = 13) +
    ggplot2::theme(panel.grid.minor = ggplot2::element_blank(),
                   panel.grid.major.x = ggplot2::element_blank(),
                   legend.position = "top")
}

#' @importFrom rlang .data
gg_weight <- function(drawn, object) {
  drawn <- as.data.frame(drawn)
  mapping <- ggplot2::aes(.data$lag, .data$weight)
  missing <- drawn[is.na(drawn$weight), , drop = FALSE]
  grey <- if (nrow(missing)) {
    ggplot2::geom_rect(
      ggplot2::aes(xmin = .data$lag - 0.5, xmax = .data$lag + 0.5,
                   ymin = -Inf, ymax = Inf),
      data = missing, inherit.aes = FALSE, fill = wce_colours[["missing"]]
    )
  }
  gg_frame(drawn, object, mapping, grey) +
    ggplot2::geom_ribbon(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper), alpha = 0.2,
      fill = wce_colours[["line"]], na.rm = TRUE
    ) +
    ggplot2::geom_line(colour = wce_colours[["line"]], linewidth = 1,
                       na.rm = TRUE)
}

gg_all <- function(drawn, object) {
  selection <- object$selection[same_cutoff(object$selection), ]
  grid <- as.character(selection$nknots)
  this <- selection$selected
  drawn$nknots <- factor(drawn$nknots, levels = grid)
  colours <- rep(wce_colours[["line"]], length(grid))
  colours[!this] <- rep_len(unname(wce_colours[2:6]), sum(!this))
  mapping <- ggplot2::aes(.data$lag, .data$weight, colour = .data$nknots,
                          linewidth = .data$nknots)
  gg_frame(drawn, object, mapping) +
    ggplot2::geom_line(na.rm = TRUE) +
    ggplot2::scale_colour_manual("Knots", values = colours) +
    ggplot2::scale_linewidth_manual("Knots", values = ifelse(this, 1.3, 0.7))
}

gg_selection <- function(drawn, object) {
  labels <- as.character(selection_labels(drawn))
  drawn$label <- factor(labels, levels = labels)
  drawn$criterion <- drawn[[object$criterion]]
  ggplot2::ggplot(drawn, ggplot2::aes(.data$label, .data$criterion,
                                      group = 1)) +
    ggplot2::geom_line(colour = wce_colours[["grey"]]) +
    ggplot2::geom_point(ggplot2::aes(fill = .data$selected), shape = 21,
                        size = 3.5, colour = wce_colours[["line"]]) +
    ggplot2::scale_fill_manual(
      values = c("FALSE" = "white", "TRUE" = wce_colours[["line"]]),
      guide = "none"
    ) +
    ggplot2::labs(x = selection_axis(drawn),
                  y = paste0(toupper(object$criterion), " (lower is better)")) +
    gg_theme()
}
