#!/usr/bin/env bash
# All checks of the project, or one group of them:
#
#   bash tools/test.sh [all | full | lint | engine | check | no-python]
#
# `full` is `all` with everything that takes minutes: a thousand random designs,
# whole data sets. What these measured goes into docs/validation.md.
#
# Every step writes a log and its results to .cache/test/, and goes on after a
# failure; tools/tally.py adds them up at the end, prints one line
# "N passed, N failed, N skipped", and decides the exit status.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

GROUP="${1:-all}"
OUT="$CACHE/test"
PY="$DEV_VENV/bin"

case "$GROUP" in
  all | full | lint | engine | check | no-python) ;;
  *) die "no such group of tests: $GROUP" ;;
esac

# Here an engine test or a vignette that cannot run is a failure, not a skip.
export VIGITENSOR_REQUIRE_ENGINE=true
export VIGITENSOR_SOURCE="$ROOT" NOT_CRAN=true
if [[ "$GROUP" == full ]]; then
  export VIGITENSOR_FULL=true VIGITENSOR_RECORD="$OUT"
fi
# R CMD check asks a server for the date, and runs the vignettes' code twice,
# unless told otherwise.
export _R_CHECK_SYSTEM_CLOCK_=0 _R_CHECK_VIGNETTES_SKIP_RUN_MAYBE_=true
# R remarks on an installed package above 5 MB. This one has 2.2 MB of compiled
# R code, an engine of 1.2 and vignettes of 1.2: it is to stay below 7.
export _R_CHECK_PKG_SIZES_THRESHOLD_=7

# step NAME COMMAND...: run it into a log; remember how it ended and how long
# it took. Steps run side by side: each says one line, at its end.
step() {
  local name="$1" start status=0
  shift
  start="$(now)"
  "$@" >"$OUT/$name.log" 2>&1 || status=$?
  printf '%s\n' "$status" >"$OUT/$name.status"
  printf '==> %s: %s, %d s\n' "$name" \
    "$( ((status == 0)) && echo ok || echo FAILED)" "$(($(now) - start))"
  if ((status != 0)); then
    tail -n 60 "$OUT/$name.log"
  fi
}

lint_steps() {
  step lint-r Rscript --vanilla tools/lint.R
  step lint-ruff "$PY/ruff" check --no-cache inst/python tests/python tools
  step lint-format "$PY/ruff" format --no-cache --check \
    inst/python tests/python tools
  step lint-mypy "$PY/mypy" --cache-dir "$CACHE/mypy" \
    --config-file inst/python/pyproject.toml inst/python/vigitensor
  step lint-cpp bash -c 'find src -name "*.cpp" -o -name "*.h" |
    grep -v RcppExports | xargs "$1" --dry-run --Werror' _ "$PY/clang-format"
}

engine_steps() {
  step engine-tests env PYTHONPATH=inst/python \
    PYTHONPYCACHEPREFIX="$CACHE/pycache" \
    NUMBA_CACHE_DIR="$CACHE/numba" "$PY/python" -m pytest tests/python \
    -q -o cache_dir="$CACHE/pytest" -o junit_family=xunit2 \
    --junitxml="$OUT/engine-tests.xml"
}

build_package() {
  copy_project "$CACHE/source"
  rm -rf "$BUILD/package"
  mkdir -p "$BUILD/package"
  # The study of a vignette is repeated on a database.
  (cd "$BUILD/package" &&
    bash "$ROOT/tools/postgres.sh" R CMD build "$CACHE/source")
  rm -rf "$CACHE/source"
}

check_with_engine() {
  rm -rf "$BUILD/check"
  mkdir -p "$BUILD/check"
  bash "$ROOT/tools/postgres.sh" R CMD check --no-manual \
    --output="$BUILD/check" \
    "$BUILD"/package/vigitensor_*.tar.gz
}

build_steps() {
  step build build_package
}

check_steps() {
  step check-with-engine check_with_engine
  step check-docs Rscript --vanilla tools/check-docs.R \
    "$BUILD/check/vigitensor.Rcheck"
}

no_python_steps() {
  step check-without-python bash tools/check-no-python.sh "$BUILD/check-no-python"
}

bash tools/setup.sh system dev
if [[ "$GROUP" == all || "$GROUP" == full || "$GROUP" == check ]]; then
  bash tools/setup.sh package engine torch parts
fi
rm -rf "$OUT"
mkdir -p "$OUT"

case "$GROUP" in
  lint) lint_steps ;;
  engine) engine_steps ;;
  check) build_steps && check_steps ;;
  no-python) build_steps && no_python_steps ;;
  all | full)
    # Two lanes for two cores. Without an engine there is nothing more to be full
    # of.
    (
      engine_steps
      until [[ -e "$OUT/build.status" ]]; do sleep 1; done
      VIGITENSOR_FULL='' VIGITENSOR_RECORD='' no_python_steps
    ) &
    build_steps
    check_steps
    lint_steps
    wait
    ;;
esac
if [[ "$GROUP" == full && -e "$OUT/random-cox.csv" ]]; then
  step record-random-designs Rscript --vanilla tools/validation-figures.R "$OUT"
fi

echo
exec "$(command -v /usr/bin/python3 || command -v python3)" tools/tally.py \
  "$OUT" "$BUILD/check/vigitensor.Rcheck" \
  "$BUILD/check-no-python/vigitensor.Rcheck"
