#' Many drugs in one model
#'
#' Fits a Cox model in which every drug of the dispensing records has a weight
#' function of its own, as in [wce()], all at once, with a penalty that leaves
#' most of them at exactly zero. Which drugs are left along a path of penalties
#' is the answer; cross-validation by person says how far to go.
#'
#' @section The model:
#' With \eqn{D_g(t)} the doses of drug \eqn{g} before \eqn{t}, weighted by each
#' of the columns of a spline basis (the same for all drugs), the hazard is
#' \eqn{h_0(t) \exp\{z'\gamma + \sum_g D_g(t)'b_g\}}, and the log partial
#' likelihood less
#' \deqn{\lambda \sum_g \{(1 - \alpha) \sqrt{p_g}\, |b_g|_{M_g} +
#'   \alpha |A S_g b_g|_1\}}
#' is maximised. Covariates have no penalty.
#'
#' * \eqn{|b|_M = (b'Mb)^{1/2}}, with \eqn{M_g} the information about \eqn{b_g}
#'   in the model without any drug, less what the covariates explain, and
#'   \eqn{p_g} its rank (nearly always the number of columns). Rare and frequent
#'   drugs are so measured alike: the score of a drug that does nothing has unit
#'   variance in that metric. The unit of a dose does not matter. For
#'   \eqn{\alpha = 0} a drug comes in alone where \eqn{\lambda^2} falls to its
#'   score test statistic over its degrees of freedom. A drug that does nothing
#'   has a \eqn{\lambda^2} of about 1; the largest of 200 of them about 5.
#' * With `within = "fused"` the rows of \eqn{A} are differences of neighbouring
#'   coefficients (those that a constraint holds at zero included), the total
#'   variation of the coefficients: weight functions become flat in pieces. With
#'   `order = 1` that is the penalty of ConvSCCS on the weights themselves. With
#'   `"sparse"` \eqn{A} is the identity: single coefficients are zero.
#'   \eqn{S_g} puts them on the scale of their standard errors without effects.
#'
#' @section Cross-validation:
#' People, not rows, are divided into `folds` at random. The cross-validated
#' partial likelihood of Verweij and van Houwelingen (1993) is what the people
#' left out add to the log-likelihood: that of all people less that of the
#' others, at the coefficients of the others. `lambda.min` has the largest;
#' `lambda.1se` is the largest lambda within one standard error of it (over
#' folds). In folds lambda is taken per event. With `file` every fold is kept
#' on disk when it is done; the same call goes on from there.
#'
#' @section What is known of single drugs:
#' Penalised coefficients are biased towards zero, and tests after a choice by
#' the same data are not valid. So the fit has, for every drug, chosen or not,
#' the estimate after one Newton step without a penalty, from the fit at
#' `lambda.min` (without cross-validation: at the smallest lambda), for all
#' drugs together. To first order it is the estimate of the model with all
#' drugs, and its intervals and tests are those of a model that was not chosen
#' (Xia, Nan and Li 2023, for generalised linear models with fewer coefficients
#' than observations). `summary()`, [weight_function()] and [hazard_ratio()] use
#' it. For a drug with a handful of events among its users the normal
#' approximation is poor: column `events` tells. With fewer than five events per
#' coefficient there is a warning.
#'
#' @param formula `Surv(start, stop, event)` or `Surv(time, event)` on the
#'   covariates, [survival::strata()] and `offset()`, without [exposure()].
#' @param records Data frame of dispensings: the id column, `start`, `stop`,
#'   `dose` and a column for the drug.
#' @param drug Name of the column of `records` that tells the drug.
#' @param cutoff,nknots,constrained,order,lag_in As in [wce()], one number each;
#'   the same for all drugs.
#' @param alpha Share of the second part of the penalty, from 0 to below 1.
#' @param within What the second part is: `"fused"` or `"sparse"`.
#' @param lambda Penalties to fit, or `NULL`: `n_lambda` of them, evenly on the
#'   log scale, from the largest at which a drug comes in to `lambda_min` (or
#'   half of the largest, where that is less).
#' @param n_lambda,lambda_min See `lambda`. By default the path ends at 1, below
#'   which most drugs that do nothing come in, and with up to 50 drugs at 0.5.
#' @param folds Number of folds of the cross-validation; 0 for none.
#' @param seed Seed of the folds.
#' @param tol Distance from the optimality conditions at which a fit is done, in
#'   standard errors of a drug without effect.
#' @param engine `"auto"`, `"cpu"` or `"reference"` (small data).
#' @param file Name of a file to keep finished folds in, or `NULL`.
#' @param progress Show a progress bar? See [bootstrap()].
#' @inheritParams wce
#' @return An object of class `wce_sparse`: a list with `lambda`, `beta` (one
#'   row per lambda: covariates, then the coefficients of each drug), `loglik`,
#'   `loglik_null`, `drugs` (a data frame with `drug`, `users` (people with a
#'   record in a window), `records`, `events` (with a dose in the window) and
#'   `enters`, the lambda at which it would come in alone), `one_step`
#'   (`coefficients` and `var`, see above), `cv` (a data frame with `lambda`,
#'   `cvl`, per event and less that without drugs, and `se`; or `NULL`),
#'   `lambda.min`, `lambda.1se`, `converged`, `distance`, `counts`, `settings`,
#'   `call`. Holds no patient's data.
#' @section Errors: As [wce()]; `vigitensor_error_unsupported_engine` for
#'   `"torch"`.
#' @references Simon N, Tibshirani R (2012). Standardization and the group lasso
#'   penalty. Statistica Sinica 22, 983-1001.
#'
#'   Verweij PJM, van Houwelingen HC (1993). Cross-validation in survival
#'   analysis. Statistics in Medicine 12, 2305-2314.
#'
#'   Morel M, Bacry E, Gaiffas S, Guilloux A, Leroy F (2020). ConvSCCS:
#'   convolutional self-controlled case series model for lagged adverse event
#'   detection. Biostatistics 21, 758-774.
#'
#'   Xia L, Nan B, Li Y (2023). Debiased lasso for generalized linear models
#'   with a diverging number of covariates. Biometrics 79, 344-357.
#' @seealso [wce_sparse-methods] for what can be asked of the result.
#' @export
#' @examples
#' effects <- c(a = log(6), b = 0, c = 0, d = 0)
#' sim <- simulate_wce(150, days = 150, log_hr = effects, cutoff = 60,
#'                     users = 0.4, hazard = 3e-3, seed = 1)
#' fit <- wce_sparse(
#'   Surv(entry, exit, event) ~ sex, data = sim$people, id = person_id,
#'   records = sim$records, cutoff = 60, nknots = 0, constrained = "right",
#'   n_lambda = 4, folds = 0, engine = "reference"
#' )
#' fit
#' selected_drugs(fit, lambda = 1)
wce_sparse <- function(formula, data, id, records, drug = "drug", cutoff,
                       nknots = 1, constrained = "right", order = 4,
                       lag_in = 0, alpha = 0, within = "fused", lambda = NULL,
                       n_lambda = 20, lambda_min = NULL, folds = 5, seed = 1,
                       ties = "efron", tol = 1e-6, unit = "day",
                       engine = getOption("vigitensor.engine", "auto"),
                       file = NULL, progress = NULL, ...) {
  call <- without_data(match.call())
  check_no_more(..., known = setdiff(names(formals(wce_sparse)), "..."))
  if (is_claims_store(data)) abort_store_rows("`wce_sparse()` needs")
  check_table(data, "data")
  if (missing(records)) {
    abort_input("`records` is missing.",
                i = "Give the dispensings: id, start, stop, dose and drug.",
                code = "no_records", arg = "records")
  }
  check_table(records, "records")
  settings <- check_sparse_settings(list(
    cutoff = if (missing(cutoff)) NULL else cutoff, nknots = nknots,
    constrained = constrained, order = order, lag_in = lag_in, smooth = NULL,
    alpha = alpha, within = within, lambda = lambda, n_lambda = n_lambda,
    lambda_min = lambda_min, folds = folds, seed = check_seed(seed, NULL),
    ties = ties, tol = check_number(tol, "tol", 1e-14), max_iter = 50L
  ))
  if (!rlang::is_string(drug)) {
    abort_input("`drug` must be the name of a column of `records`.",
                x = sprintf("It is %s.", what_is(drug)), arg = "drug")
  }
  engine <- sparse_engine(engine)
  id <- id_column(rlang::enquo(id), names(data))
  design <- sparse_design(formula, data, id, records, drug, settings)
  given <- sparse_arguments(design, settings)
  result <- sparse_path(given, settings, engine)
  fit <- new_wce_sparse(result, design, settings)
  if (settings$folds > 1L) {
    fit <- cross_validated(fit, given, settings, engine, check_file(file),
                           progress)
  }
  fit$one_step <- sparse_one_step_of(fit, given, engine)
  environment(formula) <- globalenv()
  fit <- c(fit, list(
    call = call, formula = formula, id = id, drug_column = drug, unit = unit,
    engine = engine, session = session_record(engine)
  ))
  class(fit) <- "wce_sparse"
  warn_about_sparse(fit)
  fit
}

