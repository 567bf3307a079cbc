# make demo          run the quickstart notebook here in the terminal, no account needed
# make test          install what the checks need and run them all
# make lab           open JupyterLab on the notebooks
# make bench         measure, and print one table; with BASE=FOLDER beside another checkout, in turns
# make dist          build what a release uploads, into dist, and check it
# make docs          build the documentation, into out/docs; a warning is an error
# make pictures      take pictures of all that answers, cards and pages can look like, into out/pictures
# make lint          the style alone
# make types         the types alone
# make pytest        the tests without a browser alone
# make browser       the tests in a browser alone
# make programs      install the programs that tests run, where root and apt-get are here
# make labextension  build what JupyterLab shows more with, and link it into this environment; needs Node.js
# make environments  install the packages of tests/environments, each list into an environment of its own
# make constraints   write the versions that all of these install; with LATEST=1 the newest ones
# make clean         remove everything these targets made
#
# All of it lives in .venv, in the versions of constraints.txt: what somebody else releases changes nothing here.
# With LATEST=1 it is .venv-latest instead, in the newest versions of today; `make test LATEST=1` also
# lists what has moved. Each dependency group of pyproject.toml leaves a stamp there, so that a second run
# installs nothing.

PYTHON ?= python3
LATEST ?=
VENV := .venv$(if $(LATEST),-latest)
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The build backend runs in an environment of its own, which has its own option.
BACKEND := $(if $(LATEST),,--build-constraint constraints.txt)
VERSIONS = $(if $(LATEST),--upgrade --upgrade-strategy eager,--constraint $(1) $(BACKEND))
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' codex_magic/__init__.py)
ENVIRONMENTS := $(patsubst tests/environments/%.in,%,$(wildcard tests/environments/*.in))
OUT ?= out
# `make bench BASE=../before ROWS="load first_cell"`; without ROWS all that tests/benchmarks/compare.py has.
BASE ?=
ROWS ?=
PYTEST_ARGS ?=
# Most tests wait for sockets and processes; the browser ones fill a core each and go one by one.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lab bench dist docs pictures clean lint types pytest browser programs labextension environments constraints always

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/notebooks.stamp
	@$(BIN)/python notebooks/demo.py $(OUT)

lab: $(VENV)/lab.stamp
	$(BIN)/jupyter lab notebooks/01_quickstart.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

STAGES := programs labextension environments lint types pytest browser

test: $(VENV)/test.stamp
	@exec $(BIN)/python -m tests.stages $(STAGES) -- "$(MAKE)" --no-print-directory INSTALLED=1

lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/test.stamp
	$(BIN)/mypy

# A choice of tests may leave one of these without any, which is pytest's exit code 5.
# A file that can't be read is one failure and stops none of the others.
RUN_ALL := --continue-on-collection-errors
NONE_CHOSEN := $(if $(PYTEST_ARGS),|| [ $$? = 5 ])

# What fails beside others on a busy machine is tried once more, alone, and both runs are printed.
AGAIN = || $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

pytest: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) -m "not browser" $(RUN_ALL) $(PYTEST_ARGS) $(NONE_CHOSEN) $(AGAIN) -m "not browser"

browser: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m browser $(RUN_ALL) $(PYTEST_ARGS) $(NONE_CHOSEN) $(AGAIN) -m browser

dist: labextension $(VENV)/release.stamp
	@rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m check_wheel_contents dist/*.whl

docs: $(VENV)/docs.stamp
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs $(OUT)/docs
	@echo "The documentation: $(OUT)/docs/index.html"

pictures: $(VENV)/test.stamp
	$(BIN)/python -m tests.end_to_end.pictures $(OUT)/pictures

bench: $(VENV)/test.stamp programs
	@exec $(BIN)/python -m tests.benchmarks.$(if $(BASE),compare $(BASE) $(ROWS),run)

programs:
	@sh tests/need_program.sh Chromium chromium chromium chromium-browser google-chrome google-chrome-stable
	@sh tests/need_program.sh Node.js "nodejs npm" node

# npm ci removes what it finds; it runs only where the lock file is newer than what was installed from it.
labextension: $(VENV)/lab.stamp labextension/node_modules/.package-lock.json
	@cd labextension && { [ "$$(node -p 'require("./package.json").version')" = "$(VERSION)" ] || \
		npm version --silent --no-git-tag-version $(VERSION); }
	cd labextension && npm run --silent lint && npm test --silent && npm run --silent build
	@mkdir -p $(VENV)/share/jupyter/labextensions
	@rm -rf $(VENV)/share/jupyter/labextensions/codex-magic
	@ln -s $(CURDIR)/labextension/prebuilt/codex-magic $(VENV)/share/jupyter/labextensions/codex-magic

labextension/node_modules/.package-lock.json: labextension/package-lock.json
	@echo "Installing what the JupyterLab extension is built with (npm) ..."
	@cd labextension && npm ci --silent
	@touch $@

environments: $(ENVIRONMENTS:%=$(VENV)/envs/%.stamp)

# The newest versions are looked for in every run, but not in every stage of it.
NEWEST := $(if $(LATEST),$(if $(INSTALLED),,always))
CANNOT = { echo "These versions can't be installed here; the newest ones perhaps: make LATEST=1 ..."; exit 1; }

$(VENV)/envs/%.stamp: tests/environments/%.in tests/environments/%.txt pyproject.toml $(NEWEST) | $(VENV)/pip.stamp
	@echo "Installing codex_magic and tests/environments/$*.in into $(VENV)/envs/$* ..."
	@$(BIN)/python -m venv --without-pip $(VENV)/envs/$*
	@$(PIP) --python $(VENV)/envs/$*/bin/python install -qq $(call VERSIONS,tests/environments/$*.txt) \
		--requirement tests/environments/$*.in --editable .
	@if [ -d tests/environments/$* ]; then \
		mkdir -p $(VENV)/envs/$*/node && cp tests/environments/$*/package*.json tests/environments/$*/.npmrc $(VENV)/envs/$*/node && \
		(cd $(VENV)/envs/$*/node && npm ci --silent); fi
	@touch $@

$(VENV)/%.stamp: pyproject.toml constraints.txt $(NEWEST) | $(VENV)/pip.stamp
	@echo "Installing codex_magic and its $* group into $(VENV) ..."
	@$(PIP) install -qq $(call VERSIONS,constraints.txt) --group $* --editable . $(if $(LATEST),,|| $(CANNOT))
	@touch $@

$(VENV)/pip.stamp: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "codex_magic needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq --upgrade $(if $(LATEST),,--constraint constraints.txt) pip
	@touch $@

# One resolution for every Python from the oldest on and for every system. What is pinned stays as it is unless
# it must move; pip and editables (the backend's own) are what pyproject.toml can't name.
UV := .venv/uv/bin/uv
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.10 $(if $(LATEST),--upgrade) \
	--no-annotate --no-strip-markers --custom-compile-command 'make constraints'

constraints:
	@$(PYTHON) -m venv .venv/uv
	@.venv/uv/bin/python -m pip install -qq --disable-pip-version-check --upgrade uv
	@printf '%s\n' 'pip>=25.3' 'editables~=0.3' | $(RESOLVE) --all-extras \
		--group notebooks --group lab --group docs --group release --group test --output-file constraints.txt pyproject.toml -
	@for name in $(ENVIRONMENTS); do \
		$(RESOLVE) --output-file tests/environments/$$name.txt pyproject.toml tests/environments/$$name.in || exit; \
	done

clean:
	rm -rf .venv .venv-latest $(OUT) build dist labextension/lib labextension/node_modules labextension/prebuilt .mypy_cache .ruff_cache .pytest_cache .hypothesis
