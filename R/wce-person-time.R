# Designs of person-time: a person's own time against itself, and Poisson
# regression. Rows (start, stop] are cut into pieces within which nothing
# changes.

#' Weighted cumulative exposure in a self-controlled case series
#'
#' Each person with an event is compared with himself at other times: all that
#' does not change within the follow-up, known or not, drops out. The
#' conditional Poisson likelihood of the exposure terms of [wce()].
#'
#' The observation period must not depend on the event or on the exposure: an
#' event that ends it (a death), or that changes later prescribing, biases the
#' result. What changes with age or season is a covariate: cut the rows of a
#' person at the ages.
#'
#' @inheritParams wce
#' @param formula `Surv(start, stop, event)` on covariates that change within a
#'   person, and [exposure()] terms. No `strata()`: every person is one.
#' @param data Data frame with the whole observation period of each person, in
#'   one or more rows (start, stop]; an event is at the end of a row, and a
#'   person may have several. People without an event say nothing.
#' @return An object of class `wce`, with `model`; see [wce_case_control()] for
#'   what works on it. Ratios are incidence rate ratios; people are what a
#'   [bootstrap()] draws.
#' @section Errors: As in [wce()].
#' @references Farrington CP (1995). Relative incidence estimation from case
#'   series for vaccine safety evaluation. Biometrics 51(1), 228-235.
#' @seealso [wce_case_control()], [wce_poisson()]
#' @export
#' @examples
#' sim <- simulate_wce(200, days = 200, seed = 1)
#' fit <- wce_self_controlled(
#'   Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
#'   id = person_id, records = sim$records, cutoff = 60, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' fit
wce_self_controlled <- function(formula, data, id, records = NULL,
                                cutoff = NULL, nknots = NULL,
                                constrained = FALSE, order = 4,
                                basis = "clamped", lag_in = 0, smooth = NULL,
                                criterion = "bic", unit = "day",
                                engine = getOption("vigitensor.engine", "auto"),
                                control = wce_control(), ...) {
  call <- without_data(match.call())
  check_no_more(...,
                known = setdiff(names(formals(wce_self_controlled)), "..."))
  criterion <- check_word(criterion, c("bic", "aic"), "criterion")
  control <- do.call(wce_control, as.list(control))
  defaults <- term_defaults(split_formula(formula), cutoff, nknots, lag_in,
                            constrained, order, basis, smooth)
  design <- series_design(formula, data, id_column(rlang::enquo(id),
                                                   names(data)),
                          records, defaults)
  model <- person_time_model("self-controlled case series", "self_controlled",
                             "sets", control)
  likelihood <- list(kind = "sets", control = control,
                     engine = rows_engine(engine, "sets"))
  finish_rows_fit(fit_rows(design, likelihood, criterion, defaults$smooth),
                  call, formula, design$settings, likelihood$engine, "unit",
                  unit, model)
}

#' Weighted cumulative exposure by Poisson regression
#'
#' The piecewise exponential model: a rate that is constant between the `cuts`,
#' times the effect of covariates and exposures. With many cuts it is the Cox
#' model; unlike that it gives the rate itself.
#'
#' @inheritParams wce
#' @param formula `Surv(start, stop, event)` on covariates and [exposure()]
#'   terms.
#' @param cuts Times at which the rate may change, sorted. A coefficient
#'   `rate(a,b]` is the logarithm of the rate between two of them, per time
#'   unit, at covariates of zero and no dose.
#' @return An object of class `wce`, with `model`; see [wce_case_control()] for
#'   what works on it. Ratios are rate ratios.
#' @section Errors: As in [wce()]; `vigitensor_error_cuts`.
#' @seealso [wce_case_control()], [wce_self_controlled()]
#' @export
#' @examples
#' sim <- simulate_wce(100, days = 200, seed = 1)
#' fit <- wce_poisson(
#'   Surv(entry, exit, event) ~ sex + exposure("drug"), data = sim$people,
#'   id = person_id, records = sim$records, cuts = c(50, 100), cutoff = 60,
#'   nknots = 1, constrained = "right"
#' )
#' fit
wce_poisson <- function(formula, data, id, records = NULL, cuts = numeric(),
                        cutoff = NULL, nknots = NULL, constrained = FALSE,
                        order = 4, basis = "clamped", lag_in = 0,
                        smooth = NULL, criterion = "bic", unit = "day",
                        control = wce_control(), ...) {
  call <- without_data(match.call())
  check_no_more(..., known = setdiff(names(formals(wce_poisson)), "..."))
  criterion <- check_word(criterion, c("bic", "aic"), "criterion")
  control <- do.call(wce_control, as.list(control))
  if (!is.numeric(cuts) || anyNA(cuts) || is.unsorted(cuts, strictly = TRUE)) {
    abort_input("`cuts` must be rising times without missing values.",
                x = sprintf("It is %s.", what_is(cuts)), arg = "cuts",
                code = "cuts")
  }
  defaults <- term_defaults(split_formula(formula), cutoff, nknots, lag_in,
                            constrained, order, basis, smooth)
  cuts <- as.double(cuts)
  design <- poisson_design(formula, data, id_column(rlang::enquo(id),
                                                    names(data)),
                           records, defaults, cuts)
  model <- person_time_model("Poisson model", "poisson", "poisson",
                             control, cuts)
  likelihood <- list(kind = "poisson", control = control, engine = "reference")
  finish_rows_fit(fit_rows(design, likelihood, criterion, defaults$smooth),
                  call, formula, design$settings, "reference", "unit", unit,
                  model)
}

