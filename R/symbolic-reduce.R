# One mechanism for all reductions: what a reduction is called, what it returns,
# where it is computed.

# Of the engine's reductions: which results come back, and what is asked of the
# formula.
reduction_table <- local({
  one <- function(value, index = FALSE, k = FALSE, single = FALSE,
                  weight = "none", result = "number") {
    list(value = value, index = index, k = k, single = single, weight = weight,
         result = result)
  }
  out <- list(
    sum = one(TRUE, weight = "factor"),
    mean = one(TRUE, weight = "factor"),
    variance = one(TRUE, weight = "factor"),
    prod = one(TRUE),
    logsumexp = one(TRUE, weight = "own"),
    sumsoftmaxweight = one(TRUE, weight = "own", single = TRUE),
    min = one(TRUE), max = one(TRUE),
    argmin = one(FALSE, TRUE), argmax = one(FALSE, TRUE),
    min_argmin = one(TRUE, TRUE), max_argmax = one(TRUE, TRUE),
    kmin = one(TRUE, k = TRUE, single = TRUE),
    argkmin = one(FALSE, TRUE, k = TRUE, single = TRUE),
    kmin_argkmin = one(TRUE, TRUE, k = TRUE, single = TRUE),
    kmax = one(TRUE, k = TRUE, single = TRUE),
    argkmax = one(FALSE, TRUE, k = TRUE, single = TRUE),
    kmax_argkmax = one(TRUE, TRUE, k = TRUE, single = TRUE),
    count = one(TRUE, weight = "factor", result = "count"),
    histogram = one(TRUE, single = TRUE, weight = "own"),
    any = one(TRUE, result = "test"), all = one(TRUE, result = "test")
  )
  Map(function(name, rule) c(list(name = name), rule), names(out), out)
})

# Spelled as in R ("Kmin") or as in the engine ("kmin").
reduction_rule <- function(name) {
  if (is.character(name) && length(name) == 1L && !is.na(name)) {
    found <- reduction_table[[name]] %||% reduction_table[[tolower(name)]]
    if (!is.null(found)) return(found)
  }
  known <- names(reduction_table)
  abort_input(
    "The reduction must be one of those that there are.",
    x = sprintf("It is %s.", first_line(deparse(name)[1L])),
    i = paste0(known, collapse = ", "),
    code = "bad_reduction", arg = "reduction"
  )
}

# x: LazyTensor; index: the index that disappears. Value: a matrix with a row
# for each of the other index, or a list of `value` and `index`.
reduce_lazy <- function(x, reduction, index, K = 1L, weight = NULL,
                        pairs = NULL, evaluator = NULL, na.rm = FALSE,
                        breaks = NULL) {
  rule <- reduction_rule(reduction)
  if (!is_lazy(x)) abort_not_lazy(reduction)
  check_index(if (missing(index)) NULL else index, c("i", "j"))
  complex <- is_complex_lazy(x)
  if (complex && !rule$name %in% c("sum", "mean")) abort_complex(reduction)
  node <- node_of(x)
  weight <- weight_node(weight, index, rule)
  pairs <- as_pairs(pairs)
  n_problems <- batch_of(node, weight, pairs)
  if (!is.na(n_problems)) {
    if (complex) abort_complex("a batch")
    return(batch_reduction(node, rule, weight, list(
      index = index, K = K, pairs = pairs, na.rm = na.rm, breaks = breaks,
      evaluator = choose_evaluator(evaluator)
    ), n_problems))
  }
  # Values of device arrays stay with them.
  keep <- !tracing() && !complex && rule$value && rule$result != "test"
  setting <- list(index = index, K = K, pairs = pairs, keep = keep,
                  breaks = breaks, evaluator = choose_evaluator(evaluator))
  if (isTRUE(na.rm)) {
    if (complex) abort_complex("na.rm")
    if (rule$name %in% c("mean", "variance")) {
      there <- apply_op("eq", node, node)
      weight <- if (is.null(weight)) there else apply_op("mul", weight, there)
    }
    node <- without_nan(node, rule$name)
  }
  composed <- rule$name %in% c("variance", "count") ||
    (rule$name == "mean" && !is.null(weight))
  out <- if (composed) {
    setting$keep <- FALSE
    out <- composed_reduction(node, complex, rule, weight, setting)
    home <- if (keep) leaves_home(node_leaves(apply_pair(node, weight)))
    list(value = if (is.null(home)) out else send_home(out, home))
  } else {
    single_reduction(node, complex, rule, weight, setting)
  }
  finish_reduction(out, rule, complex)
}

