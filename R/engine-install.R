# install_engine(): one virtual environment with the engine's packages.
#
# Python's own `venv` and `pip` are run as programs, so that nothing is started
# inside R and any version of reticulate will do.

#' Install the fast engine
#'
#' Makes a virtual environment of its own for the engine, with NumPy, Numba and
#' threadpoolctl, and compiles the engine's kernels once. Nothing outside two
#' folders is touched: `tools::R_user_dir("vigitensor", "data")` (the
#' environment; `VIGITENSOR_HOME` moves it) and
#' `tools::R_user_dir("vigitensor", "cache")` (the kernels;
#' `VIGITENSOR_CACHE_DIR` moves them). Run it again whenever you like: what is
#' there already is kept, and no network is needed then.
#'
#' @param from `NULL` to install from the package index that `pip` is set up
#'   for. Or the path of a folder with wheels (`.whl` files), for a machine
#'   without network: `pip` looks nowhere else then.
#' @param python Path of the Python (>= 3.9) to make the environment with.
#'   `NULL`: the first suitable one of `VIGITENSOR_PYTHON`, `/usr/bin/python3`,
#'   and those on the search path. It needs its `venv` module and its shared
#'   library (on Debian and Ubuntu: packages `python3-venv` and `libpython3.x`).
#' @param packages `NULL`, or further packages to install, as `pip` writes them
#'   (`"scipy"`, `"torch==2.13.0"`).
#' @param gpu `TRUE` adds `torch`, for engine `"torch"`. What `pip` installs by
#'   default on Linux is the build for NVIDIA GPUs, several gigabytes; it
#'   computes on the processor too. Where a smaller build is wanted, name it in
#'   `packages`, or bring its wheel and use `from`.
#' @param parts `NULL`, or optional parts: `"duckdb"` to read Parquet and CSV
#'   files ([parquet_source()]), `"dask"` to compute on several machines (it
#'   needs Python 3.10). Their versions are fixed.
#' @param quiet `TRUE`: say nothing unless something fails.
#' @return The path of the environment's Python, invisibly.
#' @section Errors:
#' `vigitensor_error_no_python` (no suitable Python; the message lists every one
#' looked at with what it lacks), `vigitensor_error_install` (making the
#' environment or `pip` failed; its output is shown).
#' @seealso [engine_info()], [engine_available()], [vigitensor_options]
#' @export
#' @examples
#' \dontrun{
#' install_engine()
#'
#' # On a machine without network, from wheels brought there by hand
#' install_engine(from = "wheels")
#' }
#' # What it would use and where
#' engine_info()
install_engine <- function(from = NULL, python = NULL, packages = NULL,
                           gpu = FALSE, parts = NULL, quiet = FALSE) {
  check_install_arguments(from, python, packages, gpu, quiet)
  parts <- unlist(engine_parts[check_parts(parts)], use.names = FALSE)
  say <- function(...) if (!quiet) rlang::inform(paste0(...))
  folder <- engine_environment()
  own_python <- environment_python(folder)

  if (!python_runs(own_python)) {
    base <- find_python(python)
    say("Making a virtual environment in ", short_path(folder), " with ",
        short_path(base))
    make_environment(base, folder)
  }
  wanted <- c(engine_requirements(), if (gpu) "torch", parts, packages)
  lacking <- wanted[!has_packages(own_python, wanted)]
  if (length(lacking)) {
    say("Installing ", paste(lacking, collapse = ", "),
        if (!is.null(from)) paste0(" from ", short_path(from)))
    pip_install(own_python, lacking, from, quiet)
    .engine$versions <- NULL
  } else {
    say("The engine is installed already in ", short_path(folder))
  }
  say("Compiling the engine's kernels (kept in ", short_path(engine_cache()),
      ")")
  if (warm_kernels(own_python)) after_install(say)
  invisible(own_python)
}

