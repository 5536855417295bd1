# Days of supply from the data themselves, where nobody wrote them down: the
# reverse waiting-time distribution (Stovring, Pottegard, Hallas 2017).
#
# Look back from an index day over a window of length W at the last dispensing
# of each person, r days ago. Of those who go on with treatment, r is a backward
# recurrence time of the renewals, with density S(r) / integral of S over
# (0, W), where S is the survival function of the time between dispensings; of
# those who had stopped, r is uniform. The mixture is fitted by maximum
# likelihood, and the days of supply are a percentile of the time between
# dispensings.

#' Days of supply from waiting times
#'
#' Estimates how long a supply lasts when claims do not say: the time within
#' which a share `level` of those still treated come back. For each drug, the
#' distances from an index day back to the last dispensing of each person are
#' a mixture of people still treated and people who have stopped, fitted by
#' maximum likelihood (the reverse waiting-time distribution).
#'
#' A day counts as its middle, so that a dispensing on the index day is half a
#' day ago. Seasonal or rapidly changing use breaks the model: compare several
#' `end`s.
#'
#' @param dispensings A data frame, or a result of [source_table()], with the id
#'   column, `date` and `drug`.
#' @param id Name of the column that identifies a person, bare or a string.
#' @param level Percentile of the time between dispensings, between 0 and 1.
#' @param window Length of the window, in days; it should be several times the
#'   usual time between dispensings.
#' @param end Index day, of the same kind as `date`; `NULL`: the last date.
#' @param family `"lognormal"` or `"weibull"`: distribution of the time between
#'   dispensings.
#' @param min_people Least number of people with a dispensing in the window for
#'   a drug to be estimated; others get `NA`.
#' @return A data frame of class `waiting_time`, one row per drug: `drug`,
#'   `n_people`, `continuing` (share of people still treated), `location` and
#'   `scale` (mean and standard deviation of the logarithm for
#'   `"lognormal"`; logarithm of the scale, and the shape, for `"weibull"`),
#'   `days` (the percentile, in days, a real number), `converged`.
#' @references Stovring H, Pottegard A, Hallas J (2017). Estimating medication
#'   stopping fraction and real-time prevalence of drug use in
#'   pharmaco-epidemiologic databases. An application of the reverse waiting
#'   time distribution. Pharmacoepidemiology and Drug Safety 26(8), 909-916.
#' @seealso [exposure_episodes()] with `supply = "waiting_time"`.
#' @export
#' @examples
#' # People who come back after about 30 days, give or take.
#' set.seed(1)
#' gaps <- matrix(rlnorm(200 * 30, log(30), 0.3), 200)
#' day <- floor(runif(200, 0, 90) + t(apply(gaps, 1, cumsum)))
#' d <- data.frame(person_id = rep(1:200, 30), date = as.vector(day),
#'                 drug = "a")
#' waiting_time(d[d$date <= 500, ], window = 200)
waiting_time <- function(dispensings, id = "person_id", level = 0.8,
                         window = 365, end = NULL, family = "lognormal",
                         min_people = 30) {
  id <- id_column(rlang::enquo(id), table_columns(dispensings))
  dispensings <- claims_rows(dispensings, "dispensings", id)
  family <- check_word(family, c("lognormal", "weibull"), "family")
  level <- check_number(level, "level", 0)
  if (level <= 0 || level >= 1) {
    abort_input("`level` must lie between 0 and 1.",
                x = sprintf("It is %s.", format(level)), arg = "level",
                code = "level")
  }
  window <- check_integer(window, "window", 2)
  faults <- new_faults()
  columns <- read_claims(faults, dispensings, "dispensings", id = id)
  end <- claims_day(faults, end, "end", columns)
  stop_for_faults(faults)
  end <- end %||% max(columns$date)
  inside <- which(columns$date <= end & columns$date > end - window)
  drugs <- as.character(columns$drug)[inside]
  person <- code_people(columns$person_id)$code[inside]
  ago <- end - columns$date[inside] + 0.5
  # The last dispensing of each person and drug comes first.
  o <- order(drugs, person, ago, method = "radix")
  last <- o[!duplicated(data.frame(drugs, person)[o, ])]
  all_drugs <- sort(unique(as.character(columns$drug)), method = "radix")
  rows <- lapply(all_drugs, function(drug) {
    fit_waiting(ago[last[drugs[last] == drug]], window, level, family,
                min_people)
  })
  structure(
    cbind(data.frame(drug = all_drugs), do.call(rbind, rows)),
    class = c("waiting_time", "data.frame"),
    settings = list(level = level, window = window, family = family)
  )
}

