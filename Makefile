# The habits of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help build tools test test-long bench bench-netconfig fuzz lint deny doc

LONG_TESTS := debian

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build everything
	cargo build --workspace --all-targets

tools: ## install the programs that the tests run (Debian packages, asks root)
	tests/install-tools

test: tools ## the everyday tests, under ten minutes, as root
	cargo test --workspace

test-long: tools ## the longer tests
	$(foreach t,$(LONG_TESTS),cargo test -p tidegate-tests --test $(t) &&) true

fuzz: ## every decoder against libFuzzer, FUZZ_SECONDS each; TARGET=x for one
	tests/fuzz/run $(TARGET)

bench: ## what one core does per second
	cargo bench -q -p tidegate-proto --bench speed

bench-netconfig: tools ## how long a thousand routes take, and what a full routing table costs, as root
	cargo bench -p tidegate-netconfig --bench scale

lint: ## formatting, clippy, crate directions
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	packaging/check-directions

deny: ## bans, licences and sources of all dependencies
	packaging/check-dependencies

doc: ## the crates' documentation
	cargo doc --workspace --no-deps
