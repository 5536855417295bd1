# Methods of traced arrays for generics of R beside operators, functions of one
# number and sums (symbolic-traced-rules.R). What is asked about numbers (is one
# missing, in which order do they stand) is answered plainly: it has no slope.

# ---- questions --------------------------------------------------------------

#' @export
is.matrix.traced_array <- function(x) {
  matrix <- length(dim(x)) == 2L
  if (!matrix) answer_caller(list(diag = answer_diag))
  matrix
}
#' @export
is.numeric.traced_array <- function(x) TRUE
#' @export
is.na.traced_array <- function(x) {
  answer_caller(extremes_answers)
  is.na(plain_value(x))
}
#' @export
is.nan.traced_array <- function(x) is.nan(plain_value(x))
#' @export
is.finite.traced_array <- function(x) is.finite(plain_value(x))
#' @export
is.infinite.traced_array <- function(x) is.infinite(plain_value(x))
#' @export
anyNA.traced_array <- function(x, recursive = FALSE) anyNA(plain_value(x))
#' @export
names.traced_array <- function(x) names(plain_value(x))
#' @export
dimnames.traced_array <- function(x) dimnames(plain_value(x))
#' @export
xtfrm.traced_array <- function(x) as.vector(plain_value(x))
#' @export
duplicated.traced_array <- function(x, incomparables = FALSE, ...) {
  duplicated(plain_value(x), incomparables, ...)
}
# Text is for people.
#' @export
format.traced_array <- function(x, ...) format(plain_value(x), ...)
#' @export
as.character.traced_array <- function(x, ...) as.character(plain_value(x))

# simplify2array(), of sapply() and the like, asks for lengths() first.
#' @export
length.traced_array <- function(x) {
  k <- sys.parent()
  if (k > 0L && identical(sys.function(k), base::lengths)) {
    answer_frame(list(simplify2array = function(at) simplify_parts(at$x)),
                 sys.parents()[[k]])
  }
  length(plain_value(x))
}

# ---- shapes -----------------------------------------------------------------

# Within a function of R numbers are needed, not a traced array.
traced_vector <- function(x, what, by_r) {
  if (by_r) abort_conversion(x, what)
  traced_reshape(x, NULL)
}

#' @export
as.vector.traced_array <- function(x, mode = "any") {
  answer_caller(shape_answers)
  if (mode == "list") return(as.list(x))
  known <- mode %in% c("any", "numeric", "double")
  traced_vector(x, "as.vector", !known || asked_by_r())
}
#' @export
as.double.traced_array <- function(x, ...) {
  answer_caller(list(sd = answer_sd))
  traced_vector(x, "as.double", asked_by_r())
}
#' @export
as.list.traced_array <- function(x, ...) {
  lapply(seq_len(length(x)), function(k) traced_gather(x, k))
}
#' @export
rep.traced_array <- function(x, ...) {
  answer_caller(answers_of_rep)
  traced_gather(x, rep(seq_len(length(x)), ...))
}
#' @export
unique.traced_array <- function(x, incomparables = FALSE, ...) {
  traced_gather(x, which(!duplicated(as.vector(plain_value(x)))))
}
#' @export
rev.traced_array <- function(x) traced_gather(x, rev(seq_len(length(x))))
#' @export
sort.traced_array <- function(x, decreasing = FALSE, ...) {
  traced_gather(x, order(as.vector(plain_value(x)), decreasing = decreasing))
}
#' @export
median.traced_array <- function(x, na.rm = FALSE, ...) {
  n <- length(x)
  mean(sort.traced_array(x)[unique(c((n + 1L) %/% 2L, n %/% 2L + 1L))])
}
#' @export
diff.traced_array <- function(x, lag = 1L, ...) {
  if (...length()) abort_undefined("diff", "traced arrays, of other order")
  n <- NROW(x)
  later <- seq_len(n)[-seq_len(min(lag, n))]
  if (is.null(dim(x))) return(x[later] - x[later - lag])
  x[later, , drop = FALSE] - x[later - lag, , drop = FALSE]
}
#' @export
aperm.traced_array <- function(a, perm = NULL, ...) {
  answer_caller(list(apply = answer_apply))
  if (is.null(dim(a))) abort_undefined("aperm", "traced vectors")
  traced_gather(a, aperm(index_array(a), perm))
}

# Numbers put into an array, which stays what it was elsewhere.
#' @export
`[<-.traced_array` <- function(x, ..., value) {
  check_traced_operand(value, "[<-")
  at <- as.vector(index_array(x)[...])
  if (!length(at)) return(x)
  if (anyNA(at) || !length(value) || length(at) %% length(value) != 0L) {
    abort_input("The numbers must fit places within the traced array.",
                code = "bad_place", arg = "[<-")
  }
  # Where a place stands twice, the last number stays.
  last <- !duplicated(at, fromLast = TRUE)
  from <- rep_len(seq_len(length(value)), length(at))[last]
  places <- index_array(x)
  places[] <- seq_len(length(x))
  places[at[last]] <- length(x) + from
  traced_gather(traced_c(x, value), places)
}
#' @export
`[[<-.traced_array` <- function(x, ..., value) {
  x[...] <- value
  x
}

# ---- linear algebra ---------------------------------------------------------

#' @export
solve.traced_array <- function(a, b, ...) {
  traced_linear(a, if (missing(b)) diag(NROW(a)) else b)
}

# The cotangent of b is the solution for that of x, with t(a); that of a is
# minus its product with x.
traced_linear <- function(a, b) {
  for (x in list(a, b)) check_traced_operand(x, "solve")
  trace_rule(list(
    value = function(a, b) solve(a, b),
    pull = function(g, out, args, k) {
      back <- traced_linear(t(args[[1L]]), g)
      if (k == 2L) return(reshape_like(back, args[[2L]]))
      0 - as_columns(back) %*% t(as_columns(out))
    }
  ), list(a, b))
}

#' @export
determinant.traced_array <- function(x, logarithm = TRUE, ...) {
  modulus <- trace_rule(list(
    value = function(x) as.vector(determinant(x)$modulus),
    pull = function(g, out, args, k) {
      g * t(traced_linear(args[[1L]], diag(nrow(args[[1L]]))))
    }
  ), list(x))
  sign <- determinant(plain_value(x))$sign
  structure(list(modulus = if (logarithm) modulus else exp(modulus),
                 sign = sign), class = "det")
}

# R reads the upper triangle alone, and so has slopes there alone. With R'R = x
# and P the upper half of R times its cotangent's transpose, diagonal halved:
# S = R^-1 P' R^-T, and its transpose added off the diagonal.
#' @export
chol.traced_array <- function(x, ...) {
  trace_rule(list(
    value = function(x) chol(x),
    pull = function(g, out, args, k) {
      n <- nrow(out)
      low <- lower.tri(diag(n)) + diag(n) / 2
      inner <- (out %*% t(g * upper.tri(diag(n), TRUE))) * low
      s <- t(traced_linear(out, t(traced_linear(out, inner))))
      (s + t(s)) * t(low)
    }
  ), list(x))
}
