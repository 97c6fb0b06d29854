# Switchyard. `make demo` shows the main job on real data; `make test` passes the tests. Both set everything up themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

SWITCHYARD_CACHE ?= $(HOME)/.cache/switchyard
export SWITCHYARD_CACHE
export UV_CACHE_DIR := $(SWITCHYARD_CACHE)/uv
export UV_SYSTEM_CERTS := true
export UV_LINK_MODE := copy
export PYTHONPATH := $(CURDIR)/tests/support
export BENTOML_DO_NOT_TRACK := true
# Hundreds of processes are started, and each would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
STORY ?= main
SHORT ?=
PYTEST_ARGS ?=
TOUCHED ?=
UV_HASH := $(shell sha256sum locks/uv.txt 2>/dev/null | cut -c1-12)
UV := $(SWITCHYARD_CACHE)/bin/uv-$(UV_HASH)/bin/uv
BIN := .venv/bin
GATEWAY_BIN := .venv-gateway/bin
DEMO_BIN := .venv-demo/bin
PARTS := services/contracts services/profile operator services/feedback services/monitor services/cli
STAGE := tests/support/stage.sh
BESIDE := tests/support/beside.sh
REPORTS := $(CURDIR)/build/reports
# Unit tests share nothing but their module's fixtures.
ON_ALL_CORES := --numprocesses auto --dist loadscope
# Cluster tests mostly wait, each in a namespace of its own.
IN_TWOS := --numprocesses 2 --dist worksteal
# Tests of a contract module share a broker or an API server; the longest modules come first by name.
MODULES_IN_TWOS := --numprocesses 2 --dist loadscope --no-loadscope-reorder

##@ Main
.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*##"; printf "\nUsage: make \033[36m<target>\033[0m\n"} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-zA-Z_-]+:.*?##/ {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Run the main job on real data: deploy, observe, roll out, roll back (STORY=main|no-difference|swapped, SHORT=1)
	@$(PYTHON) -m switchyard_testkit.machine announce demo
	@$(STAGE) environments 240 $(MAKE) venv venv-demo
	@$(STAGE) cluster-and-images 1200 $(BESIDE) images 0 "$(MAKE) build-images" $(MAKE) cluster SLOT=demo
	@$(STAGE) push-images 300 $(MAKE) images SLOT=demo
	@$(STAGE) story-$(STORY)$(if $(SHORT),-short) 600 $(MAKE) story

.PHONY: test
test: ## Set everything up, then pass the unit, contract, browser and cluster tests
	@$(PYTHON) -m switchyard_testkit.machine announce test
	@rm -rf $(REPORTS) && mkdir -p $(REPORTS)
	@$(STAGE) environments 240 $(MAKE) venv venv-gateway venv-demo
	@$(STAGE) cluster-and-images 1200 $(BESIDE) images 0 "$(MAKE) build-images" $(MAKE) cluster SLOT=test
	@$(STAGE) push-images 300 $(MAKE) images SLOT=test
	@$(STAGE) gateway-and-browser 480 $(BESIDE) browser 0 "$(MAKE) test-browser" $(MAKE) lint-chart test-contract-gateway
	@$(BESIDE) pure 19 "$(MAKE) test-pure" $(MAKE) test-real
	@$(BIN)/python -m switchyard_testkit.tally $(REPORTS)

# Cluster tests that have the parts to themselves wait for more than half of their time. Contract tests need no cluster
# and run behind them, but for the gateway's: a data plane that starves drops copies, as it should.
.PHONY: test-real
test-real:
	@$(STAGE) cluster-shared 700 $(MAKE) test-cluster-shared
	@$(BESIDE) contract 5 "$(STAGE) contract 1500 $(MAKE) test-contract-parts" \
	  $(STAGE) cluster-alone 1800 $(MAKE) test-cluster-alone

# What only computes. `make test` runs it behind the cluster tests, so one of its tests may take long without hanging.
.PHONY: test-pure
test-pure: PYTEST_ARGS += --timeout 900
test-pure:
	@$(STAGE) lint-and-types 600 $(MAKE) lint types check-generated
	@$(STAGE) unit 1500 $(MAKE) test-unit PYTEST_ARGS="$(PYTEST_ARGS)"
	@$(STAGE) rules 400 $(MAKE) test-rules

