# Every target makes what it needs; a second run finds it made.
PYTHON ?= python3
# `make test PYTHON=python3.12` gets an environment of its own where .venv has another version of Python.
ifneq ($(origin PYTHON),file)
ASKED  := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
$(if $(ASKED),,$(error '$(PYTHON)' does not run: install this version of Python, or give its path as PYTHON=))
MADE   := $(shell sed -n 's/^version\(_info\)\{0,1\} *= *\([0-9]*\.[0-9]*\).*/\2/p' .venv/pyvenv.cfg 2>/dev/null)
OTHER  := $(if $(MADE),$(if $(filter $(ASKED),$(MADE)),,-$(ASKED)))
endif
VENV   := .venv$(OTHER)
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
UVPIP  := $(UV) pip install --quiet --python $(BIN)/python
EXPORT  = --no-emit-index-url --no-emit-find-links --no-header
# Networks of other frameworks are tested in an environment of their own: theirs need other packages than ours.
MODELS := .venv-models$(OTHER)
# So are the libraries of other programs that read what is exported: copick 1 needs version 2 of zarr.
FORMATS := .venv-formats$(OTHER)
# And what benchmarks compare with.
BENCH  := .venv-bench$(OTHER)
TORCH   = $(shell grep ^torch== requirements/models-overrides.txt)
# The page's sources need Node; nobody else does, because the built page is in the repository.
WEB    := services/gateway/web
NODE   := $(if $(shell command -v npm 2>/dev/null),$(WEB)/node_modules/.package-lock.json)
HONCHO := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho

.DEFAULT_GOAL := help
.PHONY: help demo run desktop check test test-models bench bench-quick lint docs web dist resolve lock chaos fuzz clean

help:            ## Show what there is
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+: +##' Makefile | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt

# The editable install needs the build backend from the same lock, so nothing is fetched that has no hash.
$(VENV)/.server: requirements/server.txt pyproject.toml | $(BIN)/python
	$(UVPIP) --require-hashes -r requirements/server.txt
	$(UVPIP) --no-deps --no-build-isolation --editable .
	touch $@

# Hundreds of processes start in the tests, and where Python may not write bytecode, each would compile all it imports.
$(VENV)/.dev: requirements/dev.txt requirements/no-deps.txt pyproject.toml | $(BIN)/python
	$(UVPIP) --compile-bytecode --require-hashes -r requirements/dev.txt
	$(UVPIP) --no-deps --require-hashes -r requirements/no-deps.txt
	$(UVPIP) --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.server

$(VENV)/.desktop: requirements/desktop.txt pyproject.toml | $(BIN)/python
	$(UVPIP) --require-hashes -r requirements/desktop.txt
	$(UVPIP) --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.server

# PyTorch's CPU build is not in every package index, and the build with CUDA takes gigabytes: pip looks for it where it is
# configured to (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL). All else is locked without CUDA and without torchvision, whose
# build for CUDA cannot be imported beside the CPU build.
$(MODELS)/.models: requirements/models.txt requirements/models-overrides.txt pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv $(MODELS)
	$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(UV) pip install --quiet --compile-bytecode --python $(MODELS)/bin/python --no-deps --require-hashes -r requirements/models.txt
	$(UV) pip install --quiet --python $(MODELS)/bin/python --no-deps --no-build-isolation --editable .
	touch $@

# ahds is built here, which needs numpy.
$(FORMATS)/.formats: requirements/formats.txt requirements/formats-build.txt | $(BIN)/python
	$(PYTHON) -m venv $(FORMATS)
	$(UV) pip install --quiet --compile-bytecode --python $(FORMATS)/bin/python --no-deps --require-hashes -r requirements/formats.txt
	$(UV) pip install --quiet --python $(FORMATS)/bin/python --no-deps --no-build-isolation --require-hashes -r requirements/formats-build.txt
	touch $@

$(BENCH)/.bench: requirements/bench.txt pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv $(BENCH)
	$(UV) pip install --quiet --compile-bytecode --python $(BENCH)/bin/python --require-hashes -r requirements/bench.txt
	$(UV) pip install --quiet --python $(BENCH)/bin/python --no-deps --no-build-isolation --editable .
	touch $@

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json $(WEB)/package.json
	npm ci --prefix $(WEB) --silent
	touch $@

demo: $(VENV)/.server      ## Synthetic tomogram through all services: mask, score, picture
	$(BIN)/cryomamba demo --out demo

run: $(VENV)/.server       ## Start broker, inference and gateway; Ctrl-C ends them
	$(HONCHO) start

desktop: $(VENV)/.desktop  ## Open the desktop (napari)
	$(BIN)/cryomamba desktop $(ARGS)

# No services, browser, window or fuzzers.
check: $(VENV)/.dev        ## The unit tests, in under a minute
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not system and not browser and not desktop and not slow" \
		tests/sdk tests/common tests/broker/store tests/inference tests/docs tests/packaging $(ARGS)

