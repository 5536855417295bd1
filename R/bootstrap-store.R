# Bootstrap of fits from a store: people, or groups of them, are drawn, and the
# replicates go through the blocks together. People are counted in the order of
# the blocks; where that is their order in the data frames, as in a store made
# of data frames, replicates of a seed are those of the fit in memory.

# problem: of store_problem(); rows: which designs of `grid`, or NULL for the
# problem's own; settings: of check_bootstrap().
bootstrap_of_store <- function(fit, problem, strata, settings, reselect,
                               control, file, progress, class) {
  on.exit(problem$end())
  if (settings$engine != "cpu") check_store_engine(settings$engine)
  units <- store_units(problem, strata)
  grid <- problem$grid
  rows <- if (reselect) seq_along(grid) else 1L
  run <- lapply(rows, function(row) {
    one <- problem
    if (reselect) {
      one$tables <- lapply(grid[[row]], `[[`, "table")
      one$coefficients <- fit$fits[[row]]$coefficients
      one$inequality <- design_inequalities(grid[[row]], problem$n_cov)
      one$smoothing <- fit$fits[[row]]$smoothing
    }
    if (!is.null(one$smoothing)) {
      at <- if (reselect) row else which(fit$selection$selected)[1L]
      one$penalty <- replicate_penalty(one$smoothing, grid[[at]],
                                       fit$settings$smooth, problem$n_cov,
                                       reselect)
    }
    store_replicator(one, units, settings, control, progress)
  })
  task <- list(
    run = if (reselect) function(first, count) {
      best_replicates(lapply(run, function(f) f(first, count)), fit)
    } else {
      run[[1L]]
    },
    bytes = 8 * problem$design$counts$subjects
  )
  replicates <- resume_replicates(
    task, settings$times, settings$file,
    list(problem$place$key, problem$tables, problem$ties,
         is.na(problem$coefficients), control),
    c(settings[c("kind", "method", "seed", "engine")],
      list(units = units[c("group", "stratum")], reselect = reselect,
           criterion = if (reselect) fit$criterion),
      if (!is.null(fit$smoothing)) {
        list(smooth = lapply(fit$fits, function(f) f$smoothing$theta))
      }),
    progress
  )
  colnames(replicates$coefficients) <- if (reselect) longest_names(fit) else
    names(fit$coefficients)
  influence <- store_residuals(problem, TRUE, progress)$score %*% problem$naive
  if (units$apart) influence <- rowsum(influence, units$group)
  new_bootstrap(
    replicates, settings, fit = fit, reselect = reselect, unit = units$label,
    n_units = units$n, strata = units$strata,
    influence = influence_moments(influence, units$stratum,
                                  lapply(fit$exposures, `[[`, "index")),
    class = class
  )
}

store_units <- function(problem, strata) {
  store <- problem$store
  group <- store_groups(problem)
  label <- problem$design$cluster$label
  n <- if (is.null(group)) as.integer(store$n_people) else max(group)
  # No rows: only the names of columns are looked at here.
  columns <- as.data.frame(lapply(store$people, function(kind) logical()),
                           optional = TRUE)
  name <- strata_name(strata, columns)
  stratum <- if (!is.null(name)) {
    parts <- store_column(store, name)
    unit <- if (is.null(group)) parts$person else group[parts$person]
    unit_strata(strata, stats::setNames(data.frame(parts$value), name), unit, n)
  }
  list(label = if (is.null(label)) "patient" else
         sprintf("cluster of `%s`", label),
       n = n, group = group %||% seq_len(n), apart = !is.null(group),
       stratum = stratum, strata = name)
}

# One column of the people of a store. Value: list(value, person = which person
# of the store each row is of).
store_column <- function(store, name) {
  notes <- store_notes(store)
  before <- c(0, cumsum(vapply(notes, `[[`, 0, "n_people")))
  parts <- lapply(seq_len(store$n_blocks), function(k) {
    x <- read_store_table(store, "people", k, notes, name)
    list(value = as.vector(x[[name]]), person = before[k] + x[[store$id]])
  })
  list(value = unlist(lapply(parts, `[[`, "value")),
       person = unlist(lapply(parts, `[[`, "person")))
}

# Value: function(first, count) -> replicates.
store_replicator <- function(problem, units, settings, control, progress) {
  check_shape_method(problem$inequality, settings$method)
  function(first, count) {
    begun <- do.call(engine_call, c(list(
      "store_many", path = problem$place$path,
      n_blocks = problem$place$n_blocks,
      n_terms = length(problem$design$terms), n_cov = problem$n_cov,
      design = problem$tables,
      coefficients = zero_dropped(problem$coefficients), ties = problem$ties,
      method = settings$method, control = unclass(control)
    ), drawn_replicates(units, settings, problem$inequality, first, count),
    if (!is.null(problem$penalty)) list(penalty = problem$penalty),
    option_memory()), quote = TRUE)
    # The bar is that of the replicates.
    found <- watch_fit(begun$number, problem$place$n_blocks, FALSE)
    tidy_replicates(found$coefficients, found$loglik, unlist(found$reason),
                    found$df)
  }
}

#' @export
bootstrap.cox_store <- function(fit, times = 1000, # nolint: object_name_linter.
                                kind = "multinomial", strata = NULL,
                                method = "fit", seed = NULL, data = NULL,
                                file = NULL, progress = NULL,
                                engine = fit$engine, ...) {
  check_no_more(..., known = setdiff(names(formals(bootstrap.cox)), "..."))
  settings <- check_bootstrap(times, kind, method, seed, file, engine)
  check_can_resample(fit, settings)
  shows_progress(progress)
  problem <- cox_store_again(fit, data, rlang::caller_env())
  bootstrap_of_store(fit, problem, rlang::enquo(strata), settings, FALSE, NULL,
                     file, progress, "bootstrap_cox")
}
