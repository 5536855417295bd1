# ggplots of surfaces over dose and lag, of grids of cutoffs, and of averages.

# Methods of a generic that is not imported, for classes with an underscore.
# nolint start: object_name_linter.

#' @rdname plot.dose_response
#' @exportS3Method ggplot2::autoplot
autoplot.dose_response <- function(object, type = "slices", along = "lag",
                                   ...) {
  need_ggplot2()
  type <- check_surface_type(object, type, c("slices", "map"))
  along <- check_word(along, c("lag", "dose"), "along")
  drawn <- as.data.frame(object)
  class(drawn) <- "data.frame"
  switch(type,
    curve = gg_dose_curve(drawn, object),
    slices = gg_slices(drawn, object, surface_slices(object, along)),
    map = gg_map(drawn, object)
  )
}

#' @rdname model_average
#' @param object An average.
#' @exportS3Method ggplot2::autoplot
autoplot.wce_average <- function(object, term = NULL, level = 0.95,
                                 band = c("pointwise", "simultaneous"), ...) {
  need_ggplot2()
  drawn <- banded_weights(object, term, level, band)
  model <- object$fit
  terms <- if (is.null(term)) seq_along(model$exposures) else {
    find_term(model, term)
  }
  labels <- exposure_labels(model)
  # The curves that count, thin, behind their average.
  rows <- object$table$row[object$table$probability > 0.01]
  lines <- lapply(terms, function(k) {
    widest <- widest_term(object, k)
    found <- lapply(seq_along(rows), function(number) {
      fit <- select_fit(model, rows[number])
      one <- fit$exposures[[k]]
      weight <- drop(basis_at(one, widest$lags) %*% term_estimate(fit, one)$b)
      weight[!widest$covered] <- NA
      piece <- data.frame(lag = widest$lags, weight = weight,
                          replicate = number)
      if (length(terms) > 1L) piece$term <- labels[k]
      piece
    })
    do.call(rbind, found)
  })
  gg_weight(drawn, model$unit, do.call(rbind, lines), strength = 0.8)
}

gg_dose_curve <- function(drawn, object) {
  ggplot2::ggplot(drawn, ggplot2::aes(.data$dose, .data$hr)) + gg_zero(1) +
    gg_band("lower", "upper") +
    ggplot2::geom_line(colour = wce_colours[["line"]], linewidth = 1,
                       na.rm = TRUE) +
    ggplot2::scale_y_log10() +
    ggplot2::labs(x = dose_label(object), y = curve_label(object)) + gg_theme()
}

gg_slices <- function(drawn, object, slices) {
  drawn$curve <- factor(slices$labels[match(drawn[[slices$by]],
                                            slices$values)], slices$labels)
  drawn$at <- drawn[[slices$along]]
  n <- length(slices$values)
  named <- slices$labels[unique(round(seq(1, n, length.out = min(n, 5L))))]
  colours <- stats::setNames(slices$colours, slices$labels)
  bands <- if (n <= 3L) {
    ggplot2::geom_ribbon(
      ggplot2::aes(ymin = log(.data$lower), ymax = log(.data$upper),
                   fill = .data$curve), alpha = 0.15, colour = NA, na.rm = TRUE,
      show.legend = FALSE
    )
  }
  ggplot2::ggplot(drawn, ggplot2::aes(.data$at, .data$log_hr,
                                      colour = .data$curve)) +
    gg_zero() + bands + ggplot2::geom_line(linewidth = 0.9, na.rm = TRUE) +
    ggplot2::scale_colour_manual(NULL, values = colours, breaks = named) +
    ggplot2::scale_fill_manual(NULL, values = colours) +
    ggplot2::labs(x = if (slices$along == "lag")
      lag_label(attr(object, "unit")) else dose_label(object),
      y = slice_label(object)) +
    gg_theme()
}

gg_map <- function(drawn, object) {
  size <- max(abs(drawn$log_hr), na.rm = TRUE)
  ends <- grDevices::hcl.colors(3L, "Blue-Red 3")
  ggplot2::ggplot(drawn, ggplot2::aes(.data$lag, .data$dose)) +
    ggplot2::geom_raster(ggplot2::aes(fill = .data$log_hr),
                         interpolate = TRUE) +
    ggplot2::geom_contour(ggplot2::aes(z = .data$log_hr),
                          colour = wce_colours[["zero"]], linewidth = 0.3,
                          bins = 7L, na.rm = TRUE) +
    ggplot2::scale_fill_gradient2(slice_label(object), low = ends[1L],
                                  mid = "white", high = ends[3L],
                                  limits = c(-size, size)) +
    ggplot2::labs(x = lag_label(attr(object, "unit")), y = dose_label(object)) +
    ggplot2::coord_cartesian(expand = FALSE) + gg_theme() +
    ggplot2::theme(legend.key.width = ggplot2::unit(1.5, "cm"),
                   legend.title = ggplot2::element_text(vjust = 0.9))
}

# by_cutoff(): the total effect above, the criterion below.
gg_cutoffs <- function(drawn) {
  at <- if (is.numeric(drawn$cutoff)) drawn$cutoff else seq_along(drawn$cutoff)
  panels <- c(sprintf("Log HR of dose %s at all lags",
                      format(attr(drawn, "dose"))),
              paste0(toupper(attr(drawn, "criterion")), " above the best"))
  piece <- function(panel, value, lower = NA, upper = NA, zero = NA) {
    data.frame(at = at, panel = factor(panels[panel], panels), value = value,
               lower = lower, upper = upper, zero = zero,
               selected = drawn$selected)
  }
  z <- stats::qnorm((1 + attr(drawn, "level")) / 2)
  both <- rbind(piece(1L, drawn$log_hr, drawn$log_hr - z * drawn$se,
                      drawn$log_hr + z * drawn$se, 0),
                piece(2L, ifelse(is.finite(drawn$delta), drawn$delta, NA)))
  ggplot2::ggplot(both, ggplot2::aes(.data$at, .data$value)) +
    ggplot2::geom_hline(ggplot2::aes(yintercept = .data$zero), linetype = 2L,
                        colour = wce_colours[["zero"]], na.rm = TRUE) +
    ggplot2::geom_linerange(ggplot2::aes(ymin = .data$lower,
                                         ymax = .data$upper), linewidth = 0.9,
                            colour = wce_colours[["line"]], na.rm = TRUE) +
    ggplot2::geom_line(colour = wce_colours[["grey"]], na.rm = TRUE) +
    ggplot2::geom_point(ggplot2::aes(fill = .data$selected), shape = 21,
                        size = 3, stroke = 1, colour = wce_colours[["line"]],
                        na.rm = TRUE, show.legend = FALSE) +
    ggplot2::scale_fill_manual(values = c("FALSE" = "white",
                                          "TRUE" = wce_colours[["line"]])) +
    ggplot2::facet_wrap(ggplot2::vars(.data$panel), ncol = 1L,
                        scales = "free_y") +
    ggplot2::scale_x_continuous(breaks = at, labels = drawn$cutoff) +
    ggplot2::labs(x = sprintf("Cutoff, %s", plural_unit(attr(drawn, "unit"))),
                  y = NULL) + gg_theme()
}

# nolint end
