# The problem of a fitted model once more: bootstrap, residuals and predictions
# need the data, which a fit does not hold.

# fit: of wce(). data, records: NULL takes what the call of the fit names,
# looked up in env. Value: list(rows, terms, tables = cumulated bases of the
# selected fit by term, inequality = its matrix or NULL, design).
wce_again <- function(fit, data = NULL, records = NULL, env = globalenv()) {
  refuse_other_models(fit)
  call <- fit$call
  formula <- fit$formula
  environment(formula) <- env
  given <- function(name) {
    if (!is.null(call[[name]])) look_up(call[[name]], env, name)
  }
  data <- data %||% given("data")
  records <- records %||% given("records")
  if (is_claims_store(data)) abort_store_rows("This needs")
  check_table(data, "data")
  settings <- fit$settings
  design <- wce_design(split_formula(formula), data, settings$id, records,
                       settings[names(settings) != "id"],
                       rlang::new_quosure(call$weights, env), fit$clock)
  grid <- wce_grid(design)
  selected <- which(fit$selection$selected)[1L]
  check_same_problem(fit, design, grid, selected)
  design$terms <- terms_with_cells(design$terms, grid)
  chosen <- grid[[selected]]
  list(rows = design$rows, terms = design$terms,
       tables = lapply(chosen, `[[`, "table"),
       inequality = design_inequalities(chosen, ncol(design$rows$x)),
       penalty = design_penalty(chosen, settings$smooth,
                                ncol(design$rows$x)),
       design = design)
}

# That of a penalised spline comes from eigenvectors, which another library of
# linear algebra may round in another way.
same_basis_matrix <- function(now, then) {
  identical(dim(now), dim(then)) &&
    all(abs(now - then) <= 1e-9 * max(abs(then), 0))
}

# Baselines, risk sets and what is made of them are those of a cohort.
refuse_other_models <- function(fit, what = "This is") {
  if (is.null(fit$model)) return(invisible())
  abort_input(
    sprintf("%s not available for a %s.", what, fit$model$name),
    i = "It needs the follow-up of a cohort: `wce()`.", code = "other_model"
  )
}

look_up <- function(expression, env, name) {
  tryCatch(eval(expression, env), error = function(e) {
    abort_input(
      sprintf("`%s` of this fit is not to be found.", name),
      x = "It is looked up by what `$call` says.",
      i = sprintf("Give it again: `%s = `.", name),
      code = "data_missing", arg = name
    )
  })
}

# Data, and settings inside exposure(), may have changed since: numbers of rows
# and the knots tell.
check_same_problem <- function(fit, design, grid, selected) {
  changed <- character()
  if (!identical(design$counts$rows, fit$counts$rows) ||
        design$counts$subjects != fit$n_subjects ||
        design$counts$events != fit$nevent) {
    changed <- "data"
  }
  same_basis <- length(grid) >= selected &&
    length(grid[[selected]]) == length(fit$exposures) &&
    all(mapply(function(now, then) {
      same_basis_matrix(unname(now$basis_matrix), unname(plain_basis(then)))
    }, grid[[selected]], fit$exposures))
  if (!same_basis) changed <- c(changed, "settings")
  if (!length(changed)) return(invisible())
  abort_input(
    sprintf("The %s of this fit have changed since it was made.",
            paste(changed, collapse = " and the ")),
    i = "Fit the model again: `update(fit)`.", code = "data_changed"
  )
}
