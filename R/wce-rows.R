# The rows of a fit of another design once more: replicates, residuals and
# influence need the data, which a fit does not hold.
#
# What is independent, and so is drawn or left out, is a set of cases and
# controls, or a person where there are no sets.

# fit: with `model`. data, records: NULL takes what the call of the fit names,
# looked up in env. Value: list(design, grid, at = the rows that say something,
# kept = which these are, likelihood, unit = code of each, n_units, ids =
# labels of the units, data_unit = unit of every row of data or NA, data).
rows_again <- function(fit, data = NULL, records = NULL, env = globalenv()) {
  formula <- fit$formula
  environment(formula) <- env
  given <- function(name) {
    if (!is.null(fit$call[[name]])) look_up(fit$call[[name]], env, name)
  }
  data <- data %||% given("data")
  records <- records %||% given("records")
  check_table(data, "data")
  id <- fit$settings$id
  defaults <- fit$settings[names(fit$settings) != "id"]
  model <- fit$model
  design <- switch(
    model$kind,
    case_control = case_control_design(split_formula(formula), data, id,
                                       model$time, records, defaults,
                                       fit$clock),
    self_controlled = series_design(formula, data, id, records, defaults),
    poisson = poisson_design(formula, data, id, records, defaults, model$cuts)
  )
  grid <- wce_grid(design)
  check_same_problem(fit, design, grid, which(fit$selection$selected)[1L])
  design$terms <- terms_with_cells(design$terms, grid)
  c(list(design = design, grid = grid, data = data,
         likelihood = list(kind = model$likelihood, control = model$control)),
    rows_units(fit, design, data))
}

rows_units <- function(fit, design, data) {
  at <- design$at
  person <- subject_codes(id_values(new_faults(), data[[fit$settings$id]],
                                    fit$settings$id, "data"))
  kept <- if (is.null(at$stratum)) seq_along(at$y) else useful_sets(at)
  at <- rows_at(at, kept)
  label <- function(code) {
    as.character(data[[fit$settings$id]][match(code, person$code)])
  }
  if (fit$model$unit == "set") {
    unit <- dense_codes(factor(at$stratum))
    of_data <- rep(NA_integer_, nrow(data))
    of_data[kept] <- unit
    return(list(at = at, kept = kept, unit = unit, n_units = max(unit),
                ids = design$meta$strata[sort(unique(at$stratum))],
                data_unit = of_data))
  }
  people <- design$cases %||% seq_len(person$n)
  list(at = at, kept = kept, unit = at$subject, n_units = length(people),
       ids = label(people), data_unit = match(person$code, people))
}

# Columns of the rows that say something, for one row of the grid.
rows_columns <- function(problem, choices) {
  row_columns(problem$design, choices)$z[problem$kept, , drop = FALSE]
}

# rows_again() with `z`, and what residuals and influence look at.
rows_problem <- function(fit, data, records, env) {
  problem <- rows_again(fit, data, records, env)
  selected <- which(fit$selection$selected)[1L]
  problem$z <- rows_columns(problem, problem$grid[[selected]])
  problem$coefficients <- fit$coefficients
  problem$fitted <- list(loglik = fit$loglik)
  derive <- row_derivatives(problem$z, problem$at, problem$likelihood$kind)()
  check_same_likelihood(problem, derive(zero_dropped(fit$coefficients))$loglik -
                          log_lengths(problem$at))
  problem
}

# Score, y less what is expected, and events, named: of the units, or with `by`
# "row" of the rows of the data.
rows_scores <- function(problem, by = "subject") {
  residual <- row_residuals(problem$z, problem$at, problem$likelihood$kind,
                            zero_dropped(problem$coefficients))
  score <- residual * problem$z
  y <- problem$at$y
  if (by == "row") {
    names <- seq_len(nrow(problem$data))
    at <- match(names, problem$kept)
    score <- score[at, , drop = FALSE]
    residual <- residual[at]
    y <- y[at]
  } else {
    names <- problem$ids
    sums <- rowsum(cbind(score, residual, y), problem$unit)
    all <- matrix(0, problem$n_units, ncol(sums))
    all[as.integer(rownames(sums)), ] <- sums
    p <- ncol(score)
    score <- all[, seq_len(p), drop = FALSE]
    residual <- all[, p + 1L]
    y <- all[, p + 2L]
  }
  dimnames(score) <- list(names, names(problem$coefficients))
  list(score = score, martingale = stats::setNames(residual, names), events = y)
}

residuals_of_rows <- function(fit, type, by, data, records, env) {
  if (type %in% c("schoenfeld", "scaledsch") ||
        type == "deviance" && fit$model$kind != "poisson") {
    refuse_other_models(fit, sprintf("Residuals of type \"%s\" are", type))
  }
  if (by == "row" && fit$model$kind != "case_control") {
    refuse_other_models(fit, "Residuals by row are")
  }
  found <- rows_scores(rows_problem(fit, data, records, env), by)
  if (type == "martingale") return(found$martingale)
  if (type == "deviance") return(deviance_residuals(found))
  changed_coefficients(fit, found$score, type)
}

# Linear predictors of cases and controls; rows of person-time have several.
predict_of_rows <- function(fit, type, se_fit, reference, newdata, at, data,
                            records, env) {
  able <- fit$model$kind == "case_control" && is.null(newdata) &&
    is.null(at) && type %in% c("lp", "risk")
  if (!able) refuse_other_models(fit, "Such predictions are")
  problem <- rows_problem(fit, data, records, env)
  design <- problem$design
  selected <- which(fit$selection$selected)[1L]
  z <- row_columns(design, problem$grid[[selected]])$z
  if (fit$model$unit == "set" && reference == "sample") {
    means <- unname(fit$meta$means)
    columns <- seq_along(means)
    z[, columns] <- sweep(z[, columns, drop = FALSE], 2L, means)
  }
  names <- as.character(seq_len(nrow(z)))
  lp <- drop(z %*% zero_dropped(fit$coefficients)) + design$at$offset
  se <- if (se_fit) sqrt(row_forms(z, unname(fit$var)))
  if (type == "risk") {
    lp <- exp(lp)
    if (se_fit) se <- se * lp
  }
  found <- stats::setNames(lp, names)
  if (!se_fit) return(found)
  list(fit = found, se.fit = stats::setNames(se, names))
}
