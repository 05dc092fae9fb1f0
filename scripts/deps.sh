#!/usr/bin/env bash
# Installs what the named targets need beyond cargo, by apt-get, if it is missing.
# Usage: deps.sh build|run|test|bench|bench-instructions|fuzz|soak...
set -euo pipefail

missing=()
need() { missing+=("$@"); }
have() { command -v "$1" >/dev/null 2>&1; }

has_initdb() {
	have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_nginx() {
	have nginx || [ -x /usr/sbin/nginx ]
}

has_venv() {
	have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1
}

if ! have cargo; then
	echo 'cargo is missing. Install Rust 1.95 or newer (https://rustup.rs), open a new shell, and try again.' >&2
	exit 1
fi

have cc || need build-essential
for target in "$@"; do
	case $target in
	build | soak) ;;
	fuzz)
		have c++ || need g++ # libFuzzer is C++
		;;
	run)
		have curl || need curl
		;;
	test)
		has_initdb || need postgresql
		has_nginx || need nginx-light
		has_venv || need python3 python3-venv
		have node || need nodejs
		have npm || need npm
		;;
	bench)
		has_initdb || need postgresql
		has_nginx || need nginx-light
		have taskset || need util-linux
		;;
	bench-instructions)
		have valgrind || need valgrind
		;;
	*)
		echo "deps.sh: unknown target $target" >&2
		exit 2
		;;
	esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
if ! have apt-get; then
	echo "Missing here, and this machine has no apt-get: ${missing[*]} (names as in Debian 12)" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	have sudo || { echo "Missing here: ${missing[*]}. Install them as root, or install sudo." >&2 && exit 1; }
	as_root=(sudo)
fi
echo "Installing by apt-get: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
