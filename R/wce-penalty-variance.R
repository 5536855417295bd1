# What a penalised fit knows: effective degrees of freedom and covariances.
#
# With H the information, C = H + diag(theta) and V = C^-1,
#   edf          the diagonal of V H, 1 - theta V_ii: how free each coefficient
#                is
#   frequentist  V H V, the spread of the estimates around their mean
#   Bayesian     V, which has the bias of smoothing in it, on average over the
#                curve (Nychka 1988; Marra and Wood 2012)
#   smoothing    V once lambda is known from the data only. With weights p(rho)
#                proportional to the marginal likelihood times a prior, and the
#                estimates b(rho),
#                  sum over rho of p(rho) (V(rho) + (b(rho) - b)(b(rho) - b)')
#                on a grid of rho = log lambda, term by term. The prior is flat
#                for 1 / sqrt(lambda), the standard deviation of the curve's
#                bending (Gelman 2006, Bayesian Analysis 1, 515-534): a flat one
#                for rho would have all its weight at straight lines.
# Only what adds to V counts: the estimate is at one lambda, and does not vary
# less than it does there. First order in rho this is the correction of Wood,
# Pya and Saefken (2016), Journal of the American Statistical Association 111,
# 1548-1563, section 4.

# fit: of an engine, with info and log_lambda; penalty: of design_penalty().
# Value: the fit with `var` for intervals, and `smoothing` with the rest.
describe_smoothing <- function(fit, penalty) {
  if (is.null(penalty)) return(fit)
  p <- length(fit$coefficients)
  kept <- !is.na(fit$coefficients)
  info <- matrix(fit$info, p, p)
  bayes <- matrix(fit$var, p, p)
  rho <- as.vector(fit$log_lambda)
  parts <- matrix(penalty$parts, ncol = p)
  theta <- colSums(exp(rho) * parts)
  model <- list(
    at = fit$coefficients[kept], value = fit$loglik[2L],
    score = as.vector(fit$score + theta * fit$coefficients)[kept],
    info = info[kept, kept, drop = FALSE]
  )
  var <- bayes
  if (penalty$method != "fixed" && !any(fit$infinite)) {
    var[kept, kept] <- averaged_variance(model, parts[, kept, drop = FALSE],
                                         rho)
  }
  fit$smoothing <- list(
    lambda = exp(rho), log_lambda = rho, parts = rownames(penalty$parts),
    theta = theta, edf = ifelse(kept, 1 - theta * diag(bayes), 0),
    info = info, bayes = bayes,
    frequentist = bayes %*% info %*% bayes, method = penalty$method,
    reml = judge_smoothing(model, parts[, kept, drop = FALSE], rho,
                           "reml")$value
  )
  fit$var <- var
  fit$info <- fit$log_lambda <- NULL
  fit
}

# Covariance around the estimate at `rho`, with rho as uncertain as it is.
averaged_variance <- function(model, parts, rho) {
  at_rho <- judge_smoothing(model, parts, rho, "reml")
  if (is.null(at_rho)) return(diag(NA_real_, length(model$at)))
  range <- smoothing_range(parts, model$info)
  extra <- lapply(split(seq_along(rho), part_terms(parts)), function(own) {
    found <- averaged_term(model, parts, rho, own, range)
    positive_part(found, at_rho$v)
  })
  Reduce(`+`, extra, at_rho$v)
}

# Which parts share a coefficient, as codes.
part_terms <- function(parts) {
  shared <- tcrossprod(parts > 0) > 0
  apply(shared, 1L, which.max)
}

# What the uncertainty of the parts `own` of one term changes, those of the
# others held. From one inverse V at a moderate penalty of the term, the others
# come by the coefficients o that it touches: with D the change of theta there
# and G = (1 + D V_oo)^-1 D,
#   V - V_o G V_o'  and  b - V_o G b_o.
averaged_term <- function(model, parts, rho, own, range) {
  middle <- pmin(rho[own], range$middle[own] + 8)
  base <- judge_smoothing(model, parts, replace(rho, own, middle), "reml")
  if (is.null(base)) return(0 * model$info)
  o <- which(colSums(parts[own, , drop = FALSE]) > 0)
  mine <- parts[own, o, drop = FALSE]
  v <- base$v[o, o, drop = FALSE]
  b <- base$b[o]
  theta <- colSums(exp(middle) * mine)
  moved <- function(at) {
    own_theta <- colSums(exp(at) * mine)
    change <- own_theta - theta
    system <- diag(length(o)) + change * v
    g <- solve(system, diag(change, length(o)), tol = 0)
    step <- drop(g %*% b)
    log_det <- as.vector(determinant(system)$modulus)
    # The marginal likelihood, less that at the base.
    list(g = (g + t(g)) / 2, step = step,
         value = (sum(log(own_theta / theta)) - log_det - sum(b * step)) / 2)
  }
  estimate <- moved(rho[own])
  points <- as.matrix(expand.grid(lapply(middle, function(x) {
    x + seq(-9, 9, by = if (length(own) > 2L) 3 else 1.5)
  })))
  found <- lapply(seq_len(nrow(points)), function(k) moved(points[k, ]))
  density <- vapply(found, `[[`, 0, "value") - rowSums(points) / 2
  density[!is.finite(density)] <- -Inf
  weight <- exp(density - max(density))
  weight <- weight / sum(weight)
  total <- matrix(0, length(o), length(o))
  for (k in which(weight > 1e-9)) {
    total <- total + weight[k] * (
      estimate$g - found[[k]]$g + tcrossprod(found[[k]]$step - estimate$step)
    )
  }
  wide <- base$v[, o, drop = FALSE]
  wide %*% total %*% t(wide)
}

# What of a symmetric `x` is positive where `v` is the unit.
positive_part <- function(x, v) {
  size <- sqrt(diag(v))
  root <- chol(v / tcrossprod(size))
  inverse <- backsolve(root, diag(nrow(root)))
  found <- eigen(crossprod(inverse, (x / tcrossprod(size)) %*% inverse),
                 symmetric = TRUE)
  half <- crossprod(root, found$vectors) * size
  tcrossprod(sweep(half, 2L, sqrt(pmax(found$values, 0)), "*"))
}
