# What terms that belong together say: a surface over dose and lag, and whether
# the weight functions of groups differ.

#' Effect of a dose, by dose and lag
#'
#' Of a model with `exposure(dose = )`: the log hazard ratio of one time unit of
#' a dose, against none, at a lag; or of the same dose throughout the window; or
#' of any history of doses.
#'
#' @param fit From [wce()] or one of its kin.
#' @param doses Doses, zero or more; for `lag = "all"` the dose at every lag.
#' @param lag Lags, or `"all"`: their sum.
#' @param profile A history of doses, newest first, one per time unit of the
#'   window, or a list of histories; then `doses` and `lag` are not used.
#' @param term Label of the exposure, needed when there are several with
#'   `dose = `.
#' @param level Confidence level.
#' @return A data frame of class `dose_response`: `dose` and `lag`, or
#'   `profile`; `log_hr`, `se`, `hr`, `lower`, `upper`.
#' @section Errors: `vigitensor_error_no_surface` when no exposure has
#'   `dose = `.
#' @seealso [dose_spline()], [plot.dose_response()]
#' @export
#' @examples
#' sim <- simulate_wce(300, days = 200, cutoff = 60, hazard = 4e-3, seed = 1)
#' # overlapping doses add up before their effect is known
#' records <- sim$records[!duplicated(sim$records$person_id), ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex +
#'     exposure("drug", dose = function(x) cbind(x, x^2)),
#'   data = sim$people, id = person_id, records = records, cutoff = 60,
#'   nknots = 0, constrained = "right", engine = "reference"
#' )
#' dose_response(fit, doses = c(0.5, 1, 2))
#' plot(dose_response(fit, doses = 1:3, lag = 1:60))
dose_response <- function(fit, doses = NULL, lag = "all", profile = NULL,
                          term = NULL, level = 0.95) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  check_level(level)
  parts <- surface_terms(fit, term)
  basis <- parts[[1L]]$response
  lags <- parts[[1L]]$lags
  if (!is.null(profile)) {
    histories <- if (is.list(profile)) profile else list(profile)
    short <- lengths(histories) > length(lags)
    if (any(short)) {
      abort_input("`profile` is longer than the window.",
                  x = sprintf("%d doses for %d lags.",
                              length(histories[[which(short)[1L]]]),
                              length(lags)),
                  code = "profile", arg = "profile")
    }
    weights <- lapply(histories, function(x) {
      t(dose_columns(basis, c(x, numeric(length(lags) - length(x)))))
    })
    labels <- names(histories) %||% paste("profile", seq_along(histories))
    return(surface_table(fit, parts, weights, level,
                         data.frame(profile = labels)))
  }
  check_doses(doses, "doses")
  at <- if (identical(lag, "all")) "all" else match(lag, lags)
  if (anyNA(at)) {
    abort_input(sprintf("`lag` must be \"all\" or lags between %s and %s.",
                        format(lags[1L]), format(lags[length(lags)])),
                code = "lag", arg = "lag")
  }
  grid <- expand.grid(dose = as.double(doses), lag = lag,
                      stringsAsFactors = FALSE)
  g <- dose_columns(basis, as.double(doses))
  weights <- lapply(seq_len(nrow(grid)), function(k) {
    row <- (k - 1L) %% length(doses) + 1L
    where <- if (identical(at, "all")) rep(1, length(lags)) else
      as.double(seq_along(lags) == at[(k - 1L) %/% length(doses) + 1L])
    outer(g[row, ], where)
  })
  surface_table(fit, parts, weights, level, grid)
}

# The terms of one surface, in the order of their columns.
surface_terms <- function(fit, term) {
  names <- vapply(fit$exposures, function(e) e$surface %||% NA_character_, "")
  found <- unique(names[!is.na(names)])
  if (length(found) == 0L) {
    abort_input("No exposure of this model has `dose = `.",
                i = "Like `exposure(\"drug\", dose = dose_spline(4))`.",
                code = "no_surface")
  }
  chosen <- if (is.null(term)) found else intersect(term, found)
  if (length(chosen) != 1L) {
    abort_input("`term` must name one exposure with `dose = `.",
                x = sprintf("They are %s.", format_list(found)), arg = "term",
                code = "unknown_term")
  }
  fit$exposures[which(names == chosen)]
}

# weights: for each row of the table a matrix, columns of the dose basis x lags.
surface_table <- function(fit, parts, weights, level, table) {
  index <- unlist(lapply(parts, `[[`, "index"))
  b <- fit$coefficients[index]
  var <- fit$var[index, index, drop = FALSE]
  contrasts <- t(vapply(weights, function(w) {
    unlist(lapply(seq_along(parts), function(k) {
      drop(w[k, ] %*% lag_basis(parts[[k]]))
    }))
  }, numeric(length(index))))
  used <- !is.na(b)
  log_hr <- drop(contrasts[, used, drop = FALSE] %*% b[used])
  # A dropped column makes what it enters unknown.
  unknown <- rowSums(contrasts[, !used, drop = FALSE] != 0) > 0
  log_hr[unknown] <- NA
  se <- contrast_se(contrasts[, used, drop = FALSE],
                    var[used, used, drop = FALSE])
  z <- stats::qnorm((1 + level) / 2)
  structure(
    data.frame(table, log_hr = log_hr, se = se, hr = exp(log_hr),
               lower = exp(log_hr - z * se), upper = exp(log_hr + z * se)),
    level = level, term = parts[[1L]]$surface, unit = fit$unit,
    class = c("dose_response", "data.frame")
  )
}

