# Residuals and the baseline hazard of a fitted model, by person or by row.

#' Residuals of a weighted cumulative exposure model
#'
#' Those of [survival::residuals.coxph()] on data with a row for every person
#' and event time, added up by person (or by row of the data), without ever
#' writing these rows out.
#'
#' A fit holds no data: they are looked up by the names in its call, or given
#' again. If they have changed since, that is an error.
#'
#' For sets of cases and controls ([wce_case_control()]) `"martingale"` is the
#' number of cases less what the model expects of the row, and what is added up
#' by "subject" is the set; for [wce_self_controlled()] and [wce_poisson()] it
#' is the person.
#'
#' @param object A fitted model, from [wce()] or its other designs.
#' @param type `"martingale"`: events less expected events. `"deviance"`: these,
#'   made more symmetric. `"score"`: the share in the score, per coefficient.
#'   `"dfbeta"`: about the change of the coefficients when the person is left
#'   out (with the opposite sign; see [influence.wce()]); `"dfbetas"`: in
#'   standard errors. `"schoenfeld"`, `"scaledsch"`: one row per event, see
#'   [ph_check()].
#' @param by `"subject"`: one per person; `"row"`: one per row of `data`. Not
#'   for the Schoenfeld kinds.
#' @param weighted Multiply by the case weights? By default for `"dfbeta"` and
#'   `"dfbetas"` only.
#' @param data,records The data of the fit; `NULL`: as its call names them.
#' @param ... Not used; a further argument is an error.
#' @return A vector (`"martingale"`, `"deviance"`) or a matrix with a column per
#'   coefficient (`NA` where it was dropped as collinear); elements or rows are
#'   named by the ids of the people, or with `by = "row"` by row numbers. A row
#'   of the data with weight zero has `NA`. For the Schoenfeld kinds the rows
#'   are events, sorted by stratum and time, and named by their times;
#'   attributes `strata` (number of events of each stratum) and `id`.
#' @section Errors: `vigitensor_error_data_missing`,
#'   `vigitensor_error_data_changed`.
#' @seealso [influence.wce()], [baseline_hazard()], [ph_check()]
#' @importFrom stats residuals
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' summary(residuals(fit))
#' dim(residuals(fit, "dfbeta"))
residuals.wce <- function(object,
                          type = c("martingale", "deviance", "score", "dfbeta",
                                   "dfbetas", "schoenfeld", "scaledsch"),
                          by = c("subject", "row"), weighted = NULL,
                          data = NULL, records = NULL, ...) {
  check_no_more(..., known = c("type", "by", "weighted", "data", "records"))
  type <- check_word(type, eval(formals(residuals.wce)$type), "type")
  by <- check_word(by, c("subject", "row"), "by")
  weighted <- weighted %||% (type %in% c("dfbeta", "dfbetas"))
  if (!rlang::is_bool(weighted)) {
    abort_input("`weighted` must be TRUE or FALSE.", arg = "weighted",
                x = sprintf("It is %s.", what_is(weighted)))
  }
  store <- store_of_fit(object, data, parent.frame())
  if (!is.null(store)) {
    if (by == "row" || type %in% c("schoenfeld", "scaledsch")) {
      abort_store_rows("Residuals by row, and those of events, need")
    }
    again <- wce_store_again(object, store, parent.frame())
    return(residuals_of_store(again, type, weighted))
  }
  if (!is.null(object$model)) {
    return(residuals_of_rows(object, type, by, data, records, parent.frame()))
  }
  problem <- fit_problem(object, data, records, parent.frame())
  if (type %in% c("schoenfeld", "scaledsch")) {
    return(wce_schoenfeld(object, problem, type, weighted))
  }
  found <- problem_scores(problem, weighted, by)
  if (type == "martingale") return(found$martingale)
  if (type == "deviance") return(deviance_residuals(found))
  changed_coefficients(object, found$score, type)
}

# type: "score", "dfbeta" or "dfbetas".
changed_coefficients <- function(fit, score, type) {
  var <- model_variance(fit)
  if (type == "dfbetas") {
    size <- sqrt(diag(var))
    var <- var %*% diag(ifelse(size > 0, 1 / size, 0), length(size))
  }
  if (type != "score") score[] <- score %*% var
  score[, is.na(fit$coefficients)] <- NA
  score
}

