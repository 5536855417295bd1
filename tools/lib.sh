# Shared by the scripts of this folder; sourced, never run.
# shellcheck shell=bash
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="$ROOT/.cache"
# Not below .cache: R looks over hidden folders in some of its lists of files.
BUILD="$ROOT/build"
DEV_VENV="$ROOT/.venv"
DEMO_VENV="$CACHE/demo-venv"
cd "$ROOT"
mkdir -p "$CACHE"

# A bare machine has no locale and no time zone; results must not depend on
# either.
export LC_ALL=C.UTF-8 TZ=UTC

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# run_quietly LOG COMMAND...: show what a command said only when it fails.
run_quietly() {
  local log="$1"
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "this failed: $*" "All it said is in $log."
  fi
}

# The files of the project as they are now: committed, changed and new ones,
# but nothing that git ignores. Without git (an unpacked archive), all but the
# folders that the commands make.
project_files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard -- "$@" |
      while IFS= read -r -d '' file; do
        [[ -e "$file" ]] && printf '%s\0' "$file"
      done
  else
    find "${@:-.}" \( -path ./.cache -o -path ./.venv -o -path ./.git \
      -o -path ./demo-output -o -path ./dist -o -path ./build -o -name __pycache__ \) -prune \
      -o -type f ! -name '*.o' ! -name '*.so' -print0
  fi
}

# One line that changes when any of these files does.
fingerprint() {
  project_files "$@" | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum |
    cut -c 1-16
}

# A copy of the project in an empty folder. R CMD build would otherwise copy
# virtual environments and caches first and throw them away afterwards.
copy_project() {
  rm -rf "$1"
  mkdir -p "$1"
  project_files | tar --null --no-recursion -cf - -T - | tar -xf - -C "$1"
}

now() { date +%s; }
