# Every target makes the environment first if need be; on a fresh machine only Python and the package index are needed.
PYTHON ?= python3
BIN := .venv/bin
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
WORKERS ?= auto
# The last two are what transformers' common tests need.
TESTERS := pytest pytest-xdist pytest-socket hypothesis parameterized pillow

.PHONY: help env demo test test-parity test-slow lint format docs docs-version bench release-check test-min test-common-min test-newest clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

env:  ## the environment in .venv
	@$(PYTHON) scripts/make_env.py

demo: env  ## classify the bundled clips with the bundled model, offline
	$(OFFLINE) $(BIN)/python examples/demo.py --output demo_output

test: env  ## the tests (a few minutes), among them those that transformers asks of all models
	@$(BIN)/python scripts/fetch_common_tests.py
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

test-parity: env  ## full-size parity with the official code
	$(OFFLINE) $(BIN)/python -m pytest -m "slow and not gpu" tests/parity

test-slow: env  ## all that is slow: full-size parity, long fuzzing, compilers, crashes (some twenty minutes)
	$(OFFLINE) $(BIN)/python -m pytest -m "slow and not gpu"

lint: env  ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: env  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: env  ## the documentation site, in site/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/mkdocs build --strict

docs-version: env  ## add this version's documents to the branch gh-pages, where all versions lie beside each other
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/mike deploy --update-aliases $$($(BIN)/python -c "import afm_hf; print(afm_hf.__version__)") latest
	$(BIN)/mike set-default latest

.venv-min/ready: constraints-min.txt pyproject.toml
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --constraint constraints-min.txt --editable ".[eval,retrieval,synthesis]" $(TESTERS)
	.venv-min/bin/python scripts/fetch_common_tests.py
	@touch $@

test-min: .venv-min/ready  ## the fast tests with the lowest versions that are promised, in an environment of their own
	$(OFFLINE) .venv-min/bin/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

# and adapters, for which the newest transformers asks for a PEFT that is not yet released
test-common-min: .venv-min/ready  ## of these, what transformers asks of all models (some minutes)
	$(OFFLINE) .venv-min/bin/python -m pytest -n $(WORKERS) -m "not slow and not gpu" tests/transformers_common \
		tests/training/test_adapters.py tests/pipelines/test_label_cache_adapters.py

test-newest:  ## the fast tests with the newest versions there are, in an environment of their own
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable ".[eval,retrieval,synthesis]" $(TESTERS)
	.venv-newest/bin/python scripts/fetch_common_tests.py
	$(OFFLINE) .venv-newest/bin/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

release-check: env  ## wheel, sdist, an installation without the repository, the cost of the import
	$(BIN)/python scripts/release_check.py

bench: env  ## speed and memory beside their goals, as ratios against peers of the same run (twenty minutes); bench.json
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(OFFLINE) $(BIN)/python benchmarks/run_all.py --output bench.json

clean:
	rm -rf .venv .venv-min .venv-newest .venv.lock demo_output site dist .pytest_cache .mypy_cache .ruff_cache