check_install_arguments <- function(from, python, packages, gpu, quiet) {
  one_string <- function(x) is.character(x) && length(x) == 1L && !is.na(x)
  if (!is.null(from) && !(one_string(from) && dir.exists(from))) {
    abort_input("`from` must be NULL or the path of a folder with wheels.",
                x = if (one_string(from)) "There is no such folder.",
                code = "install_from", arg = "from")
  }
  if (!is.null(python) && !one_string(python)) {
    abort_input("`python` must be NULL or the path of a Python program.",
                code = "install_python", arg = "python")
  }
  if (!is.null(packages) && !is.character(packages)) {
    abort_input("`packages` must be NULL or a character vector.",
                code = "install_packages", arg = "packages")
  }
  for (name in c("gpu", "quiet")) {
    value <- get(name)
    if (!isTRUE(value) && !isFALSE(value)) {
      abort_input(sprintf("`%s` must be TRUE or FALSE.", name),
                  code = "install_flag", arg = name)
    }
  }
}

# NumPy 2 needs reticulate 1.38.
engine_requirements <- function() {
  numpy <- if (numpy_is_too_new("2.0")) "numpy<2" else "numpy"
  c(numpy, setdiff(engine_packages, "numpy"))
}

# ---- running programs -------------------------------------------------------

# list(status, output); never an R warning or error.
run_program <- function(program, args, show = FALSE) {
  if (show) {
    status <- suppressWarnings(system2(program, shQuote(args)))
    return(list(status = status, output = character()))
  }
  output <- tryCatch(
    suppressWarnings(system2(program, shQuote(args), stdout = TRUE,
                             stderr = TRUE)),
    error = function(e) structure(conditionMessage(e), status = 127L)
  )
  list(status = attr(output, "status") %||% 0L, output = as.vector(output))
}

python_runs <- function(python) {
  file.exists(python) && run_program(python, c("-c", "import pip"))$status == 0L
}

abort_install <- function(headline, output) {
  rlang::abort(
    c(headline, stats::setNames(utils::tail(output, 20L),
                                rep(" ", min(20L, length(output)))),
      i = "Nothing else was changed; run `install_engine()` again when fixed."),
    class = c("vigitensor_error_install", "vigitensor_error"),
    output = output, call = NULL, use_cli_format = TRUE
  )
}

# ---- a Python to begin with -------------------------------------------------

find_python <- function(python = NULL) {
  candidates <- if (is.null(python)) python_candidates() else python
  lacks <- vapply(candidates, python_lacks, "")
  if (any(lacks == "")) return(candidates[lacks == ""][1L])
  abort_no_python(lacks)
}

python_candidates <- function() {
  named <- Sys.getenv(c("VIGITENSOR_PYTHON", "RETICULATE_PYTHON"))
  inside <- dir.exists(named)
  named[inside] <- environment_python(named[inside])
  found <- c(named, "/usr/bin/python3", Sys.which(c("python3", "python")),
             "/usr/local/bin/python3", "/opt/homebrew/bin/python3",
             rev(Sys.glob("/usr/bin/python3.[0-9]*")))
  found <- unique(unname(found[nzchar(found)]))
  ours <- startsWith(found, paste0(engine_environment(), "/"))
  found[file.exists(found) & !ours & !grepl("-config$", found)]
}

# "" if the Python will do, else what it lacks. One short process.
python_lacks <- function(python) {
  code <- "
import glob, os, sys, sysconfig
def has(name):
    try:
        __import__(name)
        return True
    except ImportError:
        return False
print('version', '%d.%d' % sys.version_info[:2])
print('venv', has('venv') and has('ensurepip'))
ending = {'darwin': 'dylib', 'win32': 'dll'}.get(sys.platform, 'so')
name = 'libpython%d.%d' % sys.version_info[:2]
places = [sysconfig.get_config_var(v) for v in ('LIBPL', 'LIBDIR')]
places += [sys.prefix, sys.base_prefix]
shared = any(glob.glob(os.path.join(p, name + '*.' + ending + '*'))
             for p in places if p)
print('shared', shared or sys.platform == 'win32')
"
  run <- run_program(python, c("-c", code))
  if (run$status != 0L) return("does not run")
  fields <- strsplit(run$output, " ")
  answer <- stats::setNames(vapply(fields, `[`, "", 2L),
                            vapply(fields, `[`, "", 1L))
  version <- answer[["version"]]
  if (numeric_version(version) < "3.9") {
    return(sprintf("is version %s; 3.9 or later is needed", version))
  }
  lacks <- c(
    if (answer[["venv"]] != "True") "modules venv and ensurepip",
    if (answer[["shared"]] != "True") {
      sprintf("the shared library libpython%s", version)
    }
  )
  if (length(lacks)) {
    sprintf("(version %s) lacks %s", version, paste(lacks, collapse = " and "))
  } else ""
}

