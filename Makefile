# Everything starts from a machine that has Python 3.11 with pip: each target makes the environment it needs in .venv.

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The package as an ordinary tree. mypy and import-linter do not follow the import hook of an editable install.
TREE := $(CURDIR)/$(VENV)/tree

.PHONY: explore fuzz help setup demo test lint types unit verify bench docs constraints clean

help: ## Show the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make the environment in .venv.

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	@# Some systems ship Python without ensurepip; their pip can install one into the new environment.
	"$(PYTHON)" -m venv --clear $(VENV) || { "$(PYTHON)" -m venv --clear --without-pip $(VENV) && \
		"$(PYTHON)" -m pip --python $(BIN)/python install --quiet pip; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

demo: $(STAMP) ## From YAML to results: check, build, run and verify one problem.
	@BIN=$(BIN) sh examples/demo.sh

test: lint types unit ## Lint, types and all tests.

lint: $(STAMP) ## Style, formatting and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory tree
	cd $(TREE) && PYTHONPATH=$(TREE) ../bin/lint-imports --config $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.import_linter_cache

types: $(STAMP) ## mypy, strict, over the whole package.
	@$(MAKE) --no-print-directory tree
	cd $(TREE) && MYPYPATH=$(TREE) ../bin/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p vspec

# Copies keep their times, so that both tools reuse what they know of unchanged files.
.PHONY: tree
tree:
	@rm -rf $(TREE) && mkdir -p $(TREE)/vspec
	@cp -Rp vspec/. $(TREE)/vspec/
	@cp -Rp compiler runtime schemas specs $(TREE)/vspec/

unit: $(STAMP) ## The tests.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

explore: $(STAMP) ## The tests, where properties are tried on examples that no run has seen.
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

fuzz: $(STAMP) ## 100000 mutated specs: nothing but coded diagnostics.
	$(BIN)/python -m tests.fuzz 100000

verify: $(STAMP) ## Run every shipped spec at full size and judge its claims.
	$(BIN)/vspec verify specs/

bench: $(VENV)/.peers ## Time emitted programs against hand-written JAX and against other libraries.
	$(BIN)/python -m benchmarks

$(VENV)/.peers: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[bench]'
	@touch $@

docs: $(STAMP) ## Write the reference pages anew.
	$(BIN)/python -m docs.generate

constraints: $(STAMP) ## Pin what is installed in .venv.
	@grep '^#' constraints.txt > $(VENV)/constraints.txt
	@$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | grep '==' >> $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt && touch $(STAMP)

clean: ## Remove everything that can be made again.
	rm -rf $(VENV) build dist results *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
