# From a formula and data to a design without model.frame(): for formulas whose
# terms are bare numeric columns of `data`, with Surv() of columns, and perhaps
# strata(column) and offset(column). The same design as frame_design() makes, at
# the cost of copying the columns once.

# Value: a design, or NULL when this is not such a formula.
plain_design <- function(call, parts, env, data, surv, faults) {
  terms <- plain_terms(call, parts$formula, data, surv)
  if (is.null(terms)) return(NULL)
  columns <- plain_columns(terms, data)
  if (is.null(columns)) return(NULL)
  extras <- plain_extras(call, data)
  stratum <- plain_strata(terms, data)
  surv <- plain_status(surv)
  everything <- c(surv, columns$x, columns$offset, extras, list(stratum))
  omit <- plain_omit(call, env, data, everything)
  if (is.null(omit)) return(NULL)
  if (!all(omit$keep)) {
    cut <- function(x) if (!is.null(x)) x[omit$keep]
    surv <- lapply(surv, cut)
    columns <- lapply(columns, lapply, cut)
    extras <- lapply(extras, cut)
    stratum <- cut(stratum)
  }
  terms <- full_terms(call, terms, data, env)
  x <- unlist(c(columns$x, list(numeric())), use.names = FALSE)
  x <- as.double(x)
  dim(x) <- c(length(surv$stop), length(columns$x))
  labels <- names(columns$x)
  offset <- Reduce(`+`, lapply(columns$offset, as.double))
  design <- list(
    y = make_surv(surv, omit$row_names), x = x, labels = labels,
    strata = stratum, offset = offset, weights = extras$weights, id = extras$id,
    cluster = extras$cluster, terms = terms,
    assign = plain_assign(terms, labels),
    xlevels = if (!is.null(stratum)) {
      stats::setNames(list(levels(stratum)), plain_strata_label(terms))
    },
    row_names = omit$row_names, na.action = omit$na.action, ridge = list()
  )
  check_cox_design(faults, design, if (!all(omit$keep)) which(omit$keep))
  stop_for_faults(faults)
  design
}

# ---- is it plain? -----------------------------------------------------------

plain_terms <- function(call, formula, data, surv) {
  if (!is.data.frame(data) || nrow(data) == 0L || is.null(surv)) return(NULL)
  if (any(c("subset", "model") %in% names(call))) return(NULL)
  readable <- vapply(surv, function(x) is.numeric(x) || is.logical(x) ||
                       inherits(x, "difftime"), NA)
  if (!all(readable) || !all(lengths(surv) == nrow(data))) return(NULL)
  named <- function(name) {
    is.null(call[[name]]) || is.symbol(call[[name]]) &&
      as.character(call[[name]]) %in% names(data)
  }
  if (!all(vapply(c("weights", "id", "cluster"), named, NA))) return(NULL)
  if (!all(all.vars(rlang::f_lhs(formula)) %in% names(data))) return(NULL)
  terms <- tryCatch(cox_terms(formula, data), error = function(e) NULL)
  specials <- attr(terms, "specials")
  none <- vapply(specials[setdiff(cox_specials, "strata")], is.null, NA)
  alone <- is.null(terms) || any(attr(terms, "order") > 1L) || !all(none) ||
    length(specials$strata) > 1L || attr(terms, "response") != 1L
  if (alone) return(NULL)
  terms
}

# Positions of the variables by kind: plain covariates, strata, offsets.
variable_kinds <- function(terms) {
  n <- length(attr(terms, "variables")) - 1L
  strata <- attr(terms, "specials")$strata
  offset <- attr(terms, "offset")
  list(strata = strata, offset = offset,
       x = setdiff(seq_len(n), c(1L, strata, offset)))
}

# The name of the one column that a call reads, strata(g) or offset(o).
column_of <- function(e, data) {
  ok <- length(e) == 2L && is.symbol(e[[2L]]) && is.null(names(e)) &&
    as.character(e[[2L]]) %in% names(data)
  if (ok) as.character(e[[2L]])
}

