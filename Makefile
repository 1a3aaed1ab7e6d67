# Every target installs what it needs on a Debian 12 machine that has git, make, gcc, Python with pip, a Rust toolchain, and root for apt.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build web libraries run test test-rust test-engines torture test-web test-e2e bench bench-full outage lint fmt clean

WEB := query-ui/web
# Folders of tests/engines with which `make test-engines` runs.
ENGINES ?= elasticsearch-7.17 elasticsearch-8.19 opensearch-3
# Minutes of the outages of `make outage`.
MINUTES ?= 30
# How many fleets `make torture` runs, and the seed of the first.
ROUNDS ?= 1
SEED ?= 12

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

web: $(WEB)/dist/index.html ## Build the web app

$(WEB)/dist/index.html: $(shell find $(WEB)/src $(WEB)/index.html $(WEB)/package-lock.json 2>/dev/null)
	@scripts/npm.sh install
	cd $(WEB) && $$(../../scripts/npm.sh) ci --no-audit --no-fund && $$(../../scripts/npm.sh) run build
	@touch $@

libraries:
	@scripts/libraries.sh

build: web libraries ## Build the weir binary with its web app, optimised
	cargo build --release -p weir

run: build ## Build everything and start it with the sample shop; prints the URL
	target/release/weir up --demo

test: test-web test-rust test-e2e ## Run every test

test-rust: web libraries ## Run the tests of the Rust code, and of the whole system
	@scripts/servers.sh
	for engine in kafka opensearch elasticsearch; do scripts/engine.sh $$engine || exit 1; done
	scripts/sdks.sh install
	cargo build --workspace --all-targets
	cargo test --workspace
	@scripts/data-note.sh

test-engines: web libraries ## Run with further versions of search engines, and a real OpenTelemetry Collector
	for engine in $(ENGINES) kafka otelcol; do scripts/engine.sh $$engine || exit 1; done
	cargo build --workspace --all-targets
	WEIR_TEST_ENGINES="$(ENGINES)" cargo test -p weir-store-elastic --test battery --test secured
	cargo test -p weir-tests --test otelcol

torture: web libraries ## Run generated fleets with rotations, faults and kill -9; ROUNDS=n for several seeds, SEED=n for the first
	@for engine in kafka opensearch; do scripts/engine.sh $$engine || exit 1; done
	cargo build --workspace --all-targets
	@for seed in $$(seq $(SEED) $$(($(SEED) + $(ROUNDS) - 1))); do \
	  export WEIR_TEST_SEED=$$seed WEIR_TEST_BLOWS=12 WEIR_TEST_BROKERS=$$((seed % 2 * 2 + 1)); \
	  for test in generated storm; do \
	    cargo test -p weir-tests --test $$test -- --nocapture --test-threads 1 || { echo "it failed with SEED=$$seed"; exit 1; }; \
	  done; done

test-web: web ## Run the tests of the web app
	cd $(WEB) && $$(../../scripts/npm.sh) test

test-e2e: web libraries ## Drive the sample shop's pages in Chromium
	cargo build --workspace --all-targets
	@chromium=$$(scripts/browser.sh) && cd $(WEB) && \
	  CHROMIUM=$$chromium WEIR_BIN=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/weir $$(../../scripts/npm.sh) run e2e

bench: web libraries ## Measure beside named peers; fails where a floor is missed; figures stand in docs/benchmarks.md
	scripts/servers.sh peers
	for engine in kafka opensearch otelcol; do scripts/engine.sh $$engine || exit 1; done
	cargo build --release -p weir -p weir-bench
	@failed=0; for part in tail agent ingest kafka; do target/release/$$part || failed=1; done; \
	  chromium=$$(scripts/browser.sh) && cd $(WEB) && CHROMIUM=$$chromium \
	  WEIR_BIN=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/release/weir $$(../../scripts/npm.sh) run bench:trace || failed=1; exit $$failed

bench-full: web libraries ## Measure the store with ten million spans; takes longer
	cargo build --release -p weir -p weir-bench
	target/release/ingest --thousands 10000

outage: web libraries ## Take Kafka from one fleet and OpenSearch from another for MINUTES under load; memory must stay flat, each line be found once
	for engine in kafka opensearch; do scripts/engine.sh $$engine || exit 1; done
	cargo build --release -p weir -p weir-bench
	target/release/outage --minutes $(MINUTES)

lint: web libraries ## Check formatting and lints; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Format the Rust code
	cargo fmt --all

clean: ## Remove what was built
	cargo clean
	rm -rf $(WEB)/dist $(WEB)/node_modules
