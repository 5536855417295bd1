# Bootstrap of a fit of cox(): clusters, or ids, or rows are drawn.

#' @rdname bootstrap
#' @export
bootstrap.cox <- function(fit, times = 1000, kind = "multinomial",
                          strata = NULL, method = "fit", seed = NULL,
                          data = NULL, file = NULL, progress = NULL,
                          engine = fit$engine, ...) {
  check_no_more(..., known = setdiff(names(formals(bootstrap.cox)), "..."))
  settings <- check_bootstrap(times, kind, method, seed, file, engine)
  check_can_resample(fit)
  shows_progress(progress)
  strata <- rlang::enquo(strata)
  problem <- cox_again(fit, data)
  units <- cox_units(problem, strata)
  start <- list(
    rows = problem$rows, unit = units$group, ties = fit$method,
    coefficients = unname(fit$coefficients), var = fit$naive.var %||% fit$var,
    lp = linear_predictors(fit, problem$rows)
  )
  influence <- cox_influence(start, settings$engine)
  task <- list(
    run = if (settings$engine == "reference") function(first, count) {
      weights <- draw_weights(units$n, settings$kind, settings$seed, first,
                              count, units$stratum)
      cox_by_reference(start, weights, settings$method, influence)
    } else function(first, count) {
      cox_by_engine(start, units, settings, first, count)
    },
    bytes = 8 * units$n
  )
  replicates <- resume_replicates(
    task, settings$times, settings$file,
    list(problem$rows, fit$method, is.na(start$coefficients)),
    c(settings[c("kind", "method", "seed", "engine")],
      list(units = units[c("group", "stratum")])),
    progress
  )
  colnames(replicates$coefficients) <- names(fit$coefficients)
  new_bootstrap(
    replicates, settings, fit = if (inherits(fit, "cox_light")) fit else
      lighten(fit),
    unit = units$label, n_units = units$n, strata = units$strata,
    influence = influence_moments(influence, units$stratum, list()),
    class = "bootstrap_cox"
  )
}

check_can_resample <- function(fit) {
  reason <- if (!is.null(fit$passed_on)) fit$passed_on else
    if (inherits(fit, "coxph.penal")) "a penalty" else
      if (fit$method == "exact") "exact ties" else
        if (length(fit$coefficients) == 0L) "no covariate"
  if (is.null(reason)) return(invisible())
  abort_input(sprintf("There is no bootstrap of a fit with %s.", reason),
              i = "Efron's and Breslow's ties can be resampled.",
              arg = "fit", code = "bootstrap_fit")
}

# ---- the problem ------------------------------------------------------------

# Value: list(rows, cluster, id: NULL or one per row, data = the user's table,
# or NULL, at = the rows of it that were used).
cox_again <- function(fit, data) {
  if (!is.null(data)) {
    check_table(data, "data")
    fit$call$data <- data
  }
  design <- design_of(fit)
  env <- environment(fit$terms)
  # A design from what the fit keeps has no columns besides the model's.
  if (is.null(design$cluster) && is.null(design$id) &&
        any(c("cluster", "id") %in% names(fit$call))) {
    frame <- stats::model.frame(as_coxph(fit))
    design$cluster <- stats::model.extract(frame, "cluster")
    design$id <- stats::model.extract(frame, "id")
  }
  list(rows = cox_rows(design), cluster = design$cluster, id = design$id,
       data = if (!is.null(fit$call$data)) fit_data(fit, env),
       at = function() data_rows(design$row_names, fit$call, env))
}

cox_units <- function(problem, strata) {
  n <- length(problem$rows$stop)
  label <- if (!is.null(problem$cluster)) "cluster" else
    if (!is.null(problem$id)) "id" else "row"
  group <- if (label == "row") seq_len(n) else {
    group_codes(problem[[label]])
  }
  n_units <- max(group)
  name <- strata_name(strata, problem$data)
  stratum <- if (!is.null(name)) {
    unit <- rep(NA_integer_, nrow(problem$data))
    unit[problem$at()] <- group
    unit_strata(strata, problem$data, unit, n_units)
  }
  list(label = label, group = group, n = n_units, stratum = stratum,
       strata = name)
}

