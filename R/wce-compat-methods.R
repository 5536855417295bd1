# HR.WCE(), knotsWCE() and the methods of what WCE() returns. The methods are
# those of class "wce_compat"; "WCE" stays in the class vector for scripts that
# ask inherits(x, "WCE"), and for them the CRAN package's own methods come
# second, whether it is loaded or not.

#' @param x,object A result of `WCE()`.
#' @param vecnum,vecdenom Doses of the two histories compared, most recent
#'   first: `cutoff` numbers each.
#' @param allres `TRUE` for all models, `FALSE` for the one with the smallest
#'   criterion.
#' @return `HR.WCE()`: a 1 x 1 matrix with the hazard ratio of the selected
#'   model, or (`allres = TRUE`) a `k x 1` matrix with column `HR`.
#' @export
#' @rdname wce_compat
#' @order 2
HR.WCE <- function(x, vecnum, vecdenom, allres = FALSE) {
  if (!inherits(x, "WCE")) {
    abort_input("`x` must be a result of `WCE()`.",
                x = sprintf("It is %s.", what_is(x)),
                i = "For a fit of `wce()` use `hazard_ratio()`.",
                arg = "x", code = "class")
  }
  m <- ncol(x$WCEmat)
  compat_check_profile(vecnum, "vecnum", m)
  compat_check_profile(vecdenom, "vecdenom", m)
  uncovered <- which(!(attr(x, "details")$covered %||% rep(TRUE, m)))
  uncovered <- uncovered[vecnum[uncovered] != vecdenom[uncovered]]
  if (length(uncovered)) {
    warn_user(
      "The profiles differ where the data say nothing.",
      x = sprintf("Not covered: lags %s.", format_ranges(uncovered)),
      i = "The hazard ratio rests on the shape of the splines there.",
      code = "uncovered_lags", data = list(lags = uncovered)
    )
  }
  weights <- if (allres) x$WCEmat else
    x$WCEmat[compat_best(x), , drop = FALSE]
  hr <- exp(weights %*% (vecnum - vecdenom))
  if (allres) colnames(hr) <- "HR" else dimnames(hr) <- NULL
  hr
}

compat_check_profile <- function(profile, name, m) {
  if (is.numeric(profile) && length(profile) == m && all(is.finite(profile))) {
    return(invisible())
  }
  abort_input(
    sprintf("`%s` must be %d finite doses, most recent first.", name, m),
    x = sprintf("It is %s.", what_is(profile)), arg = name, code = "profile"
  )
}

#' @return `knotsWCE()`: the list `knotsmat`.
#' @export
#' @rdname wce_compat
#' @order 3
knotsWCE <- function(x) {
  x$knotsmat
}

# Position of the selected model.
compat_best <- function(x) {
  best <- which.min(x$info.criterion)
  if (length(best) == 1L) return(best)
  abort_input("No model converged, so none is selected.",
              i = "Look at all of them with `allres = TRUE`.",
              code = "not_converged")
}

#' @return `coef()`: a list: `WCEest`, a matrix of spline coefficients with one
#'   row per model, `NA` where a model has fewer; `covariates`, the matrix
#'   `beta.hat.covariates` or `NULL`.
#' @export
#' @rdname wce_compat
#' @order 5
coef.wce_compat <- function(object, ...) {
  names <- unique(unlist(lapply(object$est, names)))
  spline <- matrix(NA_real_, length(object$est), length(names),
                   dimnames = list(names(object$est), names))
  for (g in seq_along(object$est)) {
    spline[g, names(object$est[[g]])] <- object$est[[g]]
  }
  if (is.null(object$covariates)) {
    return(list(covariates = NULL, WCEest = spline))
  }
  list(WCEest = spline, covariates = object$beta.hat.covariates)
}

#' @return `vcov()`: the list `vcovmat`.
#' @export
#' @rdname wce_compat
#' @order 6
vcov.wce_compat <- function(object, ...) {
  object$vcovmat
}

# ---- text -------------------------------------------------------------------

compat_criterion_name <- function(x) if (x$aic) "AIC" else "BIC"

compat_title <- function(x) {
  kind <- switch(as.character(x$constrained), "FALSE" = "unconstrained",
                 Right = "right-constrained", Left = "left-constrained")
  n <- length(x$knotsmat)
  cat(sprintf("Weighted cumulative exposure, Cox model: %s, %s\n",
              count_of(n, "model"), kind))
  details <- attr(x, "details")
  cat(sprintf("Cutoff %d, %s", ncol(x$WCEmat),
              count_of(x$nevents, "event")))
  if (!is.null(details)) {
    cat(sprintf(", %s, %s", count_of(details$n_subjects, "patient"),
                count_of(details$n_rows, "row")))
    if (details$n_delayed > 0L) {
      cat(sprintf("\n%s later than others: doses before count as 0",
                  count_of(details$n_delayed, "patient enters",
                           "patients enter")))
    }
  }
  cat("\n")
}

