# What the terms of a surface over dose and lag say together.

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
