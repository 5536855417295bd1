#!/usr/bin/env bash
# Remove what the commands made in this folder; the installed package and the
# engine's environment stay.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rm -rf "$CACHE" "$BUILD" "$DEV_VENV" demo-output dist vigitensor.Rcheck
rm -f vigitensor_*.tar.gz src/*.o src/*.so
find . -name __pycache__ -type d -prune -exec rm -rf {} +
say "Clean."
