# make demo   run the quickstart notebook here in the terminal, no account needed
# make test   install what the checks need and run them all
# make lab    open JupyterLab on the notebooks
# make bench  measure, and print one table
# make clean  remove everything these targets made
#
# All of it lives in .venv. Each dependency group of pyproject.toml leaves a stamp there, so that
# a second run installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
PYTEST_ARGS ?=
# Most tests wait for sockets and processes; the browser ones fill a core each and go one by one.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lab bench clean lint types pytest programs

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/notebooks.stamp
	@$(BIN)/python notebooks/demo.py $(OUT)

lab: $(VENV)/lab.stamp
	$(BIN)/jupyter lab notebooks/01_quickstart.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

test: lint types pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/test.stamp
	$(BIN)/mypy

pytest: $(VENV)/test.stamp programs
	$(BIN)/python -m pytest -n $(WORKERS) -m "not browser" $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

bench: $(VENV)/test.stamp programs
	$(BIN)/python tests/benchmarks/run.py

programs:
	@sh tests/need_program.sh Chromium chromium chromium chromium-browser google-chrome google-chrome-stable
	@sh tests/need_program.sh Node.js "nodejs npm" node

$(VENV)/%.stamp: pyproject.toml | $(VENV)/pip.stamp
	@echo "Installing codex_magic and its $* group into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --group $* --editable .
	@touch $@

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "codex_magic needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
