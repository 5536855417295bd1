# Covariates, strata and offset of the formula, on joined rows.

# The variables that the covariate part of the formula reads, from data or from
# the formula's environment (there only vectors as long as data).
covariate_columns <- function(faults, names, data, env) {
  columns <- lapply(names, function(name) {
    if (name %in% names(data)) return(data[[name]])
    x <- get(name, envir = env)
    if (NROW(x) == nrow(data) && nrow(data) > 1L) x
  })
  names(columns) <- names
  columns <- columns[!vapply(columns, is.null, NA)]
  for (name in names(columns)) {
    x <- columns[[name]]
    if (inherits(x, "Date") || is_integer64(x)) {
      columns[[name]] <- x <- plain_double(unclass_date(x))
    }
    if (!is.numeric(x) && !is.character(x) && !is.factor(x) &&
          !is.logical(x)) {
      add_type_fault(faults, x, name, "numbers, strings, logical or a factor",
                     "Convert it to one of these.", "data")
    } else {
      check_values(faults, x, name, "data")
    }
  }
  columns
}

unclass_date <- function(x) if (inherits(x, "Date")) unclass(x) else x

not_supported <- c("frailty", "frailty.gamma", "frailty.gaussian",
                   "frailty.t", "pspline", "ridge", "tt")

# Value: x, stratum, offset, meta.
wce_covariates <- function(parts, joined) {
  n <- length(joined$first)
  data <- joined$columns
  frame_data <- if (length(data)) {
    structure(data, class = "data.frame", row.names = .set_row_names(n))
  } else {
    data.frame(row.names = seq_len(n))
  }
  rhs <- rlang::new_formula(NULL, parts$covariates, env = parts$env)
  terms <- stats::terms(rhs, specials = c("strata", not_supported),
                        data = frame_data)
  refuse_specials(terms)
  frame <- stats::model.frame(terms, frame_data, na.action = stats::na.pass,
                              drop.unused.levels = FALSE)
  frame <- drop_empty_levels(frame)
  stratum <- read_strata(terms, frame, n)
  offset <- stats::model.offset(frame)
  x <- read_matrix(terms, frame, n)
  check_matrix(x, joined$first)
  list(
    x = x$matrix, stratum = stratum$code,
    offset = if (is.null(offset)) numeric(n) else as.double(offset),
    meta = list(terms = x$terms, xlevels = x$xlevels, contrasts = x$contrasts,
                assign = x$assign, strata = stratum$levels,
                means = colMeans(x$matrix))
  )
}

refuse_specials <- function(terms) {
  found <- Filter(function(s) length(attr(terms, "specials")[[s]]) > 0L,
                  not_supported)
  if (length(found)) {
    abort_input(sprintf("`%s()` is not available in `wce()`.", found[1L]),
                i = "Use covariates, `strata()`, `cluster()`, `offset()`.",
                code = "unsupported_term")
  }
}

# Levels that no row has would be columns of zeros.
drop_empty_levels <- function(frame) {
  for (name in names(frame)) {
    x <- frame[[name]]
    if (!is.factor(x) || startsWith(name, "strata(")) next
    empty <- setdiff(levels(x), unique(as.character(x)))
    if (length(empty) == 0L) next
    warn_user(
      sprintf("Factor `%s` has %d level%s that no row has.", name,
              length(empty), if (length(empty) > 1L) "s" else ""),
      i = "They are left out of the model.", code = "unused_levels",
      data = list(levels = empty)
    )
    frame[[name]] <- droplevels(x)
  }
  frame
}

read_strata <- function(terms, frame, n) {
  at <- attr(terms, "specials")$strata
  if (is.null(at)) return(list(code = rep.int(1L, n), levels = NULL))
  factors <- attr(terms, "factors")
  crossed <- factors[at, , drop = FALSE] > 0
  if (any(attr(terms, "order")[colSums(crossed) > 0] > 1)) {
    abort_input("`strata()` must stand alone between `+` signs.",
                x = "It is part of an interaction.", code = "unsupported_term")
  }
  both <- if (length(at) == 1L) frame[[at]] else
    survival::strata(frame[at], shortlabel = TRUE)
  list(code = as.integer(both), levels = levels(both))
}

# The model matrix without intercept and strata.
read_matrix <- function(terms, frame, n) {
  at <- attr(terms, "specials")$strata
  if (!is.null(at)) {
    of_strata <- colSums(attr(terms, "factors")[at, , drop = FALSE]) > 0
    kept <- attr(terms, "term.labels")[!of_strata]
    offsets <- vapply(as.list(attr(terms, "variables"))[
      1L + attr(terms, "offset")], rlang::expr_deparse, "")
    terms <- stats::terms(stats::reformulate(
      c(kept, offsets, if (!length(c(kept, offsets))) "1"),
      env = environment(terms)
    ))
  }
  attr(terms, "intercept") <- 1L
  check_factors(terms, frame)
  matrix <- stats::model.matrix(terms, frame)
  keep <- colnames(matrix) != "(Intercept)"
  contrasts <- attr(matrix, "contrasts")
  assign <- attr(matrix, "assign")[keep]
  matrix <- matrix[, keep, drop = FALSE]
  dimnames(matrix) <- list(NULL, colnames(matrix))
  # Splines and the like keep their knots for new data.
  attr(terms, "predvars") <- predicted_variables(terms, attr(frame, "terms"))
  environment(terms) <- globalenv()
  list(matrix = matrix, terms = terms, contrasts = contrasts, assign = assign,
       xlevels = stats::.getXlevels(terms, frame))
}

# What model.frame() found out about the variables of `all_terms`, for `terms`.
predicted_variables <- function(terms, all_terms) {
  known <- as.list(attr(all_terms, "predvars"))
  wanted <- match(as.list(attr(terms, "variables")),
                  as.list(attr(all_terms, "variables")))
  if (anyNA(wanted) || max(wanted) > length(known)) return(NULL)
  as.call(known[wanted])
}

# A factor with one level has no contrast; say so before R does.
check_factors <- function(terms, frame) {
  factors <- attr(terms, "factors")
  if (length(factors) == 0L) return(invisible())
  used <- rownames(factors)[rowSums(factors) > 0]
  for (name in intersect(used, names(frame))) {
    x <- frame[[name]]
    n_levels <- if (is.factor(x)) nlevels(x) else if (is.character(x)) {
      length(unique(x))
    } else {
      2L
    }
    if (n_levels < 2L) stop_constant(name)
  }
}

stop_constant <- function(names) {
  abort_input(
    sprintf("%s %s the same value in every row.",
            paste0("`", names, "`", collapse = ", "),
            if (length(names) > 1L) "have" else "has"),
    i = "Leave it out: it cannot explain who has the event.",
    code = "constant_covariate"
  )
}

check_matrix <- function(x, first) {
  faults <- new_faults()
  for (k in seq_len(ncol(x$matrix))) {
    bad <- which(!is.finite(x$matrix[, k]))
    if (length(bad)) {
      add_fault(faults, "infinite_values", sprintf(
        "The covariate `%s` is not a finite number.", colnames(x$matrix)[k]
      ), "Is it a logarithm or a ratio of a column with zeros?", first[bad])
    }
  }
  stop_for_faults(faults)
  if (nrow(x$matrix) < 2L) return(invisible())
  constant <- vapply(seq_len(ncol(x$matrix)), function(k) {
    column <- x$matrix[, k]
    all(column == column[1L])
  }, NA)
  if (any(constant)) stop_constant(colnames(x$matrix)[constant])
}
