# Figures of how doses enter: a function of the dose, and the candidates of
# compare_doses().

#' @rdname dose_forms
#' @param top Largest dose to draw.
#' @export
plot.dose_basis <- function(x, top = x$top, ...) {
  if (is.null(top)) {
    abort_input("`top` is needed: the largest dose to draw.", arg = "top",
                code = "dose_basis")
  }
  doses <- seq(0, top, length.out = 401L)
  drawn <- dose_columns(x, doses)
  look <- list(dots = list(...))
  n <- ncol(drawn)
  with_margins(1L, NULL, {
    draw_frame(doses, range(0, drawn), look, "Dose per time unit",
               if (n > 1L) "Columns of the model" else "What enters the model")
    draw_axes()
    draw_bottom_axis()
    for (k in seq_len(n)) {
      graphics::lines(doses, drawn[, k], lwd = 2.5, col = curve_colours(n)[k],
                      lty = curve_types(n)[k])
    }
    if (n > 1L) {
      draw_key(paste("column", seq_len(n)), curve_colours(n), curve_types(n))
    }
  }, legend = n > 1L)
  invisible(data.frame(dose = doses, drawn))
}

#' @rdname compare_doses
#' @param x Of `plot()`: a comparison.
#' @export
plot.dose_comparison <- function(x, ...) {
  drawn <- x$table
  look <- list(dots = list(...))
  if (!anyNA(drawn$value) && length(unique(drawn$form)) == 1L &&
        nrow(drawn) > 1L) {
    with_margins(1L, NULL, draw_dose_profile(drawn, x$level, look))
    return(invisible(drawn))
  }
  label <- dose_form_names(drawn)
  at <- rev(seq_along(label))
  look$col <- wce_colours[["line"]]
  old <- graphics::par(mar = c(4, 2 + 0.55 * max(nchar(label)), 1, 1.2),
                       mgp = c(2.7, 0.6, 0), tcl = -0.3, las = 1)
  on.exit(graphics::par(old), add = TRUE)
  delta <- drawn$delta
  draw_frame(range(0, delta[is.finite(delta)]), range(at) + c(-0.4, 0.4), look,
             paste0(toupper(x$criterion), " above the best"), "")
  graphics::abline(h = at, col = "#E3E3E3", lwd = 0.8)
  draw_bottom_axis()
  graphics::axis(2L, at = at, labels = label, lwd = 0, col.axis = "#333333")
  graphics::points(delta, at, pch = 21, cex = 1.5, lwd = 1.5, col = look$col,
                   bg = ifelse(delta == 0, look$col, "white"), xpd = NA)
  invisible(drawn)
}

# Log-likelihood by parameter, and the line above which the interval lies.
draw_dose_profile <- function(drawn, level, look) {
  drawn <- drawn[order(drawn$value), ]
  height <- drawn$loglik - max(drawn$loglik)
  cut <- -stats::qchisq(level, 1) / 2
  draw_frame(drawn$value, range(height, cut), look,
             paste0("Dose: ", drawn$form[1L]),
             "Log-likelihood, below the largest")
  draw_axes()
  draw_bottom_axis(at = if (nrow(drawn) <= 10L) drawn$value)
  graphics::abline(h = cut, col = wce_colours[["zero"]], lty = 2L)
  colour <- wce_colours[["line"]]
  graphics::lines(drawn$value, height, col = colour, lwd = 2)
  graphics::points(drawn$value, height, pch = 21, cex = 1.5, lwd = 1.5,
                   col = colour, bg = ifelse(height == 0, colour, "white"))
}