# Score and martingale residuals and numbers of events, named, by person or by
# row of the data.
problem_scores <- function(problem, weighted, by) {
  rows <- problem$rows
  if (by == "row") rows <- unjoined_rows(problem)
  found <- wce_scores_impl(rows, problem$terms, problem$tables,
                           problem$coefficients, problem$ties, problem$engine,
                           weighted, by)
  weight <- if (weighted) rows$weight else 1
  names <- problem$ids
  score <- matrix(found$score, ncol = length(problem$coefficients))
  martingale <- as.vector(found$martingale)
  if (weighted || by == "row" || all(rows$weight == 1)) {
    check_same_score(problem, if (weighted || by == "subject") score else
      score * rows$weight)
  }
  if (by == "subject") {
    sums <- rowsum(rows$event * weight, rows$subject)
    events <- numeric(length(names))
    events[as.integer(rownames(sums))] <- sums
    # Nobody is left of these but their doses.
    gone <- which(tabulate(rows$subject, length(names)) == 0L)
    score[gone, ] <- NA
    martingale[gone] <- NA
  } else {
    names <- seq_along(problem$people$start)
    at <- match(names, rows$kept)
    events <- (rows$event * weight)[at]
    score <- score[at, , drop = FALSE]
    martingale <- martingale[at]
  }
  dimnames(score) <- list(names, names(problem$coefficients))
  list(score = score, martingale = stats::setNames(martingale, names),
       events = events)
}

deviance_residuals <- function(found) {
  deviance_of(found$martingale, found$events)
}

wce_schoenfeld <- function(fit, problem, type, weighted) {
  base <- fit_baseline(problem, residuals = TRUE)
  residual <- base$schoenfeld
  row <- base$row
  if (weighted) residual <- residual * problem$rows$weight[row]
  if (type == "scaledsch") {
    b <- fit$coefficients
    b[is.na(b)] <- 0
    residual <- residual %*% model_variance(fit) * length(row)
    residual <- sweep(residual, 2L, b, `+`)
  }
  residual[, is.na(fit$coefficients)] <- NA
  dimnames(residual) <- list(problem$rows$stop[row], names(fit$coefficients))
  strata <- fit$meta$strata
  if (!is.null(strata)) {
    attr(residual, "strata") <- table(factor(
      strata[problem$rows$stratum[row]], levels = strata
    ))
  }
  attr(residual, "id") <- problem$ids[problem$rows$subject[row]]
  residual
}

# ---- baseline hazard ---------------------------------------------------------

#' Baseline hazard of a weighted cumulative exposure model
#'
#' The cumulative hazard of somebody who never had a dose, at all event times.
#' It is what [survival::basehaz()], which takes models of `coxph()` only, gives
#' on data with a row for every person and event time.
#'
#' @param fit A fitted model, from [wce()].
#' @param centered `TRUE`: covariates at their means over the rows of the model;
#'   `FALSE`: covariates zero.
#' @inheritParams residuals.wce
#' @return A data frame with a row per event time (and stratum): `hazard` (the
#'   cumulative hazard), `time`, `std.err` (its standard error), `n.risk`,
#'   `n.event` (weighted), and, if there are several, `strata`.
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' tail(baseline_hazard(fit), 3)
baseline_hazard <- function(fit, centered = TRUE, data = NULL, records = NULL) {
  if (!rlang::is_bool(centered)) {
    abort_input("`centered` must be TRUE or FALSE.", arg = "centered",
                x = sprintf("It is %s.", what_is(centered)))
  }
  problem <- fit_problem(fit, data, records, parent.frame())
  base <- fit_baseline(problem)
  strata <- fit$meta$strata
  z <- if (centered) unname(fit$meta$means) else {
    numeric(ncol(problem$rows$x))
  }
  pieces <- lapply(split(seq_along(base$time), base$stratum), function(at) {
    steps <- curve_steps(fit, base, at, z)
    sums <- cumulated_steps(steps, fit)
    data.frame(hazard = sums$cumhaz, time = base$time[at],
               std.err = sums$std_err, n.risk = base$n_risk[at],
               n.event = base$n_event[at])
  })
  result <- do.call(rbind, unname(pieces))
  if (!is.null(strata)) {
    result$strata <- factor(strata[base$stratum], levels = strata)
  }
  result
}
