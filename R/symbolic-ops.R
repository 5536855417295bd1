# Arithmetic on LazyTensors: the group generics of S3, which build formulas.
# What belongs to which operation stands in the column `r_name` of the table.

# One method for LazyTensors, traced and device arrays: R takes no method where
# two classes have one each.
#' @export
Ops.symbolic <- function(e1, e2) {
  operands <- if (missing(e2)) list(e1) else list(e1, e2)
  if (is_lazy(e1) || (!missing(e2) && is_lazy(e2))) {
    lazy_operator(.Generic, operands)
  } else if (!any(vapply(operands, is_traced, NA))) {
    device_operator(.Generic, operands)
  } else {
    traced_operator(.Generic, operands)
  }
}

lazy_operator <- function(generic, operands) {
  # Loops here and below: vapply() takes as long as what it does.
  complex <- FALSE
  nodes <- operands
  for (k in seq_along(operands)) {
    complex <- complex || is_complex_like(operands[[k]])
    nodes[[k]] <- operand_node(operands[[k]], generic)
  }
  if (length(nodes) == 1L) return(lazy_unary(generic, nodes[[1L]], complex))
  if (complex) {
    power <- if (generic == "^") small_power(operands[[2L]]) else NaN
    nodes <- Map(complex_node, nodes, vapply(operands, is_complex_like, NA))
    return(complex_operator(generic, nodes, power))
  }
  a <- nodes[[1L]]
  b <- nodes[[2L]]
  new_lazy(switch(
    generic,
    "^" = power_node(a, b),
    "|" = apply_op(if (is_test(a) && is_test(b)) "or" else "dot", a, b),
    "%%" = apply_op("mod", a, b, const_node(0)),
    "%/%" = apply_op("floor", apply_op("div", a, b)),
    apply_op(operation_of_r(generic), a, b)
  ))
}

lazy_unary <- function(generic, node, complex) {
  switch(
    generic,
    "+" = new_lazy(node, complex),
    "-" = new_lazy(apply_op("neg", node), complex),
    "!" = {
      if (complex) abort_complex("!")
      new_lazy(apply_op("not", node))
    }
  )
}

is_test <- function(node) {
  node$op %in% c("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not")
}

# Whole powers of small size and square roots belong to the structure.
power_node <- function(a, b) {
  power <- if (b$op == "number") b$value else NaN
  if (is.nan(power)) return(apply_op("powf", a, b))
  if (power == 2) return(apply_op("square", a))
  if (power == -1) return(apply_op("inv", a))
  if (power == 0.5) return(apply_op("sqrt", a))
  if (power == -0.5) return(apply_op("rsqrt", a))
  if (power == round(power) && abs(power) <= 8) {
    return(apply_op("pow", a, static = as.integer(power)))
  }
  apply_op("powf", a, b)
}

# ---- operands ---------------------------------------------------------------

# A LazyTensor, a number or a vector of parameters -> its node.
operand_node <- function(x, generic = "+") {
  if (is_lazy(x)) return(node_of(x))
  if (is_traced(x)) {
    if (is.null(dim(x)) || length(x) == 1L) return(node_of(wrap_data(x, "p")))
    abort_operand(generic, "a matrix")
  }
  plain <- is.numeric(x) || is.logical(x) || is.complex(x)
  if (!plain || is.object(x)) abort_operand(generic, class(x)[[1L]])
  if (!is.null(dim(x)) && length(x) != 1L) abort_operand(generic, "a matrix")
  if (!length(x)) abort_operand(generic, "an empty vector")
  if (length(x) > 1L || is.complex(x)) return(node_of(wrap_data(x, "p")))
  refuse_missing(x)
  number_node(x)
}

abort_operand <- function(generic, what) {
  abort_input(
    sprintf("`%s` with a LazyTensor takes LazyTensors, numbers and vectors.",
            generic),
    x = sprintf("It was given %s.", what),
    i = "Wrap data with `Vi()` (a row per i), `Vj()` or `Pm()` (parameters).",
    code = "bad_operand", arg = generic
  )
}

# ---- complex numbers --------------------------------------------------------

is_complex_like <- function(x) is_complex_lazy(x) || is.complex(x)

complex_node <- function(node, is_complex) {
  if (is_complex) node else apply_op("real2complex", node)
}

complex_operator <- function(generic, nodes, power = NaN) {
  a <- nodes[[1L]]
  b <- nodes[[2L]]
  if (!is.nan(power)) return(new_lazy(complex_power(a, power), TRUE))
  if (generic %in% c("+", "-")) {
    # Components pair up within the real and within the imaginary parts.
    if (a$dim != b$dim) {
      op <- operation_of_r(generic)
      parts <- lapply(c("real", "imag"), function(part) {
        apply_op(op, apply_op(part, a), apply_op(part, b))
      })
      return(new_lazy(apply_op("complex", parts[[1L]], parts[[2L]]), TRUE))
    }
    return(new_lazy(apply_op(operation_of_r(generic), a, b), TRUE))
  }
  if (generic %in% c("==", "!=")) {
    same <- lapply(c("real", "imag"), function(part) {
      apply_op("eq", apply_op(part, a), apply_op(part, b))
    })
    both <- apply_op("and", same[[1L]], same[[2L]])
    return(new_lazy(if (generic == "==") both else apply_op("not", both)))
  }
  if (generic == "|") {
    product <- apply_op("complex_mul", a, b)
    return(new_lazy(apply_op("complex_sum", product), TRUE))
  }
  op <- operation_of_r(generic, complex = TRUE)
  if (is.na(op)) abort_complex(generic)
  new_lazy(apply_op(op, a, b), TRUE)
}

