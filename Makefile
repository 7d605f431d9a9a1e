# HQ-SAM with Lightning and Hydra. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := peft optuna dashboard cascadepsp onnx transformers docs demo

.DEFAULT_GOAL := help
.PHONY: help install train scenes pretrain test lint docs oldest clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 18

install: $(STAMP)  ## create .venv and install the project with its development extras

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $(STAMP)

train: $(STAMP)  ## train HQ-SAM's head on SAM-nano, the miniature; prints a table, writes results.png
	$(BIN)/python -m hqsam_lightning.train +experiment=quickstart

scenes: $(STAMP)  ## draw a contact sheet of the procedural scenes: outputs/scenes.jpg
	$(BIN)/python -m hqsam_lightning.scenes

pretrain: $(STAMP)  ## train SAM-nano, the shipped SAM, again from scratch: hours
	$(BIN)/python -m hqsam_lightning.pretrain trainer=cpu hydra.run.dir=outputs/pretrain/first
	$(BIN)/python -m hqsam_lightning.pretrain trainer=cpu hydra.run.dir=outputs/pretrain/second \
	  sam.weights=outputs/pretrain/first/sam.safetensors start_share=0.5 \
	  augmentation=repainted optimizer.lr=1e-3 trainer.max_steps=3000 seed=43

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadscope

lint: $(STAMP)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## build the documentation: build/docs/index.html; a warning is an error
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs

oldest: $(STAMP)  ## resolve the oldest allowed releases of all dependencies; needs the package index
	@timeout 300 $(BIN)/uv pip compile --quiet --no-header --resolution lowest-direct --python-version 3.10 \
	  $(addprefix --extra ,$(EXTRAS)) pyproject.toml --output-file $(VENV)/oldest.txt \
	  || { echo "error: no set of the oldest allowed releases was found, see above; is the package index reachable?"; exit 1; }
	@echo "the oldest allowed releases are compatible: $$(grep -c == $(VENV)/oldest.txt) packages, $(VENV)/oldest.txt"

clean:  ## remove what the targets above created, except runs
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
