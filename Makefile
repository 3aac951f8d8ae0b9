# Two commands do all set-up: `make hub` (the platform on this machine) and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys,venv,ensurepip; sys.exit(sys.version_info<(3,11))' 2>/dev/null && { echo $$p; break; }; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: help hub test check bench notebooks catalog images clean install install-test

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp an extra: pip runs again only when pyproject.toml changed. A half-finished install leaves no stamp.
$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "vadose needs Python 3.11 or newer with venv: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-hub: $(BIN)/python pyproject.toml
	@echo "installing vadose and the hub (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[hub]'
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-hub
	@echo "installing the test extras"
	@bash tests/install
	@touch $@

install: $(VENV)/.stamp-hub ## the virtual environment with vadose and the hub in it
install-test: $(VENV)/.stamp-test ## the same and the test extras

hub: install ## the whole platform on this machine: JupyterHub, Dask Gateway, STAC API, object store
	@$(BIN)/vadose hub up $(ARGS)

test: install-test ## everything that must be green, offline (ARGS="-k name" narrows it)
	@VADOSE_BIN=$(BIN) bash tests/run $(ARGS)

check: install-test ## lint, types, layers
	@$(BIN)/ruff check src tests benchmarks notebooks helm
	@$(BIN)/ruff format --check -q src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

bench: install-test ## side by side with the peers; ONLY=id for one job
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

notebooks: install-test ## execute the curated notebooks and write the .ipynb; ONLY=path for one
	@$(BIN)/python notebooks/render.py $(ONLY)

catalog: install ## write the static catalog again from its tables
	@$(BIN)/vadose catalog write catalog

images: ## build the container images with podman or docker (ARGS="notebook" for one)
	@bash images/build $(ARGS)

clean: ## remove the virtual environment and caches (users' work in the state directory stays)
	@rm -rf $(VENV) .side .pytest_cache .ruff_cache .mypy_cache
