# Which pairs (i, j) of a symbolic matrix count.

#' Pairs that count in a reduction
#'
#' Reductions take `pairs`: a comparison of LazyTensors, or what
#' `symbolic_pairs()` makes of bands, radii, labels and blocks. Other pairs are
#' left out, as if they were not there; with blocks, labels and radii they cost
#' no time either. Where several conditions are given, all must hold.
#'
#' @param band `c(lower, upper)`: the pairs with -lower <= j - i <= upper.
#'   `c(Inf, 0)` is the lower triangle with its diagonal.
#' @param radius A distance: the pairs of rows of `x` and `y` that are no
#'   farther
#'   apart. Quick where both are sorted in space, see `symbolic_clusters()`.
#' @param x,y Points, a row for each i and j; `x` of `symbolic_clusters()` too.
#' @param labels_i,labels_j Labels of i and of j, each sorted: the pairs with
#'   the
#'   same label, or those that `keep` names.
#' @param keep A logical matrix with a row for each label of i, a column for
#'   each
#'   of j, in increasing order.
#' @param rows,columns,slices Blocks: `rows` has the first and last row of each
#'   block of i, `columns` first and last of ranges of j, and rows k meet the
#'   ranges `slices[k - 1] + 1` to `slices[k]`.
#' @param mask A comparison of LazyTensors.
#' @param width Width of the cells of a grid.
#' @return `symbolic_pairs()`: an object for the argument `pairs`. Over no pairs
#'   a
#'   sum is 0, a product 1, `logsumexp()` -Inf, a mean NaN, a smallest value Inf
#'   with the place 0, `any()` `FALSE` and `all()` `TRUE`.
#'
#'   `symbolic_clusters()`: cells of a grid as a list of `label` for each point,
#'   `order` (places that sort the points by label), `ranges` (first and last of
#'   each cluster among the sorted points), `centre` and `radius` of each
#'   cluster.
#' @section Errors:
#' `vigitensor_error_bad_structure`, `_bad_size` (as many labels as rows are
#' needed).
#' @export
#' @examples
#' x <- sort(runif(20))
#' D <- abs(Vi(x) - Vj(x))
#' # Neighbours in time
#' sum(D, "j", pairs = symbolic_pairs(band = c(1, 1)))[, 1]
#' # Any comparison
#' count(D > 0, "j", pairs = D < 0.1)[, 1]
#' # Blocks of clusters
#' cells <- symbolic_clusters(x, 0.25)
#' labels <- cells$label[cells$order]
#' sum(D, "j", pairs = symbolic_pairs(labels_i = labels, labels_j = labels))
symbolic_pairs <- function(band = NULL, radius = NULL, x = NULL, y = NULL,
                           labels_i = NULL, labels_j = NULL, keep = NULL,
                           rows = NULL, columns = NULL, slices = NULL,
                           mask = NULL) {
  out <- list()
  if (!is.null(band)) out$band <- check_band(band)
  if (!is.null(radius)) {
    check_radius(radius, x, y)
    out$radius <- list(leaves = list(node_of(Vi(x)), node_of(Vj(y))),
                       distance = as.numeric(radius))
  }
  if (!is.null(labels_i) || !is.null(labels_j)) {
    out$labels <- label_codes(labels_i, labels_j, keep)
  }
  if (!is.null(rows)) {
    ok <- is.numeric(rows) && is.numeric(columns) && is.numeric(slices) &&
      NCOL(rows) == 2L && NCOL(columns) == 2L && NROW(rows) == length(slices)
    if (!ok) {
      abort_pairs("`rows` and `columns` must have two columns each.",
                  i = "`slices` has one number for each row of `rows`.")
    }
    out$ranges <- list(rows = as.matrix(rows), slices = as.numeric(slices),
                       columns = as.matrix(columns))
  }
  if (!is.null(mask)) {
    if (!is_lazy(mask) || dim(mask)[[3L]] != 1L) {
      abort_pairs("`mask` must be a comparison of one component.")
    }
    out$mask <- node_of(mask)
  }
  if (!length(out)) abort_pairs("`symbolic_pairs()` needs a condition.")
  structure(out, class = "symbolic_pairs")
}

#' @rdname symbolic_pairs
#' @export
symbolic_clusters <- function(x, width) {
  x <- plain_numbers(x)
  if (is.null(dim(x))) x <- matrix(x)
  ok <- is.numeric(width) && length(width) == 1L && isTRUE(width > 0)
  if (!ok) abort_pairs("`width` must be one positive number.")
  cell <- floor(x / width)
  label <- match(do.call(paste, as.data.frame(cell)),
                 do.call(paste, as.data.frame(unique_sorted(cell))))
  order <- order(label)
  last <- cumsum(tabulate(label))
  first <- c(1L, last[-length(last)] + 1L)
  centre <- unname(rowsum(x, label)) / tabulate(label)
  far <- sqrt(rowSums((x - centre[label, , drop = FALSE])^2))
  list(label = label, order = order, ranges = cbind(first, last),
       centre = centre, radius = as.vector(tapply(far, label, max)))
}

unique_sorted <- function(cell) {
  cell <- unique(cell)
  cell[do.call(order, as.data.frame(cell)), , drop = FALSE]
}

