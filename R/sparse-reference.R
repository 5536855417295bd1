# The reference for many drugs: every (row at risk, event time) pair written
# out, every drug a block of columns, and a plain proximal gradient method. For
# small data and as the oracle of the tests; arguments and values are those of
# the engine functions of the same names.

fit_sparse_reference <- function(people, records, model, lambdas = NULL,
                                 n_lambda = 20L, least = 1) {
  begun <- reference_sparse_start(people, records, model)
  largest <- begun$largest
  if (is.null(lambdas)) {
    top <- max(largest)
    if (top <= 0) top <- 1
    lambdas <- exp(seq(log(top), log(min(least, top / 2)),
                       length.out = n_lambda))
  }
  steps <- reference_sparse_path(begun, begun$problem, lambdas)
  bind <- function(name) do.call(rbind, lapply(steps, `[[`, name))
  list(
    lambdas = lambdas, gamma = bind("gamma"), b = bind("b"),
    loglik = as.vector(bind("loglik")),
    iterations = as.vector(bind("iterations")),
    converged = as.vector(bind("converged")),
    distance = as.vector(bind("distance")), recalled = 0 * lambdas,
    loglik_null = begun$null$loglik, largest = largest, rank = begun$rank,
    events = begun$problem$events,
    n_event_times = begun$problem$risk$n_times
  )
}

sparse_fold_reference <- function(people, records, model, lambdas, out) {
  begun <- reference_sparse_start(people, records, model)
  keep <- out[people$subject] == 0
  some <- people
  names <- setdiff(names(people), c("n_subjects", "x"))
  some[names] <- lapply(people[names], `[`, keep)
  some$x <- people$x[keep, , drop = FALSE]
  part <- reference_sparse_problem(some, records, model)
  share <- sum(some$event) / sum(people$event)
  steps <- reference_sparse_path(begun, part, lambdas * share)
  list(
    inside = vapply(steps, `[[`, 0, "loglik"),
    whole = vapply(steps, function(s) {
      reference_sparse_slopes(begun$problem, c(s$gamma, s$b))$loglik
    }, 0)
  )
}

sparse_one_step_reference <- function(people, records, model, gamma, b) {
  begun <- reference_sparse_start(people, records, model)
  at <- reference_sparse_slopes(begun$problem, c(gamma, b))
  n_col <- begun$problem$n_col
  q <- begun$problem$q
  var <- solve(at$info)
  own <- lapply(seq_len(records$n_drugs), function(g) {
    q + (g - 1L) * n_col + seq_len(n_col)
  })
  list(
    coefficients = c(gamma, b) + drop(var %*% at$score),
    var = do.call(rbind, lapply(own, function(k) {
      var[k, k, drop = FALSE]
    })),
    var_covariates = var[seq_len(q), seq_len(q), drop = FALSE],
    known = begun$rank == n_col
  )
}

# ---- the likelihood ----------------------------------------------------------

reference_sparse_problem <- function(people, records, model) {
  risk <- reference_risk_sets(people$start, people$stop, people$event,
                              people$stratum)
  basis <- apply(model$design, 2L, diff)
  basis <- matrix(basis, ncol = ncol(model$design))
  doses <- lapply(seq_len(records$n_drugs), function(g) {
    own <- records$drug == g
    reference_daily_doses(lapply(
      records[c("subject", "start", "stop", "dose")], `[`, own
    ))
  })
  histories <- reference_histories(
    risk, people$subject, people$n_subjects, doses,
    rep(nrow(basis), records$n_drugs)
  )
  columns <- lapply(histories, function(h) h %*% basis)
  list(
    risk = risk, q = ncol(people$x), n_col = ncol(basis),
    x = cbind(people$x[risk$row, , drop = FALSE], do.call(cbind, columns)),
    offset = people$offset[risk$row], weight = people$weight[risk$row],
    ties = model$ties,
    events = vapply(histories, function(h) {
      sum(risk$event == 1 & rowSums(h != 0) > 0)
    }, 0)
  )
}

reference_sparse_slopes <- function(problem, beta) {
  reference_derivatives(problem$risk, problem$x, beta, problem$offset,
                        problem$weight, problem$ties)
}

# ---- the metric --------------------------------------------------------------

reference_sparse_start <- function(people, records, model) {
  problem <- reference_sparse_problem(people, records, model)
  q <- problem$q
  z <- seq_len(q)
  null <- reference_sparse_null(problem)
  blocks <- lapply(seq_len(records$n_drugs), function(g) {
    own <- q + (g - 1L) * problem$n_col + seq_len(problem$n_col)
    info <- null$info[own, own, drop = FALSE]
    if (q) {
      info <- info - null$info[own, z, drop = FALSE] %*%
        solve(null$info[z, z], null$info[z, own, drop = FALSE])
    }
    reference_block(info, null$score[own], model)
  })
  list(problem = problem, null = null, blocks = blocks,
       alpha = model$alpha,
       rank = vapply(blocks, `[[`, 0, "rank"),
       largest = vapply(blocks, reference_entry, 0, model$alpha))
}

reference_sparse_null <- function(problem) {
  beta <- numeric(ncol(problem$x))
  z <- seq_len(problem$q)
  for (step in 1:30) {
    at <- reference_sparse_slopes(problem, beta)
    if (problem$q) beta[z] <- beta[z] + solve(at$info[z, z], at$score[z])
  }
  c(reference_sparse_slopes(problem, beta), list(beta = beta))
}

