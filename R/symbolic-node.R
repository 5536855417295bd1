# Expression trees. A node is an environment, so that a part used twice stays
# one part: `op`, `args`, `static` (whole numbers), `dim` (components), `reach`
# (1: of i, 2: of j, 3: of both), `n`, `m` and `batch` (how many i, j and
# problems there are, NA: unknown). Leaves: "var" (data), "number" (a user's
# number) and "const" (a number that belongs to the formula itself, such as the
# 1 in 1 + x^2 of a derivative).

# The frame of the call is the node: a small call makes a dozen of them, and
# list2env() takes ten times as long.
new_node <- function(op, args, static, dim, reach, n, m,
                     batch = NA_integer_) {
  dim <- as.integer(dim)
  force(op)
  force(args)
  force(static)
  force(reach)
  force(n)
  force(m)
  force(batch)
  environment()
}

# data: a matrix with a row per i or j, a matrix of one row for a parameter, or
# a traced array of such a shape. NULL stands for data in tests of dimensions.
# Data of both, "ij", are (n, m) or (n, m, components).
new_leaf <- function(data, index, name = NULL, dim = ncol(data),
                     rows = nrow(data)) {
  size <- dim(data)
  both <- index == "ij"
  if (both) dim <- if (length(size) == 3L) size[[3L]] else 1L
  node <- new_node("var", list(), integer(), dim,
                   c(i = 1L, j = 2L, p = 0L, ij = 3L)[[index]],
                   if (index == "i" || both) rows else NA_integer_,
                   if (index == "j") rows else if (both) size[[2L]] else
                     NA_integer_,
                   if (length(size) == 3L && !both) size[[3L]] else
                     NA_integer_)
  node$data <- data
  node$index <- index
  node$name <- name
  node
}

number_node <- function(value) number_like("number", value)
const_node <- function(value) number_like("const", value)
number_like <- function(op, value) {
  node <- new_node(op, list(), integer(), 1L, 0L, NA_integer_, NA_integer_)
  node$value <- as.numeric(value)
  node
}

is_node_leaf <- function(node) node$op %in% c("var", "number", "const")

# An operation of the table on nodes.
apply_op <- function(name, ..., static = integer()) {
  apply_op_list(name, list(...), static)
}

apply_op_list <- function(name, args, static = integer()) {
  op <- symbolic_table()[[name]]
  short <- simplified_op(name, args)
  if (!is.null(short)) return(short)
  reach <- 0L
  dims <- integer(length(args))
  for (k in seq_along(args)) {
    reach <- bitwOr(reach, args[[k]]$reach)
    dims[[k]] <- args[[k]]$dim
  }
  dim <- operation_dim(op, dims, static)
  new_node(name, args, static, dim, reach, common_size(args, "n", name),
           common_size(args, "m", name), common_size(args, "batch", name))
}

# Sums and products with the 0 and 1 of derivatives.
simplified_op <- function(name, args) {
  any_const <- FALSE
  for (a in args) if (a$op == "const") any_const <- TRUE
  if (!any_const) return(NULL)
  const <- vapply(args, function(a) a$op == "const", NA)
  value <- vapply(args, function(a) if (a$op == "const") a$value else NaN, 0)
  if (all(const) && name %in% c("add", "sub", "mul", "neg")) {
    fun <- switch(name, add = sum, sub = function(v) v[1L] - v[2L], mul = prod,
                  neg = function(v) -v)
    return(const_node(fun(value)))
  }
  zero <- value %in% 0
  one <- value %in% 1
  switch(
    name,
    add = if (zero[1L]) args[[2L]] else if (zero[2L]) args[[1L]],
    sub = if (zero[2L]) args[[1L]],
    mul = if (one[1L]) args[[2L]] else if (one[2L]) args[[1L]],
    div = if (one[2L]) args[[1L]]
  )
}

common_size <- function(args, what, name) {
  if (length(args) == 1L) return(args[[1L]][[what]])
  size <- NA_integer_
  for (arg in args) {
    other <- arg[[what]]
    if (is.na(other)) next
    if (is.na(size)) size <- other
    if (size != other) abort_sizes(what, c(size, other), name)
  }
  size
}

abort_sizes <- function(what, sizes, name) {
  name <- name_in_r(symbolic_table()[[name]])
  if (what == "batch") {
    abort_input("Arrays of one formula have different numbers of problems.",
                x = sprintf("Their third dimensions are %s.",
                            paste(sizes, collapse = " and ")),
                code = "bad_size", arg = name)
  }
  index <- if (what == "n") "i" else "j"
  abort_input(
    sprintf("Data indexed by %s have different numbers of rows.", index),
    x = sprintf("In `%s`: %s.", name,
                paste(format(sizes, big.mark = ",", trim = TRUE),
                      collapse = " and ")),
    i = sprintf("All V%s() of one formula must have the same rows.", index),
    code = "bad_size", arg = name
  )
}

# ---- walks ------------------------------------------------------------------

node_key <- function(node) rlang::obj_address(node)

# All nodes, arguments before those who use them, each once. Value: `nodes`, and
# how many times each is used.
walk_nodes <- function(roots) {
  walk <- new.env(parent = emptyenv())
  walk$nodes <- list()
  walk$uses <- integer()
  # A node visited knows its place until the walk is over.
  on.exit(for (node in walk$nodes) node$place <- NULL)
  for (root in roots) visit_node(root, walk)
  list(nodes = walk$nodes, uses = walk$uses)
}

visit_node <- function(node, walk) {
  place <- node$place
  if (is.null(place)) {
    for (arg in node$args) visit_node(arg, walk)
    place <- length(walk$nodes) + 1L
    walk$nodes[[place]] <- node
    walk$uses[[place]] <- 0L
    node$place <- place
  }
  walk$uses[[place]] <- walk$uses[[place]] + 1L
}

# The tree with leaves exchanged by `leaf(node)`.
rebuild_node <- function(root, leaf) {
  done <- new.env(parent = emptyenv())
  for (node in walk_nodes(list(root))$nodes) {
    args <- lapply(node$args, function(a) done[[node_key(a)]])
    new <- if (node$op == "var") leaf(node) else if (!length(args)) node else
      apply_op_list(node$op, args, node$static)
    assign(node_key(node), new, envir = done)
  }
  done[[node_key(root)]]
}

node_leaves <- function(root) {
  nodes <- walk_nodes(list(root))$nodes
  nodes[vapply(nodes, function(node) node$op == "var", NA)]
}
