# The verbs of this project. Each sets up all it needs, and redoes nothing that is done.
# Variables, given as `make demo CLUSTER=kind`, reach the scripts through the environment:
#   CLUSTER          auto, embedded or kind: what runs Kubernetes
#   NODES            how many nodes the cluster has
#   BASE             the image ours stand on, e.g. python:3.11-slim-bookworm
#   KIND_NODE_IMAGE  the node image for kind
#   CHANNELS         how many channels `make bench-operator` has, one run each ("100 1000 5000")
#   SEEDS            how many worlds `make sim` runs; SEED=7 runs that one
#   HITLESS_CACHE    where tools and images are kept (~/.cache/hitless)
SHELL := /bin/bash
unexport PYTHONDONTWRITEBYTECODE # every test starts processes: compiled once is enough
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check test unit sim sim-mutants component e2e demo images cluster-up \
	cluster-down sources bench bench-operator bench-encode bench-origin generate lock clean distclean

PYTHON3 := .venv/bin/python
CLUSTER_PY := $(PYTHON3) hack/cluster/cluster.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@sed -n 's/^#   \([A-Z_]* .*\)/  \1/p' $(MAKEFILE_LIST)

setup: ## .venv with the pinned Python dependencies and the project
	@hack/setup dev

check: setup ## format, lint, types, import contract, generated files, chart
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/buf lint proto
	hack/generate --check
	hack/crds --check
	hack/reference --check
	hack/chart-readme --check
	hack/kustomize --check
	hack/gitops --check
	hack/diagrams --check
	.venv/bin/buf breaking proto --against tests/fixtures/transcripts/v1/handover.binpb
	@hack/setup judges
	PATH="$$($(CLUSTER_PY) tools --chart):$$PATH" .venv/bin/pytest -q tests/chart

test: check unit sim sim-mutants component e2e ## everything: check and all tests

unit: setup ## the tests that need nothing but Python
	.venv/bin/pytest tests/unit tests/sim

sim: setup ## the protocol in simulated worlds (SEEDS=100000 for many, SEED=7 for one)
	$(PYTHON3) -m hitless_sim $(if $(SEED),replay $(SEED),run \
		--seeds $(or $(SEEDS),2000) $(if $(SEEDS),,--require-coverage))

sim-mutants: setup ## planted bugs, each of which the simulator must find
	$(PYTHON3) -m hitless_sim mutants

component: setup ## each process for real, with its neighbours played by the test
	@hack/setup senders
	@hack/setup players
	$(PYTHON3) hack/control_plane.py --tools
	$(PYTHON3) -m hack.s3_server --tools
	.venv/bin/pytest -n 2 --dist loadfile tests/component

e2e: setup ## the end-to-end tests, on clusters of their own
	@hack/setup e2e
	$(CLUSTER_PY) tools >/dev/null
	$(PYTHON3) hack/images/build.py build >/dev/null
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/e2e --ignore tests/e2e/test_fleet.py
	.venv/bin/pytest tests/e2e/test_fleet.py # eight channels at a time: alone

demo: setup ## a cluster, a live channel, an image update, and the proof that no frame was lost
	$(PYTHON3) hack/demo.py $(if $(CLUSTER),--kind $(CLUSTER)) $(if $(NODES),--nodes $(NODES))

sources: setup ## each kind of live source for real, handovers in the middle (ARGS="udp rtmp")
	@hack/setup senders
	$(PYTHON3) -m hack.sources $(ARGS)

bench: bench-operator bench-encode bench-origin ## all benchmarks

bench-operator: setup ## how the operator's cost grows with the channels (ARGS="--help" says more)
	$(PYTHON3) -m hack.bench_operator $(ARGS)

bench-encode: setup ## how fast the encoder is beside ffmpeg (ARGS="--help" says more)
	@hack/setup bench
	$(PYTHON3) -m hack.bench_encode $(ARGS)

bench-origin: setup ## what the origin carries, beside nginx (ARGS="--help" says more)
	@hack/setup bench-origin
	$(PYTHON3) -m hack.bench_origin $(ARGS)

images: setup ## the container images, as archives; prints where they are
	$(PYTHON3) hack/images/build.py build

cluster-up: setup ## a Kubernetes cluster on this machine; prints its kubeconfig
	$(CLUSTER_PY) up

cluster-down: setup ## take that cluster away
	$(CLUSTER_PY) down

generate: setup ## the committed generated files: gRPC code, resource definitions, diagrams
	hack/generate
	hack/crds
	hack/reference
	hack/chart-readme
	hack/kustomize
	hack/gitops
	hack/diagrams

lock: ## the lock files anew from pyproject.toml (ARGS="--upgrade" takes new versions)
	hack/setup lock $(ARGS)

clean: ## take away all clusters and .venv; the cache of tools and images stays
	python3 hack/cluster/cluster.py down --all
	rm -rf .venv .build

distclean: clean ## also the cache
	hack/setup forget
