# Figures of checks: proportional hazards, influence, and survival curves.

#' Plot the check of proportional hazards
#'
#' @param x,object An object of class `ph_check`, from [ph_check()].
#' @param which `"effect"`: for each covariate and for the total effect of each
#'   exposure, the scaled Schoenfeld residuals and a smooth of them over time:
#'   where it is level, the effect does not change. `"weight"`: the weight
#'   function early and late in follow-up.
#' @param var Which columns of `x$y` or, for `"weight"`, which terms: names or
#'   numbers; `NULL`: all.
#' @param resid Draw the residuals?
#' @param df Degrees of freedom of the smooth, a natural spline.
#' @inheritParams plot.wce
#' @return `plot()`: the data frame drawn, invisibly. `autoplot()`: a ggplot.
#' @name plot.ph_check
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' check <- ph_check(fit)
#' plot(check, var = "exposure(\"drug_a\")")
#' plot(check, "weight")
NULL

#' @rdname plot.ph_check
#' @export
plot.ph_check <- function(x, which = c("effect", "weight"), var = NULL,
                          resid = TRUE, df = 4, xlab = NULL, ylab = NULL,
                          main = NULL, ...) {
  which <- check_word(which, c("effect", "weight"), "which")
  look <- list(xlab = xlab, ylab = ylab, main = main,
               col = wce_colours[["line"]], dots = list(...))
  drawn <- check_data(x, which, var, df)
  names <- unique(drawn$term)
  with_margins(length(names), main, for (name in names) {
    panel <- look
    if (length(names) > 1L) {
      panel$main <- main %||% name
      if (which == "weight") {
        panel$ylab <- ylab %||% "Weight: log HR per unit of dose"
      }
    }
    one <- drawn[drawn$term == name, , drop = FALSE]
    if (which == "weight") {
      draw_early_late(one, x, panel, length(names) == 1L)
    } else {
      draw_moving(one, x, panel, resid)
    }
  }, legend = TRUE)
  invisible(drawn)
}

check_data <- function(x, which, var, df = 4) {
  columns <- if (which == "weight") unique(x$curves$term) else colnames(x$y)
  chosen <- var %||% columns
  at <- if (is.character(chosen)) match(chosen, columns) else
    match(chosen, seq_along(columns))
  if (!length(at) || anyNA(at)) {
    abort_input("`var` must name what was checked, or be its number.",
                i = format_list(paste0("\"", columns, "\"")), arg = "var",
                code = "unknown_term")
  }
  columns <- columns[at]
  if (which == "weight") return(x$curves[x$curves$term %in% columns, ])
  do.call(rbind, lapply(columns, function(name) {
    smooth_residuals(x, name, df)
  }))
}

# The spline of the residuals of one effect over transformed time, with its
# band as cox.zph() draws it, at the times of the events.
smooth_residuals <- function(x, name, df) {
  y <- x$y[, name]
  df <- max(2L, min(df, length(unique(x$x)) - 1L))
  z <- splines::ns(x$x, df = df - 1L, intercept = FALSE)
  z <- cbind(1, z)
  fit <- stats::lm.fit(z, y)
  used <- which(!is.na(fit$coefficients))
  z <- z[, used, drop = FALSE]
  spread <- row_forms(z, chol2inv(qr.R(qr(z))))
  # A scaled residual has the variance of the estimate times their number.
  reach <- stats::qnorm((1 + x$level) / 2) *
    sqrt(x$var[name, name] * length(y) * spread)
  smooth <- drop(z %*% fit$coefficients[used])
  data.frame(term = name, time = x$time, x = x$x, residual = unname(y),
             effect = smooth, lower = smooth - reach, upper = smooth + reach)
}

