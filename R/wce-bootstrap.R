# Bootstrap of a fit of wce(): patients, or groups of them, are drawn.

#' @rdname bootstrap
#' @export
bootstrap.wce <- function(fit, times = 1000, kind = "multinomial",
                          strata = NULL, method = "fit", reselect = FALSE,
                          seed = NULL, data = NULL, records = NULL, file = NULL,
                          progress = NULL, engine = fit$engine, ...) {
  check_no_more(..., known = setdiff(names(formals(bootstrap.wce)), "..."))
  settings <- check_bootstrap(times, kind, method, seed, file, engine)
  if (!rlang::is_bool(reselect)) {
    abort_input("`reselect` must be TRUE or FALSE.", arg = "reselect",
                code = "reselect")
  }
  if (reselect && method != "fit") {
    abort_input("`reselect = TRUE` needs `method = \"fit\"`.",
                x = "The criterion is that of a maximised likelihood.",
                arg = "method", code = "reselect")
  }
  shows_progress(progress)
  strata <- rlang::enquo(strata)
  env <- rlang::caller_env()
  if (!is.null(fit$model)) {
    return(bootstrap_of_rows(fit, data, records, strata, settings, reselect,
                             file, progress, env))
  }
  control <- if (!is.null(fit$call$control)) {
    as.list(look_up(fit$call$control, env, "control"))
  }
  store <- store_of_fit(fit, data, env)
  if (!is.null(store)) {
    again <- wce_store_again(fit, store, env)
    return(bootstrap_of_store(fit, again, strata, settings, reselect, control,
                              file, progress, "bootstrap_wce"))
  }
  data <- data %||% look_up(fit$call$data, env, "data")
  problem <- wce_again(fit, data, records, env)
  units <- wce_units(fit, problem, data, strata)
  grid <- wce_grid(problem$design)
  rows <- if (reselect) seq_along(grid) else which(fit$selection$selected)[1L]
  run <- lapply(rows, function(row) {
    wce_replicator(fit, problem, grid[[row]], row, units, settings, control,
                   reselect)
  })
  task <- list(
    run = if (reselect) function(first, count) {
      best_replicates(lapply(run, function(f) f(first, count)), fit)
    } else {
      run[[1L]]
    },
    bytes = 8 * problem$rows$n_subjects
  )
  replicates <- resume_replicates(
    task, settings$times, settings$file,
    list(problem$rows, problem$terms, lapply(grid[rows], lapply, `[[`, "table"),
         fit$ties, control),
    c(settings[c("kind", "method", "seed", "engine")],
      list(units = units[c("group", "stratum")], reselect = reselect,
           criterion = if (reselect) fit$criterion),
      if (!is.null(fit$smoothing)) {
        list(smooth = lapply(fit$fits[rows], function(f) f$smoothing$theta))
      }),
    progress
  )
  colnames(replicates$coefficients) <- if (reselect) {
    longest_names(fit)
  } else {
    names(fit$coefficients)
  }
  new_bootstrap(
    replicates, settings, fit = fit, reselect = reselect, unit = units$label,
    n_units = units$n, strata = units$strata,
    influence = wce_influence_moments(fit, problem, units, settings$engine),
    class = "bootstrap_wce"
  )
}

# What is drawn. Value: list(label, n, group = unit of every subject, stratum =
# of every unit or NULL, strata = its name, apart = are units not subjects?).
wce_units <- function(fit, problem, data, strata, env) {
  cluster <- problem$design$cluster
  id <- fit$settings$id
  person <- subject_codes(id_values(new_faults(), data[[id]], id, "data"))
  list(
    label = if (is.null(cluster$label)) "patient" else
      sprintf("cluster of `%s`", cluster$label),
    n = cluster$n, group = cluster$group, apart = !is.null(cluster$label),
    stratum = unit_strata(strata, data, cluster$group[person$code], cluster$n),
    strata = strata_name(strata, data)
  )
}

# One design of the grid. Value: function(first, count) -> replicates.
wce_replicator <- function(fit, problem, chosen, row, units, settings,
                           control, reselect = FALSE) {
  this <- fit$fits[[row]]
  model <- list(
    rows = problem$rows, terms = problem$terms,
    tables = lapply(chosen, `[[`, "table"), ties = fit$ties, control = control,
    coefficients = this$coefficients, var = model_variance(this),
    inequality = design_inequalities(chosen, ncol(problem$rows$x)),
    penalty = replicate_penalty(this$smoothing, chosen, fit$settings$smooth,
                                ncol(problem$rows$x), reselect)
  )
  check_shape_method(model$inequality, settings$method)
  function(first, count) {
    if (settings$engine != "reference") {
      return(engine_replicates(model, units, settings, first, count))
    }
    weights <- draw_weights(units$n, settings$kind, settings$seed, first,
                            count, units$stratum)
    single_replicates(model, weights[, units$group, drop = FALSE],
                      settings$method)
  }
}

