# The commands of this repository. `make` alone explains them.
#
# Everything happens in environments of the project's own (.venv, .venv-bench), set up on demand and left alone while the
# locked requirements have not changed. Needed on the machine: Python 3.11 to 3.14 with venv, git, make.
#
# Packages are always installed by pip from requirements/*.txt, with hashes required; uv only makes those files. pip comes
# with every venv and follows whatever configuration the machine has (pip.conf, PIP_*), which uv reads only in part, so a
# machine behind a mirror needs nothing more. uv itself arrives in .venv, pinned like the rest.

VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench

# The first interpreter that will do; evaluated only when an environment is made.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null \
	&& echo $$python && break; done)

# A stamp's name carries the contents it stands for, so that a switch of branches installs what differs and a fresh checkout
# of the same files installs nothing. (Time stamps would do neither.)
contents = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
RUNTIME := $(VENV)/.installed-runtime-$(call contents,requirements/build.txt requirements/runtime.txt pyproject.toml)
TEST := $(VENV)/.installed-test-$(call contents,requirements/test.txt)
DEV := $(VENV)/.installed-dev-$(call contents,requirements/dev.txt)
BENCH := $(BENCH_VENV)/.installed-bench-$(call contents,requirements/build.txt requirements/bench-peers.txt pyproject.toml)

# An environment whose interpreter has gone (an upgrade of the system's Python) is made anew, and its stamps go with it.
$(shell for venv in $(VENV) $(BENCH_VENV); do test -x $$venv/bin/python || rm -f $$venv/.installed-*; done)

# Twice quiet: errors are shown, pip's small talk is not.
install = $(1)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes
install_ourselves = $(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # all targets share one environment
.PHONY: help demo test postgres soak acceptance bench docs check fix arch setup lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(RUNTIME) ## Run the demonstration
	@$(BIN)/weighbridge demo

test: $(RUNTIME) $(TEST) ## Run the whole test suite (ARGS="-n auto -k budget" go to pytest)
	@scripts/system_packages.sh
	@$(BIN)/python -m pytest $(ARGS)

postgres: $(RUNTIME) $(TEST) ## Run the tests of the PostgreSQL store on another server: WEIGHBRIDGE_POSTGRES=15 make postgres
	@scripts/system_packages.sh
	@$(BIN)/python -m pytest tests/unit/storage/postgres -m "not slow" $(ARGS)

soak: $(RUNTIME) $(TEST) ## Run the long versions of the tests
	@scripts/system_packages.sh
	@WEIGHBRIDGE_SOAK=1 $(BIN)/python -m pytest -m soak $(ARGS)

acceptance: $(RUNTIME) $(TEST) ## Replay the published scenarios: make acceptance DATA=directory
	@test -n "$(DATA)" || { echo "say where the data set is: make acceptance DATA=directory" >&2; exit 2; }
	@$(BIN)/python -m tests.acceptance --data $(DATA) $(ARGS)

bench: $(BENCH) ## Measure, also against comparable libraries (in an environment of their own)
	@$(BENCH_VENV)/bin/python -m tests.bench $(ARGS)

docs: $(RUNTIME) $(DEV) ## Build the documentation into build/docs
	@$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs
	@echo "build/docs/index.html"

# pyright looks for the package in the `python` it finds on the PATH; --verifytypes heeds no option that says otherwise.
check: $(RUNTIME) $(DEV) ## Check format, lint, types, import contracts and the public API's types
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.import-linter
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes weighbridge --ignoreexternal

fix: $(RUNTIME) $(DEV) ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

arch: $(RUNTIME) $(DEV) ## Check the import contracts and print the map of the house
	@$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.import-linter
	@$(BIN)/python scripts/architecture_map.py

setup: $(RUNTIME) $(TEST) $(DEV) ## Install everything for working on Weighbridge into .venv

lock: $(BIN)/python ## Resolve the newest versions into requirements/*.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -qq --disable-pip-version-check uv
	@scripts/lock.sh $(BIN)

clean: ## Remove everything made here, the environments included
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

%/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.14 with venv found: install one (Debian: python3 and python3-venv), or say which: make PYTHON=path" >&2; exit 2; }
	@echo "making $* with $(PYTHON)" >&2
	@$(PYTHON) -m venv --clear $*

# runtime first: it also installs Weighbridge itself, which needs the build back end.
$(RUNTIME): | $(BIN)/python
	@echo "installing requirements/runtime.txt" >&2
	@$(call install,$(VENV)) -r requirements/build.txt -r requirements/runtime.txt
	@$(call install_ourselves,$(VENV))
	@rm -f $(VENV)/.installed-runtime-* && touch $@

$(TEST) $(DEV): $(VENV)/.installed-%: | $(BIN)/python
	@echo "installing requirements/$(firstword $(subst -, ,$*)).txt" >&2
	@$(call install,$(VENV)) -r requirements/$(firstword $(subst -, ,$*)).txt
	@rm -f $(VENV)/.installed-$(firstword $(subst -, ,$*))-* && touch $@

$(BENCH): | $(BENCH_VENV)/bin/python
	@echo "installing requirements/bench-peers.txt" >&2
	@$(call install,$(BENCH_VENV)) -r requirements/build.txt -r requirements/bench-peers.txt
	@$(call install_ourselves,$(BENCH_VENV))
	@rm -f $(BENCH_VENV)/.installed-bench-* && touch $@
