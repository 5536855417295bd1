# The figures of wce-plot.R with ggplot2, from the same data frames. `.data`
# stands for the data that is drawn (rlang).

# Methods of a generic that is not imported, for classes with an underscore.
# nolint start: object_name_linter.

#' @rdname plot.wce
#' @exportS3Method ggplot2::autoplot
autoplot.wce <- function(object, which = c("weight", "selection", "all",
                                           "cutoff"),
                         term = NULL, level = 0.95, band = "pointwise", ...) {
  need_ggplot2()
  which <- match_which(which)
  drawn <- plot_data(object, which, term, level, band)
  switch(which,
    weight = gg_weight(drawn, object$unit),
    all = gg_all(drawn, object),
    selection = gg_selection(drawn, object),
    cutoff = gg_cutoffs(drawn)
  )
}

#' @rdname plot.weight_function
#' @exportS3Method ggplot2::autoplot
autoplot.weight_function <- function(object, simultaneous = NULL, ...) {
  need_ggplot2()
  gg_weight(with_outer(object, simultaneous), attr(object, "unit"))
}

#' @rdname plot.weight_function
#' @exportS3Method ggplot2::autoplot
autoplot.bootstrap_wce <- function(object, term = NULL, level = 0.95,
                                   band = c("pointwise", "simultaneous"),
                                   type = "percentile", replicates = 100L,
                                   ...) {
  need_ggplot2()
  drawn <- bootstrap_bands(object, term, level, band, type)
  curves <- replicate_curves(object, term, replicates)
  labels <- unique(drawn$term)
  lines <- lapply(seq_along(curves), function(k) {
    lag <- if (is.null(labels)) drawn$lag else drawn$lag[
      drawn$term == labels[k]]
    n <- ncol(curves[[k]])
    one <- data.frame(lag = rep(lag, n), weight = as.vector(curves[[k]]),
                      replicate = rep(seq_len(n), each = length(lag)))
    if (!is.null(labels)) one$term <- labels[k]
    one
  })
  gg_weight(drawn, object$fit$unit, do.call(rbind, lines))
}

gg_frame <- function(drawn, mapping, unit, background = NULL) {
  plot <- ggplot2::ggplot(drawn, mapping) + background + gg_zero() +
    ggplot2::labs(x = lag_label(unit), y = weight_label) + gg_theme()
  if (is.null(drawn$term)) plot else {
    plot + ggplot2::facet_wrap(ggplot2::vars(.data$term), scales = "free")
  }
}

gg_band <- function(lower, upper, strength = 0.2,
                    fill = wce_colours[["line"]]) {
  ggplot2::geom_ribbon(
    ggplot2::aes(ymin = .data[[lower]], ymax = .data[[upper]]),
    alpha = strength, fill = fill, na.rm = TRUE
  )
}

#' @importFrom rlang .data
gg_weight <- function(drawn, unit, lines = NULL, strength = 0.25) {
  drawn <- as.data.frame(drawn)
  class(drawn) <- "data.frame"
  missing <- drawn[is.na(drawn$weight), , drop = FALSE]
  grey <- if (nrow(missing)) {
    ggplot2::geom_rect(
      ggplot2::aes(xmin = .data$lag - 0.5, xmax = .data$lag + 0.5,
                   ymin = -Inf, ymax = Inf),
      data = missing, inherit.aes = FALSE, fill = wce_colours[["missing"]]
    )
  }
  thin <- if (!is.null(lines)) {
    ggplot2::geom_line(
      ggplot2::aes(.data$lag, .data$weight, group = .data$replicate),
      data = lines, colour = wce_colours[["grey"]], linewidth = 0.25,
      alpha = strength, na.rm = TRUE
    )
  }
  plot <- gg_frame(drawn, ggplot2::aes(.data$lag, .data$weight), unit,
                   list(grey, thin))
  if (!is.null(drawn$outer_lower)) {
    plot <- plot + gg_band("outer_lower", "outer_upper", 0.13)
  }
  if (!is.null(lines)) {
    shown <- range(c(0, drawn$lower, drawn$upper, drawn$outer_lower,
                     drawn$outer_upper, spread_of(lines$weight)), na.rm = TRUE)
    if (is.null(drawn$term)) {
      plot <- plot + ggplot2::coord_cartesian(ylim = shown)
    }
  }
  plot + gg_band("lower", "upper") +
    ggplot2::geom_line(colour = wce_colours[["line"]], linewidth = 1,
                       na.rm = TRUE)
}

gg_all <- function(drawn, object) {
  labels <- fit_labels(object$selection)
  this <- object$selection$selected
  drawn$fit <- factor(drawn$fit, levels = labels)
  colours <- rep(wce_colours[["line"]], length(labels))
  colours[!this] <- rep_len(unname(wce_colours[2:6]), sum(!this))
  name <- if (several_cutoffs(object$selection)) "Cutoff, knots"
  mapping <- ggplot2::aes(.data$lag, .data$weight, colour = .data$fit,
                          linewidth = .data$fit)
  gg_frame(drawn, mapping, object$unit) +
    ggplot2::geom_line(na.rm = TRUE) +
    ggplot2::scale_colour_manual(name, values = colours) +
    ggplot2::scale_linewidth_manual(name, values = ifelse(this, 1.3, 0.7))
}

gg_selection <- function(drawn, object) {
  layout <- selection_layout(drawn, object$criterion)
  several <- length(unique(layout$line)) > 1L
  drawn$position <- layout$x
  drawn$line <- factor(layout$line, levels = unique(layout$line))
  drawn$criterion <- layout$value
  colours <- if (several) curve_colours(nlevels(drawn$line)) else
    wce_colours[["line"]]
  names(colours) <- levels(drawn$line)
  plot <- ggplot2::ggplot(drawn, ggplot2::aes(
    .data$position, .data$criterion, colour = .data$line
  ))
  plot <- plot + if (several) ggplot2::geom_line() else
    ggplot2::geom_line(colour = wce_colours[["grey"]])
  plot +
    ggplot2::geom_point(shape = 21, size = 3.5, fill = "white", stroke = 1) +
    ggplot2::geom_point(data = drawn[drawn$selected, ], size = 3.5) +
    ggplot2::scale_colour_manual(NULL, values = colours, guide = if (several)
      "legend" else "none") +
    ggplot2::scale_x_continuous(breaks = layout$ticks,
                                labels = layout$tick_labels,
                                limits = range(layout$ticks) + c(-0.2, 0.2)) +
    ggplot2::labs(x = layout$xlab,
                  y = paste0(toupper(object$criterion),
                             " (lower is better)")) +
    gg_theme()
}

# nolint end
