# Score and martingale residuals of the reference engine, written out set by
# set. Arguments and value are those of the engine function wce_scores().
# Source: Therneau and Grambsch (2000), Modeling Survival Data, section 4.6,
# with Efron's ties; equal to survival::residuals.coxph() on expanded rows.

wce_scores_reference <- function(start, stop, event, stratum, subject, offset,
                                 weight, x, n_subjects, terms, design,
                                 coefficients, ties = "efron",
                                 weighted = FALSE, by = "subject") {
  risk <- reference_risk_sets(start, stop, event, stratum)
  z <- reference_columns(risk, x, subject, n_subjects, terms, design)
  used <- !is.na(coefficients)
  eta <- drop(z[, used, drop = FALSE] %*% coefficients[used]) +
    offset[risk$row]
  each <- matrix(0, length(eta), length(coefficients) + 1L)
  for (pairs in split(seq_along(eta), risk$set)) {
    each[pairs, ] <- reference_residuals(
      z[pairs, , drop = FALSE], eta[pairs], weight[risk$row[pairs]],
      risk$event[pairs] == 1, ties
    )
  }
  if (weighted) each <- each * weight[risk$row]
  by_subject <- by == "subject"
  sums <- rowsum(each, if (by_subject) subject[risk$row] else risk$row)
  total <- matrix(0, if (by_subject) n_subjects else length(start), ncol(each))
  total[as.integer(rownames(sums)), ] <- sums
  score <- total[, -ncol(total), drop = FALSE]
  score[, !used] <- 0
  list(score = score, martingale = total[, ncol(total)])
}

# Covariates and exposure columns of every pair at risk.
reference_columns <- function(risk, x, subject, n_subjects, terms, design) {
  past <- reference_past(risk, subject, n_subjects, terms, list(design))
  columns <- lapply(seq_along(terms), function(k) {
    past$features(k, design[[k]])
  })
  cbind(x[risk$row, , drop = FALSE], do.call(cbind, columns))
}

# Of one risk set; the last column is the martingale residual.
reference_residuals <- function(z, eta, weight, dead, ties) {
  z <- cbind(z, 1)
  n_dead <- sum(dead)
  left_out <- if (ties == "efron") (seq_len(n_dead) - 1) / n_dead else
    numeric(n_dead)
  r <- exp(eta - max(eta))
  residual <- z * 0
  for (f in left_out) {
    share <- r * (1 - f * dead)
    s0 <- sum(weight * share)
    centre <- colSums(weight * share * z) / s0
    centre[ncol(z)] <- 0
    centred <- sweep(z, 2L, centre)
    residual <- residual + dead * centred / n_dead -
      mean(weight[dead]) * share * centred / s0
  }
  residual
}
