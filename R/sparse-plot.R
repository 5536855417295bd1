# Figures of a path: what the drugs' effects are along it, and how well it
# predicts.

#' Plot the path of a model of many drugs
#'
#' @param x A fitted model, from [wce_sparse()].
#' @param which `"path"`: the penalised log hazard ratio of one unit of dose
#'   throughout the window, of every drug along the path; `"cv"`: the
#'   cross-validated likelihood with one standard error.
#' @param label Number of drugs to name: of those selected at `lambda.1se`, the
#'   ones that come in first.
#' @param xlab,ylab,main,xlim,ylim,col,... As in [plot.wce()].
#' @return The data frame that was drawn, invisibly.
#' @seealso [weight_function()] of a drug has a `plot()` of its own.
#' @export
#' @examples
#' effects <- c(a = log(6), b = 0, c = 0)
#' sim <- simulate_wce(150, days = 150, log_hr = effects, cutoff = 60,
#'                     users = 0.4, hazard = 3e-3, seed = 1)
#' fit <- wce_sparse(
#'   Surv(entry, exit, event) ~ sex, data = sim$people, id = person_id,
#'   records = sim$records, cutoff = 60, nknots = 0, constrained = "right",
#'   n_lambda = 5, folds = 0, engine = "reference"
#' )
#' plot(fit)
plot.wce_sparse <- function(x, which = c("path", "cv"), label = 8, xlab = NULL,
                            ylab = NULL, main = NULL, xlim = NULL, ylim = NULL,
                            col = NULL, ...) {
  which <- match_which(if (identical(which, c("path", "cv"))) "path" else which,
                       c("path", "cv"))
  look <- list(xlab = xlab, ylab = ylab, main = main, xlim = xlim, ylim = ylim,
               col = col, dots = list(...))
  if (which == "cv" && is.null(x$cv)) {
    abort_input("There is no cross-validation in this fit.",
                i = "Fit with `folds = 5`.", arg = "which")
  }
  drawn <- if (which == "path") path_table(x) else x$cv
  draw <- if (which == "path") draw_path else draw_cv
  with_margins(1L, main, draw(x, drawn, look, label))
  invisible(drawn)
}

# Of every drug ever selected: drug, lambda, effect.
path_table <- function(fit) {
  total <- colSums(fit$basis$basis_matrix)
  effects <- vapply(seq_along(fit$lambda), function(k) {
    drop(total %*% drug_coefficients(fit, k))
  }, numeric(nrow(fit$drugs)))
  effects <- matrix(effects, nrow(fit$drugs))
  ever <- which(rowSums(effects != 0) > 0)
  data.frame(
    drug = rep(fit$drugs$drug[ever], each = length(fit$lambda)),
    lambda = rep(fit$lambda, length(ever)),
    log_hr = as.vector(t(effects[ever, , drop = FALSE]))
  )
}

draw_path <- function(fit, drawn, look, label) {
  fitted <- fit$lambda[fit$lambda > 0]
  drawn <- drawn[drawn$lambda > 0, ]
  # From strong penalties at the left to weak ones, with room for names.
  look$xlim <- look$xlim %||%
    c(max(fitted), min(fitted) * (min(fitted) / max(fitted))^0.1)
  draw_frame(fitted, c(0, drawn$log_hr), look, "Penalty lambda",
             "Log HR: a unit of dose throughout the window", log = "x")
  draw_axes()
  draw_bottom_axis()
  graphics::abline(h = 0, lty = 2L, col = wce_colours[["zero"]])
  mark_rules(fit)
  drugs <- unique(drawn$drug)
  at <- min(fit$lambda.1se %||% min(fitted), max(fitted))
  enters <- fit$drugs$enters[match(drugs, fit$drugs$drug)]
  named <- intersect(drugs[order(-enters)], selected_drugs(fit, at))
  named <- utils::head(named, label)
  colours <- rep_len(look$col %||% curve_colours(length(named)), length(named))
  names(colours) <- named
  for (d in c(setdiff(drugs, named), named)) {
    one <- drawn[drawn$drug == d, ]
    mine <- d %in% named
    graphics::lines(one$lambda, one$log_hr, lwd = if (mine) 2 else 0.8,
                    col = if (mine) colours[[d]] else wce_colours[["grey"]])
    if (mine) {
      graphics::text(min(fitted), one$log_hr[nrow(one)], d, pos = 4L,
                     cex = 0.8, col = colours[[d]], offset = 0.2, xpd = NA)
    }
  }
}

mark_rules <- function(fit) {
  if (is.null(fit$cv)) return(invisible())
  at <- c(fit$lambda.1se, fit$lambda.min)
  graphics::abline(v = at, lty = 3L, col = wce_colours[["grey"]])
  graphics::mtext(c("1se", "min"), 3L, at = at, cex = 0.75, line = 0.1,
                  col = wce_colours[["zero"]])
}

draw_cv <- function(fit, drawn, look, label) {
  look$xlim <- look$xlim %||% rev(range(drawn$lambda))
  ends <- c(drawn$cvl - drawn$se, drawn$cvl + drawn$se)
  draw_frame(drawn$lambda, ends, look, "Penalty lambda",
             "Cross-validated log-likelihood per event", log = "x")
  draw_axes()
  draw_bottom_axis()
  graphics::abline(h = 0, lty = 2L, col = wce_colours[["zero"]])
  mark_rules(fit)
  colour <- look$col %||% wce_colours[["line"]]
  graphics::segments(drawn$lambda, drawn$cvl - drawn$se, drawn$lambda,
                     drawn$cvl + drawn$se, col = colour)
  graphics::points(drawn$lambda, drawn$cvl, pch = 16L, col = colour, cex = 0.8)
}
