# Everything a person or CI does here. `make` alone prints this list.
# Needs python3 (3.11 or newer) and make; all else is installed into .venv from the lock files.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

PYTHON ?= python3
PY := .venv/bin/python
RUFF := .venv/bin/ruff
HAS_FRONTEND := $(wildcard frontend/package.json)
# Migrations that are ours: 0001 is Procrastinate's schema, word for word.
MIGRATIONS = $(filter-out %/0001_create_procrastinate.sql,$(wildcard sql/migrations/*.sql))

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^## / {printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Start

.PHONY: setup run web worker dev
setup: ## Install everything into .venv, once for each lock file
	@$(PYTHON) -I app/setup.py

run: setup ## Start everything: PORT=3000 DATA_DIR=.data; Ctrl-C stops it
	@exec $(PY) -m app.dev --end-with-parent $(ARGS)

web: setup ## Start a web process alone, against DATABASE_URL and REDIS_URL
	@exec $(PY) -m app.cli web

worker: setup ## Start a worker process alone, as many as you like
	@exec $(PY) -m worker.main

dev: setup ## Start the dashboard's development server beside a running `make run`
	@exec $(PY) -m app.frontend_build run dev

## Check

.PHONY: check lint fmt types test bench chaos load soak
check: lint types ## What CI checks beside the tests: style, types, arrows, dependencies, migrations
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/deptry .
	@$(if $(MIGRATIONS),.venv/bin/squawk $(MIGRATIONS))

lint: setup ## Lint and check the format
	@$(RUFF) check .
	@$(RUFF) format --check .
	@$(if $(HAS_FRONTEND),$(PY) -m app.frontend_build run lint)

fmt: setup ## Format, and mend what the linter can
	@$(RUFF) check --fix .
	@$(RUFF) format .
	@$(if $(HAS_FRONTEND),$(PY) -m app.frontend_build run format)

types: setup ## Check types
	@.venv/bin/mypy
	@$(if $(HAS_FRONTEND),$(PY) -m app.frontend_build run types)

# With ARGS only pytest runs: make test ARGS="tests/unit -k limits". Without, all of it runs even when a part fails:
# first what can share the machine, then what starts whole installations, then the dashboard.
test: setup ## Run all tests, or those in ARGS="tests/unit -k limits"
ifdef ARGS
	@exec $(PY) -m pytest $(ARGS)
else
	@$(PYTHON) -I app/setup.py packages
	@failed=; \
	$(PY) -m pytest -n 2 --dist loadfile --ignore=tests/acceptance --ignore=tests/browser --ignore=tests/chaos || failed=1; \
	$(PY) -m pytest tests/acceptance tests/chaos || failed=1; \
	$(PY) -m pytest tests/browser || failed=1; \
	$(if $(HAS_FRONTEND),$(PY) -m app.frontend_build run test || failed=1;) \
	test -z "$$failed"
endif

bench: setup ## Measure: ONLY=send|api|import|schedule|latency N=…; one JSON line per result
	@exec $(PY) -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(N),--n $(N))

chaos: setup ## Kill things at random and count: ROUNDS=… SEED=…; MUTATE=1 breaks the engine on purpose
	@exec $(PY) -m tests.chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(if $(MUTATE),--mutate)

load: setup ## A million messages, 200 campaigns, 2,000 requests at once: SCALE=0.05 for a taste
	@exec $(PY) -m tests.chaos.load $(if $(SCALE),--scale $(SCALE))

soak: setup ## A day of sends and faults in MINUTES=10, then `make doctor`
	@exec $(PY) -m tests.chaos.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

## Operate (each works while `make run` of the same DATA_DIR is up)

.PHONY: migrate seed admin doctor psql queue stalled retry cancel backup restore
migrate: setup ## Bring the database to this code's schema
	@$(PY) -m app.cli migrate

seed: setup ## Make the demo account, once
	@$(PY) -m app.cli seed

admin: setup ## Make an account for EMAIL=you@example.test; the last line is a new API key
	@$(PY) -m app.cli admin "$(or $(EMAIL),$(error say whose: make admin EMAIL=you@example.test))"

doctor: setup ## Check settings, connections, migrations and invariants
	@$(PY) -m app.cli doctor

psql: setup ## Open psql on the database
	@exec $(PY) -m app.cli psql

queue: setup ## Show what waits, is due, runs or is stalled
	@$(PY) -m app.cli queue

stalled: setup ## List stalled and failed jobs
	@$(PY) -m app.cli stalled

retry: setup ## Put a stalled or failed job back: ID=7
	@$(PY) -m app.cli retry "$(or $(ID),$(error say which: make retry ID=7))"

cancel: setup ## Take a waiting job out of the queue: ID=7
	@$(PY) -m app.cli cancel "$(or $(ID),$(error say which: make cancel ID=7))"

backup: setup ## Write the whole database to FILE=…
	@$(PY) -m app.cli backup $(if $(FILE),"$(FILE)")

restore: setup ## Replace the whole database by FILE=…
	@$(PY) -m app.cli restore "$(or $(FILE),$(error say which: make restore FILE=mailtide.dump))"

## Generate

.PHONY: openapi client schema settings lock clean
openapi: setup ## Write the API's description to frontend/openapi.json
	@$(PY) -m app.cli openapi $(if $(HAS_FRONTEND),frontend/openapi.json)

client: openapi ## Make the dashboard's API client from it
	@OPENAPI=openapi.json $(PY) -m app.frontend_build run generate

schema: setup ## Write sql/schema.sql from the migrations
	@$(PY) -m app.cli schema

settings: setup ## Write .env.example and the README's table from app/settings.py
	@$(PY) -m app.cli settings

# No registry's address goes into a lock file: hashes say what is meant, the machine says where from.
COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header
lock: setup ## Resolve pyproject.toml anew into the lock files
	@$(COMPILE) --group dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock

clean: ## Remove what can be made again; data stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	@rm -rf frontend/node_modules frontend/dist tests/artifacts
	@find app worker sql tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