# ---- rows -------------------------------------------------------------------

person_time_model <- function(name, kind, likelihood, control,
                              cuts = NULL) {
  list(name = name, measure = "rate ratio", short = "IRR",
       rows = "exposed person-time piece", kind = kind,
       likelihood = likelihood, control = control, unit = "patient",
       cuts = cuts)
}

# The pieces of the people with an event, a set per person.
series_design <- function(formula, data, id, records, defaults) {
  design <- only_cases(time_design(
    formula, data, id, records, defaults,
    c("Every person is a stratum of a self-controlled series.",
      i = "Leave `strata()` out of the formula.")
  ))
  design$at <- pieces_at(design)
  design$at$stratum <- design$at$subject
  design
}

poisson_design <- function(formula, data, id, records, defaults, cuts) {
  design <- time_design(
    formula, data, id, records, defaults,
    c("`strata()` has no place in Poisson regression.",
      i = "Use a factor, or `cuts`.")
  )
  design$at <- pieces_at(design, cuts)
  design
}

# no_strata: what is said of strata(), and what to do. Value: of wce_design(),
# with the `settings` of the fit.
time_design <- function(formula, data, id, records, defaults, no_strata) {
  parts <- split_formula(formula)
  check_table(data, "data")
  refuse_cluster(parts)
  design <- wce_design(parts, data, id, records, defaults, clock = "unit")
  check_free_shape(design$terms)
  if (!is.null(design$meta$strata)) {
    abort_input(no_strata[[1L]], i = no_strata[["i"]],
                code = "unsupported_term")
  }
  design$settings <- c(defaults, id = id)
  design
}

# Rows and records of the people with an event.
only_cases <- function(design) {
  rows <- design$rows
  case <- logical(rows$n_subjects)
  case[rows$subject[rows$event == 1L]] <- TRUE
  code <- cumsum(case)
  kept <- case[rows$subject]
  by_row <- c("subject", "start", "stop", "event", "weight", "stratum",
              "offset")
  rows[by_row] <- lapply(rows[by_row], `[`, kept)
  rows$subject <- code[rows$subject]
  rows$x <- rows$x[kept, , drop = FALSE]
  rows$n_subjects <- sum(case)
  design$terms <- lapply(design$terms, function(term) {
    mine <- case[term$subject]
    of_record <- c("subject", "start", "stop", "dose")
    term[of_record] <- lapply(term[of_record], `[`, mine)
    term$subject <- code[term$subject]
    term
  })
  design$rows <- rows
  design$cases <- which(case)
  design$counts$subjects <- rows$n_subjects
  design
}

# The pieces of all rows, as fit_rows() takes them; with `cuts`, a column of x
# per interval.
pieces_at <- function(design, cuts = NULL) {
  rows <- design$rows
  interval <- NULL
  if (!is.null(cuts)) {
    parts <- cut_rows(rows, cuts)
    ends <- parts$stop == rows$stop[parts$row]
    interval <- parts$interval
    rows <- list(subject = rows$subject[parts$row], start = parts$start,
                 stop = parts$stop, event = rows$event[parts$row] * ends,
                 n_subjects = rows$n_subjects, offset = rows$offset[parts$row],
                 x = rows$x[parts$row, , drop = FALSE])
  }
  windows <- vapply(design$terms, function(s) max(s$n_lags), 0)
  piece <- pieces_of(rows, design$terms, windows)
  row <- piece$row
  x <- rows$x[row, , drop = FALSE]
  if (!is.null(cuts)) x <- cbind(rate_columns(interval[row], cuts), x)
  log_length <- log(piece$stop - piece$start)
  list(subject = rows$subject[row], time = piece$stop,
       y = rows$event[row] * (piece$stop == rows$stop[row]),
       offset = rows$offset[row] + log_length, log_length = log_length, x = x)
}

rate_columns <- function(interval, cuts) {
  ends <- format(cuts, trim = TRUE)
  label <- sprintf("rate(%s,%s]", c("", ends), c(ends, ""))
  seen <- sort(unique(interval))
  columns <- outer(interval, seen, `==`) + 0
  colnames(columns) <- label[seen]
  columns
}
