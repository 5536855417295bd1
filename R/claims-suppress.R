# Suppression of small counts, so that none can be worked out from the others.
#
# A table with its margins is a set of equations: in each row and column the
# cells add up to the margin. A suppressed cell can be worked out when its unit
# vector lies in the space that the equations span, that is, when every solution
# of the homogeneous equations is zero there. Cells are added until none that is
# suppressed can be worked out; and until those of a line, whose sum is known
# when its margin is shown, have a sum that may be known.

#' Suppress small counts, and those that give them away
#'
#' Counts from 1 to `min_cell - 1` are suppressed (zeros stay), and so many more
#' that no suppressed count can be worked out from rows, columns and totals, nor
#' a sum of suppressed counts that is itself below `min_cell`.
#'
#' @param counts Whole numbers: a vector, whose cells add up to one total, or a
#'   matrix, with totals of rows and columns.
#' @param min_cell Smallest count that may be shown.
#' @param also Logical, like `counts`: cells to suppress for other reasons.
#' @return For a vector, a list of `cells` and `total`; for a matrix, of
#'   `cells`, `rows`, `columns` and `total`; suppressed counts are `NA`.
#' @export
#' @examples
#' suppress_small(c(120, 4, 35))
#' suppress_small(matrix(c(120, 4, 35, 80, 60, 11), 2))
suppress_small <- function(counts, min_cell = 10, also = NULL) {
  min_cell <- check_integer(min_cell, "min_cell", 0)
  ok <- is.numeric(counts) && length(counts) > 0L && !anyNA(counts) &&
    all(counts >= 0)
  if (!ok) {
    abort_input("`counts` must be counts: numbers, zero or more.",
                x = sprintf("It is %s.", what_is(counts)), arg = "counts",
                code = "counts")
  }
  is_vector <- is.null(dim(counts))
  cells <- if (is_vector) matrix(counts, ncol = 1L) else counts
  hidden <- if (is.null(also)) cells < 0 else matrix(also, nrow(cells))
  # A single column needs no totals of rows.
  full <- if (is_vector) rbind(cells, sum(cells)) else
    stats::addmargins(unname(cells), FUN = sum, quiet = TRUE)
  mask <- hide_cells(full, hidden, min_cell, one_way = is_vector)
  full[mask] <- NA
  n <- nrow(cells)
  k <- ncol(cells)
  if (is_vector) {
    return(list(cells = stats::setNames(full[seq_len(n), 1L], names(counts)),
                total = full[n + 1L, 1L]))
  }
  cells[] <- full[seq_len(n), seq_len(k)]
  list(cells = cells,
       rows = stats::setNames(full[seq_len(n), k + 1L], rownames(counts)),
       columns = stats::setNames(full[n + 1L, seq_len(k)], colnames(counts)),
       total = full[n + 1L, k + 1L])
}

# full: counts with margins in the last row (and column). Value: TRUE where a
# count must not be shown.
hide_cells <- function(full, hidden, min_cell, one_way = FALSE) {
  mask <- full > 0 & full < min_cell
  inner <- cbind(row(hidden)[hidden], col(hidden)[hidden])
  mask[inner] <- TRUE
  lines <- margin_lines(dim(full), one_way)
  repeat {
    weak <- weak_line(full, mask, lines, min_cell)
    if (is.null(weak)) return(mask)
    open <- weak[!mask[weak]]
    if (!length(open)) return(mask)
    # The smallest that is not zero; margins and zeros last.
    margin <- row(full) == nrow(full) | (!one_way & col(full) == ncol(full))
    rank <- order(full[open] == 0, margin[open], full[open])
    mask[open[rank[1L]]] <- TRUE
  }
}

# Each line: places of its cells in the table; the last one is their sum.
margin_lines <- function(size, one_way) {
  at <- matrix(seq_len(prod(size)), size[1L])
  columns <- lapply(seq_len(size[2L]), function(j) at[, j])
  if (one_way) return(columns)
  c(lapply(seq_len(size[1L]), function(i) at[i, ]), columns)
}

# A line in which more must be hidden, or NULL.
weak_line <- function(full, mask, lines, min_cell) {
  for (line in lines) {
    margin <- line[length(line)]
    inside <- line[-length(line)]
    lost <- inside[mask[inside]]
    # The margin tells the sum of what is hidden.
    if (length(lost) && !mask[margin] && sum(full[lost]) < min_cell &&
          sum(full[lost]) > 0) {
      return(line)
    }
  }
  known <- recoverable_cells(mask, lines)
  for (cell in known) {
    for (line in lines) {
      if (cell %in% line && any(!mask[line])) return(line)
    }
  }
  NULL
}

# Places of hidden cells that the others determine.
recoverable_cells <- function(mask, lines) {
  cells <- which(mask)
  if (!length(cells)) return(integer())
  equations <- t(vapply(lines, function(line) {
    sign <- c(rep(1, length(line) - 1L), -1)
    replace(rep(0, length(cells)), match(line[mask[line]], cells),
            sign[mask[line]])
  }, rep(0, length(cells))))
  equations <- matrix(equations, length(lines))
  # Columns of v that belong to zero singular values span what stays unknown.
  s <- svd(equations, nu = 0L, nv = length(cells))
  rank <- sum(s$d > 1e-9 * max(s$d, 1))
  free <- s$v[, seq_len(ncol(s$v)) > rank, drop = FALSE]
  cells[rowSums(abs(free)) < 1e-8]
}