# ---- checks -----------------------------------------------------------------

abort_pairs <- function(message, ...) {
  abort_input(message, ..., code = "bad_structure", arg = "pairs")
}

check_band <- function(band) {
  ok <- is.numeric(band) && length(band) == 2L && !anyNA(band)
  if (!ok) abort_pairs("`band` must be two numbers, `c(lower, upper)`.")
  as.numeric(band)
}

check_radius <- function(radius, x, y) {
  ok <- is.numeric(radius) && length(radius) == 1L && isTRUE(radius >= 0)
  if (!ok) abort_pairs("`radius` must be one number, 0 or more.")
  if (is.null(x) || is.null(y)) {
    abort_pairs("`radius` needs the points `x` and `y`.")
  }
}

label_codes <- function(labels_i, labels_j, keep) {
  if (is.null(labels_i) || is.null(labels_j)) {
    abort_pairs("`labels_i` and `labels_j` are needed together.")
  }
  if (is.unsorted(labels_i) || is.unsorted(labels_j) || anyNA(labels_i) ||
        anyNA(labels_j)) {
    abort_pairs("Labels must be sorted, without missing ones.",
                i = "Sort the points by `order(labels)` first.")
  }
  levels <- list(i = unique(labels_i), j = unique(labels_j))
  if (is.null(keep)) {
    both <- sort(unique(c(levels$i, levels$j)))
    return(list(rows = match(labels_i, both), columns = match(labels_j, both)))
  }
  if (!is.matrix(keep) || anyNA(keep) ||
        !identical(dim(keep), unname(lengths(levels)))) {
    abort_pairs("`keep` must be a matrix of labels of i and of j.",
                x = sprintf("There are %d and %d labels.", length(levels$i),
                            length(levels$j)))
  }
  list(rows = match(labels_i, levels$i), columns = match(labels_j, levels$j),
       keep = keep + 0)
}

as_pairs <- function(pairs) {
  if (is.null(pairs) || inherits(pairs, "symbolic_pairs")) return(pairs)
  if (is_lazy(pairs)) return(symbolic_pairs(mask = pairs))
  abort_pairs("`pairs` must be a comparison, or made by `symbolic_pairs()`.")
}

check_pairs <- function(pairs, size) {
  if (is.null(pairs)) return(NULL)
  given <- list(i = c(length(pairs$labels$rows),
                      nrow(pairs$radius$leaves[[1L]]$data)),
                j = c(length(pairs$labels$columns),
                      nrow(pairs$radius$leaves[[2L]]$data)))
  for (index in names(given)) {
    found <- setdiff(given[[index]], c(0L, size[[if (index == "i") "n" else
      "m"]]))
    if (length(found)) {
      abort_input(
        sprintf("`pairs` is for %s rows of data indexed by %s.",
                format(found[[1L]], big.mark = ","), index),
        x = sprintf("The formula has %s.",
                    format(size[[if (index == "i") "n" else "m"]],
                           big.mark = ",")),
        code = "bad_size", arg = "pairs"
      )
    }
  }
  pairs
}

# ---- for the evaluators -----------------------------------------------------

# As the engine takes it.
pairs_structure <- function(pairs, slots) {
  out <- unclass(pairs)[setdiff(names(pairs), c("mask", "radius"))]
  if (!is.null(pairs$mask)) out$mask <- node_json(pairs$mask, slots)
  if (!is.null(pairs$radius)) {
    at <- vapply(pairs$radius$leaves, function(leaf) {
      slots$slot[[node_key(leaf)]]
    }, 1)
    out$radius <- c(at, pairs$radius$distance)
  }
  out
}

# A logical matrix (n, m).
dense_pairs <- function(pairs, n, m) {
  out <- matrix(TRUE, n, m)
  if (!is.null(pairs$band)) {
    gap <- col(out) - row(out)
    out <- out & gap >= -pairs$band[[1L]] & gap <= pairs$band[[2L]]
  }
  if (!is.null(pairs$radius)) {
    apart <- apply_op("sqdist", pairs$radius$leaves[[1L]],
                      pairs$radius$leaves[[2L]])
    out <- out & sqrt(dense_values(apart, n, m)[, , 1L]) <=
      pairs$radius$distance
  }
  if (!is.null(pairs$labels)) {
    code <- pairs$labels
    keep <- code$keep %||% diag(max(code$rows, code$columns))
    out <- out & keep[code$rows, code$columns, drop = FALSE] != 0
  }
  if (!is.null(pairs$mask)) {
    out <- out & dense_values(pairs$mask, n, m)[, , 1L] != 0
  }
  if (!is.null(pairs$ranges)) out <- out & dense_ranges(pairs$ranges, n, m)
  out
}

dense_ranges <- function(ranges, n, m) {
  out <- matrix(FALSE, n, m)
  from <- c(0, ranges$slices)
  for (k in seq_len(nrow(ranges$rows))) {
    for (s in seq_len(ranges$slices[[k]] - from[[k]]) + from[[k]]) {
      out[seq(ranges$rows[k, 1L], ranges$rows[k, 2L]),
          seq(ranges$columns[s, 1L], ranges$columns[s, 2L])] <- TRUE
    }
  }
  out
}
