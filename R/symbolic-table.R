# The table of operations, inst/python/vigitensor/symbolic/operations.csv, as R
# reads it: once a session. The engine reads the same file.

.symbolic <- new.env(parent = emptyenv())

# Value: list by name of an operation's row, `static` cut into words.
symbolic_table <- function() {
  if (is.null(.symbolic$table)) {
    .symbolic$table <- read_symbolic_table(symbolic_table_file())
    .symbolic$dims <- new.env(parent = emptyenv())
  }
  .symbolic$table
}

symbolic_table_file <- function() {
  system.file("python", "vigitensor", "symbolic", "operations.csv",
              package = "vigitensor", mustWork = TRUE)
}

read_symbolic_table <- function(file) {
  rows <- utils::read.csv(file, colClasses = "character", na.strings = NULL)
  rows$arity <- as.integer(rows$arity)
  out <- lapply(seq_len(nrow(rows)), function(k) {
    row <- as.list(rows[k, ])
    row$static <- strsplit(row$static, " ", fixed = TRUE)[[1L]]
    row$derivative <- trimws(strsplit(row$derivative, ";", fixed = TRUE)[[1L]])
    row
  })
  stats::setNames(out, rows$name)
}

# Name of the operation behind a function of R, for real or complex numbers.
operation_of_r <- function(r_name, complex = FALSE) {
  if (is.null(.symbolic$by_r_name)) {
    table <- symbolic_table()
    r <- vapply(table, `[[`, "", "r_name")
    is_complex <- startsWith(names(table), "complex")
    keep <- nzchar(r)
    .symbolic$by_r_name <- lapply(
      list(real = keep & !is_complex, complex = keep & is_complex),
      function(some) stats::setNames(names(table)[some], r[some])
    )
  }
  kind <- if (complex) "complex" else "real"
  unname(.symbolic$by_r_name[[kind]][r_name])
}

# ---- inner dimensions -------------------------------------------------------

# Inner dimension of an operation's result, with its arguments checked.
operation_dim <- function(op, dims, static) {
  if (op$kind != "composite") return(simple_dim(op, dims, static))
  key <- paste(c(op$name, dims, "/", static), collapse = " ")
  found <- .symbolic$dims[[key]]
  if (is.null(found)) {
    parts <- lapply(dims, function(d) new_leaf(NULL, "p", dim = d))
    # What is wrong is told of what the user called, not of a part of it.
    found <- tryCatch(
      expand_once(op, parts, static)$dim,
      vigitensor_error_bad_dimension = function(e) {
        if (identical(e$arg, op$name)) stop(e)
        abort_dims(op, dims, "equal, or 1")
      }
    )
    assign(key, found, envir = .symbolic$dims)
  }
  found
}

simple_dim <- function(op, dims, static) {
  if (op$dim == "broadcast") return(equal_dim(op, dims))
  given <- stats::setNames(as.list(static), op$static[seq_along(static)])
  switch(
    op$dim,
    double = 2L * equal_dim(op, dims),
    one = {
      k <- given$k %||% 0L
      check_place(op, k >= 0L && k < dims, dims)
      1L
    },
    d = placed_dim(op, dims, given),
    same = {
      check_place(op, identical(sort(static), seq_len(dims) - 1L), dims)
      dims
    },
    sum = sum(dims),
    product = prod(dims),
    quotient_ab = quotient_dim(op, dims, dims[[1L]], dims[[2L]]),
    quotient_ba = quotient_dim(op, dims, dims[[2L]], dims[[1L]]),
    half = {
      if (dims %% 2L) abort_dims(op, dims, "even (real, imaginary in turn)")
      dims %/% 2L
    }
  )
}

equal_dim <- function(op, dims) {
  if (length(dims) == 1L) return(dims)
  top <- max(dims)
  if (any(dims != 1L & dims != top)) abort_dims(op, dims, "equal, or 1")
  top
}

quotient_dim <- function(op, dims, matrix, vector) {
  if (matrix %% vector) {
    abort_dims(op, dims, "those of a matrix and of a vector that fits it")
  }
  matrix %/% vector
}

placed_dim <- function(op, dims, given) {
  d <- given$d
  k <- given$k %||% 0L
  if (op$name %in% c("spread", "one_hot", "elem_t") && dims != 1L) {
    abort_dims(op, dims, "1")
  }
  inside <- switch(op$name, extract = k + d <= dims, extract_t = k + dims <= d,
                   elem_t = k < d, TRUE)
  check_place(op, d >= 1L && k >= 0L && inside, dims)
  as.integer(d)
}

check_place <- function(op, ok, dims) {
  if (ok) return(invisible())
  abort_input(
    sprintf("%s(): a place lies outside the %d component%s of its argument.",
            op$name, dims[[1L]], if (dims[[1L]] == 1L) "" else "s"),
    i = "Components are counted from 1.",
    code = "bad_place", arg = op$name
  )
}

name_in_r <- function(op) if (nzchar(op$r_name)) op$r_name else op$name

abort_dims <- function(op, dims, expected) {
  what <- name_in_r(op)
  abort_input(
    sprintf("`%s`: the inner dimensions (numbers of columns) must be %s.",
            what, expected),
    x = sprintf("They are %s.", paste(dims, collapse = " and ")),
    code = "bad_dimension", arg = what
  )
}
