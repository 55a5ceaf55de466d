# Every target works from a fresh clone: recipes/setup.sh makes .venv the first time, and takes a second after that.
VENV ?= .venv
BIN = $(VENV)/bin
# Tests run in a worker for each core; conftest.py says which go together. WORKERS= runs them one by one.
WORKERS ?= -n logical --maxprocesses 8 --dist loadgroup
export VENV

.PHONY: help setup test quick test-oldest test-newest constraints lint docs fuzz bench mutants clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:  ## the virtual environment with the training stack and the tools
	@bash recipes/setup.sh

test: setup  ## everything: unit tests, properties, and real runs of verl, vLLM and Ray
	$(BIN)/pytest $(WORKERS)

# Left out: what starts many processes. Properties are tried with fewer examples than in `make test`.
quick: setup  ## what needs no training stack, in under two minutes
	$(BIN)/pytest $(WORKERS) -m "not stack" --hypothesis-profile=quick --ignore=tests/testing \
		--ignore=tests/integrations/test_contract_battery.py --ignore-glob='tests/evidence/test_annotation_*' \
		--ignore=tests/integrations/test_server_process.py --ignore=tests/detectors/test_openface_program.py \
		--ignore=tests/engines --ignore=tests/traces/test_build_kill.py --ignore=tests/traces/test_build_faults.py \
		--ignore=tests/report --ignore=tests/recipes --ignore=tests/fuzz --ignore=tests/files/test_kills.py \
		--ignore=tests/test_docs_tutorials.py --ignore=tests/test_docs_figure.py

# Environments of their own in build/; PYTHON=3.12, say, chooses another than the oldest or the newest.
test-oldest:  ## what needs no training stack, with the oldest versions that pyproject.toml allows
	bash tests/versions.sh oldest $(WORKERS)

test-newest:  ## the same with the newest
	bash tests/versions.sh newest $(WORKERS)

constraints: setup  ## recipes/constraints resolved anew; CONSTRAINTS="--upgrade" takes the newest, "--upgrade-package ray" one
	bash recipes/constraints/regenerate.sh $(CONSTRAINTS)

lint: setup  ## ruff, mypy, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# In an environment of its own: the training stack's pins are none of its business.
docs:  ## the pages as a site, build/site/index.html; a warning is an error, a dead link is a warning
	python3 -m venv build/docs
	build/docs/bin/pip install --quiet '.[docs]'
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict

# make fuzz FUZZ="--seconds 600 --target parse --seed 1"; `pip install atheris` has coverage guide it.
fuzz: setup  ## random input for all that reads text or files from outside, five minutes
	$(BIN)/python -m tests.fuzz $(FUZZ)

bench: setup  ## speed of rewards, regions, annotation, traces, evaluation and server, within one run
	$(BIN)/python benchmarks/bench_score.py
	$(BIN)/python benchmarks/bench_regions.py
	$(BIN)/python benchmarks/bench_annotate.py --count 512
	$(BIN)/python benchmarks/bench_traces.py --samples 20000
	$(BIN)/python benchmarks/bench_evaluate.py
	$(BIN)/python benchmarks/bench_server.py --seconds 10

mutants: setup  ## small changes of the core that no test notices; an hour or more, and MODULES="target rewards.score" for a part
	$(BIN)/python benchmarks/mutants.py $(MODULES)

clean:  ## the environment and the runs
	rm -rf $(VENV) runs