abort_no_python <- function(lacks) {
  how <- if (file.exists("/etc/debian_version")) {
    version <- regmatches(lacks, regexpr("3[.](9|[1-9][0-9])", lacks))
    sprintf("apt-get install python3 python3-venv libpython%s",
            c(version, "3.x")[1L])
  } else {
    switch(Sys.info()[["sysname"]],
      Windows = "Install Python from python.org, then restart R.",
      Darwin = "brew install python, or install Python from python.org.",
      "Install Python 3.9 or later with its venv module and shared library."
    )
  }
  looked <- if (length(lacks)) {
    stats::setNames(paste(short_path(names(lacks)), lacks),
                    rep("x", length(lacks)))
  } else c(x = "None was found on this machine.")
  rlang::abort(
    c("No suitable Python (>= 3.9, with venv and a shared library).", looked,
      i = how, i = "Or name one: install_engine(python = \"path\")."),
    class = c("vigitensor_error_no_python", "vigitensor_error"),
    looked = lacks, call = NULL, use_cli_format = TRUE
  )
}

# ---- the environment --------------------------------------------------------

make_environment <- function(base, folder) {
  dir.create(dirname(folder), recursive = TRUE, showWarnings = FALSE)
  run <- run_program(base, c("-m", "venv", "--clear", path.expand(folder)))
  if (run$status != 0L) {
    abort_install("The virtual environment could not be made.", run$output)
  }
}

# For each requirement: is its package there? NumPy also in the right version.
has_packages <- function(python, requirements) {
  code <- "
import sys
from importlib import metadata
for name in sys.argv[1:]:
    try:
        print(metadata.version(name))
    except metadata.PackageNotFoundError:
        print('none')
"
  names <- sub("[][<>=!~; ].*", "", requirements)
  run <- run_program(python, c("-c", code, names))
  if (run$status != 0L) return(rep(FALSE, length(requirements)))
  there <- run$output != "none"
  numpy <- names == "numpy" & there
  there[numpy] <- !vapply(run$output[numpy], numpy_is_too_new, NA)
  pinned <- grepl("==", requirements, fixed = TRUE)
  there[pinned] <- there[pinned] &
    startsWith(run$output[pinned], sub(".*== *", "", requirements[pinned]))
  there
}

pip_install <- function(python, requirements, from, quiet) {
  offline <- if (!is.null(from)) {
    c("--no-index", "--find-links", normalizePath(from))
  }
  args <- c("-m", "pip", "install", "--disable-pip-version-check",
            "--no-input", offline, requirements)
  run <- run_program(python, args, show = !quiet)
  if (run$status != 0L) {
    abort_install("The engine's packages could not be installed.", run$output)
  }
}

# Compiles the kernels in a fresh process. Not an error if it fails: the first
# fit would compile them.
warm_kernels <- function(python) {
  bridge <- system.file("bridge", "bridge.py", package = "vigitensor")
  run <- run_program(python, c(bridge, engine_path(), make_cache()))
  if (run$status != 0L) {
    warn_user("The engine's kernels could not be compiled ahead.",
              x = utils::tail(run$output, 1L),
              i = "The first fit will try again.", code = "warm_up")
  }
  run$status == 0L
}

after_install <- function(say) {
  .engine$told_reference <- NULL
  wanted <- wanted_python()
  if (wanted$source != "install_engine()") {
    say("Note: ", wanted$source, " is set, so ", short_path(wanted$path),
        " is used, not the environment just made.")
  } else if (python_is_running()) {
    if (!engine_available()) say("Restart R to use the engine.")
  } else {
    if (isNamespaceLoaded("reticulate")) choose_python()
    say("The engine is ready.")
  }
}