# NaN replaced by what changes no result.
without_nan <- function(node, name) {
  neutral <- switch(
    name, sum = , mean = , variance = , count = , any = 0, prod = , all = 1,
    logsumexp = , sumsoftmaxweight = , max = , argmax = , max_argmax = -Inf,
    min = , argmin = , min_argmin = Inf
  )
  if (is.null(neutral)) return(node)
  apply_op("where", apply_op("eq", node, node), node, const_node(neutral))
}

single_reduction <- function(node, complex, rule, weight, setting,
                             like = node) {
  if (rule$weight == "factor" && !is.null(weight)) {
    if (complex && weight$dim != 1L) abort_complex("weight")
    node <- apply_op("mul", weight, node)
    like <- apply_pair(like, weight)
    weight <- NULL
  }
  problem <- reduction_problem(node, weight, rule, setting, like)
  if (!tracing()) return(run_reduction(problem))
  leaves <- node_leaves(apply_pair(node, weight))
  if (rule$value && has_traced(leaves)) traced_reduction(problem) else
    run_reduction(untraced_problem(problem, leaves))
}

# Means with weights, variances and counts, by sums and means.
composed_reduction <- function(node, complex, rule, weight, setting) {
  again <- function(part, name) {
    single_reduction(part, FALSE, reduction_rule(name), NULL, setting,
                     like = apply_pair(node, weight))$value
  }
  if (rule$name == "count") {
    test <- apply_op("ne", node, const_node(0))
    if (!is.null(weight)) test <- apply_op("mul", weight, test)
    return(again(test, "sum"))
  }
  # Value: means, and the sums of weights.
  weighted <- function(node, complex = FALSE) {
    if (is.null(weight)) {
      total <- if (rule$name == "mean") 1 else again(const_node(1), "sum")
      return(list(mean = again(node, "mean"), total = as_column(total)))
    }
    product <- if (complex) {
      apply_op("complex_mul", apply_op("real2complex", weight), node)
    } else apply_op("mul", weight, node)
    # One pass over the pairs for both sums.
    both <- again(apply_op("concat", product, weight), "sum")
    sums <- both[, seq_len(product$dim), drop = FALSE]
    total <- both[, -seq_len(product$dim), drop = FALSE]
    if (weight$dim == 1L) total <- as_column(total)
    list(mean = sums / total, total = total)
  }
  if (complex && weight$dim != 1L) abort_complex("weight")
  mean <- weighted(node, complex)$mean
  if (rule$name == "mean") return(mean)
  kept <- if (setting$index == "j") "i" else "j"
  centre <- node_of(wrap_result(mean, kept, apply_pair(node, weight)))
  spread <- weighted(apply_op("square", apply_op("sub", node, centre)))
  spread$mean * (spread$total / (spread$total - 1))
}

# A result as data of the index that is left, or a parameter where the formula
# does not have that index.
wrap_result <- function(value, index, node) {
  none <- is.na(node[[if (index == "i") "n" else "m"]])
  leaf <- new_leaf(value, if (none) "p" else index)
  new_lazy(leaf)
}

# A matrix of one column as a vector, which R recycles along columns.
as_column <- function(x) {
  dim(x) <- NULL
  x
}

apply_pair <- function(node, weight) {
  if (is.null(weight)) node else apply_op("concat", node, weight)
}

abort_not_lazy <- function(name) {
  abort_input(
    sprintf("`%s` takes a LazyTensor.", name),
    i = "Wrap data with `Vi()`, `Vj()` or `Pm()`.",
    code = "bad_type", arg = "x"
  )
}

