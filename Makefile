# Every target builds its own .venv from pinned constraints; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# So many times as many stories as in CI. Of workers that are killed, three times as many.
TIMES ?= 20

.PHONY: help quickstart test soak lint format bench clean

help:
	@echo "make quickstart   Postgres, a local Salesforce and the worker in one terminal (ARGS=\"--once --json\")"
	@echo "make test         all tests, on a real Postgres (ARGS=\"-k outbox\")"
	@echo "make soak         random stories of two-way sync, other ones each time (TIMES=200 ARGS=\"-k http\")"
	@echo "make lint         ruff and mypy"
	@echo "make bench        speed, as a table, into docs/benchmarks.md"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "syncbridge needs Python 3.11 or newer; try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (once, about a minute) ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1" -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[quickstart]" --group dev
	@touch $@

quickstart: $(READY)
	@$(BIN)/syncbridge quickstart $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

soak: $(READY)
	@SYNCBRIDGE_SOAK=$(TIMES) $(BIN)/python -m pytest -n 2 tests/convergence tests/seams $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV)