sparse_path <- function(given, settings, engine) {
  wanted <- list(lambdas = settings$lambda, n_lambda = settings$n_lambda,
                 least = settings$lambda_min %||%
                   if (given$records$n_drugs > 50) 1 else 0.5)
  sparse_call(engine, "fit_sparse", c(given, wanted))
}

new_wce_sparse <- function(result, design, settings) {
  n_col <- ncol(design$basis$basis_matrix)
  covariates <- colnames(design$rows$x)
  columns <- c(covariates, paste0(rep(design$drugs, each = n_col), ".",
                                  seq_len(n_col)))
  steps <- length(result$lambdas)
  beta <- cbind(matrix(result$gamma, steps, length(covariates)),
                matrix(result$b, steps))
  dimnames(beta) <- list(NULL, columns)
  list(
    lambda = result$lambdas, beta = beta, loglik = result$loglik,
    loglik_null = result$loglik_null,
    drugs = data.frame(
      drug = design$drugs, users = design$counts$users_by_drug,
      records = design$counts$records_by_drug, events = result$events,
      enters = result$largest, rank = result$rank
    ),
    converged = result$converged, distance = result$distance,
    iterations = result$iterations, recalled = result$recalled,
    n_covariates = length(covariates), n_columns = n_col,
    basis = design$basis[names(design$basis) != "table"],
    nevent = design$counts$events, n_subjects = design$counts$subjects,
    counts = design$counts[!grepl("_by_drug$", names(design$counts))],
    strata = length(design$meta$strata), settings = settings
  )
}

