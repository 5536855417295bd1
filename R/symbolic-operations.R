# Written by tools/symbolic-operations.R from the table of operations.
# Do not edit.

#' @rdname symbolic_operations
#' @section Functions:
#' \describe{
#' \item{`inv()`}{Inverse.}
#' \item{`square()`}{Square.}
#' \item{`rsqrt()`}{Inverse of the square root.}
#' \item{`xlogx()`}{x log x; 0 at 0.}
#' \item{`arctan2()`}{Angle of the point b + i a.}
#' \item{`sinxdivx()`}{sin(x) / x; 1 at 0.}
#' \item{`sinc()`}{sin(pi x) / (pi x).}
#' \item{`relu()`}{Positive part.}
#' \item{`clamp()`}{x kept between two bounds.}
#' \item{`where()`}{b where a is not 0 and c elsewhere.}
#' \item{`maximum()`}{Larger of two.}
#' \item{`minimum()`}{Smaller of two.}
#' \item{`mod()`}{Remainder by b from the offset c.}
#' \item{`one_hot()`}{1 at a place counted from 1.}
#' \item{`elem()`}{Component k.}
#' \item{`elemT()`}{A number at place k of d zeros.}
#' \item{`extract()`}{Components k to k + d - 1.}
#' \item{`extractT()`}{A vector from place k on among d zeros.}
#' \item{`concat()`}{Two vectors one after the other.}
#' \item{`matvecmult()`}{Matrix (row by row) times vector.}
#' \item{`vecmatmult()`}{Vector times matrix (row by row).}
#' \item{`tensorprod()`}{All products of components.}
#' \item{`sqnorm2()`}{Squared Euclidean norm.}
#' \item{`norm2()`}{Euclidean norm.}
#' \item{`normalize()`}{Vector divided by its norm.}
#' \item{`sqdist()`}{Squared Euclidean distance.}
#' \item{`weightedsqnorm()`}{Squared norm with a weight or weights or a
#' matrix.}
#' \item{`weightedsqdist()`}{Squared distance with a weight or weights or a
#' matrix.}
#' \item{`tensordot()`}{Sum over paired axes of two tensors.}
#' \item{`kron()`}{Kronecker product of two tensors.}
#' \item{`bspline()`}{B-splines of degree k on the knots a at b.}
#' \item{`difference_matrix()`}{All differences of components.}
#' \item{`real2complex()`}{Complex numbers of real ones.}
#' \item{`imag2complex()`}{Imaginary numbers of real ones.}
#' \item{`exp1j()`}{exp(1i x).}
#' }
#' @name symbolic_operations
NULL

#' @rdname symbolic_operations
#' @export
inv <- function(x) {
  call_operation("inv", list(x))
}

#' @rdname symbolic_operations
#' @export
square <- function(x) {
  call_operation("square", list(x))
}

#' @rdname symbolic_operations
#' @export
rsqrt <- function(x) {
  call_operation("rsqrt", list(x))
}

#' @rdname symbolic_operations
#' @export
xlogx <- function(x) {
  call_operation("xlogx", list(x))
}

#' @rdname symbolic_operations
#' @export
arctan2 <- function(x, y) {
  call_operation("atan2", list(x, y))
}

#' @rdname symbolic_operations
#' @export
sinxdivx <- function(x) {
  call_operation("sinxdivx", list(x))
}

#' @rdname symbolic_operations
#' @export
sinc <- function(x) {
  call_operation("sinc", list(x))
}

#' @rdname symbolic_operations
#' @export
relu <- function(x) {
  call_operation("relu", list(x))
}

#' @rdname symbolic_operations
#' @export
where <- function(test, yes, no) {
  call_operation("where", list(test, yes, no))
}

#' @rdname symbolic_operations
#' @export
maximum <- function(x, y) {
  call_operation("maximum", list(x, y))
}

#' @rdname symbolic_operations
#' @export
minimum <- function(x, y) {
  call_operation("minimum", list(x, y))
}

#' @rdname symbolic_operations
#' @export
matvecmult <- function(x, y) {
  call_operation("matvecmult", list(x, y))
}

#' @rdname symbolic_operations
#' @export
vecmatmult <- function(x, y) {
  call_operation("vecmatmult", list(x, y))
}

#' @rdname symbolic_operations
#' @export
tensorprod <- function(x, y) {
  call_operation("tensorprod", list(x, y))
}

#' @rdname symbolic_operations
#' @export
sqnorm2 <- function(x) {
  call_operation("sqnorm2", list(x))
}

#' @rdname symbolic_operations
#' @export
norm2 <- function(x) {
  call_operation("norm2", list(x))
}

#' @rdname symbolic_operations
#' @export
normalize <- function(x) {
  call_operation("normalize", list(x))
}

#' @rdname symbolic_operations
#' @export
sqdist <- function(x, y) {
  call_operation("sqdist", list(x, y))
}

#' @rdname symbolic_operations
#' @export
weightedsqnorm <- function(x, s) {
  call_operation("weightedsqnorm", list(s, x))
}

#' @rdname symbolic_operations
#' @export
weightedsqdist <- function(x, y, s) {
  call_operation("weightedsqdist", list(s, x, y))
}

#' @rdname symbolic_operations
#' @export
difference_matrix <- function(x, y) {
  call_operation("difference_matrix", list(x, y))
}

#' @rdname symbolic_operations
#' @export
real2complex <- function(x) {
  call_operation("real2complex", list(x))
}

#' @rdname symbolic_operations
#' @export
imag2complex <- function(x) {
  call_operation("imag2complex", list(x))
}

#' @rdname symbolic_operations
#' @export
exp1j <- function(x) {
  call_operation("exp1j", list(x))
}
