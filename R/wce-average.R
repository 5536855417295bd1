# Averages over the fits of a grid, as curves.
#
# With Akaike or BIC weights p_k and curves c_k (zero beyond their cutoff) with
# covariances V_k, the average is sum p_k c_k and its covariance
#   sum p_k (V_k + (c_k - c)(c_k - c)'),
# within and between models (Buckland, Burnham and Augustin 1997; Burnham and
# Anderson 2004).

#' Average the fits of a grid
#'
#' A call of [wce()] with several `cutoff` or `nknots` chooses one of them, and
#' its standard errors are those of a choice that was known beforehand.
#' `model_average()` takes all of them, each with a weight, proportional to
#' \eqn{\exp(-\Delta/2)} with \eqn{\Delta} its criterion above the smallest.
#' Curves are averaged lag by lag (a curve is zero beyond its own cutoff), and
#' the variance has the differences between the models in it. Works for fits
#' with and without a penalty.
#'
#' [weight_function()], [hazard_ratio()], [total_effect()], `plot()` and
#' `tidy()` of a weight function answer as for a fit.
#'
#' @param fit A fitted model, from [wce()] with a grid.
#' @param criterion `"aic"` or `"bic"`; `NULL`: that of the fit.
#' @return An object of class `wce_average`: `fit`, `criterion`, and `table`,
#'   the selection table of the fits that converged, with their `delta` and
#'   `probability`, which add up to 1.
#' @references Buckland ST, Burnham KP, Augustin NH (1997). Model selection: an
#'   integral part of inference. Biometrics 53(2), 603-618.
#'
#'   Burnham KP, Anderson DR (2004). Multimodel inference. Sociological Methods
#'   and Research 33(2), 261-304. \doi{10.1177/0049124104268644}
#' @seealso [by_cutoff()], [refit()]
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = c(60, 90), nknots = 1:2,
#'   constrained = "right", engine = "reference"
#' )
#' averaged <- model_average(fit)
#' averaged
#' head(weight_function(averaged))
model_average <- function(fit, criterion = NULL) {
  check_is_wce(fit)
  criterion <- check_word(criterion %||% fit$criterion, c("aic", "bic"),
                          "criterion")
  table <- fit$selection
  table$row <- seq_len(nrow(table))
  table <- table[table$converged & is.finite(table[[criterion]]), ,
                 drop = FALSE]
  if (nrow(table) == 0L) {
    abort_input("No fit of the grid converged.", arg = "fit",
                code = "not_converged")
  }
  table$delta <- table[[criterion]] - min(table[[criterion]])
  table$probability <- exp(-table$delta / 2) / sum(exp(-table$delta / 2))
  structure(list(fit = fit, criterion = criterion, table = table),
            class = "wce_average")
}

# Effects that are linear in the coefficients of each fit. contrasts_of:
# function of an exposure -> effects x J. Value: list(estimate, var).
averaged_effects <- function(average, k, contrasts_of) {
  table <- average$table
  # The rest changes no digit that anybody reads.
  table <- table[table$probability > 1e-8, , drop = FALSE]
  parts <- lapply(table$row, function(row) {
    fit <- select_fit(average$fit, row)
    exposure <- fit$exposures[[k]]
    known <- term_estimate(fit, exposure)
    contrasts <- contrasts_of(exposure)
    list(estimate = drop(contrasts %*% known$b),
         var = contrasts %*% known$var %*% t(contrasts))
  })
  p <- table$probability / sum(table$probability)
  estimate <- Reduce(`+`, Map(function(x, w) w * x$estimate, parts, p))
  var <- Reduce(`+`, Map(function(x, w) {
    w * (x$var + tcrossprod(x$estimate - estimate))
  }, parts, p))
  list(estimate = estimate, var = var)
}

# The term with the longest cutoff, whose lags the average has.
widest_term <- function(average, k) {
  choices <- average$fit$grid[[k]]$choices[average$table$row]
  cutoffs <- vapply(choices, `[[`, 0, "cutoff")
  exposure_of_row(average$fit, k, average$table$row[which.max(cutoffs)])
}

# nolint start: object_name_linter. The generics are in other files.

#' @rdname weight_function
#' @export
weight_function.wce_average <- function(fit, term = NULL, level = 0.95,
                                        band = "pointwise", seed = 1L, ...) {
  check_no_more(..., known = c("term", "level", "band", "seed"))
  check_level(level)
  band <- check_word(band, bands, "band")
  model <- fit$fit
  terms <- if (is.null(term)) seq_along(model$exposures) else {
    find_term(model, term)
  }
  pieces <- lapply(terms, function(k) {
    averaged_weights(fit, widest_term(fit, k), k, level, band, seed)
  })
  new_weight_function(pieces, model, terms, level, band, "averaged")
}

