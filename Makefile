# Two commands do everything on a fresh machine: `make demo` shows what probspec does, `make test` checks it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# One thread is far faster than two for the small steps of a fit, and leaves the other core free.
export OMP_NUM_THREADS := 1

.PHONY: demo test clean

demo: $(VENV)/has-demo
	$(BIN)/probspec demo --out demo --force

test: $(VENV)/has-test
	$(BIN)/ruff check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) demo dist

# torch comes first and alone: a free choice of its release pulls several GB of packages for a GPU.
$(VENV)/has-torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("probspec needs Python 3.11 or newer; name one: make PYTHON=python3.12 demo")'
	@echo "Making $(VENV) and installing into it; the first time takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	@touch $@

$(VENV)/has-demo: $(VENV)/has-torch pyproject.toml
	$(INSTALL) --editable .
	@touch $@

$(VENV)/has-test: $(VENV)/has-demo
	$(INSTALL) --editable '.[dev]'
	@touch $@
