# Every target sets itself up in .venv; later runs install nothing again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := python -m pip --disable-pip-version-check
INSTALL := $(BIN)/$(PIP) install
OLDEST := .venv-oldest
OP_TESTS := tests/ops $(wildcard $(patsubst %,tests/test_%*.py,affine artefacts extension torchvision visibility))
KERNELS := $(shell find csrc -name '*.cpp' -o -name '*.cu' -o -name '*.h')

.PHONY: help install test oldest affnist bench gpu lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo "ARGS=... is passed on by test, oldest, affnist and bench; PYTHON=... makes the .venv"

install: $(VENV)/installed  ## build the kernels, install everything into .venv

test: $(VENV)/installed  ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Outside the clone, where the tests would find its compositor before the wheel's.
oldest: $(OLDEST)/installed  ## test the op's wheel on the oldest PyTorch, in .venv-oldest
	rm -rf dist build/oldest
	$(OLDEST)/bin/python -m build --no-isolation
	$(OLDEST)/bin/$(PIP) install --no-deps --force-reinstall dist/*.whl
	mkdir -p build/oldest
	cp -r tests csrc pyproject.toml build/oldest
	cd build/oldest && ../../$(OLDEST)/bin/python -m pytest -n auto $(OP_TESTS) $(ARGS)

affnist: $(VENV)/installed  ## train on AffNIST, writing to runs/affnist
	$(BIN)/python -m trainers.affnist $(ARGS)

bench: $(VENV)/installed  ## measure the operations and their peers
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
	rm -rf $(VENV) $(OLDEST) build dist *.egg-info compositor/*.so .benchmarks .mypy_cache .pytest_cache .ruff_cache

# In two steps, so that rebuilding a changed kernel does not download PyTorch again.
$(VENV)/tools:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch torchvision numpy setuptools ninja
	touch $@

# vision-synthesis asks for opencv-python, which would overwrite opencv-python-headless.
$(VENV)/installed: $(VENV)/tools setup.py pyproject.toml compositor/ops/schemas.py $(KERNELS)
	$(INSTALL) --no-build-isolation -e ".[trainers,dev]"
	$(INSTALL) --no-deps vision-synthesis==0.1.0
	touch $@

# With a numpy that Triton 3.6's interpreter supports.
$(OLDEST)/installed:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/$(PIP) install "torch==2.11.*" torchvision "numpy<2.4" "setuptools>=77" ninja build \
	  pytest pytest-xdist opencv-python-headless
	touch $@
