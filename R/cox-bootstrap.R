# Bootstrap of a fit of cox(): clusters, or ids, or rows are drawn.

#' @rdname bootstrap
#' @export
bootstrap.cox <- function(fit, times = 1000, kind = "multinomial",
                          strata = NULL, method = "fit", seed = NULL,
                          data = NULL, file = NULL, progress = NULL,
                          engine = fit$engine, ...) {
  check_no_more(..., known = setdiff(names(formals(bootstrap.cox)), "..."))
  settings <- check_bootstrap(times, kind, method, seed, file, engine)
  check_can_resample(fit, settings)
  shows_progress(progress)
  strata <- rlang::enquo(strata)
  problem <- if (is.null(fit$passed_on)) cox_again(fit, data) else
    coxph_again(fit, data)
  units <- cox_units(problem, strata)
  start <- cox_start(fit, problem, units)
  influence <- if (!refits_alone(fit)) cox_influence(start, settings$engine)
  draw <- function(first, count) {
    draw_weights(units$n, settings$kind, settings$seed, first, count,
                 units$stratum)
  }
  task <- list(
    run = if (!is.null(fit$passed_on)) function(first, count) {
      replicates_by_coxph(fit, problem, units, draw(first, count))
    } else if (fit$method == "exact") function(first, count) {
      exact_replicates(start, draw(first, count), settings$engine)
    } else if (settings$engine == "reference") function(first, count) {
      cox_by_reference(start, draw(first, count), settings$method, influence)
    } else function(first, count) {
      cox_by_engine(start, units, settings, first, count)
    },
    bytes = 8 * units$n
  )
  replicates <- resume_replicates(
    task, settings$times, settings$file,
    list(problem$rows, fit$method, is.na(start$coefficients), start$penalty,
         fit$passed_on, if (!is.null(fit$passed_on)) deparse(fit$call$formula)),
    c(settings[c("kind", "method", "seed", "engine")],
      list(units = units[c("group", "stratum")])),
    progress
  )
  colnames(replicates$coefficients) <- names(fit$coefficients)
  new_bootstrap(
    replicates, settings, fit = if (inherits(fit, "cox_light")) fit else
      lighten(fit),
    unit = units$label, n_units = units$n, strata = units$strata,
    influence = if (!is.null(influence)) {
      influence_moments(influence, units$stratum, list())
    },
    class = "bootstrap_cox"
  )
}

check_can_resample <- function(fit, settings) {
  if (length(fit$coefficients) == 0L) {
    abort_input("There is no bootstrap of a fit without covariates.",
                arg = "fit", code = "bootstrap_fit")
  }
  if (!refits_alone(fit)) return(invisible())
  what <- fit$passed_on %||% "exact ties"
  if (settings$method != "fit") {
    abort_input(
      sprintf("A fit with %s needs `method = \"fit\"`.", what),
      x = "Its replicates are fitted one by one, and have no influences.",
      arg = "method", code = "bootstrap_fit"
    )
  }
  if (settings$kind != "multinomial" && needs_copies(fit)) {
    abort_input(
      sprintf("A fit with %s needs `kind = \"multinomial\"`.", what),
      x = "Its replicates have copies of rows, which are whole numbers.",
      arg = "kind", code = "bootstrap_fit"
    )
  }
}

# Fits of which no engine makes many replicates together.
refits_alone <- function(fit) {
  !is.null(fit$passed_on) || fit$method == "exact"
}

# ---- the problem ------------------------------------------------------------

# Value: list(rows, n, cluster, id: NULL or one per row, data = the user's
# table, or NULL, at = function() the rows of it that were used).
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
  list(rows = cox_rows(design), n = nrow(design$y),
       cluster = design$cluster, id = design$id,
       data = if (!is.null(fit$call$data)) fit_data(fit, env),
       at = function() data_rows(design$row_names, fit$call, env))
}

cox_units <- function(problem, strata) {
  n <- problem$n
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

# Where replicates start from. penalty: its second derivatives, or NULL; a
# replicate is fitted under that of the fit.
cox_start <- function(fit, problem, units) {
  start <- list(
    unit = units$group, ties = fit$method,
    coefficients = unname(fit$coefficients), var = fit$naive.var %||% fit$var,
    penalty = if (inherits(fit, "coxph.penal")) fit$coxlist2$second
  )
  if (!is.null(fit$passed_on)) return(start)
  start$rows <- problem$rows
  if (!refits_alone(fit)) start$lp <- linear_predictors(fit, problem$rows)
  start
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
    if (!is.null(start$penalty)) list(penalty = start$penalty),
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
  refit <- if (is.null(start$penalty)) reference_cox_refit else
    reference_ridge_refit
  found <- lapply(seq_len(nrow(weights)), function(b) {
    refit(start, weights[b, start$unit], method)
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
  dropped <- is.na(start$coefficients)
  fit <- withCallingHandlers(
    reference_cox(start, keep, w,
                  if (one_step) start$coefficients[!dropped],
                  if (one_step) 1L else 60L),
    warning = function(condition) {
      if (grepl("infinite", conditionMessage(condition))) seen$infinite <- TRUE
      invokeRestart("muffleWarning")
    }
  )
  beta <- rep(NA_real_, length(dropped))
  beta[!dropped] <- unname(stats::coef(fit))
  if (seen$infinite && !one_step) return(failed("infinite"))
  if (anyNA(beta[!dropped])) return(failed("collinear"))
  if (fit$iter >= 60L) return(failed("not_converged"))
  list(coefficients = beta, loglik = if (one_step) NA_real_ else fit$loglik[2L],
       reason = "ok")
}

# init: of the kept columns; zeros by default.
reference_cox <- function(start, keep, w, init = NULL, steps = 60L) {
  live <- !is.na(start$coefficients)
  rows <- lapply(start$rows, function(v) {
    if (is.matrix(v)) v[keep, live, drop = FALSE] else v[keep]
  })
  y <- surv_of_rows(rows)
  x <- rows$x
  stratum <- rows$stratum
  shift <- rows$offset
  weight <- rows$weight * w[keep]
  survival::coxph(
    y ~ x + strata(stratum) + offset(shift), weights = weight,
    ties = start$ties, robust = FALSE,
    init = if (is.null(init)) numeric(sum(live)) else init,
    control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                      iter.max = steps)
  )
}

reference_dfbeta <- function(start) {
  n <- length(start$rows$stop)
  if (!is.null(start$penalty)) {
    at <- reference_derivatives_at(start, rep(1, n), start$coefficients)
    return(at$scores %*% start$var)
  }
  fit <- suppressWarnings(reference_cox(start, rep(TRUE, n), rep(1, n)))
  out <- matrix(0, n, length(start$coefficients))
  out[, !is.na(start$coefficients)] <-
    stats::residuals(fit, "dfbeta", weighted = TRUE)
  out
}
