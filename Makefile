# preflight: `make preflight` installs and runs the main job, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?= +model=digits
TWO := --numprocesses 2 --dist loadfile

.PHONY: preflight test test-all bench lint dashboard clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "preflight needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

preflight: $(STAMP) ## install, then tune the digits (ARGS="+model=icecube budget=standard" for others)
	$(BIN)/preflight $(ARGS)

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint ## lint, and every test but the slow ones
	$(BIN)/python -m pytest -m 'not slow' $(TWO)

test-all: lint ## the slow tests too
	$(BIN)/python -m pytest $(TWO)

bench: $(STAMP) ## the benchmarks, about half an hour; results in benchmarks/results
	$(BIN)/python -m benchmarks.diagnosis

dashboard: $(STAMP) ## show the newest run in Optuna Dashboard
	$(BIN)/optuna-dashboard "$$($(BIN)/python -c 'import pathlib, preflight.telemetry.store as s; print(s.study_url(max(pathlib.Path("runs").glob("*/study.db"), key=lambda p: p.stat().st_mtime).parent))')"

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