# A power that is a product or a root, NaN for others.
small_power <- function(power) {
  plain <- is.numeric(power) && !is.object(power) && length(power) == 1L
  small <- plain && power %in% c(-8:8, -0.5, 0.5)
  if (small) as.numeric(power) else NaN
}

complex_power <- function(node, power) {
  if (power < 0) {
    one <- complex_node(const_node(1), FALSE)
    return(apply_op("complex_div", one, complex_power(node, -power)))
  }
  if (power == 0.5) return(apply_op("complex_sqrt", node))
  if (power == 0) {
    zeros <- apply_op("mul", apply_op("real", node), const_node(0))
    return(apply_op("real2complex", apply_op("add", zeros, const_node(1))))
  }
  Reduce(function(a, b) apply_op("complex_mul", a, b),
         rep(list(node), power))
}

abort_complex <- function(generic) {
  abort_input(
    sprintf("`%s` is not defined for complex LazyTensors.", generic),
    i = paste("There are + - * / ^ == != | sum mean exp log sqrt sin cos tan",
              "sinh cosh tanh abs Mod Re Im Arg Conj."),
    code = "bad_operand", arg = generic
  )
}

#' @export
Complex.LazyTensor <- function(z) {
  node <- node_of(z)
  if (!is_complex_lazy(z)) node <- apply_op("real2complex", node)
  op <- operation_of_r(.Generic, .Generic %in% c("Mod", "Arg"))
  new_lazy(apply_op(op, node), .Generic == "Conj")
}

# ---- functions --------------------------------------------------------------

#' @export
Math.LazyTensor <- function(x, ...) {
  if (is_complex_lazy(x)) return(complex_math(x, .Generic, ...))
  node <- node_of(x)
  if (.Generic == "log") return(new_lazy(log_node(node, ...)))
  if (.Generic %in% c("log2", "log10")) {
    return(new_lazy(log_node(node, if (.Generic == "log2") 2 else 10)))
  }
  if (.Generic == "round") return(new_lazy(round_node(node, ...)))
  if (.Generic %in% c("cospi", "sinpi", "tanpi")) {
    turned <- apply_op("mul", const_node(pi), node)
    return(new_lazy(apply_op(sub("pi$", "", .Generic), turned)))
  }
  op <- operation_of_r(.Generic)
  if (is.na(op)) abort_undefined(.Generic)
  new_lazy(apply_op(op, node))
}

abort_undefined <- function(generic, what = "LazyTensors") {
  generic <- called_name(sys.parent(), generic)
  abort_input(
    sprintf("`%s()` is not defined for %s.", generic, what),
    code = "undefined", arg = generic
  )
}

log_node <- function(node, base = exp(1)) {
  out <- apply_op("log", node)
  if (identical(base, exp(1))) return(out)
  apply_op("div", out, apply_op("log", operand_node(base, "log")))
}

round_node <- function(node, digits = 0) {
  if (length(digits) != 1L || is.na(digits) || digits != round(digits)) {
    abort_input("`digits` must be one whole number.", code = "bad_operand",
                arg = "digits")
  }
  apply_op("round", node, static = as.integer(digits))
}

complex_math <- function(x, generic, base = exp(1)) {
  node <- node_of(x)
  if (generic == "abs") return(new_lazy(apply_op("complex_abs", node)))
  if (generic %in% c("log2", "log10")) base <- if (generic == "log2") 2 else 10
  op <- operation_of_r(if (startsWith(generic, "log")) "log" else generic, TRUE)
  if (is.na(op) || generic == "log1p") abort_complex(generic)
  out <- apply_op(op, node)
  if (!identical(base, exp(1))) {
    out <- apply_op("div", out, number_node(log(base)))
  }
  new_lazy(out, TRUE)
}

# Sums and extremes of the components, or reductions where an index is given.
#' @export
Summary.LazyTensor <- function(..., index = NULL, na.rm = FALSE) {
  given <- list(...)
  x <- given[[1L]]
  rest <- given[-1L]
  # sum(K, "j"), as RKeOps has it.
  if (is.null(index) && length(rest) && is.character(rest[[1L]])) {
    index <- rest[[1L]]
    rest <- rest[-1L]
  }
  if (is.null(index)) {
    if (length(rest)) abort_several(.Generic)
    return(inner_summary(x, .Generic))
  }
  if (!length(rest)) return(reduce_lazy(x, .Generic, index, na.rm = na.rm))
  do.call(reduce_lazy, c(list(x, .Generic, index, na.rm = na.rm), rest))
}

abort_several <- function(generic) {
  abort_input(
    sprintf("`%s()` takes one LazyTensor, and an index or none.", generic),
    i = sprintf("%s(x, index = \"j\") reduces over j; %s(x) its components.",
                generic, generic),
    code = "bad_operand", arg = generic
  )
}

inner_summary <- function(x, generic) {
  node <- node_of(x)
  if (is_complex_lazy(x)) {
    if (generic != "sum") abort_complex(generic)
    return(new_lazy(apply_op("complex_sum", node), TRUE))
  }
  switch(
    generic,
    any = new_lazy(apply_op("max", apply_op("ne", node, const_node(0)))),
    all = new_lazy(apply_op("min", apply_op("ne", node, const_node(0)))),
    prod = new_lazy(Reduce(function(a, b) apply_op("mul", a, b),
                           lapply(seq_len(node$dim) - 1L, function(k) {
                             apply_op("elem", node, static = k)
                           }))),
    sum = , max = , min = new_lazy(apply_op(generic, node)),
    abort_undefined(generic)
  )
}
