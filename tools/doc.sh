#!/usr/bin/env bash
# Regenerate what is written by programs: src/RcppExports.cpp,
# R/RcppExports.R, NAMESPACE and man/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bash tools/setup.sh system

Rscript --vanilla -e 'Rcpp::compileAttributes()' \
  -e 'roxygen2::roxygenise(load_code = roxygen2::load_pkgload)'
