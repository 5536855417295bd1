# How a symbolic matrix is shown: formula and sizes, never data.

#' @export
print.LazyTensor <- function(x, ...) {
  cat(format(x), sep = "\n")
  invisible(x)
}

#' @export
format.LazyTensor <- function(x, ...) {
  node <- node_of(x)
  walk <- walk_nodes(list(node))
  slots <- leaf_slots(walk$nodes)
  names <- leaf_names(slots$leaves)
  size <- ifelse(is.na(dim(x)), "?", format(dim(x), big.mark = ",",
                                            trim = TRUE))
  kind <- if (is_complex_lazy(x)) "ComplexLazyTensor" else "LazyTensor"
  inner <- if (size[[3L]] == "1") "1 component" else
    paste(size[[3L]], "components")
  if (!is.na(node$batch)) inner <- sprintf("%s, %d problems", inner, node$batch)
  text <- node_text(node, slots, names)
  if (nchar(text) > 500L) text <- paste0(substr(text, 1L, 497L), "...")
  data <- vapply(seq_along(names), function(k) {
    leaf_line(names[[k]], slots$leaves[[k]])
  }, "")
  c(sprintf("<%s> %s x %s, %s", kind, size[[1L]], size[[2L]], inner),
    strwrap(text, width = 76L, indent = 2L, exdent = 4L), data)
}

leaf_line <- function(name, leaf) {
  n <- format(nrow(leaf$data), big.mark = ",")
  if (!is.na(leaf$batch)) {
    n <- sprintf("%d problems of %s", leaf$batch, n)
  }
  text <- if (leaf$index == "p") {
    sprintf("%d parameter%s", leaf$dim, if (leaf$dim == 1L) "" else "s")
  } else if (leaf$index == "ij") {
    sprintf("%s x %s, by i and j", n, format(leaf$m, big.mark = ","))
  } else {
    sprintf("%s x %d, by %s", n, leaf$dim, leaf$index)
  }
  sprintf("  %s: %s", name, text)
}

# The names of the user's variables, or x, y, p by index; each once.
leaf_names <- function(leaves) {
  own <- vapply(leaves, function(leaf) {
    leaf$name %||% c(i = "x", j = "y", p = "p", ij = "z")[[leaf$index]]
  }, "")
  index <- vapply(leaves, `[[`, "", "index")
  # The same data by i and by j.
  twice <- own %in% own[duplicated(own)] & index != "p"
  own[twice] <- paste(own[twice], index[twice], sep = "_")
  make.unique(own, sep = "")
}

# ---- what would be nonsense -------------------------------------------------

# Base functions that would go through the list inside in silence.
abort_conversion <- function(x, what) {
  what <- called_name(sys.parent(), what)
  kind <- if (is_lazy(x)) "a LazyTensor" else "a traced array"
  abort_input(
    sprintf("`%s()` is not defined for %s.", what, kind),
    i = if (what == "ifelse") {
      "`where(test, yes, no)` takes LazyTensors."
    } else if (is_lazy(x)) {
      "`as.matrix()` or `K[i, j]` give numbers; `sum(K, \"j\")` and others too."
    } else {
      "Inside `gradient()` a function must be one that can be differentiated."
    },
    code = "conversion", arg = what
  )
}

#' @export
is.na.symbolic <- function(x) {
  answer_caller(extremes_answers)
  abort_conversion(x, "is.na")
}
#' @export
as.double.symbolic <- function(x, ...) abort_conversion(x, "as.double")
#' @export
as.integer.symbolic <- function(x, ...) abort_conversion(x, "as.integer")
#' @export
as.logical.symbolic <- function(x, ...) abort_conversion(x, "as.logical")
#' @export
as.character.symbolic <- function(x, ...) abort_conversion(x, "as.character")
#' @export
as.vector.symbolic <- function(x, mode = "any") abort_conversion(x, "as.vector")
#' @export
as.list.symbolic <- function(x, ...) abort_conversion(x, "as.list")
#' @export
as.data.frame.symbolic <- function(x, ...) abort_conversion(x, "as.data.frame")
#' @export
sort.symbolic <- function(x, decreasing = FALSE, ...) {
  abort_conversion(x, "sort")
}
#' @export
rev.symbolic <- function(x) abort_conversion(x, "rev")
#' @export
rep.symbolic <- function(x, ...) {
  answer_caller(extremes_answers)
  abort_conversion(x, "rep")
}
#' @export
unique.symbolic <- function(x, ...) abort_conversion(x, "unique")
#' @importFrom stats median
#' @export
median.symbolic <- function(x, na.rm = FALSE, ...) abort_conversion(x, "median")
#' @importFrom stats quantile
#' @export
quantile.symbolic <- function(x, ...) abort_conversion(x, "quantile")
#' @export
anyNA.symbolic <- function(x, recursive = FALSE) abort_conversion(x, "anyNA")
#' @export
is.finite.symbolic <- function(x) abort_conversion(x, "is.finite")
#' @export
is.infinite.symbolic <- function(x) abort_conversion(x, "is.infinite")
#' @export
is.nan.symbolic <- function(x) abort_conversion(x, "is.nan")
#' @export
duplicated.symbolic <- function(x, incomparables = FALSE, ...) {
  abort_conversion(x, "duplicated")
}
#' @export
aperm.LazyTensor <- function(a, perm = NULL, ...) abort_conversion(a, "aperm")
#' @export
cbind.LazyTensor <- function(..., deparse.level = 1) {
  abort_conversion(first_lazy(...), "cbind")
}
#' @export
rbind.LazyTensor <- function(..., deparse.level = 1) {
  abort_conversion(first_lazy(...), "rbind")
}
first_lazy <- function(...) Filter(is_lazy, list(...))[[1L]]
#' @export
names.LazyTensor <- function(x) NULL
#' @export
c.LazyTensor <- function(...) abort_conversion(..1, "c")
#' @export
`[[.LazyTensor` <- function(x, ...) abort_conversion(x, "[[")
#' @export
`$.symbolic` <- function(x, name) abort_conversion(x, "$")
#' @export
`[<-.symbolic` <- function(x, ..., value) abort_conversion(x, "[<-")
#' @export
`[[<-.symbolic` <- function(x, ..., value) abort_conversion(x, "[[<-")
#' @export
`dim<-.LazyTensor` <- function(x, value) abort_conversion(x, "dim<-")
#' @export
xtfrm.symbolic <- function(x) abort_conversion(x, "order")
#' @export
determinant.symbolic <- function(x, logarithm = TRUE, ...) {
  abort_conversion(x, "determinant")
}
#' @export
scale.symbolic <- function(x, center = TRUE, scale = TRUE) {
  abort_conversion(x, "scale")
}
#' @export
summary.symbolic <- function(object, ...) abort_conversion(object, "summary")
#' @export
diff.symbolic <- function(x, ...) abort_conversion(x, "diff")
