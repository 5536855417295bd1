#' Bootstrap of a fitted model
#'
#' Draws patients, not rows, with replacement and fits the model again, many
#' times. A patient who is drawn twice counts twice: replicates are sets of
#' weights, and the data are never copied.
#'
#' @section Replicates:
#' `kind = "multinomial"` is the usual bootstrap: as many patients as there are,
#' drawn with replacement. With `kind = "bayesian"` weights are exponential with
#' mean 1: no patient is ever left out altogether, so that rare levels of a
#' factor do not make replicates fail. With `strata` as many patients are drawn
#' from every stratum as it has.
#'
#' What is drawn: for [wce()] patients, or the groups of `cluster()`; for
#' [wce_case_control()] sets, or patients if there are none; for
#' [wce_self_controlled()] and [wce_poisson()] patients; for
#' [cox()] the clusters or, without any, the `id`s or, without those, rows.
#'
#' A `ridge()` keeps, in every replicate, the penalty that it has in the fit.
#' Fits of [cox()] with exact ties, and those that [survival::coxph()] makes
#' (`$passed_on`), are fitted again one by one, which takes longer, with
#' `method = "fit"` and without BCa intervals. Exact ties have no weights: rows
#' are copied, and a stratum that is drawn as a whole (a matched set, with its
#' `id`) is a stratum of its own each time. Rows are copied too in penalised
#' fits of `coxph()` to (start, stop] rows with Efron's ties, which go wrong
#' with weights there. Both need `kind = "multinomial"`.
#'
#' Replicate 17 of a seed is the same whatever the number of replicates, chunks
#' and threads, and on every engine.
#'
#' @section Methods:
#' `"fit"` goes to the optimum of every replicate. `"one_step"` takes one Newton
#' step from the fit, with the replicate's own score and information.
#' `"influence"` adds up the influence of the patients, without a further pass
#' over the data: its variance is the robust (infinitesimal jackknife) variance,
#' and costs next to nothing. Both leave out the curvature that makes intervals
#' of small samples asymmetric, and a `shape` allows neither.
#'
#' With `reselect = TRUE` every fit of the grid (`$selection`: knots and
#' cutoffs) is repeated in every replicate, and the one that the criterion
#' prefers there is taken: intervals then know that the knots were chosen. The
#' number of events in the BIC is that of the data.
#'
#' @section Failures:
#' A replicate has no coefficients when no event was drawn (`"no_event"`), the
#' likelihood rises for ever (`"infinite"`), a column is collinear there
#' (`"collinear"`), or the fit does not converge. They are left out of all
#' intervals, counted in `$failures`, and warned of
#' (`vigitensor_warning_replicates_failed`) above 5 %: the others are then no
#' fair sample.
#'
#' @section Going on from a file:
#' With `file` finished chunks are written to disk, a file that is always whole:
#' a run that is killed or interrupted loses the chunk in progress. The same
#' call goes on, and gives the numbers of a run without interruption; with a
#' larger `times` it adds replicates. A file of other data, another model or
#' other settings is refused (`vigitensor_error_bootstrap_file`). It holds
#' estimates and no data of patients.
#'
#' @param fit A fitted model, from [wce()], its other designs, or [cox()].
#' @param times Number of replicates.
#' @param kind `"multinomial"` or `"bayesian"`, see Replicates.
#' @param strata Column of `data`, bare or as a string: strata to draw within.
#'   One value per patient (or cluster).
#' @param method `"fit"`, `"one_step"` or `"influence"`, see Methods.
#' @param reselect Choose knots and cutoff again in every replicate?
#' @param seed Whole number of at least 0. `NULL`: taken from R's random
#'   numbers, or from `file`.
#' @param data,records The tables that the model was fitted to. `NULL`: looked
#'   up by the names in the call of the fit.
#' @param file Name of a file to keep replicates in, or `NULL`.
#' @param progress Show a progress bar on work of more than two seconds? `NULL`:
#'   option `vigitensor.progress`, or else in interactive sessions.
#' @param engine `"cpu"`, `"torch"` or `"reference"`; by default that of the
#'   fit.
#' @param ... For methods.
#' @return An object of class `bootstrap_wce` or `bootstrap_cox`, both
#'   `bootstrap_fit`: a list with `coefficients` (replicates x coefficients,
#'   `NA` where a replicate failed), `loglik`, `reason` (`"ok"`, or why it
#'   failed), `converged`, `failures` (counts by reason), `row` (with
#'   `reselect`: the row of `fit$selection`), `fit`, `times`, `kind`, `strata`,
#'   `method`, `reselect`, `seed`, `unit` (what was drawn), `n_units`, `engine`,
#'   `influence` (moments of the influence of units, for BCa intervals). Holds
#'   no patient's data, and survives [saveRDS()].
#' @seealso [bootstrap_fit] for intervals of coefficients; [weight_function()],
#'   [hazard_ratio()], [total_effect()] and [peak_time()] take the result as
#'   they take a fit.
#' @references Davison AC, Hinkley DV (1997). Bootstrap Methods and their
#'   Application. Cambridge University Press, chapters 2 and 5.
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + exposure("drug_a"),
#'   data = claims_people[1:100, ], id = person_id,
#'   records = claims_dispensings, cutoff = 60, nknots = 0,
#'   constrained = "right", engine = "reference"
#' )
#' b <- bootstrap(fit, times = 50, method = "one_step", seed = 1,
#'                data = claims_people[1:100, ])
#' b
#' confint(b, "sex")
#' total_effect(b)
bootstrap <- function(fit, times = 1000, ...) UseMethod("bootstrap")

