# From a formula without exposures, and records of many drugs, to plain lists:
#
#   rows      person rows, as in wce_design()
#   records   subject, start, stop (moved by lag_in), dose, drug (codes), and
#             n_drugs
#   drugs     names of the drugs, sorted
#   basis     one for all drugs: lags, knots, basis_matrix, table
#   second    rows of the second part of the penalty

sparse_design <- function(formula, data, id, records, drug, settings) {
  parts <- sparse_formula(formula)
  surv <- surv_arguments(parts$surv)
  needed <- covariate_names(parts, data, id, surv, list())
  check_columns_present(data, c(id, needed$all), parts$env, records, id)
  faults <- new_faults()
  add_missing_columns(faults, setdiff(drug, names(records)), names(records),
                      "records")
  stop_for_faults(faults)
  people <- read_people(faults, data, id, surv, parts$env)
  columns <- covariate_columns(faults, needed$covariates, data, parts$env)
  book <- read_dispensings(faults, records, id, people, list(), list())
  names <- drug_names(faults, records[[drug]], drug)
  check_clock(faults, "unit", people, list(), book)
  check_people(faults, people)
  stop_for_faults(faults)
  weight <- rep(1, people$n)
  check_events(people, weight)
  joined <- join_people(people, columns, weight, FALSE)
  covariates <- wce_covariates(parts, joined)
  rows <- c(
    list(subject = people$subject$code, start = people$start,
         stop = people$stop, event = people$event,
         n_subjects = people$subject$n, weight = weight),
    covariates[c("stratum", "offset", "x")]
  )
  own <- sparse_records(settings, book, names, subject_follow_up(rows))
  list(rows = rows, records = own$records, drugs = own$drugs,
       basis = place_knots(settings, settings$cutoff, settings$nknots),
       second = second_part(settings), meta = covariates$meta,
       counts = c(list(rows = nrow(data), subjects = rows$n_subjects,
                       events = sum(rows$event)), own$counts))
}

sparse_formula <- function(formula) {
  if (!rlang::is_formula(formula, lhs = TRUE)) {
    abort_input(
      "`formula` must be a formula with a `Surv()` on its left.",
      x = sprintf("It is %s.", what_is(formula)),
      i = "Like `Surv(start, stop, event) ~ sex + age`.", code = "formula"
    )
  }
  right <- rlang::f_rhs(formula)
  if (calls_exposure(right)) {
    abort_input(
      "`exposure()` has no place in the formula of `wce_sparse()`.",
      i = "Every drug of `records` is in the model; write covariates only.",
      code = "formula"
    )
  }
  others <- take_out_cluster(bare_specials(right))
  if (!is.null(others$cluster)) {
    abort_input("`cluster()` is not available in `wce_sparse()`.",
                code = "unsupported_term")
  }
  list(surv = rlang::f_lhs(formula), exposures = list(),
       covariates = others$rest %||% 1, cluster = NULL,
       env = env_with_specials(rlang::f_env(formula)))
}

drug_names <- function(faults, x, name) {
  if (!is.character(x) && !is.factor(x) && !is_plain_number(x)) {
    return(add_type_fault(faults, x, name, "strings, a factor or numbers",
                          "Give the code of each record's drug.", "records"))
  }
  if (anyNA(x)) {
    add_fault(faults, "missing_values",
              sprintf("Column `%s` must have no missing values.", name),
              "Remove these records.", which(is.na(x)), "records")
  }
  x
}

# Records of these people inside a window, and the drugs that have any.
sparse_records <- function(settings, book, names, follow_up) {
  known <- !is.na(book$subject)
  # In the C locale, so that the order of drugs is the same everywhere.
  labels <- sort(unique(as.character(names)), method = "radix")
  used <- which(known & book$dose != 0)
  subject <- book$subject[used]
  start <- as.double(book$start[used]) + settings$lag_in
  stop <- as.double(book$stop[used]) + settings$lag_in
  inside <- start < follow_up$exit[subject] &
    stop + settings$n_lags > follow_up$entry[subject]
  used <- used[inside]
  if (!length(used)) {
    abort_input(
      "No record falls into the window of a person in `data`.",
      x = sprintf("`records` has %s, %s of people in `data`.",
                  count_of(book$n, "row"), format_count(sum(known))),
      i = "Check that ids and times agree.", code = "no_records"
    )
  }
  code <- if (is.factor(names)) {
    match(levels(names), labels)[as.integer(names)[used]]
  } else {
    match(as.character(names[used]), labels)
  }
  present <- sort(unique(code))
  own <- list(
    subject = subject[inside], start = start[inside], stop = stop[inside],
    dose = book$dose[used], drug = match(code, present),
    n_drugs = length(present)
  )
  # Sums of overlapping doses do not depend on the order of the records then.
  by <- order(own$subject, own$drug, own$start, own$stop, own$dose,
              method = "radix")
  own[1:5] <- lapply(own[1:5], `[`, by)
  list(records = own, drugs = labels[present],
       counts = list(records = book$n, records_used = length(used),
                     other_people = sum(!known), given_drugs = length(labels),
                     records_by_drug = tabulate(own$drug, own$n_drugs),
                     users_by_drug = users_by_drug(own)))
}

