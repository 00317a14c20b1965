# Eddy: the commands that people, CI and the README share. `make help` lists them.
SHELL := /bin/bash
MAKEFLAGS += --jobs=2  # the broker is fetched while Python's packages are
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Which build of torch: where no GPU is found, the one for CPUs does all that Eddy asks of it.
TORCH  ?= $(shell { command -v nvidia-smi || ls -d /proc/driver/nvidia; } >/dev/null 2>&1 && echo cuda || echo cpu)
UV_INSTALL := $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python
# Tests run so many at a time, each worker with a broker of its own and one thread of linear algebra; what is compiled
# is kept for the hundreds of processes that they start. Half of the time they wait for services and browsers, so there
# is one worker more than cores, four at most; with two more what waits for a second or two fails now and then.
CORES   := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell echo $$(($(CORES) + 1)))
TEST := PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --maxprocesses 4 --dist loadscope --no-loadscope-reorder --durations=60
export PYTHONPATH := $(CURDIR)
export PYTHONDONTWRITEBYTECODE := 1

# What the chart's check needs besides Python; built from source, as there is nothing else to be had everywhere.
GO         ?= $(shell command -v go || echo /usr/local/go/bin/go)
HELM       := helm.sh/helm/v3/cmd/helm@v3.22.0
KUBE_SCORE := github.com/zegl/kube-score/cmd/kube-score@v1.20.0

.PHONY: help setup demo up down keys picture test unit bench evaluate simulate lint format clean audit test-cluster test-upgrade deploy-check deploy-tools images images-again compose-keys demo-model demo-history lock

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(VENV)/.warm build/kafka/classes.jsa ## the virtual environment and the broker's jars

$(VENV)/.ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Eddy needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "virtual environment: installing requirements.lock (torch takes a minute or two) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep -oE '^uv==[^ ]+' requirements.lock)"
	@# Every package is checked by its hash. The CPU build of torch comes from its makers' index, whose files have other
	@# hashes than the lock's: it is taken by exact version, without any of the CUDA packages. Where that index is out
	@# of reach, the default one has all.
	@awk '/^[^ ]/ {keep = !/^(triton|nvidia-|cuda-|torch==|torchvision==)/} keep' requirements.lock > $(VENV)/cpu.txt
	@awk '/^(torch|torchvision)==/ {print $$1}' requirements.lock > $(VENV)/torch.txt
	@if [ $(TORCH) = cpu ] && UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=1 $(UV_INSTALL) --torch-backend=cpu --dry-run \
	    --no-deps --reinstall -r $(VENV)/torch.txt 2>/dev/null; \
	  then $(UV_INSTALL) --require-hashes --no-deps -r $(VENV)/cpu.txt \
	    && $(UV_INSTALL) --torch-backend=cpu --no-deps -r $(VENV)/torch.txt; \
	  else $(UV_INSTALL) --require-hashes -r requirements.lock; fi
	@touch $@

