# How the answer depends on the cutoff.

#' How the answer depends on the cutoff
#'
#' The fits of a grid of cutoffs side by side: of every cutoff the fit that the
#' criterion prefers among its numbers of knots, how far its criterion is from
#' the best, and the total effect of a constant dose. A cutoff that is long
#' enough has the total effect of all longer ones; a shorter one leaves part of
#' the effect out, or adds it to the lags that it has.
#'
#' @param fit A fitted model, from [wce()] with several cutoffs.
#' @param term Which exposure term: its label or its number.
#' @param dose,level As in [total_effect()].
#' @return A data frame of class `by_cutoff` with a row per cutoff: `cutoff`,
#'   `nknots`, `df`, `loglik`, `aic`, `bic`, `delta` (of the criterion, above
#'   the smallest), `log_hr`, `se`, `hr`, `lower`, `upper` (`NA` where the data
#'   do not cover the window) and `selected`. With several terms a `cutoff`
#'   reads `"90+30"`.
#' @seealso [model_average()], [plot.wce()] with `which = "cutoff"` and `"all"`
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = c(60, 90), nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' by_cutoff(fit)
by_cutoff <- function(fit, term = NULL, dose = 1, level = 0.95) {
  check_is_wce(fit)
  check_level(level)
  term <- match(one_exposure(fit, term)$label, exposure_labels(fit))
  table <- fit$selection
  value <- ifelse(table$converged, table[[fit$criterion]], Inf)
  cutoffs <- unique(table$cutoff)
  rows <- vapply(cutoffs, function(cutoff) {
    own <- which(table$cutoff == cutoff)
    own[which.min(value[own])]
  }, 0L)
  effects <- lapply(rows, function(row) {
    found <- total_effect(select_fit(fit, row), term = term, dose = dose[1L],
                          level = level)
    as.data.frame(found)[c("log_hr", "se", "hr", "lower", "upper")]
  })
  result <- table[rows, c("cutoff", "nknots", "df", "loglik", "aic", "bic")]
  result$delta <- value[rows] - min(value[rows])
  result <- cbind(result, do.call(rbind, effects),
                  selected = table$selected[rows], row.names = NULL)
  structure(result, criterion = fit$criterion, unit = fit$unit, level = level,
            dose = dose[1L], ratio = fit$model$short %||% "HR",
            class = c("by_cutoff", "data.frame"))
}

# Total effect above, criterion below.
draw_cutoffs <- function(drawn, look) {
  at <- if (is.numeric(drawn$cutoff)) drawn$cutoff else seq_along(drawn$cutoff)
  span <- range(at) + c(-0.02, 0.02) * max(1, diff(range(at)))
  xlab <- sprintf("Cutoff, %s", plural_unit(attr(drawn, "unit")))
  marks <- function(y) {
    graphics::lines(at, y, col = wce_colours[["grey"]], lwd = 1.5)
    graphics::points(at, y, pch = 21, cex = 1.5, lwd = 1.5, col = look$col,
                     bg = ifelse(drawn$selected, look$col, "white"))
    draw_bottom_axis(at = at, labels = drawn$cutoff)
  }
  values <- c(1, drawn$hr, drawn$lower, drawn$upper)
  values <- values[is.finite(values)]
  if (length(values) == 1L) values <- c(0.5, 2)
  panel <- look
  panel$xlab <- look$xlab %||% ""
  label <- sprintf("%s of dose %s at all lags", attr(drawn, "ratio") %||% "HR",
                   format(attr(drawn, "dose")))
  draw_frame(span, values, panel, "", label, log = "y")
  draw_axes()
  graphics::abline(h = 1, col = wce_colours[["zero"]], lty = 2L)
  known <- is.finite(drawn$lower) & is.finite(drawn$upper)
  graphics::segments(at[known], drawn$lower[known], at[known],
                     drawn$upper[known], col = look$col, lwd = 2)
  marks(drawn$hr)
  panel <- look
  panel$ylim <- NULL
  panel$main <- NULL
  draw_frame(span, range(0, drawn$delta[is.finite(drawn$delta)]), panel, xlab,
             paste0(toupper(attr(drawn, "criterion")), " above the best"))
  draw_axes()
  marks(drawn$delta)
}
