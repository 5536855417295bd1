#' Options and environment variables
#'
#' @description
#' Options, set with [options()]; their defaults are set when the package is
#' loaded, unless you have set them before (in your `.Rprofile`, say).
#'
#' \describe{
#' \item{`vigitensor.engine`}{`"auto"`: the fast engine when it is there, else
#'   the reference engine. Or one of `"cpu"`, `"torch"`, `"reference"`.}
#' \item{`vigitensor.device`}{Where engine `"torch"` computes: `"auto"` (the
#'   first GPU if there is one), `"cpu"`, `"cuda"`, or a GPU by number,
#'   `"cuda:1"`.}
#' \item{`vigitensor.memory_mb`}{Memory in megabytes that a fit of engine
#'   `"torch"` may take on the device, and one from a [claims_store()] of main
#'   memory; `NULL`: a quarter of what is free.}
#' \item{`vigitensor.threads`}{Number of threads of the fast engine; `NULL`: all
#'   cores that the process may use. Results do not depend on it.}
#' \item{`vigitensor.precision`}{`"double"`.}
#' \item{`vigitensor.progress`}{Progress bars on work of more than two seconds:
#'   `TRUE`, `FALSE`, or `NULL` for interactive sessions alone.}
#' }
#'
#' Environment variables, read when the engine is looked for:
#'
#' \describe{
#' \item{`VIGITENSOR_PYTHON`}{A Python (the program, or the folder of a virtual
#'   environment) to use instead of the one that [install_engine()] makes.}
#' \item{`RETICULATE_PYTHON`}{The same for all packages that use reticulate;
#'   `VIGITENSOR_PYTHON` wins.}
#' \item{`VIGITENSOR_HOME`}{Folder of the engine's environment, instead of
#'   `tools::R_user_dir("vigitensor", "data")`.}
#' \item{`VIGITENSOR_CACHE_DIR`}{Folder of compiled kernels, instead of
#'   `tools::R_user_dir("vigitensor", "cache")`.}
#' }
#'
#' Under `R CMD check` the engine uses at most two threads and keeps its
#' compiled kernels in the session's temporary directory.
#'
#' @return Nothing: this page describes settings.
#' @name vigitensor_options
#' @aliases vigitensor.engine vigitensor.threads
#' @seealso [engine_info()] shows what is in use.
#' @examples
#' old <- options(vigitensor.threads = 2)
#' getOption("vigitensor.threads")
#' options(old)
NULL

default_options <- list(
  vigitensor.engine = "auto",
  vigitensor.device = "auto",
  vigitensor.memory_mb = NULL,
  vigitensor.threads = NULL,
  vigitensor.precision = "double"
)

set_default_options <- function() {
  unset <- !names(default_options) %in% names(options())
  options(default_options[unset])
}

# The number of threads that the user asked for, or NULL.
option_threads <- function() {
  threads <- getOption("vigitensor.threads")
  if (is.null(threads)) return(NULL)
  ok <- is.numeric(threads) && length(threads) == 1L && !is.na(threads) &&
    threads >= 1 && threads == round(threads)
  if (!ok) {
    abort_input(
      "Option `vigitensor.threads` must be one whole number >= 1, or NULL.",
      x = sprintf("It is %s.", paste(deparse(threads), collapse = " ")),
      i = "options(vigitensor.threads = NULL) uses all cores.",
      code = "option", arg = "vigitensor.threads"
    )
  }
  as.integer(threads)
}

# TRUE inside R CMD check.
under_r_cmd_check <- function() {
  # Other variables of this kind prove nothing: Debian's R sets one always.
  nzchar(Sys.getenv("_R_CHECK_PACKAGE_NAME_"))
}

# Threads to ask the engine for; NULL: all cores. At most two under a check.
wanted_threads <- function() {
  threads <- option_threads()
  if (under_r_cmd_check()) min(threads, 2L) else threads
}
