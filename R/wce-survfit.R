# Survival curves of people with a planned dose history.
#
# At the event times t_k of a stratum the hazard of somebody with covariates x_k
# (the features of the doses among them) rises by r_k dL_k, r_k = exp(x_k'b),
# and with H the cumulative hazard
#   var H(t) = sum r_k^2 var(dL_k) + D(t)' V D(t),
#   D(t) = dH(t)/db = sum r_k (x_k - mean_k) dL_k.
# Source: Therneau and Grambsch (2000), Modeling Survival Data, section 10.2.

# Steps of a hazard at event times `at` (positions in base): x, a matrix with a
# row per time, or one vector; features: of the doses, or NULL for no dose.
curve_steps <- function(fit, base, at, x, features = NULL, offset = 0) {
  b <- unname(fit$coefficients)
  b[is.na(b)] <- 0
  if (!is.matrix(x)) x <- matrix(x, length(at), length(x), byrow = TRUE)
  features <- features %||% matrix(0, length(at), length(b) - ncol(x))
  full <- cbind(x, features)
  ratio <- exp(drop(full %*% b) + offset - base$shift[at])
  hazard <- ratio * base$hazard[at]
  list(hazard = hazard, variance = ratio^2 * base$variance[at],
       slope = full * hazard - ratio * base$mean[at, , drop = FALSE])
}

cumulated_steps <- function(steps, fit) {
  slope <- steps$slope
  for (k in seq_len(ncol(slope))) slope[, k] <- cumsum(slope[, k])
  var <- unname(fit$var)
  list(cumhaz = cumsum(steps$hazard),
       std_err = sqrt(cumsum(steps$variance) + row_forms(slope, var)))
}

#' Survival of a person with a planned dose history
#'
#' The curve of somebody whose doses, and perhaps covariates, change on the way
#' as planned in `newdata` and `newrecords`. The exposure evolves with time: at
#' each event time the doses are weighted by how long ago they will then be.
#'
#' Curves of the future say what happens to a person who follows the plan come
#' what may, if the model is right and doses are not changed in answer to the
#' person's health.
#'
#' The standard error takes into account the coefficients and the baseline
#' hazard. For histories that change, [survival::survfit.coxph()] (with `id`)
#' has another one, in which the whole past counts as if the present covariates
#' had always held; here it is the variance of the sum over the path.
#'
#' @param formula A fitted model, from [wce()].
#' @param newdata Data frame: the covariates and the times of follow-up, by the
#'   names in the formula; one row (start, stop] per person, or several that
#'   follow each other in time, told apart by the id column. Without that column
#'   every row is a person. The event is not needed. `NULL`: somebody with
#'   covariates at their means and no dose, one curve per stratum.
#' @param newrecords Their doses: a data frame like `records` of [wce()], with
#'   `start`, `stop`, `dose`, `drug` (not needed with one exposure term) and the
#'   id; without the id it holds for everybody. Or a named list of such data
#'   frames, each a plan: everybody has a curve for each. Doses before the start
#'   of follow-up count. A model of unit rows takes doses from `newdata` if it
#'   has them.
#' @param conf.int Confidence level.
#' @param conf.type `"log"`, `"log-log"`, `"plain"`, or `"none"`.
#' @param se.fit Standard errors?
#' @inheritParams residuals.wce
#' @return An object of classes `survfitwce` and `survfit`, as
#'   [survival::survfit()] gives them, which prints, plots and summarises in
#'   the same way. `time` is the time since the person's start, as in survival;
#'   there is an element for every event time of the stratum in the person's
#'   follow-up. `n.risk` and `n.event` are those of the data of the fit.
#' @seealso [predict.wce()], [hazard_ratio()], [autoplot.survfitwce()]
#' @importFrom survival survfit
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' who <- data.frame(entry = 0, exit = 300, sex = people$sex[1], age = 60)
#' plans <- list(
#'   "no dose" = data.frame(start = 0, stop = 1, dose = 0),
#'   "30 days" = data.frame(start = 0, stop = 30, dose = 1)
#' )
#' curves <- survfit(fit, who, plans)
#' summary(curves, times = c(90, 180))
survfit.wce <- function(formula, newdata = NULL, newrecords = NULL,
                        conf.int = 0.95,
                        conf.type = c("log", "log-log", "plain", "none"),
                        se.fit = TRUE, data = NULL, records = NULL, ...) {
  check_no_more(..., known = c("newdata", "newrecords", "conf.int",
                               "conf.type", "se.fit", "data", "records"))
  fit <- formula
  check_level(conf.int, "conf.int")
  conf.type <- check_word(conf.type, c("log", "log-log", "plain", "none"),
                          "conf.type")
  env <- parent.frame()
  problem <- fit_problem(fit, data, records, env)
  base <- fit_baseline(problem)
  curves <- if (is.null(newdata)) {
    mean_curves(fit, base)
  } else {
    planned_curves(fit, problem, base, newdata, newrecords, env)
  }
  result <- stack_curves(curves, fit, problem$rows, base, se.fit)
  if (se.fit && conf.type != "none") {
    limits <- survival_limits(result$surv, result$std.err, conf.int, conf.type)
    result <- c(result, limits, list(conf.type = conf.type,
                                     conf.int = conf.int))
  }
  result$call <- match.call()
  attr(result, "unit") <- fit$unit
  class(result) <- c("survfitwce", "survfitcox", "survfit")
  result
}

