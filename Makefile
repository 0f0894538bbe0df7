# The commands of this repository. Only Python 3.11 or newer (with venv) and make are needed.
#
#   make run       set up and run the portal here (DEMO=0: without the demonstration fleet;
#                  ARGS="--pages-port 8001 …": flags of manage.py run_portal)
#   make test      the whole suite            (PYTEST="-k name": arguments for pytest)
#   make demo      the life of six orchestrators, observed
#   make torture   the long versions of the tests, with a report
#   make bench     ratios against floors
#   make screenshots  every page in both themes and two widths (PAGES="settings audit": some)
#   make agent     the reference orchestrator as one file
#   make portalctl the command line over the REST API as one file
#   make openapi   write the OpenAPI document of the REST API anew
#   make clean     remove the virtual environment and what tools left; data stays

# Compiled once and kept (`make clean` removes it): a shell that forbids this would have each of the
# portal's processes and each worker of a test run compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= 1
# Many tests wait for processes, so there are twice as many workers as processors.
WORKERS ?= $(shell echo $$((2 * $$(nproc 2>/dev/null || echo 2))))
ARGS ?=
PAGES ?=
PYTEST ?=

# Checks read the settings, which need a data folder; never the one of `make run`.
CHECKED := @PORTAL_DATA_DIR=$(CURDIR)/$(VENV)/checked-data
# Which configuration `check --deploy` must find nothing wrong with.
SAFE := PORTAL_EDGE=both \
	PORTAL_CLIENT_CERTIFICATE_SOURCE=header \
	PORTAL_PROXY_ADDRESSES=unix \
	PORTAL_PUBLIC_URL=https://portal.example \
	PORTAL_AGENT_URL=https://agents.portal.example/KeyfactorAgents \
	PORTAL_ALLOWED_HOSTS=portal.example,agents.portal.example \
	DATABASE_URL=postgres:///portal \
	REDIS_URL=redis://127.0.0.1:6379/0

.PHONY: help setup run demo test torture bench screenshots agent portalctl openapi clean

help:
	@sed -n 's/^#   //p' Makefile

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) was not found (make PYTHON=/path/to/python3)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is older (make PYTHON=/path/to/python3)." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# A stamp says that the environment has what its file asks for.
$(VENV)/.run-stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the portal needs …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/.test-stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing what the tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@ $(VENV)/.run-stamp

setup: $(VENV)/.run-stamp

run: $(VENV)/.run-stamp
	@DEMO=$(DEMO) exec $(BIN)/python manage.py run_portal $(ARGS)

demo: $(VENV)/.run-stamp
	@exec $(BIN)/python -m tests.demo $(ARGS)

test: $(VENV)/.test-stamp
	@$(BIN)/python -m tests.services.install
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	$(CHECKED) $(BIN)/mypy --no-error-summary .
	$(CHECKED) $(BIN)/lint-imports >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	$(CHECKED) $(BIN)/python manage.py check --verbosity 0
	$(CHECKED) $(SAFE) $(BIN)/python manage.py check --deploy --tag security --fail-level WARNING --verbosity 0
	$(CHECKED) $(BIN)/python manage.py makemigrations --check --dry-run --verbosity 1 || { \
		echo "A model has changed without a migration." >&2; exit 1; }
	@$(BIN)/python -m tests.services.run --numprocesses $(WORKERS) --dist worksteal $(PYTEST)

torture: $(VENV)/.test-stamp
	@$(BIN)/python -m tests.services.install
	@exec $(BIN)/python -m tests.torture $(ARGS)

bench: $(VENV)/.test-stamp
	@$(BIN)/python -m tests.services.install
	@status=0; \
	$(BIN)/python -m tests.bench $(ARGS) || status=$$?; \
	$(BIN)/python -m tests.bench.bulk || status=$$?; \
	$(BIN)/python -m tests.bench.pages || status=$$?; \
	exit $$status

screenshots: $(VENV)/.test-stamp
	@$(BIN)/python -m tests.services.install
	@PAGES="$(PAGES)" $(BIN)/python -m pytest -p no:cacheprovider tests/portal/pages/screenshots.py
	@echo "The pictures are in screenshots/."

agent: $(VENV)/.run-stamp
	@mkdir -p dist
	@$(BIN)/python -m orchestrators.agent.build --output dist/orchestrator.pyz

portalctl: $(VENV)/.run-stamp
	@$(BIN)/python -m portal.ctl.build --output dist/portalctl

openapi: $(VENV)/.run-stamp
	@$(BIN)/python manage.py shell --no-imports -c "from portal.rest import schema; schema.write()"

clean:
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
	rm -rf $(VENV) dist screenshots .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