compat_models <- function(x) {
  table <- data.frame(loglik = as.vector(x$loglik),
                      criterion = as.vector(x$info.criterion),
                      row.names = colnames(x$loglik))
  names(table)[2L] <- compat_criterion_name(x)
  best <- which.min(x$info.criterion)
  table[[" "]] <- ifelse(seq_len(nrow(table)) %in% best, "<- selected",
                         ifelse(is.na(table[[2L]]), "did not converge", ""))
  table
}

# Coefficients of the covariates in model g.
compat_covariates <- function(x, g) {
  b <- x$beta.hat.covariates[g, , drop = TRUE]
  names(b) <- colnames(x$beta.hat.covariates)
  se <- as.vector(x$se.covariates[g, ])
  se[is.na(b)] <- NA
  z <- b / se
  cbind(coef = b, "exp(coef)" = exp(b), "se(coef)" = se, z = z,
        p = 2 * stats::pnorm(-abs(z)))
}

#' @export
#' @rdname wce_compat
#' @order 7
print.wce_compat <- function(x, ...) {
  compat_title(x)
  cat("\nModels:\n")
  print(compat_models(x), digits = 9)
  cat("\nWeights by lag:\n")
  print(x$WCEmat)
  if (!is.null(x$covariates)) {
    cat("\nCovariates, coefficients:\n")
    print(x$beta.hat.covariates)
    cat("\nCovariates, standard errors:\n")
    print(x$se.covariates)
  }
  cat("\nNext: summary(), plot(), HR.WCE().\n")
  invisible(x)
}

#' @return `print()`, `summary()` and `plot()` return their argument invisibly.
#' @export
#' @rdname wce_compat
#' @order 8
summary.wce_compat <- function(object, allres = FALSE, ...) {
  compat_title(object)
  models <- if (allres) seq_along(object$knotsmat) else compat_best(object)
  for (g in models) {
    cat(sprintf(
      "\n%s: partial log-likelihood %s, %s %s%s\n", names(object$knotsmat)[g],
      format(object$loglik[g], digits = 9), compat_criterion_name(object),
      format(object$info.criterion[g], digits = 9),
      if (isTRUE(g == which.min(object$info.criterion))) " (selected)" else ""
    ))
    if (!is.null(object$covariates)) {
      stats::printCoefmat(compat_covariates(object, g), digits = 4,
                          P.values = TRUE, has.Pvalue = TRUE,
                          signif.stars = FALSE)
    }
  }
  cat("\nStandard errors take the number of knots as known.\n")
  invisible(object)
}

# ---- plot -------------------------------------------------------------------

#' @export
#' @rdname wce_compat
#' @order 9
plot.wce_compat <- function(x, allres = FALSE, ...) {
  selected <- which.min(x$info.criterion)
  models <- if (allres) seq_along(x$knotsmat) else compat_best(x)
  weights <- x$WCEmat[models, , drop = FALSE]
  label <- sprintf("%s, %s %.2f", rownames(weights), compat_criterion_name(x),
                   x$info.criterion[models])
  chosen <- models %in% selected
  label[chosen] <- paste(label[chosen], "(selected)")
  colours <- grDevices::hcl.colors(max(3L, length(models)), "Dark 3")
  lags <- seq_len(ncol(weights))
  finite <- weights[is.finite(weights)]
  graphics::plot(
    range(lags), range(0, finite), type = "n", bty = "l",
    xlab = "Lag (time units before the event; 1 = the unit that ends there)",
    ylab = "Weight (log hazard ratio per unit of dose)",
    main = if (allres) "Estimated weight functions" else label
  )
  graphics::abline(h = 0, col = "grey70")
  for (k in seq_along(models)) {
    graphics::lines(lags, weights[k, ], col = colours[k],
                    lwd = if (chosen[k]) 2.5 else 1.2)
    if (chosen[k]) {
      graphics::points(lags, weights[k, ], col = colours[k], pch = 16,
                       cex = 0.6)
    }
  }
  if (allres) {
    graphics::legend(if (identical(x$constrained, "Left")) "topleft" else
      "topright", legend = label, col = colours[seq_along(models)], lty = 1,
      bty = "n")
  }
  invisible(x)
}
