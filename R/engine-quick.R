# A short way into the engine for symbolic sums of few numbers, where preparing
# a call as engine_call() does would take ten times as long as the answer.

# Is the engine there already? Asked twice in a call.
engine_is_loaded <- function() {
  !is.null(.engine$api) && identical(.engine$path, engine_path())
}

# words, numbers: as `symbolic_quick` of api.py has them; data: matrices. The
# work is so short that Ctrl-C waits until it is done.
engine_quick <- function(words, numbers, data) {
  if (!load_engine()) abort_no_engine()
  send_threads()
  answer <- suspendInterrupts(reticulate::py_to_r(
    do.call(.engine$bridge$quick, c(list(words, numbers), data))
  ))
  if (!isTRUE(answer$ok)) abort_engine(answer$error, "symbolic_quick")
  answer$value
}
