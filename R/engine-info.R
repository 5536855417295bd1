# What the engine is and which engine computes.

# ---- choice -----------------------------------------------------------------

# Every engine, what it needs, and whether this version has it.
engine_table <- data.frame(
  name = c("reference", "cpu", "torch", "keops"),
  needs = c("R only", "Python with NumPy and Numba", "PyTorch", "PyKeOps"),
  included = c(TRUE, TRUE, TRUE, FALSE)
)

# "auto" -> the best engine that is there. Value: its name.
choose_engine <- function(engine = getOption("vigitensor.engine", "auto"),
                          call = NULL) {
  check_engine_name(engine, call)
  if (engine %in% c("cpu", "torch") && !load_engine()) {
    abort_no_engine(call = call)
  }
  if (engine == "torch" && is.null(torch_version())) abort_no_torch(call)
  if (engine != "auto") return(engine)
  if (engine_available()) return("cpu")
  if (!isTRUE(.engine$told_reference)) {
    .engine$told_reference <- TRUE
    rlang::inform(
      c("The reference engine (R only, slow) is used.",
        i = .engine$reason,
        i = "`install_engine()` installs the fast one."),
      class = "vigitensor_message_reference", use_cli_format = TRUE
    )
  }
  "reference"
}

check_engine_name <- function(engine, call = NULL) {
  known <- c("auto", engine_table$name[engine_table$included])
  words <- paste0('"', known, '"', collapse = ", ")
  if (!is.character(engine) || length(engine) != 1L || is.na(engine) ||
        !engine %in% c("auto", engine_table$name)) {
    abort_input(
      sprintf("`engine` must be one of %s.", words),
      x = sprintf("It is %s.", first_line(deparse(engine)[1L])),
      code = "engine_name", arg = "engine", call = call
    )
  }
  if (!engine %in% known) {
    abort_input(
      sprintf("Engine \"%s\" is not in this version.", engine),
      i = sprintf("Use one of %s.", words),
      code = "engine_not_included", arg = "engine", call = call
    )
  }
}

# ---- information ------------------------------------------------------------

#' What the engine is made of and where it lives
#'
#' @return A list of class `"vigitensor_engine_info"`, printed as a short
#'   table:
#'   \describe{
#'   \item{`available`}{`TRUE` if the fast engine can be used.}
#'   \item{`reason`}{If not, why not.}
#'   \item{`versions`}{Named list: vigitensor, R, reticulate and, if available,
#'     python, numpy, numba, llvmlite, threadpoolctl, and torch where it is
#'     installed.}
#'   \item{`python`}{Path of the Python in use, or of the one looked for.}
#'   \item{`device`}{Devices that can compute: `"cpu"`, and GPUs such as
#'     `"cuda:0"` once engine `"torch"` has been used in this session (looking
#'     for them before would mean to load torch, which takes seconds).}
#'   \item{`processor`}{Its name.}
#'   \item{`threads`}{Number of threads.}
#'   \item{`memory`}{Memory that is still free, in bytes; `NA` if unknown.}
#'   \item{`parts`}{Optional parts that are installed; see
#'     [install_engine()].}
#'   \item{`cache`}{Folder of compiled kernels.}
#'   \item{`cache_is_warm`}{`TRUE` if all kernels are compiled already.}
#'   }
#'   It never fails: without an engine it says so.
#' @seealso [install_engine()], [engine_available()],
#'   [vigitensor_options] for the settings.
#' @export
#' @examples
#' engine_info()
engine_info <- function() {
  available <- engine_available()
  info <- list(
    available = available,
    reason = if (available) NULL else .engine$reason,
    versions = engine_versions(),
    python = if (python_is_running()) reticulate::py_config()$python else {
      wanted_python()$path
    },
    device = "cpu", processor = NA_character_, threads = NA_integer_,
    memory = NA_real_, parts = character(),
    cache = .engine$cache %||% engine_cache(), cache_is_warm = NA
  )
  if (available) {
    report <- engine_report()
    info$versions$torch <- report$torch
    info$device <- unlist(report$devices)
    info$processor <- report$cpu
    info$threads <- report$threads
    info$memory <- report$memory_available %||% NA_real_
    info$parts <- Filter(engine_has, names(engine_parts))
    info$cache_is_warm <- report$cache_warm
  }
  structure(info, class = "vigitensor_engine_info")
}

engine_report <- function() {
  send_threads()
  engine_invoke("engine_report", list())
}

#' @export
print.vigitensor_engine_info <- function(x, ...) {
  cat(format_engine_info(x), sep = "\n")
  invisible(x)
}

format_engine_info <- function(x) {
  bullet <- if (x$available) cli::col_green(cli::symbol$tick) else {
    cli::col_red(cli::symbol$cross)
  }
  head <- if (x$available) "is ready" else "is not here"
  head <- paste(bullet, "The fast engine of vigitensor", head)
  lines <- c(
    versions = format_versions(x$versions),
    python = short_path(x$python)
  )
  if (x$available) {
    lines <- c(
      lines, device = sprintf("%s (%s)", paste(x$device, collapse = ", "),
                              x$processor),
      threads = as.character(x$threads), memory = format_memory(x$memory),
      cache = short_path(x$cache),
      kernels = if (isTRUE(x$cache_is_warm)) "compiled" else
        "not all compiled yet (done at first use, once)"
    )
  } else {
    lines <- c(lines, reason = x$reason,
               "to install" = "install_engine()",
               "until then" = "engine = \"reference\" works, slowly")
  }
  c(head, fill_fields(lines))
}

# "name   text", wrapped to 80 columns under itself.
fill_fields <- function(lines, width = 80L) {
  indent <- max(nchar(names(lines))) + 4L
  unlist(Map(function(name, text) {
    head <- formatC(paste0("  ", name), width = -indent)
    wrapped <- strwrap(text, width = width - indent)
    paste0(c(head, rep(strrep(" ", indent), length(wrapped) - 1L)), wrapped)
  }, names(lines), lines), use.names = FALSE)
}

format_memory <- function(bytes) {
  if (is.na(bytes)) "unknown" else sprintf("%.1f GB free", bytes / 1e9)
}
