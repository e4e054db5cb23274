# Every target creates .venv when it is missing and installs only what is missing; a stamp file per layer remembers it.
#
#   make demo                every task on committed images, into outputs/demo
#   make demo IMAGE=path     segment an image of yours
#   make test                lint, types, unit and end-to-end tests
#   make lint                only lint and types
#   make site                the documentation as a site, into site/
#   make web                 the page of demo/web: onnxruntime-web and the exported default model
#   make test-browser        pages in a headless Chromium
#   make test-libraries      the libraries of other tools beside our readers and writers
#   make test-ray            bulk runs on a local Ray of two workers
#   make legs                a selection of tests with other versions of what xdet requires
#   make clean               remove everything that can be made again

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
IMAGE ?=
OUT_DIR ?= outputs/demo
# Processes that share the tests; each has one thread and needs up to 3 GB.
WORKERS ?= 2
CONSTRAINTS := requirements/constraints-ci.txt
# As an option, never as the variable PIP_CONSTRAINT: pip passes the variable on to the environments it builds in.
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(CONSTRAINTS)
RUN := $(VENV)/bin/python
# Gradio takes an older Pillow than the other tests are run with, so tests in a browser have an environment of their own,
# on top of the other.
BROWSER := $(VENV)-browser
BROWSER_TESTS = $(shell grep -rl 'mark.browser' tests --include='*.py')
# Likewise for the libraries of other tools.
LIBRARIES := $(VENV)-libraries
# And for Ray.
RAY := $(VENV)-ray
# A second environment sees what the first has.
define above
	@echo '[xdet] creating $(1)'
	@$(RUN) -m venv --clear --without-pip $(1)
	@$(RUN) -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(1)/bin/python -c 'import sysconfig as s; print(s.get_path("purelib"))')/below.pth"
endef
# Other versions of the requirements, see .ci/leg.py.
LEGS := lowest newest originals
CHECKED := $(addprefix xdet/,io structures models tasks evaluation video inference retrieval bulk \
	benchmarks visualization cli page apis export runtime serve datasets/exchange \
	model_zoo.py options.py editing.py distillation.py lazy.py registry.py)

# The first interpreter that runs and has a supported version (a name on PATH is not enough: it may be a version
# manager's stand-in). 3.11 is the one CI uses.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.10 python3 python; do \
	if "$$name" -c '$(SUPPORTED)' >/dev/null 2>&1; then echo "$$name"; break; fi; done)

.PHONY: help demo test test-browser test-libraries test-ray web lint check-lint pytest legs $(LEGS) site clean

help:
	@sed -n 's/^#   //p' Makefile

# ---------------------------------------------------------------------------------------------------- environment

$(VENV)/.stamp-venv:
	@if [ -z '$(PYTHON)' ]; then \
		echo 'error: no Python 3.10, 3.11 or 3.12 with the venv module was found; install one (Debian, Ubuntu:' \
			'apt-get install python3-venv) or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; fi
	@echo '[xdet] creating $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and alone: it is the big download, and a change of the other requirements then does not touch it.
$(VENV)/.stamp-torch: $(VENV)/.stamp-venv
	@echo '[xdet] installing torch and torchvision (the largest download, once)'
	@$(PIP) torch torchvision
	@touch $@

# mmcv comes as source. pip builds it in an isolated environment that has no torch, so its operators are not compiled:
# seconds instead of forty minutes, and xdet needs none of them (docs/get_started.md).
$(VENV)/.stamp-runtime: $(VENV)/.stamp-torch requirements/runtime.txt requirements/mim.txt $(CONSTRAINTS)
	@echo '[xdet] installing the requirements'
	@PIP_NO_BUILD_ISOLATION= MMCV_WITH_OPS= $(PIP) -r requirements/runtime.txt -r requirements/mim.txt
	@$(MAKE) --no-print-directory opencv
	@touch $@

