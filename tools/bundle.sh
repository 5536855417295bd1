#!/usr/bin/env bash
# Everything that a machine without network needs, in dist/: the engine's wheels
# and a binary R package, for machines like this one; then a trial of both, in
# empty folders and with pip's index turned off.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bash tools/setup.sh system package engine

DIST="$ROOT/dist"
WORK="$CACHE/bundle"
rm -rf "$DIST" "$WORK"
mkdir -p "$DIST/wheels" "$WORK/library"

# ---- wheels -----------------------------------------------------------------

# The same list as install_engine() uses here: NumPy < 2 with an old reticulate;
# and the optional parts.
mapfile -t wanted < <(Rscript --vanilla -e '
  ours <- function(name) getFromNamespace(name, "vigitensor")
  writeLines(c(ours("engine_requirements")(),
               unlist(ours("engine_parts"), use.names = FALSE)))')
python="$(Rscript --vanilla -e \
  'cat(getFromNamespace("wanted_python", "vigitensor")()$path)')"

say "Wheels: ${wanted[*]}"
run_quietly "$CACHE/bundle-pip.log" "$python" -m pip download \
  --disable-pip-version-check --only-binary :all: --dest "$DIST/wheels" \
  "${wanted[@]}"

# ---- binary R package -------------------------------------------------------

say "Binary R package"
copy_project "$WORK/vigitensor"
(cd "$WORK" && run_quietly "$CACHE/bundle-build.log" \
  R CMD INSTALL --build --library="$WORK/library" vigitensor)
mv "$WORK"/vigitensor_*.t*gz "$DIST/"
package="$(basename "$DIST"/vigitensor_*.t*gz)"

# ---- what to do with them ---------------------------------------------------

Rscript --vanilla - "$package" "$DIST/README.txt" <<'R'
arguments <- commandArgs(TRUE)
info <- vigitensor::engine_info()
imports <- utils::packageDescription("vigitensor")$Imports
imports <- trimws(sub("[(].*", "", strsplit(imports, ",")[[1L]]))
base <- rownames(utils::installed.packages(priority = "base"))
writeLines(c(
  paste("vigitensor", utils::packageVersion("vigitensor"),
        "for a machine without network"),
  "",
  "Made on, and meant for machines like it:",
  paste("  platform  ", R.version$platform),
  paste("  R         ", getRversion()),
  paste("  Python    ", sub("[.][0-9]+$", "", info$versions$python),
        "(the wheels are for this version)"),
  paste("  reticulate", utils::packageVersion("reticulate")),
  "",
  "1. R packages that must be there already:",
  strwrap(paste(setdiff(imports, base), collapse = ", "), indent = 3L,
          exdent = 3L),
  "2. In a terminal, in this folder:",
  paste("     R CMD INSTALL", arguments[[1L]]),
  "3. In R, in this folder:",
  "     library(vigitensor)",
  "     install_engine(from = \"wheels\")",
  "     # with DuckDB and Dask: parts = c(\"duckdb\", \"dask\")",
  "     engine_info()",
  "",
  "Python needs its venv module and its shared library; on Debian 12:",
  "packages python3-venv and libpython3.11. The engine=\"reference\" of the",
  "package works without Python, slowly."
), arguments[[2L]])
R

# ---- trial ------------------------------------------------------------------

say "Trial: an empty library, no engine, no index"
trial="$WORK/trial"
mkdir -p "$trial/library" "$trial/home"
(
  unset VIGITENSOR_PYTHON RETICULATE_PYTHON PIP_FIND_LINKS PIP_INDEX_URL \
    PIP_EXTRA_INDEX_URL
  export PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null
  export VIGITENSOR_HOME="$trial/home" VIGITENSOR_CACHE_DIR="$trial/cache"
  run_quietly "$CACHE/bundle-install.log" \
    R CMD INSTALL --library="$trial/library" "$DIST/$package"
  export R_LIBS="$trial/library${R_LIBS:+:$R_LIBS}" TRIAL="$trial"
  cd "$DIST"
  run_quietly "$CACHE/bundle-trial.log" Rscript --vanilla -e '
    library(vigitensor)
    stopifnot(startsWith(normalizePath(find.package("vigitensor")),
                         normalizePath(Sys.getenv("TRIAL"))),
              !engine_available())
    install_engine(from = "wheels", parts = c("duckdb", "dask"))
    info <- engine_info()
    print(info)
    stopifnot(info$available, info$cache_is_warm,
              startsWith(info$python, Sys.getenv("TRIAL")))'
)
rm -rf "$WORK"

say "dist/ is ready: see dist/README.txt"
du -sh dist | sed 's/^/    /'
