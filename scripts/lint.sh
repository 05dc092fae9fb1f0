#!/usr/bin/env bash
# Format, clippy and cargo-deny over every manifest. The advisory database is asked for; a machine that cannot reach it
# is told so, and the rest is checked.
set -euo pipefail
cd "$(dirname "$0")/.."

manifests=(Cargo.toml loadtest/Cargo.toml fuzz/Cargo.toml)
for manifest in "${manifests[@]}"; do
	echo "lint: $manifest"
	cargo fmt --manifest-path "$manifest" --check
	# All of fuzz/ but its one-line targets is part of tests/corpus.rs, so that clippy has read it; a build of its own would
	# compile the gateway and libFuzzer once more.
	[ "$manifest" = fuzz/Cargo.toml ] || cargo clippy --locked --manifest-path "$manifest" --all-targets -- -D warnings
done

# A tool of its own, not of this project's lock: kept under target/, so that nothing outside the clone changes.
deny=cargo-deny
if ! command -v cargo-deny >/dev/null 2>&1; then
	deny=target/tools/bin/cargo-deny
	if [ ! -x "$deny" ]; then
		echo 'lint: building cargo-deny (once, some minutes)'
		cargo install cargo-deny --version 0.20.2 --locked --quiet --root target/tools --target-dir target/tools/build
		rm -rf target/tools/build
	fi
fi

checks=(bans licenses sources)
if timeout 60 "$deny" --config deny.toml --log-level off fetch db >/dev/null 2>&1; then
	checks=(advisories "${checks[@]}")
else
	echo 'lint: the advisory database cannot be reached from here: advisories are not checked'
fi
cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null || {
	echo "lint: fuzz/Cargo.lock is behind the gateway's: scripts/fuzz.sh lock" >&2
	exit 1
}
for manifest in "${manifests[@]}"; do
	echo "lint: cargo-deny, $manifest"
	"$deny" --config deny.toml --locked --manifest-path "$manifest" --log-level error check --hide-inclusion-graph "${checks[@]}"
done
