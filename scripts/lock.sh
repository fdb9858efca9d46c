#!/usr/bin/env bash
# Resolve pyproject.toml into requirements/*.txt: exact versions, with the hash of every file, for every platform and every
# Python we support. Run by `make lock`; the argument is the directory that holds uv and pip.
#
# Promise: the files agree with each other (all are cut from one resolution) and name no place to download from, so they
# work behind any mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1

# uv does not read pip's configuration. Where only pip was told of a mirror, pass that on.
if [[ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]]; then
    mirror=${PIP_INDEX_URL:-$("$bin/python" -m pip config get global.index-url 2>/dev/null || true)}
    [[ -z "$mirror" ]] || export UV_DEFAULT_INDEX="$mirror"
fi

# The header of each file names the command a person should run, not this one's details.
export UV_CUSTOM_COMPILE_COMMAND="make lock"

compile() {
    "$bin/uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 "$@"
}

# dev holds everything, so it decides; the others are its parts, and say only what they hold.
compile --upgrade pyproject.toml --group dev --output-file requirements/dev.txt
part() { compile --no-annotate --constraints requirements/dev.txt "$@"; }
part --group build --output-file requirements/build.txt
part pyproject.toml --output-file requirements/runtime.txt
part pyproject.toml --group test --output-file requirements/test.txt
# The peers share an environment with Weighbridge at the versions it runs with: one interpreter measures them all. What only
# its extras need may be older there, because a peer refuses the newest.
compile --no-annotate --constraints requirements/runtime.txt pyproject.toml --group bench --output-file requirements/bench-peers.txt

if grep --line-number --extended-regexp '://|index-url|find-links|trusted-host' requirements/*.txt; then
    echo "a requirements file names a place to download from; see the lines above" >&2
    exit 1
fi
