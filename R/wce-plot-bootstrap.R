# Figures of weight functions as such, and of a bootstrap's.

#' Plot a weight function
#'
#' @param x,object An object of class `weight_function`, or a bootstrap of a fit
#'   by [wce()].
#' @param simultaneous A second [weight_function()] with `band =
#'   "simultaneous"`, drawn as the wider, lighter band around the first.
#' @param term Which exposure terms of a bootstrap; `NULL`: all.
#' @param level,band,type For a bootstrap, as in [weight_function()]; `band` may
#'   be both.
#' @param replicates How many replicate curves are drawn as thin lines, at most;
#'   0 for none.
#' @inheritParams plot.wce
#' @return `plot()`: the data frame drawn, invisibly. `autoplot()`: a ggplot.
#' @name plot.weight_function
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' plot(weight_function(fit),
#'      simultaneous = weight_function(fit, band = "simultaneous"))
NULL

#' @rdname plot.weight_function
#' @export
plot.weight_function <- function(x, simultaneous = NULL, xlab = NULL,
                                 ylab = NULL, main = NULL, xlim = NULL,
                                 ylim = NULL, col = NULL, ...) {
  x <- with_outer(x, simultaneous)
  look <- list(xlab = xlab, ylab = ylab, main = main, xlim = xlim, ylim = ylim,
               col = col %||% wce_colours[["line"]], dots = list(...))
  draw_curves(x, attr(x, "unit"), look)
  invisible(x)
}

with_outer <- function(x, simultaneous) {
  if (is.null(simultaneous)) return(x)
  same <- inherits(simultaneous, "weight_function") &&
    identical(simultaneous$lag, x$lag) && identical(simultaneous$term, x$term)
  if (!same) {
    abort_input(
      "`simultaneous` must be a weight function at the same lags and terms.",
      x = sprintf("It is %s.", what_is(simultaneous)), arg = "simultaneous",
      code = "band"
    )
  }
  x$outer_lower <- simultaneous$lower
  x$outer_upper <- simultaneous$upper
  x
}

# A panel per term. replicates: by term, lags x curves.
draw_curves <- function(x, unit, look, replicates = list()) {
  terms <- unique(x$term) %||% ""
  with_margins(length(terms), look$main, for (k in seq_along(terms)) {
    one <- if (is.null(x$term)) x else x[x$term == terms[k], , drop = FALSE]
    panel <- look
    if (length(terms) > 1L) {
      panel$main <- look$main %||% terms[k]
      panel$ylab <- look$ylab %||% "Weight: log HR per unit of dose"
    }
    draw_weight(one, unit, panel,
                curves = if (k <= length(replicates)) replicates[[k]])
  })
}

#' @rdname plot.weight_function
#' @export
plot.bootstrap_wce <- function(x, term = NULL, level = 0.95,
                               band = c("pointwise", "simultaneous"),
                               type = "percentile", replicates = 100L,
                               xlab = NULL, ylab = NULL, main = NULL,
                               xlim = NULL, ylim = NULL, col = NULL, ...) {
  drawn <- bootstrap_bands(x, term, level, band, type)
  look <- list(xlab = xlab, ylab = ylab, main = main, xlim = xlim, ylim = ylim,
               col = col %||% wce_colours[["line"]], dots = list(...))
  draw_curves(drawn, x$fit$unit, look,
              replicate_curves(x, term, replicates))
  invisible(drawn)
}

# A simultaneous band needs no type.
bootstrap_bands <- function(x, term, level, band, type) {
  banded_weights(x, term, level, band, type = type)
}

# Every so many-th replicate, by term: lags x curves, NULL for none.
replicate_curves <- function(x, term, most) {
  most <- check_integer(most, "replicates", 0)
  if (most == 0L) return(list())
  model <- x$fit
  terms <- if (is.null(term)) seq_along(model$exposures) else {
    find_term(model, term)
  }
  lapply(terms, function(k) {
    curve <- bootstrap_curve(x, k)
    rows <- seq_len(nrow(curve$t))
    if (length(rows) > most) {
      rows <- unique(round(seq(1, length(rows), length.out = most)))
    }
    curves <- t(curve$t[rows, , drop = FALSE])
    curves[!curve$estimable, ] <- NA
    curves
  })
}
