#!/usr/bin/env bash
# R CMD check on a machine where no Python can be found, imitated: a PATH
# without any, and a home without environments. Tests that need the engine skip themselves here; all the
# rest must pass, quietly.
#
#   bash tools/check-no-python.sh OUTPUT-FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

OUT="${1:?an output folder}"
rm -rf "$OUT"
mkdir -p "$OUT/bin" "$OUT/home"

# Every command of PATH but Python's, first come first served.
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
  case "$folder" in *pyenv* | *conda* | *venv*) continue ;; esac
  for program in "$folder"/*; do
    name="${program##*/}"
    case "$name" in python* | pip* | conda* | uv | uvx | virtualenv*) continue ;; esac
    [[ -x "$program" && ! -e "$OUT/bin/$name" ]] &&
      ln -s "$program" "$OUT/bin/$name"
  done
done

unset VIGITENSOR_REQUIRE_ENGINE VIGITENSOR_PYTHON VIGITENSOR_HOME VIRTUAL_ENV
unset RETICULATE_PYTHON RETICULATE_PYTHON_ENV
unset R_USER_DATA_DIR XDG_DATA_HOME R_USER_CACHE_DIR XDG_CACHE_HOME
export PATH="$OUT/bin" HOME="$OUT/home"
export VIGITENSOR_SOURCE="${VIGITENSOR_SOURCE:-$ROOT}" NOT_CRAN=true
export _R_CHECK_SYSTEM_CLOCK_=0 _R_CHECK_VIGNETTES_SKIP_RUN_MAYBE_=true

if command -v python3 >/dev/null; then
  die "a Python is still on the PATH: $(command -v python3)"
fi
R CMD check --no-manual --output="$OUT" "$BUILD"/package/vigitensor_*.tar.gz