# Influence of the units on the coefficients: units x p.
cox_influence <- function(start, engine) {
  p <- length(start$coefficients)
  by_row <- if (engine == "reference") {
    reference_dfbeta(start)
  } else {
    engine_cox_residuals(start$rows, start$lp, start$ties, "dfbeta", TRUE,
                         start$var, start$coefficients)
  }
  rowsum(matrix(by_row, ncol = p), start$unit)
}

# ---- replicates -------------------------------------------------------------

cox_by_engine <- function(start, units, settings, first, count) {
  rows <- start$rows
  drawn <- list(kind = settings$kind, seed = settings$seed,
                first = as.double(first), count = as.double(count))
  if (!is.null(units$stratum)) drawn$stratum <- units$stratum
  coefficients <- start$coefficients
  coefficients[is.na(coefficients)] <- 0
  found <- do.call(engine_call, c(
    "fit_cox_many", rows[c("start", "stop", "event", "stratum", "offset",
                           "weight", "x")],
    list(cluster = start$unit, ties = start$ties, coefficients = coefficients,
         replicates = drawn, method = settings$method),
    engine_options(settings$engine)
  ), quote = TRUE)
  tidy_replicates(found$coefficients, found$loglik, unlist(found$reason))
}

# ---- the reference engine ---------------------------------------------------

# weights: replicates x units.
cox_by_reference <- function(start, weights, method, influence) {
  if (method == "influence") {
    return(reference_cox_influence(start, weights, influence))
  }
  found <- lapply(seq_len(nrow(weights)), function(b) {
    reference_cox_refit(start, weights[b, start$unit], method)
  })
  gather_replicates(found)
}

reference_cox_influence <- function(start, weights, influence) {
  dead <- unique(start$unit[start$rows$event == 1])
  drawn <- rowSums(weights[, dead, drop = FALSE]) > 0
  beta <- rep(start$coefficients, each = nrow(weights)) +
    (weights - 1) %*% influence
  beta[!drawn, ] <- NA
  tidy_replicates(unname(beta), rep(NA_real_, nrow(weights)),
                  ifelse(drawn, "ok", "no_event"))
}

reference_cox_refit <- function(start, w, method) {
  rows <- start$rows
  keep <- w > 0
  failed <- function(reason) failed_replicate(start, reason)
  if (!any(rows$event[keep] == 1)) return(failed("no_event"))
  seen <- new.env(parent = emptyenv())
  seen$infinite <- FALSE
  one_step <- method == "one_step"
  fit <- withCallingHandlers(
    reference_cox(start, keep, w, one_step),
    warning = function(condition) {
      if (grepl("infinite", conditionMessage(condition))) seen$infinite <- TRUE
      invokeRestart("muffleWarning")
    }
  )
  dropped <- is.na(start$coefficients)
  beta <- rep(NA_real_, length(dropped))
  beta[!dropped] <- unname(stats::coef(fit))
  if (seen$infinite && !one_step) return(failed("infinite"))
  if (anyNA(beta[!dropped])) return(failed("collinear"))
  if (fit$iter >= 60L) return(failed("not_converged"))
  list(coefficients = beta, loglik = if (one_step) NA_real_ else fit$loglik[2L],
       reason = "ok")
}

reference_cox <- function(start, keep, w, one_step = FALSE) {
  live <- !is.na(start$coefficients)
  rows <- lapply(start$rows, function(v) {
    if (is.matrix(v)) v[keep, live, drop = FALSE] else v[keep]
  })
  y <- if (is.null(rows$start)) survival::Surv(rows$stop, rows$event) else
    survival::Surv(rows$start, rows$stop, rows$event)
  x <- rows$x
  stratum <- rows$stratum
  shift <- rows$offset
  weight <- rows$weight * w[keep]
  survival::coxph(
    y ~ x + strata(stratum) + offset(shift), weights = weight,
    ties = start$ties, robust = FALSE,
    init = if (one_step) start$coefficients[live] else numeric(sum(live)),
    control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                      iter.max = if (one_step) 1L else 60L)
  )
}

reference_dfbeta <- function(start) {
  n <- length(start$rows$stop)
  fit <- suppressWarnings(reference_cox(start, rep(TRUE, n), rep(1, n)))
  out <- matrix(0, n, length(start$coefficients))
  out[, !is.na(start$coefficients)] <-
    stats::residuals(fit, "dfbeta", weighted = TRUE)
  out
}
