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
  x <- leaf$data
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

# In one call of the engine where it has that reduction and nothing is to be
# differentiated; otherwise one problem after the other.
batch_reduction <- function(node, rule, weight, setting) {
  both <- apply_pair(node, weight)
  own <- !rule$name %in% c("variance", "count") && is.null(weight) &&
    !isTRUE(setting$na.rm)
  traced <- tracing() && has_traced(node_leaves(both))
  if (own && !traced && setting$evaluator %in% c("cpu", "torch")) {
    problem <- reduction_problem(node, NULL, rule, setting)
    out <- run_structured(problem, both$batch)
    return(finish_batch(lapply(out[c("value", "index")], function(x) {
      if (!is.null(x)) aperm(x, c(2L, 3L, 1L))
    }), rule))
  }
  parts <- lapply(seq_len(both$batch), function(b) {
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
