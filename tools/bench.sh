#!/usr/bin/env bash
# Timings of the whole R calls, with peers where they are installed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bash tools/setup.sh system package engine

Rscript --vanilla bench/run.R "$@"
Rscript --vanilla tools/readme-figures.R
