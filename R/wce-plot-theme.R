# What all figures have in common: colours, margins, axes, and the theme of the
# ggplots.

# Colours that the common kinds of colour blindness keep apart (Okabe and Ito).
wce_colours <- c(line = "#0072B2", second = "#D55E00", third = "#009E73",
                 fourth = "#CC79A7", fifth = "#E69F00", sixth = "#56B4E9",
                 grey = "#8C8C8C", missing = "#EFEFEF", zero = "#4D4D4D")

# Of n curves; more than there are colours differ in their line as well.
curve_colours <- function(n) rep_len(unname(wce_colours[1:6]), n)
curve_types <- function(n) rep(c(1L, 5L, 4L, 2L, 3L), each = 6L, length.out = n)

# Sets the margins for n panels, draws, and puts everything back.
with_margins <- function(n, main, draw, legend = FALSE, shape = NULL) {
  top <- if (is.null(main) && n == 1L && !legend) 1 else 2.6
  old <- graphics::par(mar = c(4, 4.8, top, 1.2), mgp = c(2.7, 0.6, 0),
                       tcl = -0.3, las = 1)
  on.exit(graphics::par(old), add = TRUE)
  if (n > 1L) {
    before <- graphics::par(mfrow = shape %||% rev(grDevices::n2mfrow(n)))
    on.exit(graphics::par(before), add = TRUE)
  }
  force(draw)
}

lag_label <- function(unit) {
  unit <- unit %||% "time unit"
  sprintf("Lag: %s since the dose", plural_unit(unit))
}

time_label <- function(unit, since = "start") {
  sprintf("Time since %s, %s", since, plural_unit(unit %||% "time unit"))
}

weight_label <- "Weight: log hazard ratio per unit of dose"

# An empty frame; `look` holds what the user set.
draw_frame <- function(x, y, look, xlab, ylab, log = "") {
  arguments <- list(
    x = range(x), y = range(y), type = "n", xlab = look$xlab %||% xlab,
    ylab = "", main = look$main %||% "", bty = "n", axes = FALSE,
    xlim = look$xlim %||% range(x), ylim = look$ylim %||% range(y),
    font.main = 1, cex.main = 1.05, log = log
  )
  do.call(graphics::plot, utils::modifyList(arguments, as.list(look$dots)))
  graphics::title(ylab = look$ylab %||% ylab, line = 3.6)
}

# Light horizontal guides and the numbers at the left.
draw_axes <- function() {
  graphics::abline(h = graphics::axTicks(2L), col = "#E3E3E3", lwd = 0.8)
  graphics::axis(2L, lwd = 0, lwd.ticks = 0, col.axis = "#333333")
}

draw_bottom_axis <- function(...) {
  graphics::axis(1L, ..., col = wce_colours[["grey"]], col.axis = "#333333")
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
  draw_bottom_axis(at = lag_ticks(lags, xlim))
}

# Band around a line; both may be interrupted by missing values.
draw_band <- function(x, lower, upper, col, strength = 0.2) {
  ok <- is.finite(lower) & is.finite(upper)
  run <- cumsum(c(TRUE, diff(ok) != 0))
  for (at in split(seq_along(x), run)) {
    if (!ok[at[1L]]) next
    graphics::polygon(c(x[at], rev(x[at])), c(lower[at], rev(upper[at])),
                      border = NA, col = grDevices::adjustcolor(col, strength))
  }
}

# Curves' names in a line above the panel, as close as they are long; legend()
# would give all of them the width of the longest.
draw_key <- function(labels, colours, types = 1L, widths = 2) {
  n <- length(labels)
  usr <- graphics::par("usr")
  # Of a letter; on a logarithmic axis "cxy" is something else.
  size <- graphics::par("cin") / graphics::par("pin") *
    c(diff(usr[1:2]), diff(usr[3:4])) * graphics::par("cex")
  width <- graphics::strwidth(labels, units = "figure") *
    (diff(usr[1:2]) / diff(graphics::par("plt")[1:2]))
  step <- 2.6 * size[1L] + width + 2 * size[1L]
  left <- usr[1L] + cumsum(step) - step
  y <- usr[4L] + 0.9 * size[2L]
  at_x <- function(x) if (graphics::par("xlog")) 10^x else x
  at_y <- if (graphics::par("ylog")) 10^y else y
  graphics::segments(at_x(left), at_y, at_x(left + 2.2 * size[1L]), at_y,
                     col = colours, lty = rep_len(types, n),
                     lwd = rep_len(widths, n), xpd = NA)
  graphics::text(at_x(left + 2.6 * size[1L]), at_y, labels, adj = c(0, 0.5),
                 xpd = NA)
}

# ---- ggplot2 -----------------------------------------------------------------

need_ggplot2 <- function() {
  if (requireNamespace("ggplot2", quietly = TRUE)) return(invisible())
  abort_input("`autoplot()` needs the ggplot2 package.",
              i = "Install it, or use `plot()`.", code = "no_ggplot2")
}

gg_theme <- function() {
  ggplot2::theme_minimal(base_size = 13) +
    ggplot2::theme(
      panel.grid.minor = ggplot2::element_blank(),
      panel.grid.major.x = ggplot2::element_blank(),
      legend.position = "top", legend.justification = "left",
      axis.title = ggplot2::element_text(colour = "#333333"),
      strip.text = ggplot2::element_text(hjust = 0)
    )
}

gg_zero <- function(at = 0) {
  ggplot2::geom_hline(yintercept = at, linetype = 2L,
                      colour = wce_colours[["zero"]])
}

# Colours of several curves, by a factor's levels.
gg_colours <- function(levels, name = NULL) {
  values <- stats::setNames(curve_colours(length(levels)), levels)
  types <- stats::setNames(curve_types(length(levels)), levels)
  list(ggplot2::scale_colour_manual(name, values = values),
       ggplot2::scale_fill_manual(name, values = values),
       ggplot2::scale_linetype_manual(name, values = types))
}