#' @export
bootstrap.default <- function(fit, times = 1000, ...) {
  abort_input("`fit` must be a model fitted by `wce()` or `cox()`.",
              x = sprintf("It is %s.", what_is(fit)), arg = "fit")
}

# ---- arguments --------------------------------------------------------------

check_bootstrap <- function(times, kind, method, seed, file, engine) {
  list(
    times = check_integer(times, "times", 1),
    kind = check_word(kind, c("multinomial", "bayesian"), "kind"),
    method = check_word(method, c("fit", "one_step", "influence"), "method"),
    file = check_file(file), seed = check_seed(seed, file),
    engine = choose_engine(engine)
  )
}

# Engines take whole numbers that doubles hold exactly.
check_seed <- function(seed, file) {
  if (is.null(seed)) {
    return(read_file(file)$seed %||% sample.int(.Machine$integer.max, 1L))
  }
  ok <- is.numeric(seed) && length(seed) == 1L && is.finite(seed) &&
    seed >= 0 && seed == round(seed) && seed <= 2^53
  if (!ok) {
    abort_input("`seed` must be one whole number from 0 to 2^53.",
                x = sprintf("It is %s.", what_is(seed)), arg = "seed",
                code = "seed")
  }
  as.double(seed)
}

# strata: a quosure; unit: code of the unit of every row of data, NA for rows
# that are not used. Value: codes of strata by unit, or NULL.
unit_strata <- function(strata, data, unit, n_units) {
  name <- strata_name(strata, data)
  if (is.null(name)) return(NULL)
  value <- data[[name]]
  if (!is.atomic(value) || !is.null(dim(value))) {
    abort_input(sprintf("`%s`, the `strata`, must be a plain column.", name),
                x = sprintf("It is %s.", what_is(value)), arg = "strata",
                code = "strata")
  }
  used <- which(!is.na(unit))
  missing_rows <- used[is.na(value[used])]
  if (length(missing_rows)) {
    abort_input(
      sprintf("`%s`, the `strata`, must have no missing values.", name),
      x = sprintf("It has in %s.", format_rows(missing_rows)),
      arg = "strata", code = "strata", rows = missing_rows
    )
  }
  code <- match(value, unique(value[used]))
  first <- used[!duplicated(unit[used])]
  stratum <- rep.int(1L, n_units)
  stratum[unit[first]] <- code[first]
  apart <- used[stratum[unit[used]] != code[used]]
  if (length(apart)) {
    abort_input(
      sprintf("`%s`, the `strata`, must be constant within what is drawn.",
              name),
      x = sprintf("It is not in %s.", format_rows(apart)),
      arg = "strata", code = "strata", rows = apart
    )
  }
  # Codes without gaps, in an order that does not depend on that of the rows.
  match(stratum, sort(unique(stratum)))
}

strata_name <- function(strata, data) {
  e <- rlang::quo_get_expr(strata)
  if (is.symbol(e) && as.character(e) %in% names(data)) {
    return(as.character(e))
  }
  name <- tryCatch(rlang::eval_tidy(strata), error = function(e) NA)
  if (is.null(name)) return(NULL)
  if (rlang::is_string(name) && name %in% names(data)) return(name)
  abort_input("`strata` must be the name of one column of `data`.",
              arg = "strata", code = "strata")
}

# ---- the result -------------------------------------------------------------

# The counts of patients, the moments and the fit are the method's.
new_bootstrap <- function(replicates, settings, ..., class) {
  reason <- replicates$reason
  result <- c(replicates, list(
    converged = reason == "ok",
    failures = failure_counts(reason), times = settings$times,
    kind = settings$kind, method = settings$method, seed = settings$seed,
    engine = settings$engine
  ), list(...))
  class(result) <- c(class, "bootstrap_fit")
  warn_failures(result)
  result
}

failure_counts <- function(reason) {
  counts <- table(reason[reason != "ok"])
  stats::setNames(as.integer(counts), names(counts))
}

failure_words <- c(
  no_event = "no event drawn", infinite = "the likelihood rises for ever",
  collinear = "a column is collinear", not_converged = "not converged",
  overflow = "overflow", failed = "no optimum found"
)

warn_failures <- function(b) {
  failed <- sum(b$failures)
  if (failed <= 0.05 * b$times) return(invisible())
  warn_user(
    sprintf("%s of %s replicates failed.", format_count(failed),
            format_count(b$times)),
    x = sprintf("%s.", describe_failures(b$failures)),
    i = paste("Intervals leave them out and are too short. Fewer covariates or",
              "knots, or `kind = \"bayesian\"`, may help."),
    code = "replicates_failed", data = list(failures = b$failures)
  )
}

describe_failures <- function(failures) {
  words <- failure_words[names(failures)]
  format_list(paste(format_count_each(failures), words))
}

format_count_each <- function(n) vapply(n, format_count, "")

# influence: of the units, units x p. What BCa intervals of any contrast c'b
# need are the sums of its square, c'(squares)c, and of its cube. blocks:
# positions of coefficients of which contrasts are taken.
influence_moments <- function(influence, stratum, blocks) {
  if (!is.null(stratum)) {
    centre <- rowsum(influence, stratum) / tabulate(stratum)
    influence <- influence - centre[stratum, , drop = FALSE]
  }
  list(
    squares = crossprod(influence), cubes = colSums(influence^3),
    blocks = lapply(blocks, function(at) {
      u <- influence[, at, drop = FALSE]
      cubes <- vapply(seq_along(at), function(k) {
        as.vector(crossprod(u * u[, k], u))
      }, numeric(length(at)^2))
      array(cubes, rep(length(at), 3L))
    })
  )
}
