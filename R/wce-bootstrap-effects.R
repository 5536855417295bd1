# Weight functions, hazard ratios, total effects and peaks from a bootstrap.
#
# All are linear in the spline coefficients of one replicate, whatever its knots
# and cutoff: contrasts are made for each row of the grid that a replicate
# chose, so that replicates with different splines are compared as curves.

# nolint start: object_name_linter. The generics are in other files.

#' @rdname weight_function
#' @export
weight_function.bootstrap_wce <- function(fit, term = NULL, level = 0.95,
                                          band = "pointwise",
                                          type = "percentile", ...) {
  check_no_more(..., known = c("term", "level", "band", "type"))
  check_level(level)
  band <- check_word(band, bands, "band")
  type <- check_word(type, interval_types, "type")
  model <- fit$fit
  terms <- if (is.null(term)) seq_along(model$exposures) else {
    find_term(model, term)
  }
  pieces <- lapply(terms, function(k) {
    curve <- bootstrap_curve(fit, k)
    ends <- if (band == "simultaneous") {
      whole_curve_band(curve, level)
    } else {
      bootstrap_interval(curve$estimate, curve$t, level, type,
                         if (type == "bca") curve$acceleration())
    }
    piece <- data.frame(lag = curve$lags, weight = curve$estimate,
                        se = column_sd(curve$t), lower = ends[, 1L],
                        upper = ends[, 2L])
    piece[!curve$estimable, -1L] <- NA
    structure(piece, critical = attr(ends, "critical"))
  })
  new_weight_function(pieces, model, terms, level, band, type,
                      replicates = sum(fit$converged))
}

# The quantile of the largest standardised error along the curve. Points that
# all replicates agree on are known exactly.
whole_curve_band <- function(curve, level) {
  se <- column_sd(curve$t)
  moving <- curve$estimable & se > 0
  error <- abs(curve$t - rep(curve$estimate, each = nrow(curve$t)))
  critical <- if (any(moving)) {
    largest <- apply(error[, moving, drop = FALSE] /
                       rep(se[moving], each = nrow(error)), 1L, max)
    stats::quantile(largest, level, names = FALSE, type = 6L)
  } else {
    NA_real_
  }
  reach <- ifelse(se == 0, 0, critical * se)
  structure(cbind(lower = curve$estimate - reach,
                  upper = curve$estimate + reach), critical = critical)
}

#' @rdname hazard_ratio
#' @export
hazard_ratio.bootstrap_wce <- function(fit, profile, reference = 0,
                                       level = 0.95, at = NULL, term = NULL,
                                       type = "percentile", ...) {
  check_no_more(..., known = c("profile", "reference", "level", "at", "term",
                               "type"))
  check_level(level)
  type <- check_word(type, interval_types, "type")
  model <- fit$fit
  exposure <- one_exposure(model, term)
  k <- match(exposure$label, exposure_labels(model))
  check_histories(exposure, profile, reference, at)
  longest <- longest_cutoff(fit, k)
  compare <- function(one) {
    # Doses beyond the cutoff of this spline are legal where another's reaches.
    one$cutoff <- longest
    compare_histories(one, profile, reference, at)
  }
  own <- compare(exposure)
  check_estimable(own$difference, term_estimate(model, exposure), exposure,
                  model$unit)
  effect <- bootstrap_contrasts(fit, k, function(one) compare(one)$contrasts)
  ends <- bootstrap_interval(effect$estimate, effect$t, level, type,
                             if (type == "bca") effect$acceleration())
  new_hazard_ratio(own$labels, effect$estimate, column_sd(effect$t), ends[, 1L],
                   ends[, 2L], exposure, level, type, sum(fit$converged))
}

#' @rdname total_effect
#' @export
total_effect.bootstrap_wce <- function(fit, term = NULL, level = 0.95, dose = 1,
                                       type = "percentile", ...) {
  check_no_more(..., known = c("term", "level", "dose", "type"))
  total_effects_of(exposure_labels(fit$fit), term, level, dose, type,
                   function(doses, k) {
                     hazard_ratio(fit, doses, level = level, term = k,
                                  type = type)
                   })
}

