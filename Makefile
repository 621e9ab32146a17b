# Needs Python >= 3.10, pip and make. Everything is installed into .venv and nowhere else; another Python or another set of versions
# goes into a folder of its own: make test PYTHON=python3.13 VENV=.venv-3.13, make test CONSTRAINTS=constraints-oldest.txt VENV=.venv-oldest.
#
#   make demo       run the main job on the ECG and say where the results are
#   make test       the test suite            make test-all   the slow ones too, with the integrations, more random examples
#   make lint       format, lint, types, layers, doctests
#   make sanitize   the compiled kernels under AddressSanitizer and UBSan, over their tests and fuzzers
#   make coverage   the test suite once more, and how much of src it runs
#   make wheel      build the wheel for this Python and processor into dist/
#   make bench      against the bare calls and the peers; writes benchmarks/RESULTS.md
#   make docs       print the tables of docs/crossings.md anew, and draw the picture of the augmentations
#   make site       the documentation as pages in build/site, the reference from the docstrings; strict
#   make clean

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# What an installation depends on. Changed Python files are seen without installing again; changed C++ is not.
INPUTS := pyproject.toml src/bridgeflow/_version.py $(CONSTRAINTS) $(wildcard CMakeLists.txt) $(shell find src -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
PYTEST_ARGS ?=
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all coverage wheel lint format bench docs site sanitize clean

help:
	@sed -n '/^#   /s/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "BridgeFlow needs Python 3.10 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; say make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# Stamps, each holding what it names: the library with plots, the development tools on top, then either the packages of the
# integrations or the benchmarks' peers; and the tools of the documentation site.
$(VENV)/.installed: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[plot]'
	@touch $@

$(VENV)/.installed-dev: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[dev,plot]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-integrations: $(VENV)/.installed-dev
	$(PIP_INSTALL) -e '.[integrations,dev,plot]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(PIP_INSTALL) -e '.[bench,dev,plot]'
	@touch $@

$(VENV)/.installed-docs: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[docs]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/bridgeflow run configs/ecg_denoise.yaml --overwrite

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

test-all: $(VENV)/.installed-integrations
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -n auto -m "slow or not slow" $(PYTEST_ARGS)

# Apart from `make test`, which it would slow down. Lines that only worker processes run count as not covered.
coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/coverage report --skip-covered --skip-empty --sort=cover
	@echo "covered: $$($(BIN)/coverage report --format=total --precision=1) % of lines and branches"

# `pip install` may do without the engines where there is no compiler; a wheel for others may not.
wheel: | $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check -c $(CONSTRAINTS) --no-deps --wheel-dir dist .
	@! ls dist | grep -- '-none-any\.whl' || { echo "the engines did not compile: pip wheel --verbose . says why" >&2; exit 1; }
	@ls dist

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules src

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/augmentation_pictures.py

site: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Python itself knows nothing of the sanitizers, so their runtimes come first; what Python never frees is no leak of ours.
sanitize: $(VENV)/.installed-dev
	rm -rf build/sanitized
	$(PIP_INSTALL) --no-deps --target build/sanitized -C build-dir=build/sanitize -C cmake.build-type=Debug \
		-C cmake.define.CMAKE_CXX_FLAGS='-O1 -fsanitize=address,undefined -fno-sanitize-recover=all' .
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0:alloc_dealloc_mismatch=0 BRIDGEFLOW_SANITIZED=build/sanitized \
		$(BIN)/python -m pytest -p tests.sanitized tests/signal/iir/test_native.py tests/signal/iir/test_bank.py tests/signal/resampling \
			tests/io/pages tests/fuzz/test_native_entrances.py $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) build dist results .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
