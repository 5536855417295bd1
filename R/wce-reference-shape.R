# The reference engine under inequalities A beta >= 0: Newton's method, each
# step the solution of a quadratic program by active sets. The likelihood is
# concave, so where its gradient points out of the feasible set it is at its
# maximum.

# Arguments as reference_coxph(); a: r x p, independent rows. Value: as there,
# with `active`: the rows that hold with equality.
reference_shaped <- function(risk, x, offset, weight, ties, control, a) {
  free <- reference_coxph(risk, x, offset, weight, ties, control)
  kept <- !is.nan(free$coefficients)
  inside <- a[, kept, drop = FALSE] %*% free$coefficients[kept]
  if (all(inside >= 0)) return(c(free, list(active = logical(nrow(a)))))
  # Centred, sums lose fewer digits.
  z <- sweep(x[, kept, drop = FALSE], 2L, colMeans(x[, kept, drop = FALSE]))
  found <- climb(function(beta) {
    reference_derivatives(risk, z, beta, offset, weight, ties)
  }, a[, kept, drop = FALSE], control)
  coefficients <- rep(NaN, ncol(x))
  coefficients[kept] <- found$beta
  var <- matrix(0, ncol(x), ncol(x))
  var[kept, kept] <- found$var
  list(
    coefficients = coefficients, var = var,
    loglik = c(free$loglik[1L], found$loglik),
    score = reference_score(risk, x, coefficients, offset, weight, ties),
    iterations = found$iterations, converged = found$converged,
    halvings = found$halvings, infinite = logical(ncol(x)),
    active = found$active
  )
}

# derive: beta -> list(loglik, score, info).
climb <- function(derive, a, control) {
  tolerance <- control$tol_step %||% 1e-13
  beta <- numeric(ncol(a))
  at <- derive(beta)
  halvings <- 0L
  polished <- FALSE
  converged <- FALSE
  for (iteration in seq_len(control$max_iter %||% 50L)) {
    step <- quadratic_step(at$score, at$info, a, drop(a %*% beta))
    gain <- sum(at$score * step$move) -
      sum(step$move * (at$info %*% step$move)) / 2
    converged <- gain < tolerance
    if (converged && polished) break
    polished <- converged
    share <- 1
    repeat {
      after <- derive(beta + share * step$move)
      if (after$loglik >= at$loglik - 1e-12 * (1 + abs(at$loglik))) break
      share <- share / 2
      halvings <- halvings + 1L
      if (share < 1e-9) break
    }
    beta <- beta + share * step$move
    at <- after
  }
  held <- a[step$active, , drop = FALSE]
  if (nrow(held)) { # exactly on the face
    beta <- beta - drop(t(held) %*% solve(tcrossprod(held), held %*% beta))
  }
  list(beta = beta, loglik = at$loglik, var = face_variance(at$info, held),
       active = step$active, iterations = iteration, converged = converged,
       halvings = halvings)
}

# The move d with the largest score'd - d'info d / 2 among those with
# slack + a d >= 0, and the rows that hold it back.
quadratic_step <- function(score, info, a, slack) {
  p <- length(score)
  unit <- 1 / sqrt(diag(info))
  score <- score * unit
  info <- info * tcrossprod(unit)
  a <- sweep(a, 2L, unit, "*")
  size <- sqrt(rowSums(a^2))
  a <- a / size
  slack <- pmax(slack / size, 0)
  move <- numeric(p)
  work <- slack <= 1e-14
  slack[work] <- 0
  for (pass in seq_len(50L + 10L * nrow(a))) {
    held <- a[work, , drop = FALSE]
    system <- rbind(cbind(info, -t(held)),
                    cbind(held, matrix(0, nrow(held), nrow(held))))
    solved <- solve(system, c(score, -slack[work]), tol = 0)
    target <- solved[seq_len(p)]
    multiplier <- solved[-seq_len(p)]
    rate <- drop(a %*% (target - move))
    room <- pmax(slack + drop(a %*% move), 0)
    ahead <- which(!work & rate < -1e-14)
    reach <- room[ahead] / -rate[ahead]
    if (length(reach) && min(reach) < 1) {
      move <- move + min(reach) * (target - move)
      work[ahead[which.min(reach)]] <- TRUE
      next
    }
    move <- target
    if (all(multiplier >= -1e-12 * max(abs(score), 1))) break
    work[which(work)[which.min(multiplier)]] <- FALSE
  }
  list(move = move * unit, active = work)
}

# Inverse of the information along the face where `held` beta = 0.
face_variance <- function(info, held) {
  unit <- 1 / sqrt(diag(info))
  info <- info * tcrossprod(unit)
  if (nrow(held) == 0L) return(solve(info, tol = 0) * tcrossprod(unit))
  q <- qr.Q(qr(t(sweep(held, 2L, unit, "*"))), complete = TRUE)
  along <- q[, -seq_len(nrow(held)), drop = FALSE]
  if (ncol(along) == 0L) return(info * 0)
  inverse <- along %*% solve(t(along) %*% info %*% along, t(along), tol = 0)
  inverse * tcrossprod(unit)
}
