# What crosses between R and Python, and in which form.
#
# To Python: vectors as 1-d arrays (a plain vector would become a Python list,
# forty times slower, and one of length 1 a number); numeric matrices as they
# are, which reticulate sends without a copy; strings, NULL, lists of these.
# R has no scalars: an argument that the engine declares as a number, and the
# numbers in a list of settings, cross as numbers.
# Refused, as they would arrive changed in silence: NA that is not a double (it
# would be TRUE, -2147483648 or "NA" on the other side), factors, dates, data
# frames and all other objects.
# Anything refused here is our own mistake: users' input was checked before.
#
# Back: arrays with one dimension become vectors, everything else is plain
# already (bridge.py sees to it). NaN stays NaN; index base is api.py's matter.

to_engine <- function(x, name = "x", number = FALSE) {
  if (is.null(x)) return(NULL)
  # What the engine keeps crosses as a handle.
  if (inherits(x, "python.builtin.object")) return(live_handle(x))
  if (is.object(x)) {
    abort_crossing(name, sprintf("is of class %s", class(x)[1L]))
  }
  if (is.list(x)) {
    inner <- names(x) %||% seq_along(x)
    return(Map(to_engine, x, paste0(name, "$", inner), number))
  }
  if (!is.numeric(x) && !is.logical(x) && !is.character(x)) {
    abort_crossing(name, sprintf("is of type %s", typeof(x)))
  }
  # Missing doubles arrive as NaN, which the engine refuses itself: looking at
  # every number twice would take longer than sending it.
  if (!is.double(x) && anyNA(x)) {
    abort_crossing(name, sprintf("has %d missing values", sum(is.na(x))))
  }
  if (is.character(x)) {
    return(if (length(x) == 1L) as.vector(x) else as.list(as.vector(x)))
  }
  if (number && length(x) == 1L) return(as.vector(x))
  # array() would copy element by element.
  if (is.null(dim(x))) attributes(x) <- list(dim = length(x))
  x
}

live_handle <- function(x) {
  if (!reticulate::py_is_null_xptr(x)) return(x)
  abort_input("An array of the engine was made in another session.",
              i = "Handles cannot be saved; make it again from its numbers.",
              code = "lost_handle", arg = "x")
}

from_engine <- function(x) {
  if (inherits(x, "python.builtin.object")) return(x)
  if (is.list(x)) return(lapply(x, from_engine))
  if (length(dim(x)) == 1L) as.vector(x) else x
}

abort_crossing <- function(name, what) {
  rlang::abort(
    c(sprintf("`%s` cannot be sent to the engine: it %s.", name, what),
      i = "This is a bug of ours; please report it."),
    class = c("vigitensor_error_crossing", "vigitensor_error_bug",
              "vigitensor_error"),
    arg = name, use_cli_format = TRUE
  )
}
