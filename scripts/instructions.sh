#!/usr/bin/env bash
# Counts the instructions of the look, the edit and the translation of a body under callgrind, beside serde_json's and
# sonic-rs', and prints them as Markdown. Nothing is asserted: the figures are for reading. Valgrind says nothing of time;
# it counts what the same build would run on a processor with the features that it knows.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(cargo build --bench instructions --profile bench --locked --message-format=json-render-diagnostics |
	sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p')
"$binary" >/dev/null # it looks whether all find the same

count() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" "$3" 2>&1 |
		awk '/Collected/ { print $4 }'
}

# One round more, without what start and end cost.
one() {
	echo $((($(count "$1" "$2" 5) - $(count "$1" "$2" 1)) / 4))
}

# Work, and what stands beside it.
rows() {
	local kib own serde sonic
	for kib in 1 16 128; do
		own=$(one "$1" $((kib * 1024)))
		serde=$(one "$2 serde_json" $((kib * 1024)))
		sonic=$(one "$2 sonic-rs" $((kib * 1024)))
		awk -v work="$1" -v kib="$kib" -v own="$own" -v serde="$serde" -v sonic="$sonic" 'BEGIN {
			printf "| %s | %d | %d | %d | %d | %.2f | %.2f |\n", work, kib, own, serde, sonic, serde / own, sonic / own
		}'
	done
}

table() {
	echo
	echo "| $1 | KiB | corelane | serde_json | sonic-rs | serde_json ÷ corelane | sonic-rs ÷ corelane |"
	echo '|---|---:|---:|---:|---:|---:|---:|'
}

echo "Instructions for one body. All three read the whole body as JSON and find the same four members; corelane"
echo "also refuses one of them that stands twice and counts depth and values, sonic-rs also checks UTF-8."
table 'same work'
rows look look
rows edit edit
echo
echo "A translation from OpenAI's chat dialect, and beside it no translation: the body read into a tree and written again."
table 'translation'
for to in anthropic gemini responses; do
	rows "translate $to" tree
done
