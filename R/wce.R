#' Weighted cumulative exposure Cox models
#'
#' Fits a Cox model in which the hazard at time \eqn{t} depends on all the doses
#' of the recent past, each weighted by how long ago it was taken:
#' \deqn{\log h(t) = \log h_0(t) + z'\gamma + \sum_{u=1}^{m} w(u)\, x(t - u).}
#' The weight function \eqn{w} is a spline over the lags \eqn{1..m}. The
#' dose \eqn{x} comes from unit rows (one row per person and time unit, or any
#' rows over which dose and covariates are constant) or, much faster, from
#' dispensing records.
#'
#' @section The clock:
#' A row or record (start, stop] with a dose means that dose in each of its time
#' units. Lag 1 is the unit that ends at the event time. Calendar day D is
#' (D, D + 1]: a dispensing on day D for n days is (D, D + n], and an event on
#' day E stops at E + 1, so that the dose of the same day counts, unless
#' `lag_in = 1`. Overlapping records add. Doses before the first row of a
#' patient count when they come from records; in unit rows they are unknown and
#' taken as zero.
#'
#' In continuous time (`clock = "continuous"`) times, `cutoff` and `lag_in` are
#' any numbers, the weight function lives on the lags from 0 to `cutoff`, and
#' the sum is an integral, which is exact: a record (s, e] contributes its dose
#' times the integral of \eqn{w} from \eqn{t - e} to \eqn{t - s}, as far as that
#' lies in the window. Knots are then at equal distances.
#'
#' @section Shapes:
#' A `shape` is imposed on the B-spline coefficients: non-negative coefficients
#' make a non-negative curve, falling coefficients a falling one. For orders 1
#' and 2 that is the same; for smoother splines it excludes a few curves, the
#' fewer the more knots there are. Where the data pull against the shape, some
#' of the inequalities hold with equality (`$active`): `df` is then the number
#' of coefficients less theirs, and standard errors are those of the
#' coefficients that may still move. Both take for granted which inequalities
#' are active, which the data have told: intervals are too short, and the
#' likelihood ratio has no chi-squared distribution there. Resample the patients
#' if it matters.
#'
#' @section Smooth weight functions:
#' Unless `nknots`, `shape`, `order` or `basis` say how the curve is built, it
#' has many knots and a penalty on its bending, and on its size at the far end
#' of the window ([wce_smooth()]). How much is decided by the data (`smooth =
#' "reml"`), so that no number of knots is to be chosen: in simulations such
#' curves were nearer to the truth than those of a chosen number of knots, and
#' their bands held it (`vignette("choosing")`). `df`, and with it AIC and BIC,
#' count effective degrees of freedom (Gray 1992), also in a choice among
#' cutoffs. Standard errors and bands are Bayesian: they allow for the bias of
#' smoothing, and for the smoothing parameters being estimated. Coefficients
#' are those of a basis in which the penalty is diagonal, and mean nothing one
#' by one; [smoothness()] has the parameters. `$loglik` has no penalty in it. A
#' robust variance takes the place of the part of the variance that comes from
#' sampling. Not with `shape`.
#'
#' @section Covariates:
#' With unit rows, neighbouring rows that differ in nothing the model sees are
#' joined before the covariates are evaluated. Terms that look at the whole
#' column, such as `splines::ns(age, 3)`, then place their knots by persons and
#' changes, not by person-days.
#'
#' @section Errors:
#' All of class `vigitensor_error`. Faults of the data are found all together
#' (class `vigitensor_error_data`) and carry one class each, such as
#' `vigitensor_error_missing_values`, `_overlapping_rows`, `_duplicate_id`,
#' `_stop_before_start`, `_negative_dose`; the condition's `$rows` lists their
#' row numbers. Messages never show ids, dates or values of patients.
#'
#' Warnings (class `vigitensor_warning`): `_collinear` (coefficients set to NA),
#' `_infinite` (the likelihood rises for ever along a coefficient),
#' `_uncovered_lags` (no patient at risk had a dose at these lags at any event
#' time: the weight is NA there), `_not_converged`, `_unused_levels`.
#'
#' @param formula `Surv(start, stop, event)` or `Surv(time, event)`, on
#'   covariates (factors, interactions, `strata()`, `offset()`, `cluster()`) and
#'   one or more [exposure()] terms.
#' @param data Data frame: unit rows, or with `records` one or more rows
#'   (start, stop] per person. In any order. Times are numbers or dates. Or a
#'   [claims_store()], which has its own `id` and `records`.
#' @param id The column that tells people apart, bare or as a string; a column
#'   of `records` too. Numbers, strings, a factor or 64-bit integers.
#' @param records Data frame of dispensings: the id column, `start`, `stop`,
#'   `dose` (per time unit, zero or more), and `drug` for `exposure("drug")`.
#'   Records of other people or outside every window are legal, and counted.
#' @param cutoff Number of past time units that can matter, or several numbers
#'   to choose from. Fits with different cutoffs see the same events, so their
#'   criteria compare; standard errors do not know of the choice: see
#'   [model_average()].
#' @param nknots Numbers of interior knots. Every one is fitted with every
#'   cutoff; the best fit by `criterion` is returned, all of them are in
#'   `$selection` (see [refit()]). `NULL`: with a penalty one large number, 10
#'   or one for six lags; without one `1:3`.
#' @param smooth `"none"`, or a penalised spline: `"reml"` and `"aic"` choose
#'   how smooth it is, see [wce_smooth()] and Smooth weight functions. `NULL`:
#'   `"reml"`, or `"none"` where `nknots`, `shape`, `order` or `basis` are
#'   given, here or in an [exposure()].
#' @param constrained What the weight function must be at its ends, exactly.
#'   `FALSE`: free. `"right"`: value and slope are zero at the oldest lag;
#'   `"left"`: at lag 1; `"both"`. Or end by end, as `c(right = "value", left =
#'   "slope")`: `"value"` is a zero value with a free slope, `"slope"` zero
#'   value and slope.
#' @param shape `"free"`, or what the weight function must be all along:
#'   `"nonnegative"` or `"nonpositive"`, `"decreasing"` or `"increasing"` with
#'   the lag, or one of each pair, as `c("nonnegative", "decreasing")`. See
#'   Shapes.
#' @param order Order of the spline: 4 is cubic, 3 quadratic, 2 linear; 1 is a
#'   step function, whose pieces begin at the first lag and at the knots. A fit
#'   has `nknots + order` coefficients per exposure, less one for each zero
#'   value and two for each zero slope.
#' @param basis `"clamped"`: exact constraints; `"WCE"`: the cubic basis of the
#'   WCE package, with `"right"` or `"left"`, whose weight at the constrained
#'   end is only nearly zero.
#' @param lag_in Number of most recent time units that cannot matter.
#' @param weights Case weights: a bare column of `data`, or an expression in its
#'   columns; zero or more. They enter the likelihood as in [survival::coxph()],
#'   ties included; a row of weight zero is left out, but for its doses. BIC
#'   counts events, not weights.
#' @param robust `TRUE`: the robust variance of Lin and Wei, in which people, or
#'   the groups of a term `cluster(group)` in the formula, are the independent
#'   units; a group holds all rows of its people. `NULL`, as in
#'   [survival::coxph()]: if there is a `cluster()`, a weight that is not whole
#'   or somebody with several events.
#' @param clock `"unit"`: times are whole numbers; `"continuous"`: real numbers,
#'   see The clock. `"auto"`: continuous, with a message, when a time is not
#'   whole.
#' @param criterion `"bic"` (with the logarithm of the number of events) or
#'   `"aic"`.
#' @param ties `"efron"` or `"breslow"`.
#' @param unit Name of the time unit, for prints and plots.
#' @param engine `"auto"`, `"cpu"` (see [install_engine()]), `"torch"` (on the
#'   device of option `vigitensor.device`; see [vigitensor_options]) or
#'   `"reference"`.
#' @param control See [wce_control()].
#' @param ... Not used; a further argument is an error.
#' @return An object of class `wce`: a list with `coefficients` (covariates,
#'   then the columns of the exposure bases), `var` (and `naive.var`, that of
#'   the model, when `var` is robust), `loglik` (at zero and at
#'   the optimum), `score`, `iter`, `converged`, `nevent`, `n_rows`,
#'   `n_subjects`, `n_pairs` (exposed pairs of row and event time), `df`,
#'   `exposures` (cutoff, knots, basis, constraint, covered lags of each term),
#'   `selection` (one row per cutoff and number of knots), `fits`, `counts`,
#'   `call`, `formula`, `settings`, `session`. Holds no patient's data, and
#'   survives [saveRDS()].
#' @references Sylvestre MP, Abrahamowicz M (2009). Flexible modeling of the
#'   cumulative effects of time-dependent exposures on the hazard. Statistics in
#'   Medicine 28(27), 3437-3453. \doi{10.1002/sim.3701}
#' @seealso [weight_function()], [hazard_ratio()], [simulate_wce()], [WCE()]
#' @export
#' @examples
#' sim <- simulate_wce(100, days = 200, seed = 1)
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug"),
#'   data = sim$people, id = person_id, records = sim$records,
#'   cutoff = 60, nknots = 1, constrained = "right", engine = "reference"
#' )
#' fit
wce <- function(formula, data, id, records = NULL, cutoff = NULL, nknots = NULL,
                constrained = FALSE, shape = "free", order = 4,
                basis = "clamped", lag_in = 0, smooth = NULL,
                weights = NULL, robust = NULL, criterion = "bic",
                ties = "efron", clock = "auto", unit = "day",
                engine = getOption("vigitensor.engine", "auto"),
                control = wce_control(), ...) {
  call <- without_data(match.call())
  check_no_more(..., known = setdiff(names(formals(wce)), "..."))
  criterion <- check_word(criterion, c("bic", "aic"), "criterion")
  ties <- check_word(ties, c("efron", "breslow"), "ties")
  clock <- check_word(clock, c("auto", "unit", "continuous"), "clock")
  control <- do.call(wce_control, as.list(control))
  parts <- split_formula(formula)
  stored <- is_claims_store(data)
  if (stored) check_only_store(records) else check_table(data, "data")
  defaults <- term_defaults(parts, cutoff, nknots, lag_in, constrained, order,
                            basis, smooth, shape)
  id <- if (stored) data$id else id_column(rlang::enquo(id), names(data))
  design <- if (stored) {
    store_design(parts, data, defaults, rlang::enquo(weights), clock)
  } else {
    wce_design(parts, data, id, records, defaults, rlang::enquo(weights), clock)
  }
  grid <- wce_grid(design)
  check_size(design, grid)
  design$terms <- terms_with_cells(design$terms, grid)
  engine <- choose_engine(engine)
  tables <- lapply(grid, function(g) lapply(g, `[[`, "table"))
  limits <- lapply(grid, design_inequalities, ncol(design$rows$x))
  penalties <- lapply(grid, design_penalty, defaults$smooth,
                      ncol(design$rows$x))
  robust <- if (stored) store_robust(robust, design) else
    decide_robust(robust, design)
  result <- if (stored) {
    store_fit(design, tables, ties, engine, control, limits, penalties,
              robust = robust)
  } else {
    wce_fit_impl(design$rows, design$terms, tables, ties, engine, control,
                 limits, penalties)
  }
  if (!stored) result$fits <- Map(describe_smoothing, result$fits, penalties)
  if (robust) {
    if (!stored) {
      result$fits <- robust_fits(result$fits, design, tables, ties, engine)
    }
    design$meta$clusters <- design$cluster[c("label", "n")]
  }
  fit <- new_wce(result, design, grid, criterion)
  # The environment of a formula holds whatever its writer had at hand.
  environment(formula) <- globalenv()
  fit <- c(fit, list(call = call, formula = formula, ties = ties,
                     settings = c(defaults, id = id), engine = engine,
                     clock = design$clock, unit = unit,
                     session = session_record(engine)))
  class(fit) <- "wce"
  warn_about_fit(fit)
  fit
}