plain_columns <- function(terms, data) {
  variables <- as.list(attr(terms, "variables"))[-1L]
  kinds <- variable_kinds(terms)
  symbols <- variables[kinds$x]
  if (!all(vapply(symbols, is.symbol, NA))) return(NULL)
  names <- vapply(symbols, as.character, "")
  if (!all(names %in% names(data))) return(NULL)
  # A variable without a term (`y ~ x - x`) is still read by model.frame().
  labels <- attr(terms, "term.labels")
  if (!is.null(kinds$strata)) {
    strata <- column_of(variables[[kinds$strata]], data)
    if (is.null(strata) || is.object(data[[strata]]) &&
          !is.factor(data[[strata]])) {
      return(NULL)
    }
    labels <- setdiff(labels, plain_strata_label(terms))
  }
  bare <- vapply(symbols, rlang::expr_deparse, "")
  if (!identical(bare, labels)) return(NULL)
  offset_names <- lapply(variables[kinds$offset], column_of, data)
  if (any(vapply(offset_names, is.null, NA))) return(NULL)
  columns <- list(
    x = stats::setNames(lapply(names, function(n) data[[n]]), labels),
    offset = lapply(offset_names, function(n) data[[n]])
  )
  numeric <- vapply(c(columns$x, columns$offset), is_bare_number, NA)
  if (all(numeric)) columns
}

is_bare_number <- function(x) {
  is.numeric(x) && !is.object(x) && is.null(dim(x))
}

plain_strata_label <- function(terms) {
  rownames(attr(terms, "factors"))[attr(terms, "specials")$strata]
}

plain_assign <- function(terms, labels) {
  stats::setNames(as.list(seq_along(labels)), labels)
}

# ---- pieces -----------------------------------------------------------------

plain_extras <- function(call, data) {
  wanted <- intersect(c("weights", "id", "cluster"), names(call))
  stats::setNames(lapply(wanted, function(name) {
    data[[as.character(call[[name]])]]
  }), wanted)
}

# strata(g) on the distinct values of g, then looked up: strata() itself turns
# every value into a string.
plain_strata <- function(terms, data) {
  at <- attr(terms, "specials")$strata
  if (is.null(at)) return(NULL)
  call <- attr(terms, "variables")[[at + 1L]]
  name <- column_of(call, data)
  values <- unique(data[[name]])
  call[[1L]] <- survival::strata
  found <- eval(call, stats::setNames(list(values), name))
  found[match(data[[name]], values)]
}

# Status as Surv() reads it, in doubles.
plain_status <- function(surv) {
  event <- as.double(surv$event)
  if (length(event) && max(event, 0, na.rm = TRUE) == 2) event <- event - 1
  surv$event <- event
  surv[c("start", "stop")] <- lapply(surv[c("start", "stop")], function(x) {
    if (is.null(x)) NULL else as.double(x)
  })
  surv[!vapply(surv, is.null, NA)]
}

make_surv <- function(surv, row_names) {
  counting <- !is.null(surv$start)
  y <- c(surv$start, surv$stop, surv$event)
  dim(y) <- c(length(surv$stop), 2L + counting)
  dimnames(y) <- list(row_names, if (counting) {
    c("start", "stop", "status")
  } else {
    c("time", "status")
  })
  attr(y, "type") <- if (counting) "counting" else "right"
  class(y) <- "Surv"
  y
}

# What na.omit() or na.exclude() would leave out. Value: list(keep, row_names,
# na.action), or NULL when the rule for missing values is another.
plain_omit <- function(call, env, data, columns) {
  # Strings of row numbers are made only when somebody looks at them.
  row_names <- if (.row_names_info(data) < 0L) {
    as.character(seq_len(nrow(data)))
  } else {
    row.names(data)
  }
  holed <- Filter(anyNA, columns)
  if (length(holed) == 0L) {
    return(list(keep = TRUE, row_names = row_names, na.action = NULL))
  }
  rule <- if ("na.action" %in% names(call)) eval(call$na.action, env) else {
    own <- attr(data, "na.action")
    if (is.null(own) || is.numeric(own)) getOption("na.action") else own
  }
  if (rlang::is_string(rule)) rule <- get(rule, envir = env, mode = "function")
  kind <- if (identical(rule, stats::na.omit)) "omit" else
    if (identical(rule, stats::na.exclude)) "exclude"
  if (is.null(kind)) return(NULL)
  missing <- Reduce(`|`, lapply(holed, is.na))
  rows <- which(missing)
  list(keep = !missing, row_names = row_names[!missing],
       na.action = structure(rows, names = row_names[rows], class = kind))
}

# The terms that model.frame() would make: asked of two rows.
full_terms <- function(call, terms, data, env) {
  few <- seq_len(min(2L, nrow(data)))
  used <- unique(c(all.vars(attr(terms, "variables")), vapply(
    as.list(call)[intersect(c("weights", "id", "cluster"), names(call))],
    as.character, ""
  )))
  small <- lapply(stats::setNames(used, used), function(n) data[[n]][few])
  frame <- frame_call(call, terms)
  frame$data <- structure(small, class = "data.frame",
                          row.names = .set_row_names(length(few)))
  frame$na.action <- stats::na.pass
  terms <- attr(suppressWarnings(eval(frame, env)), "terms")
  attr(terms, "intercept") <- 1
  terms
}