# The whole Newton step is made of all drugs: it is taken from where the fit
# predicts best.
sparse_one_step_of <- function(fit, given, engine) {
  from <- fit$lambda.min %||% min(fit$lambda)
  beta <- fit$beta[match(from, fit$lambda), ]
  q <- fit$n_covariates
  found <- sparse_call(engine, "sparse_one_step", c(given, list(
    gamma = unname(beta[seq_len(q)]), b = unname(beta[q + seq_len(
      length(beta) - q
    )])
  )))
  n <- nrow(fit$drugs)
  known <- as.logical(found$known)
  var <- aperm(array(found$var, c(fit$n_columns, n, fit$n_columns)), c(1, 3, 2))
  list(lambda = from, known = known, var = var,
       coefficients = stats::setNames(found$coefficients, colnames(fit$beta)),
       var_covariates = matrix(found$var_covariates, q, q))
}

warn_about_sparse <- function(fit) {
  if (!all(fit$converged)) {
    warn_user(
      sprintf("The path ends early, at lambda = %s.",
              format(min(fit$lambda), digits = 3)),
      x = "The fit there did not converge.",
      i = "Does some drug have no event, or everybody? Use a larger lambda.",
      code = "not_converged"
    )
  }
  size <- sum(fit$drugs$rank) + fit$n_covariates
  if (size * 5 > fit$nevent) {
    warn_user(
      sprintf("%d events for %d coefficients.", fit$nevent, size),
      i = paste("Selection and cross-validation are right; intervals and tests",
                "of single drugs are not to be trusted."),
      code = "few_events"
    )
  }
}