# numba keeps what it has compiled beside the sources: nobody waits for it at a start.
$(VENV)/.warm: $(VENV)/.ready $(wildcard services/model/*.py)
	@echo "models: compiling what serves them (half a minute at most) …"
	@$(BIN)/python -m services.recommender.pipeline.warmup
	@touch $@

build/kafka/libs: infra/kafka/pom.xml
	@command -v java >/dev/null || { echo "Java 17 or newer is missing: install a JRE (Debian: apt-get install openjdk-17-jre-headless)"; exit 1; }
	@command -v mvn >/dev/null || { echo "Maven is missing: install it (Debian: apt-get install maven)"; exit 1; }
	@echo "broker: fetching Apache Kafka with Maven …"
	@rm -rf $@ && mkdir -p build/kafka
	@mvn -q -B -f infra/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$@.part
	@mv $@.part $@

build/kafka/classes.jsa: build/kafka/libs | $(VENV)/.ready
	@echo "broker: starting it once, so that it starts sooner from now on …"
	@$(BIN)/python -m infra.stack.broker

demo: setup ## the shop at http://127.0.0.1:8000, until Ctrl-C
	@$(BIN)/python -m infra.stack demo

up: setup ## the same in the background; returns when ready
	@$(BIN)/python -m infra.stack up

down: ## stops what `make up` or `make demo` started
	@test ! -x $(BIN)/python || $(BIN)/python -m infra.stack down

keys: ## addresses and keys of the stack that runs here: eval "$(make -s keys)"
	@$(BIN)/python -m infra.stack keys

picture: setup ## the README's moving picture, from the shop that `make up` started
	@$(BIN)/python -m infra.picture

test: setup ## all tests; how long each took is in build/tests.xml
	@$(TEST) -n $(WORKERS) tests --ignore=tests/benchmark --ignore=tests/cluster --ignore=tests/upgrade --junitxml=build/tests.xml

test-upgrade: setup ## rolls to this release and back with the code of the one before, out of git's history (10 min)
	@$(TEST) -n 0 tests/upgrade --junitxml=build/upgrade-tests.xml

test-cluster: setup ## three brokers, several of every service, and one fault after the other (10 min); writes build/cluster.json
	@$(TEST) -n 0 -s tests/cluster

unit: $(VENV)/.warm ## the tests that need milliseconds and no broker
	@$(TEST) -n $(WORKERS) -q --hypothesis-profile=quick tests/unit tests/contracts --junitxml=build/unit-tests.xml

bench: setup ## measures; writes build/bench/*.json
	@$(BIN)/python -m tests.benchmark

evaluate: $(VENV)/.ready ## how good the recommendations are, beside published figures (30 min)
	@$(BIN)/python -m tests.benchmark accuracy

simulate: $(VENV)/.warm ## what rows bring of simulated shoppers whose taste is known, beside other ways to make rows (10 min)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmark.simulate

deploy-tools: build/bin/helm build/bin/kube-score ## helm and kube-score into build/bin, built with Go (once; minutes)

build/bin/helm:
	@echo "helm: building it (some minutes, once) …"
	@GOBIN=$(CURDIR)/build/bin $(GO) install $(HELM)

build/bin/kube-score:
	@echo "kube-score: building it (some minutes, once) …"
	@GOBIN=$(CURDIR)/build/bin $(GO) install $(KUBE_SCORE)

lint: $(VENV)/.ready ## ruff, mypy --strict, import-linter, vulture (dead code)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/vulture
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

audit: $(VENV)/.ready ## known vulnerabilities of what is installed; needs pypi.org and npm's registry
	@$(BIN)/python -m infra.audit

format: $(VENV)/.ready ## what ruff can put right by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

demo-model: $(VENV)/.ready ## trains the demo's OpenCLIP checkpoint and measures it
	@$(BIN)/python -m storefront.demo.model

demo-history: $(VENV)/.warm ## simulates the demo's shoppers and learns from their visits
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m storefront.demo.shoppers train

COMPILE := $(BIN)/uv pip compile -q pyproject.toml --python-version 3.11 --no-header --no-annotate --generate-hashes
lock: $(VENV)/.ready ## pins what pyproject.toml asks for, with hashes; the images' locks are parts of it
	@$(COMPILE) --extra embedder --extra trainer --extra compiler --extra s3 --extra demo --extra dev -o requirements.lock
	@$(COMPILE) -c requirements.lock --extra trainer --extra s3 --extra demo -o infra/image/eddy.lock
	@$(COMPILE) -c requirements.lock --extra embedder -o infra/image/embedder.lock
	@for extra in sbom compiler; do \
	  sed -n "/^$$extra = \[/,/^]/s/^ *\"\([^\"]*\)\",.*/\1/p" pyproject.toml \
	  | $(subst pyproject.toml,-,$(COMPILE)) -c requirements.lock -o infra/image/$$extra.lock; done

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# The images' files have the time of the commit that they are made of.
DOCKER_BUILD := DOCKER_BUILDKIT=1 docker build -f infra/image/Dockerfile --build-arg TORCH=$(TORCH) \
  --build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct 2>/dev/null || echo 315532800) $(DOCKER_FLAGS)
images: ## the images eddy and eddy-embedder, and what is in each (build/images/*.cdx.json); DOCKER_FLAGS has more
	@mkdir -p build/images
	@for image in eddy eddy-embedder; do \
	  $(DOCKER_BUILD) --target sbom-$$image --output build/images . && \
	  $(DOCKER_BUILD) --target $$image -t $$image:$(VERSION) . || exit 1; done

images-again: $(VENV)/.ready ## builds eddy once more without a cache, and compares every file with the image that is there
	@DOCKER_FLAGS='$(DOCKER_FLAGS)' $(BIN)/python -m infra.deploy_check.rebuild eddy

compose-keys: ## infra/.env, the keys of `docker compose -f infra/compose.yaml up`
	@$(PYTHON) -m infra.compose_keys

deploy-check: $(VENV)/.ready ## images, compose files, charts and dashboards, as far as they can be checked here; PARTS="images compose"
	@$(BIN)/python -m infra.deploy_check $(PARTS)

clean: down ## removes what was built, the virtual environment too
	@rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
