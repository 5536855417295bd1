# Finding the engine's Python, starting it, importing the engine.
#
# Flow: wanted_python() -> start_python() -> load_engine() -> .engine$api.
# Nothing here runs before the first call that needs the engine, except
# choose_python(), which costs nothing and starts nothing.

# What this session knows of the engine: the handles of Python (`bridge`,
# `api`), the arguments of its functions, the threads set last, messages given.
.engine <- new.env(parent = emptyenv())

engine_packages <- c("numpy", "numba", "threadpoolctl")

engine_home <- function() {
  home <- Sys.getenv("VIGITENSOR_HOME")
  if (nzchar(home)) path.expand(home) else {
    tools::R_user_dir("vigitensor", "data")
  }
}

engine_environment <- function() file.path(engine_home(), "engine")

# The python program of a virtual environment's folder.
environment_python <- function(folder) {
  if (.Platform$OS.type == "windows") {
    file.path(folder, "Scripts", "python.exe")
  } else {
    file.path(folder, "bin", "python")
  }
}

# Where compiled kernels are kept; never below the user's home in a check.
engine_cache <- function() {
  cache <- Sys.getenv("VIGITENSOR_CACHE_DIR")
  if (nzchar(cache)) return(path.expand(cache))
  if (under_r_cmd_check()) return(file.path(tempdir(), "vigitensor-cache"))
  tools::R_user_dir("vigitensor", "cache")
}

# Makes it, for this user only: what lies there is executed.
make_cache <- function(cache = engine_cache()) {
  dir.create(cache, showWarnings = FALSE, recursive = TRUE, mode = "0700")
  if (file.access(cache, 2L) == 0L) return(cache)
  make_cache(file.path(tempdir(), "vigitensor-cache"))
}

# Looked for once: it is asked for at every call.
engine_path <- function() {
  .engine$own_path <- .engine$own_path %||%
    system.file("python", package = "vigitensor")
  .engine$own_path
}

# list(path, source): the Python to use and what named it.
wanted_python <- function() {
  for (name in c("VIGITENSOR_PYTHON", "RETICULATE_PYTHON")) {
    path <- Sys.getenv(name)
    if (nzchar(path)) {
      path <- path.expand(path)
      if (dir.exists(path)) path <- environment_python(path)
      return(list(path = path, source = name))
    }
  }
  list(path = environment_python(engine_environment()),
       source = "install_engine()")
}

# ---- word to reticulate -----------------------------------------------------

on_reticulate_load <- function(f) {
  setHook(packageEvent("reticulate", "onLoad"), function(...) f())
  if (isNamespaceLoaded("reticulate")) f()
}

# For whoever starts Python first, even if it is not us. A hint
# (required = FALSE) gives way to the user's own use_python().
choose_python <- function() {
  wanted <- wanted_python()
  if (wanted$source == "VIGITENSOR_PYTHON") {
    # A path that is wrong is told when the engine is asked for, not before.
    if (file.exists(wanted$path)) Sys.setenv(RETICULATE_PYTHON = wanted$path)
  } else if (wanted$source == "install_engine()") {
    if (file.exists(wanted$path)) {
      reticulate::use_python(wanted$path, required = FALSE)
    } else {
      declare_packages()
    }
  }
}

# reticulate >= 1.41 can provide packages by itself when Python is started.
declare_packages <- function() {
  reticulate_space <- asNamespace("reticulate")
  if (exists("py_require", reticulate_space, inherits = FALSE)) {
    get("py_require", reticulate_space)(engine_packages)
  }
}

# TRUE if the user told reticulate to provide Python by itself.
python_is_managed <- function() {
  identical(Sys.getenv("RETICULATE_PYTHON"), "managed") ||
    tolower(Sys.getenv("RETICULATE_USE_MANAGED_VENV")) %in%
      c("true", "1", "yes")
}

# A Python that the user has asked reticulate for with use_python() and the
# like; it wins over the engine's environment, as he said so in this session.
python_required_by_user <- function() {
  globals <- get0(".globals", asNamespace("reticulate"), inherits = FALSE)
  if (is.environment(globals)) globals$required_python_version
}

# ---- start ------------------------------------------------------------------

# Starts Python, or says why it cannot: NULL or a sentence. Never searches the
# machine, never offers to install anything.
start_python <- function() {
  if (python_is_running()) return(NULL)
  wanted <- wanted_python()
  variables <- c(RETICULATE_MINICONDA_ENABLED = "FALSE")
  if (!python_is_managed()) {
    variables <- c(variables, RETICULATE_USE_MANAGED_VENV = "no")
    if (is.null(python_required_by_user())) {
      reason <- no_python_reason(wanted)
      if (!is.null(reason)) return(reason)
      variables <- c(variables, RETICULATE_PYTHON = wanted$path)
    }
  }
  tryCatch(
    with_variables(variables, {
      reticulate::py_config()
      NULL
    }),
    error = function(e) first_line(conditionMessage(e))
  )
}

python_is_running <- function() {
  isNamespaceLoaded("reticulate") && reticulate::py_available()
}

