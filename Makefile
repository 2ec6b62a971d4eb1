# Nightshift. `make help` lists what there is; every target does the set-up it needs.
# It needs Python 3.11 to 3.13, make, and a package index.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
UV_VERSION := 0.13.9
VENV := .venv
PY := $(VENV)/bin/python

export UV_PROJECT_ENVIRONMENT := $(VENV)
# Compiled once here, or else by every process that imports TensorFlow: 3.6 s instead of 11 s, each time.
export UV_COMPILE_BYTECODE := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2
# buildah keeps layers only when asked to.
export BUILDAH_LAYERS := true

.DEFAULT_GOAL := help

.PHONY: help
help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.synced ## the virtual environment, with locked versions

$(VENV)/.synced: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python %d.%d found, 3.11 to 3.13 expected; make PYTHON=..." % sys.version_info[:2])'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@test -x $(VENV)/bin/uv || $(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(VENV)/bin/uv sync --frozen --quiet --extra train --extra cpu
	@touch $@

.PHONY: run
run: setup ## the whole workflow: train, judge, release two models and ask both endpoints
	$(PY) -m pipelines.run digits puzzle

.PHONY: test
test: setup ## lint, types and tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m pytest -m "not cluster and not soak"

.PHONY: test-cluster
test-cluster: setup ## on a real Kubernetes: manifests, releases, rollbacks, kills; with KFP_ENDPOINT also runs and schedules
	$(PY) -m pytest tests/cluster -m "cluster and not soak and not trainer" --timeout 900

.PHONY: test-trainer
test-trainer: setup ## on a real Kubernetes with Kubeflow Trainer: training on 1, 2 and 3 nodes, kills, preemption (half an hour)
	$(PY) -m pytest tests/cluster -m "trainer and not soak" --timeout 900

.PHONY: test-soak
test-soak: setup ## the same in full counts: 20 releases and 5 rollbacks under load, 20 kills
	$(PY) -m pytest tests/cluster -m soak --timeout 3600

.PHONY: test-workers
test-workers: setup ## on this machine: 1, 2 and 3 workers: losses on the same batches, the accuracy of whole trainings (an hour)
	$(PY) -m pytest tests/training -s -m "soak and not cluster" --timeout 3600

.PHONY: test-releases
test-releases: setup ## on this machine in full counts: 50 kills on disk and in a bucket, 20 releases and 5 rollbacks under load
	$(PY) -m pytest tests/serving -m "soak and not cluster" --timeout 3600

.PHONY: results
results: setup ## the tables of docs/results.md, on the data in DATA=DIR (ONLY="fashion digits.blog" SEEDS=0); hours, resumable
	@test -n "$(DATA)" || { echo "results: DATA=DIR is missing, the folder of data that docs/results.md describes" >&2; exit 1; }
	$(PY) -m benchmarks.results "$(DATA)" $(ONLY:%=--only %) $(SEEDS:%=--seeds %)

.PHONY: benchmark-serving
benchmark-serving: setup ## the model server's latency and throughput, beside what bounds it (ARGS="--headline"); docs/load.md
	$(PY) -m benchmarks.serving $(ARGS)

.PHONY: lint
lint: setup ## tidy the sources
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: compile
compile: setup ## the pipelines as YAML, to be uploaded in the Kubeflow UI
	$(PY) -m pipelines.compile

# Images. A docker client without an engine does not build, nor does a podman that may not; the first that works is used.
REGISTRY ?= localhost
TAG ?= dev
IMAGES ?= train train-gpu serve
ENGINE ?= $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && { echo $$engine; break; }; done)
VERSION := $(shell sed -n '1,/^version/s/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: image
image: $(IMAGES:%=image-%) ## the images nightshift/train, train-gpu and serve (IMAGES=... TAG=... ENGINE=...)

.PHONY: $(IMAGES:%=image-%)
$(IMAGES:%=image-%): image-%:
	@test -n "$(ENGINE)" || { echo "no engine builds images here: docker, podman or buildah is needed" >&2; exit 1; }
	$(ENGINE) build --network host --target $* --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --tag $(REGISTRY)/nightshift/$*:$(TAG) $(ENGINE_FLAGS) .

.PHONY: serve
serve: setup ## the model server, on what has been released
	$(VENV)/bin/nightshift serve

.PHONY: clean
clean: ## take away the environment and the caches, not the workspace
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
