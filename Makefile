.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help train reproduce test test-fast coverage bench lint format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

# torch and torchvision are resolved together, by the one install of this package
.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

train: .venv/installed ## train a fractional network with the horizon penalty on mnist_5k
	$(BIN)/python -m tvl_lightning.train model=fractional reg=horizon

EPOCHS ?= 200
SEEDS ?= 3# from 0 on; fewer decide nothing
JOBS ?= -1# runs side by side, as many as there are cores
ENGINE ?= compiled# equal to the others to rounding, in half the time
DATA ?= data
RUNS := outputs/reproduction/$(EPOCHS)_epochs
STUDY := trainer.max_epochs=$(EPOCHS) data.root=$(DATA) engine=$(ENGINE) \
	hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS) hydra.launcher.batch_size=1

# the figures and setups in which the authors' code does something else
THEIRS := '4_1 model=resnet setup=fixed' '4_1 model=fractional' '4_2 setup=final' 4_3 \
	'4_4 setup=final' 4_5 4_6

# seed by seed, so that a study that is cut off has whole seeds
reproduce: .venv/installed ## train the paper's runs that are missing, draw its figures, judge its claims
	set -e; seed=0; while [ $$seed -lt $(SEEDS) ]; do \
		for figure in 4_1 4_2 4_3 4_4 4_5 4_6; do \
			$(BIN)/python -m tvl_lightning.train experiment=figure_$$figure seed=$$seed $(STUDY); \
		done; \
		for figure in $(THEIRS); do \
			$(BIN)/python -m tvl_lightning.train variant=authors experiment=figure_$$figure \
				seed=$$seed $(STUDY); \
		done; \
		for figure in 4_2 4_3 4_6; do \
			$(BIN)/python -m tvl_lightning.train experiment=figure_$$figure setup=simplex \
				seed=$$seed $(STUDY); \
		done; \
		for setup in learned horizon; do \
			$(BIN)/python -m tvl_lightning.train variant=constant experiment=figure_4_3 \
				setup=$$setup seed=$$seed $(STUDY); \
		done; \
		seed=$$((seed + 1)); \
	done
	$(BIN)/python -m tvl_lightning.paper.figures $(RUNS)
	$(BIN)/python -m tvl_lightning.paper.claims $(RUNS)
	$(BIN)/python -m tvl_lightning.paper.report $(RUNS)

test: .venv/installed ## run all tests
	$(BIN)/python -m pytest -n 2

test-fast: .venv/installed ## run the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow"

coverage: .venv/installed ## run all tests and list what they do not reach
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing:skip-covered

bench: .venv/installed ## time an iteration against plain PyTorch, in a few minutes; RECORD=1 keeps it
	$(BIN)/python benchmarks/run.py $(if $(RECORD),--record)

lint: .venv/installed ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## delete the virtual environment and caches; outputs stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis htmlcov .coverage*
