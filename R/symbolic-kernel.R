# Formulas as text, in the language of KeOps: what RKeOps calls keops_kernel().

#' Formulas as text
#'
#' Functions of RKeOps for formulas in the language of KeOps, such as
#' `"Sum_Reduction(Exp(-s * SqNorm2(x - y)) * b, 1)"`. The last number is the
#' index that disappears: 0 is i, 1 is j. Operators and functions are those of
#' [symbolic_operations] under their names in KeOps; places in the text are
#' counted from 0, results from 1.
#'
#' @param formula Text.
#' @param args Text for each variable: `"x = Vi(3)"`, `"b = Vj(2)"`,
#'   `"s = Pm(1)"`, with the number of columns.
#' @param op What `keops_kernel()` returned.
#' @param var Name or number of a variable.
#' @return A function of a list of matrices, in the order of `args` or under
#'   their names, and of `inner_dim`: `"col"` where rows are points, `"row"`
#'   where columns are. That of `keops_grad()` takes one more, last: the
#'   cotangent, in the shape of the result. It is exact for all reductions.
#' @section Errors:
#' `vigitensor_error_bad_expression` (the text cannot be read), `_bad_size`
#' (data do not fit `args`), and those of [LazyTensor].
#' @seealso [symbolic_reductions], [gradient()]
#' @export
#' @examples
#' x <- matrix(runif(6), 3)
#' y <- matrix(runif(8), 4)
#' op <- keops_kernel("Sum_Reduction(Exp(-s * SqDist(x, y)), 1)",
#'                    c("x = Vi(2)", "y = Vj(2)", "s = Pm(1)"))
#' op(list(x, y, 2))
#' keops_grad(op, "y")(list(x, y, 2, matrix(1, 3)))
keops_kernel <- function(formula, args) {
  code <- read_formula(formula, "formula")
  given <- lapply(args, read_argument)
  names <- vapply(given, `[[`, "", "name")
  structure(function(input, inner_dim = "col") {
    check_index(inner_dim, c("col", "row"), "inner_dim")
    turned <- inner_dim == "row"
    data <- Map(function(x, one) argument_data(x, one, turned),
                match_input(input, names), given)
    out <- run_formula(code, stats::setNames(data, names))
    if (!turned) return(out)
    if (is.list(out) && !is_traced(out)) lapply(out, t) else t(out)
  }, variables = names)
}

#' @rdname keops_kernel
#' @export
keops_grad <- function(op, var) {
  names <- attr(op, "variables")
  k <- if (is.character(var)) match(var, names) else var
  if (!is.function(op) || length(k) != 1L || !k %in% seq_along(names)) {
    abort_input("`var` must name a variable of `op`.", code = "bad_operand",
                arg = "var")
  }
  function(input, inner_dim = "col") {
    cotangent <- input[[length(names) + 1L]]
    data <- match_input(input[seq_along(names)], names)
    gradient(function(x) {
      sum(op(replace(data, k, list(x)), inner_dim) * as.vector(cotangent))
    }, data[[k]])
  }
}

# ---- reading ----------------------------------------------------------------

abort_expression <- function(text, arg) {
  abort_input(sprintf("`%s` cannot be read as a formula of KeOps.", arg),
              x = sprintf("It is %s.", first_line(deparse(text)[1L])),
              code = "bad_expression", arg = arg)
}

read_formula <- function(text, arg) {
  code <- if (is.character(text) && length(text) == 1L) {
    tryCatch(parse(text = text, keep.source = FALSE), error = function(e) NULL)
  }
  if (length(code) != 1L) abort_expression(text, arg)
  code[[1L]]
}

# "x = Vi(3)", or "x = Vi(0, 3)" with its number.
read_argument <- function(text) {
  code <- read_formula(text, "args")
  named <- is.call(code) && as.character(code[[1L]])[[1L]] %in% c("=", "<-")
  value <- if (named) code[[3L]] else code
  index <- c(Vi = "i", Vj = "j", Pm = "p")
  if (!named || !is.call(value) ||
        !as.character(value[[1L]]) %in% names(index)) {
    abort_expression(text, "args")
  }
  list(name = as.character(code[[2L]]),
       index = index[[as.character(value[[1L]])]],
       dim = as.integer(value[[length(value)]]))
}

