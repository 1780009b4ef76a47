# `make demo` and `make test` on a fresh machine; both are quick the second time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(wildcard kernels/*)

.PHONY: demo test

demo: $(VENV)/.installed-cpu
	$(BIN)/fastclip demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long and not alone"
	$(BIN)/python -m pytest -m alone

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Editable: Python files are read in place, so only the build's own inputs call for another install.
$(VENV)/.installed-cpu: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[cpu]"
	touch $@

$(VENV)/.installed-dev: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[cpu,dali,dev]"
	touch $@ $(VENV)/.installed-cpu