.PHONY: check
check: venv venv-gateway lint types check-generated test-unit test-contract lint-chart ## Everything quick: lint, types, generated files, unit and contract tests (TOUCHED="path …" adds cluster tests)
	@if [ -n "$(TOUCHED)" ]; then $(MAKE) test-cluster CLUSTER_TESTS="$(TOUCHED)"; fi

.PHONY: doctor
doctor: ## Say what this machine has, what is missing, and what would be installed
	@$(PYTHON) -m switchyard_testkit.machine doctor

.PHONY: down
down: ## Take down every cluster that was started here and leave nothing behind (the cache stays)
	@$(PYTHON) -m switchyard_testkit.cluster down --all

##@ Parts of the way
.PHONY: venv
venv: .venv/.synced ## Make the developer's environment from its lock
.venv/.synced: locks/dev.txt locks/uv.txt $(addsuffix /pyproject.toml,$(PARTS))
	@$(MAKE) uv
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes locks/dev.txt
	@$(UV) pip install -q --python $(BIN)/python --no-deps $(addprefix -e ,$(PARTS))
	@touch $@

.PHONY: venv-gateway
venv-gateway: .venv-gateway/.synced ## Make the gateway's environment (its protocol stubs clash with others)
.venv-gateway/.synced: locks/gateway.txt locks/gateway-dev.txt locks/uv.txt services/contracts/pyproject.toml services/gateway/pyproject.toml .venv/.synced
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv-gateway
	@$(UV) pip sync -q --python $(GATEWAY_BIN)/python --require-hashes locks/gateway-dev.txt
	@$(UV) pip install -q --python $(GATEWAY_BIN)/python --no-deps -e services/contracts -e services/gateway
	@touch $@

.PHONY: venv-demo
venv-demo: .venv-demo/.synced ## Make the demo's environment (BentoML, scikit-learn)
.venv-demo/.synced: locks/demo-model.txt locks/uv.txt services/contracts/pyproject.toml services/profile/pyproject.toml services/demo_model/pyproject.toml .venv/.synced
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv-demo
	@$(UV) pip sync -q --python $(DEMO_BIN)/python --require-hashes locks/demo-model.txt
	@$(UV) pip install -q --python $(DEMO_BIN)/python --no-deps -e services/contracts -e services/profile -e services/demo_model
	@touch $@

# Those beside whom the monitor is measured; nothing of ours is in it, and no image has them.
.PHONY: venv-bench
venv-bench: .venv-bench/.synced
.venv-bench/.synced: locks/bench.txt locks/uv.txt .venv/.synced
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv-bench
	@$(UV) pip sync -q --python .venv-bench/bin/python --require-hashes locks/bench.txt
	@touch $@

# What compiles the monitor's inner loops by their types, and the types of what others wrote.
.PHONY: venv-compile
venv-compile: .venv-compile/.synced
.venv-compile/.synced: locks/compile.txt locks/monitor.txt locks/uv.txt .venv/.synced
	@$(UV) venv -q --allow-existing --python $(PYTHON) .venv-compile
	@$(UV) pip sync -q --python .venv-compile/bin/python --require-hashes locks/compile.txt locks/monitor.txt
	@touch $@

.PHONY: uv
uv: ## Make the installer that the locks are written for, in the cache
	@test -x $(UV) || { $(PYTHON) -m venv $(dir $(UV)).. && $(dir $(UV))pip install -q --require-hashes -r locks/uv.txt; }

PREFIX ?= $(HOME)/.local
CLI_HOME = $(PREFIX)/lib/switchyard-cli
.PHONY: cli
cli: uv ## Install the command line, kubectl-switchyard and switchyard, into PREFIX/bin (PREFIX=~/.local)
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(CLI_HOME)
	@$(UV) pip sync -q --python $(CLI_HOME)/bin/python --require-hashes locks/cli.txt
	@$(UV) pip install -q --python $(CLI_HOME)/bin/python --no-deps services/contracts services/cli
	@mkdir -p $(PREFIX)/bin && ln -sf $(CLI_HOME)/bin/kubectl-switchyard $(CLI_HOME)/bin/switchyard $(PREFIX)/bin/
	@echo "$(PREFIX)/bin/switchyard is installed; as \`kubectl switchyard\` where $(PREFIX)/bin is on the PATH"

