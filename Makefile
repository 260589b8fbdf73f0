# The commands of the house. A fresh machine needs python3 >= 3.11 with venv, and make; the rest lands in .venv.

PYTHON ?= python3
PYTEST_ARGS ?= -n 2 --dist loadfile
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
SOURCES := src tests examples bench docs

.PHONY: help setup run demo test check format bench docs lock system-packages clean

help:
	@echo "make setup   install into .venv; then .venv/bin/imgserve"
	@echo "make run     start the server on its defaults (0.0.0.0:8602)"
	@echo "make demo    real jobs against small servers on this machine; pictures in demo-out/"
	@echo "make test    all tests        make check   style, types, layers        make bench   figures"
	@echo "make docs    write the generated tables of docs/ and check the rest   make lock    pin requirements anew"

setup: .venv/.run
	@echo ".venv/bin/imgserve is ready"

.venv/.python:
	@command -v $(PYTHON) >/dev/null || { echo "imgserve needs Python 3.11 or newer: install it, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("imgserve needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name a newer one: make PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.python requirements/build.txt requirements/run.txt pyproject.toml
	@echo "installing what imgserve needs"
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.demo: .venv/.run requirements/demo.txt
	@$(PIP) --require-hashes -r requirements/demo.txt
	@touch $@

.venv/.test: .venv/.run requirements/test.txt
	@echo "installing what the tests need"
	@$(PIP) --require-hashes -r requirements/test.txt
	@touch $@

run: .venv/.run
	@$(BIN)/imgserve start --foreground

demo: .venv/.demo
	@$(BIN)/python -m examples.demo

# Tests that find one of these or libturbojpeg missing skip themselves, and say so.
TEST_PROGRAMS := strace gdb vsftpd
system-packages: .venv/.run
	@missing=; PATH="$$PATH:/usr/sbin"; for program in $(TEST_PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	$(BIN)/python -c 'import ctypes; ctypes.CDLL("libturbojpeg.so.0")' 2>/dev/null || missing="$$missing libturbojpeg0"; \
	[ -z "$$missing" ] \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } \
	|| echo "tests that need$$missing will be skipped; to run them all: apt-get install$$missing" >&2

test: .venv/.test system-packages
	@$(BIN)/pytest $(PYTEST_ARGS)

check: .venv/.test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

format: .venv/.test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: .venv/.test system-packages
	@$(BIN)/python -m bench.jobs
	@$(BIN)/python -m bench.accept

docs: .venv/.test
	@$(BIN)/python docs/generate.py
	@$(BIN)/pytest tests/unit/test_docs.py

# Run it with the newest Python that is supported: what only newer ones need carries a marker in the .in files.
LOCK := .venv/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe
lock: .venv/.run
	@$(PIP) pip-tools
	cd requirements && for name in build run demo test; do ../$(LOCK) --output-file $$name.txt $$name.in || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache demo-out
