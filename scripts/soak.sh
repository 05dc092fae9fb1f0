#!/usr/bin/env bash
# Callers and providers that misbehave, around a release build of corelane, for MINUTES (10) in all. Flags are the soak's.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked
cargo build --release --locked --manifest-path loadtest/Cargo.toml --bin soak
exec loadtest/target/release/soak --corelane target/release/corelane --seconds $((${MINUTES:-10} * 60)) "$@"
