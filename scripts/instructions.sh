#!/usr/bin/env bash
# Counts the instructions of the look, the edit and the translation of a body under callgrind, beside serde_json's and
# sonic-rs' for as much, and prints them as a Markdown table. Nothing is asserted: the figures are for reading.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --benches --bench instructions --profile bench --locked
binary=$(find target/release/deps -maxdepth 1 -name 'instructions-*' -type f -perm -u+x -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)

count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" "$3" 2>&1 |
		awk '/Collected/ { print $4 }'
}

# One round more, without what start and end cost.
one() {
	echo $((($(count "$1" "$2" 5) - $(count "$1" "$2" 1)) / 4))
}

echo '| work | KiB | corelane | serde_json | sonic-rs | serde_json ÷ corelane | sonic-rs ÷ corelane |'
echo '|---|---|---|---|---|---|---|'
for work in look edit translate; do
	for kib in 1 16 128; do
		own=$(one "$work" $((kib * 1024)))
		serde=$(one "$work serde_json" $((kib * 1024)))
		sonic=$(one "$work sonic-rs" $((kib * 1024)))
		awk -v work="$work" -v kib="$kib" -v own="$own" -v serde="$serde" -v sonic="$sonic" 'BEGIN {
			printf "| %s | %d | %d | %d | %d | %.1f | %.1f |\n", work, kib, own, serde, sonic, serde / own, sonic / own
		}'
	done
done