# ---- curves ------------------------------------------------------------------

# One curve: list(at = positions in base, time, steps, stratum).
mean_curves <- function(fit, base) {
  x <- unname(fit$meta$means)
  curves <- lapply(split(seq_along(base$time), base$stratum), function(at) {
    list(at = at, time = base$time[at], steps = curve_steps(fit, base, at, x),
         stratum = base$stratum[at[1L]])
  })
  names(curves) <- fit$meta$strata[as.integer(names(curves))] %||%
    names(curves)
  curves
}

planned_curves <- function(fit, problem, base, newdata, newrecords, env) {
  plans <- newrecords
  if (is.null(plans) || is.data.frame(plans)) plans <- list(plans)
  if (!is.list(plans) || !length(plans)) {
    abort_input(
      "`newrecords` must be a data frame, or a list of them, one per plan.",
      x = sprintf("It is %s.", what_is(newrecords)), arg = "newrecords",
      code = "data_type"
    )
  }
  named <- names(plans) %||% rep("", length(plans))
  if (length(plans) > 1L) named[named == ""] <- which(named == "")
  pieces <- lapply(seq_along(plans), function(k) {
    people <- new_people(fit, newdata, plans[[k]], env)
    check_same_kind(problem, people$kind)
    curves <- person_curves(fit, base, people)
    names(curves) <- if (named[k] == "") people$names else if (
      length(curves) == 1L) named[k] else paste(named[k], people$names)
    curves
  })
  do.call(c, pieces)
}

person_curves <- function(fit, base, people) {
  people$sorted <- order(people$subject, people$start)
  check_one_after_another(people)
  lapply(split(people$sorted, people$subject[people$sorted]), function(rows) {
    pieces <- row_times(base, people, rows)
    at <- unlist(pieces$at)
    row <- rep(rows, lengths(pieces$at))
    features <- history_features(fit, people$terms, people$subject[row],
                                 base$time[at])
    list(at = at, time = unlist(pieces$time),
         steps = curve_steps(fit, base, at, people$x[row, , drop = FALSE],
                             features, people$offset[row]),
         stratum = people$stratum[rows[1L]])
  })
}

# Event times inside each row, and the time since the person's start, in which
# gaps between rows do not count.
row_times <- function(base, people, rows) {
  at <- lapply(rows, function(i) {
    which(base$stratum == people$stratum[i] & base$time > people$start[i] &
            base$time <= people$stop[i])
  })
  length <- people$stop[rows] - people$start[rows]
  before <- cumsum(length) - length
  list(at = at, time = lapply(seq_along(rows), function(k) {
    before[k] + base$time[at[[k]]] - people$start[rows[k]]
  }))
}

check_one_after_another <- function(people) {
  found <- scan_rows(as.integer(people$subject), people$start, people$stop,
                     people$sorted)
  wrong <- sort(unique(c(found$`repeat`, found$overlap)))
  if (length(wrong)) {
    abort_input("Rows of one person in `newdata` must not overlap.",
                x = sprintf("See %s.", format_rows(wrong)),
                i = "Without the id column every row is a person.",
                code = "overlapping_rows", arg = "newdata", rows = wrong)
  }
}

stack_curves <- function(curves, fit, rows, base, se.fit) {
  at <- unlist(lapply(curves, `[[`, "at"), use.names = FALSE)
  if (!length(at)) {
    abort_input("There is no event time in the follow-up of `newdata`.",
                i = "Times are on the clock of the data of the fit.",
                code = "no_event", arg = "newdata")
  }
  sums <- lapply(curves, function(curve) cumulated_steps(curve$steps, fit))
  cumhaz <- unlist(lapply(sums, `[[`, "cumhaz"), use.names = FALSE)
  stratum <- vapply(curves, function(curve) as.integer(curve$stratum), 0L)
  result <- list(
    n = tabulate(rows$stratum, max(rows$stratum))[unname(stratum)],
    time = unlist(lapply(curves, `[[`, "time"), use.names = FALSE),
    n.risk = base$n_risk[at], n.event = base$n_event[at],
    n.censor = numeric(length(at))
  )
  if (length(curves) > 1L) {
    result$strata <- vapply(curves, function(curve) length(curve$at), 0L)
  }
  result$surv <- exp(-cumhaz)
  result$cumhaz <- cumhaz
  if (se.fit) {
    result$std.err <- unlist(lapply(sums, `[[`, "std_err"), use.names = FALSE)
    result$logse <- TRUE
    result$std.chaz <- result$std.err
  }
  result
}

# std_err: of the cumulative hazard.
survival_limits <- function(surv, std_err, level, type) {
  z <- stats::qnorm((1 + level) / 2)
  limits <- switch(type,
    plain = list(lower = surv - z * std_err * surv,
                 upper = surv + z * std_err * surv),
    log = list(lower = surv * exp(-z * std_err),
               upper = surv * exp(z * std_err)),
    "log-log" = {
      cumhaz <- -log(surv)
      reach <- exp(z * std_err / cumhaz)
      list(lower = exp(-cumhaz * reach), upper = exp(-cumhaz / reach))
    }
  )
  lapply(limits, function(x) pmin(pmax(x, 0), 1))
}
