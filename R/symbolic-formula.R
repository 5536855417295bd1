# Formulas as the engine reads them: JSON text, and the data in slots.

# root, weight: nodes (weight may be NULL); pairs: see symbolic_pairs(). Value:
# `expression` and `weight`, JSON; `leaves`, the variables by slot; `structure`.
symbolic_formula_of <- function(root, weight = NULL, pairs = NULL) {
  alone <- is.null(weight) && is.null(pairs)
  if (!alone) return(written_formula(root, weight, pairs))
  # Reduced again, as in a loop, it is not written again.
  if (is.null(root$formula)) {
    root$formula <- simple_formula(root) %||% written_formula(root, NULL, NULL)
  }
  root$formula
}

# The same in one pass, NULL where a part is used twice: of small calls, writing
# the formula was a third of the time.
simple_formula <- function(root) {
  .symbolic$stamp <- (.symbolic$stamp %||% 0) + 1
  state <- new.env(hash = FALSE, parent = emptyenv())
  state$stamp <- .symbolic$stamp
  state$keys <- character()
  state$leaves <- list()
  state$shared <- FALSE
  text <- simple_json(root, state)
  if (!state$shared) list(expression = text, leaves = state$leaves)
}

simple_json <- function(node, state) {
  if (node$op == "var") return(simple_leaf(node, state))
  if (node$op == "number") return(number_json(node$value))
  if (node$op == "const") {
    return(sprintf("[\"const\",%s]", number_json(node$value)))
  }
  # A node that was passed in this walk bears its number.
  if (identical(node$stamp, state$stamp)) state$shared <- TRUE
  if (state$shared) return("")
  node$stamp <- state$stamp
  out <- paste0("[\"", node$op, "\"")
  for (arg in node$args) out <- paste0(out, ",", simple_json(arg, state))
  static <- static_json(node)
  if (length(static)) out <- paste(c(out, static), collapse = ",")
  paste0(out, "]")
}

simple_leaf <- function(node, state) {
  key <- paste0(node$index, data_key(node$data))
  found <- match(key, state$keys)
  if (is.na(found)) {
    found <- length(state$keys) + 1L
    state$keys[[found]] <- key
    state$leaves[[found]] <- node
  }
  paste0("[\"var\",", found - 1L, "]")
}

written_formula <- function(root, weight, pairs) {
  walk <- walk_nodes(c(list(root), weight, pairs$mask, pairs$radius$leaves))
  slots <- leaf_slots(walk$nodes)
  alone <- is.null(weight) && is.null(pairs)
  list(expression = node_json(root, slots, if (alone) walk),
       weight = if (!is.null(weight)) node_json(weight, slots),
       leaves = slots$leaves,
       structure = if (!is.null(pairs)) pairs_structure(pairs, slots))
}

# The same data wrapped twice are one slot: Vi(x) + Vi(x) reads x once.
leaf_slots <- function(nodes) {
  slot <- new.env(parent = emptyenv())
  of_data <- new.env(parent = emptyenv())
  leaves <- list()
  for (node in nodes) {
    if (node$op != "var") next
    key <- paste0(node$index, data_key(node$data))
    found <- of_data[[key]]
    if (is.null(found)) {
      leaves[[length(leaves) + 1L]] <- node
      found <- length(leaves) - 1L
      assign(key, found, envir = of_data)
    }
    assign(node_key(node), found, envir = slot)
  }
  list(slot = slot, leaves = leaves)
}

# Parts used more than once are written once, in a "let".
node_json <- function(root, slots, walk = NULL) {
  if (is.null(walk)) walk <- walk_nodes(list(root))
  parts <- character()
  # A node written knows its text until the formula is.
  on.exit(for (node in walk$nodes) node$text <- NULL)
  for (k in seq_along(walk$nodes)) {
    node <- walk$nodes[[k]]
    json <- switch(
      node$op,
      var = paste0("[\"var\",", slots$slot[[node_key(node)]], "]"),
      number = number_json(node$value),
      const = sprintf("[\"const\",%s]", number_json(node$value)),
      operation_json(node)
    )
    if (walk$uses[[k]] > 1L && length(node$args)) {
      parts <- c(parts, json)
      json <- sprintf("[\"ref\",%d]", length(parts) - 1L)
    }
    node$text <- json
  }
  out <- root$text
  if (!length(parts)) return(out)
  sprintf("[\"let\",[%s],%s]", paste(parts, collapse = ","), out)
}

operation_json <- function(node) {
  parts <- character()
  for (arg in node$args) parts <- c(parts, arg$text)
  static <- static_json(node)
  if (length(static)) parts <- c(parts, static)
  paste0("[\"", node$op, "\",", paste(parts, collapse = ","), "]")
}

static_json <- function(node) {
  if (node$op != "permute") return(node$static)
  sprintf("[%s]", paste(node$static, collapse = ","))
}

# Python's reader of JSON knows Infinity.
number_json <- function(value) {
  if (is.infinite(value)) return(if (value > 0) "Infinity" else "-Infinity")
  sprintf("%.17g", value)
}

# ---- as text ----------------------------------------------------------------

infix_words <- c(add = "+", sub = "-", mul = "*", div = "/", eq = "==",
                 ne = "!=", lt = "<", le = "<=", gt = ">", ge = ">=", dot = "|",
                 and = "&", or = "|")

# names: of the leaves, by slot.
node_text <- function(root, slots, names) {
  text <- new.env(parent = emptyenv())
  for (node in walk_nodes(list(root))$nodes) {
    args <- vapply(node$args, function(a) text[[node_key(a)]], "")
    bare <- sub("^\\((.*)\\)$", "\\1", args)
    if (!all(balanced(bare))) bare <- args
    out <- if (node$op == "var") names[[slots$slot[[node_key(node)]] + 1L]]
    else if (is_node_leaf(node)) format(node$value, digits = 6L)
    else if (node$op %in% names(infix_words)) {
      sprintf("(%s %s %s)", args[[1L]], infix_words[[node$op]], args[[2L]])
    }
    else if (node$op == "neg") sprintf("(-%s)", args)
    else if (node$op == "square") sprintf("%s^2", args)
    else if (node$op == "pow") sprintf("%s^%d", args, node$static)
    else if (node$op == "powf") sprintf("%s^%s", args[[1L]], args[[2L]])
    else sprintf("%s(%s)", shown_name(node$op),
                 paste(c(bare, shown_static(node)), collapse = ", "))
    assign(node_key(node), out, envir = text)
  }
  out <- text[[node_key(root)]]
  inner <- sub("^\\((.*)\\)$", "\\1", out)
  if (balanced(inner)) inner else out
}

shown_name <- function(op) {
  name <- symbolic_table()[[op]]$r_name
  if (nzchar(name) && grepl("^[A-Za-z]", name)) name else op
}

# Places are counted from 1 in R.
shown_static <- function(node) {
  if (node$op %in% c("elem", "extract", "elem_t", "extract_t")) {
    return(node$static + c(1L, 0L)[seq_along(node$static)])
  }
  if (length(node$static) > 6L) "..." else node$static
}

# Does no bracket close before it was opened?
balanced <- function(text) {
  vapply(strsplit(text, ""), function(sign) {
    depth <- cumsum((sign == "(") - (sign == ")"))
    all(depth >= 0)
  }, NA)
}
