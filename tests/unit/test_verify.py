"""The stranger's verifier: every change of an export is found and the first bad record named."""

import ast
import importlib.util
import json
import os
import random
from pathlib import Path

import pytest

from weighbridge import canonical, verify
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger import chain
from weighbridge.ledger.export import export_lines
from weighbridge.storage.audit import export_ledger
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import TENANT, completion, decision, draft, erasure, hashed, with_content
from weighbridge.verify import verify_export

COUNT = 7


@pytest.fixture(scope="module")
def store():
    store = MemoryStore(entropy=os.urandom)
    key = store.tenant_key(TENANT)
    store.commit(decision(draft("run-1", verdict=Verdict.BLOCK), operation="op-1"))
    store.commit(decision(draft("run-2"), operation="op-2", note='é "quoted" \u2028 \\'))
    store.commit(completion("op-2"))
    store.commit(with_content("run-3", key, b"text"))
    store.commit(with_content("run-4", key, b"\xff\xfe"))
    store.commit(with_content("run-5", key, b"gone"))
    store.erase_content(TENANT, (canonical.keyed_hash(key, b"gone"),), erasure())
    store.commit(decision(draft("run-1"), tenant="globex"))
    assert store.head(TENANT).seq == COUNT
    return store


@pytest.fixture
def lines(store):
    return list(export_ledger(store, TENANT))


def first_bad(lines, **options):
    report = verify_export(lines, **options)
    assert report.ok == (not report.faults)
    return report.first_bad and report.first_bad.seq


def edited(line, **changes):
    return canonical.encode(json.loads(line) | changes) + b"\n"


def test_a_good_export_verifies(store, lines):
    """L3: and the report says what it is of."""
    report = verify_export(lines)
    head = store.head(TENANT)
    assert report == verify.ExportReport(TENANT, 1, COUNT, 0, False, (head.seq, head.hash.hex()), ())
    assert report.ok


def test_a_part_of_a_ledger_verifies_from_where_it_begins(store):
    """L3: what stands before it is taken as given, and the report says so."""
    report = verify_export(export_ledger(store, TENANT, after_seq=3))
    assert (report.ok, report.first_seq, report.records) == (True, 4, 4)


@pytest.mark.parametrize("seq", range(1, COUNT + 1))
def test_the_first_bad_record_is_named(lines, seq):
    """L3: a changed body, leaf or hash, in every record."""
    body = json.loads(lines[seq])["body"]
    for changes in (
        {"body": body.replace('"role":"a', '"role":"b')},
        {"body": body + " "},
        {"leaf": hashed("x")},
        {"hash": hashed("x")},
        {"seq": seq + 1},
        {"seq": seq - 1},
    ):
        assert first_bad([*lines[:seq], edited(lines[seq], **changes), *lines[seq + 1 :]]) == seq
    assert first_bad([*lines[:seq], *lines[seq + 1 :]]) == seq
    assert first_bad([*lines[:seq], lines[seq], *lines[seq:]]) == seq + 1


def test_swapped_records_are_named(lines):
    """L3: order is part of the chain."""
    lines[2], lines[5] = lines[5], lines[2]
    assert first_bad(lines) == 2