averaged_weights <- function(average, widest, k, level, band, seed) {
  lags <- widest$lags
  found <- averaged_effects(average, k, function(one) basis_at(one, lags))
  se <- sqrt(pmax(0, diag(found$var)))
  # Rounding in the splines is no uncertainty.
  se[se < 1e-9 * max(se)] <- 0
  ok <- widest$covered
  critical <- if (band == "pointwise") stats::qnorm((1 + level) / 2) else {
    moving <- which(ok & se > 0)
    # Every other lag of a smooth curve will do.
    moving <- moving[seq(1L, length(moving), by = max(1, length(moving) %/%
                                                        120))]
    simultaneous_critical(diag(length(moving)),
                          found$var[moving, moving, drop = FALSE], level, seed)
  }
  reach <- ifelse(se == 0, 0, critical * se)
  piece <- data.frame(lag = lags, weight = found$estimate, se = se,
                      lower = found$estimate - reach,
                      upper = found$estimate + reach)
  piece[!ok, -1L] <- NA
  structure(piece, critical = critical)
}

#' @rdname hazard_ratio
#' @export
hazard_ratio.wce_average <- function(fit, profile, reference = 0, level = 0.95,
                                     at = NULL, term = NULL, ...) {
  check_no_more(..., known = c("profile", "reference", "level", "at", "term"))
  check_level(level)
  model <- fit$fit
  exposure <- one_exposure(model, term)
  k <- match(exposure$label, exposure_labels(model))
  check_histories(exposure, profile, reference, at)
  widest <- widest_term(fit, k)
  compare <- function(one) {
    # Doses beyond the cutoff of this fit are legal where another's reaches.
    one$cutoff <- widest$cutoff
    compare_histories(one, profile, reference, at)
  }
  own <- compare(widest)
  check_estimable(own$difference, list(covered = widest$covered,
                                       estimable = widest$covered), widest,
                  model$unit)
  found <- averaged_effects(fit, k, function(one) compare(one)$contrasts)
  se <- sqrt(pmax(0, diag(found$var)))
  reach <- stats::qnorm((1 + level) / 2) * se
  new_hazard_ratio(own$labels, found$estimate, se, found$estimate - reach,
                   found$estimate + reach, widest, level, "averaged")
}

#' @rdname total_effect
#' @export
total_effect.wce_average <- function(fit, term = NULL, level = 0.95, dose = 1,
                                     ...) {
  check_no_more(..., known = c("term", "level", "dose"))
  total_effects_of(exposure_labels(fit$fit), term, level, dose, "averaged",
                   function(doses, k) {
                     hazard_ratio(fit, doses, level = level, term = k)
                   })
}

#' @rdname model_average
#' @param x An average.
#' @param ... Not used; of `plot()`, as in [plot.weight_function()].
#' @export
print.wce_average <- function(x, ...) {
  cat(sprintf("Average of %s by %s\n", count_of(nrow(x$table), "fit"),
              toupper(x$criterion)))
  shown <- x$table[order(-x$table$probability), c(
    if (several_cutoffs(x$table)) "cutoff", "nknots", "df", x$criterion,
    "probability"
  ), drop = FALSE]
  some <- utils::head(shown, 10L)
  some$df <- vapply(some$df, format_df, "")
  some[[x$criterion]] <- formatC(some[[x$criterion]], digits = 2L, format = "f")
  some$probability <- formatC(some$probability, digits = 3L, format = "f")
  print(some, row.names = FALSE)
  if (nrow(shown) > nrow(some)) {
    cat(sprintf("... and %s.\n", count_of(nrow(shown) - nrow(some), "other")))
  }
  total <- total_effect(x)
  cat("\nDose 1 at all lags against none\n")
  total <- as.data.frame(total)
  for (k in seq_len(nrow(total))) {
    cat_wrapped(total$term[k], ": ", if (is.na(total$hr[k])) {
      "not estimable"
    } else {
      format_interval(total$hr[k], total$lower[k], total$upper[k], 0.95)
    }, indent = 2L, exdent = 4L)
  }
  invisible(x)
}

#' @rdname model_average
#' @param term,level,band As in [weight_function()]; `band` may be both.
#' @export
plot.wce_average <- function(x, term = NULL, level = 0.95,
                             band = c("pointwise", "simultaneous"), ...) {
  drawn <- banded_weights(x, term, level, band)
  model <- x$fit
  terms <- if (is.null(term)) seq_along(model$exposures) else {
    find_term(model, term)
  }
  look <- list(...)
  named <- intersect(names(look), c("xlab", "ylab", "main", "xlim", "ylim",
                                    "col"))
  panel <- look[named]
  panel$col <- panel$col %||% wce_colours[["line"]]
  panel$dots <- look[setdiff(names(look), named)]
  # The curves that count, thin, behind their average.
  rows <- x$table$row[x$table$probability > 0.01]
  curves <- lapply(terms, function(k) {
    widest <- widest_term(x, k)
    found <- vapply(rows, function(row) {
      fit <- select_fit(model, row)
      one <- fit$exposures[[k]]
      drop(basis_at(one, widest$lags) %*% term_estimate(fit, one)$b)
    }, numeric(length(widest$lags)))
    found[!widest$covered, ] <- NA
    found
  })
  draw_curves(drawn, model$unit, panel, curves)
  invisible(drawn)
}

# nolint end
