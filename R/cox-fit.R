# From a design to an object of class "cox": the fit by the engine, and every
# component that survival::coxph would have put into its own.

# settings: ties, init, control, robust (TRUE, FALSE or NULL), nocenter,
# singular_ok. Value: a plain list in the order of a coxph object's components.
fit_design <- function(design, settings) {
  design$y <- fix_times(design$y, settings$control)
  design$offset <- centred_offset(design$offset)
  rows <- cox_rows(design)
  settings$init <- check_init(settings$init, rows, ncol(rows$x))
  fit <- engine_cox_fit(rows, settings, ridge_diagonal(design$ridge,
                                                       ncol(rows$x)))
  check_singular(fit, settings$singular_ok)
  fit$linear_predictors <- linear_predictors(fit, rows)
  labels <- coefficient_names(design)
  names(fit$coefficients) <- names(fit$means) <- labels
  names(fit$residuals) <- design$row_names
  c(components_of_fit(fit, design, settings),
    components_after_fit(fit, rows, design, settings),
    list(response = design$y, shifted = design$offset,
         converged = fit$converged || asked_to_stop(settings$control),
         infinite = stats::setNames(fit$infinite, labels),
         gradient = fit$score))
}

# With one iteration or none, that is what was wanted.
asked_to_stop <- function(control) {
  "iter.max" %in% control$given && control$iter.max <= 1
}

# coxph leaves out an offset of zeros, and takes the mean off any other.
centred_offset <- function(offset) {
  if (is.null(offset) || all(offset == 0)) return(NULL)
  offset - mean(offset)
}

# ---- before the fit ---------------------------------------------------------

# coxph lets times that differ by rounding errors be ties; whole numbers cannot.
fix_times <- function(y, control) {
  if (!isTRUE(control$timefix) || has_no_near_ties(y)) return(y)
  tryCatch(survival::aeqSurv(y), error = function(e) {
    abort_input(
      "Some rows are so short that start and stop are equal to rounding.",
      i = paste("Count time in smaller units, or keep such rows with",
                "`control = coxph.control(timefix = FALSE)`."),
      code = "stop_before_start"
    )
  })
}

has_no_near_ties <- function(y) {
  times <- bare_values(y)[seq_len(nrow(y) * (ncol(y) - 1L))]
  largest <- max(abs(times))
  # Whole numbers below this are apart by more than the tolerance of coxph.
  if (largest < 6e7 && all(times == round(times))) return(TRUE)
  times <- sort(times, method = "radix")
  gap <- diff(times)
  gap <- gap[gap > 0]
  length(gap) == 0L ||
    min(gap) > sqrt(.Machine$double.eps) * max(1, largest)
}

check_init <- function(init, rows, p) {
  if (is.null(init)) return(NULL)
  if (!is.numeric(init) || length(init) != p || !all(is.finite(init))) {
    abort_input(
      sprintf("`init` must be %d finite numbers, one per coefficient.", p),
      x = sprintf("It is %s.", what_is(init)), code = "init", arg = "init"
    )
  }
  init <- as.double(init)
  eta <- as.vector(rows$x %*% init)
  risk <- exp(eta - mean(eta) + rows$offset)
  if (any(is.infinite(risk)) || all(risk == 0)) {
    abort_input("With `init`, the risks overflow or vanish.",
                i = "Use values nearer to zero.", code = "init", arg = "init")
  }
  init
}

check_singular <- function(fit, singular_ok) {
  if (singular_ok || !anyNA(fit$coefficients)) return(invisible())
  abort_input(
    "The covariates are collinear.",
    x = sprintf("Columns that depend on those before: %s.",
                paste(which(is.na(fit$coefficients)), collapse = ", ")),
    i = "Leave them out, or use `singular.ok = TRUE`.", code = "collinear"
  )
}

# ---- after the fit ----------------------------------------------------------

# In coxph's own order of operations: rows of equal risk stay equal to the last
# bit, which the concordance counts as ties.
linear_predictors <- function(fit, rows) {
  beta <- ifelse(is.na(fit$coefficients), 0, fit$coefficients)
  if (length(beta) == 0L) return(rows$offset)
  as.vector(rows$x %*% beta) + rows$offset - sum(beta * fit$means)
}

# ---- the object -------------------------------------------------------------

components_of_fit <- function(fit, design, settings) {
  if (length(fit$coefficients) == 0L) {
    result <- list(loglik = fit$loglik[2L],
                   linear.predictors = fit$linear_predictors,
                   residuals = fit$residuals, method = settings$ties)
    return(if (ncol(design$y) == 3L) result[c(1L, 2L, 4L, 3L)] else result)
  }
  penalised <- length(design$ridge) > 0L
  details <- !penalised && settings$ties != "exact" && ncol(design$y) == 3L
  result <- c(
    list(coefficients = fit$coefficients, var = fit$var),
    if (penalised) list(var2 = fit$var2),
    list(loglik = fit$loglik),
    if (!penalised) list(score = fit$score_test),
    list(iter = if (penalised) c(1, fit$iterations) else fit$iterations,
         linear.predictors = fit$linear_predictors, residuals = fit$residuals,
         means = fit$means),
    if (details) list(first = fit$score, info = convergence_info(fit)),
    list(method = settings$ties)
  )
  if (penalised) {
    result <- c(result, ridge_components(design$ridge, fit, design$assign))
  }
  result
}

convergence_info <- function(fit) {
  c(rank = sum(!is.na(fit$coefficients)), rescale = 0L,
    "step halving" = as.integer(fit$halvings),
    convergence = if (isTRUE(fit$converged)) 0L else 1000L)
}

components_after_fit <- function(fit, rows, design, settings) {
  tolerance <- settings$control$toler.chol
  p <- length(fit$coefficients)
  plan <- robust_plan(design, settings)
  result <- list(n = nrow(design$y), nevent = as.double(sum(rows$event)),
                 terms = design$terms, assign = design$assign)
  var <- fit$var
  if (plan$robust && p > 0L && !all(is.na(fit$coefficients))) {
    found <- engine_cox_robust(rows, fit, settings, plan$groups)
    result$naive.var <- fit$var
    var <- found$var
    result$rscore <- wald_statistic(found$score_var, found$score, tolerance)
  }
  if (p > 0L) {
    result$wald.test <- wald_test(fit$coefficients, var, settings$init,
                                  tolerance)
  }
  result$concordance <- cox_concordance(rows, fit$linear_predictors,
                                        plan$of_concordance)
  result$robust_var <- var
  result
}
