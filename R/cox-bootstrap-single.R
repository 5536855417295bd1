# Bootstrap of fits of cox() whose replicates are fitted one by one: exact ties,
# what survival::coxph() fits for us, and ridge penalties of the reference
# engine.

# Weights are no part of the exact likelihood, nor of survival's penalised
# fits of (start, stop] rows with Efron's ties, which then end away from the
# optimum: rows are copied instead.
needs_copies <- function(fit) {
  if (is.null(fit$passed_on)) return(fit$method == "exact")
  inherits(fit, "coxph.penal") && fit$method == "efron" &&
    grepl("counting", attr(fit[["y"]], "type") %||% "counting")
}

# Value: a replicate. coefficients: as the fit has them, NA where missing.
judge_refit <- function(start, coefficients, loglik, infinite, converged) {
  failed <- function(reason) failed_replicate(start, reason)
  if (infinite) return(failed("infinite"))
  if (any(is.na(coefficients) & !is.na(start$coefficients))) {
    return(failed("collinear"))
  }
  if (!converged) return(failed("not_converged"))
  coefficients[is.na(start$coefficients)] <- NA
  list(coefficients = unname(coefficients), loglik = loglik, reason = "ok")
}

# ---- exact ties -------------------------------------------------------------

# weights: replicates x units, whole numbers.
exact_replicates <- function(start, weights, engine) {
  rows <- start$rows
  nested <- all(tapply(start$unit, rows$stratum, function(u) all(u == u[1L])))
  gather_replicates(lapply(seq_len(nrow(weights)), function(b) {
    drawn <- copied_rows(rows, weights[b, start$unit], nested)
    if (!any(drawn$event == 1)) return(failed_replicate(start, "no_event"))
    exact_refit(start, drawn, engine)
  }))
}

# A stratum that is drawn as a whole, as a matched set is, is another stratum
# each time; copies of a part of one are in it together.
copied_rows <- function(rows, w, nested) {
  at <- rep.int(seq_along(w), w)
  out <- lapply(rows, function(v) {
    if (is.matrix(v)) v[at, , drop = FALSE] else v[at]
  })
  if (nested) {
    copy <- sequence(w[w > 0])
    out$stratum <- out$stratum + (copy - 1) * max(rows$stratum, 0L)
  }
  out$stratum <- match(out$stratum, sort(unique(out$stratum)))
  out
}

exact_refit <- function(start, rows, engine) {
  live <- !is.na(start$coefficients)
  rows$x <- rows$x[, live, drop = FALSE]
  beta <- rep(NA_real_, length(live))
  if (engine != "reference") {
    fit <- engine_cox_fit(rows, list(
      ties = "exact", init = NULL, nocenter = -1:1, engine = "cpu",
      control = list(given = character(), toler.chol = .Machine$double.eps^0.75)
    ), NULL)
    beta[live] <- fit$coefficients
    return(judge_refit(start, beta, fit$loglik[2L], any(fit$infinite),
                       isTRUE(fit$converged)))
  }
  heard <- new_ear()
  fit <- listening(heard, survival::coxph(
    surv_of_rows(rows) ~ rows$x + strata(rows$stratum) + offset(rows$offset),
    ties = "exact",
    control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                      iter.max = 60L)
  ))
  if (is.null(fit)) return(failed_replicate(start, "failed"))
  beta[live] <- fit$coefficients
  judge_refit(start, beta, fit$loglik[2L], length(heard$infinite) > 0L,
              !heard$not_converged)
}

surv_of_rows <- function(rows) {
  if (is.null(rows$start)) return(survival::Surv(rows$stop, rows$event))
  survival::Surv(rows$start, rows$stop, rows$event)
}

# ---- fits of survival::coxph() ----------------------------------------------

# As cox_again(), of a fit that was passed on.
coxph_again <- function(fit, data) {
  if (!is.null(data)) {
    check_table(data, "data")
    fit$call$data <- data
  }
  env <- environment(fit$terms)
  # survival looks for this function where it is called from.
  if (!is.null(fit$call$tt)) fit$call$tt <- eval(fit$call$tt, env)
  table <- fit_data(fit, env)
  if (!is.data.frame(table)) {
    abort_input("The bootstrap of this fit needs its `data`.",
                x = sprintf("`coxph()` fits %s.", fit$passed_on),
                arg = "data", code = "data_missing")
  }
  frame <- frame_of_coxph(fit, env)
  at <- data_rows(row.names(frame), fit$call, env)
  if (nrow(frame) != fit$n || anyNA(at)) {
    abort_input("The data of this fit have changed since it was made.",
                i = "Fit the model again: `update(fit)`.",
                code = "data_changed")
  }
  y <- stats::model.response(frame)
  weight <- stats::model.weights(frame)
  if (!inherits(fit, "coxphms")) fit$call$formula <- fit$formula
  problem <- list(
    rows = lapply(table[at, , drop = FALSE], function(v) v), n = nrow(frame),
    event = surv_status(y) > 0, used = table[at, , drop = FALSE], env = env,
    call = fit$call,
    weight = if (is.null(weight)) rep(1, nrow(frame)) else as.double(weight),
    weighted = !is.null(weight), multistate = inherits(fit, "coxphms"),
    cluster = stats::model.extract(frame, "cluster"),
    id = stats::model.extract(frame, "id"), data = table, at = function() at
  )
  # What stops here would make all replicates fail.
  tryCatch(
    suppressWarnings(eval(refit_call(problem, rep(1, nrow(frame)), FALSE),
                          env)),
    error = function(e) {
      abort_input("`coxph()` could not fit this model again.",
                  x = conditionMessage(e), arg = "fit", code = "coxph")
    }
  )
  problem
}

