# make sweep: install, then run the study on the embedded dataset.   make test, make test-long: the tests.   make ui: browse.

# Python compiles a module once and keeps it, also where the environment says otherwise: else each of a hundred processes does it anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN = .venv/bin
PORT ?= 5000
QUICK = tests/project/test_rooms.py tests/space/test_space.py tests/space/test_contracts.py tests/ledger/test_records.py \
	tests/sweep/test_plan.py tests/sweep/test_launch_options.py tests/metrics/test_catalogue.py \
	--deselect tests/space/test_space.py::test_every_space_of_the_project_loads_and_can_propose \
	--deselect tests/ledger/test_records.py::test_a_result_says_what_it_was_made_from
TWO = -n 2 --dist loadfile --no-loadscope-reorder
STORE ?= $(CURDIR)/mlruns/mlflow.db

sweep: .venv/ready
	$(BIN)/python study/launch.py --space latent_sweep $(ARGS)

# Two files of tests at a time, in the order of their names: by the number of their tests the longest would come last, alone.
test: .venv/test-ready
	$(BIN)/python -m pytest -m "not long" $(TWO) -q $(ARGS)

# Seconds each, for the inner loop: format, rules and types; and the tests that train nothing.
lint: .venv/test-ready
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

quick: .venv/test-ready
	$(BIN)/python -m pytest -m "not long and not ray" -q $(QUICK) $(ARGS)

# Real clusters, crashes, servers and browsers; those that need root, SLURM, PostgreSQL or Chromium say so. Two at a time, then
# those that count seconds or memory.
test-long: .venv/test-ready
	$(BIN)/python -m pytest -m "long and not alone" $(TWO) $(ARGS)
	$(BIN)/python -m pytest -m "long and alone" $(ARGS)

# The tests and tables that need an NVIDIA card.
gpu: .venv/test-ready
	PYTHON=$(CURDIR)/$(BIN)/python benchmarks/gpu.sh $(ARGS)

# STORE=FILE for another than this project's.
ui: export STORE := $(STORE)
ui: .venv/ready
	$(BIN)/python study/ui.py --port $(PORT) --store "$$STORE"

# Not compiled: most of the 20,000 files are never imported, and Python compiles those that are.
.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile -r requirements.txt
	touch $@

.venv/test-ready: .venv/ready requirements-test.txt
	$(BIN)/pip install --quiet --no-compile -r requirements-test.txt
	touch $@

.PHONY: sweep lint quick test test-long gpu ui
