# What one may run here. Each target installs what it needs beyond cargo (Debian's apt-get), and says so.

.PHONY: build run test bench bench-instructions fuzz soak fmt lint image deps

build:
	@scripts/deps.sh build
	cargo build --release --locked

# The mock provider and corelane in front of it; with OPENAI_API_KEY set, the real provider.
run:
	@scripts/deps.sh run
	@scripts/run.sh

test:
	@scripts/deps.sh test
	cargo build --locked --manifest-path loadtest/Cargo.toml --bins
	cargo test --locked
	cargo test --locked --manifest-path loadtest/Cargo.toml

# Six minutes: corelane, nginx and a bare relay side by side. BENCH holds further flags, such as --seconds 1.
bench:
	@scripts/deps.sh bench
	cargo build --release --locked
	cargo build --release --locked --manifest-path loadtest/Cargo.toml
	loadtest/target/release/drive --corelane target/release/corelane --json target/bench.json $(BENCH)

# The look, the edit and the translation of bodies in instructions, beside serde_json and sonic-rs; some minutes.
bench-instructions:
	@scripts/deps.sh bench-instructions
	@scripts/instructions.sh

# Each reader of strangers' bytes under libFuzzer for SECONDS; TARGETS names some of them.
fuzz: export FUZZ_SECONDS = $(or $(SECONDS),60)
fuzz:
	@scripts/deps.sh fuzz
	@scripts/fuzz.sh $(TARGETS)

# MINUTES of callers and providers that misbehave, in rounds: each driver, plain and TLS. SOAK holds further flags, such
# as --seed 7.
soak:
	@scripts/deps.sh soak
	@scripts/soak.sh $(SOAK)

fmt:
	cargo fmt
	cargo fmt --manifest-path loadtest/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml

lint:
	@scripts/deps.sh build
	@scripts/lint.sh

image:
	@scripts/image.sh

deps:
	@scripts/deps.sh build run test bench bench-instructions fuzz soak
