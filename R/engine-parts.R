# Optional parts of the engine: Python packages that only some functions need.

# Each part and what pip installs for it. The same pins are in
# tools/requirements/dev.txt.
engine_parts <- list(
  duckdb = "duckdb==1.4.5",
  dask = c("dask==2026.8.0", "distributed==2026.8.0")
)

# What each part is for, in messages.
part_uses <- c(duckdb = "Reading Parquet and CSV files",
               dask = "Computing on several machines")

check_parts <- function(parts) {
  known <- names(engine_parts)
  if (is.null(parts) || is.character(parts) && all(parts %in% known)) {
    return(unique(parts))
  }
  abort_input(
    sprintf("`parts` must be NULL or some of %s.",
            paste(dQuote(known, FALSE), collapse = ", ")),
    x = if (is.character(parts)) {
      sprintf("It is %s.", paste(dQuote(parts, FALSE), collapse = ", "))
    },
    code = "install_parts", arg = "parts"
  )
}

# TRUE if the engine's Python has all packages of a part; nothing is imported.
engine_has <- function(part) {
  if (!engine_available()) return(FALSE)
  packages <- sub("==.*", "", engine_parts[[part]])
  # A list, as one string would cross as its letters.
  absent <- .engine$bridge$missing(as.list(packages))
  length(unlist(reticulate::py_to_r(absent))) == 0L
}

# Stops with the command that installs what is missing.
need_part <- function(part, call = NULL) {
  if (!load_engine()) abort_no_engine(call = call)
  if (!engine_has(part)) abort_no_part(part, call)
}

abort_no_part <- function(part, call = NULL) {
  abort_input(
    sprintf("%s needs the Python package %s, which is not installed.",
            part_uses[[part]], sub("==.*", "", engine_parts[[part]][1L])),
    i = sprintf("`install_engine(parts = \"%s\")` installs it.", part),
    code = paste0("no_", part), call = call
  )
}
