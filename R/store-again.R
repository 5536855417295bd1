# The design of a fit from a store once more, and what the engine says of the
# fit at its coefficients.

# What the call of a fit names as its data, or `data`, if that is a store.
store_of_fit <- function(fit, data, env) {
  data <- data %||% tryCatch(eval(fit$call$data, env), error = function(e) NULL)
  if (is_claims_store(data)) data
}

# fit: of wce(). Value: list(design, tables, inequality, grid, coefficients,
# naive = variance of the model, ties, end = function() that deletes the
# folder).
wce_store_again <- function(fit, store, env) {
  formula <- fit$formula
  environment(formula) <- env
  settings <- fit$settings
  design <- store_design(split_formula(formula), store,
                         settings[names(settings) != "id"],
                         rlang::new_quosure(fit$call$weights, env), fit$clock)
  grid <- wce_grid(design)
  selected <- which(fit$selection$selected)[1L]
  check_same_problem(fit, design, grid, selected)
  chosen <- grid[[selected]]
  store_problem(design, store, lapply(chosen, `[[`, "table"), fit$ties,
                fit, list(
                  grid = grid, smoothing = fit$smoothing,
                  inequality = design_inequalities(chosen,
                                                   ncol(design$rows$x))
                ))
}

store_problem <- function(design, store, tables, ties, fit, more = list()) {
  c(list(
    design = design, store = store, place = design$store, tables = tables,
    ties = ties, coefficients = fit$coefficients,
    naive = unname(fit$smoothing$bayes %||% fit$naive.var %||% fit$var),
    n_cov = ncol(design$rows$x),
    end = function() engine_call("design_end", path = design$store$path)
  ), more)
}

# Score, martingale residual, number of events and of rows of every person, in
# the order of the blocks. Value: a list with a matrix and three vectors.
store_residuals <- function(problem, weighted, progress = NULL) {
  begun <- do.call(engine_call, c(list(
    "store_scores", path = problem$place$path,
    n_blocks = problem$place$n_blocks, n_terms = length(problem$design$terms),
    design = problem$tables, coefficients = zero_dropped(problem$coefficients),
    ties = problem$ties, weighted = weighted
  ), option_memory()), quote = TRUE)
  found <- watch_fit(begun$number, problem$place$n_blocks, progress)
  found$score <- matrix(found$score, ncol = length(problem$coefficients))
  found
}

zero_dropped <- function(coefficients) {
  coefficients <- unname(coefficients)
  coefficients[is.na(coefficients)] <- 0
  coefficients
}

# Ids of all people, as strings, in the order of the blocks.
store_ids <- function(store) {
  unlist(lapply(seq_len(store$n_blocks), function(k) {
    as.character(engine_call("store_read", path = store$path, block = k,
                             names = "people.id")$people.id)
  }))
}

# Group of every person, from 1, in the order of the blocks; NULL without a
# cluster().
store_groups <- function(problem) {
  if (is.null(problem$design$cluster$label)) return(NULL)
  folder <- file.path(problem$place$path, "design")
  1L + unlist(lapply(seq_len(problem$place$n_blocks), function(k) {
    as.integer(engine_call("store_read", path = folder, block = k,
                           names = "subjects.group")$subjects.group)
  }))
}

# Martingale, deviance, score residuals and changes of coefficients by person.
residuals_of_store <- function(problem, type, weighted, progress = NULL) {
  on.exit(problem$end())
  found <- store_residuals(problem, weighted, progress)
  ids <- store_ids(problem$store)
  gone <- found$rows == 0
  martingale <- stats::setNames(as.vector(found$martingale), ids)
  martingale[gone] <- NA
  if (type == "martingale") return(martingale)
  if (type == "deviance") {
    return(deviance_of(martingale, found$events))
  }
  score <- found$score
  var <- problem$naive
  if (type == "dfbetas") {
    size <- sqrt(diag(var))
    var <- var %*% diag(ifelse(size > 0, 1 / size, 0), length(size))
  }
  if (type != "score") score <- score %*% var
  score[, is.na(problem$coefficients)] <- NA
  score[gone, ] <- NA
  dimnames(score) <- list(ids, names(problem$coefficients))
  score
}

# Of several events survival takes d log(d - m): that of a Poisson number is
# d log((d - m) / d).
deviance_of <- function(martingale, events) {
  m <- martingale
  expected <- pmax(events - m, 0)
  part <- ifelse(events == 0, 0,
                 events * log(expected / pmax(events, 1e-300)))
  sign(m) * sqrt(pmax(-2 * (m + part), 0))
}