match_input <- function(input, names) {
  input <- as.list(input)
  if (length(input) != length(names)) {
    abort_input(sprintf("%d data sets are needed.", length(names)),
                x = sprintf("There are %d.", length(input)),
                code = "bad_size", arg = "input")
  }
  if (setequal(names(input), names)) input <- input[names]
  stats::setNames(input, names)
}

argument_data <- function(x, one, turned) {
  if (turned && !is.null(dim(x))) x <- t(x)
  out <- wrap_data(x, one$index, one$name)
  if (length(out) == one$dim) return(out)
  abort_input(
    sprintf("`%s` must have %d columns.", one$name, one$dim),
    x = sprintf("It has %d.", length(out)),
    i = "`inner_dim = \"row\"` takes points in columns.",
    code = "bad_size", arg = one$name
  )
}

# ---- computing --------------------------------------------------------------

# The text sees variables, operators and the names of KeOps, nothing of R.
run_formula <- function(code, data) {
  if (is.null(.symbolic$keops)) .symbolic$keops <- keops_functions()
  out <- tryCatch(
    eval(code, data, list2env(.symbolic$keops, parent = emptyenv())),
    error = function(e) {
      if (inherits(e, "rlang_error")) stop(e)
      abort_input("The formula cannot be computed.",
                  x = first_line(conditionMessage(e)),
                  code = "bad_expression", arg = "formula")
    }
  )
  if (is_lazy(out)) {
    abort_input("A formula of KeOps ends in a reduction.",
                i = "`Sum_Reduction(..., 1)` sums over j.",
                code = "bad_expression", arg = "formula")
  }
  out
}

keops_functions <- function() {
  table <- Filter(function(op) nzchar(op$keops), symbolic_table())
  names(table) <- vapply(table, `[[`, "", "keops")
  operations <- lapply(table, function(op) {
    force(op)
    function(...) keops_operation(op, list(...))
  })
  reductions <- c(Sum = "sum", LogSumExp = "logsumexp", Min = "min",
                  Max = "max", ArgMin = "argmin", ArgMax = "argmax",
                  Min_ArgMin = "min_argmin", Max_ArgMax = "max_argmax",
                  KMin = "kmin", ArgKMin = "argkmin",
                  KMin_ArgKMin = "kmin_argkmin",
                  SumSoftMaxWeight = "sumsoftmaxweight")
  reducers <- lapply(reductions, function(name) {
    force(name)
    function(x, ...) keops_reduction(x, name, list(...))
  })
  names(reducers) <- paste0(names(reductions), "_Reduction")
  signs <- c("+", "-", "*", "/", "^", "|", "(", "==", "!=", "<", "<=")
  c(operations, reducers, mget(signs, baseenv()), list(
    IntCst = identity, Factorize = function(x, ...) x,
    Grad = function(x, v, e = 1) grad(x, v, e),
    Divergence = divergence, Laplacian = laplacian
  ))
}

# Numbers after the arguments belong to the structure; the table has places
# before sizes, KeOps the size of ElemT first.
keops_operation <- function(op, given) {
  static <- as.integer(unlist(given[-seq_len(op$arity)]))
  if (op$name == "elem_t") static <- rev(static)
  args <- given[seq_len(op$arity)]
  complex <- any(vapply(args, is_complex_like, NA))
  nodes <- lapply(args, operand_node, generic = op$keops)
  out <- apply_op_list(op$name, nodes, static)
  makes <- op$name %in% c(complex_makers, "complex_exp", "conj", "complex_mul",
                          "complex_div", "complex_sum", "complex")
  new_lazy(out, makes || (complex && op$kind == "elementwise"))
}

# more: K where the reduction has one, then the axis, then weights.
keops_reduction <- function(x, name, more) {
  K <- 1L
  if (reduction_rule(name)$k) {
    K <- more[[1L]]
    more <- more[-1L]
  }
  index <- if (identical(as.numeric(more[[1L]]), 0)) "i" else "j"
  weight <- if (length(more) > 1L) more[[2L]]
  reduce_lazy(x, name, index, K, weight)
}
