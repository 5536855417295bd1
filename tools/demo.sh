#!/usr/bin/env bash
# The main job of this package on real-looking records, from a bare machine to a
# figure: see tools/demo.R.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bash tools/setup.sh system demo package engine
mkdir -p demo-output

say "Copying the OMOP GiBleed database to SQLite"
"$DEMO_VENV/bin/python" tools/demo/extract.py "$CACHE/demo/omop.sqlite"
say "Fitting"
Rscript --vanilla tools/demo.R "$CACHE/demo/omop.sqlite" demo-output
