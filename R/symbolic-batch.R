# Batches: many problems of one size, in the third dimension of the data.

# The array of a leaf; a parameter is one row per problem, read row by row.
shape_batch <- function(x, index) {
  size <- dim(x)
  if (any(size == 0L)) abort_empty_leaf()
  if (index != "p") return(with_shape(x, size))
  if (size[[1L]] > 1L) {
    if (is_traced(x)) abort_undefined("Pm", "traced arrays of three dimensions")
    x <- aperm(x, c(2L, 1L, 3L))
  }
  with_shape(x, c(1L, size[[1L]] * size[[2L]], size[[3L]]))
}

# As the engine takes it: problems first.
batch_first <- function(leaf) {
  x <- if (is_device(leaf$data)) as.matrix(leaf$data) else leaf$data
  size <- dim(x)
  if (length(size) == 3L) {
    x <- aperm(x, c(3L, 1L, 2L))
    size <- size[c(3L, 1L, 2L)]
  } else {
    size <- c(1L, size)
  }
  dim(x) <- if (leaf$index == "p") c(size[[1L]], size[[3L]]) else size
  x
}

# One problem of a formula.
slice_node <- function(node, b) {
  rebuild_node(node, function(leaf) {
    if (is.na(leaf$batch)) return(leaf)
    x <- leaf$data[, , b, drop = FALSE]
    new_leaf(traced_reshape(x, dim(x)[1:2]), leaf$index, leaf$name)
  })
}

slice_pairs <- function(pairs, b) {
  if (!is.null(pairs$mask)) pairs$mask <- slice_node(pairs$mask, b)
  pairs
}

# In one call of the engine; one problem after the other where something is to
# be differentiated, or where that call does not know it: matrices of both
# indices, engine "keops", weights of several components.
batch_reduction <- function(node, rule, weight, setting, n_problems) {
  if (one_call(node, rule, weight, setting)) {
    out <- run_batch(node, rule, weight, setting, n_problems)
    return(finish_batch(lapply(out[c("value", "index")], function(x) {
      if (!is.null(x)) aperm(x, c(2L, 3L, 1L))
    }), rule))
  }
  parts <- lapply(seq_len(n_problems), function(b) {
    own_weight <- if (!is.null(weight)) new_lazy(slice_node(weight, b))
    reduce_lazy(new_lazy(slice_node(node, b)), rule$name, setting$index,
                setting$K, own_weight, slice_pairs(setting$pairs, b),
                setting$evaluator, setting$na.rm, setting$breaks)
  })
  first <- parts[[1L]]
  if (!is.list(first) || is_traced(first)) return(stack_parts(parts))
  list(value = stack_parts(lapply(parts, `[[`, "value")),
       index = stack_parts(lapply(parts, `[[`, "index")))
}

# How many problems there are, NA where there is no batch.
batch_of <- function(node, weight, pairs) {
  apply_pair(apply_pair(node, weight), pairs$mask)$batch
}

one_call <- function(node, rule, weight, setting) {
  leaves <- node_leaves(apply_pair(node, weight))
  every <- c(leaves, if (!is.null(setting$pairs$mask)) {
    node_leaves(setting$pairs$mask)
  })
  of_both <- vapply(every, function(leaf) leaf$index == "ij", NA)
  single <- is.null(weight) || weight$dim == 1L || rule$weight == "own"
  setting$evaluator %in% c("cpu", "torch") && single && !any(of_both) &&
    !(tracing() && has_traced(leaves))
}

run_batch <- function(node, rule, weight, setting, n_problems) {
  omit <- isTRUE(setting$na.rm)
  if (omit && !rule$name %in% c("mean", "variance")) {
    node <- without_nan(node, rule$name)
    omit <- FALSE
  }
  if (rule$name == "variance") rule$name <- "var"
  problem <- reduction_problem(node, weight, rule, setting)
  run_structured(problem, n_problems, omit)
}

stack_parts <- function(parts) {
  size <- c(dim(parts[[1L]]), length(parts))
  all <- if (any(vapply(parts, is_traced, NA))) do.call(traced_c, parts) else
    unlist(parts)
  traced_reshape(all, size)
}

finish_batch <- function(out, rule) {
  if (rule$result == "test") return(out$value != 0)
  if (rule$value && rule$index) return(out)
  if (rule$value) out$value else out$index
}

refuse_batch <- function(node, what) {
  if (is.na(node$batch)) return(invisible())
  abort_input(sprintf("%s of a batch is not defined.", what),
              i = "Wrap one of its problems, `x[, , 1]`.",
              code = "bad_size", arg = "x")
}