@pytest.mark.parametrize("kept", range(COUNT + 2))
def test_a_cut_file_is_named(lines, kept):
    """L3: cut anywhere, between lines or inside one."""
    assert first_bad(lines[:kept]) == max(kept, 1)
    assert not verify_export([*lines[:kept], lines[kept][: len(lines[kept]) // 2]]).ok


def test_a_record_with_a_recomputed_hash_breaks_the_next(lines):
    """L3: making one record fit names the one after it; making the last fit names the end."""
    line = json.loads(lines[3])
    body = line["body"].replace("person-1", "person-2")
    leaf = chain.leaf_hash(body.encode())
    hash_ = chain.link(bytes.fromhex(json.loads(lines[2])["hash"]), 3, leaf)
    lines[3] = edited(lines[3], body=body, leaf=leaf.hex(), hash=hash_.hex())
    assert first_bad(lines) == 4


def chained(start, bodies):
    """Return an export of bodies linked correctly from any start."""
    seq, hash_ = 0, start
    kept = []
    for seq, body in enumerate(bodies, start=1):
        leaf = chain.leaf_hash(body)
        hash_ = chain.link(hash_, seq, leaf)
        kept.append((seq, leaf, hash_, body))
    return list(export_lines(TENANT, (0, start), kept))


def test_a_chain_must_start_at_the_genesis_of_its_tenant(store):
    """L3: a chain linked from elsewhere is no chain of this tenant."""
    bodies = [stored.body for stored in store.records(TENANT)]
    assert verify_export(chained(chain.genesis(TENANT), bodies)).ok
    assert [fault.part for fault in verify_export(chained(chain.genesis("globex"), bodies)).faults] == ["header"]


def test_a_linked_body_must_be_the_record_it_stands_for(store):
    """L3: one of another number, of another tenant, or none at all, however well it is linked."""
    bodies = [stored.body for stored in store.records(TENANT)]
    (other,) = (stored.body for stored in store.records("globex"))
    for wrong in (bodies[3], other, b"no record"):
        assert first_bad(chained(chain.genesis(TENANT), [*bodies[:4], wrong, *bodies[5:]])) == 5
    assert first_bad(chained(chain.genesis(TENANT), [other])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": "globex"},
        {"after_hash": hashed("x")},
        {"after_hash": "no hex"},
        {"after_seq": 1},
        {"format": "x"},
        {"version": 2},
        {"extra": 1},
    ],
)
def test_a_wrong_header_is_named(lines, changes):
    """L3: another tenant's name or another start does not fit the chain."""
    assert not verify_export([edited(lines[0], **changes), *lines[1:]]).ok


@pytest.mark.parametrize("changes", [{"seq": 8}, {"seq": 6}, {"hash": hashed("x")}, {"contents": 1}, {"end": 2}])
def test_a_wrong_last_line_is_named(lines, changes):
    assert not verify_export([*lines[:-1], edited(lines[-1], **changes)]).ok


@pytest.mark.parametrize(
    "junk", [b"", b"\n", b"no json\n", b"[]\n", b"\xff\n", b"{}\n", b'{"seq":1}\n', b"null\n", b"1e400\n"]
)
def test_a_line_that_is_none_is_named(lines, junk):
    """L3: anywhere in the file."""
    for place in range(len(lines) + 1):
        assert not verify_export([*lines[:place], junk, *lines[place:]]).ok


def test_a_line_that_two_readers_could_read_differently_is_none(lines):
    """L3: the same key twice: one reader takes the first, another the last."""
    twice = lines[2].replace(b'"seq":2', b'"seq":9,"seq":2')
    assert json.loads(twice) == json.loads(lines[2])
    assert first_bad([*lines[:2], twice, *lines[3:]]) == 2


def test_any_flipped_bit_is_found(lines):
    """L3: in any place of the file."""
    chance = random.Random(3)
    text = b"".join(lines)
    for _ in range(300):
        at, bit = chance.randrange(len(text)), 1 << chance.randrange(8)
        changed = text[:at] + bytes([text[at] ^ bit]) + text[at + 1 :]
        assert not verify_export(changed.splitlines(keepends=True)).ok, (at, bit)


def test_contents_are_checked_with_the_key(store):
    """L6: without the tenant's key their hashes say nothing; with it a change is found."""
    lines = list(export_ledger(store, TENANT, contents=True))
    key = store.tenant_key(TENANT)
    report = verify_export(lines, key=key)
    assert (report.ok, report.contents) == (True, 3)
    place = next(number for number, line in enumerate(lines) if b'"text":' in line)
    changed = [*lines[:place], edited(lines[place], text="other"), *lines[place + 1 :]]
    assert [fault.part for fault in verify_export(changed, key=key).faults] == ["content"]
    assert verify_export(changed).ok
    for line in ({"content": "h"}, {"content": "h", "base64": "?"}):
        assert not verify_export([*changed[:-1], canonical.encode(line) + b"\n", changed[-1]]).ok


def test_what_only_a_witness_shows(store, lines):
    """L3: a ledger that was cut, restored or computed anew before the export verifies; the witness tells."""
    kept = json.loads(lines[4])
    shorter = MemoryStore(entropy=os.urandom)
    shorter.commit(decision(draft("run-1", verdict=Verdict.BLOCK), operation="op-1"))
    old = list(export_ledger(shorter, TENANT))
    assert verify_export(old).ok
    assert [fault.part for fault in verify_export(old, witness=(kept["seq"], kept["hash"])).faults] == ["witness"]
    shorter.commit(decision(draft("other")))
    for run in ("a", "b", "c"):
        shorter.commit(decision(draft(run)))
    anew = list(export_ledger(shorter, TENANT))
    assert verify_export(anew).ok
    assert first_bad(anew, witness=(kept["seq"], kept["hash"])) == 4
    assert verify_export(lines, witness=(kept["seq"], kept["hash"])).ok
    part = list(export_ledger(store, TENANT, after_seq=4))
    assert verify_export(part, witness=(4, kept["hash"])).ok
    assert not verify_export(part, witness=(4, hashed("x"))).ok


def test_it_reads_a_stream_and_tells_how_far_it_is(lines):
    """L3: one line at a time, however long the file."""
    told: list[int] = []
    report = verify_export(iter(lines), progress=told.append)
    assert report.ok
    assert sum(told) == sum(map(len, lines))


def test_faults_are_not_endless(lines):
    assert len(verify_export([lines[0], *[b"junk\n"] * 1000]).faults) == verify.FAULTS_MAX


def test_it_needs_neither_rules_nor_a_database():
    """L3: what happened can be checked without knowing what was allowed."""
    wanted = {"weighbridge.canonical", "weighbridge.ledger", "weighbridge.domain", "weighbridge.errors"}
    wanted |= {"weighbridge.budgets"}  # sums and calendars; which caps there were, the records say
    pending, seen = {"weighbridge.verify"}, set()
    while pending:
        module = pending.pop()
        seen.add(module)
        pending |= {name for name in imported(module) if name.startswith("weighbridge.")} - seen
    assert {".".join(name.split(".")[:2]) for name in seen} - {"weighbridge.verify"} <= wanted
    assert "weighbridge.ledger.chain" in seen


def imported(module):
    """Return the modules that a module imports when it is loaded."""
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    found = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return {name for name in found if not name.startswith("weighbridge") or findable(name)}


def findable(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_what_stands_after_the_last_line_is_named(lines):
    """L3: the last line is the last: no record, content or second end follows it."""
    for extra in (lines[1], lines[-1], edited(lines[-1], seq=COUNT + 1)):
        report = verify_export([*lines, extra])
        assert report.faults[0].part == "end"
        assert "after the last line" in report.faults[0].message


@pytest.mark.parametrize("seq", [0, 1, 3, 8, 99])
def test_a_witness_of_a_record_that_is_not_in_the_export(store, seq):
    """L3: a part cannot vouch for what it does not hold; the fault is of the record that the witness saw."""
    report = verify_export(export_ledger(store, TENANT, after_seq=4), witness=(seq, hashed("x")))
    (fault,) = report.faults
    assert (fault.seq, fault.part) == (seq, "witness")
    assert f"record {seq}, which the witness saw, is not in this export; it holds records 5 to 7" in fault.message


@pytest.mark.parametrize("seq", [4, 6])
def test_a_wrong_witness_is_named_by_its_number(store, seq):
    """L3: the record it saw, also where that is the one before the first."""
    (fault,) = verify_export(export_ledger(store, TENANT, after_seq=4), witness=(seq, hashed("x"))).faults
    assert (fault.seq, fault.part) == (seq, "witness")


def test_the_report_says_what_it_covers(store, lines):
    """L3: from which record to which, and whether anything stands before."""
    part = verify_export(export_ledger(store, TENANT, after_seq=4))
    assert (part.first_seq, part.last_seq, part.partial) == (5, 7, True)
    whole = verify_export(lines)
    assert (whole.first_seq, whole.last_seq, whole.partial) == (1, 7, False)
    nothing = verify_export(export_ledger(store, TENANT, after_seq=7))
    assert (nothing.first_seq, nothing.last_seq, nothing.records) == (8, 7, 0)


def test_the_report_says_whether_content_was_checked(store):
    """L6: without the key it is not, and nobody may think it was."""
    lines = list(export_ledger(store, TENANT, contents=True))
    report = verify_export(lines)
    assert (report.ok, report.contents, report.contents_checked) == (True, 3, False)
    report = verify_export(lines, key=store.tenant_key(TENANT))
    assert (report.ok, report.contents, report.contents_checked) == (True, 3, True)


def test_bad_content_names_the_first_record_that_points_to_it(store, monkeypatch):
    """L3: whichever hash comes first in the file, and however many faults there are."""
    monkeypatch.setattr(verify, "FAULTS_MAX", 2)
    many = MemoryStore(entropy=os.urandom)
    for number in range(40):
        many.commit(with_content(f"run-{number}", many.tenant_key(TENANT), f"text {number}".encode()))
    report = verify_export(export_ledger(many, TENANT, contents=True), key=b"another")
    assert [fault.seq for fault in report.faults] == [1, 2]
    part = verify_export(export_ledger(many, TENANT, after_seq=40, contents=True), key=b"another")
    assert [fault.seq for fault in part.faults] == [None, None]