# Records are in order of person and drug.
users_by_drug <- function(records) {
  n <- length(records$drug)
  new <- records$subject[-1L] != records$subject[-n] |
    records$drug[-1L] != records$drug[-n]
  tabulate(records$drug[c(TRUE, new)], records$n_drugs)
}

# Rows of the second part: each coefficient, or its difference from the next.
# What a constraint holds at zero counts in differences.
second_part <- function(settings) {
  n <- settings$nknots + settings$order
  keep <- constrained_columns(n, constraint_ends(settings$constrained),
                              settings$order)
  if (settings$within == "sparse") return(diag(length(keep)))
  if (n == 1L) return(matrix(0))
  rows <- diff(diag(n))[, keep, drop = FALSE]
  rows[rowSums(abs(rows)) > 0, , drop = FALSE]
}

# What engines take.
sparse_arguments <- function(design, settings) {
  rows <- design$rows
  list(
    people = rows[c("start", "stop", "event", "stratum", "subject", "offset",
                    "weight", "x", "n_subjects")],
    records = design$records,
    model = list(
      design = design$basis$table, second = design$second,
      kind = settings$within, alpha = settings$alpha, ties = settings$ties,
      tol = settings$tol, max_iter = settings$max_iter
    )
  )
}

# ---- settings ---------------------------------------------------------------

check_sparse_settings <- function(s) {
  s$clock <- "unit"
  s <- check_exposure_settings(
    c(s, list(shape = "free", basis = "clamped", label = "records")), "unit"
  )
  for (name in c("cutoff", "nknots")) {
    if (length(s[[name]]) > 1L) {
      abort_input(sprintf("`%s` must be one number.", name), arg = name,
                  code = name)
    }
  }
  s$alpha <- check_number(s$alpha, "alpha", 0)
  if (s$alpha >= 1) {
    abort_input("`alpha` must be at least 0 and below 1.",
                x = sprintf("It is %s.", format(s$alpha)), arg = "alpha",
                code = "alpha")
  }
  s$within <- check_word(s$within, c("fused", "sparse"), "within")
  s$ties <- check_word(s$ties, c("efron", "breslow"), "ties")
  s$n_lambda <- check_integer(s$n_lambda, "n_lambda", 2)
  if (!is.null(s$lambda_min)) {
    s$lambda_min <- check_number(s$lambda_min, "lambda_min", 1e-6)
  }
  s$folds <- check_integer(s$folds, "folds", 0)
  if (s$folds == 1L) {
    abort_input("`folds` must be 0 (no cross-validation) or at least 2.",
                arg = "folds", code = "folds")
  }
  if (!is.null(s$lambda)) {
    s$lambda <- check_number(s$lambda, "lambda", 0, several = TRUE)
    s$lambda <- sort(unique(s$lambda), decreasing = TRUE)
  }
  s
}

# "cpu" or "reference".
sparse_engine <- function(engine) {
  if (identical(engine, "torch")) {
    abort_input("`wce_sparse()` does not run on engine \"torch\".",
                i = "Use `engine = \"cpu\"`.", arg = "engine",
                code = "unsupported_engine")
  }
  choose_engine(engine)
}

sparse_call <- function(engine, fun, arguments) {
  if (engine != "reference") {
    return(do.call(engine_call, c(list(fun), arguments), quote = TRUE))
  }
  compute <- switch(fun, fit_sparse = fit_sparse_reference,
                    sparse_fold = sparse_fold_reference,
                    sparse_one_step = sparse_one_step_reference)
  do.call(compute, arguments, quote = TRUE)
}