# survival's model.frame() of a fit with tt() has a row for every person at
# every event.
frame_of_coxph <- function(fit, env) {
  if (is.null(attr(fit$terms, "specials")$tt)) {
    return(stats::model.frame(as_coxph(fit)))
  }
  formula <- fit$formula
  environment(formula) <- rlang::env(env, tt = identity)
  eval(frame_call(fit$call, formula), env)
}

replicates_by_coxph <- function(fit, problem, units, weights) {
  start <- list(coefficients = unname(fit$coefficients))
  copies <- needs_copies(fit)
  gather_replicates(lapply(seq_len(nrow(weights)), function(b) {
    w <- weights[b, units$group]
    if (!any(problem$event & w > 0)) {
      return(failed_replicate(start, "no_event"))
    }
    heard <- new_ear()
    again <- listening(heard, eval(refit_call(problem, w, copies),
                                   problem$env))
    if (!is.list(again) || is.null(again$coefficients) ||
          !is.null(again$fail)) {
      return(failed_replicate(start, "failed"))
    }
    found <- again$coefficients[names(fit$coefficients)]
    judge_refit(start, found, again$loglik[length(again$loglik)],
                length(heard$infinite) > 0L, !heard$not_converged)
  }))
}

# The call of the fit on the rows that were drawn. What `subset` left and how
# the variance is computed have been settled, or do not matter here.
refit_call <- function(problem, w, copies) {
  call <- problem$call
  call[[1L]] <- quote(survival::coxph)
  call[c("engine", "light", "model", "x", "y", "subset", "cluster")] <- NULL
  if (!problem$multistate) call$id <- NULL
  call$robust <- FALSE
  at <- if (copies) rep.int(seq_along(w), w) else which(w > 0)
  call$data <- problem$used[at, , drop = FALSE]
  call$weights <- NULL
  if (!copies) call$weights <- (problem$weight * w)[at] else
    if (problem$weighted) call$weights <- problem$weight[at]
  call
}

new_ear <- function() {
  heard <- new.env(parent = emptyenv())
  heard$infinite <- integer()
  heard$not_converged <- FALSE
  heard
}

# The value of a call of coxph(), or NULL where it stops.
listening <- function(heard, code) {
  withCallingHandlers(
    tryCatch(code, error = function(e) NULL),
    warning = function(w) {
      listen_to_coxph(w, heard)
      tryInvokeRestart("muffleWarning")
    }
  )
}

# ---- ridge by the reference engine ------------------------------------------

# Newton's steps with coxph's derivatives: its own penalised fits do not always
# end at the optimum.
reference_ridge_refit <- function(start, w, method) {
  if (!any(start$rows$event[w > 0] == 1)) {
    return(failed_replicate(start, "no_event"))
  }
  live <- !is.na(start$coefficients)
  theta <- start$penalty[live]
  one_step <- method == "one_step"
  beta <- if (one_step) start$coefficients else ifelse(live, 0, NA)
  done <- one_step
  for (step in seq_len(if (one_step) 1L else 60L)) {
    at <- reference_derivatives_at(start, w, beta)
    if (is.null(at)) return(failed_replicate(start, "failed"))
    move <- tryCatch(
      solve(at$info + diag(theta, length(theta)),
            at$score - theta * beta[live]),
      error = function(e) NULL
    )
    if (is.null(move)) return(failed_replicate(start, "collinear"))
    beta[live] <- beta[live] + move
    done <- done || max(abs(move)) < 1e-12 * max(1, abs(beta[live]))
    if (done) break
  }
  loglik <- if (one_step) NA_real_ else
    reference_derivatives_at(start, w, beta)$loglik
  judge_refit(start, beta, loglik, FALSE, done)
}

# Value: loglik, score and info of the kept columns, and scores (rows x p).
reference_derivatives_at <- function(start, w, beta) {
  keep <- w > 0
  live <- !is.na(beta)
  fit <- listening(new_ear(), reference_cox(start, keep, w, init = beta[live],
                                            steps = 0L))
  if (is.null(fit)) return(NULL)
  scores <- matrix(0, length(w), length(beta))
  scores[keep, live] <- stats::residuals(fit, "score", weighted = TRUE)
  list(loglik = fit$loglik[1L], scores = scores,
       score = colSums(scores)[live], info = solve(fit$var))
}
