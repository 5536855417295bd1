# Two numbers that sum up a weight function: the effect of a constant dose, and
# the lag at which a dose matters most.

#' Total effect of an exposure, and the lag of its peak
#'
#' `total_effect()` is the hazard ratio of a constant dose at every lag of the
#' window against no dose: the sum of the weight function times the dose.
#'
#' `peak_time()` is the lag at which a dose matters most: where the weight is
#' largest in absolute value, so that a protective effect has a peak too. Of
#' several such lags it is the shortest. Its interval is made of percentiles of
#' the peaks of the [bootstrap()]'s curves; of a fit, of curves drawn from the
#' normal distribution of its coefficients. A peak is not a smooth function of
#' the data, and curves that are flat, or rise towards an end of the window,
#' have peaks all over: look at the weight function first.
#'
#' @inheritParams weight_function
#' @param dose Dose per time unit, one or more positive numbers.
#' @param n Number of curves drawn.
#' @return Data frames with a row per term (and dose); where the data do not
#'   cover the whole window, numbers are `NA` in `total_effect()`, and
#'   `peak_time()` looks at the covered lags.
#' * `total_effect()`: of class `hazard_ratio`, with columns `term`, `dose`,
#'   `log_hr`, `se`, `hr`, `lower`, `upper`.
#' * `peak_time()`: `term`, `lag`, `weight` (at that lag), `lower`, `upper` (of
#'   the lag).
#' @seealso [weight_function()], [hazard_ratio()]
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' total_effect(fit)
#' peak_time(fit)
total_effect <- function(fit, ...) UseMethod("total_effect")

#' @rdname total_effect
#' @export
peak_time <- function(fit, ...) UseMethod("peak_time")

#' @export
total_effect.default <- function(fit, ...) stop_not_wce(fit)

#' @export
peak_time.default <- function(fit, ...) stop_not_wce(fit)

#' @rdname total_effect
#' @export
total_effect.wce <- function(fit, term = NULL, level = 0.95, dose = 1, ...) {
  check_no_more(..., known = c("term", "level", "dose"))
  total_effects_of(exposure_labels(fit), term, level, dose, "wald",
                   function(doses, k) {
                     hazard_ratio(fit, doses, level = level, term = k)
                   })
}

# ratio: function(doses, term) -> what hazard_ratio() gives.
total_effects_of <- function(labels, term, level, dose, type, ratio) {
  check_level(level)
  check_doses(dose, "dose")
  doses <- as.list(as.double(dose))
  terms <- if (is.null(term)) seq_along(labels) else {
    find_label(labels, term)
  }
  tables <- lapply(terms, function(k) {
    found <- tryCatch(
      ratio(doses, k),
      vigitensor_error_uncovered_lags = function(e) NULL,
      vigitensor_error_not_estimable = function(e) NULL
    )
    numbers <- c("log_hr", "se", "hr", "lower", "upper")
    table <- data.frame(term = labels[k], dose = unlist(doses))
    table[numbers] <- if (is.null(found)) NA_real_ else found[numbers]
    structure(table, replicates = attr(found, "replicates"),
              measure = attr(found, "measure"))
  })
  structure(do.call(rbind, tables), level = level, type = type,
            measure = attr(tables[[1L]], "measure"),
            replicates = attr(tables[[1L]], "replicates"),
            term = if (length(terms) == 1L) labels[terms],
            class = c("hazard_ratio", "data.frame"))
}

#' @rdname total_effect
#' @export
peak_time.wce <- function(fit, term = NULL, level = 0.95, n = 4000L, seed = 1L,
                          ...) {
  check_no_more(..., known = c("term", "level", "n", "seed"))
  check_level(level)
  n <- check_integer(n, "n", 2)
  labels <- exposure_labels(fit)
  terms <- if (is.null(term)) seq_along(labels) else find_term(fit, term)
  tables <- lapply(terms, function(k) {
    exposure <- fit$exposures[[k]]
    known <- term_estimate(fit, exposure)
    curves <- known$b + with_random_seed(seed, normal_draws(n, known$var))
    peak_row(labels[k], exposure$lags, drop(known$basis %*% known$b),
             t(known$basis %*% curves), known$estimable, level)
  })
  structure(do.call(rbind, tables), level = level, type = "wald")
}

# Columns are draws from a normal distribution that may be degenerate.
normal_draws <- function(n, var) {
  scale <- sqrt(diag(var))
  used <- scale > 0
  draws <- matrix(0, nrow(var), n)
  if (!any(used)) return(draws)
  correlation <- stats::cov2cor(var[used, used, drop = FALSE])
  root <- suppressWarnings(chol(correlation, pivot = TRUE))
  rank <- attr(root, "rank")
  root <- root[seq_len(rank), order(attr(root, "pivot")), drop = FALSE]
  z <- matrix(stats::rnorm(n * rank), rank)
  draws[used, ] <- scale[used] * crossprod(root, z)
  draws
}

# weight: the estimated curve; curves: draws x lags.
peak_row <- function(label, lags, weight, curves, estimable, level) {
  if (!any(estimable)) {
    return(data.frame(term = label, lag = NA_real_, weight = NA_real_,
                      lower = NA_real_, upper = NA_real_))
  }
  lags <- as.double(lags[estimable])
  weight <- weight[estimable]
  size <- abs(curves[, estimable, drop = FALSE])
  at <- which.max(abs(weight))
  peaks <- lags[max.col(size, ties.method = "first")]
  # An order statistic, so that the ends are lags.
  ends <- stats::quantile(peaks, c(1 - level, 1 + level) / 2, names = FALSE,
                          type = 1L)
  data.frame(term = label, lag = lags[at], weight = weight[at],
             lower = ends[1L], upper = ends[2L])
}
