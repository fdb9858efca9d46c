"""The auditor's bundle: what is in it, under which names. Pure; ``storage.bundling`` writes one, ``verifier.bundle`` checks one.

::

    README.md              how to check all of this, with our verifier and without
    ledger.jsonl           the records of the range, as ``ledger.export`` writes them: what is proved
    events.jsonl           the same as events, one a line, in one of ``ledger.forms``: what is read
    policies/<version>.json    the effective policies that were decided by; the name is the SHA-256 of the file
    seals.jsonl            for each checkpoint, the proof that the records are those it sealed (``ledger.range_proof``)
    public-keys.txt        the keys that the seals claim to be signed with; whoever checks gets them from elsewhere too
    SHA256SUMS             of every other file, as `sha256sum -c` reads it

A bundle is of one tenant and names no other. The files come in this order in a zip whose bytes follow from them (``parcel``), so
the same range of the same ledger gives the same bundle, byte for byte.
"""

from __future__ import annotations

README = "README.md"
SUMS = "SHA256SUMS"
LEDGER = "ledger.jsonl"
EVENTS = "events.jsonl"
POLICIES = "policies/"
SEALS = "seals.jsonl"
KEYS = "public-keys.txt"

REQUIRED = (README, LEDGER, EVENTS, SEALS, KEYS, SUMS)
_SUM_LENGTH = 64


def policy_name(version: str) -> str:
    """Return the name of the file that holds a policy."""
    return f"{POLICIES}{version}.json"


def sums(digests: dict[str, str]) -> bytes:
    """Return the file that `sha256sum -c` reads, from SHA-256 in hex by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def parse_sums(data: bytes) -> dict[str, str] | None:
    """Return SHA-256 in hex by name; None where ``data`` is not the one text that says so."""
    try:
        lines = data.decode("ascii", "strict").splitlines()
    except UnicodeDecodeError:
        return None
    found = {line[_SUM_LENGTH + 2 :]: line[:_SUM_LENGTH] for line in lines}
    return found if sums(found) == data else None
