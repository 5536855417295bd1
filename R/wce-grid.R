# The grid of fits, over cutoffs and numbers of knots, and the object that holds
# them: one engine call fits them all.

# One element per fit: a list over terms of what term_choice() makes. The grid
# runs over the `cutoff` and `nknots` of wce(); a term with its own keeps them
# throughout. With one term its own may be several.
wce_grid <- function(design) {
  cutoffs <- grid_axis(design$terms, "cutoff")
  sizes <- grid_axis(design$terms, "nknots")
  points <- expand.grid(size = seq_along(sizes$values),
                        cutoff = seq_along(cutoffs$values))
  lapply(seq_len(nrow(points)), function(g) {
    lapply(seq_along(design$terms), function(k) {
      s <- design$terms[[k]]
      pick <- function(axis, at, own) if (axis$free[k]) axis$values[at] else own
      term_choice(s, pick(cutoffs, points$cutoff[g], s$cutoff),
                  pick(sizes, points$size[g], s$nknots))
    })
  })
}

# Value: list(free = does the term follow the grid, values).
grid_axis <- function(terms, name) {
  own <- vapply(terms, function(s) s$own[[name]], NA)
  several <- lengths(lapply(terms, `[[`, name)) > 1L
  if (any(own & several) && length(terms) > 1L) {
    abort_input(
      sprintf(paste("With several exposure terms, `%s` inside `exposure()` is",
                    "one number."), name),
      i = sprintf("A grid is given as `wce(%s = )`.", name), code = name
    )
  }
  free <- !own | length(terms) == 1L
  list(free = free,
       values = if (any(free)) terms[[which(free)[1L]]][[name]] else 1L)
}

# One term with one cutoff and number of knots.
term_choice <- function(s, cutoff, nknots) {
  choice <- penalised_choice(place_knots(s, cutoff, nknots), s)
  choice$inequality <- shape_matrix(nknots + s$order, s$constrained, s$order,
                                    s$shape)
  choice
}

place_knots <- function(s, cutoff, nknots) {
  n_lags <- cutoff - s$lag_in
  if (s$clock == "continuous") {
    knots <- smooth_knots(n_lags, nknots)
    at <- shown_lags(n_lags)
    table <- integrate_basis(n_lags, knots, s$constrained, s$order)
    return(list(
      cutoff = cutoff, nknots = nknots, lags = s$lag_in + at, knots = knots,
      basis_matrix = smooth_basis(n_lags, knots, s$constrained, s$order, at),
      integral = table, table = table
    ))
  }
  knots <- wce_knots(n_lags, nknots)
  basis <- wce_basis(n_lags, knots, s$constrained, s$basis, s$order)
  list(cutoff = cutoff, nknots = nknots, lags = s$lag_in + seq_len(n_lags),
       knots = knots, basis_matrix = basis, table = wce_cumulate(basis))
}

# The terms as engines want them: with the stretches of the lags of which
# coverage is asked, on the continuous clock.
terms_with_cells <- function(terms, grid) {
  lapply(seq_along(terms), function(k) {
    s <- terms[[k]]
    if (s$clock == "continuous") {
      lags <- lapply(grid, function(g) g[[k]]$lags - s$lag_in)
      s$cells <- sort(unique(unlist(lags)))
    }
    s
  })
}

# More coefficients than events cannot be estimated, but for those that a
# penalty holds.
check_size <- function(design, grid) {
  size <- vapply(grid, function(g) {
    ncol(design$rows$x) + sum(vapply(g, function(e) {
      held <- if (is.null(e$parts)) 0L else sum(colSums(e$parts) > 0)
      ncol(e$basis_matrix) - held
    }, 0L))
  }, 0L)
  if (max(size) >= design$counts$events) {
    abort_input(
      "There are too few events for so many coefficients.",
      x = sprintf("%d events for %d coefficients.", design$counts$events,
                  max(size)),
      i = "Use fewer knots or covariates.", code = "too_many_knots"
    )
  }
}

# ---- the result -------------------------------------------------------------