lag_basis <- function(exposure) {
  if (on_unit_clock(exposure)) return(exposure$basis_matrix)
  abort_input("Surfaces are of the unit clock.",
              i = "Round times to whole units.", code = "no_surface")
}

#' Plot of the effect of a dose
#'
#' With one lag, or the sum over all, a curve by dose with its band; with
#' several lags and doses a surface (`type = "surface"`) or slices: curves by
#' lag, one for each dose.
#'
#' @param x From [dose_response()].
#' @param type `"slices"` or `"surface"`.
#' @param theta,phi Angles of the surface, see [graphics::persp()].
#' @param ... Passed to the plot.
#' @return `x`, invisibly.
#' @export
plot.dose_response <- function(x, type = "slices", theta = 40, phi = 25, ...) {
  type <- check_word(type, c("slices", "surface"), "type")
  if (is.null(x$dose)) {
    abort_input("Histories are not drawn.", i = "Give `doses` and `lag`.",
                code = "no_surface")
  }
  doses <- unique(x$dose)
  lags <- unique(x$lag)
  if (length(lags) == 1L) {
    graphics::plot(doses, x$log_hr, type = "n", bty = "l",
                   ylim = range(log(x$lower), log(x$upper), 0, na.rm = TRUE),
                   xlab = "Dose", ylab = "Log hazard ratio", ...)
    graphics::polygon(c(doses, rev(doses)), log(c(x$lower, rev(x$upper))),
                      col = grDevices::adjustcolor("#0072B2", 0.2),
                      border = NA)
    graphics::abline(h = 0, col = "grey60", lty = 3)
    graphics::lines(doses, x$log_hr, lwd = 2, col = "#0072B2")
    return(invisible(x))
  }
  z <- matrix(x$log_hr, length(doses))
  if (type == "surface") {
    graphics::persp(doses, lags, z, theta = theta, phi = phi, shade = 0.3,
                    col = "#9ecae1", border = NA, ticktype = "detailed",
                    xlab = "Dose", ylab = "Lag", zlab = "Log HR", ...)
    return(invisible(x))
  }
  colours <- grDevices::hcl.colors(length(doses), "viridis", rev = TRUE)
  graphics::matplot(lags, t(z), type = "l", lty = 1, lwd = 2, col = colours,
                    bty = "l", ylab = "Log hazard ratio", xlab = sprintf(
                      "Lag in %s", plural_unit(attr(x, "unit"))
                    ), ...)
  graphics::abline(h = 0, col = "grey60", lty = 3)
  graphics::legend("topright", format(doses, digits = 3), title = "Dose",
                   bty = "n", lwd = 2, col = colours)
  invisible(x)
}

#' Do groups have the same weight function?
#'
#' The Wald test that the terms of `exposure(by = )` have equal coefficients.
#'
#' @param fit From [wce()] or one of its kin, with `by` in [exposure()].
#' @param term Label of the exposure, needed when several have `by`.
#' @return An object of class `htest`: chi-squared statistic, degrees of
#'   freedom, p value.
#' @section Errors: `vigitensor_error_unknown_term` when no term has `by`;
#'   `vigitensor_error_smooth` for a penalised fit, whose coefficients are not
#'   free.
#' @export
#' @examples
#' sim <- simulate_wce(300, days = 200, cutoff = 60, hazard = 4e-3, seed = 1)
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + exposure("drug", by = sex),
#'   data = sim$people, id = person_id, records = sim$records, cutoff = 60,
#'   nknots = 0, constrained = "right", engine = "reference"
#' )
#' equal_weights(fit)
equal_weights <- function(fit, term = NULL) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  if (!is.null(fit$smoothing)) {
    abort_input("Penalised fits have no Wald test of equal weight functions.",
                i = "Use a fit of few knots: `smooth = \"none\"`.",
                code = "smooth", arg = "fit")
  }
  groups <- vapply(fit$exposures, function(e) {
    if (is.null(e$response)) e$group %||% NA_character_ else NA_character_
  }, "")
  found <- unique(groups[!is.na(groups)])
  chosen <- if (is.null(term)) found else intersect(term, found)
  if (length(chosen) != 1L) {
    abort_input("`term` must name one exposure with `by = `.",
                x = if (length(found)) sprintf("They are %s.",
                                               format_list(found)) else
                  "No exposure of this model has it.",
                code = "unknown_term", arg = "term")
  }
  parts <- fit$exposures[which(groups == chosen)]
  index <- lapply(parts, `[[`, "index")
  size <- length(index[[1L]])
  contrast <- matrix(0, 0L, length(fit$coefficients))
  for (other in index[-1L]) {
    rows <- matrix(0, size, ncol(contrast))
    rows[cbind(seq_len(size), other)] <- 1
    rows[cbind(seq_len(size), index[[1L]])] <- -1
    contrast <- rbind(contrast, rows)
  }
  known <- !is.na(fit$coefficients)
  contrast <- contrast[rowSums(contrast[, !known, drop = FALSE] != 0) == 0,
                       known, drop = FALSE]
  gap <- drop(contrast %*% fit$coefficients[known])
  var <- contrast %*% fit$var[known, known] %*% t(contrast)
  statistic <- drop(gap %*% solve(var, gap))
  structure(
    list(statistic = c(`X-squared` = statistic), parameter = c(df = nrow(var)),
         p.value = stats::pchisq(statistic, nrow(var), lower.tail = FALSE),
         method = "Wald test of equal weight functions", data.name = chosen),
    class = "htest"
  )
}
