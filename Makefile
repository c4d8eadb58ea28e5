# Every target sets up what it needs; a fresh machine needs Python and make, nothing else.

PYTHON ?= python3
VENV := .venv
FLOOR := .venv-floor
FUZZ := .venv-fuzz
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test e2e check bench fuzz floor lock clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/.ready ## Make the environment in .venv

$(VENV)/.ready: requirements.lock pyproject.toml airflow_provider_batchlinux/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.ready ## Run the main job on the embedded service, and report
	@$(BIN)/python -m tests.demo

test: $(VENV)/.ready ## Run all tests, on two cores
	$(BIN)/python -m pytest -q --numprocesses 2

e2e: $(VENV)/.ready ## Run the Dags under a whole `airflow standalone`, and interfere; takes minutes
	$(BIN)/python -m pytest -q tests/e2e

check: $(VENV)/.ready ## Lint and type-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/python -m tests.operator_init

bench: $(VENV)/.ready ## Measure, print a table, write bench.json, fail if a limit is missed; ONLY="a b" for some
	@$(BIN)/python -m tests.bench $(ONLY)

fuzz: $(VENV)/.ready $(FUZZ)/.ready ## Send what SPEC=path/to/BatchService.json gives rise to; takes minutes
	@$(BIN)/python -m tests.fuzz $(or $(SPEC),$(error Say which description: make fuzz SPEC=path/to/BatchService.json)) \
		$(abspath $(FUZZ))/bin/schemathesis

$(FUZZ)/.ready: pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --upgrade pip
	$(FUZZ)/bin/python -m pip install --quiet --group fuzz
	touch $@

floor: $(FLOOR)/.ready ## Run the tests on the oldest Airflow that is supported
	$(FLOOR)/bin/python -m pytest -q --numprocesses 2

$(FLOOR)/.ready: requirements-floor.lock pyproject.toml airflow_provider_batchlinux/__init__.py
	$(PYTHON) -m venv $(FLOOR)
	$(FLOOR)/bin/python -m pip install --quiet --requirement requirements-floor.lock
	$(FLOOR)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Exact versions for all supported Pythons; the floor takes what was there when Airflow 3.1.0 was new.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --no-emit-index-url --no-annotate --no-header \
	--extra emulator --extra mgmt --extra ssh --group dev pyproject.toml
NEWER := apache-airflow-providers-common-compat azure-batch azure-core azure-identity asgiref

lock: $(VENV)/.ready ## Renew both lock files
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --output-file requirements.lock
	echo 'apache-airflow==3.1.0' | $(COMPILE) --constraint - --exclude-newer 2025-10-20 \
		$(foreach name,$(NEWER),--exclude-newer-package $(name)=$(shell date +%F)) \
		--output-file requirements-floor.lock

clean: ## Remove environments, caches and results
	rm -rf $(VENV) $(FLOOR) $(FUZZ) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist bench.json
	find . -name __pycache__ -prune -exec rm -rf {} +
