# The engine's environment, made by the package's own install_engine(), the way
# a user makes it.
library(vigitensor)

if (!engine_available()) {
  cat("    installing it and compiling its kernels (a minute or two)\n")
  python <- Sys.getenv("PYTHON")
  install_engine(python = if (nzchar(python)) python, quiet = TRUE)
}
# A fresh process: one that has looked for Python in vain may not look again.
code <- "quit(status = if (vigitensor::engine_available()) 0L else 1L)"
status <- system2(file.path(R.home("bin"), "Rscript"),
                  c("--vanilla", "-e", shQuote(code)))
if (status != 0L) {
  print(engine_info())
  stop("The engine is still not available.", call. = FALSE)
}
cat("    ready\n")