$(VENV)/.stamp-xdet: $(VENV)/.stamp-runtime setup.py pyproject.toml
	@echo '[xdet] installing xdet (editable)'
	@PIP_NO_BUILD_ISOLATION= $(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.stamp-tests: $(VENV)/.stamp-xdet $(addprefix requirements/,tests.txt data.txt edit.txt export.txt lora.txt onnxruntime.txt openmmlab.txt retrieval.txt serve.txt)
	@echo '[xdet] installing the test requirements'
	@$(PIP) -r requirements/tests.txt
	@$(MAKE) --no-print-directory opencv
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-xdet requirements/docs.txt
	@echo '[xdet] installing what the site needs'
	@$(PIP) -r requirements/docs.txt
	@touch $@

# Two distributions write the same package `cv2`: opencv-python (mmcv asks for it by name; needs libGL.so.1) and
# opencv-python-headless (needs nothing). On a machine without libGL the headless files are put on top.
.PHONY: opencv
opencv:
	@if ! $(RUN) -c 'import cv2' 2>/dev/null; then \
		echo '[xdet] cv2 cannot be imported (usually libGL.so.1 is missing); using the headless build of OpenCV'; \
		$(PIP) --no-deps --force-reinstall opencv-python-headless; \
		$(RUN) -c 'import cv2'; fi

# -------------------------------------------------------------------------------------------------------- targets

demo: $(VENV)/.stamp-xdet
	@if [ -n '$(IMAGE)' ]; then $(RUN) demo/image_demo.py '$(IMAGE)' --out-dir '$(OUT_DIR)'; \
	else $(RUN) demo/tour.py --out-dir '$(OUT_DIR)'; fi

check-lint: $(VENV)/.stamp-tests
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy $(CHECKED)
	@$(RUN) tools/misc/make_model_zoo.py --check

pytest: $(VENV)/.stamp-tests
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(RUN) -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: check-lint

test:
	@$(MAKE) --no-print-directory check-lint
	@$(MAKE) --no-print-directory pytest

# The page of docs/export.md. Serve it with: python -m http.server --directory demo/web
WEB_RUNTIME := onnxruntime-web@1.30.0

web: $(VENV)/.stamp-tests
	@cd demo/web && npm install --no-save --no-audit --no-fund $(WEB_RUNTIME)
	@test -e demo/web/model/model.json || $(RUN) -m xdet export --tasks panoptic --out-dir demo/web/model

$(BROWSER)/.stamp: $(VENV)/.stamp-tests requirements/browser.txt requirements/page.txt
	$(call above,$(BROWSER))
	@$(BROWSER)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(CONSTRAINTS) \
		-r requirements/browser.txt
	@touch $@

test-browser: $(BROWSER)/.stamp
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BROWSER)/bin/python -m pytest -m browser $(BROWSER_TESTS) $(PYTEST_ARGS)

$(LIBRARIES)/.stamp: $(VENV)/.stamp-tests requirements/libraries.txt
	$(call above,$(LIBRARIES))
	@$(LIBRARIES)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --constraint $(CONSTRAINTS) \
		-r requirements/libraries.txt
	@touch $@

# What is missing fails here instead of being skipped.
test-libraries: $(LIBRARIES)/.stamp
	@XDET_TEST_LIBRARIES=1 OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(LIBRARIES)/bin/python -m pytest \
		$(shell grep -rl 'import library$$' tests --include='test_*.py') -k 'libraries or supervision' $(PYTEST_ARGS)

$(RAY)/.stamp: $(VENV)/.stamp-tests requirements/ray.txt
	$(call above,$(RAY))
	@$(RAY)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(CONSTRAINTS) \
		-r requirements/ray.txt
	@touch $@

test-ray: $(RAY)/.stamp
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(RAY)/bin/python -m pytest -m ray tests/test_bulk $(PYTEST_ARGS)

legs: $(LEGS)

$(LEGS): $(VENV)/.stamp-tests
	@$(RUN) .ci/leg.py $@

# Strict: a link to a page or heading that is not there is an error.
site: $(VENV)/.stamp-docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet --clean
	@echo 'the site is in site/index.html'

clean:
	rm -rf $(VENV) $(BROWSER) $(LIBRARIES) $(RAY) .venv-legs site build dist outputs work_dirs *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
