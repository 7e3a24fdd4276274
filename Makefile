# Every target does its own set-up: on a fresh clone Python 3.11+ and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# AUDIO=my.wav makes `make demo` ask your own recording.
AUDIO ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test check generate generated-diff lint types freeze bench clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp stands for an installed venv; a changed pyproject.toml makes it anew.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Parley needs Python 3.11 or newer; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Parley and its tools into $(VENV) (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: $(VENV)/.installed ## Make the virtual environment

demo: setup ## Ask a sample shop aloud and in writing (AUDIO=my.wav: with your own recording)
	@$(RUN) python -m deploy.local.demo $(if $(AUDIO),--audio "$(AUDIO)")

up: setup ## Bring everything up on this machine
	@$(RUN) parley up

down: setup ## Stop it
	@$(RUN) parley down

status: setup ## Say what runs
	@$(RUN) parley status

test: setup ## Run all tests (PYTEST_ARGS="tests/sql -k join")
	@$(RUN) python -m pytest $(PYTEST_ARGS)

check: lint types generated-diff ## Run what CI runs besides the tests

lint: setup
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) buf lint
	@$(RUN) buf format --diff --exit-code protos
	@$(RUN) python scripts/check_breaking.py

types: setup
	@$(RUN) mypy
	@# Every Triton model is a model.py in a folder that is no package name: one run for each.
	@$(RUN) sh -c 'for model in triton_models/*/1/model.py; do mypy --no-error-summary $$model || exit 1; done'

generate: setup ## Write gen/, the gateway's descriptors and openapi.json from protos/
	@$(RUN) python scripts/generate.py

generated-diff: setup
	@$(RUN) python scripts/generate.py --check

freeze: setup ## Pin what is installed in constraints.txt, after an upgrade
	@$(RUN) python scripts/freeze.py

bench: setup ## Measure speed, memory and accuracy; prints ratios
	@$(RUN) python -m bench

clean: ## Remove everything that was made here
	@rm -rf $(VENV) .bench-venv .parley build .mypy_cache .ruff_cache .pytest_cache
