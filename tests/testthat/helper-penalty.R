# What the tests of penalised fits share.

smooth_fit <- function(study, smooth = "reml", ..., formula = NULL,
                       engine = one_engine(), cutoff = 20) {
  suppressWarnings(
    wce(formula %||% (Surv(entry, exit, event) ~ sex + age + exposure("a")),
        data = study$people, id = person_id, records = study$records,
        cutoff = cutoff, smooth = smooth, ...),
    classes = "vigitensor_warning"
  )
}

# What engines agree on is tested once; the rest by the fast one if it is there.
one_engine <- function() if (engine_available()) "cpu" else "reference"

# The rows of `study` cut at event times, with the columns of the fit's basis.
smooth_pieces <- function(study, fit, cutoff = 20) {
  basis <- fit$exposures[[1L]]$basis_matrix
  oracle_rows(study$people, study$records,
              function(lags) basis[lags, , drop = FALSE], cutoff = cutoff)
}

# coxph at given coefficients, without a step.
coxph_at <- function(pieces, coefficients, ties = "efron") {
  suppressWarnings(survival::coxph(
    Surv(entry, exit, event) ~ sex + age + feature, pieces, ties = ties,
    init = coefficients,
    control = survival::coxph.control(iter.max = 0)
  ))
}