new_wce <- function(result, design, grid, criterion) {
  fits <- lapply(seq_along(grid), function(g) {
    name_fit(result$fits[[g]], design, grid[[g]])
  })
  n_events <- design$counts$events
  df <- unlist(lapply(fits, degrees_of_freedom))
  loglik <- vapply(fits, function(f) f$loglik[2L], 0)
  selection <- data.frame(
    cutoff = grid_column(grid, "cutoff"), nknots = grid_column(grid, "nknots"),
    df = df, loglik = loglik, aic = -2 * loglik + 2 * df,
    bic = -2 * loglik + log(n_events) * df,
    converged = vapply(fits, `[[`, NA, "converged")
  )
  best <- which.min(selection[[criterion]])
  selection$selected <- seq_along(fits) == best
  exposures <- lapply(seq_along(design$terms), function(k) {
    describe_term(design$terms[[k]], grid, k, as.vector(result$covered[[k]]),
                  ncol(design$rows$x))
  })
  select_fit(
    list(selection = selection, fits = fits, criterion = criterion,
         n_rows = design$counts$rows, n_subjects = design$counts$subjects,
         nevent = n_events, n_pairs = result$n_pairs,
         exposed_events = result$exposed_events,
         n_event_times = result$n_event_times, grid = exposures,
         counts = c(design$counts, list(
           records = lapply(design$terms, `[[`, "counts")
         )),
         meta = design$meta),
    best
  )
}

# An inequality that holds with equality takes a coefficient away; a penalty,
# a share of one.
degrees_of_freedom <- function(fit) {
  if (!is.null(fit$smoothing)) return(sum(fit$smoothing$edf))
  sum(!is.na(fit$coefficients)) - sum(fit$active)
}

# A number per fit; with several terms a string such as "1+2".
grid_column <- function(grid, name) {
  values <- lapply(grid, function(g) unlist(lapply(g, `[[`, name)))
  if (all(lengths(grid) == 1L)) return(unlist(values))
  vapply(values, paste, "", collapse = "+")
}

# Fills in everything of a fit that depends on the row of the grid.
select_fit <- function(fit, row) {
  chosen <- fit$fits[[row]]
  fit$selection$selected <- seq_along(fit$fits) == row
  fit[c("coefficients", "var", "loglik", "score", "iter", "converged",
        "infinite", "active")] <-
    chosen[c("coefficients", "var", "loglik", "score", "iterations",
             "converged", "infinite", "active")]
  fit$naive.var <- chosen$naive.var
  fit$smoothing <- chosen$smoothing
  fit$n_pairs <- chosen$n_pairs %||% fit$n_pairs
  fit$df <- fit$selection$df[row]
  fit$exposures <- lapply(fit$grid, function(term) {
    utils::modifyList(term[names(term) != "choices"], term$choices[[row]])
  })
  fit
}

name_fit <- function(fit, design, choices) {
  exposure_names <- lapply(seq_along(choices), function(k) {
    paste0(design$terms[[k]]$label, seq_len(ncol(choices[[k]]$basis_matrix)))
  })
  names <- c(colnames(design$rows$x), unlist(exposure_names))
  names(fit$coefficients) <- names
  dimnames(fit$var) <- list(names, names)
  if (!is.null(fit$naive.var)) dimnames(fit$naive.var) <- list(names, names)
  names(fit$infinite) <- names
  if (!is.null(fit$smoothing)) names(fit$smoothing$edf) <- names
  fit
}

describe_term <- function(term, grid, k, covered, n_covariates) {
  choices <- lapply(grid, function(g) {
    before <- n_covariates + sum(vapply(g[seq_len(k - 1L)], function(e) {
      ncol(e$basis_matrix)
    }, 0L))
    chosen <- g[[k]]
    # Whether a lag is covered does not depend on the cutoff.
    seen <- if (is.null(term$cells)) covered[seq_along(chosen$lags)] else
      covered_points(chosen$lags - term$lag_in, term$cells, covered)
    c(chosen[setdiff(names(chosen), c("table", "inequality"))],
      list(covered = seen,
           index = before + seq_len(ncol(chosen$basis_matrix))))
  })
  list(label = term$label, lag_in = term$lag_in,
       constrained = term$constrained, order = term$order, basis = term$basis,
       shape = term$shape, clock = term$clock,
       from_records = term$from_records, group = term$group,
       surface = term$surface, response = term$response, column = term$column,
       joint = term$joint,
       choices = choices)
}
