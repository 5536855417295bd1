# Tests of the engine, and R in a fresh process.

# Skips where there is no engine; fails instead where one is required.
skip_if_no_engine <- function() {
  if (engine_available()) return(invisible(TRUE))
  if (identical(tolower(Sys.getenv("VIGITENSOR_REQUIRE_ENGINE")), "true")) {
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
  builtins <- reticulate::import_builtins(convert = FALSE)
  types <- reticulate::import("types", convert = FALSE)
  module <- types$ModuleType("test_functions")
  builtins$exec(code, reticulate::py_get_attr(module, "__dict__"))
  handle <- module[[name]]
  kinds <- reticulate::py_to_r(.engine$bridge$argument_kinds(handle))
  .engine$functions[[name]] <- c(list(fun = handle), lapply(kinds, unlist))
  withr::defer(.engine$functions[[name]] <- NULL, envir = frame)
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
    if (load) c(load_package_code(), hidden_functions),
    sprintf(".value <- local(%s)", paste(deparse(code), collapse = "\n")),
    sprintf("saveRDS(.value, %s)", deparse(answer))
  ), script)
  variables <- c(R_TESTS = "", variables)
  output <- with_variables(variables, {
    withr::with_dir(folder, suppressWarnings(system2(
      file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
      stdout = TRUE, stderr = TRUE
    )))
  })
  list(value = if (file.exists(answer)) readRDS(answer), output = output,
       status = attr(output, "status") %||% 0L)
}

# Internal functions that the scripts of in_fresh_r() use.
hidden_functions <- paste(
  "engine_call <- getFromNamespace('engine_call', 'vigitensor')",
  "choose_engine <- getFromNamespace('choose_engine', 'vigitensor')",
  ".engine <- getFromNamespace('.engine', 'vigitensor')", sep = "\n"
)

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
