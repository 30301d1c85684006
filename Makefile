# SPDX-License-Identifier: Apache-2.0
# Each target makes the virtual environment first; nothing has to be set up by hand.
#
#   make setup     the virtual environment alone (the others make it by themselves)
#   make demo      everything once on drawn radiographs, ends with a page
#   make test      the tests that take seconds each
#   make test-slow the tests that start programs, train, or are killed on purpose
#   make bundles   the tests of the bundles alone, slow ones included
#   make check     ruff, mypy, import-linter
#   make api       write tests/api_surface.json anew, after a change of public names on purpose
#   make notebooks run the tutorials and write their notebooks anew
#   make benchmark the short speed measurements
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment, PYTEST="-x -k word" adds
# options to the test runner.

VENV ?= .venv
PYTHON ?= $(shell .ci/find-python)
PYTEST ?=
RUN := $(VENV)/bin/python
# Two processes with one thread each; a test file stays in one of them.
TESTS := OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow bundles check format api notebooks benchmark clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(RUN):
	@test -n "$(PYTHON)" || { echo "No Python 3.10 or newer found. Install one, or say make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch stays pinned by constraints.txt: otherwise pip may choose a build of several GB.
$(STAMP): pyproject.toml constraints.txt | $(RUN)
	$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)
	$(RUN) -m monai_kd demo

test: $(STAMP)
	$(TESTS) -m "not slow and not gpu" $(PYTEST)

test-slow: $(STAMP)
	$(TESTS) -m "slow and not gpu" $(PYTEST)

bundles: $(STAMP)
	$(TESTS) -m "not gpu" tests/bundles $(PYTEST)

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

api: $(STAMP)
	MONAI_KD_UPDATE_API=1 $(RUN) -m pytest -q tests/test_contracts.py -k api_surface

notebooks: $(STAMP)
	$(RUN) .ci/write_notebook.py tutorials/*.py

benchmark: $(STAMP)
	$(RUN) benchmarks/startup.py
	$(RUN) benchmarks/precision.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
