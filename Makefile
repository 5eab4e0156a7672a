# Everything a person needs: `make` lists it. Each target begins with an idempotent set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LISTS := src/stackfluence/lists
NATIVE := src/stackfluence/native
VENDOR := tests/vendor
SNIPPET := snippet
export TZ := UTC
unexport PYTHONDONTWRITEBYTECODE  # images of Python often set it: each process would compile all of the source again
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps  # a lock names all there is to install

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo snippet test check check-types check-sql bench bench-bots lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.python: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements.lock
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(PIP) --require-hashes --no-compile -r requirements-dev.lock
	@touch $@

$(LISTS)/built/manifest.json: $(VENV)/.run $(LISTS)/package-lock.json $(LISTS)/build.py
	@command -v npm >/dev/null || { echo "npm is needed, to install the lists of robots and networks: Node 20 or newer"; exit 1; }
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "Node 20 or newer is needed; this is $$(node --version)"; exit 1; }
	npm --prefix $(LISTS) ci --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error
	$(BIN)/python -m stackfluence.lists.build
	@touch $@

$(VENDOR)/node_modules/.installed: $(VENDOR)/package-lock.json
	npm --prefix $(VENDOR) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(SNIPPET)/node_modules/.installed: $(SNIPPET)/package-lock.json
	npm --prefix $(SNIPPET) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

setup: $(VENV)/.run $(LISTS)/built/manifest.json ## install what running needs: .venv, the lists, and compiled code where there is a compiler
	@$(BIN)/python -m stackfluence.lists.build
	@$(BIN)/python -m stackfluence.native.build

setup-dev: setup $(VENV)/.dev $(VENDOR)/node_modules/.installed $(SNIPPET)/node_modules/.installed ## install what tests and checks need too

snippet: $(SNIPPET)/node_modules/.installed ## build sf.js; prints its size and fails when it is too large
	cd $(SNIPPET) && npm run --silent build

demo: setup ## serve a sample organization with live traffic on port 8000
	$(BIN)/stackfluence demo --port 8000

check: setup-dev ## lint, types, layers, SQL style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --output-sync -j2 check-types check-sql

check-types: setup-dev
	$(BIN)/mypy

check-sql: setup-dev
	$(BIN)/sqlfluff lint --disable-progress-bar src

test: check ## all checks and all tests
	$(BIN)/python -m pytest -n auto --dist worksteal

bench: setup-dev ## run the benches; each prints one JSON line
	$(BIN)/python -m bench

bench-bots: setup-dev ## error rates of the click score on labelled corpora; BOTS=directory names other ones
	$(BIN)/python -m bench.bots $(BOTS)

lock: ## compile the requirement files anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements-dev.lock

clean: ## remove what the set-up and the tests made
	rm -rf $(VENV) $(LISTS)/built $(LISTS)/node_modules $(SNIPPET)/node_modules $(NATIVE)/built .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
