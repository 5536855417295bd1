#!/usr/bin/env bash
# The main job of this package on real-looking records, from a bare machine to a
# figure: see tools/demo.R.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bash tools/setup.sh system demo package engine
mkdir -p demo-output

say "Reading the OMOP GiBleed database (SQL in tools/demo/)"
"$DEMO_VENV/bin/python" tools/demo/extract.py "$CACHE/demo"
say "Fitting"
Rscript --vanilla tools/demo.R "$CACHE/demo" demo-output
