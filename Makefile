# Every target sets itself up in .venv; a second run installs nothing again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install
KERNELS := $(shell find csrc -name '*.cpp' -o -name '*.cu' -o -name '*.h')

.PHONY: help install test affnist bench gpu lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo "ARGS=... goes to the command of test, affnist and bench; PYTHON=... makes the .venv"

install: $(VENV)/installed  ## build the kernels, install everything into .venv

test: $(VENV)/installed  ## run the tests
	$(BIN)/python -m pytest $(ARGS)

affnist: $(VENV)/installed  ## train on AffNIST, into runs/affnist
	$(BIN)/python -m trainers.affnist $(ARGS)

bench: $(VENV)/installed  ## measure the operation beside its peers
	$(BIN)/python -m benchmarks $(ARGS)

gpu:  ## build, test and measure on a GPU, with PYTHON's torch and no network
	PYTHON=$(PYTHON) .ci/gpu

lint: $(VENV)/installed  ## check style and types, Python and C++
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict compositor
	$(BIN)/mypy trainers benchmarks examples setup.py
	$(BIN)/clang-format --dry-run -Werror $(KERNELS)

clean:  ## remove .venv and everything built
	rm -rf $(VENV) build *.egg-info compositor/*.so .benchmarks .mypy_cache .pytest_cache .ruff_cache

# In two steps, so that a changed kernel is rebuilt without PyTorch being fetched again.
$(VENV)/tools:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch torchvision numpy setuptools ninja
	touch $@

$(VENV)/installed: $(VENV)/tools setup.py pyproject.toml $(KERNELS)
	$(INSTALL) --no-build-isolation -e ".[trainers,dev]"
	touch $@
