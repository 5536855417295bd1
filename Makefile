# The commands of this project. Each is one script in tools/; `make help` lists
# them. Every command sets up what it needs and is quick when that is done.

.DEFAULT_GOAL := help
.PHONY: help setup test test-full check lint doc bench demo bundle clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{ printf "  make %-9s %s\n", $$1, $$2 }'

setup:  ## install what the project needs (Debian 12; elsewhere: what is missing)
	@bash tools/setup.sh system dev package engine

test:  ## everything: lint, engine tests, R CMD check with and without Python
	@bash tools/test.sh

test-full:  ## the same with a thousand random designs and whole data sets
	@bash tools/test.sh full

check:  ## R CMD check with the engine
	@bash tools/test.sh check

lint:  ## lint R, Python and C++
	@bash tools/test.sh lint

doc:  ## regenerate RcppExports, NAMESPACE and man/
	@bash tools/doc.sh

bench:  ## timings, with peers where installed; writes bench/results/
	@bash tools/bench.sh

demo:  ## the main job on real records: writes demo-output/
	@bash tools/demo.sh

bundle:  ## wheels and a binary package for a machine without network
	@bash tools/bundle.sh

clean:  ## remove what the commands made in this folder
	@bash tools/clean.sh
