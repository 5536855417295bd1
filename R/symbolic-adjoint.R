# Gradients of reductions as formulas: reverse mode on the tree.
#
# For a reduction over j with cotangent g_i, the gradient in data of i is a sum
# over j of the cotangents of the formula, in data of j a sum over i, in a
# parameter a sum over both. As g and the data may be traced, gradients of
# gradients follow. The engine has the same in symbolic/gradient.py, which is
# faster where nothing is to be differentiated again.

# Cotangents of some leaves (NULL: the formula does not depend on them).
node_cotangents <- function(root, cotangent, leaves) {
  nodes <- walk_nodes(list(root))$nodes
  leads <- new.env(parent = emptyenv())
  for (leaf in leaves) assign(node_key(leaf), TRUE, envir = leads)
  for (node in nodes) {
    if (any(vapply(node$args, function(a) isTRUE(leads[[node_key(a)]]), NA))) {
      assign(node_key(node), TRUE, envir = leads)
    }
  }
  found <- new.env(parent = emptyenv())
  assign(node_key(root), fitted_cotangent(cotangent, root$dim), envir = found)
  for (node in rev(nodes)) {
    g <- found[[node_key(node)]]
    if (is.null(g) || !length(node$args) || !isTRUE(leads[[node_key(node)]])) {
      next
    }
    parts <- derivative_nodes(node, g)
    for (k in seq_along(parts)) {
      key <- node_key(node$args[[k]])
      if (is.null(parts[[k]]) || !isTRUE(leads[[key]])) next
      part <- fitted_cotangent(parts[[k]], node$args[[k]]$dim)
      before <- found[[key]]
      if (!is.null(before)) part <- apply_op("add", before, part)
      assign(key, part, envir = found)
    }
  }
  lapply(leaves, function(leaf) found[[node_key(leaf)]])
}

# A cotangent in the dimension of its argument.
fitted_cotangent <- function(part, dim) {
  if (part$dim == dim) return(part)
  if (dim == 1L) return(apply_op("sum", part))
  apply_op("spread", part, static = dim)
}

# Gradients in some leaves of sum(g * value). out: the value.
formula_gradients <- function(problem, g, out, leaves) {
  kept <- if (problem$axis == "j") "i" else "j"
  result <- function(value) node_of(wrap_result(value, kept, problem$pair))
  problem$root <- expand_node(problem$root)
  seed <- reduction_cotangent(problem, result(g), out, result)
  found <- node_cotangents(seed$root, seed$cotangent, leaves)
  Map(function(node, leaf) {
    if (is.null(node)) return(plain_value(leaf$data) * 0)
    if (leaf$index == "ij") return(gradient_of_both(node, leaf, problem))
    axis <- c(i = "j", j = "i", p = "j")[[leaf$index]]
    value <- sum_of_node(node, axis, problem)
    if (leaf$index != "p") return(value)
    traced_reshape(traced_sums(value, 2L), c(1L, leaf$dim))
  }, found, leaves)
}

# Nothing is summed: the cotangent of every pair that counts.
gradient_of_both <- function(node, leaf, problem) {
  size <- c(problem$n, problem$m)
  value <- traced_piece(fitted_cotangent(node, leaf$dim), seq_len(size[[1L]]),
                        seq_len(size[[2L]]))
  if (!is.null(problem$pairs)) {
    counted <- dense_pairs(problem$pairs, size[[1L]], size[[2L]])
    value <- value * rep(counted + 0, leaf$dim)
  }
  traced_reshape(value, dim(leaf$data))
}

sum_of_node <- function(node, axis, problem) {
  problem <- list(root = node, weight = NULL, rule = reduction_rule("sum"),
                  axis = axis, k = 1L, n = problem$n, m = problem$m,
                  pairs = problem$pairs, evaluator = problem$evaluator)
  if (has_traced(node_leaves(node))) {
    traced_reduction(problem)$value
  } else {
    run_reduction(problem)$value
  }
}

# Cotangent of the formula (and of weights put after it), from that of the
# result.
reduction_cotangent <- function(problem, g, out, result) {
  root <- problem$root
  times <- function(a, b) apply_op("mul", a, b)
  share_of <- function(total) apply_op("exp", apply_op("sub", root, total))
  weight <- if (!is.null(problem$weight)) expand_node(problem$weight)
  switch(
    problem$rule$name,
    sum = list(root = root, cotangent = g),
    mean = {
      count <- number_node(if (problem$axis == "j") problem$m else problem$n)
      if (!is.null(problem$pairs)) {
        count <- result(sum_of_node(const_node(1), problem$axis, problem))
      }
      list(root = root, cotangent = apply_op("div", g, count))
    },
    prod = list(root = root, cotangent = times(
      g, others_product(problem, out, result)
    )),
    logsumexp = {
      seed <- times(g, share_of(result(out)))
      if (is.null(weight)) return(list(root = root, cotangent = seed))
      inner <- fitted_cotangent(times(seed, weight), root$dim)
      seed <- fitted_cotangent(seed, weight$dim)
      list(root = apply_op("concat", root, weight),
           cotangent = apply_op("concat", inner, seed))
    },
    sumsoftmaxweight = {
      alone <- problem
      alone$rule <- reduction_rule("logsumexp")
      alone["weight"] <- list(NULL)
      total <- if (has_traced(node_leaves(root))) traced_reduction(alone) else
        run_reduction(alone)
      share <- share_of(result(total$value))
      gap <- apply_op("sub", weight, result(out))
      inner <- times(share, apply_op("sum", times(g, gap)))
      list(root = apply_op("concat", root, weight),
           cotangent = apply_op("concat", inner, times(g, share)))
    }
  )
}

# Product of all other factors. Where the product is 0, zeros are counted: it is
# that of the factors that are not 0, if there is one 0 and it is this one.
others_product <- function(problem, out, result) {
  root <- problem$root
  if (!any(plain_value(out) == 0, na.rm = TRUE)) {
    return(apply_op("div", result(out), root))
  }
  where <- function(test, yes, no) apply_op("where", test, yes, no)
  zero <- apply_op("eq", root, const_node(0))
  zeros <- result(plain_value(sum_of_node(zero, problem$axis, problem)))
  rest <- problem
  rest$root <- where(zero, const_node(1), root)
  total <- if (has_traced(node_leaves(root))) traced_reduction(rest) else
    run_reduction(rest)
  total <- result(total$value)
  none <- const_node(0)
  where(zero, where(apply_op("eq", zeros, const_node(1)), total, none),
        where(apply_op("eq", zeros, none), apply_op("div", total, rest$root),
              none))
}
