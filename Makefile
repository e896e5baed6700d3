# Cynthus: `make run` does the main job, `make test` runs every test, `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export UV_SYSTEM_CERTS ?= 1

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := shared services/gateway services/builder services/provisioner services/orchestrator \
	services/datasets worker cli embedded
PACKAGES := $(wildcard shared/src services/*/src worker/src cli/src embedded/src)
# Compiled at once: the command must answer quickly from its first use, whatever PYTHONDONTWRITEBYTECODE says.
UV_INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: help setup setup-dev run test lint check fmt lock docs bench simulate chaos soak planted up down clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(VENV)/.runtime ## make .venv with the cynthus command in it

$(VENV)/bin/uv: requirements/bootstrap.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it or run: make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.runtime: $(VENV)/bin/uv requirements/runtime.txt $(MEMBERS:%=%/pyproject.toml)
	@$(UV_INSTALL) --require-hashes -r requirements/runtime.txt
	@$(UV_INSTALL) --no-build-isolation --no-deps $(MEMBERS:%=-e %)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

setup-dev: $(VENV)/.dev

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(UV_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

run: setup ## do the main job: run examples/digits on this machine
	@cd examples/digits && $(CURDIR)/$(BIN)/cynthus run train.py --data ./data

test: setup-dev ## run all tests; what is not on this machine is named at the end
	@$(BIN)/python -m pytest

lint: setup-dev ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy $(PACKAGES)
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

check: lint ## lint and unit tests: under two minutes
	@$(BIN)/python -m pytest -q tests/unit tests/architecture

fmt: setup-dev ## format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: $(VENV)/bin/uv ## compile the hashed requirement files anew
	@for name in bootstrap runtime dev; do $(BIN)/uv pip compile requirements/$$name.in --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
		-c requirements/runtime.txt -o requirements/$$name.txt; done

docs: setup-dev ## generate the documents that come from code
	@$(BIN)/python -m cynthus.events.documents docs
	@$(BIN)/python -m cynthus.spec > docs/schema/cynthus.schema.json
	@$(BIN)/python -m cynthus.orchestrator.domain.cause_document > docs/causes.md

simulate: setup-dev ## thousands of simulated lives of the platform; SEEDS=1000 START=0
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --start $(or $(START),0)

chaos: setup-dev ## break the real platform for two minutes, then judge what it left; SEED=1
	@$(BIN)/python -m tests.chaos --minutes 2 $(if $(SEED),--seed $(SEED))

soak: setup-dev ## the same for RUNS=10000 runs
	@$(BIN)/python -m tests.chaos --runs $(or $(RUNS),10000) --minutes $(or $(MINUTES),600) $(if $(SEED),--seed $(SEED))

planted: setup-dev ## plant known bugs one at a time: the suites must find each
	@$(BIN)/python -m tests.planted --table

bench: setup-dev ## measure, beside floors and peers; see docs/benchmarks.md
	@$(BIN)/python -m bench

up: setup ## start the platform on this machine
	@$(BIN)/cynthus up

down: setup ## stop everything that up started
	@$(BIN)/cynthus down

clean: ## remove what setup made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
