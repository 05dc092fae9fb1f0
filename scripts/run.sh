#!/usr/bin/env bash
# Builds and starts the mock provider and corelane in front of it, prints a first request, and ends both on Ctrl-C.
# A provider whose key is in the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY,
# GEMINI_API_KEY) is the real one instead.
set -euo pipefail
cd "$(dirname "$0")/.."

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
	local port=$1
	while is_taken "$port"; do port=$((port + 1)); done
	echo "$port"
}

is_healthy() {
	local status
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
	read -r -t 2 status <&3 || status=
	exec 3<&-
	[[ $status == 'HTTP/1.1 200'* ]]
}

children=()
# shellcheck disable=SC2317 # called by the trap
stop() {
	trap - EXIT INT TERM
	for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
	wait
	rm -rf "$folder"
}
folder=$(mktemp -d "${TMPDIR:-/tmp}/corelane-run.XXXXXX")
trap stop EXIT
trap 'stop; exit 0' INT TERM

cargo build --release --locked
mock_url=http://127.0.0.1:$(free_port 9100)
openai_url=$mock_url anthropic_url=$mock_url gemini_url=$mock_url
[ -z "${OPENAI_API_KEY:-}" ] || openai_url=https://api.openai.com
[ -z "${ANTHROPIC_API_KEY:-}" ] || anthropic_url=https://api.anthropic.com
[ -z "${GEMINI_API_KEY:-}" ] || gemini_url=https://generativelanguage.googleapis.com
if [[ " $openai_url $anthropic_url $gemini_url " == *" $mock_url "* ]]; then
	cargo build --release --locked --manifest-path loadtest/Cargo.toml --bin mock
	loadtest/target/release/mock --listen "${mock_url#http://}" >"$folder/mock.log" 2>&1 &
	children+=($!)
fi
export OPENAI_API_KEY=${OPENAI_API_KEY:-mock-key} ANTHROPIC_API_KEY=${ANTHROPIC_API_KEY:-mock-key}
export GEMINI_API_KEY=${GEMINI_API_KEY:-mock-key}

# The quickstart's file names the mock's usual address for both providers; each gets the one chosen above, and
# Gemini stands beside them, which the file leaves out so that nobody needs a key for it. The rows stay in the clone's own
# target folder.
logs=$PWD/target/run/logs.db
mkdir -p "${logs%/*}"
gemini=$(
	cat <<-JSON
		    "gemini": {
		      "keys": [{ "name": "gemini-primary", "value": "env.GEMINI_API_KEY", "models": ["*"], "weight": 1.0 }],
		      "network_config": { "base_url": "$gemini_url" }
		    },
	JSON
)
awk -v openai="$openai_url" -v anthropic="$anthropic_url" -v gemini="$gemini" -v logs="$logs" '
	/"openai"[[:space:]]*:/ { url = openai }
	/"anthropic"[[:space:]]*:/ { url = anthropic }
	{ gsub(/http:\/\/127\.0\.0\.1:9100/, url); gsub(/\.\/logs\.db/, logs); print }
	/"providers"[[:space:]]*:/ { print gemini }
' deploy/quickstart/config.json >"$folder/config.json"

port=$(free_port "${APP_PORT:-8080}")
target/release/corelane serve --config "$folder/config.json" --host 127.0.0.1 --port "$port" &
gateway=$!
children+=("$gateway")
for _ in $(seq 100); do
	if is_healthy "$port" 2>/dev/null; then
		break
	fi
	kill -0 "$gateway" 2>/dev/null || { echo 'corelane ended; its reason stands above' >&2 && exit 1; }
	sleep 0.1
done

cat <<TEXT

corelane serves on http://127.0.0.1:$port (openai: $openai_url, anthropic: $anthropic_url, gemini: $gemini_url). A first
request, and one as Google's SDKs send it:

curl http://127.0.0.1:$port/v1/chat/completions -H 'Content-Type: application/json' -d '{"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
curl http://127.0.0.1:$port/genai/v1beta/models/gemini-2.5-flash:generateContent -H 'Content-Type: application/json' -d '{"contents": [{"parts": [{"text": "Hello"}]}]}'

Its log rows are in $logs (SQLite, table logs). Ctrl-C ends it.
TEXT
wait -n || true
