# Builds, tests, runs and installs the agent. `make help` lists the targets.
#
# Each target installs what it needs first (scripts/setup.sh; quick when nothing is missing). An
# ordinary user builds as that user; sudo is asked for packages, for running and for installing.
#
#   PROFILE=dev   builds faster, runs slower (default: release)
#   OFFLINE=1     builds from vendor/registry and never reaches for the network
#   NETWORK=1     lets the agent attach to network interfaces (off in run, demo and tests)
#   DESTDIR, PREFIX, SYSCONFDIR   where install and uninstall work

.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

PROFILE ?= release
PREFIX ?= /opt/datadog-agent
SYSCONFDIR ?= /etc/datadog-agent
DESTDIR ?=

ARCH := $(patsubst arm64,aarch64,$(shell uname -m))
TARGET := $(ARCH)-unknown-linux-musl
BUILD_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
OUT := $(BUILD_DIR)/$(TARGET)/$(patsubst dev,debug,$(PROFILE))
BINARY := $(OUT)/security-agent
E2E := $(OUT)/e2e
TOOLS_DIR := $(BUILD_DIR)/tools
TOOLS := $(patsubst tests/tools/%.c,$(TOOLS_DIR)/%,$(wildcard tests/tools/*.c))
RUN_DIR := $(BUILD_DIR)/run
IMAGE_ARCH := $(subst x86_64,amd64,$(subst aarch64,arm64,$(ARCH)))
IMAGE := $(BUILD_DIR)/image/security-agent-$(shell . scripts/lib.sh && workspace_version)-$(IMAGE_ARCH).tar

# rustup puts cargo there without telling the shells that run already.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# What the scripts need to know; the end-to-end tests read the last three.
export PROFILE OFFLINE NETWORK DESTDIR PREFIX SYSCONFDIR TARGET BUILD_DIR BINARY E2E TOOLS_DIR RUN_DIR
export IMAGE IMAGE_ARCH
export SECURITY_AGENT_BIN := $(BINARY)
export SECURITY_AGENT_TOOLS := $(TOOLS_DIR)
export SECURITY_AGENT_IMAGE := $(IMAGE)

# Nothing that is run from here touches the machine's interfaces unless it is asked to: no interface
# of a real machine is called cwst*, the end-to-end tests make theirs by that name.
ifneq ($(NETWORK),1)
export DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE := cwst*
endif

# The place of the registry would be in the messages of each panic: 18 KB that also tell where it was built.
REGISTRY := $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/index.crates.io-1949cf8c6b5b557f/
CARGO_FLAGS := --locked --target $(TARGET) \
  --config "target.$(TARGET).rustflags=['--remap-path-prefix=$(REGISTRY)=']"
ifdef OFFLINE
CARGO_FLAGS += --offline --config vendor/registry/config.toml
ifneq ($(wildcard probes/compiled/agent.$(ARCH).o),)
export SECURITY_AGENT_PROBES_DIR := $(abspath probes/compiled)
endif
endif

.PHONY: help setup-build setup-test build image install uninstall vendor bundle bundle-test run demo \
	test lint unit e2e soak kernels fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Building

setup-build: ## install what building needs
	@scripts/setup.sh build

build: setup-build ## build the static binary (the default)
	@cargo build $(CARGO_FLAGS) --profile $(PROFILE) --package security-agent

image: build ## write a container image as an OCI archive; no engine is needed
	@scripts/image.sh

vendor: setup-build ## copy the sources of all dependencies to vendor/registry
	@scripts/vendor.sh

bundle: vendor ## pack sources, dependencies and compiled probes as one archive
	@scripts/bundle.sh

bundle-test: bundle ## build that archive without network and without a cargo cache
	@scripts/bundle-test.sh

clean: ## remove everything that was built
	@rm -rf "$(BUILD_DIR)" 2>/dev/null || scripts/as-root.sh rm -rf "$(BUILD_DIR)"
	@rm -rf vendor/registry probes/compiled

# Installing. Under sudo there may be no cargo: then what is built already is installed.

$(BINARY):
	@$(MAKE) build

install: $(if $(SUDO_USER),$(BINARY),build) ## install to DESTDIR/opt/datadog-agent
	@scripts/install.sh install

uninstall: ## remove what install made; configuration stays
	@scripts/install.sh uninstall

# Running

run: build ## run the agent here, policy built in, network off; Ctrl-C ends it
	@install -d -m 0750 "$(RUN_DIR)"
	@scripts/run.sh

demo: build ## run the agent, stage a few attacks and show what it saw
	@scripts/as-root.sh scripts/demo.sh

# Testing

setup-test: ## install what building and testing need
	@scripts/setup.sh test

test: setup-test ## everything below; the last line is the sum
	@scripts/test.sh

lint: setup-test ## formatting and clippy
	@cargo fmt --all --check
	@cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- --deny warnings
	@CXX=clang++ cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml \
	  --target-dir "$(BUILD_DIR)/fuzz-check" -- --deny warnings

unit: setup-test ## unit tests, for the target that is shipped
	@cargo test $(CARGO_FLAGS) --workspace --no-fail-fast

e2e: setup-test build image e2e-build ## end-to-end tests on this kernel; TESTS="name..." for some
	@scripts/as-root.sh "$(E2E)" $(TESTS)

soak: setup-test build e2e-build ## delivery and namespaces in full: 100,000 events a test, outages of a minute, 500 pods
	@scripts/as-root.sh env SOAK=1 "$(E2E)" delivery_ churn_

kernels: setup-test build e2e-build ## the same in a virtual machine with another kernel
	@scripts/kernels/run.sh $(TESTS)

.PHONY: e2e-build
e2e-build: setup-test $(TOOLS)
	@cargo build $(CARGO_FLAGS) --profile $(PROFILE) --package e2e

# cargo-fuzz wants compiler flags that stable Rust keeps back; RUSTC_BOOTSTRAP lets it have them.
# The corpus grows below the build directory; what is worth keeping is copied to tests/fuzz by hand.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= lexer parser policy glob regex peer spool scrub packet pcap websocket review
FUZZ_DIR := $(BUILD_DIR)/fuzz
CARGO_FUZZ := $(FUZZ_DIR)/bin/cargo-fuzz
FUZZ_FLAGS := --fuzz-dir tests/fuzz --target-dir "$(FUZZ_DIR)" --sanitizer none

fuzz: setup-build $(CARGO_FUZZ) ## fuzz each target FUZZ_SECONDS, compare a million rules with a naive evaluation
	@RUSTC_BOOTSTRAP=1 "$(CARGO_FUZZ)" build $(FUZZ_FLAGS)
	@for name in $(FUZZ_TARGETS); do \
	  echo "fuzzing $$name for $(FUZZ_SECONDS) seconds"; \
	  mkdir -p "$(FUZZ_DIR)/corpus/$$name" "$(FUZZ_DIR)/artifacts/$$name"; \
	  RUSTC_BOOTSTRAP=1 "$(CARGO_FUZZ)" run $(FUZZ_FLAGS) "$$name" \
	    "$(FUZZ_DIR)/corpus/$$name" "tests/fuzz/corpus/$$name" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -dict=tests/fuzz/secl.dict \
	    -artifact_prefix="$(FUZZ_DIR)/artifacts/$$name/" -verbosity=0 -print_final_stats=1; \
	done
	@DIFFERENTIAL_CASES=1000000 cargo test $(CARGO_FLAGS) --package security-agent \
	  --test differential --test allocations

$(CARGO_FUZZ): | setup-build
	@cargo install cargo-fuzz --locked --root "$(FUZZ_DIR)"

bench: setup-test build e2e-build ## what judging an event by up to 10,000 rules costs, and packets
	@cargo bench $(CARGO_FLAGS) --package security-agent --bench rules
	@scripts/as-root.sh env BENCH=1 "$(E2E)" throughput_

$(TOOLS_DIR)/%: tests/tools/%.c | setup-test
	@mkdir -p "$(@D)"
	$(CC) -O2 -Wall -Wextra -static -o "$@" "$<"