SLOT ?= test
.PHONY: cluster
cluster: ## Have a cluster: CLUSTER=current, kind where an engine runs, else a node from source (SLOT=test|demo)
	@$(PYTHON) -m switchyard_testkit.cluster up --slot $(SLOT)

.PHONY: images
images: venv bentos ## Build every image once, and push to the cluster's registry (SLOT=test|demo)
	@$(BIN)/python -m switchyard_testkit.images push --slot $(SLOT)
	@mkdir -p build && $(BIN)/python -m switchyard_testkit.install --slot $(SLOT) --values > build/images-$(SLOT).yaml

# The same before there is a registry.
.PHONY: build-images
build-images: venv bentos
	@$(BIN)/python -m switchyard_testkit.images build

.PHONY: bentos
bentos: venv-demo
	@$(DEMO_BIN)/python -m switchyard_demo_model.pipeline

NAME ?= demo/flight-delay:1.0.0
.PHONY: image
image: ## Print by which name the slot's cluster pulls an image (NAME=demo/flight-delay:2.0.0)
	@$(PYTHON) -m switchyard_testkit.images reference --slot $(SLOT) --only $(NAME)

.PHONY: env
env: ## Print the exports by which kubectl and helm reach the slot's cluster: eval "$$(make env SLOT=demo)"
	@$(PYTHON) -m switchyard_testkit.cluster env --slot $(SLOT)

.PHONY: story
story: venv venv-demo ## Tell the demo's story on the demo's cluster, which must be up with its images
	@$(BIN)/python -m switchyard_testkit.install --slot demo
	@mkdir -p build && rm -f build/story-$(STORY).broken && code=0; \
	  $(DEMO_BIN)/python -m switchyard_demo_model.story --slot demo --story $(STORY) --broken build/story-$(STORY).broken $(if $(SHORT),--short) || code=$$?; \
	  echo $$code > build/story-$(STORY).exit; exit $$code

##@ Checks
.PHONY: lint
lint: venv ## ruff and import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache

.PHONY: lint-chart
lint-chart: ## helm lint, with the helm that `make cluster` builds
	@$$($(PYTHON) -m switchyard_testkit.toolchain path helm) lint --quiet charts/switchyard charts/switchyard-crds

.PHONY: types
types: venv venv-gateway venv-demo ## mypy --strict, each part in its own environment
	@$(BIN)/mypy services/contracts/src services/profile/src operator/src services/feedback/src services/monitor/src services/cli/src tests/support tests/simulation
	@$(GATEWAY_BIN)/mypy services/gateway/src
	@$(DEMO_BIN)/mypy services/demo_model/src

.PHONY: test-unit
test-unit: venv venv-gateway venv-demo ## Unit tests: pure, seconds
	@mkdir -p $(REPORTS)
	@$(BIN)/pytest tests/unit --ignore tests/unit/gateway --ignore tests/unit/demo_model $(ON_ALL_CORES) --junitxml $(REPORTS)/unit.xml $(PYTEST_ARGS)
	@$(GATEWAY_BIN)/pytest tests/unit/gateway $(ON_ALL_CORES) --junitxml $(REPORTS)/unit-gateway.xml $(PYTEST_ARGS)
	@$(DEMO_BIN)/pytest tests/unit/demo_model --junitxml $(REPORTS)/unit-demo-model.xml $(PYTEST_ARGS)

.PHONY: test-rules
test-rules: venv ## The rule book: the tests of each row run with its rule switched off, and must go red
	@PYTHONPATH=$(PYTHONPATH):services/gateway/src $(BIN)/python -m switchyard_testkit.rulebook

SEED ?= 2013
.PHONY: simulate
simulate: venv-demo ## How often verdicts are wrong, on real flights, beside the budget; fails where a promise is broken (SHORT=1, SEED=2013)
	@PYTHONPATH=tests/simulation:services/monitor/src OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	  $(DEMO_BIN)/python -m switchyard_simulation --seed $(SEED)$(if $(SHORT), --short)

