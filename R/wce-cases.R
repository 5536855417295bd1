# What is said of the rows apart from the model: case weights and clusters.

# ---- case weights -----------------------------------------------------------

# Variables of the weights that are neither in data nor in sight.
absent_weights <- function(weights, data) {
  Filter(function(name) {
    !name %in% names(data) && !exists(name, envir = rlang::quo_get_env(weights))
  }, all.vars(rlang::quo_get_expr(weights)))
}

# Value: one weight per row of data; ones without weights, or after a fault.
read_weights <- function(faults, weights, data) {
  none <- rep.int(1, nrow(data))
  value <- rlang::eval_tidy(weights, data)
  if (is.null(value)) return(none)
  label <- rlang::as_label(weights)
  value <- number_column(faults, value, label, "data")
  if (is.null(value)) return(none)
  if (length(value) != nrow(data)) {
    abort_input("`weights` must have one number per row of `data`.",
                x = sprintf("It has %s; `data` has %s rows.",
                            format_count(length(value)),
                            format_count(nrow(data))),
                arg = "weights", code = "weights")
  }
  rows <- which(value < 0)
  if (length(rows)) {
    add_fault(faults, "weights",
              sprintf("Weights in `%s` must be zero or more.", label),
              "A row of weight zero is left out.", rows)
  }
  value
}

# ---- clusters ---------------------------------------------------------------

# The groups of cluster(), or the people themselves. Value: list(label, group =
# a code per subject, n), label NULL without cluster().
read_cluster <- function(faults, parts, data, people) {
  n_subjects <- people$subject$n
  own <- list(group = seq_len(n_subjects %||% 0L), n = n_subjects)
  if (is.null(parts$cluster)) return(own)
  label <- rlang::as_label(parts$cluster)
  value <- eval(parts$cluster, data, parts$env)
  if (!is.atomic(value) || !is.null(dim(value)) ||
        length(value) != nrow(data)) {
    abort_input(
      "`cluster()` must be one value per row of `data`.",
      x = sprintf("`%s` is %s; `data` has %s rows.", label, what_is(value),
                  format_count(nrow(data))),
      code = "cluster"
    )
  }
  missing_rows <- which(is.na(value))
  if (length(missing_rows)) {
    add_fault(faults, "missing_values",
              sprintf("`cluster(%s)` must have no missing values.", label),
              "Give these rows a group.", missing_rows)
  }
  if (is.null(people$subject)) return(own)
  code <- match(value, unique(value))
  first <- !duplicated(people$subject$code)
  group <- integer(n_subjects)
  group[people$subject$code[first]] <- code[first]
  apart <- which(group[people$subject$code] != code)
  if (length(apart)) {
    add_fault(faults, "cluster",
              "All rows of a person must be in one cluster.",
              "Use a cluster that holds whole persons.", apart)
  }
  list(label = label, group = group, n = length(unique(group)))
}