# Weights: a LazyTensor, or numbers for the index that disappears.
weight_node <- function(weight, index, rule) {
  if (is.null(weight)) {
    if (rule$name == "sumsoftmaxweight") {
      abort_input("`sumsoftmaxweight()` needs a `weight`.",
                  code = "bad_weight", arg = "weight")
    }
    return(NULL)
  }
  if (rule$weight == "none") {
    abort_input(sprintf("`%s` takes no weights.", rule$name),
                code = "bad_weight", arg = "weight")
  }
  if (is_lazy(weight)) {
    if (is_complex_lazy(weight)) abort_complex("weight")
    return(node_of(weight))
  }
  node_of(wrap_data(weight, index))
}

# ---- the problem ------------------------------------------------------------

# like: a node with the sizes of the whole formula.
reduction_problem <- function(node, weight, rule, setting, like = node) {
  index <- setting$index
  pair <- like
  if (!identical(like, node) || !is.null(weight) || !is.null(setting$pairs)) {
    pair <- apply_pair(like, apply_pair(weight %||% node, setting$pairs$mask))
  }
  size <- c(n = pair$n, m = pair$m)
  gone <- if (index == "j") "m" else "n"
  if (is.na(size[[gone]])) {
    abort_input(
      sprintf("Nothing in the formula is indexed by %s.", index),
      i = sprintf("How many %s there are is known from data in `V%s()`.", index,
                  index),
      code = "bad_size", arg = "index"
    )
  }
  # What depends on the vanishing index alone has one result.
  size[is.na(size)] <- 1L
  if (rule$single && node$dim != 1L) {
    abort_input(
      sprintf("`%s` takes a formula of one component.", rule$name),
      x = sprintf("This one has %d.", node$dim),
      code = "bad_dimension", arg = rule$name
    )
  }
  list(root = node, weight = weight, rule = rule, axis = index,
       k = check_k(setting$K, rule, size[[gone]]), n = size[["n"]],
       m = size[["m"]],
       pairs = check_pairs(untraced_pairs(setting$pairs), size),
       breaks = setting$breaks, evaluator = setting$evaluator,
       keep = isTRUE(setting$keep))
}

check_k <- function(K, rule, most) {
  if (most == 0L && !rule$name %in% c("sum", "prod", "logsumexp")) {
    abort_input(sprintf("`%s` over no values.", rule$name), code = "empty",
                arg = "x")
  }
  if (!rule$k) return(1L)
  ok <- is.numeric(K) && length(K) == 1L && !is.na(K) && K == round(K) &&
    K >= 1 && K <= most
  if (!ok) {
    abort_input(
      sprintf("`K` must be a whole number from 1 to %s, the values there are.",
              format(most, big.mark = ",")),
      x = sprintf("It is %s.", first_line(deparse(K)[1L])),
      code = "bad_k", arg = "K"
    )
  }
  as.integer(K)
}

evaluators <- c("auto", "reference", "cpu", "torch", "keops")

choose_evaluator <- function(evaluator = NULL) {
  evaluator <- evaluator %||% getOption("vigitensor.evaluator", "auto")
  if (!is.character(evaluator) || length(evaluator) != 1L ||
        !evaluator %in% evaluators) {
    abort_input(
      sprintf("`evaluator` must be one of %s.",
              paste0("\"", evaluators, "\"", collapse = ", ")),
      x = sprintf("It is %s.", first_line(deparse(evaluator)[1L])),
      code = "evaluator", arg = "evaluator"
    )
  }
  if (evaluator != "auto") return(evaluator)
  usual <- identical(getOption("vigitensor.engine", "auto"), "auto")
  if (usual && (engine_is_loaded() || engine_available())) return("cpu")
  choose_engine()
}

# ---- computing --------------------------------------------------------------

# Pairs up to which the engine uses no compiled kernel.
few_pairs <- 8192

