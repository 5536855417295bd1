# The engine's environment, made by the package's own install_engine(), the way
# a user makes it. Further packages for it may be named on the command line.
library(vigitensor)

# A fresh process: one that has looked for Python in vain may not look again.
available_in_new_session <- function() {
  code <- "quit(status = if (vigitensor::engine_available()) 0L else 1L)"
  system2(file.path(R.home("bin"), "Rscript"),
          c("--vanilla", "-e", shQuote(code))) == 0L
}

install <- function() {
  python <- Sys.getenv("PYTHON")
  install_engine(python = if (nzchar(python)) python, quiet = TRUE)
  available_in_new_session()
}

if (!available_in_new_session()) {
  cat("    installing it and compiling its kernels (a minute or two)\n")
  if (!install()) {
    # Left half-made, perhaps, by an installation that was cut off.
    home <- Sys.getenv("VIGITENSOR_HOME", tools::R_user_dir("vigitensor",
                                                            "data"))
    unlink(file.path(home, "engine"), recursive = TRUE)
    if (!install()) {
      print(engine_info())
      stop("The engine is still not available.", call. = FALSE)
    }
  }
}
further <- commandArgs(TRUE)
if (length(further)) install_engine(packages = further, quiet = TRUE)
cat("    ready\n")
