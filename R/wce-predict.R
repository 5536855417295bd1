# Predictions of a fitted model.

#' Predictions from a weighted cumulative exposure model
#'
#' Linear predictors, relative risks, the contributions of the terms, expected
#' numbers of events and survival, of the people of the fit or of new ones,
#' whose dose histories come as records (or as unit rows).
#'
#' @section Time and doses:
#' The effect of a dose depends on how long ago it was, so that a linear
#' predictor is that of one time: the end of each row of the data, or `at`.
#' Expected events and survival are over the whole row (start, stop], in which
#' the doses age.
#'
#' @section Reference:
#' Relative risks compare with somebody who never had a dose, with covariates at
#' their means over the rows of the model (`reference = "sample"`), or all zero
#' (`"zero"`). [predict.coxph()][survival::predict.coxph()] centres by stratum
#' when there are strata, and exposures at their means too, which describes no
#' history that a person can have. Offsets are added as they are.
#'
#' Of [wce_case_control()] there are `"lp"` and `"risk"` of the rows of the fit:
#' without sets they are the log odds and the odds of a row.
#'
#' @param object A fitted model, from [wce()].
#' @param newdata Data frame of covariates, and of times where they are needed,
#'   by the names in the formula. `NULL`: the data of the fit, row by row.
#'   People are told apart by the id column; without it every row is a person.
#' @param newrecords Their doses, a data frame like `records` of [wce()];
#'   without the id column it holds for everybody. A table of no rows: nobody
#'   had a dose. See [survfit.wce()].
#' @param type `"lp"`: the linear predictor; `"risk"`: its exponential;
#'   `"terms"`: a matrix with the part of every term; `"expected"`: the number
#'   of events expected in (start, stop]; `"survival"`: the probability of none.
#' @param se.fit Standard errors too? That of `"risk"` is risk times that of the
#'   linear predictor (survival has the root of the risk).
#' @param at Time of `"lp"`, `"risk"` and `"terms"`: one, or one per row.
#'   `NULL`: the end of each row.
#' @param reference See Reference. Expected events and survival have none.
#' @inheritParams residuals.wce
#' @return A vector or, for `"terms"`, a matrix with attribute `constant` (what
#'   centring took off), named by row. With `se.fit` a list of `fit` and
#'   `se.fit`.
#' @seealso [survfit.wce()] for whole curves, [hazard_ratio()] for histories
#'   against each other.
#' @importFrom stats predict
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' who <- data.frame(sex = people$sex[1], age = 60)
#' course <- data.frame(start = 0, stop = 30, dose = 1)
#' predict(fit, who, course, type = "risk", at = 45, se.fit = TRUE)
predict.wce <- function(object, newdata = NULL, newrecords = NULL,
                        type = c("lp", "risk", "terms", "expected",
                                 "survival"),
                        se.fit = FALSE, at = NULL,
                        reference = c("sample", "zero"), data = NULL,
                        records = NULL, ...) {
  check_no_more(..., known = setdiff(names(formals(predict.wce)), "..."))
  type <- check_word(type, eval(formals(predict.wce)$type), "type")
  reference <- check_word(reference, c("sample", "zero"), "reference")
  if (!rlang::is_bool(se.fit)) {
    abort_input("`se.fit` must be TRUE or FALSE.", arg = "se.fit",
                x = sprintf("It is %s.", what_is(se.fit)))
  }
  if (!is.null(object$model)) {
    return(predict_of_rows(object, type, se.fit, reference, newdata, at, data,
                           records, parent.frame()))
  }
  over_rows <- type %in% c("expected", "survival")
  if (over_rows && !is.null(at)) {
    abort_input(sprintf("`at` does not go with `type = \"%s\"`.", type),
                x = "Events are expected over (start, stop].", arg = "at",
                code = "at")
  }
  env <- parent.frame()
  problem <- if (is.null(newdata) || over_rows) {
    fit_problem(object, data, records, env)
  }
  people <- if (is.null(newdata)) {
    fitted_people(object, problem, at, newrecords)
  } else {
    new_people(object, newdata, newrecords, env, at,
               need = if (over_rows) "rows" else "time", strata = over_rows)
  }
  found <- if (over_rows) {
    expected_events(object, problem, people, se.fit, is.null(newdata))
  } else {
    linear_parts(object, people, type, se.fit, reference)
  }
  if (type %in% c("risk", "survival")) {
    sign <- if (type == "risk") 1 else -1
    found$fit <- exp(sign * found$fit)
    if (se.fit) found$se.fit <- found$se.fit * found$fit
  }
  found <- lapply(Filter(Negate(is.null), found), name_rows, people)
  if (se.fit) found[c("fit", "se.fit")] else found$fit
}

# Rows of the data that have no part in the fit are NA.
name_rows <- function(x, people) {
  names <- people$row_names
  constant <- attr(x, "constant")
  if (!is.null(people$kept)) {
    at <- match(seq_along(names), people$kept)
    x <- if (is.matrix(x)) x[at, , drop = FALSE] else x[at]
  }
  if (is.matrix(x)) {
    rownames(x) <- names
    attr(x, "constant") <- constant
  } else {
    names(x) <- names
  }
  x
}

