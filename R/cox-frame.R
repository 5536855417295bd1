# From a formula and data to a design, by way of model.frame(): every formula
# that coxph takes. The design is a plain list:
#
#   y         Surv matrix, near ties made equal as coxph makes them
#   x, labels n x p matrix of covariates and the names of its columns
#   strata    factor or NULL           offset   numbers less their mean, or NULL
#   weights, id, cluster                of the rows in use, or NULL
#   terms, assign, contrasts, xlevels, row_names, na.action, frame
#   ridge     one element per ridge() term (see cox-ridge.R)
#   foreign   why the engine cannot fit this, or NULL

frame_design <- function(call, parts, env, control, faults) {
  # Surv() warns of what check_surv() has found, or stops.
  frame <- tryCatch(
    quiet_surv(eval(frame_call(call, parts$formula), env)),
    error = function(e) {
      stop_for_faults(faults)
      stop(e)
    }
  )
  y <- stats::model.response(frame)
  if (!survival::is.Surv(y) && !inherits(y, "Surv2")) {
    abort_input("The left of the formula must be a `Surv()` object.",
                x = sprintf("It is %s.", what_is(y)),
                i = "Like `Surv(start, stop, event)`.", code = "formula")
  }
  foreign <- foreign_frame(frame, y)
  if (!is.null(foreign)) return(list(foreign = foreign))
  terms <- stats::terms(frame)
  attr(terms, "intercept") <- 1
  x <- cox_model_matrix(terms, frame, faults)
  design <- list(
    y = y, x = x, labels = colnames(x) %||% character(),
    strata = frame_strata(terms, frame),
    offset = stats::model.offset(frame),
    weights = stats::model.weights(frame),
    id = stats::model.extract(frame, "id"),
    cluster = stats::model.extract(frame, "cluster"), terms = terms,
    assign = survival::attrassign(x, terms),
    contrasts = attr(x, "contrasts"),
    xlevels = stats::.getXlevels(terms, frame),
    row_names = row.names(frame), na.action = attr(frame, "na.action"),
    frame = frame
  )
  check_cox_design(faults, design, data_rows(design$row_names, call, env))
  stop_for_faults(faults)
  design$ridge <- read_ridge(frame, terms, design$assign)
  design
}

# model.frame() with what the user gave, evaluated where he wrote it.
frame_call <- function(call, formula) {
  wanted <- c("formula", "data", "weights", "subset", "na.action", "cluster",
              "id")
  at <- match(wanted, names(call), nomatch = 0L)
  frame <- call[c(1L, at)]
  frame[[1L]] <- quote(stats::model.frame)
  frame$formula <- formula
  frame
}

# terms() needs the data for `~ .` only.
cox_terms <- function(formula, data) {
  if (is.null(data)) {
    stats::terms(formula, specials = cox_specials)
  } else {
    stats::terms(formula, specials = cox_specials, data = data)
  }
}

quiet_surv <- function(code) {
  withCallingHandlers(code, warning = function(w) {
    if (is_surv_warning(conditionMessage(w))) tryInvokeRestart("muffleWarning")
  })
}

is_surv_warning <- function(text) {
  any(startsWith(text, c("Stop time must be > start time",
                         "Invalid status value")))
}

foreign_frame <- function(frame, y) {
  if (inherits(y, "Surv2")) return("`Surv2()`")
  type <- attr(y, "type")
  if (type %in% c("mright", "mcounting")) return("a multi-state model")
  if (!type %in% c("right", "counting")) {
    abort_input(
      "A Cox model needs right-censored times, or (start, stop] rows.",
      x = sprintf("The times are of type \"%s\".", type), code = "surv_type"
    )
  }
  penalised <- vapply(frame, inherits, NA, what = "coxph.penalty")
  if (any(penalised & !vapply(frame, is_fixed_ridge, NA))) {
    return("a penalty other than `ridge(theta = )`")
  }
}

# The columns of x as coxph lays them out: no intercept, no strata.
cox_model_matrix <- function(terms, frame, faults) {
  check_one_level(frame, faults)
  # model.matrix() of a coxph object knows what strata do to the columns.
  stub <- structure(list(terms = terms), class = "coxph")
  stats::model.matrix(stub, data = frame)
}

# A factor with one level has no contrast; say so before R does.
check_one_level <- function(frame, faults) {
  for (name in names(frame)[-1L]) {
    x <- frame[[name]]
    if (startsWith(name, "strata(") || startsWith(name, "(")) next
    n_levels <- if (is.factor(x)) nlevels(x) else if (is.character(x)) {
      length(unique(x))
    } else if (is_integer64(x)) {
      add_type_fault(faults, x, name, "a number",
                     "Convert it with `as.numeric()`.", "data")
      2L
    } else {
      2L
    }
    if (n_levels < 2L) {
      stop_for_faults(faults)
      stop_constant(name)
    }
  }
}

frame_strata <- function(terms, frame) {
  if (is.null(attr(terms, "specials")$strata)) return(NULL)
  names <- survival::untangle.specials(terms, "strata", 1)$vars
  if (length(names) == 1L) return(frame[[names]])
  survival::strata(frame[, names], shortlabel = TRUE)
}

# Row numbers of the user's table, from the names of the rows in use.
data_rows <- function(row_names, call, env) {
  data <- if (!is.null(call$data)) eval(call$data, env)
  if (!is.data.frame(data)) return(NULL)
  match(row_names, row.names(data))
}
