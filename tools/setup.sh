#!/usr/bin/env bash
# Install what the project needs, in parts:
#
#   system   R and its packages, compilers, pandoc, Python's venv (apt-get)
#   dev      .venv: pytest, linters, and the engine's requirements, pinned
#   package  this package, in R's library, from the files as they are now
#   engine   the engine's own Python environment, by install_engine()
#   torch    torch in that environment, for the tests of engine "torch"
#   parts    its optional parts, DuckDB and Dask, for the tests
#   demo     .cache/demo-venv: the records of the demo and DuckDB
#
# Each part first asks whether it is done already, and writes its mark last: one
# that was interrupted is done again from its beginning.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# ---- system -----------------------------------------------------------------

DEBIAN_PACKAGES=(
  r-base-core r-base-dev pandoc python3 python3-venv libpython3.11
  ca-certificates git make
  r-cran-cli r-cran-rlang r-cran-reticulate r-cran-rcpp r-cran-survival
  r-cran-testthat r-cran-knitr r-cran-rmarkdown r-cran-roxygen2 r-cran-lintr
  r-cran-ggplot2 r-cran-generics r-cran-withr r-cran-bit64 r-cran-mgcv r-cran-pkgload
  r-cran-dbi r-cran-rsqlite r-cran-rpostgresql r-cran-data.table postgresql-15
)
R_PACKAGES=(
  cli rlang reticulate Rcpp survival testthat knitr rmarkdown roxygen2 lintr
  ggplot2 generics withr bit64 pkgload DBI RSQLite RPostgreSQL data.table
)

is_debian_12() {
  [[ -r /etc/os-release ]] && command -v apt-get >/dev/null &&
    (source /etc/os-release && [[ "$ID" == debian && "$VERSION_ID" == 12 ]])
}

missing_debian_packages() {
  local package
  for package in "${DEBIAN_PACKAGES[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null |
      grep -qx installed || echo "$package"
  done
}

