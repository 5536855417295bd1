# From a design (rows, terms, cumulated bases) to estimates, by any engine.

# rows: list of person rows (see wce_design()); terms: list of exposure terms;
# designs: over the grid, a list over terms of cumulated bases. Value: what the
# engine's fit_wce returns, with R's NA for a dropped column.
wce_fit_impl <- function(rows, terms, designs, ties = "efron", engine = "cpu",
                         control = list()) {
  compute <- switch(engine,
    reference = fit_wce_reference,
    function(...) engine_call("fit_wce", ...)
  )
  terms <- lapply(terms, function(term) {
    term[c("subject", "start", "stop", "dose")]
  })
  result <- compute(
    start = rows$start, stop = rows$stop, event = rows$event,
    stratum = rows$stratum, subject = rows$subject, offset = rows$offset,
    weight = rows$weight, x = rows$x, n_subjects = rows$n_subjects,
    terms = terms, designs = designs, ties = ties, control = unclass(control)
  )
  result$fits <- lapply(result$fits, tidy_fit)
  result
}

# Counts and dropped columns in R's own terms, whatever the engine sent.
tidy_fit <- function(fit) {
  dropped <- is.nan(fit$coefficients)
  fit$coefficients[dropped] <- NA_real_
  p <- length(fit$coefficients)
  fit$var <- matrix(fit$var, p, p)
  fit$iterations <- as.integer(fit$iterations)
  fit$infinite <- as.logical(fit$infinite)
  fit
}
