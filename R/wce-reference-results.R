# What predictions and checks need of a fit, by the reference engine: written
# out set by set. Arguments and values are those of the engine functions of the
# same names.

wce_baseline_reference <- function(start, stop, event, stratum, subject, offset,
                                   weight, x, n_subjects, terms, design,
                                   coefficients, ties = "efron",
                                   residuals = FALSE) {
  sets <- reference_sets(start, stop, event, stratum, subject, offset, weight,
                         x, n_subjects, terms, design, coefficients)
  steps <- lapply(sets, function(set) {
    shares <- efron_shares(set, ties)
    hazard <- variance <- 0
    dead <- set$dead
    loglik <- sum((set$weight * log(set$risk))[dead])
    mean <- centre <- numeric(ncol(set$z))
    for (f in shares) {
      r <- set$weight * set$risk * (1 - f * set$dead)
      s0 <- sum(r)
      xbar <- colSums(r * set$z) / s0
      w <- mean(set$weight[dead])
      loglik <- loglik - w * log(s0)
      hazard <- hazard + w / s0
      variance <- variance + w / s0^2
      mean <- mean + w * xbar / s0
      centre <- centre + xbar / length(shares)
    }
    list(hazard = hazard, variance = variance, mean = mean, loglik = loglik,
         schoenfeld = sweep(set$z[dead, , drop = FALSE], 2L, centre),
         row = set$row[dead])
  })
  pick <- function(name) vapply(steps, `[[`, 0, name)
  by_row <- function(name) {
    do.call(rbind, lapply(steps, `[[`, name))
  }
  result <- list(
    time = vapply(sets, `[[`, 0, "time"),
    stratum = vapply(sets, function(s) as.integer(s$stratum), 0L),
    hazard = pick("hazard"), variance = pick("variance"),
    mean = by_row("mean"), shift = vapply(sets, `[[`, 0, "shift"),
    loglik = sum(pick("loglik"))
  )
  if (residuals) {
    result$schoenfeld <- by_row("schoenfeld")
    result$row <- unlist(lapply(steps, `[[`, "row"))
  }
  result
}

wce_time_information_reference <- function(start, stop, event, stratum, subject,
                                           offset, weight, x, n_subjects, terms,
                                           design, coefficients, scale,
                                           ties = "efron") {
  sets <- reference_sets(start, stop, event, stratum, subject, offset, weight,
                         x, n_subjects, terms, design, coefficients)
  p <- length(coefficients)
  result <- list(score = numeric(p), info = matrix(0, p, p),
                 cross = matrix(0, p, p), square = matrix(0, p, p))
  for (k in seq_along(sets)) {
    set <- sets[[k]]
    w <- mean(set$weight[set$dead])
    for (f in efron_shares(set, ties)) {
      r <- set$weight * set$risk * (1 - f * set$dead)
      xbar <- colSums(r * set$z) / sum(r)
      v <- w * (crossprod(set$z, r * set$z) / sum(r) - tcrossprod(xbar))
      result$score <- result$score - scale[k] * w * xbar
      result$info <- result$info + v
      result$cross <- result$cross + scale[k] * v
      result$square <- result$square + scale[k]^2 * v
    }
    own <- colSums((set$weight * set$z)[set$dead, , drop = FALSE])
    result$score <- result$score + scale[k] * own
  }
  result
}

# Everybody at risk at each event time, sorted by stratum and time; risks are
# exp(linear predictor - shift).
reference_sets <- function(start, stop, event, stratum, subject, offset, weight,
                           x, n_subjects, terms, design, coefficients) {
  risk <- reference_risk_sets(start, stop, event, stratum)
  z <- reference_columns(risk, x, subject, n_subjects, terms, design)
  coefficients[is.na(coefficients)] <- 0
  eta <- drop(z %*% coefficients) + offset[risk$row]
  sets <- lapply(split(seq_along(eta), risk$set), function(pairs) {
    shift <- max(eta[pairs])
    row <- risk$row[pairs]
    list(z = unname(z[pairs, , drop = FALSE]), risk = exp(eta[pairs] - shift),
         weight = weight[row], dead = risk$event[pairs] == 1, row = row,
         shift = shift, time = risk$time[pairs[1L]],
         stratum = stratum[row[1L]])
  })
  unname(sets[order(vapply(sets, function(s) as.double(s$stratum), 0),
                    vapply(sets, `[[`, 0, "time"))])
}

efron_shares <- function(set, ties) {
  n_dead <- sum(set$dead)
  if (ties == "efron") (seq_len(n_dead) - 1) / n_dead else numeric(n_dead)
}
