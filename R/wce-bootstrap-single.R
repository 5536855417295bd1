# Replicates of the reference engine: a fit for every set of weights.

# model: rows, terms, tables, ties, control, coefficients and var of the fit,
# inequality; weights: replicates x subjects.
single_replicates <- function(model, weights, method) {
  one <- switch(method,
    fit = function(w) single_refit(model, w),
    one_step = reference_stepper(model),
    influence = reference_influence(model)
  )
  found <- lapply(seq_len(nrow(weights)), function(b) {
    w <- weights[b, ]
    dead <- model$rows$event == 1 & w[model$rows$subject] > 0
    if (!any(dead)) return(failed_replicate(model, "no_event"))
    one(w)
  })
  gather_replicates(found)
}

# found: a list over replicates of list(coefficients, loglik, reason).
gather_replicates <- function(found) {
  df <- unlist(lapply(found, function(f) f$df %||% NA_real_))
  tidy_replicates(
    do.call(rbind, lapply(found, `[[`, "coefficients")),
    vapply(found, `[[`, 0, "loglik"), vapply(found, `[[`, "", "reason"),
    if (!all(is.na(df))) df
  )
}

failed_replicate <- function(model, reason) {
  list(coefficients = rep(NA_real_, length(model$coefficients)),
       loglik = NA_real_, reason = reason)
}

single_refit <- function(model, w) {
  rows <- weighted_rows(model$rows, w[model$rows$subject])
  fit <- tryCatch(
    wce_fit_impl(rows, model$terms, list(model$tables), model$ties,
                 "reference", model$control %||% list(),
                 list(model$inequality), list(model$penalty))$fits[[1L]],
    # survival gives up where sums overflow.
    simpleError = function(e) NULL
  )
  if (is.null(fit)) return(failed_replicate(model, "failed"))
  lost <- is.na(fit$coefficients) & !is.na(model$coefficients)
  if (any(fit$infinite)) return(failed_replicate(model, "infinite"))
  if (any(lost)) return(failed_replicate(model, "collinear"))
  if (!fit$converged) return(failed_replicate(model, "not_converged"))
  c(list(coefficients = fit$coefficients, loglik = fit$loglik[2L],
         reason = "ok"),
    if (identical(model$penalty$method, "fixed") || is.null(fit$info)) NULL else
      list(df = sum(fit$var * fit$info)))
}

# Rows that were not drawn are left out.
weighted_rows <- function(rows, w) {
  keep <- w > 0
  rows$weight <- rows$weight * w
  rows$x <- rows$x[keep, , drop = FALSE]
  by_row <- c("subject", "start", "stop", "event", "stratum", "offset",
              "weight")
  rows[by_row] <- lapply(rows[by_row], `[`, keep)
  rows
}

# One Newton step: the columns of all pairs are made once.
reference_stepper <- function(model) {
  rows <- model$rows
  risk <- reference_risk_sets(rows$start, rows$stop, rows$event, rows$stratum)
  z <- reference_columns(risk, rows$x, rows$subject, rows$n_subjects,
                         model$terms, model$tables)
  kept <- !is.na(model$coefficients)
  beta <- model$coefficients[kept]
  theta <- numeric(length(kept))
  if (!is.null(model$penalty)) {
    theta <- colSums(exp(model$penalty$log_lambda) * model$penalty$parts)
  }
  theta <- theta[kept]
  z <- z[, kept, drop = FALSE]
  function(w) {
    weight <- rows$weight[risk$row] * w[rows$subject[risk$row]]
    there <- weight > 0
    some <- list(event = risk$event[there], set = risk$set[there])
    at <- reference_derivatives(some, z[there, , drop = FALSE], beta,
                                rows$offset[risk$row[there]], weight[there],
                                model$ties)
    step <- tryCatch(
      solve(at$info + diag(theta, length(theta)), at$score - theta * beta),
      error = function(e) NULL
    )
    if (is.null(step)) return(failed_replicate(model, "collinear"))
    moved <- model$coefficients
    moved[kept] <- beta + step
    list(coefficients = moved, loglik = NA_real_, reason = "ok")
  }
}

reference_influence <- function(model) {
  scores <- wce_scores_impl(model$rows, model$terms, model$tables,
                            model$coefficients, model$ties, "reference")$score
  influence <- scores %*% unname(model$var)
  function(w) {
    list(coefficients = unname(model$coefficients) +
           drop(crossprod(influence, w - 1)),
         loglik = NA_real_, reason = "ok")
  }
}
