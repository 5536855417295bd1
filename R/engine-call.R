# The only way into the engine, and the only place where its errors become R's.

# fun: a function of inst/python/vigitensor/api.py; ...: its arguments.
# Value: its result as plain R lists, vectors and matrices.
engine_call <- function(fun, ...) {
  if (!load_engine()) abort_no_engine()
  send_threads()
  announce_compiling(fun)
  engine_invoke(fun, list(...))
}

engine_invoke <- function(fun, arguments) {
  arguments <- convert_arguments(arguments, argument_kinds(fun))
  answer <- python_call(fun, arguments)
  if (!isTRUE(answer$ok)) abort_engine(answer$error, fun)
  from_engine(answer$value)
}

# The arguments of an api function: their names, which of them are numbers and
# which are settings. Asked once.
argument_kinds <- function(fun) {
  kinds <- .engine$kinds[[fun]]
  if (is.null(kinds)) {
    kinds <- reticulate::py_to_r(.engine$bridge$argument_kinds(fun))
    kinds <- lapply(kinds, unlist)
    .engine$kinds[[fun]] <- kinds
  }
  kinds
}

convert_arguments <- function(arguments, kinds) {
  name <- names(arguments) %||% character(length(arguments))
  name[name == ""] <- setdiff(kinds$names, name)[seq_len(sum(name == ""))]
  as_number <- name %in% c(kinds$number, kinds$settings)
  converted <- Map(to_engine, arguments, name, as_number)
  # Empty lists have no names: an empty list of settings is a dict still.
  empty <- name %in% kinds$settings & lengths(arguments) == 0L
  converted[empty] <- list(named_list())
  stats::setNames(converted, name)
}

named_list <- function() stats::setNames(list(), character())

# Ctrl-C is let through while the engine works, not while data are converted:
# reticulate's C++ code does not expect it there, and crashes.
python_call <- function(fun, arguments) {
  suspendInterrupts({
    arguments <- reticulate::r_to_py(arguments)
    answer <- tryCatch(
      allowInterrupts(.engine$bridge$call(fun, arguments)),
      error = interrupt_or_stop
    )
    reticulate::py_to_r(answer)
  })
}

# The bridge lets no exception through but Ctrl-C, which some versions of
# reticulate make an interrupt of R and others an error.
interrupt_or_stop <- function(error) {
  if (startsWith(conditionMessage(error), "KeyboardInterrupt") ||
        inherits(error, "python.builtin.KeyboardInterrupt")) {
    rlang::interrupt()
  }
  stop(error)
}

# ---- errors -----------------------------------------------------------------

abort_engine <- function(error, fun) {
  if (isTRUE(error$ours)) {
    rlang::abort(
      error$message,
      class = c(paste0("vigitensor_error_", error$code),
                "vigitensor_error_engine", "vigitensor_error"),
      arg = error$arg, trace_python = error$trace, call = NULL,
      use_cli_format = TRUE
    )
  }
  rlang::abort(
    c("The engine failed: this is a bug of ours, not of your data.",
      x = sprintf("%s in `%s`: %s", error$type, fun, error$message),
      i = paste0("Please report it with the Python trace ",
                 "(`rlang::last_error()$trace_python`) and these versions:"),
      " " = format_versions(engine_versions())),
    class = c("vigitensor_error_bug", "vigitensor_error_engine",
              "vigitensor_error"),
    trace_python = error$trace, call = NULL, use_cli_format = TRUE
  )
}

# Asked for once: every fit records them, and looking them up takes as long as a
# small fit. install_engine() forgets them.
engine_versions <- function() {
  if (!is.null(.engine$versions)) return(.engine$versions)
  ours <- list(
    vigitensor = as.character(utils::packageVersion("vigitensor")),
    R = as.character(getRversion()),
    reticulate = as.character(utils::packageVersion("reticulate"))
  )
  if (is.null(.engine$bridge)) return(ours)
  python <- as.list(unlist(reticulate::py_to_r(.engine$bridge$versions())))
  .engine$versions <- c(ours, python)
}

format_versions <- function(versions) {
  paste(names(versions), unlist(versions), collapse = ", ")
}

# ---- before a call ----------------------------------------------------------

send_threads <- function() {
  wanted <- list(wanted_threads())
  if (identical(wanted, .engine$threads)) return(invisible())
  engine_invoke("set_threads", wanted)
  .engine$threads <- wanted
}

housekeeping <- c("engine_report", "is_warm", "set_threads", "warm_up")

# Says once that kernels are being compiled, if this function's are not in the
# cache.
announce_compiling <- function(fun) {
  if (fun %in% c(housekeeping, .engine$known_warm)) return(invisible())
  .engine$known_warm <- c(.engine$known_warm, fun)
  if (isTRUE(.engine$announced)) return(invisible())
  if (isFALSE(engine_invoke("is_warm", list(fun)))) {
    .engine$announced <- TRUE
    rlang::inform(
      paste("Compiling the engine's kernels once; this takes some seconds,",
            "and later sessions find them ready."),
      class = "vigitensor_message_compiling"
    )
  }
}
