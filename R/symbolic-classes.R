# Classes and methods of S4, as few as there must be: R dispatches `%*%` by S4
# alone before 4.3, and prints objects with the S4 bit by show().

#' @importFrom methods coerce setAs setOldClass setMethod signature show
setOldClass(c("ComplexLazyTensor", "LazyTensor", "symbolic"))
setOldClass(c("traced_array", "symbolic"))
setOldClass(c("device_array", "symbolic"))
setOldClass(c("device_transpose", "symbolic"))

#' @exportMethod show
#' @noRd
setMethod("show", "symbolic", function(object) print(object))

# ifelse() asks for it.
#' @exportMethod coerce
#' @noRd
setAs("symbolic", "logical", function(from) abort_conversion(from, "as"))

# R dispatches `%*%` by S4 alone before 4.3.
#' @rdname symbolic_dense
#' @aliases %*%,symbolic,ANY-method %*%,ANY,symbolic-method
#'   %*%,symbolic,symbolic-method coerce,symbolic,logical-method
#' @exportMethod %*%
setMethod("%*%", signature("symbolic", "ANY"), function(x, y) {
  symbolic_product(x, y)
})
#' @rdname symbolic_dense
setMethod("%*%", signature("ANY", "symbolic"), function(x, y) {
  symbolic_product(x, y)
})
#' @rdname symbolic_dense
setMethod("%*%", signature("symbolic", "symbolic"), function(x, y) {
  symbolic_product(x, y)
})
