# Who asks? Functions of R that are no generics reach one of our methods, or an
# error of R, somewhere inside. On the way up the calls stands what the user
# called: an error names it, and some functions are answered in their place, by
# a return from their frame (docs/adr/0021).

# ---- names ------------------------------------------------------------------

r_namespaces <- c("base", "stats", "utils", "methods", "graphics")

is_of_r <- function(fun) {
  is.primitive(fun) ||
    environmentName(topenv(environment(fun))) %in% r_namespaces
}

# The name under which users know the function of frame k: that of the call, or
# for `FUN` and the like the one that R has for this function.
name_of_call <- function(k) {
  head <- sys.call(k)[[1L]]
  if (is.call(head) && as.character(head[[1L]])[[1L]] %in% c("::", ":::")) {
    head <- head[[3L]]
  }
  name <- if (is.name(head)) sub("[.]default$", "", as.character(head))
  if (is_public_name(name)) return(name)
  fun <- sys.function(k)
  for (home in lapply(r_namespaces, asNamespace)) {
    if (!identical(topenv(environment(fun)), home)) next
    for (name in getNamespaceExports(home)) {
      if (identical(get0(name, home), fun)) return(name)
    }
  }
}

is_public_name <- function(name) {
  if (is.null(name)) return(FALSE)
  for (home in r_namespaces) {
    if (exists(name, asNamespace(home), inherits = FALSE)) return(TRUE)
  }
  name %in% getNamespaceExports(topenv())
}

# From frame k upwards through our own functions and those of R: the last name.
called_name <- function(k, name) {
  ours <- topenv()
  while (k > 0L) {
    fun <- sys.function(k)
    mine <- !is.primitive(fun) && identical(environment(fun), ours)
    if (!mine && !is_of_r(fun)) break
    name <- name_of_call(k) %||% name
    k <- sys.parents()[[k]]
  }
  name
}

# ---- answers ----------------------------------------------------------------

r_function <- function(name) {
  get0(name, baseenv(), inherits = FALSE) %||% get(name, asNamespace("stats"))
}

# To be called by a method: if the method was called by one of the functions
# that `answers` names, returns from that function. answers: functions of the
# asker's frame.
answer_caller <- function(answers) {
  k <- asker_of(sys.parent())
  if (k > 0L) answer_frame(answers, k)
}

# The frame that called the method of frame k; as.vector() dispatches within.
asker_of <- function(k) {
  k <- sys.parents()[[k]]
  if (k > 0L && identical(sys.function(k), base::as.vector)) {
    k <- sys.parents()[[k]]
  }
  k
}

answer_frame <- function(answers, k) {
  fun <- sys.function(k)
  for (name in names(answers)) {
    if (!identical(fun, r_function(name))) next
    frame <- sys.frame(k)
    out <- answers[[name]](frame)
    rlang::eval_bare(rlang::expr(return(!!out)), frame)
  }
}

# Was the method whose frame is the caller's called by a function of R?
asked_by_r <- function() {
  k <- asker_of(sys.parent())
  k > 0L && is_of_r(sys.function(k))
}

dots_of <- function(frame) eval(quote(list(...)), frame)

# ---- errors of R ------------------------------------------------------------

# Evaluates code in which functions of R may meet traced arrays that they do
# not know: errors of R become answers, or errors that name the function.
answering <- function(code) withCallingHandlers(code, error = answer_error)

answer_error <- function(error) {
  if (inherits(error, c("vigitensor_error", "rlang_error"))) return()
  k <- sys.nframe() - 1L
  signals <- list(base::stop, r_function(".handleSimpleError"))
  while (k > 0L && any(vapply(signals, identical, NA, sys.function(k)))) {
    k <- k - 1L
  }
  if (k > 0L && is_of_r(sys.function(k))) answer_r_error(k) else
    answer_primitive(conditionCall(error), error, sys.frame(k))
}

# Frames of R from k upwards, as far as one holds a symbolic object.
answer_r_error <- function(k) {
  first <- k
  found <- FALSE
  while (k > 0L && is_of_r(sys.function(k))) {
    if (holds_symbolic(sys.frame(k))) {
      found <- TRUE
      answer_frame(error_answers, k)
    }
    k <- sys.parents()[[k]]
  }
  if (found) abort_not_traced(called_name(first, "this function"))
}

holds_symbolic <- function(frame) {
  names <- setdiff(ls(frame, all.names = TRUE), "...")
  names <- names[!rlang::env_binding_are_lazy(frame, names)]
  if (any_symbolic(names, frame)) return(TRUE)
  dots <- exists("...", frame, inherits = FALSE)
  dots && tryCatch(has_symbolic(dots_of(frame)), error = function(e) FALSE)
}

# Looking at an argument that is missing is an error.
any_symbolic <- function(names, frame) {
  any(vapply(names, function(name) tryCatch(
    has_symbolic(get0(name, frame)), error = function(e) FALSE
  ), NA))
}

has_symbolic <- function(x) {
  is_symbolic <- function(x) inherits(x, c("symbolic", "traced_cell"))
  is_symbolic(x) || (is.list(x) && any(vapply(unclass(x), is_symbolic, NA)))
}

# R's arithmetic met a list, which is what a traced array is inside.
answer_primitive <- function(call, error, frame) {
  name <- if (is.call(call) && is.name(call[[1L]])) as.character(call[[1L]])
  met <- c(
    gettext("non-numeric argument to binary operator", domain = "R"),
    gettext("non-numeric argument to mathematical function", domain = "R"),
    gettextf("invalid 'type' (%s) of argument", "list", domain = "R")
  )
  if (!is.null(name) && conditionMessage(error) %in% met &&
        any_symbolic(all.vars(call), frame)) {
    abort_not_traced(name)
  }
}

abort_not_traced <- function(name) {
  abort_input(
    sprintf("`%s()` is not defined for traced arrays.", name),
    i = "Inside `gradient()` functions must be such as can be differentiated.",
    i = paste("In functions that `f` calls, a traced array comes first in",
              "`c()`, `sum()` and `max()`, and is not put into a plain vector",
              "by `v[i] <- x`, `unlist()` or `vapply()`."),
    code = "undefined", arg = name
  )
}
