#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for SECONDS each, or only those named. Nothing tracked changes: what is new stays under
# target/fuzz/. `fuzz.sh keep` takes from there into fuzz/corpus/ what reaches code that the corpora do not; `fuzz.sh
# lock` writes fuzz/Cargo.lock anew after the gateway's lock has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
work=target/fuzz

# Longest input that is kept, bytes, and most inputs of one target: those that reach the most come first.
kept_bytes_max=1000
kept_count_max=100
# Memory and time that one input may cost: a reader that takes more of either is a finding.
limits=(-rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=5)

# The stable toolchain, told to take the sanitizers' flags.
export RUSTC_BOOTSTRAP=1
host=$(rustc -vV | sed -n 's/^host: //p')

if [ "${1:-}" = lock ]; then
	cp Cargo.lock fuzz/Cargo.lock
	exec cargo metadata --quiet --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null
fi

# A tool of its own, not of this project's lock: kept under target/, so that nothing outside the clone changes.
if ! command -v cargo-fuzz >/dev/null 2>&1; then
	if [ ! -x target/tools/bin/cargo-fuzz ]; then
		echo 'fuzz: building cargo-fuzz (once, half a minute)'
		cargo install cargo-fuzz --version 0.13.2 --locked --quiet --root target/tools --target-dir target/tools/build
		rm -rf target/tools/build
	fi
	export PATH=$PWD/target/tools/bin:$PATH
fi

is_keeping=false
if [ "${1:-}" = keep ]; then
	is_keeping=true
	shift
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	mapfile -t targets < <(cd fuzz/targets && printf '%s\n' *.rs | sed 's/\.rs$//')
fi

cargo metadata --quiet --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null || {
	echo 'fuzz: fuzz/Cargo.lock is behind the gateway'\''s: scripts/fuzz.sh lock' >&2
	exit 1
}
cargo fuzz build --fuzz-dir fuzz --target-dir "$work"

words() {
	case $1 in
	request_head | response_head | chunked_body) echo -dict=fuzz/words/http.dict ;;
	event_stream | *_stream) echo -dict=fuzz/words/events.dict ;;
	look | config_file | passing_places | *_body) echo -dict=fuzz/words/json.dict ;;
	proxy_header) echo -dict=fuzz/words/proxy.dict ;;
	esac
}

# Executions and the rest of libFuzzer's last words, as one line.
figures() {
	awk -v target="$1" '
		/stat::number_of_executed_units/ { executions = $2 }
		/stat::average_exec_per_sec/ { rate = $2 }
		/stat::peak_rss_mb/ { memory = $2 }
		/ cov: / { for (at = 1; at < NF; at++) if ($at == "cov:") edges = $(at + 1) }
		END { printf "%-17s %12d executions  %7d a second  %6d edges  %4d MB\n", target, executions, rate, edges, memory }
	' "$2"
}

# Takes what was found into the corpus, as far as there is room.
keep() {
	local kept=fuzz/corpus/$1 merged=$work/merged/$1 room
	room=$((kept_count_max - $(find "$kept" -type f | wc -l)))
	rm -rf "$merged"
	mkdir -p "$merged"
	cp "$kept"/* "$merged"
	touch "$work/marker"
	"$binary" -set_cover_merge=1 -use_counters=0 -max_len=$kept_bytes_max "$merged" "$work/corpus/$1" \
		>"$work/$1.log" 2>&1
	# They are written in the order in which they were chosen.
	find "$merged" -type f -newer "$work/marker" -printf '%T@ %p\n' | sort -n |
		awk -v room="$room" 'NR <= room { print $2 }' | xargs -r cp -t "$kept"
	echo "fuzz: $1 keeps $(find "$kept" -type f | wc -l) inputs"
}

failed=()
for target in "${targets[@]}"; do
	binary=$work/$host/release/$target
	mkdir -p "$work/corpus/$target" "$work/found/$target"
	if $is_keeping; then
		keep "$target"
		continue
	fi
	mapfile -t dictionary < <(words "$target")
	if ! "$binary" "$work/corpus/$target" "fuzz/corpus/$target" "${dictionary[@]}" "${limits[@]}" \
		"-max_total_time=$seconds" "-artifact_prefix=$work/found/$target/" -print_final_stats=1 \
		>"$work/$target.log" 2>&1; then
		failed+=("$target")
	fi
	figures "$target" "$work/$target.log"
done
for target in "${failed[@]}"; do
	echo "fuzz: $target found something: $work/$target.log, and the input beside it in $work/found/$target/" >&2
done
[ ${#failed[@]} -eq 0 ]
