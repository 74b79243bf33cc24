PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-slow check ui clean

install: $(VENV)/.installed ## everything into .venv, at the versions of constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; call make with PYTHON=<path>" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ui,dev]'
	@touch $@

demo: install ## simulate a plant, train, publish a version, forecast
	$(BIN)/lstm-pipeline demo

test: install ## all tests but the slow ones
	$(BIN)/python -m pytest

test-slow: install ## the slow ones
	$(BIN)/python -m pytest -m slow

check: install ## types and style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: install ## Dagster's UI on http://localhost:3000
	. $(BIN)/activate && dg dev

clean: ## remove what runs have made
	rm -rf storage .dagster
