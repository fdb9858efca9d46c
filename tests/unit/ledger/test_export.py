"""Exports: lines that any JSON reader and any SHA-256 can check."""

import hashlib
import json

from weighbridge import canonical
from weighbridge.ledger import chain, record
from weighbridge.ledger.export import export_lines


def records(count):
    hash_ = chain.genesis("acme")
    for seq in range(1, count + 1):
        body = record.encode("acme", seq, {"note": 'quote " and é'}, [])
        leaf = chain.leaf_hash(body)
        hash_ = chain.link(hash_, seq, leaf)
        yield seq, leaf, hash_, body


def test_a_stranger_needs_json_and_sha256():
    """L3: the text of a body is exactly what was hashed."""
    lines = [json.loads(line) for line in export_lines("acme", (0, chain.genesis("acme")), records(3))]
    header, *kept, trailer = lines
    previous = hashlib.sha256(b"\x02" + header["tenant_id"].encode()).digest()
    assert header["after_hash"] == previous.hex()
    for line in kept:
        leaf = hashlib.sha256(b"\x00" + line["body"].encode()).digest()
        previous = hashlib.sha256(previous + line["seq"].to_bytes(8, "big") + leaf).digest()
        assert (leaf.hex(), previous.hex()) == (line["leaf"], line["hash"])
    assert trailer == {"end": True, "seq": 3, "hash": previous.hex(), "contents": 0}


def test_every_line_is_canonical_and_ends():
    """L3: one way to write it, so no two readers see two things."""
    contents = [("h1", b"text"), ("h2", b"\xff\x00"), ("h3", None)]
    lines = list(export_lines("acme", (0, chain.genesis("acme")), records(2), purpose="enforcement", contents=contents))
    assert all(line.endswith(b"\n") and b"\n" not in line[:-1] for line in lines)
    assert all(canonical.encode(json.loads(line)) + b"\n" == line for line in lines)
    assert [json.loads(line) for line in lines[3:6]] == [
        {"content": "h1", "text": "text"},
        {"base64": "/wA=", "content": "h2"},
        {"content": "h3", "erased": True},
    ]
    assert json.loads(lines[0])["purpose"] == "enforcement"
    assert json.loads(lines[-1])["contents"] == 3


def test_an_export_without_records_ends_where_it_begins():
    lines = [json.loads(line) for line in export_lines("acme", (7, b"h" * 32), [])]
    assert lines[-1] == {"end": True, "seq": 7, "hash": (b"h" * 32).hex(), "contents": 0}
