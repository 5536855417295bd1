# Figures of a surface over dose and lag: curves by dose, slices, a map, and the
# surface itself.

#' Plot the effect of a dose
#'
#' `plot()` draws with base graphics, `autoplot()` with ggplot2. With one lag,
#' or the sum over all, a curve by dose with its band. With several lags and
#' doses `"slices"`, curves by lag, one for each dose; with `along = "dose"`
#' curves by dose, one for each lag; a `"map"` in colours; or the `"surface"` in
#' perspective.
#'
#' @param x,object From [dose_response()].
#' @param type `"slices"`, `"map"` or `"surface"`; ggplot2 has no perspective.
#' @param along What slices are drawn along: `"lag"` or `"dose"`. Up to three
#'   have their bands.
#' @param theta,phi Angles of the surface, see [graphics::persp()].
#' @param ... Of `plot()`: `xlab`, `ylab`, `main`, `xlim`, `ylim`, and what
#'   [graphics::plot.default()] or [graphics::persp()] take.
#' @return `plot()`: `x`, invisibly. `autoplot()`: a ggplot.
#' @export
#' @examples
#' sim <- simulate_wce(300, days = 200, cutoff = 60, hazard = 4e-3, seed = 1)
#' records <- sim$records[!duplicated(sim$records$person_id), ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ exposure("drug", dose = function(x)
#'     cbind(x, x^2)),
#'   data = sim$people, id = person_id, records = records, cutoff = 60,
#'   nknots = 0, constrained = "right", engine = "reference"
#' )
#' plot(dose_response(fit, doses = seq(0, 3, by = 0.1)))
#' grid <- dose_response(fit, doses = seq(0, 3, by = 0.25), lag = 1:60)
#' plot(grid, type = "map")
#' plot(grid, type = "surface")
plot.dose_response <- function(x, type = "slices", along = "lag", theta = 40,
                               phi = 25, ...) {
  type <- check_surface_type(x, type, c("slices", "map", "surface"))
  along <- check_word(along, c("lag", "dose"), "along")
  look <- list(...)
  named <- intersect(names(look), c("xlab", "ylab", "main", "xlim", "ylim",
                                    "zlab"))
  panel <- look[named]
  panel$dots <- look[setdiff(names(look), named)]
  slices <- surface_slices(x, along)
  switch(type,
    curve = with_margins(1L, panel$main, draw_dose_curve(x, panel)),
    slices = with_margins(1L, panel$main, draw_slices(x, slices, panel),
                          legend = TRUE),
    map = with_margins(1L, panel$main, draw_map(x, panel), legend = TRUE),
    surface = draw_perspective(x, theta, phi, panel)
  )
  invisible(x)
}

# Value: one of `choices`, or "curve" for one lag.
check_surface_type <- function(x, type, choices) {
  type <- check_word(type, choices, "type")
  if (is.null(x$dose)) {
    abort_input("Histories are not drawn.", i = "Give `doses` and `lag`.",
                code = "no_surface")
  }
  sizes <- c(length(unique(x$dose)), length(unique(x$lag)))
  if (sizes[2L] == 1L && type == "slices") return("curve")
  if (type != "slices" && min(sizes) < 2L) {
    abort_input(sprintf("A %s needs several doses and several lags.", type),
                i = "Like `dose_response(fit, doses = 0:4, lag = 1:60)`.",
                code = "no_surface", arg = "type")
  }
  type
}

dose_label <- function(x) sprintf("Dose per %s", attr(x, "unit") %||%
                                    "time unit")

slice_label <- function(x) sprintf("Log HR of one %s of the dose",
                                   attr(x, "unit") %||% "time unit")

curve_label <- function(x) {
  if (identical(unique(x$lag), "all")) return("HR of the dose at all lags")
  sprintf("HR of one %s of the dose at lag %s",
          attr(x, "unit") %||% "time unit", format(x$lag[1L]))
}

# Which curves, in what order, and their colours: from light to dark, as both
# axes have an order.
surface_slices <- function(x, along) {
  by <- if (along == "lag") "dose" else "lag"
  values <- unique(x[[by]])
  colours <- grDevices::hcl.colors(length(values) + 1L, "viridis", rev = TRUE)
  list(along = along, by = by, values = values, colours = colours[-1L],
       labels = paste(c(dose = "dose", lag = "lag")[[by]],
                      format(values, digits = 3L, trim = TRUE,
                             drop0trailing = TRUE)))
}

