# make sweep: install, then run the study on the embedded dataset.   make test, make test-long: the tests.   make ui: browse.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN = .venv/bin
PORT ?= 5000
STORE ?= $(CURDIR)/mlruns/mlflow.db

sweep: .venv/ready
	$(BIN)/python study/launch.py --space latent_sweep $(ARGS)

# Two at a time, then those that start Ray, which takes the whole machine.
test: .venv/test-ready
	$(BIN)/python -m pytest -m "not long and not ray" -n 2 --dist loadfile -q $(ARGS)
	$(BIN)/python -m pytest -m "not long and ray" -q $(ARGS)

# Real clusters, crashes, servers and browsers; those that need root, SLURM, PostgreSQL or Chromium say so.
test-long: .venv/test-ready
	$(BIN)/python -m pytest -m "long and not ray" -n 2 --dist loadfile $(ARGS)
	$(BIN)/python -m pytest -m "long and ray" $(ARGS)

# STORE=FILE for another than this project's.
ui: export STORE := $(STORE)
ui: .venv/ready
	$(BIN)/python study/ui.py --port $(PORT) --store "$$STORE"

.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

.venv/test-ready: .venv/ready requirements-test.txt
	$(BIN)/pip install --quiet -r requirements-test.txt
	touch $@

.PHONY: sweep test test-long ui
