# Every target works from a fresh clone, twice in a row, and from a path with a space.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: compare everything test fast check lint bench bench-check peers lock readme clean help

help:             ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

.venv/runtime: requirements.lock pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing what running a strategy needs (about 1.2 GB on disk, no torch)"
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --editable .
	@touch .venv/runtime

.venv/everything: .venv/runtime requirements-dev.lock
	@echo "installing what training, trading live and testing need (about 2.6 GB on disk in all)"
	@$(PIP) "torch==2.13.0"  # first: what asks for any torch would bring one with gigabytes of CUDA
	@$(PIP) -r requirements-dev.lock
	@touch .venv/everything

compare: .venv/runtime    ## Compare the three strategies on the embedded bars
	@$(PY) -m tradsys compare

everything: .venv/everything    ## Install what training, trading live and testing need; run nothing

test: .venv/everything    ## Run every test
	@$(PY) -m pytest -n 2 --dist loadfile

fast: .venv/everything    ## Run the tests that take seconds
	@$(PY) -m pytest -n 2 --dist loadfile tests/test_barriers.py tests/test_simulate.py tests/test_score.py tests/test_architecture.py

lint: .venv/everything
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

check: lint test          ## Format, lint, types, import ladder, tests

bench: .venv/everything   ## Measure against the peers, side by side
	@$(PY) -m benchmarks

bench-check: .venv/everything  ## Compare speeds with the last commit, or SINCE=COMMIT; ONLY=kernel,sweep; exit 1 if one is a quarter slower
	@$(PY) -m benchmarks.check --only=$(ONLY) $(SINCE)

peers: .venv/everything   ## Install PyBroker, NautilusTrader and freqtrade, each for itself, for the parity tests
	@$(PY) -m tests.peers.packages

readme: .venv/everything  ## Run README's commands and paste what they print
	@$(PY) -m tests.readme

lock:                     ## Resolve the locks anew (needs uv)
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q pyproject.toml -o requirements.lock
	printf 'torch; python_version < "3"\n' > .venv/no-torch.txt  # its index entry pulls gigabytes that a CPU never uses
	printf 'networkx\njinja2\nfsspec\nfilelock\nsympy\n' > .venv/torch-needs.in
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q \
		--override .venv/no-torch.txt --extra research --extra live --extra cluster --extra dev pyproject.toml .venv/torch-needs.in -o requirements-dev.lock

clean:                    ## Remove what was built
	rm -rf .venv build *.egg-info reports .pytest_cache .mypy_cache .ruff_cache