#' Tuning of the fit
#'
#' @param max_iter Largest number of Newton steps.
#' @param tol_step The fit has converged when the Newton decrement (the squared
#'   length of the next step in units of standard errors) is below this.
#' @param tol_singular A column counts as collinear when its pivot in the
#'   information matrix is below this fraction of the largest.
#' @param max_halving Largest number of halvings of one step.
#' @return A list of class `wce_control`.
#' @export
#' @examples
#' wce_control(max_iter = 20)
wce_control <- function(max_iter = 50L, tol_step = 1e-13,
                        tol_singular = .Machine$double.eps^0.75,
                        max_halving = 30L) {
  positive <- function(x, name) {
    if (!rlang::is_double(x, 1L, finite = TRUE) || x <= 0) {
      abort_input(sprintf("`%s` must be one positive number.", name),
                  arg = name, code = "control")
    }
    x
  }
  structure(
    list(max_iter = check_integer(max_iter, "max_iter", 1),
         tol_step = positive(tol_step, "tol_step"),
         tol_singular = positive(tol_singular, "tol_singular"),
         max_halving = check_integer(max_halving, "max_halving", 0)),
    class = "wce_control"
  )
}

# do.call() writes whole tables into a call.
without_data <- function(call) {
  for (name in c("data", "records")) {
    if (is.data.frame(call[[name]])) call[[name]] <- as.name(name)
  }
  call
}

session_record <- function(engine) {
  list(
    vigitensor = as.character(utils::packageVersion("vigitensor")),
    R = as.character(getRversion()),
    survival = as.character(utils::packageVersion("survival")),
    engine = if (engine == "reference") NULL else {
      c(engine_versions(), torch_record(engine))
    }
  )
}
