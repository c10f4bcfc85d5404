# The front door: every recipe that a person or CI runs is here, and CI runs the same.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PREFIX ?= /usr/local

export PATH := $(shell scripts/setup path):$(PATH)
export CARGO_TERM_COLOR ?= always
target := $(shell rustc -vV | sed -n 's/^host: //p')
# What minke-oci is built for, asked while a recipe runs: musl, where Rust's standard library for it is installed (record 46).
small := $$(scripts/setup target)
# A panic ends minke, so nothing reads how to unwind it: a twelfth of its size. (Link-time optimization leaves that out by itself.)
aborting := --config 'target.$(target).rustflags=["-C", "force-unwind-tables=no"]'

.PHONY: help release order install demo test check lint unit soak doc fuzz vm bench fix clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

release: ## both programs, ready to copy, in target/dist
	scripts/setup release
	cargo build --profile small --locked -p minke-oci-runtime --target $(small)
	cargo build $(aborting) --release --locked -p minke
	mkdir -p target/dist
	@# Also where programs of theirs run.
	install target/$(small)/small/minke-oci target/$(target)/release/minke target/dist/
	@ls -l target/dist

order: release ## lays out minke-oci's code anew by what a container's life calls (as root, on x86-64)
	CARGO_PROFILE_SMALL_STRIP=none cargo build --profile small --locked -p minke-oci-runtime --target $(small) --target-dir target/order
	scripts/order target/dist/minke target/order/$(small)/small/minke-oci crates/oci-runtime/order.ld

install: release ## copies them to $(PREFIX)/bin, and the units of systemd to $(PREFIX)/lib
	install -D -t $(DESTDIR)$(PREFIX)/bin target/dist/minke target/dist/minke-oci
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system dist/systemd/minke.socket
	sed 's#/usr/local/bin#$(PREFIX)/bin#' dist/systemd/minke.service | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/minke.service
	install -D -m 644 dist/systemd/minke.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/minke.conf

demo: ## nginx, a Python application and PostgreSQL, built and run by minke compose
	scripts/setup demo
	scripts/demo

test: check lint unit doc ## everything CI checks

check: ## formatting and dependencies
	scripts/setup test
	cargo fetch --locked --quiet
	cargo fmt --all --check
	cargo deny --offline --log-level error check bans licenses sources

lint: ## clippy, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit: ## unit tests, and integration tests on the real kernel with the real docker command line (as root)
	scripts/setup release
	cargo build --workspace --bins --locked
	cargo build --locked -p minke-oci-runtime --target $(small)
	MINKE_TEST_RUNTIME=$$PWD/target/$(small)/debug/minke-oci \
		cargo nextest run --workspace --locked --no-fail-fast --status-level slow --final-status-level fail

doc: ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

soak: ## the tests of reliability at length: 100 kills of the engine, 2,000 cycles (KILLS=, CYCLES=, SEED=)
	cargo build --workspace --bins --locked
	MINKE_TEST_KILLS=$(or $(KILLS),100) MINKE_TEST_CYCLES=$(or $(CYCLES),2000) cargo nextest run --locked -p minke --test real --no-capture mixed_load cycles

# A reproducer's folder names its target, as in the corpus.
fuzzed = $(or $(TARGET),$(if $(REPLAY),$(notdir $(patsubst %/,%,$(dir $(abspath $(REPLAY)))))))

fuzz: ## what reads input from outside, without end (SECONDS_EACH=60, SEED=, TARGET=, REPLAY=FILE)
	ls -d crates/*/fuzz/corpus/$(fuzzed) | cut -d/ -f2 | MINKE_FUZZ_SECONDS=$(or $(SECONDS_EACH),0) MINKE_FUZZ_SEED=$(SEED) \
		MINKE_FUZZ_TARGET=$(fuzzed) MINKE_FUZZ_REPLAY=$(if $(REPLAY),$(abspath $(REPLAY))) \
		xargs -P 8 -I {} cargo test --locked -p minke-{} --tests -- fuzz::no_ --nocapture --test-threads=8

vm: release ## the same on Debian's own kernel with cgroup v2 alone, and under systemd, in an emulator
	scripts/setup vm
	scripts/setup demo
	scripts/vm tests/vm/cgroup-v2.sh target/dist/minke target/dist/minke-oci
	cargo build --locked -p minke-testkit --bin sctp
	scripts/vm tests/vm/sctp.sh target/dist/minke target/dist/minke-oci target/$(target)/debug/sctp
	scripts/vm tests/vm/rootless.sh target/dist/minke-oci
	scripts/vm-systemd tests/vm/systemd.sh target/dist/minke-oci
	scripts/vm-systemd tests/vm/units.sh target/dist/minke target/dist/minke-oci dist/systemd/*
	VM_CGROUP=v1 scripts/vm-systemd tests/vm/systemd.sh target/dist/minke-oci

bench: ## side by side with the peers that are installed; writes docs/performance.md
	scripts/setup bench
	bench/run

fix: ## formats and applies what clippy can mend
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

clean: ## removes build output
	cargo clean