# Tests wait a lot, so four processes keep two cores busy. The tests of the desktop run with both bindings of Qt.
test: $(VENV)/.dev $(FORMATS)/.formats $(NODE) ## The whole suite
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(if $(ARGS),,QT_API=pyside6 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not system" tests/desktop)

# Threads that wait for one another take a multiple of the time where two processes share two cores.
test-models: $(MODELS)/.models  ## The tests of networks of PyTorch, nnU-Net, MemBrain-seg and Keras
	KERAS_BACKEND=torch OMP_NUM_THREADS=1 $(MODELS)/bin/python -m pytest -n 2 --dist loadfile $(or $(ARGS),tests/models)

fuzz: $(VENV)/.dev         ## All fuzzers for long: 5 minutes a parser, 10,000 broken volumes; SEED=n
	FUZZ_SEED=$(or $(SEED),$(shell echo $$$$)) FUZZ_EXAMPLES=150 FUZZ_SECONDS=300 FUZZ_ALL=1 FUZZ_FILES=10000 \
		$(BIN)/python -m pytest -v -s -o faulthandler_timeout=0 tests/gateway/test_schemathesis.py tests/fuzz $(ARGS)

chaos: $(VENV)/.dev        ## 200 jobs under SIGKILL, SIGSTOP, full disks, broken links; SEED=n JOBS=n
	CHAOS_SEED=$(or $(SEED),$(shell echo $$$$)) CHAOS_JOBS=$(or $(JOBS),200) CHAOS_EXHAUST=1 $(BIN)/python -m pytest -v -o faulthandler_timeout=0 tests/system/chaos $(ARGS)

bench: $(BENCH)/.bench     ## Measure, in about half an hour, and write the results page; ARGS=NAME runs one
	$(BENCH)/bin/python -m benchmarks $(ARGS)

bench-quick: $(BENCH)/.bench ## Measure ratios in 5 minutes, and compare them with the committed ones
	$(BENCH)/bin/python -m benchmarks --quick $(ARGS)

lint: $(VENV)/.dev $(NODE) ## Style, strict types, import contracts, security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	for platform in win32 darwin; do \
		$(BIN)/mypy --platform $$platform --cache-dir .mypy_cache/$$platform sdk services/common cli desktop || exit 1; \
	done
	$(BIN)/lint-imports
	$(if $(NODE),npm run --silent --prefix $(WEB) types)
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml sdk services cli desktop docs

# With --quiet, warnings would neither be shown nor end the build.
docs: $(VENV)/.dev         ## Build the documentation into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

resolve: | $(BIN)/python   ## Check that every extra has wheels on Linux, macOS and Windows, Python 3.11 to 3.14; EXTRAS="base tomo"
	.ci/try-resolve $(UV) $(EXTRAS)

web: $(WEB)/node_modules/.package-lock.json ## Build the browser page into the gateway (needs Node)
	npm run --silent --prefix $(WEB) build

dist: $(VENV)/.dev         ## Build wheel and sdist, and try every extra in a new environment; EXTRAS="base tomo"
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	.ci/try-dist $(BIN)/python dist $(EXTRAS)

# Of these the tests use a part that does not need what they ask for, or asks for versions that others do not.
ALONE := "neuroglancer>=2.41; sys_platform == 'linux' and platform_machine == 'x86_64'" \
	"openapi-python-client>=0.29" "ruamel.yaml>=0.18"
# The dependencies of networks of other frameworks are locked by themselves.
DEV_EXTRAS    := tomo inference gateway server otel desktop desktop-pyside6 convert dask
BENCH_EXTRAS  := server desktop convert dask
MODEL_EXTRAS  := inference convert nnunet membrain

lock: | $(BIN)/python      ## Lock the dependencies again, with hashes
	echo "uv" | $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) - -o requirements/bootstrap.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) pyproject.toml $(addprefix --extra ,$(DEV_EXTRAS)) --group dev -o requirements/dev.txt
	printf '%s\n' $(ALONE) | $(UV) pip compile -q --no-deps --no-annotate --universal --python-version 3.11 --generate-hashes $(EXPORT) - -o requirements/no-deps.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) pyproject.toml --extra desktop --group build -c requirements/dev.txt -o requirements/desktop.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) pyproject.toml --extra server --group build -c requirements/dev.txt -o requirements/server.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) pyproject.toml $(addprefix --extra ,$(MODEL_EXTRAS)) --group models --override requirements/models-overrides.txt --no-emit-package torch -c requirements/dev.txt -o requirements/models.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) pyproject.toml $(addprefix --extra ,$(BENCH_EXTRAS)) --group bench -c requirements/dev.txt -o requirements/bench.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes $(EXPORT) --group formats --no-emit-package ahds -o requirements/formats.txt
	grep ahds pyproject.toml | grep -o 'ahds>=[0-9.]*' | $(UV) pip compile -q --no-deps --no-annotate --universal --python-version 3.11 --generate-hashes $(EXPORT) - -o requirements/formats-build.txt

clean:           ## Remove the environment and everything made
	rm -rf $(VENV) $(MODELS) $(FORMATS) $(BENCH) .venv .venv-* $(WEB)/node_modules demo dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
