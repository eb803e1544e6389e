# neuroarrays: `make` lists what there is. Needs Python 3.11 or later, pip and make; everything else goes
# into .venv. Another interpreter: make PYTHON=/path/to/python3.12 ... . More options for pip: make PIPFLAGS=...

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lowest with-peers peers peers-remote mutate lint docs bench clean
# Bytecode is kept, also where the shell says otherwise: every process that a test starts would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
# The first interpreter of this list that is at least 3.11.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; exit; }; done; echo python3)
endif
BIN := $(VENV)/bin
# Quiet: errors only.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install -qq \
	-c $(CONSTRAINTS) $(PIPFLAGS)
# Arguments for pytest, for example: make test ARGS="-k kernels -x"; tests run in so many processes.
ARGS ?=
JOBS ?= 2

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp for the package with its extras, one for the tests, one for the documentation. A stamp is renewed
# when pyproject.toml or the constraints change; otherwise nothing is installed a second time.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("neuroarrays needs Python 3.11 or later, and $(PYTHON) is %d.%d; say make PYTHON=..." % v[:2])'
	@if [ ! -x $(BIN)/python ]; then echo "Creating $(VENV) with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv $(VENV); fi
	@echo "Updating pip in $(VENV) ..."
	@$(PIP) --upgrade pip
	@echo "Installing torch (CPU) ..."
	@$(PIP) torch
	@echo "Installing neuroarrays and what it needs ..."
	@$(PIP) --build-constraint $(CONSTRAINTS) -e ".[all]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --group test --group peers --group lint
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the documentation needs ..."
	@$(PIP) --group docs --group test
	@touch $@

install: $(VENV)/.installed  ## Set up .venv with the package and all its extras

demo: $(VENV)/.installed  ## Open the bundled recording, align it, plot it, train on it
	@echo "Running the demo ..."
	@$(BIN)/neuroarrays demo

# Both run, and either can fail the target; pytest comes last so that its summary is what one sees.
test: $(VENV)/.installed-test  ## Check the code with ruff, then run the tests
	@echo "Checking the code with ruff ..."; \
	$(BIN)/ruff check --quiet .; style=$$?; \
	echo "Running the tests ..."; \
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS); tests=$$?; \
	if [ $$tests -ne 0 ]; then exit $$tests; fi; exit $$style

# An environment of its own, with the oldest versions that pyproject.toml allows.
lowest:  ## Run the tests with the oldest versions that are supported
	@$(MAKE) --no-print-directory VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt with-peers

$(VENV)/.installed-peers: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --group test --group peers
	@touch $@

with-peers: $(VENV)/.installed-peers
	@echo "Running the tests ..."
	@$(BIN)/python -m pytest $(ARGS)

# An environment of its own for each peer, laid over $(VENV): what it brings along stays there. torch and the other
# versions stay those of the constraints. One of them: make peers PEERS=flox
PEERS ?= flox lightning neuralpredictors openretina driada torch_brain
# What a peer imports and does not say.
WITH_neuralpredictors := scikit-image
# open-retina's own requirements cannot be met with these constraints (pip falls back on 0.1.0): this release as it is,
# and beside it what its data, models, training and evaluation import.
ALONE_openretina := openretina==1.1.1 moviepy==2.2.1
WITH_openretina := decorator einops huggingface_hub hydra-core imageio imageio-ffmpeg ipython jaxtyping lightning \
	omegaconf opencv-python-headless proglog psutil python-dotenv requests seaborn tenacity
peers: $(PEERS:%=peer-%)  ## Compare with other packages, each in an environment of its own

$(VENV)-peers/%/.installed: $(VENV)/.installed-test
	@echo "Installing $* in $(@D) ..."
	@$(BIN)/python -m venv --without-pip $(@D)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth"
	@PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(@D)/bin/python -m pip install -qq \
		-c $(CONSTRAINTS) $(PIPFLAGS) $(if $(ALONE_$*),,$*) $(WITH_$*)
	@$(if $(ALONE_$*),PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(@D)/bin/python -m pip install -qq \
		--no-deps $(PIPFLAGS) $(ALONE_$*))
	@touch $@

# For benchmarks/bench_remote.py: readers of files behind an address. lazynwb wants zarr below 3, which stays in there,
# and s3fs, whose requirements pip does not solve in minutes.
ALONE_remote := lazynwb==1.0.0 zarr==2.18.7 numcodecs==0.15.1 asciitree fasteners s3fs aiobotocore botocore boto3 \
	jmespath s3transfer universal-pathlib pathlib_abc
WITH_remote := remfile aiohttp aioitertools aiosqlite wrapt pydantic pydantic-settings python-dotenv pyarrow
peers-remote: $(VENV)-peers/remote/.installed  ## Set up the peers that benchmarks/bench_remote.py measures beside us

.PRECIOUS: $(VENV)-peers/%/.installed
peer-%: $(VENV)-peers/%/.installed
	@echo "Comparing with $* ..."
	@$(VENV)-peers/$*/bin/python -m pytest --peer $* $(ARGS) $$(grep -rl --include="test_*.py" "\"$*\"" tests)

# Not part of `make test`: minutes for a sample of 30. Rooms and size: make mutate ARGS="tree lazy -n 100 --seed 1"
mutate: $(VENV)/.installed-test  ## Make small errors in memory and see whether the tests notice
	@$(BIN)/python tests/mutate.py $(ARGS)

# CI runs this target, and a commit the same hooks: .pre-commit-config.yaml has them.
lint: $(VENV)/.installed-test  ## Style, formatting, spelling, the order of the rooms, types
	@echo "Running the hooks of a commit ..."
	@$(BIN)/pre-commit run --all-files
	@echo "Checking the order of the rooms ..."
	@$(BIN)/lint-imports --no-cache >$(VENV)/lint-imports.txt || { cat $(VENV)/lint-imports.txt; exit 1; }
	@echo "Checking types ..."
	@$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## Build the documentation; warnings are errors
	@echo "Building the documentation ..."
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

bench: $(VENV)/.installed-test  ## Run the benchmarks in their small size
	@for script in $(sort $(wildcard benchmarks/bench_*.py)); do echo "Running $$script ..."; $(BIN)/python $$script --small || exit 1; done

clean:  ## Remove .venv and everything that was built
	@echo "Removing $(VENV), caches and builds ..."
	@rm -rf $(VENV) $(VENV)-peers .venv-lowest build dist docs/_build docs/_generated .pytest_cache .hypothesis .mypy_cache .ruff_cache .coverage coverage.xml
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