# The rows of the fit in the form of new_people().
fitted_people <- function(fit, problem, at, newrecords) {
  if (!is.null(newrecords)) {
    abort_input("`newrecords` goes with `newdata`.", arg = "newrecords",
                i = "The records of the fit are given as `records`.")
  }
  rows <- unjoined_rows(problem)
  rows$time <- rows$stop
  n <- length(problem$people$start)
  if (!is.null(at)) {
    faults <- new_faults()
    time <- read_at(faults, at, n, "the data")
    stop_for_faults(faults)
    rows$time <- as.vector(time)[rows$kept]
  }
  c(rows, list(terms = problem$terms, row_names = as.character(seq_len(n))))
}

# ---- linear predictors -------------------------------------------------------

linear_parts <- function(fit, people, type, se.fit, reference) {
  features <- history_features(fit, people$terms, people$subject, people$time)
  b <- unname(fit$coefficients)
  b[is.na(b)] <- 0
  x <- people$x
  means <- unname(fit$meta$means)
  if (reference == "sample") x <- sweep(x, 2L, means)
  full <- cbind(x, features)
  var <- unname(fit$var)
  if (type != "terms") {
    return(list(
      fit = drop(full %*% b) + people$offset,
      se.fit = if (se.fit) sqrt(row_forms(full, var))
    ))
  }
  columns <- term_columns(fit)
  part <- vapply(columns, function(k) {
    drop(full[, k, drop = FALSE] %*% b[k])
  }, numeric(nrow(full)))
  part <- matrix(part, nrow(full), dimnames = list(NULL, names(columns)))
  attr(part, "constant") <- if (reference == "sample") {
    sum(means * b[seq_along(means)])
  } else 0
  se <- if (se.fit) {
    matrix(vapply(columns, function(k) {
      sqrt(row_forms(full[, k, drop = FALSE], var[k, k, drop = FALSE]))
    }, numeric(nrow(full))), nrow(full), dimnames = dimnames(part))
  }
  list(fit = part, se.fit = se)
}

# Which coefficients belong to every term: those of the covariates by their
# names in the formula, then the exposures.
term_columns <- function(fit) {
  assign <- fit$meta$assign
  labels <- attr(fit$meta$terms, "term.labels")
  covariates <- lapply(seq_along(labels), function(k) which(assign == k))
  exposures <- lapply(fit$exposures, `[[`, "index")
  c(stats::setNames(covariates, labels),
    stats::setNames(exposures, exposure_labels(fit)))
}

# ---- expected events ---------------------------------------------------------

expected_events <- function(fit, problem, people, se.fit, of_fit) {
  if (of_fit) {
    # What the martingale residual takes off the events: with Efron's ties, of
    # the tied deaths themselves less than of others with their hazard.
    found <- problem_scores(problem, FALSE, "row")
    known <- (found$events - found$martingale)[people$kept]
    if (!se.fit) return(list(fit = known))
  }
  if (!of_fit) check_same_kind(problem, people$kind)
  base <- fit_baseline(problem)
  sums <- if (problem$engine == "reference") {
    hazard_sums(fit, base, people)
  } else {
    engine_hazard_sums(problem, base, people, se.fit)
  }
  list(fit = if (of_fit) known else sums$hazard,
       se.fit = if (se.fit) {
         sqrt(sums$noise + row_forms(sums$slope, unname(fit$var)))
       })
}

# Over the event times of each row the cumulative hazard, its derivatives by the
# coefficients (a row each), and what the baseline hazard adds to its variance.
engine_hazard_sums <- function(problem, base, people, errors) {
  n <- length(people$start)
  rows <- c(people[c("start", "stop", "stratum", "subject", "offset", "x",
                     "n_subjects")], list(event = integer(n),
                                          weight = rep(1, n)))
  coefficients <- unname(problem$coefficients)
  coefficients[is.na(coefficients)] <- 0
  found <- do.call(engine_call, c(
    "wce_expected", engine_rows(rows, people$terms),
    list(design = problem$tables, coefficients = coefficients,
         baseline = base[c("time", "stratum", "hazard", "variance", "mean",
                           "shift")], errors = errors)
  ), quote = TRUE)
  if (errors) found$slope <- matrix(found$slope, n)
  found
}

hazard_sums <- function(fit, base, people) {
  n <- length(people$start)
  first <- last <- integer(n)
  for (s in unique(people$stratum)) {
    at <- which(base$stratum == s)
    mine <- which(people$stratum == s)
    first[mine] <- findInterval(people$start[mine], base$time[at])
    last[mine] <- findInterval(people$stop[mine], base$time[at])
    shift <- if (length(at)) at[1L] - 1L else 0L
    first[mine] <- first[mine] + shift
    last[mine] <- last[mine] + shift
  }
  hazard <- noise <- numeric(n)
  slope <- matrix(0, n, length(fit$coefficients))
  some_time <- which(last > first)
  count <- last - first
  for (rows in in_portions(some_time, count[some_time], 2e5)) {
    at <- sequence(count[rows], first[rows] + 1L)
    row <- rep(rows, count[rows])
    features <- history_features(fit, people$terms, people$subject[row],
                                 base$time[at])
    steps <- curve_steps(fit, base, at, people$x[row, , drop = FALSE],
                         features, people$offset[row])
    hazard[rows] <- rowsum(steps$hazard, row)
    noise[rows] <- rowsum(steps$variance, row)
    slope[rows, ] <- rowsum(steps$slope, row)
  }
  list(hazard = hazard, noise = noise, slope = slope)
}
