# Two commands are enough to begin: `make demo` and `make test`.
# Neither installs system packages; where one is missing, a line says which.

# The first Python that is new enough; make PYTHON=/path/to/python3.12 chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

RUNS ?= 20000
# How many files of tests run side by side: they wait most of the time. The lab's never do.
SIDE_BY_SIDE ?= 3

.PHONY: demo test compiled test-compiled lint types style prove fuzz mutants bench bench-host wheel clean help ip

help:  ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(READY): pyproject.toml
	@test -n '$(PYTHON)' || { echo 'deadpeer needs Python 3.11 or later: apt-get install python3.11 python3.11-venv, or make PYTHON=/path/to/it'; exit 3; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/python3.11'; exit 3; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "Python's venv is missing: apt-get install python3-venv (or your system's package of that name)"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

ip:
	@command -v ip >/dev/null || { echo 'the command ip is missing: apt-get install iproute2 (or dnf install iproute, apk add iproute2)'; exit 3; }

demo: ip $(READY)  ## pull a real cable and watch who notices
	$(BIN)/deadpeer lab

test: $(READY)  ## the whole test suite, under five minutes
	$(BIN)/python -m pytest --numprocesses $(SIDE_BY_SIDE)

COMPILED := build/compiled
# With it the compiled package is imported, in place of the one in src/.
WITH_COMPILED := PYTHONPATH='$(CURDIR)/$(COMPILED)'
# Folders, too: one is newer when a file in it is gone.
SOURCES := $(shell find src/deadpeer ! -name __pycache__ ! -name '*.pyc')

compiled: $(COMPILED)/.ready  ## build with the hot paths compiled, into build/compiled

# The wheel is built from the sdist, so the compiler works in a copy: what it makes
# would be imported from src/ by everybody.
$(COMPILED)/.ready: $(READY) $(SOURCES)
	@command -v "$${CC:-cc}" >/dev/null || { echo 'a C compiler is missing: apt-get install gcc libc6-dev (or your system'"'"'s packages of these names)'; exit 3; }
	@$(BIN)/python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || { echo 'Python.h is missing: apt-get install python3-dev (or your system'"'"'s package of that name)'; exit 3; }
	rm -rf build/dist
	HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m build --outdir build/dist
	rm -rf $(COMPILED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(COMPILED) build/dist/*.whl
	$(WITH_COMPILED) $(BIN)/python -m pytest --quiet tests/compiled.py
	@touch $@

# First that it is the compiled package that is tested. tests/core/test_branches.py
# rewrites the judge's source, which the compiled judge does not read.
test-compiled: $(COMPILED)/.ready  ## the tests of the hot paths, against the compiled package
	$(WITH_COMPILED) $(BIN)/python -m pytest --numprocesses $(SIDE_BY_SIDE) \
	    --ignore tests/core/test_branches.py \
	    tests/compiled.py tests/core tests/aio tests/sync tests/testing

# A promise and a round trip; at 0.2 s none can be given below 9.9 s with the
# timers of CONFIG_HZ=250, and below 10.4 s with those of 100.
PROMISES := 6,0 10,0 10,0.2 30,0 30,0.2

prove: ip $(READY)  ## the slow proof: every state and fault, heartbeats on each loop
	@failed=; for promise in $(PROMISES); do \
	    echo "within $${promise%,*} s, at round trips of $${promise#*,} s"; \
	    $(BIN)/deadpeer lab --full --no-heartbeats --family both --within $${promise%,*} --rtt $${promise#*,} \
	        --report deadpeer-lab-$$promise.html || failed="$$failed $$promise"; \
	done; \
	for loop in asyncio uvloop threads; do \
	    echo "heartbeats on $$loop"; \
	    $(BIN)/deadpeer lab --heartbeats --full --loop $$loop \
	        --report deadpeer-lab-$$loop.html || failed="$$failed $$loop"; \
	done; \
	$(BIN)/deadpeer lab --full --no-heartbeats --allow-stalled-reader --within 30 \
	    --report deadpeer-lab-stalled.html || failed="$$failed stalled"; \
	echo 'settings that end live connections have to fail:'; \
	$(BIN)/deadpeer lab --keepalive 1,1,1,1 --no-report; \
	test $$? = 1 || failed="$$failed 1/1/1"; \
	test -z "$$failed" || { echo "not proven:$$failed"; exit 1; }

fuzz: $(READY)  ## feed the parsers nonsense; make fuzz RUNS=1000000 for longer
	@set -e; for target in fuzz/fuzz_*.py; do $(BIN)/python $$target --runs $(RUNS); done

mutants: $(READY)  ## change the judge in every small way; each change must fail a test
	$(BIN)/python tests/mutants.py

style: $(READY)  ## format, then lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(COMPILED)/.ready  ## false deaths and cost beside websockets and aiohttp, bad peers, detectors
	@failed=; for program in false_deaths bad_peers detectors cost; do \
	    echo "bench/$$program.py"; \
	    $(WITH_COMPILED) $(BIN)/python bench/$$program.py || failed="$$failed $$program"; \
	done; test -z "$$failed" || { echo "not kept:$$failed"; exit 1; }

bench-host: ip $(READY)  ## the verbs for a whole host at 18,000 connections, beside ss, as root
	@failed=; for program in host_ls host_sockets host_kill run_connect host_watch; do \
	    echo "bench/$$program.py"; \
	    $(BIN)/python bench/$$program.py || failed="$$failed $$program"; \
	done; test -z "$$failed" || { echo "not kept:$$failed"; exit 1; }

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

lint: $(READY)  ## what CI checks of style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

wheel: $(READY)  ## build the distributions into dist/
	$(BIN)/python -m build

clean:  ## remove what the other verbs made
	rm -f deadpeer-lab.html deadpeer-lab-stalled.html $(PROMISES:%=deadpeer-lab-%.html)
	rm -f deadpeer-lab-asyncio.html deadpeer-lab-uvloop.html deadpeer-lab-threads.html
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