draw_moving <- function(one, check, look, resid) {
  one <- one[order(one$time), ]
  values <- c(one$lower, one$upper, 0)
  if (resid) {
    values <- c(values, stats::quantile(one$residual, c(0.02, 0.98)))
  }
  p <- check$table[match(one$term[1L], rownames(check$table)), "p"]
  if (is.null(look$main)) look$main <- ""
  draw_frame(one$time, values, look, time_label(check$unit, "origin"),
             "Log hazard ratio")
  draw_axes()
  if (resid) {
    graphics::points(one$time, one$residual, pch = 16, cex = 0.55,
                     col = grDevices::adjustcolor(wce_colours[["grey"]], 0.6))
  }
  shown <- !duplicated(one$time)
  line <- one[shown, ]
  draw_band(line$time, line$lower, line$upper, look$col)
  graphics::abline(h = mean(one$residual), col = wce_colours[["zero"]],
                   lty = 2L)
  graphics::lines(line$time, line$effect, col = look$col, lwd = 2.5)
  if (!is.na(p)) {
    graphics::mtext(paste("p", format_p(p)), side = 3L, adj = 1, cex = 0.8,
                    col = "#333333")
  }
  draw_bottom_axis()
}

draw_early_late <- function(one, check, look, alone) {
  values <- c(0, one$lower, one$upper)
  draw_frame(one$lag, values[is.finite(values)], look, lag_label(check$unit),
             weight_label)
  draw_axes()
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  words <- unique(one$when)
  colours <- wce_colours[c("line", "second")]
  for (k in 1:2) {
    part <- one[one$when == words[k], ]
    draw_band(part$lag, part$lower, part$upper, colours[k], 0.15)
  }
  for (k in 1:2) {
    part <- one[one$when == words[k], ]
    graphics::lines(part$lag, part$weight, col = colours[k], lwd = 2.5,
                    lty = c(1L, 5L)[k])
  }
  draw_lag_axis(one$lag, NULL)
  labels <- early_late_labels(one, check$unit)
  if (alone) return(draw_key(labels, colours, c(1L, 5L), 2.5))
  graphics::legend("topright", labels, col = colours, lty = c(1L, 5L),
                   lwd = 2.5, bty = "n", cex = 0.85)
}

early_late_labels <- function(one, unit) {
  times <- vapply(split(one$time, factor(one$when, unique(one$when))),
                  function(t) t[1L], 0)
  sprintf("%s (%s %s)", names(times), unit, format(round(times), trim = TRUE))
}

#' @rdname influence.wce
#' @inheritParams plot.wce
#' @export
plot.wce_influence <- function(x, xlab = NULL, ylab = NULL, main = NULL, ...) {
  look <- list(xlab = xlab, ylab = ylab, main = main,
               col = wce_colours[["line"]], dots = list(...))
  if (x$what == "weight") {
    with_margins(1L, main, draw_without(x, look), legend = TRUE)
    return(invisible(x))
  }
  size <- sort(unname(x$size), decreasing = TRUE)
  with_margins(1L, main, {
    draw_frame(c(1, length(size)), c(0, max(size)), look,
               "People, the most influential first",
               if (x$what == "coefficients") "Likelihood displacement" else
                 "Change of log HR in standard errors", log = "x")
    draw_axes()
    graphics::segments(seq_along(size), 0, seq_along(size), size,
                       col = grDevices::adjustcolor(look$col, 0.35))
    graphics::points(seq_along(size), size, pch = 16, cex = 0.6,
                     col = look$col)
    draw_bottom_axis()
  })
  invisible(x)
}

draw_without <- function(x, look) {
  curves <- x$curves
  all_people <- curves[is.na(curves$id), ]
  rest <- split(curves$weight[!is.na(curves$id)],
                rep(seq_len(nrow(x$top)), each = nrow(all_people)))
  values <- c(0, curves$weight)
  draw_frame(all_people$lag, values[is.finite(values)], look,
             lag_label(x$unit), weight_label)
  draw_axes()
  graphics::abline(h = 0, col = wce_colours[["zero"]], lty = 2L)
  for (one in rest) {
    graphics::lines(all_people$lag, one, col = wce_colours[["second"]])
  }
  graphics::lines(all_people$lag, all_people$weight, col = look$col, lwd = 3)
  draw_lag_axis(all_people$lag, NULL)
  draw_key(c("all people", sprintf("without one of the %d most influential",
                                   nrow(x$top))),
           c(look$col, wce_colours[["second"]]), 1L, c(3, 1))
}
