PYTHON ?= python3
BIN := .venv/bin
DEMO_STORE ?= demo-store

.PHONY: demo test format clean

# The main job on the sample catalog, with embedded defaults: no server, no account, no network.
demo: .venv/runs
	$(BIN)/vitrine run sample_catalog/catalog.csv --store $(DEMO_STORE) \
		--label product_type --column date=listed_on --target height_cm

# Every check and test.
test: .venv/tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --cov --cov-report=term

format: .venv/tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv demo-store

.venv/runs: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vitrine needs Python 3.11 or newer. Name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/tests: .venv/runs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