# One drug: T with T' M T = 1, its score and the rows of the second part.
reference_block <- function(info, score, model) {
  parts <- eigen(info, symmetric = TRUE)
  told <- parts$values > 1e-10 * max(parts$values, 1e-300)
  turn <- parts$vectors %*%
    diag(ifelse(told, 1 / sqrt(pmax(parts$values, 1e-300)), 0), nrow(info))
  size <- sqrt(pmax(diag(info), 0))
  if (model$kind == "fused") size[] <- sqrt(mean(size^2))
  list(turn = turn, rank = sum(told), score = drop(t(turn) %*% score),
       rows = model$second %*% (size * turn))
}

reference_entry <- function(block, alpha) {
  out <- function(lambda) {
    left <- reference_prox(block$score, 0, alpha * lambda, block$rows)
    sqrt(sum(left^2)) - (1 - alpha) * lambda * sqrt(block$rank)
  }
  top <- sqrt(sum(block$score^2) / max(block$rank, 1)) / (1 - alpha)
  if (top == 0) return(0)
  stats::uniroot(out, c(0, 2 * top), tol = 1e-12)$root
}

# argmin |t - x|^2 / 2 + near |t| + along sum_k |rows_k t|: the second part by
# its dual u in a box, of which every face is tried.
reference_prox <- function(x, near, along, rows) {
  if (along > 0 && any(x != 0)) {
    pull <- along * rows
    faces <- reference_faces(nrow(pull))
    for (k in seq_len(nrow(faces))) {
      u <- faces[k, ]
      free <- is.na(u)
      u[free] <- 0
      left <- x - drop(crossprod(pull, u))
      if (any(free)) {
        own <- pull[free, , drop = FALSE]
        u[free] <- qr.coef(qr(tcrossprod(own)), drop(own %*% left))
        u[is.na(u)] <- 0
        left <- x - drop(crossprod(pull, u))
      }
      slope <- drop(pull %*% left)
      slack <- 1e-11 * sqrt(sum(x^2)) * sqrt(rowSums(pull^2))
      if (all(abs(u[free]) <= 1 + 1e-11) && all(abs(slope[free]) <= slack) &&
            all((slope * u)[!free] >= -slack[!free])) break
    }
    x <- left
  }
  size <- sqrt(sum(x^2))
  if (size <= near) 0 * x else (1 - near / size) * x
}

# All ways to be inside (NA) or at an end of n ranges [-1, 1].
reference_faces <- function(n) {
  as.matrix(expand.grid(rep(list(c(NA, -1, 1)), n)))
}

# ---- the path ----------------------------------------------------------------

# Steps in theta = T^-1 b, in which the information is near the identity; the
# covariates in units of their own.
reference_sparse_path <- function(begun, problem, lambdas) {
  q <- problem$q
  n_col <- problem$n_col
  blocks <- begun$blocks
  own <- lapply(seq_along(blocks), function(g) {
    q + (g - 1L) * n_col + seq_len(n_col)
  })
  turn <- matrix(0, ncol(problem$x), ncol(problem$x))
  for (g in seq_along(blocks)) turn[own[[g]], own[[g]]] <- blocks[[g]]$turn
  z <- seq_len(q)
  if (q) {
    parts <- eigen(begun$null$info[z, z, drop = FALSE], symmetric = TRUE)
    turn[z, z] <- parts$vectors %*% diag(1 / sqrt(parts$values), q)
  }
  turned <- problem
  turned$x <- problem$x %*% turn
  theta <- numeric(ncol(problem$x))
  if (q) theta[z] <- solve(turn[z, z], begun$null$beta[z])
  steps <- list()
  for (lambda in lambdas) {
    near <- lambda * (1 - begun$alpha) * sqrt(begun$rank)
    prox <- function(t, step) {
      for (g in seq_along(blocks)) {
        t[own[[g]]] <- reference_prox(t[own[[g]]], step * near[g],
                                      step * lambda * begun$alpha,
                                      blocks[[g]]$rows)
      }
      t
    }
    found <- reference_ascent(turned, theta, prox)
    theta <- found$theta
    beta <- drop(turn %*% theta)
    steps[[length(steps) + 1L]] <- list(
      gamma = beta[z], b = beta[seq_along(beta) > q], loglik = found$loglik,
      iterations = found$iterations, converged = found$converged,
      distance = found$distance
    )
  }
  steps
}

# Newton's method, each of whose quadratic models is maximised by proximal
# gradients with momentum, which is given up where it overshoots.
reference_ascent <- function(problem, theta, prox, most = 30L, tol = 1e-9) {
  at <- reference_sparse_slopes(problem, theta)
  for (k in seq_len(most)) {
    distance <- max(abs(theta - prox(theta + at$score, 1)))
    if (distance < tol) break
    theta <- reference_quadratic(theta, at, prox)
    at <- reference_sparse_slopes(problem, theta)
  }
  list(theta = theta, loglik = at$loglik, iterations = k,
       converged = distance < tol, distance = distance)
}

reference_quadratic <- function(theta, at, prox) {
  step <- 1 / max(eigen(at$info, TRUE, TRUE)$values)
  now <- ahead <- theta
  pace <- 1
  for (k in 1:5000) {
    slope <- at$score - drop(at$info %*% (ahead - theta))
    new <- prox(ahead + step * slope, step)
    if (sum((ahead - new) * (new - now)) > 0) pace <- 1
    faster <- (1 + sqrt(1 + 4 * pace^2)) / 2
    ahead <- new + (pace - 1) / faster * (new - now)
    moved <- max(abs(new - now))
    now <- new
    pace <- faster
    if (moved < 1e-12) break
  }
  now
}
