# Every target installs what it needs. A new machine needs only Python and make.

PYTHON ?= python3
VENV := .venv
FLOOR := .venv-floor
FUZZ := .venv-fuzz
CLIENTS := .venv-clients
DOCS := .venv-docs
RELEASE := .venv-release
BIN := $(VENV)/bin

# Many tests start processes: they must find compiled modules, or each compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test e2e ui soak check bench fuzz clients azure docs release floor lock clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/.ready ## Create the virtual environment in .venv

$(VENV)/.ready: requirements.lock pyproject.toml airflow_provider_batchlinux/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.ready ## Run two example Dags on the embedded service, log in over SSH, print a report
	@$(BIN)/python -m tests.demo

test: $(VENV)/.ready ## Run all tests on two cores
	$(BIN)/python -m pytest -q --numprocesses 2

e2e: $(VENV)/.ready $(if $(DB),$(VENV)/.$(DB)) ## Run the Dags in `airflow standalone`, interrupt its processes (takes minutes); DB=postgres
	E2E_DATABASE=$(or $(DB),sqlite) $(BIN)/python -m pytest -q tests/e2e

$(VENV)/.postgres: $(VENV)/.ready
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| apt-get install --yes --quiet postgresql \
		|| { echo "PostgreSQL is not installed and cannot be: install the package postgresql."; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group postgres
	touch $@

ui: $(VENV)/.ready $(VENV)/.ui ## Visit the page Batch pools in Chromium in `airflow standalone`; screenshots are written to SHOTS=folder
	UI_SCREENSHOTS=$(or $(SHOTS),$(VENV)/screenshots) $(BIN)/python -m pytest -q tests/ui

# Without Chromium, its tests are skipped, and say so; the others run.
$(VENV)/.ui: $(VENV)/.ready
	@command -v chromium >/dev/null || apt-get install --yes --quiet chromium \
		|| echo "Chromium is not installed and cannot be: install the package chromium."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group ui
	touch $@

soak: $(VENV)/.ready ## Run a Dag while 12 % of the requests fail, and interleave changes of users, for many seeds; FIRST=100 SEEDS=100 selects them
	$(BIN)/python -m pytest -q --numprocesses 2 tests/soak

check: $(VENV)/.ready ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/python -m tests.operator_init

bench: $(VENV)/.ready ## Run the benchmarks, write bench.json, fail if a limit is exceeded; ONLY="a b" selects some
	@$(BIN)/python -m tests.bench $(ONLY)

fuzz: $(VENV)/.ready $(FUZZ)/.ready ## Test the embedded service with requests generated from SPEC=path/to/BatchService.json (takes minutes)
	@$(BIN)/python -m tests.fuzz $(or $(SPEC),$(error Name an API description: make fuzz SPEC=path/to/BatchService.json)) \
		$(abspath $(FUZZ))/bin/schemathesis

$(FUZZ)/.ready: pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --upgrade pip
	$(FUZZ)/bin/python -m pip install --quiet --group fuzz
	touch $@

clients: $(VENV)/.ready $(CLIENTS)/.ready ## Run scenarios of azure-batch 14.2, azure-cli and @azure/batch on the embedded service (needs npm)
	@$(BIN)/python -m tests.clients $(CLIENTS)

$(CLIENTS)/.ready: pyproject.toml
	for name in msrest cli; do \
		$(PYTHON) -m venv $(CLIENTS)/$$name && $(CLIENTS)/$$name/bin/python -m pip install --quiet --upgrade pip && \
		$(CLIENTS)/$$name/bin/python -m pip install --quiet --group client-$$name || exit 1; \
	done
	npm install --silent --no-save --prefix $(CLIENTS)/javascript @azure/batch@10.2.0
	touch $@

azure: $(VENV)/.ready ## Run contract tests and example Dags on an empty real account: ACCOUNT=URL NODES=4 MINUTES=60 ONLY="a or b"
	@$(BIN)/python -m tests.azure $(or $(ACCOUNT),$(error Name an empty account: make azure ACCOUNT=URL)) \
		--nodes $(or $(NODES),4) --minutes $(or $(MINUTES),60) --only "$(ONLY)"

docs: $(VENV)/.ready $(DOCS)/.ready ## Build the documentation site in build/docs/html, check its links, do the tutorial
	@$(BIN)/python -m tests.docs_site $(DOCS)/bin/sphinx-build
	@BATCHLINUX_COMPARED=$$($(DOCS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(BIN)/python -m pytest -q tests/docs_site

$(DOCS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --upgrade pip
	$(DOCS)/bin/python -m pip install --quiet --group docs
	$(DOCS)/bin/python -m pip install --quiet --no-deps --group compared
	touch $@

release: $(VENV)/.ready $(RELEASE)/.ready ## Build wheel and sdist in dist/, check them, say what is against a release; uploads nothing
	@$(BIN)/python -m tests.release $(RELEASE)/bin

$(RELEASE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --upgrade pip
	$(RELEASE)/bin/python -m pip install --quiet --group release
	touch $@

floor: $(FLOOR)/.ready ## Run all tests with the oldest supported Airflow
	$(FLOOR)/bin/python -m pytest -q --numprocesses 2

$(FLOOR)/.ready: requirements-floor.lock pyproject.toml airflow_provider_batchlinux/__init__.py
	$(PYTHON) -m venv $(FLOOR)
	$(FLOOR)/bin/python -m pip install --quiet --requirement requirements-floor.lock
	$(FLOOR)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Exact versions for all supported Pythons. The floor uses the versions that were current when Airflow 3.1.0 was released.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-emit-index-url --no-annotate \
	--no-header --extra emulator --extra mgmt --extra ssh --extra storage --group dev pyproject.toml
NEWER := apache-airflow-providers-common-compat azure-batch azure-core azure-identity asgiref

lock: $(VENV)/.ready ## Update both lock files
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --output-file requirements.lock
	echo 'apache-airflow==3.1.0' | $(COMPILE) --constraint - --exclude-newer 2025-10-20 \
		$(foreach name,$(NEWER),--exclude-newer-package $(name)=$(shell date +%F)) \
		--output-file requirements-floor.lock

clean: ## Delete environments, caches and results
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist bench.json
	find . -name __pycache__ -prune -exec rm -rf {} +
