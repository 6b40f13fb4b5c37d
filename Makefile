# Two commands are enough to begin: `make demo` and `make test`.
# Neither installs system packages; where one is missing, a line says which.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types style check prove fuzz wheel clean help

help:  ## list the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'deadpeer needs Python 3.11 or later: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'; exit 3; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "Python's venv is missing: apt-get install python3-venv (or your system's package of that name)"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

demo: $(READY)  ## pull a real cable and watch who notices
	$(BIN)/deadpeer lab

test: $(READY)  ## the whole test suite, under five minutes
	$(BIN)/python -m pytest

style: $(READY)  ## format, then lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

lint: $(READY)  ## what CI checks of style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

wheel: $(READY)  ## build the distributions into dist/
	$(BIN)/python -m build

clean:  ## remove what the other verbs made
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
