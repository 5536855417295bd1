# Smoothing parameters, chosen on the quadratic model of a log-likelihood: the
# same as the engine's smoothing.py, which has the formulas, written for small
# problems and as its oracle. Also what the choice leaves uncertain.

# model: list(at, value, score, info); parts: k x p; rho: log lambda. Value:
# list(value, gradient, hessian, b, v), or NULL where it is not defined.
judge_smoothing <- function(model, parts, rho, method) {
  g <- exp(rho) * parts
  theta <- colSums(g)
  c <- model$info + diag(theta, length(theta))
  if (!all(is.finite(c)) || any(diag(c) <= 0)) return(NULL)
  scale <- 1 / sqrt(diag(c))
  root <- tryCatch(chol(c * tcrossprod(scale)), error = function(e) NULL)
  if (is.null(root)) return(NULL)
  v <- chol2inv(root) * tcrossprod(scale)
  b <- model$at + drop(v %*% (model$score - theta * model$at))
  away <- b - model$at
  loglik <- model$value + sum(model$score * away) -
    sum(away * (model$info %*% away)) / 2
  pull <- sweep(g, 2L, b, "*")
  move <- pull %*% v
  result <- list(b = b, v = v, slope = -move)
  if (method == "aic") {
    result$value <- loglik - sum(v * model$info)
    shrink <- drop(theta %*% v^2)
    result$gradient <- drop(g %*% (diag(v) - shrink) - move %*% (theta * b))
    return(result)
  }
  some <- theta > 0
  share <- sweep(g[, some, drop = FALSE], 2L, theta[some], "/")
  own <- (rowSums(share) - drop(pull %*% b) - drop(g %*% diag(v))) / 2
  result$value <- loglik - sum(theta * b^2) / 2 + sum(log(theta[some])) / 2 -
    sum(log(diag(root))) + sum(log(scale))
  result$gradient <- own
  result$hessian <- diag(own, length(own)) - tcrossprod(share) / 2 +
    tcrossprod(pull, move) + g %*% v^2 %*% t(g) / 2
  result
}

# Second derivatives of the criterion.
smoothing_curvature <- function(model, parts, rho, method) {
  here <- judge_smoothing(model, parts, rho, method)
  if (method == "reml") return(here$hessian)
  step <- 1e-4
  columns <- lapply(seq_along(rho), function(j) {
    shift <- step * (seq_along(rho) == j)
    (judge_smoothing(model, parts, rho + shift, method)$gradient -
       judge_smoothing(model, parts, rho - shift, method)$gradient) / (2 * step)
  })
  curve <- do.call(cbind, columns)
  (curve + t(curve)) / 2
}

# Value: the rho that the criterion prefers.
choose_smoothing <- function(model, parts, rho = NULL, method = "reml",
                             around = TRUE) {
  range <- smoothing_range(parts, model$info)
  look <- function(rho) judge_smoothing(model, parts, rho, method)
  if (is.null(rho) || around) {
    rho <- look_around(look, parts, rho %||% range$middle, range)
  }
  here <- look(rho)
  for (pass in seq_len(100L)) {
    slope <- here$gradient
    free <- abs(slope) > 1e-10 & !(rho <= range$low & slope < 0) &
      !(rho >= range$high & slope > 0)
    if (!any(free)) break
    curve <- smoothing_curvature(model, parts, rho, method)
    found <- eigen(-curve[free, free, drop = FALSE], symmetric = TRUE)
    size <- pmax(abs(found$values), 1e-11)
    move <- numeric(length(rho))
    move[free] <- found$vectors %*% (crossprod(found$vectors, slope[free]) /
                                       size)
    move <- move / max(1, max(abs(move)) / 4)
    slack <- 1e-13 * (1 + abs(here$value))
    better <- NULL
    for (halved in 0:39) {
      trial <- pmin(pmax(rho + move / 2^halved, range$low), range$high)
      after <- look(trial)
      if (is.null(after) || after$value < here$value - slack) next
      if (after$value <= here$value + slack &&
            max(abs(after$gradient)) >= max(abs(slope))) next
      better <- after
      break
    }
    if (is.null(better)) break
    rho <- trial
    here <- better
  }
  rho
}

# There may be several optima: the best of a coarse grid for the parts of one
# term, term after term.
look_around <- function(look, parts, rho, range) {
  best <- look(rho)$value %||% -Inf
  for (own in split(seq_along(rho), part_terms(parts))) {
    shifts <- expand.grid(rep(list(coarse_shifts(length(own))), length(own)))
    tried <- lapply(seq_len(nrow(shifts)), function(k) {
      at <- range$middle[own] + unlist(shifts[k, ])
      replace(rho, own, pmin(pmax(at, range$low[own]), range$high[own]))
    })
    values <- vapply(tried, function(r) look(r)$value %||% -Inf, 0)
    if (max(values) > best) {
      best <- max(values)
      rho <- tried[[which.max(values)]]
    }
  }
  rho
}

# The fewer along each axis, the more axes there are.
coarse_shifts <- function(n_axes) {
  seq(-15, 15, by = if (n_axes <= 2L) 3 else if (n_axes == 3L) 5 else 7.5)
}

# Where rho has any effect.
smoothing_range <- function(parts, info) {
  size <- diag(info)
  found <- vapply(seq_len(nrow(parts)), function(j) {
    told <- parts[j, ] > 0 & size > 1e-12 * max(size)
    if (!any(told)) return(numeric(3))
    ratio <- log(size[told] / parts[j, told])
    c(log(sum(size[told]) / sum(parts[j, told])), min(ratio) - 18,
      max(ratio) + 18)
  }, numeric(3))
  list(middle = found[1L, ], low = found[2L, ], high = found[3L, ])
}