draw_dose_curve <- function(x, look) {
  values <- c(1, x$lower, x$upper, x$hr)
  draw_frame(x$dose, values[is.finite(values) & values > 0], look,
             dose_label(x), curve_label(x), log = "y")
  draw_axes()
  graphics::abline(h = 1, col = wce_colours[["zero"]], lty = 2L)
  draw_band(x$dose, x$lower, x$upper, wce_colours[["line"]])
  graphics::lines(x$dose, x$hr, lwd = 2.5, col = wce_colours[["line"]])
  draw_bottom_axis()
}

draw_slices <- function(x, slices, look) {
  bands <- length(slices$values) <= 3L
  shown <- if (bands) c(x$lower, x$upper) else x$hr
  shown <- log(c(1, shown))
  draw_frame(x[[slices$along]], shown[is.finite(shown)], look,
             if (slices$along == "lag") lag_label(attr(x, "unit")) else
               dose_label(x), slice_label(x))
  draw_axes()
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  for (k in seq_along(slices$values)) {
    one <- x[x[[slices$by]] == slices$values[k], ]
    if (bands) {
      draw_band(one[[slices$along]], log(one$lower), log(one$upper),
                slices$colours[k], 0.12)
    }
  }
  for (k in seq_along(slices$values)) {
    one <- x[x[[slices$by]] == slices$values[k], ]
    graphics::lines(one[[slices$along]], one$log_hr, lwd = 2.2,
                    col = slices$colours[k])
  }
  if (slices$along == "lag") draw_lag_axis(x$lag, look$xlim) else
    draw_bottom_axis()
  # What fits into a line: not every curve is named.
  n <- length(slices$values)
  named <- unique(round(seq(1, n, length.out = min(n, 4L))))
  draw_key(slices$labels[named], slices$colours[named])
}

surface_matrix <- function(x) {
  matrix(x$log_hr, length(unique(x$dose)))
}

# Blue below zero, red above, white at zero.
surface_colours <- function(z, n = 64L) {
  size <- max(abs(z), na.rm = TRUE)
  if (size == 0) size <- 1
  list(breaks = seq(-size, size, length.out = n + 1L),
       colours = grDevices::hcl.colors(n, "Blue-Red 3"))
}

draw_map <- function(x, look) {
  doses <- unique(x$dose)
  lags <- unique(x$lag)
  z <- surface_matrix(x)
  scale <- surface_colours(z)
  draw_frame(lags, doses, look, lag_label(attr(x, "unit")), dose_label(x))
  graphics::image(lags, doses, t(z), breaks = scale$breaks, add = TRUE,
                  col = scale$colours)
  graphics::contour(lags, doses, t(z), add = TRUE, nlevels = 6L,
                    col = wce_colours[["zero"]], labcex = 0.7)
  graphics::axis(2L, lwd = 0, lwd.ticks = 0, col.axis = "#333333")
  draw_lag_axis(lags, look$xlim)
  graphics::mtext(paste0(slice_label(x), " (contours)"), side = 3L,
                  adj = 0, line = 0.4, cex = 0.95)
}

draw_perspective <- function(x, theta, phi, look) {
  z <- surface_matrix(x)
  scale <- surface_colours(z)
  corners <- (z[-1L, -1L] + z[-1L, -ncol(z)] + z[-nrow(z), -1L] +
                z[-nrow(z), -ncol(z)]) / 4
  at <- findInterval(corners, scale$breaks, all.inside = TRUE)
  unit <- attr(x, "unit") %||% "time unit"
  old <- graphics::par(mar = c(1.5, 2.5, if (is.null(look$main)) 0.5 else 2.5,
                               0.5), cex.lab = 1, cex.axis = 0.8)
  on.exit(graphics::par(old), add = TRUE)
  # The empty lines keep the labels off the numbers.
  arguments <- list(
    unique(x$dose), unique(x$lag), z, theta = theta, phi = phi,
    col = scale$colours[at], border = grDevices::adjustcolor("#333333", 0.25),
    lwd = 0.4, ticktype = "detailed", expand = 0.7, main = look$main %||% "",
    font.main = 1, cex.main = 1.05, xlab = look$xlab %||%
      paste0("\n\n", dose_label(x)),
    ylab = look$ylab %||% sprintf("\n\nLag, %s", plural_unit(unit)),
    zlab = look$zlab %||% "\n\nLog HR"
  )
  do.call(graphics::persp, utils::modifyList(arguments, as.list(look$dots)))
}