.PHONY: calibration
calibration: venv ## What thresholds and intervals state, held to real flights: false alarms, what is found, coverage; prints the tables
	@$(BIN)/pytest tests/unit/simulation/test_calibration.py -k "not sums and not k_of_n" $(PYTEST_ARGS)

.PHONY: test-browser
test-browser: venv ## The monitor's page in a real browser: light, dark, phone, keyboard
	@mkdir -p $(REPORTS)
	@$(BIN)/python -m switchyard_testkit.browser install
	@$(BIN)/pytest tests/browser --junitxml $(REPORTS)/browser.xml $(PYTEST_ARGS)

.PHONY: test-contract
test-contract: venv venv-gateway ## Contract tests: fakes and real things behind one suite, generated files, samples
	@$(PYTHON) -m switchyard_testkit.programs
	@$(BESIDE) contract-gateway 0 "$(MAKE) test-contract-gateway" $(MAKE) test-contract-parts

# `make test` runs it behind the cluster tests, so one of its tests may take long without hanging.
.PHONY: test-contract-parts
test-contract-parts: PYTEST_ARGS += --timeout 600
test-contract-parts: venv venv-compile
	@mkdir -p $(REPORTS)
	@$(BIN)/python -m switchyard_testkit.prometheus install
	@$(BIN)/python -m switchyard_testkit.postgres install
	@$(PYTHON) -m switchyard_testkit.programs
	@$(BIN)/pytest tests/contract --ignore tests/contract/gateway $(MODULES_IN_TWOS) --junitxml $(REPORTS)/contract.xml $(PYTEST_ARGS)
	@$(MAKE) test-compiled

# What holds of the sources holds of what the image runs: the join's tests once more, with the inner loops compiled.
COMPILED_TESTS := $(addprefix tests/unit/monitor/test_,$(addsuffix .py,join join_situations fold laws delayed_labels pairs classes ranking segments row_losses shared_ids far_numbers wire portions))
.PHONY: test-compiled
test-compiled: venv venv-compile ## The monitor's tests of folding, with the inner loops compiled as in its image
	@mkdir -p $(REPORTS)
	@packages=$$($(BIN)/python -m switchyard_testkit.compiled --python .venv-compile/bin/python) && \
	  PYTHONPATH=$$packages:$(PYTHONPATH) $(BIN)/pytest $(COMPILED_TESTS) -n0 --junitxml $(REPORTS)/compiled.xml $(PYTEST_ARGS)

.PHONY: test-contract-gateway
test-contract-gateway: venv-gateway
	@mkdir -p $(REPORTS)
	@$(BIN)/python -m switchyard_testkit.prometheus install
	@$(PYTHON) -m switchyard_testkit.programs
	@$(GATEWAY_BIN)/pytest tests/contract/gateway $(MODULES_IN_TWOS) --junitxml $(REPORTS)/contract-gateway.xml $(PYTEST_ARGS)

CLUSTER_TESTS ?= tests/cluster
.PHONY: test-cluster
test-cluster: venv ## Cluster tests: a real cluster, a namespace per test
	@mkdir -p $(REPORTS)
	@test -n "$(strip $(CLUSTER_TESTS))"
	@$(MAKE) test-cluster-shared
	@$(MAKE) test-cluster-alone

# Who shares the parts with others runs beside others; 5 is pytest's word for none of these chosen.
.PHONY: test-cluster-shared
test-cluster-shared: venv
	@mkdir -p $(REPORTS)
	@$(BIN)/python -m switchyard_testkit.prometheus install
	@$(MAKE) cluster images SLOT=test
	@$(BIN)/python -m switchyard_testkit.install --slot test
	@$(BIN)/pytest $(CLUSTER_TESTS) -m "not alone" $(IN_TWOS) --junitxml $(REPORTS)/cluster.xml $(PYTEST_ARGS) || [ $$? -eq 5 ]

.PHONY: test-cluster-alone
test-cluster-alone: venv
	@$(BIN)/pytest $(CLUSTER_TESTS) -m alone --junitxml $(REPORTS)/cluster-alone.xml $(PYTEST_ARGS) || [ $$? -eq 5 ]