# The penalty of replicates: that of the fit, or chosen anew.
replicate_penalty <- function(smoothing, chosen, smooth, n_covariates,
                              reselect) {
  if (is.null(smoothing)) return(NULL)
  penalty <- design_penalty(chosen, smooth, n_covariates)
  if (!reselect) penalty$method <- "fixed"
  penalty$log_lambda <- smoothing$log_lambda
  penalty
}

check_shape_method <- function(inequality, method) {
  if (is.null(inequality) || method == "fit") return(invisible())
  abort_input("A fit with a `shape` needs `method = \"fit\"`.",
              x = "Its coefficients stop at the inequalities.",
              arg = "method", code = "shape")
}

engine_replicates <- function(model, units, settings, first, count) {
  found <- do.call(engine_call, c(
    "fit_wce_many", engine_rows(model$rows, model$terms),
    list(design = model$tables,
         coefficients = zero_dropped(model$coefficients), ties = model$ties,
         method = settings$method, control = model$control),
    drawn_replicates(units, settings, model$inequality, first, count),
    if (!is.null(model$penalty)) list(penalty = model$penalty),
    engine_options(settings$engine)
  ), quote = TRUE)
  tidy_replicates(found$coefficients, found$loglik, unlist(found$reason),
                  found$df)
}

# Arguments of the engine that say which replicates: their weights, or how to
# draw them; and the inequalities that they keep to.
drawn_replicates <- function(units, settings, inequality, first, count) {
  drawn <- list(kind = settings$kind, seed = settings$seed,
                first = as.double(first), count = as.double(count))
  if (!is.null(units$stratum)) drawn$stratum <- units$stratum
  how <- if (units$apart) {
    found <- do.call(engine_call, c("replicate_weights", units$n, drawn))
    list(weights = found$weights[, units$group, drop = FALSE])
  } else {
    list(replicates = drawn)
  }
  if (!is.null(inequality)) how$inequality <- inequality
  how
}

tidy_replicates <- function(coefficients, loglik, reason, df = NULL) {
  coefficients[is.nan(coefficients)] <- NA_real_
  loglik <- as.double(loglik)
  loglik[is.nan(loglik)] <- NA_real_
  c(list(coefficients = coefficients, loglik = loglik,
         reason = as.character(reason)),
    if (!is.null(df)) list(df = as.double(df)))
}

# ---- the choice in every replicate ------------------------------------------

# found: over the grid, the replicates of each design. Value: replicates with
# the coefficients of the one that the criterion prefers, filled up with NA, and
# its `row`.
best_replicates <- function(found, fit) {
  price <- if (fit$criterion == "aic") 2 else log(fit$nevent)
  loglik <- do.call(cbind, lapply(found, `[[`, "loglik"))
  ok <- do.call(cbind, lapply(found, function(f) f$reason == "ok"))
  # Replicates with a penalty of their own have their own degrees of freedom.
  df <- do.call(cbind, lapply(seq_along(found), function(g) {
    found[[g]]$df %||% rep(fit$selection$df[g], nrow(loglik))
  }))
  value <- -2 * loglik + price * df
  value[!ok] <- Inf
  row <- max.col(-value, ties.method = "first")
  none <- rowSums(ok) == 0
  selected <- which(fit$selection$selected)[1L]
  size <- max(vapply(found, function(f) ncol(f$coefficients), 0L))
  count <- nrow(loglik)
  at <- cbind(seq_len(count), row)
  coefficients <- matrix(NA_real_, count, size)
  for (g in unique(row[!none])) {
    mine <- which(row == g & !none)
    p <- ncol(found[[g]]$coefficients)
    coefficients[mine, seq_len(p)] <- found[[g]]$coefficients[mine, ]
  }
  reason <- rep("ok", count)
  reason[none] <- found[[selected]]$reason[none]
  loglik <- loglik[at]
  loglik[none] <- NA_real_
  row[none] <- NA_integer_
  list(coefficients = coefficients, loglik = loglik, reason = reason,
       row = row)
}

longest_names <- function(fit) {
  sizes <- vapply(fit$fits, function(f) length(f$coefficients), 0L)
  names <- rep("", max(sizes))
  n_covariates <- min(fit$exposures[[1L]]$index) - 1L
  names[seq_len(n_covariates)] <- names(fit$coefficients)[seq_len(n_covariates)]
  rest <- seq_along(names) > n_covariates
  names[rest] <- paste0("spline", seq_len(sum(rest)))
  names
}

# ---- influence --------------------------------------------------------------

wce_influence_moments <- function(fit, problem, units, engine) {
  scores <- wce_scores_impl(problem$rows, problem$terms, problem$tables,
                            fit$coefficients, fit$ties, engine)$score
  influence <- scores %*% model_variance(fit)
  if (units$apart) influence <- rowsum(influence, units$group)
  influence_moments(influence, units$stratum,
                    lapply(fit$exposures, `[[`, "index"))
}
