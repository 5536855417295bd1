# What the tests of surfaces over dose and lag share.

# Spells of eight units, one after the other, with doses of 0.5 to 4: no two of
# a person overlap, and higher doses of "a" are riskier, the recent ones.
surface_study <- function(seed, n = 80L, days = 60L, effect = 0.1,
                          power = 1) {
  withr::with_seed(seed, {
    spell <- expand.grid(start = seq(-16L, days - 8L, by = 8L),
                         person_id = seq_len(n))
    spell$stop <- spell$start + sample(3:8, nrow(spell), TRUE)
    spell$dose <- sample(c(0.5, 1, 2, 3, 4), nrow(spell), TRUE)
    records <- spell[stats::runif(nrow(spell)) < 0.5, ]
    records$drug <- "a"
    unit <- matrix(0, n, days)
    for (k in which(records$start >= 0)) {
      at <- seq(records$start[k], records$stop[k] - 1L) + 1L
      unit[records$person_id[k], at[at <= days]] <- records$dose[k]^power
    }
    recent <- t(apply(unit, 1L, function(x) {
      cumsum(x) - c(rep(0, 6L), cumsum(x)[seq_len(days - 6L)])
    }))
    sex <- sample(c("f", "m"), n, TRUE)
    dies <- stats::runif(n * days) < 0.01 * exp(effect * recent)
    first <- max.col(cbind(dies, TRUE), "first")
    people <- data.frame(person_id = seq_len(n), entry = 0,
                         exit = pmin(first, days),
                         event = as.integer(first <= days), sex = factor(sex),
                         age = round(stats::rnorm(n, 50, 10)))
    list(people = people, records = records)
  })
}

surface_formula <- function(spline = dose_spline(top = 4)) {
  environment()
  stats::as.formula(substitute(
    Surv(entry, exit, event) ~ sex + age + exposure("a", dose = spline),
    list(spline = spline)
  ), env = parent.frame())
}

# The doses at every lag of every row between event times, in `feature`.
surface_rows <- function(study, cutoff) {
  oracle_rows(study$people, study$records,
              function(lags) diag(length(lags)), cutoff = cutoff)
}

# Columns of the fit from doses by lag, the terms one after the other.
surface_columns <- function(fit, dose) {
  do.call(cbind, lapply(fit$exposures, function(e) {
    g <- dose_columns(e$response, as.vector(dose))[, e$column]
    matrix(g, nrow(dose)) %*% e$basis_matrix
  }))
}
