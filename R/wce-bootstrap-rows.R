# Bootstrap of the other designs: sets of cases and controls are drawn, or
# people where there are no sets.

# strata: a quosure; settings: of check_bootstrap().
bootstrap_of_rows <- function(fit, data, records, strata, settings, reselect,
                              file, progress, env) {
  problem <- rows_again(fit, data, records, env)
  settings$engine <- rows_engine(settings$engine, problem$likelihood$kind)
  units <- list(
    label = fit$model$unit, n = problem$n_units, group = problem$unit,
    apart = FALSE, strata = strata_name(strata, problem$data),
    stratum = unit_strata(strata, problem$data, problem$data_unit,
                          problem$n_units)
  )
  selected <- which(fit$selection$selected)[1L]
  rows <- if (reselect) seq_along(problem$grid) else selected
  models <- lapply(rows, rows_model, fit = fit, problem = problem,
                   reselect = reselect)
  run <- lapply(models, rows_replicator, units = units, settings = settings)
  task <- list(
    run = if (reselect) function(first, count) {
      best_replicates(lapply(run, function(f) f(first, count)), fit)
    } else {
      run[[1L]]
    },
    bytes = 8 * length(problem$unit)
  )
  replicates <- resume_replicates(
    task, settings$times, settings$file,
    list(problem$at, lapply(models, `[[`, "z"), problem$likelihood),
    c(settings[c("kind", "method", "seed", "engine")],
      list(units = units[c("group", "stratum")], reselect = reselect,
           criterion = if (reselect) fit$criterion),
      list(smooth = lapply(fit$fits[rows], function(f) f$smoothing$theta))),
    progress
  )
  colnames(replicates$coefficients) <- if (reselect) longest_names(fit) else
    names(fit$coefficients)
  of_fit <- rows_model(selected, fit, problem, FALSE)
  new_bootstrap(
    replicates, settings, fit = fit, reselect = reselect, unit = units$label,
    n_units = units$n, strata = units$strata,
    influence = influence_moments(
      unit_scores(of_fit) %*% model_variance(fit), units$stratum,
      lapply(fit$exposures, `[[`, "index")
    ),
    class = "bootstrap_wce"
  )
}

# One design of the grid.
rows_model <- function(row, fit, problem, reselect) {
  this <- fit$fits[[row]]
  choices <- problem$grid[[row]]
  list(
    z = rows_columns(problem, choices), at = problem$at,
    likelihood = problem$likelihood, unit = problem$unit,
    n_units = problem$n_units, coefficients = this$coefficients,
    var = model_variance(this),
    penalty = replicate_penalty(this$smoothing, choices, fit$settings$smooth,
                                ncol(problem$design$at$x), reselect)
  )
}

# Value: function(first, count) -> replicates.
rows_replicator <- function(model, units, settings) {
  if (settings$engine != "reference" && model$likelihood$kind == "sets") {
    asked <- list(
      rows = set_rows(model$z, model$at, model$unit), terms = list(),
      tables = list(), ties = "breslow", coefficients = model$coefficients,
      control = unclass(model$likelihood$control), penalty = model$penalty
    )
    return(function(first, count) {
      engine_replicates(asked, units, settings, first, count)
    })
  }
  one <- switch(settings$method, fit = rows_refit(model),
                one_step = rows_stepper(model),
                influence = rows_influence(model))
  function(first, count) {
    weights <- draw_weights(units$n, settings$kind, settings$seed, first,
                            count, units$stratum)
    gather_replicates(lapply(seq_len(count), function(b) {
      w <- weights[b, ]
      if (!any(model$at$y > 0 & w[model$unit] > 0)) {
        return(failed_replicate(model, "no_event"))
      }
      one(w)
    }))
  }
}

rows_refit <- function(model) {
  begin <- zero_dropped(model$coefficients)
  function(w) {
    u <- w[model$unit]
    fit <- tryCatch(
      newton_rows(model$z, model$at, model$likelihood, model$penalty, u, begin),
      # Information that rounding has made singular.
      error = function(e) NULL
    )
    if (is.null(fit)) return(failed_replicate(model, "failed"))
    lost <- is.nan(fit$coefficients) & !is.na(model$coefficients)
    if (any(fit$infinite)) return(failed_replicate(model, "infinite"))
    if (any(lost)) return(failed_replicate(model, "collinear"))
    if (!fit$converged) return(failed_replicate(model, "not_converged"))
    loglik <- fit$loglik[2L]
    if (model$likelihood$kind %in% c("sets", "exact")) {
      # As of a Cox model whose rows have these weights.
      counts <- u * model$at$y
      loglik <- loglik - sum((counts * log(u))[counts > 0])
    }
    c(list(coefficients = fit$coefficients, loglik = loglik, reason = "ok"),
      if (!is.null(model$penalty) && model$penalty$method != "fixed") {
        list(df = sum(fit$var * fit$info))
      })
  }
}

rows_stepper <- function(model) {
  derive <- row_derivatives(model$z, model$at, model$likelihood$kind)
  kept <- !is.na(model$coefficients)
  beta <- zero_dropped(model$coefficients)
  theta <- numeric(length(beta))
  if (!is.null(model$penalty)) {
    theta <- colSums(exp(model$penalty$log_lambda) * model$penalty$parts)
  }
  function(w) {
    at <- derive(w[model$unit])(beta)
    info <- at$info + diag(theta, length(theta))
    step <- tryCatch(
      solve(info[kept, kept, drop = FALSE], (at$score - theta * beta)[kept]),
      error = function(e) NULL
    )
    if (is.null(step)) return(failed_replicate(model, "collinear"))
    moved <- unname(model$coefficients)
    moved[kept] <- moved[kept] + step
    list(coefficients = moved, loglik = NA_real_, reason = "ok")
  }
}

rows_influence <- function(model) {
  influence <- unit_scores(model) %*% unname(model$var)
  function(w) {
    list(coefficients = unname(model$coefficients) +
           drop(crossprod(influence, w - 1)),
         loglik = NA_real_, reason = "ok")
  }
}

# Score of every unit, units x p.
unit_scores <- function(model) {
  residual <- row_residuals(model$z, model$at, model$likelihood$kind,
                            zero_dropped(model$coefficients))
  sums <- rowsum(residual * model$z, model$unit)
  all <- matrix(0, model$n_units, ncol(sums))
  all[as.integer(rownames(sums)), ] <- sums
  all
}