LONG ?=
.PHONY: test-faults
test-faults: ## Only the cluster tests of faults: parts killed, storage full or locked, servers away (LONG=1: Kafka away for ten minutes)
	@$(if $(LONG),SWITCHYARD_LONG=1 )$(MAKE) test-cluster CLUSTER_TESTS="$(addprefix tests/cluster/test_,$(addsuffix .py,faults storage_faults account operator_faults))"

.PHONY: test-chart
test-chart: ## Only the cluster tests of the chart: upgrade under traffic, named namespaces, TLS, a clean end
	@$(MAKE) test-cluster CLUSTER_TESTS=tests/cluster/test_chart.py

.PHONY: check-generated
check-generated: venv ## Regenerate what is generated, and fail if it differs from what is committed
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(BIN)/python -m switchyard_contracts.crd "$$tmp" && diff -ru manifests/crds "$$tmp"
	@$(BIN)/python -m switchyard_testkit.chart check

##@ Generated files
.PHONY: crds
crds: venv ## Write what is generated: the CRDs from the types, and the chart's schema and dashboards
	@rm -rf manifests/crds && $(BIN)/python -m switchyard_contracts.crd manifests/crds
	@$(BIN)/python -m switchyard_testkit.chart write

.PHONY: screenshots
screenshots: venv ## Take the README's pictures of the monitor's page, into services/monitor/page-screenshots
	@$(BIN)/python -m switchyard_testkit.browser install
	@$(BIN)/python -m switchyard_testkit.browser pictures services/monitor/page-screenshots

.PHONY: locks
locks: uv ## Compile the locks from their sources
	@cd locks && for source in *.in; do $(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url -o "$${source%.in}.txt" "$$source"; done

##@ Benchmarks
.PHONY: bench-page
bench-page: venv ## Time until the monitor's page is there, with 20 deployments, 90 days of windows and 50 rollouts; fails over 300 ms
	@$(BIN)/python tests/bench/bench_page.py

ROUNDS ?=
COUNTS ?= 1 100 1000
.PHONY: bench-operator
bench-operator: venv ## What 1, 100 and 1,000 ModelDeployments take: time, writes, memory, CPU (COUNTS="1 100" ROUNDS=1)
	@$(BIN)/python tests/bench/bench_operator.py --counts $(COUNTS) --rounds $(or $(ROUNDS),1)

EVENTS ?= $(if $(SHORT),100000,1000000)
.PHONY: bench-monitor
bench-monitor: venv venv-bench venv-compile ## What a prediction costs the monitor, its memory, how it catches up; drift beside Evidently and river (EVENTS="1000000 10000000" ROUNDS=3, SHORT=1)
	@$(BIN)/python -m switchyard_testkit.postgres install
	@packages=$$($(BIN)/python -m switchyard_testkit.compiled --python .venv-compile/bin/python) && \
	  $(BIN)/python tests/bench/bench_monitor.py --packages $$packages --events $(EVENTS) --rounds $(or $(ROUNDS),$(if $(SHORT),1,3)) \
	  $(if $(SHORT),--features 20 --outcomes with --predictions 30000 --backlog 50000)
	@$(BIN)/python tests/bench/bench_drift.py --beside-python .venv-bench/bin/python --rounds $(or $(ROUNDS),$(if $(SHORT),1,3)) \
	  $(if $(SHORT),--rows 1000)

SWITCHES ?= 200
.PHONY: bench-switch
bench-switch: venv venv-gateway ## How soon three gateways run another revision, under load, and what fails (SWITCHES=200; as root)
	@PYTHONPATH=$(CURDIR)/tests/support:$(CURDIR)/operator/src $(GATEWAY_BIN)/python tests/bench/bench_switch.py --operator-python $(BIN)/python --switches $(SWITCHES)

.PHONY: bench-gateway
bench-gateway: venv venv-gateway ## CPU per request and latency: bare Envoy, the gateway without and with capture, and with every request mirrored
	@$(GATEWAY_BIN)/python tests/bench/bench_gateway.py
