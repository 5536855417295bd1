# Tests of the engine, and R in a fresh process.

engine_is_required <- function() {
  identical(tolower(Sys.getenv("VIGITENSOR_REQUIRE_ENGINE")), "true")
}

# Skips where a part of the engine is missing, as skip_if_no_engine().
skip_if_no_part <- function(part) {
  skip_if_no_engine()
  if (engine_has(part)) return(invisible(TRUE))
  if (engine_is_required()) {
    stop("VIGITENSOR_REQUIRE_ENGINE is true, but there is no ", part, ".",
         call. = FALSE)
  }
  testthat::skip(paste(part, "is not installed"))
}

# Skips where there is no engine; fails instead where one is required.
skip_if_no_engine <- function() {
  if (engine_available()) return(invisible(TRUE))
  if (engine_is_required()) {
    stop("VIGITENSOR_REQUIRE_ENGINE is true, but there is no engine: ",
         .engine$reason, call. = FALSE)
  }
  testthat::skip("the fast engine is not there")
}

# Makes a function defined in Python callable by engine_call(), beside those of
# api.py, until the test is over.
local_engine_function <- function(name, code, frame = parent.frame()) {
  # These functions have no kernels to announce.
  .engine$announced <- TRUE
  add_engine_function(name, code)
  withr::defer(add_engine_function(name, sprintf("%s = None", name)),
               envir = frame)
}

add_engine_function <- function(name, code) {
  engine <- getFromNamespace(".engine", "vigitensor")
  builtins <- reticulate::import_builtins(convert = FALSE)
  names <- reticulate::py_get_attr(engine$bridge$module, "__dict__")
  builtins$exec(code, names)
  builtins$exec(sprintf("functions['%s'] = %s", name, name), names)
  engine$kinds[[name]] <- NULL
}

# ---- fresh processes --------------------------------------------------------

loaded_from_source <- function() {
  exists(".__DEVTOOLS__", asNamespace("vigitensor"), inherits = FALSE)
}

# R code that makes the package under test available, installed or not.
load_package_code <- function() {
  if (loaded_from_source()) {
    sprintf("pkgload::load_all(%s, quiet = TRUE)",
            deparse(dirname(system.file("DESCRIPTION",
                                        package = "vigitensor"))))
  } else {
    sprintf(".libPaths(%s); library(vigitensor)",
            paste(deparse(.libPaths()), collapse = ""))
  }
}

# Runs an expression in a new R, after the package is loaded there. Value:
# list(value, output, status). variables: environment, NA unsets.
in_fresh_r <- function(code, variables = character(), load = TRUE,
                       folder = tempdir()) {
  code <- substitute(code)
  script <- withr::local_tempfile(fileext = ".R")
  answer <- withr::local_tempfile(fileext = ".rds")
  writeLines(c(
    if (load) c(load_package_code(), hidden_functions()),
    sprintf(".value <- local(%s)", paste(deparse(code), collapse = "\n")),
    sprintf("saveRDS(.value, %s)", deparse(answer))
  ), script)
  variables <- c(R_TESTS = "", variables)
  output <- with_variables(variables, {
    withr::with_dir(folder, suppressWarnings(system2(
      file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
      stdout = TRUE, stderr = TRUE, timeout = 300
    )))
  })
  list(value = if (file.exists(answer)) readRDS(answer), output = output,
       status = attr(output, "status") %||% 0L)
}

# Internal functions that the scripts of in_fresh_r() use.
hidden_functions <- function() {
  internal <- c("engine_call", "choose_engine", ".engine")
  c(sprintf("%s <- getFromNamespace('%s', 'vigitensor')", internal, internal),
    paste("add_engine_function <-",
          paste(deparse(add_engine_function), collapse = "\n")))
}

# Variables for a process that cannot find any Python.
no_python_variables <- function(frame = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = frame)
  bin <- file.path(folder, "bin")
  dir.create(bin)
  programs <- list.files(c("/usr/bin", "/bin"), full.names = TRUE)
  programs <- programs[!grepl("python|pip|conda|uv", basename(programs))]
  programs <- programs[!duplicated(basename(programs))]
  file.symlink(programs, file.path(bin, basename(programs)))
  c(PATH = bin, VIGITENSOR_HOME = file.path(folder, "home"), HOME = folder,
    VIGITENSOR_PYTHON = NA, RETICULATE_PYTHON = NA, VIRTUAL_ENV = NA)
}
