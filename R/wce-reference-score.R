# Score and martingale residuals by survival::residuals.coxph on expanded rows.
# Arguments and value are those of the engine function wce_scores().

wce_scores_reference <- function(start, stop, event, stratum, subject, offset,
                                 weight, x, n_subjects, terms, design,
                                 coefficients, ties = "efron",
                                 weighted = FALSE, by = "subject") {
  risk <- reference_risk_sets(start, stop, event, stratum)
  past <- reference_past(risk, subject, n_subjects, terms, list(design))
  columns <- lapply(seq_along(terms), function(k) {
    past$features(k, design[[k]])
  })
  z <- cbind(x[risk$row, , drop = FALSE], do.call(cbind, columns))
  used <- which(!is.na(coefficients))
  eta <- drop(z[, used, drop = FALSE] %*% coefficients[used])
  fit <- reference_at(risk, z[, used, drop = FALSE], eta + offset[risk$row],
                      weight[risk$row], ties)
  unit <- if (by == "subject") subject[risk$row] else risk$row
  n_units <- if (by == "subject") n_subjects else length(start)
  total <- function(values) {
    sums <- rowsum(values, unit, reorder = FALSE)
    filled <- matrix(0, n_units, ncol(sums))
    filled[as.integer(rownames(sums)), ] <- sums
    filled
  }
  score <- matrix(0, n_units, length(coefficients))
  if (length(used)) score[, used] <- total(as.matrix(fit("score", weighted)))
  list(score = score,
       martingale = drop(total(as.matrix(fit("martingale", weighted)))))
}

# Residuals of the model whose linear predictor is eta: an offset, with the
# coefficients of z held at zero.
reference_at <- function(risk, z, eta, weight, ties) {
  y <- survival::Surv(rep(1, length(eta)), risk$event)
  set <- risk$set
  control <- survival::coxph.control(iter.max = 0)
  fit <- suppressWarnings(
    if (ncol(z) == 0L) {
      survival::coxph(y ~ strata(set) + offset(eta), weights = weight,
                      ties = ties, robust = FALSE)
    } else {
      survival::coxph(y ~ z + strata(set) + offset(eta), weights = weight,
                      ties = ties, robust = FALSE, init = numeric(ncol(z)),
                      control = control)
    }
  )
  function(type, weighted) {
    stats::residuals(fit, type = type, weighted = weighted)
  }
}
