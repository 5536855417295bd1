# From a design (rows, terms, cumulated bases) to estimates, by any engine.

# rows: list of person rows (see wce_design()); terms: list of exposure terms;
# designs: over the grid, a list over terms of cumulated or integrated bases.
# Value: what the engine's fit_wce returns, with R's NA for a dropped column.
# inequalities: over the grid, the matrix A of A beta >= 0, or NULL; penalties:
# over the grid, what design_penalty() gives.
wce_fit_impl <- function(rows, terms, designs, ties = "efron", engine = "cpu",
                         control = list(), inequalities = NULL,
                         penalties = NULL) {
  compute <- switch(engine,
    reference = fit_wce_reference,
    function(...) engine_call("fit_wce", ...)
  )
  extra <- if (!all(vapply(inequalities, is.null, NA))) {
    list(inequalities = inequalities)
  }
  if (!all(vapply(penalties, is.null, NA))) extra$penalties <- penalties
  arguments <- c(
    engine_rows(rows, terms),
    list(designs = designs, ties = ties, control = unclass(control)), extra,
    engine_options(engine)
  )
  result <- do.call(compute, arguments, quote = TRUE)
  result$fits <- lapply(result$fits, tidy_fit)
  result
}

# What every engine function takes.
engine_rows <- function(rows, terms) {
  wanted <- c("subject", "start", "stop", "dose", "cells")
  list(
    start = rows$start, stop = rows$stop, event = rows$event,
    stratum = rows$stratum, subject = rows$subject, offset = rows$offset,
    weight = rows$weight, x = rows$x, n_subjects = rows$n_subjects,
    terms = lapply(terms, function(term) {
      term[intersect(wanted, names(term))]
    })
  )
}

# Residuals of one fit: list(score = subjects (or rows) x p, martingale).
wce_scores_impl <- function(rows, terms, design, coefficients, ties = "efron",
                            engine = "cpu", weighted = TRUE, by = "subject") {
  compute <- wce_scores_reference
  coefficients <- unname(coefficients)
  if (engine != "reference") {
    compute <- function(...) engine_call("wce_scores", ...)
    # A dropped column counts as zero: NA does not cross to an engine.
    coefficients[is.na(coefficients)] <- 0
  }
  arguments <- list(design = design, coefficients = coefficients, ties = ties,
                    weighted = weighted, by = by)
  do.call(compute, c(engine_rows(rows, terms), arguments), quote = TRUE)
}

# Counts and dropped columns in R's own terms, whatever the engine sent.
tidy_fit <- function(fit) {
  dropped <- is.nan(fit$coefficients)
  fit$coefficients[dropped] <- NA_real_
  p <- length(fit$coefficients)
  fit$var <- matrix(fit$var, p, p)
  fit$iterations <- as.integer(fit$iterations)
  fit$infinite <- as.logical(fit$infinite)
  fit$active <- as.logical(fit$active)
  fit
}
