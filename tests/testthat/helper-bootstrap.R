# What the tests of the bootstrap share.

# A fit of the random study that is called `study` where this is called, so that
# the call of the fit can be looked up there.
resampled_fit <- function(..., nknots = 1, engine = "reference",
                          formula = Surv(entry, exit, event) ~ sex + age +
                            exposure("a"), env = parent.frame()) {
  call <- rlang::call2(
    "wce", parse(text = deparse1(formula))[[1L]], data = quote(study$people),
    id = quote(person_id), records = quote(study$records), cutoff = 20,
    nknots = nknots, engine = engine, ...
  )
  suppressWarnings(eval(call, env), classes = "vigitensor_warning")
}

# One weight per person (1, 2, ... in the data's order), replicate by replicate,
# by coxph on rows written out. Value: list(coefficients, loglik).
coxph_replicates <- function(study, weights, nknots = 1, ties = "efron") {
  table <- wce_basis(20, wce_knots(20, nknots))
  pieces <- oracle_rows(study$people, study$records,
                        function(lags) table[lags, , drop = FALSE])
  fits <- lapply(seq_len(nrow(weights)), function(b) {
    pieces$drawn <- weights[b, pieces$person_id]
    suppressWarnings(survival::coxph(
      Surv(entry, exit, event) ~ sex + age + feature,
      pieces[pieces$drawn > 0, ], weights = drawn, ties = ties,
      control = at_optimum
    ))
  })
  list(coefficients = unname(do.call(rbind, lapply(fits, coef))),
       loglik = vapply(fits, function(f) f$loglik[2L], 0))
}
