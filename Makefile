# What a newcomer, a developer and CI run; `make help` lists it. Needs Python 3.11 or newer, nothing else.

# The first of these that is new enough and can make virtual environments; PYTHON=… chooses another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo up test test-external browser-test chaos lint bench bench-peers bench-learning fuzz licences audit clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# exec: a signal for the recipe is one for the command
demo: $(STAMP) ## show everything at work; SESSIONS=folder plays your files, KEEP=1 leaves it running
	@exec $(BIN)/lapwise demo $(if $(SESSIONS),--sessions "$(SESSIONS)") $(if $(KEEP),--keep)

up: $(STAMP) ## run the platform here until Ctrl-C
	@exec $(BIN)/lapwise up

test: $(STAMP) ## run all tests, a file at a time on each core
	@exec $(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile

test-external: $(STAMP) ## run the heart of the tests on Debian's redis-server, on RabbitMQ, and on MongoDB with TLS
	@LAPWISE_TEST_EXTERNAL=$(or $(EXTERNAL),1) exec $(BIN)/pytest tests/e2e/external

chaos: $(STAMP) ## kill, empty, stop and cut off parts of a platform, and look for what was lost; SEED= SESSIONS= FAULTS=
	@exec $(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SESSIONS),--sessions $(SESSIONS)) \
		$(if $(FAULTS),--faults $(FAULTS))

lint: $(STAMP) ## check style, types and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## measure every claim of speed, side by side; ROWS="predict queue" ROUNDS= QUICK=1 PEERS=0
	@test -n "$(filter 0,$(PEERS))" || test -x .lapwise/bench-peers/bin/mlflow || $(MAKE) bench-peers \
		|| echo "MLflow and chantilly cannot be installed here: the bench goes without" >&2
	@exec $(BIN)/python -m bench $(ROWS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick)

# An environment of their own: nothing of the platform shall come to need what they bring.
bench-peers: ## install what the bench compares predictions with, MLflow and chantilly
	@test -n "$(PYTHON)"
	$(PYTHON) -m venv .lapwise/bench-peers
	.lapwise/bench-peers/bin/python -m pip install --quiet --disable-pip-version-check $$($(PYTHON) -c 'import configparser; \
		c = configparser.ConfigParser(); c.read("setup.cfg"); print(c["options.extras_require"]["bench-peers"])')

browser-test: .venv/browser ## drive the dashboard in Chromium; screenshots are kept in output/browser
	@exec $(BIN)/pytest tests/browser

fuzz: $(STAMP) ## ask the API thousands of odd things for three minutes; SEED=number repeats a run
	@exec $(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED))

bench-learning: $(STAMP) ## compare the lap-time algorithms; SESSIONS=folder plays your files
	@exec $(BIN)/python -m bench.learning $(SESSIONS)

licences: $(STAMP) ## list the licences of all that is installed, in docs/licences.md
	@exec $(BIN)/python -m tests.licences

# pip-audit is installed when it is asked for: nothing else needs it, and without network there is nobody to ask
audit: $(STAMP) ## look for known vulnerabilities in what is installed; STRICT=1 fails where nobody can be asked
	@$(BIN)/python -c 'import pip_audit' 2>/dev/null || $(BIN)/python -m pip install --quiet --retries 1 'pip-audit>=2.9' || true
	@exec $(BIN)/python -m tests.audit $(if $(STRICT),--strict)

clean: ## remove what was built, not the data in .lapwise
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Chromium comes from Debian; CHROMIUM=path names another one.
.venv/browser: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(addprefix --constraint ,$(wildcard requirements.lock)) --editable '.[local,test,browser]'
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || { echo "installing chromium" && \
		$$(test "$$(id -u)" = 0 || echo sudo) sh -c 'apt-get update -qq && apt-get install -qq --yes chromium'; }
	@touch $@

# Built again when what it is built from changes.
$(STAMP): setup.cfg pyproject.toml $(wildcard requirements.lock)
	@test -n "$(PYTHON)" || { echo "Lapwise needs Python 3.11 or newer with its venv module: install python3.11" \
		"and python3.11-venv, or name one with make PYTHON=…" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(addprefix --constraint ,$(wildcard requirements.lock)) --editable '.[local,test]'
	@touch $@
