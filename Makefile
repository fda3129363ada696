# `make demo` and `make test` do all the set-up they need. Everything runs from .venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check lint types docs lock benchmark clean
export PYTHON
BIN := .venv/bin

help:
	@echo "make demo       set up, then train, evaluate and report on synthetic radiographs (under 4 minutes)"
	@echo "make test       set up, then run the tests (under 8 minutes)"
	@echo "make test-slow  the tests that take longest: kills at random moments, two nodes, a database that restarts"
	@echo "make check      lint, types, documentation"
	@echo "make setup      the set-up alone"
	@echo "make benchmark  the speed comparisons (long; results under benchmarks/)"

setup:
	@scripts/setup

demo: setup
	$(BIN)/pulmoscope demo --out demo

# A process a core, each with one thread: small tests gain nothing from more. Files stay whole, so that fixtures are made once.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n auto --dist loadfile

check: lint types docs

lint: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: setup
	$(BIN)/mypy

docs: setup
	$(BIN)/python scripts/check_docs.py
	$(BIN)/python -m pytest -q --doctest-modules src/pulmoscope

lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra ray --extra postgres --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url -o requirements.lock

benchmark: setup
	for job in against_plain augmentation million_rows kill_resume real_data published transfer epoch_swing many_heads sweep_kills score_files explain_speed; do $(BIN)/python benchmarks/$$job.py || exit 1; done

clean:
	rm -rf .venv demo .pytest_cache .mypy_cache .ruff_cache