#' @export
print.waiting_time <- function(x, ...) {
  s <- attr(x, "settings")
  if (!is.null(s)) {
    cat_wrapped(sprintf(paste(
      "Days within which %s of those still treated come back (%s,",
      "window of %s days)"
    ), format_level(s$level), s$family, format_count(s$window)))
  }
  print.data.frame(x, digits = 4, row.names = FALSE)
  invisible(x)
}

fit_waiting <- function(ago, window, level, family, min_people) {
  out <- data.frame(n_people = length(ago), continuing = NA_real_,
                    location = NA_real_, scale = NA_real_, days = NA_real_,
                    converged = FALSE)
  if (length(ago) < min_people) return(out)
  minus <- function(p) {
    share <- stats::plogis(p[1L])
    density <- waiting_density(ago, p[2L], exp(p[3L]), window, family)
    value <- -sum(log(share * density + (1 - share) / window))
    if (is.finite(value)) value else 1e10
  }
  # The likelihood can have several hills: the renewals may be fast or slow.
  starts <- lapply(stats::quantile(ago, c(0.3, 0.5, 0.7)), function(q) {
    c(1, log(max(2 * q, 1)), log(0.5))
  })
  fits <- lapply(starts, stats::optim, fn = minus,
                 control = list(maxit = 2000, reltol = 1e-10))
  best <- fits[[which.min(vapply(fits, `[[`, 0, "value"))]]
  out$continuing <- stats::plogis(best$par[1L])
  out$location <- best$par[2L]
  out$scale <- exp(best$par[3L])
  out$days <- switch(
    family,
    lognormal = stats::qlnorm(level, out$location, out$scale),
    weibull = stats::qweibull(level, out$scale, exp(out$location))
  )
  out$converged <- best$convergence == 0L
  out
}

# Backward recurrence density on (0, window): S(r) over its integral, which is
# E(X; X <= window) + window S(window).
waiting_density <- function(r, location, scale, window, family) {
  if (family == "lognormal") {
    survival <- stats::plnorm(c(r, window), location, scale, FALSE)
    below <- exp(location + scale^2 / 2) *
      stats::pnorm((log(window) - location - scale^2) / scale)
  } else {
    survival <- stats::pweibull(c(r, window), scale, exp(location), FALSE)
    below <- exp(location) * gamma(1 + 1 / scale) *
      stats::pgamma((window / exp(location))^scale, 1 + 1 / scale)
  }
  n <- length(r)
  survival[seq_len(n)] / (below + window * survival[n + 1L])
}

# A day given as a setting: of the kind of the tables' dates, or NULL.
claims_day <- function(faults, x, name, columns) {
  if (is.null(x)) return(NULL)
  ok <- (inherits(x, "Date") || is_plain_number(x)) && length(x) == 1L &&
    !is.na(x)
  if (!ok) {
    abort_input(sprintf("`%s` must be one day: a Date or a number.", name),
                x = sprintf("It is %s.", what_is(x)), arg = name, code = name)
  }
  kind <- if (inherits(x, "Date")) "date" else "number"
  given <- unique(unlist(lapply(columns, attr, "kind")))
  if (length(given) && is.finite(x) && !identical(given, kind)) {
    add_fault(faults, "mixed_time",
              sprintf("`%s` must be a %s, as the dates of the tables are.",
                      name, if (kind == "date") "number" else "Date"),
              "Convert one of them, as with `as.Date()`.")
  }
  as.double(x)
}
