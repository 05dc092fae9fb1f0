#!/usr/bin/env bash
# Builds the container image with whichever engine works here. IMAGE names it.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${IMAGE:-corelane:latest}

for engine in docker podman; do
	if command -v $engine >/dev/null 2>&1 && $engine info >/dev/null 2>&1; then
		exec $engine build -t "$image" .
	fi
done
if command -v buildah >/dev/null 2>&1; then
	exec buildah build -t "$image" .
fi
echo 'make image: no container engine works here. Install docker, podman or buildah (Debian: apt-get install podman),' >&2
echo 'start its service if it has one, and try again.' >&2
exit 1