# Value: list of `value` and `index`, matrices, as far as the rule has them; the
# value is a device array if the problem says `keep` and one is among the data.
run_reduction <- function(problem) {
  if (problem$evaluator == "reference") {
    home <- if (isTRUE(problem$keep)) {
      leaves_home(node_leaves(apply_pair(problem$root, problem$weight)))
    }
    return(keep_in_r(reference_reduction(problem), home))
  }
  plain <- is.null(problem$pairs) && is.null(problem$breaks) &&
    problem$evaluator == "cpu"
  if (!plain) return(run_structured(problem))
  formula <- symbolic_formula_of(problem$root, problem$weight)
  for (leaf in formula$leaves) {
    if (leaf$index == "ij") return(run_structured(problem))
  }
  home <- if (isTRUE(problem$keep)) leaves_home(formula$leaves)
  # Few arguments: each costs as much as a small reduction.
  index <- ""
  data <- list()
  for (leaf in formula$leaves) {
    index <- paste0(index, leaf$index)
    data[[length(data) + 1L]] <- leaf_numbers(leaf)
  }
  words <- paste(
    formula$expression, formula$weight %||% "", index, problem$rule$name,
    problem$axis, leaves_precision(formula$leaves), sep = "\n"
  )
  numbers <- c(problem$k, 1L, problem$n, problem$m)
  if (is.null(home) || home$engine == "reference") {
    few <- as.double(problem$n) * problem$m <= few_pairs
    out <- if (few) engine_quick(words, numbers, data) else
      engine_call("symbolic_quick", words = words, numbers = numbers,
                  data = data)
    return(keep_in_r(out, home))
  }
  out <- engine_call("symbolic_quick", words = words, numbers = numbers,
                     data = data, keep = TRUE)
  keep_there(out, problem, home)
}

# With pairs left out, cells of a histogram, or another evaluator.
run_structured <- function(problem, batch = NULL, omit_nan = FALSE) {
  formula <- symbolic_formula_of(problem$root, problem$weight, problem$pairs)
  home <- if (isTRUE(problem$keep)) leaves_home(formula$leaves)
  stays <- !is.null(home) && home$engine != "reference"
  arguments <- list(
    "symbolic_reduce", expression = formula$expression,
    data = lapply(formula$leaves, function(leaf) {
      if (is.null(batch)) leaf_numbers(leaf) else batch_first(leaf)
    }),
    index = lapply(formula$leaves, `[[`, "index"),
    reduction = problem$rule$name, axis = problem$axis, k = problem$k,
    weight = formula$weight, precision = leaves_precision(formula$leaves),
    base = 1L, size = c(problem$n, problem$m), structure = formula$structure,
    breaks = problem$breaks, batch = batch, omit_nan = omit_nan,
    engine = problem$evaluator,
    device = evaluator_device(problem$evaluator)
  )
  if (!stays) return(keep_in_r(do.call(engine_call, arguments), home))
  keep_there(do.call(engine_call, c(arguments, keep = TRUE)), problem, home)
}

evaluator_device <- function(evaluator) {
  device <- getOption("vigitensor.device", "auto")
  if (evaluator == "cpu" || identical(device, "auto")) NULL else device
}

engine_precision <- function() {
  precision <- getOption("vigitensor.precision", "double")
  known <- c(double = "float64", single = "float32")
  if (!is.character(precision) || length(precision) != 1L ||
        !precision %in% names(known)) {
    abort_input(
      "Option `vigitensor.precision` must be \"double\" or \"single\".",
      x = sprintf("It is %s.", first_line(deparse(precision)[1L])),
      code = "option", arg = "vigitensor.precision"
    )
  }
  known[[precision]]
}

finish_reduction <- function(out, rule, complex) {
  if (complex) return(complex_matrix(out$value))
  if (rule$result == "test") return(out$value != 0)
  if (rule$value && rule$index) return(out[c("value", "index")])
  if (rule$value) out$value else out$index
}

complex_matrix <- function(x) {
  if (is_traced(x)) abort_complex("gradient")
  odd <- seq.int(1L, ncol(x), by = 2L)
  out <- complex(real = x[, odd], imaginary = x[, odd + 1L])
  dim(out) <- c(nrow(x), length(odd))
  out
}
