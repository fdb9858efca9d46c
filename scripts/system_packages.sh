#!/usr/bin/env bash
# What the test suite needs from the operating system, beyond Python: one line per command and the Debian package that
# brings it. Run before the tests. Nothing happens where the commands are there already; as root on Debian the packages are
# installed; elsewhere we say what is missing, and the tests that need it say so too.
#
# A line belongs here only when a test uses the command.
set -euo pipefail

needed=(
    # command:package
    pgbouncer:pgbouncer # a pooler before the PostgreSQL store
)
# Servers 16 and 18 come as a wheel; any other one is Debian's.
case "${WEIGHBRIDGE_POSTGRES:-18}" in
    16 | 18) ;;
    *) needed+=("/usr/lib/postgresql/$WEIGHBRIDGE_POSTGRES/bin/postgres:postgresql-$WEIGHBRIDGE_POSTGRES") ;;
esac

missing=()
for line in ${needed[@]+"${needed[@]}"}; do # the odd form: bash 3 calls an empty array unset
    command -v "${line%%:*}" >/dev/null || missing+=("${line##*:}")
done

[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ "$(id -u)" -eq 0 ]] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get update --quiet=2
        apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}"
    } </dev/null >&2
else
    echo "missing for some tests: ${missing[*]} (Debian package names)" >&2
fi
