# What a user must know about a fit before using it, as classed warnings.

warn_about_fit <- function(fit) {
  quoted <- function(x) paste0("`", x, "`", collapse = ", ")
  dropped <- names(fit$coefficients)[is.na(fit$coefficients)]
  if (length(dropped)) {
    warn_user(
      sprintf("%s could not be estimated: collinear with the terms before.",
              quoted(dropped)),
      i = "Their coefficients are NA.", code = "collinear",
      data = list(coefficients = dropped)
    )
  }
  infinite <- names(fit$coefficients)[which(fit$infinite)]
  if (length(infinite)) {
    warn_user(
      sprintf("The likelihood rises for ever along %s.", quoted(infinite)),
      i = paste("No event, or every event, has this;",
                "its standard error means nothing."),
      code = "infinite", data = list(coefficients = infinite)
    )
  }
  if (!fit$converged) {
    warn_user(
      sprintf("The fit has not converged after %d steps.", fit$iter),
      i = sprintf("The largest element of the gradient is %.2g.",
                  max(abs(fit$score))),
      code = "not_converged", data = list(gradient = fit$score)
    )
  }
  for (term in fit$exposures) {
    if (all(term$covered)) next
    lags <- term$lags[!term$covered]
    warn_user(
      sprintf("`%s` says nothing about the lags %s.", term$label,
              format_ranges(lags)),
      x = paste("No patient at risk had a dose at these lags at any event",
                "time."),
      i = "The weight is NA there; hazard ratios over them are refused.",
      code = "uncovered_lags", data = list(lags = lags)
    )
  }
  invisible(fit)
}
