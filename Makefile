# The commands of this repository, for people and for CI. Each does its own set-up, once.

# Cargo's folder, wherever it was put; tools and independent implementations that we run against live in it, pinned.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PEERS := $(TARGET)/peers
INSTALL_NEWEST := cargo install --quiet --debug --root $(PEERS) --target-dir $(PEERS)/build
INSTALL := $(INSTALL_NEWEST) --locked

TEST_CLIENT := $(PEERS)/bin/moq-test-client
TEST_CLIENT_VERSION := 0.2.0
DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
FUZZ_SECONDS := 60

# cargo test where nextest is missing: slower, and output of passing tests is mixed.
RUNNER := $(if $(shell command -v cargo-nextest),cargo nextest run,cargo test --all-targets)
DENY := $(or $(shell command -v cargo-deny),$(PEERS)/bin/cargo-deny)
FUZZ := $(or $(shell command -v cargo-fuzz),$(PEERS)/bin/cargo-fuzz)

# What the harness in tests/src runs; unset, it builds the first and looks for the second in target/peers.
export HARNESS_MOQ := $(TARGET)/debug/moq
export HARNESS_TEST_CLIENT := $(TEST_CLIENT)
export HARNESS_PEERS := $(PEERS)/bin

# The pages that the relay carries, built before it. Written again only if something of them changed, since the relay follows.
WEB := web-demo
WEB_TOOLS := $(WEB)/node_modules/.package-lock.json
# Written last.
PAGES := $(WEB)/dist/headwater-watch.js
WEB_FILES := $(wildcard $(WEB)/*.html $(WEB)/*.ts $(WEB)/*.json) $(shell find $(WEB)/src $(wildcard $(WEB)/public) -type f)
npm = npm --prefix $(WEB) --silent

.PHONY: help pages demo test check interop interop-web fuzz sim sim-quick bench bench-smoke bench-soak bench-micro bench-failover bench-join bench-overlay bench-browser

help:
	@echo 'make demo     three relays in a mesh, a publisher and a subscriber of a test clip; MOQ_DEMO="--seconds 10" for arguments'
	@echo 'make pages    the web pages alone, which the others build too where npm is; make demo serves them'
	@echo 'make test     unit, property, conformance and end to end tests'
	@echo 'make check    fmt, clippy, docs, licences and bans, the core without tokio'
	@echo 'make interop  independent implementations against ours, as a table'
	@echo 'make bench    what fan-out costs beside a bare quinn server; MOQ_BENCH="video --rounds 1" for arguments; make bench-smoke for a taste'
	@echo 'make bench-soak      the memory of a relay over half an hour of video; make bench-micro: the hot paths without a network'
	@echo 'make bench-failover  relays that die or leave on the path of a track, against the targets'
	@echo 'make bench-join      nodes that join a mesh of twenty, against the targets'
	@echo 'make bench-overlay   what an idle mesh says, how announcements spread, and rows per second'
	@echo 'make bench-browser   how soon a page and moq subscribe join a running stream, through one relay and three'
	@echo 'make sim      route exchange among up to 2,000 nodes against the targets, some minutes; make sim-quick for a taste'
	@echo 'make fuzz     every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds'

# The dev profile: a test clip needs no optimised build, and the wait for the first picture is the compiler.
demo: cc pages
	cargo run --locked --package headwater-cli --bin moq -- demo $(MOQ_DEMO)

# Documentation examples and pages first: the last line is the runner's. A page that fails does not keep it from running.
test: cc ffmpeg pages $(TEST_CLIENT)
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --doc --quiet
	cargo test --locked --manifest-path tests/oracle/Cargo.toml --target-dir $(TARGET)/oracle --quiet
	@web=0; if .ci/node 2>/dev/null; then .ci/apt chromium=chromium && $(npm) run test:unit && $(npm) run test:browser || web=1; fi; \
	$(RUNNER) --locked --workspace && exit $$web

check: cc pages $(DENY)
	@if .ci/node 2>/dev/null; then $(npm) run check; fi
	cargo fmt --all --check
	cargo fmt --manifest-path tests/oracle/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path tests/oracle/Cargo.toml --target-dir $(TARGET)/oracle --all-targets -- -D warnings
	cargo check --locked --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET)/fuzz
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --package headwater-pubsub --package headwater-relay --no-default-features --no-deps
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	cargo check --locked --package headwater-pubsub --package headwater-relay --no-default-features
	$(DENY) --locked check --hide-inclusion-graph bans licenses sources
	@if $(DENY) --locked fetch db >$(TARGET)/advisories.log 2>&1; then $(DENY) --locked check advisories; \
	else echo 'advisories: not checked, their database cannot be reached'; fi

interop: cc ffmpeg pages interop-web $(TEST_CLIENT) $(PEERS)/bin/moq-pub $(PEERS)/bin/moq-sub $(PEERS)/bin/moq
	cargo build --locked --workspace --bins
	tests/interop/run

# All patterns, seven turns of each server: about three quarters of an hour, on a machine that does nothing else.
bench: cc
	cargo build --locked --release --package headwater-cli --package headwater-tests --bin moq --bin bench
	HARNESS_MOQ=$(TARGET)/release/moq $(TARGET)/release/bench fan $(if $(MOQ_BENCH),$(MOQ_BENCH),--web --two --rounds 7 --seconds 4 --json $(TARGET)/bench.json)

# Half an hour of video, and the relay's memory each minute.
bench-soak: cc
	cargo build --locked --release --package headwater-cli --package headwater-tests --bin moq --bin bench
	HARNESS_MOQ=$(TARGET)/release/moq $(TARGET)/release/bench fan video --soak 30

# The hot paths without a network.
bench-micro: cc
	cargo bench --locked --package headwater-pubsub --bench fanout

bench-smoke: cc
	cargo build --locked --package headwater-cli --package headwater-tests --bin moq --bin bench
	$(TARGET)/debug/bench fan smoke --rounds 1 --seconds 2 --web

# Real relays, links with delay; some minutes each.
bench-failover bench-join bench-overlay: cc
	cargo build --locked --release --package headwater-cli --package headwater-tests --bin moq --bin bench
	HARNESS_MOQ=$(TARGET)/release/moq $(TARGET)/release/bench $(@:bench-%=%)
	$(if $(filter %-overlay,$@),cargo run --locked --release --package headwater-sim -- speed)

# Pages in Chromium, and the dev profile as in the demo; five minutes.
bench-browser: cc ffmpeg pages
	@.ci/node && .ci/apt chromium=chromium
	cargo build --locked --package headwater-cli --bin moq
	$(npm) run bench

# The first line explores all interleavings of very small networks three steps deeper than make test does: a few minutes, 5 GB.
# The second one fails if a target is missed, so it is the last.
sim: cc
	HEADWATER_EXPLORE=3 timeout 900 cargo test --locked --release --package headwater-relay --no-default-features --lib \
		overlay::routes::tests::explore -- --nocapture
	cargo run --locked --release --package headwater-sim

sim-quick: cc
	cargo run --locked --release --package headwater-sim -- quick

# RUSTC_BOOTSTRAP lets the stable compiler take cargo-fuzz's coverage flags; no sanitizer, since nothing here is unsafe.
fuzz: cc $(FUZZ)
	@for target in $$($(FUZZ) list --fuzz-dir tests/fuzz); do \
		echo "fuzz: $$target"; \
		RUSTC_BOOTSTRAP=1 $(FUZZ) run --fuzz-dir tests/fuzz --target-dir $(TARGET)/fuzz --sanitizer none $$target \
			-- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 || exit 1; \
	done

# A lockfile made where a registry lacks packages of other systems is refused by npm ci; install takes the same versions, and
# leaves the lockfile as it is.
$(WEB_TOOLS): $(WEB)/package.json $(WEB)/package-lock.json
	$(npm) install --no-save --no-audit --no-fund
	@touch $@

# moq-dev's browser packages and what runs them; without Node or Chromium their rows are left out.
INTEROP_WEB := tests/interop/web
INTEROP_WEB_TOOLS := $(INTEROP_WEB)/node_modules/.package-lock.json
$(INTEROP_WEB_TOOLS): $(INTEROP_WEB)/package.json $(INTEROP_WEB)/package-lock.json
	npm --prefix $(INTEROP_WEB) --silent install --no-save --no-audit --no-fund
	@touch $@

interop-web:
	@if .ci/node 2>/dev/null; then .ci/apt chromium=chromium && $(MAKE) --no-print-directory $(INTEROP_WEB_TOOLS); fi

$(PAGES): $(WEB_TOOLS) $(WEB_FILES)
	$(npm) run build

pages:
	@if .ci/node; then $(MAKE) --no-print-directory $(PAGES); fi

.PHONY: cc ffmpeg
cc:
	@.ci/apt cc=gcc

ffmpeg:
	@.ci/apt ffmpeg=ffmpeg

# Installed once per version: remove target/peers to do it again.
$(PEERS)/bin/moq-test-client:
	$(INSTALL) moq-test-client --version $(TEST_CLIENT_VERSION)

$(PEERS)/bin/moq-pub:
	$(INSTALL) moq-pub --version 0.10.0

$(PEERS)/bin/moq-sub:
	$(INSTALL) moq-sub --version 0.5.0

# moq-dev's. Its lockfile names a crate that was yanked since, so its dependencies are those of the day.
$(PEERS)/bin/moq:
	$(INSTALL_NEWEST) moq-cli --version 0.14.10

$(PEERS)/bin/cargo-deny:
	$(INSTALL) cargo-deny --version $(DENY_VERSION)

$(PEERS)/bin/cargo-fuzz:
	$(INSTALL) cargo-fuzz --version $(FUZZ_VERSION)