setup_system() {
  if is_debian_12; then
    local missing
    mapfile -t missing < <(missing_debian_packages)
    if ((${#missing[@]} == 0)); then
      say "Debian packages: all ${#DEBIAN_PACKAGES[@]} are installed"
      return
    fi
    say "Debian packages: installing ${#missing[@]} (some minutes)"
    note "${missing[*]}"
    if [[ "$(id -u)" != 0 ]]; then
      die "installing Debian packages needs root. As root, run:" \
        "apt-get install --no-install-recommends ${missing[*]}"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # An installation that was cut off leaves dpkg half-configured.
    run_quietly "$CACHE/dpkg.log" dpkg --configure -a
    run_quietly "$CACHE/apt-update.log" apt-get update
    run_quietly "$CACHE/apt-install.log" apt-get install --yes \
      --no-install-recommends "${missing[@]}"
  else
    setup_other_system
  fi
}

# Another system: look for what is needed, install nothing.
setup_other_system() {
  local faults=() packages
  command -v Rscript >/dev/null || faults+=("R, 4.2 or newer, with Rscript")
  command -v R >/dev/null && ! command -v c++ >/dev/null &&
    faults+=("a C++17 compiler that R can use (R CMD config CXX17)")
  command -v pandoc >/dev/null || faults+=("pandoc, for the vignettes")
  find_python >/dev/null || faults+=("Python 3.10 or newer, with its venv module")
  if command -v Rscript >/dev/null; then
    packages="$(Rscript --vanilla -e '
      wanted <- commandArgs(TRUE)
      there <- vapply(wanted, requireNamespace, NA, quietly = TRUE)
      cat(wanted[!there])' "${R_PACKAGES[@]}" 2>/dev/null)"
    [[ -n "$packages" ]] && faults+=("the R packages: $packages")
  else
    faults+=("the R packages: ${R_PACKAGES[*]}")
  fi
  if ((${#faults[@]})); then
    die "this is not Debian 12, so nothing was installed. Please install:" \
      "${faults[@]/#/- }" "and run the same command again."
  fi
  say "System: R, a compiler, pandoc, Python and the R packages are there"
}

# ---- Python -----------------------------------------------------------------

# The system's own interpreter first: R loads its shared library, which the
# interpreters of version managers are often built without.
find_python() {
  local python
  for python in "${PYTHON:-}" /usr/bin/python3 python3; do
    [[ -n "$python" ]] && command -v "$python" >/dev/null || continue
    if "$python" -c 'import sys, venv, ensurepip
sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  return 1
}

# make_venv NAME FOLDER REQUIREMENTS
make_venv() {
  local name="$1" folder="$2" wanted="$3" python mark
  python="$(find_python)" ||
    die "Python 3.10 or newer with its venv module was not found."
  mark="$(sha256sum "$wanted" | cut -c 1-16) $python $("$python" -V) $folder"
  if [[ -x "$folder/bin/python" && "$(cat "$folder/.done" 2>/dev/null)" == "$mark" ]]
  then
    say "$name: ready"
    return
  fi
  say "$name: installing into ${folder#"$ROOT/"}"
  note "$(grep -v '^#' "$wanted" | xargs)"
  rm -rf "$folder"
  run_quietly "$CACHE/venv.log" "$python" -m venv "$folder"
  run_quietly "$CACHE/pip.log" "$folder/bin/python" -m pip install --quiet \
    --disable-pip-version-check --only-binary :all: --requirement "$wanted"
  printf '%s' "$mark" >"$folder/.done"
}

setup_dev() {
  make_venv "Developers' tools" "$DEV_VENV" tools/requirements/dev.txt
}

setup_demo() {
  make_venv "Records of the demo" "$DEMO_VENV" tools/requirements/demo.txt
}

# ---- this package -----------------------------------------------------------

setup_package() {
  local library mark
  library="$(Rscript --vanilla -e '
    library <- .libPaths()
    open <- library[file.access(library, 2L) == 0L]
    if (!length(open)) {
      open <- Sys.getenv("R_LIBS_USER")
      dir.create(open, recursive = TRUE, showWarnings = FALSE)
    }
    cat(open[[1L]])')"
  mark="$(fingerprint DESCRIPTION NAMESPACE R src inst man data) $(R --version | head -1)"
  # R CMD INSTALL empties the folder first, so the mark goes with an old copy.
  if [[ "$(cat "$library/vigitensor/.source" 2>/dev/null)" == "$mark" ]]; then
    say "R package: installed from these files"
    return
  fi
  say "R package: installing into $library"
  copy_project "$CACHE/package"
  run_quietly "$CACHE/install.log" \
    R CMD INSTALL --no-test-load --library="$library" "$CACHE/package"
  rm -rf "$CACHE/package"
  printf '%s' "$mark" >"$library/vigitensor/.source"
}

setup_engine() {
  say "Engine: the Python environment of install_engine()"
  PYTHON="$(find_python)" Rscript --vanilla tools/setup-engine.R
}

setup_torch() {
  say "Engine: torch, for the tests"
  PYTHON="$(find_python)" Rscript --vanilla tools/setup-engine.R \
    "$(grep '^torch==' tools/requirements/dev.txt)"
}

setup_parts() {
  say "Engine: its optional parts, for the tests"
  local pins
  mapfile -t pins < <(grep -E '^(duckdb|dask|distributed)==' \
    tools/requirements/dev.txt)
  PYTHON="$(find_python)" Rscript --vanilla tools/setup-engine.R "${pins[@]}"
}

# -----------------------------------------------------------------------------

for part in "$@"; do
  case "$part" in
    system | dev | package | engine | torch | parts | demo) "setup_$part" ;;
    *) die "no such part: $part. There are:" \
      "system dev package engine torch parts demo." ;;
  esac
done
