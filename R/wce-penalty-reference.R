# The reference engine under a penalty: Newton's method on the likelihood that
# is written out set by set, with the smoothing parameters chosen at every step.

# penalty: of design_penalty(). Value: as reference_coxph(), with info and
# log_lambda.
reference_penalised <- function(risk, x, offset, weight, ties, control,
                                penalty) {
  # Centred, sums lose fewer digits.
  z <- sweep(x, 2L, colMeans(x))
  derive <- function(beta) {
    reference_derivatives(risk, z, beta, offset, weight, ties)
  }
  penalised_newton(derive, ncol(x), sum(risk$event), control, penalty)
}

# derive: function of p coefficients -> list(loglik, score, info) of any
# likelihood; begin: where to begin, if that is known to be near.
penalised_newton <- function(derive, p, n_events, control, penalty,
                             begin = NULL) {
  parts <- penalty$parts
  start <- at <- derive(numeric(p))
  kept <- reference_kept(at$info, parts, control)
  beta <- numeric(p)
  if (!is.null(begin)) {
    near <- derive(begin)
    if (isTRUE(near$loglik > at$loglik)) {
      beta <- begin
      at <- near
    }
  }
  rho <- penalty$log_lambda
  moved <- 0
  longest <- Inf
  tolerance <- control$tol_step %||% 1e-13
  max_iter <- control$max_iter %||% 50L
  converged <- polished <- FALSE
  iterations <- halvings <- 0L
  repeat {
    if (penalty$method != "fixed" && iterations < 40L && !polished) {
      model <- list(at = beta[kept], value = at$loglik, score = at$score[kept],
                    info = at$info[kept, kept, drop = FALSE])
      around <- iterations < 3L
      wanted <- choose_smoothing(model, parts[, kept, drop = FALSE], rho,
                                 penalty$method, around)
      if (around) rho <- wanted
      move <- wanted - rho
      # A choice that turns back may go half as far from then on.
      if (sum(move * moved) < 0) longest <- min(longest, max(abs(moved)) / 2)
      moved <- move * min(1, longest / max(abs(move), 1e-300))
      rho <- rho + moved
    }
    theta <- colSums(exp(rho) * parts)
    gradient <- at$score - theta * beta
    var <- penalised_inverse(at$info, theta, kept)
    step <- drop(var %*% gradient)
    decrement <- sum(step * gradient)
    if (decrement < tolerance) {
      converged <- TRUE
      if (decrement <= 1e-18 || polished) break
      polished <- TRUE
    }
    if (iterations >= max_iter) break
    iterations <- iterations + 1L
    value <- at$loglik - sum(theta * beta^2) / 2
    share <- 1
    repeat {
      trial <- beta + share * step
      after <- derive(trial)
      reached <- after$loglik - sum(theta * trial^2) / 2
      if (is.finite(reached) && reached >= value - 1e-12 * (1 + abs(value))) {
        break
      }
      share <- share / 2
      halvings <- halvings + 1L
      if (share < 1e-9) break
    }
    if (share < 1e-9) break
    beta <- trial
    at <- after
  }
  list(
    coefficients = ifelse(kept, beta, NaN), var = var,
    loglik = c(start$loglik, at$loglik), score = gradient,
    iterations = iterations, converged = converged || decrement < 1e-7,
    halvings = halvings,
    # Nothing to gain, and still moving: the optimum is at infinity.
    infinite = kept & decrement < 1e-7 &
      abs(step) * sqrt(pmax(diag(start$info), 0) / n_events) > 1e-5,
    info = at$info,
    log_lambda = rho
  )
}

# Columns that are not collinear: a column under a penalty never is.
reference_kept <- function(info, parts, control) {
  theta <- colSums(exp(smoothing_range(parts, info)$middle) * parts)
  left <- info + diag(theta, length(theta))
  limit <- (control$tol_singular %||% .Machine$double.eps^0.75) *
    pmax(diag(left), 0)
  kept <- logical(length(theta))
  for (j in seq_along(theta)) {
    if (left[j, j] <= limit[j]) next
    kept[j] <- TRUE
    left <- left - tcrossprod(left[, j]) / left[j, j]
  }
  kept | theta > 0
}

penalised_inverse <- function(info, theta, kept) {
  c <- (info + diag(theta, length(theta)))[kept, kept, drop = FALSE]
  scale <- 1 / sqrt(diag(c))
  var <- matrix(0, length(theta), length(theta))
  var[kept, kept] <- chol2inv(chol(c * tcrossprod(scale))) * tcrossprod(scale)
  var
}