#' @rdname total_effect
#' @export
peak_time.bootstrap_wce <- function(fit, term = NULL, level = 0.95, ...) {
  check_no_more(..., known = c("term", "level"))
  check_level(level)
  labels <- exposure_labels(fit$fit)
  terms <- if (is.null(term)) seq_along(labels) else find_label(labels, term)
  tables <- lapply(terms, function(k) {
    curve <- bootstrap_curve(fit, k)
    peak_row(labels[k], curve$lags, curve$estimate, curve$t, curve$estimable,
             level)
  })
  structure(do.call(rbind, tables), level = level, type = "percentile",
            replicates = sum(fit$converged))
}

# nolint end

# ---- replicates of linear effects -------------------------------------------

# contrasts_of: function of an exposure (of one row of the grid) -> effects x J.
# Value: list(estimate, t = B x effects, acceleration = function()).
bootstrap_contrasts <- function(b, k, contrasts_of) {
  model <- b$fit
  exposure <- model$exposures[[k]]
  own <- contrasts_of(exposure)
  t <- good_replicates(b)
  effect <- if (!isTRUE(b$reselect)) {
    t[, exposure$index, drop = FALSE] %*% t(own)
  } else {
    row <- b$row[b$converged]
    out <- matrix(0, nrow(t), nrow(own))
    for (g in unique(row)) {
      chosen <- exposure_of_row(model, k, g)
      mine <- which(row == g)
      out[mine, ] <- t[mine, chosen$index, drop = FALSE] %*%
        t(contrasts_of(chosen))
    }
    out
  }
  list(
    estimate = drop(own %*% term_estimate(model, exposure)$b), t = effect,
    acceleration = function() {
      contrast_acceleration(b$influence, k, exposure$index, own)
    }
  )
}

exposure_of_row <- function(model, k, row) {
  term <- model$grid[[k]]
  utils::modifyList(term[names(term) != "choices"], term$choices[[row]])
}

longest_cutoff <- function(b, k) max(reselected(b, k, "cutoff"))

# A setting of the term over the rows of the grid that replicates chose from.
reselected <- function(b, k, name) {
  if (!isTRUE(b$reselect)) return(b$fit$exposures[[k]][[name]])
  vapply(b$fit$grid[[k]]$choices, `[[`, 0, name)
}

# The curve of term k at the lags of the longest cutoff, its replicates, and
# where it can be estimated.
bootstrap_curve <- function(b, k) {
  exposure <- b$fit$exposures[[k]]
  widest <- if (isTRUE(b$reselect)) {
    exposure_of_row(b$fit, k, which.max(reselected(b, k, "cutoff")))
  } else {
    exposure
  }
  lags <- widest$lags
  curve <- bootstrap_contrasts(b, k, function(one) basis_at(one, lags))
  known <- term_estimate(b$fit, exposure)
  estimable <- widest$covered
  own <- match(exposure$lags, lags)
  estimable[own[!is.na(own)]] <- known$estimable[!is.na(own)]
  c(curve, list(lags = lags, estimable = estimable))
}

# The basis at given lags, zero beyond the cutoff.
basis_at <- function(exposure, lags) {
  own <- match(lags, exposure$lags)
  if (!anyNA(own)) return(plain_basis(exposure)[own, , drop = FALSE])
  basis <- matrix(0, length(lags), ncol(exposure$basis_matrix))
  if (on_unit_clock(exposure)) {
    basis[!is.na(own), ] <- plain_basis(exposure)[own[!is.na(own)], ]
    return(basis)
  }
  inside <- lags <= exposure$cutoff
  columns <- smooth_basis(
    exposure$cutoff - exposure$lag_in, exposure$knots, exposure$constrained,
    exposure$order, lags[inside] - exposure$lag_in
  )
  turn <- exposure$transform
  basis[inside, ] <- if (is.null(turn)) columns else columns %*% turn
  basis
}