# NULL if the Python is there. What the user has named is tried too, as newer
# versions of reticulate would pass over it and take another.
no_python_reason <- function(wanted) {
  path <- short_path(wanted$path)
  if (wanted$source == "install_engine()") {
    if (file.exists(wanted$path)) return(NULL)
    sprintf("The engine is not installed: there is no %s.", path)
  } else if (!file.exists(wanted$path)) {
    sprintf("%s names %s, which does not exist.", wanted$source, path)
  } else if (run_program(wanted$path, c("-c", "import sys"))$status != 0L) {
    sprintf("%s names %s, which does not run as a Python.", wanted$source,
            path)
  }
}

# Evaluates code with environment variables set, or unset where NA.
with_variables <- function(variables, code) {
  set <- function(values) {
    Sys.unsetenv(names(values)[is.na(values)])
    values <- values[!is.na(values)]
    if (length(values)) do.call(Sys.setenv, as.list(values))
  }
  old <- Sys.getenv(names(variables), unset = NA, names = TRUE)
  on.exit(set(old))
  set(variables)
  force(code)
}

first_line <- function(text) sub("\n.*", "", text)

short_path <- function(path) {
  home <- path.expand("~")
  inside <- nzchar(home) & home != "/" &
    startsWith(path, paste0(sub("/$", "", home), "/"))
  ifelse(inside, paste0("~", substring(path, nchar(sub("/$", "", home)) + 1L)),
         path)
}

# ---- import -----------------------------------------------------------------

# Imports the engine once per session. Value: TRUE, or FALSE with the reason in
# `.engine$reason`. `path`: the folder that holds the Python package.
load_engine <- function(path = engine_path()) {
  if (!is.null(.engine$api) && identical(.engine$path, path)) return(TRUE)
  .engine$reason <- start_python()
  if (is.null(.engine$reason)) {
    .engine$reason <- tryCatch(
      import_engine(path),
      error = function(e) first_line(conditionMessage(e))
    )
  }
  is.null(.engine$reason)
}

# NULL, or the sentence that says why the engine cannot be used.
import_engine <- function(path) {
  bridge <- load_bridge()
  reason <- packages_reason(bridge)
  if (!is.null(reason)) return(reason)

  bridge$calm_interrupts()
  cache <- make_cache()
  bridge$set_environment("VIGITENSOR_CACHE_DIR", cache)
  bridge$add_engine(path, file.path(cache, "pycache"))
  .engine$api <- bridge$load(path)
  .engine$bridge <- bridge
  .engine$path <- path
  .engine$cache <- cache
  .engine$kinds <- list()
  .engine$threads <- NULL
  NULL
}

# The functions of inst/bridge/bridge.py, fetched once into a plain list.
load_bridge <- function() {
  file <- system.file("bridge", "bridge.py", package = "vigitensor")
  builtins <- reticulate::import_builtins(convert = FALSE)
  source <- paste(readLines(file), collapse = "\n")
  types <- reticulate::import("types", convert = FALSE)
  module <- types$ModuleType("vigitensor_bridge")
  builtins$exec(builtins$compile(source, "bridge.py", "exec"),
                reticulate::py_get_attr(module, "__dict__"))
  functions <- c("calm_interrupts", "set_environment", "add_engine", "load",
                 "missing", "versions", "argument_kinds", "call",
                 "quick")
  bridge <- lapply(functions, function(f) module[[f]])
  c(stats::setNames(bridge, functions), list(module = module))
}

packages_reason <- function(bridge) {
  python <- short_path(reticulate::py_config()$python)
  missing <- unlist(reticulate::py_to_r(bridge$missing(engine_packages)))
  if (length(missing)) {
    return(sprintf("Python in use (%s) lacks %s.", python,
                   paste(missing, collapse = ", ")))
  }
  numpy <- unlist(reticulate::py_to_r(bridge$versions()))[["numpy"]]
  if (numpy_is_too_new(numpy)) {
    return(sprintf("reticulate %s cannot use NumPy %s (%s).",
                   utils::packageVersion("reticulate"), numpy, python))
  }
  NULL
}

# reticulate learned NumPy 2 with version 1.38.
numpy_is_too_new <- function(numpy) {
  utils::packageVersion("reticulate") < "1.38" &&
    as.integer(sub("\\..*", "", numpy)) >= 2L
}

# ---- is it there? -----------------------------------------------------------

#' Is the fast engine there?
#'
#' Starts the engine's Python if it can. Quick, and never an error, a prompt or
#' a download, when it cannot.
#'
#' @return `TRUE` or `FALSE`.
#' @seealso [install_engine()] installs it, [engine_info()] says more.
#' @export
#' @examples
#' engine_available()
engine_available <- function() {
  isTRUE(tryCatch(load_engine(), error = function(e) FALSE))
}

# Everything that needs the engine and does not find it says it here.
abort_no_engine <- function(reason = .engine$reason, call = NULL) {
  running <- python_is_running()
  fix <- if (running) {
    c(i = "Restart R, so that Python can be chosen again.",
      i = "If that does not help, run `install_engine()`.")
  } else if (wanted_python()$source != "install_engine()") {
    c(i = sprintf("Correct or unset %s; `install_engine()` makes a Python.",
                  wanted_python()$source))
  } else {
    c(i = "Install it once with `install_engine()`.")
  }
  rlang::abort(
    c("The fast engine (Python with NumPy and Numba) cannot be used.",
      x = reason %||% "It was not found.",
      fix,
      i = "`engine = \"reference\"` needs no Python, but is slow."),
    class = c("vigitensor_error_no_engine", "vigitensor_error"),
    reason = reason, call = call, use_cli_format = TRUE
  )
}
