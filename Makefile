# Everything from a clean clone: needs make and Python 3.11 or later, nothing else.

VENV := .venv
BIN := $(VENV)/bin
# Tests that block for real sleep most of the time, so three at once do two cores no harm. JOBS=0 runs one by one.
JOBS ?= 3
# Our own suite runs under our own plugin: a test that blocks a loop of its process fails (docs/pytest.md).
GUARD ?= --fail-on-stall=500 --strict-stalls
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3 python; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Serve a small application with planted blockers and see who is named
	$(BIN)/loophound demo

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(GUARD) $(ARGS)

lint: $(VENV)/.dev ## Check style, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench ## Measure the server and what the detector costs
	$(BIN)/python -m benchmarks

docs: $(VENV)/.dev ## Write the generated pages again
	$(BIN)/python -m loophound.cli.docs docs/options.md
	$(BIN)/python -m loophound.calls.page docs/calls.md

clean: ## Remove environments, caches and build results
	rm -rf $(VENV) .venvs build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of extras, renewed when pyproject.toml changes.
$(VENV)/.demo: EXTRA := demo
$(VENV)/.dev: EXTRA := dev,frameworks
$(VENV)/.bench: EXTRA := bench
$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]'
	@touch $@

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; install one, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is not Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
