# The habits of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo build tools test sim fixture-database test-long test-packages trial-packages test-reproducible deb rpm bench bench-agents bench-authority bench-cutoff bench-netconfig bench-peers fuzz lint deny doc

LONG_TESTS := demo agent_bad_input agent_lease agent_bound agent_rotation agent_crowd agent_liars agent_tampering debian dataplane_long packages authority_durability authority_schema

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Tidegate at work on this machine, in about a minute, as root (ARGS=--json)
	@tests/install-tools demo >&2
	@cargo build --locked -p tidegate -p tidegate-authority -p tidegate-tests --bin tidegate --bin tidegate-authority --bin demo
	@$${CARGO_TARGET_DIR:-target}/debug/demo $(ARGS)

build: ## build everything
	cargo build --workspace --all-targets

tools: ## install the programs that the tests run (Debian packages, asks root)
	tests/install-tools

test: tools ## the everyday tests, under ten minutes, as root
	cargo test --workspace
	$(MAKE) sim

sim: ## the engine against itself, in virtual time
	cargo test --locked --manifest-path tests/sim/Cargo.toml

fixture-database: ## write today's database schema as a fixture; before a release, and never changed after it
	TIDEGATE_WRITE_FIXTURE=1 cargo test -p tidegate-authority --test databases every_schema

# The whole workspace is named, though one package has all these tests: dependencies then are those of the everyday tests.
test-long: tools trial-packages ## the longer tests
	$(foreach t,$(LONG_TESTS),cargo test --workspace --test $(t) -- --show-output &&) true

deb: ## Debian packages, in target/packages/out
	packaging/build deb

rpm: ## RPM packages, in target/packages/out
	packaging/build rpm

# Of the programs that the everyday tests run, so that nothing is compiled twice; once more under a higher version, to
# upgrade to.
trial-packages:
	packaging/install-tools --check
	PROFILE=dev packaging/build deb rpm
	NO_COMPILE=yes PROFILE=dev VERSION=$(shell cargo pkgid -p tidegate | sed 's/.*[#@]//')+next OUT=target/packages/next packaging/build deb

test-packages: tools trial-packages ## the packages, installed on Debian machines booted in systemd-nspawn
	cargo test --workspace --test packages -- --show-output

test-reproducible: tools ## two builds of the packages in different folders, compared byte by byte (half an hour; PROFILE=trial is quicker)
	packaging/check-reproducible

fuzz: ## every decoder against libFuzzer, FUZZ_SECONDS each; TARGET=x for one
	tests/fuzz/run $(TARGET)

bench: ## what one core does per second
	cargo bench -q -p tidegate-proto --bench speed
	cargo bench -q -p tidegate-wg --bench engine

bench-agents: tools ## fifty agents on this machine: memory, CPU, joining, cut-off, about three minutes, as root (ARGS="--nodes 20")
	cargo build --release -p tidegate-authority -p tidegate
	cargo run --release -p tidegate-tests --bin bench-agents -- $(ARGS)

bench-authority: ## what an authority does per second, with its clients beside it, about ten minutes, as root (ARGS="--kills 0")
	cargo build --release -p tidegate-authority -p tidegate
	cargo run --release -p tidegate-tests --bin bench-authority -- $(ARGS)

bench-cutoff: ## how fast a node is out, in, and back: a hundred revocations under load, ten minutes, as root (ARGS="--rounds 5")
	tests/install-tools demo >&2
	cargo build --release --locked -p tidegate -p tidegate-authority -p tidegate-tests --bin tidegate --bin tidegate-authority --bin bench-cutoff
	$${CARGO_TARGET_DIR:-target}/release/bench-cutoff $(ARGS)

bench-netconfig: tools ## how long a thousand routes take, and what a full routing table costs, as root
	cargo bench -p tidegate-netconfig --bench scale

bench-peers: tools ## our data plane against its rivals, fifteen minutes (ARGS="--json", "--rounds 1")
	tests/install-rivals >/dev/null
	cargo build --profile dist -p tidegate-tests --bin tidegate-static
	cargo run -p tidegate-tests --bin bench-peers -- $(ARGS)

lint: ## formatting, clippy, crate directions
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path tests/sim/Cargo.toml --check
	cargo clippy --manifest-path tests/sim/Cargo.toml --all-targets --locked -- -D warnings
	packaging/check-directions

deny: ## bans, licences and sources of all dependencies
	packaging/check-dependencies

doc: ## the crates' documentation
	cargo doc --workspace --no-deps
