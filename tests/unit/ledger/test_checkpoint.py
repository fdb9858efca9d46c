"""Checkpoints: one signature over every ledger, and every way a document can say something else than was signed."""

import base64
import hashlib
import json

import pytest

from tests.notes import KEY, OLD_KEY, Signer, is_signature
from weighbridge import canonical
from weighbridge.errors import CanonicalError, UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.checkpoint import (
    Checkpoint,
    CheckpointError,
    LogHead,
    Seal,
    SignedSeal,
    TenantHead,
    open_checkpoint,
    seal_ledgers,
)
from weighbridge.ledger.merkle import EMPTY_ROOT, Frontier, ProofError
from weighbridge.ledger.note import NoteError, sign_note

AT = "2026-11-22T10:00:00.000Z"
LEAVES = [chain.leaf_hash(bytes([number])) for number in range(9)]
LEDGERS = {
    "straße": Frontier().extended(LEAVES[:2]),
    "acme": Frontier().extended(LEAVES),
    "empty": Frontier(),
    "\U0001f4c8": Frontier().extended(LEAVES[:4]),
}


def _sealed(ledgers, log=None, signers=(KEY,)):
    return seal_ledgers(ledgers, log or Frontier(), sealed_at=AT, signers=signers)


def _open(lines, keys=(KEY.key,)):
    return open_checkpoint(lines, keys, is_signature)


CHECKPOINT = _sealed(LEDGERS, _sealed({}).signed.log)
LINES = list(CHECKPOINT.lines())


def test_a_document_gives_back_what_was_sealed():
    checkpoint, opened = _open(LINES)
    assert checkpoint == CHECKPOINT
    assert (opened.origin, opened.signed_by) == ("ledger.example/log", (KEY.key,))
    assert opened.seal.number == opened.log.size == 2
    assert (opened.seal.tenants, opened.seal.records, opened.seal.sealed_at) == (4, 15, AT)
    assert checkpoint.head("acme") == TenantHead("acme", 9, LEDGERS["acme"].root.hex())
    assert checkpoint.head("nobody") is None


def test_the_format_is_the_published_one():
    """L3: anybody can compute it with a JSON reader and SHA-256; here without any of our code."""

    def sha256(*parts):
        return hashlib.sha256(b"".join(parts)).digest()

    header, *tenants = [line.rstrip(b"\n") for line in LINES]
    signed = json.loads(header)["signed"]
    assert [json.loads(line)["tenant_id"] for line in tenants] == ["acme", "empty", "straße", "\U0001f4c8"]
    leaves = [sha256(b"\0", line) for line in tenants]
    forest = sha256(b"\1", sha256(b"\1", *leaves[:2]), sha256(b"\1", *leaves[2:]))
    assert signed["seal"] == {"forest": forest.hex(), "number": 2, "records": 15, "sealed_at": AT, "tenants": 4}
    seal = json.dumps(signed["seal"], sort_keys=True, separators=(",", ":")).encode()
    (before,) = map(bytes.fromhex, signed["before"])
    root = base64.b64encode(sha256(b"\1", before, sha256(b"\0", seal))).decode()
    assert signed["note"].split("\n\n")[0] == f"ledger.example/log\n2\n{root}"


def test_a_ledger_without_records_is_sealed_with_the_root_of_nothing():
    """L3: zero-size trees; and a store without tenants can be sealed too."""
    assert _open(LINES)[0].head("empty") == TenantHead("empty", 0, EMPTY_ROOT.hex())
    checkpoint, opened = _open(_sealed({}).lines())
    assert (checkpoint.heads, opened.seal.forest) == ((), EMPTY_ROOT.hex())


def test_the_log_only_grows():
    """tlog-checkpoint: each sealing appends one leaf, so that any witness can follow it."""
    log, leaves = Frontier(), []
    for number in range(1, 9):
        checkpoint = _sealed({"acme": Frontier().extended(LEAVES[:number])}, log)
        leaves.append(checkpoint.signed.seal.leaf)
        log = _open(checkpoint.lines())[1].log
        assert (log.size, log.root) == (number, Frontier().extended(leaves).root)


def test_every_changed_byte_is_found():
    """L3."""
    document = b"".join(LINES)
    for place, byte in enumerate(document):
        changed = document[:place] + bytes([byte ^ 1]) + document[place + 1 :]
        with pytest.raises((CheckpointError, NoteError, ProofError)):
            _open(changed.splitlines(keepends=True))


def test_every_cut_document_is_found():
    document = b"".join(LINES)
    for place in range(len(document) - 1):  # without the last newline it still says the same
        with pytest.raises((CheckpointError, NoteError)):
            _open(document[:place].splitlines(keepends=True))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        LINES[:-1],
        LINES[1:],
        [LINES[0], *LINES[2:]],
        [*LINES, LINES[1]],
        [LINES[0], LINES[2], LINES[1], *LINES[3:]],
        [*LINES, b"\n"],
        [LINES[0].replace(b'"version":1', b'"version":2'), *LINES[1:]],
        [LINES[0].replace(b"weighbridge-checkpoint", b"weighbridge-proof"), *LINES[1:]],
        [LINES[0].replace(b'{"format"', b'{ "format"'), *LINES[1:]],
        [LINES[0].replace(b'"version"', b'"unknown":0,"version"'), *LINES[1:]],
        [b"\xff", *LINES[1:]],
        [b"[" * 100_000, *LINES[1:]],
    ],
)
def test_lines_that_are_missing_doubled_moved_or_no_lines_are_found(lines):
    """L3."""
    with pytest.raises(CheckpointError):
        _open(lines)


def test_heads_that_cannot_be_are_refused_even_if_signed():
    """A signer that is wrong or taken over cannot hand out what says different things to different readers."""

    def signed(*heads, tenants=0, records=0):
        forest = Frontier().extended(head.leaf for head in heads).root.hex()
        seal = Seal(1, AT, len(heads) + tenants, sum(head.size for head in heads) + records, forest)
        log = Frontier().extended([seal.leaf])
        note = sign_note(str(LogHead("ledger.example/log", 1, log.root)), [KEY])
        return Checkpoint(SignedSeal(note, seal, ()), heads).lines()

    root = LEDGERS["acme"].root.hex()
    _open(signed(TenantHead("a", 9, root), TenantHead("b", 9, root)))
    for heads in [
        (TenantHead("b", 9, root), TenantHead("a", 9, root)),
        (TenantHead("a", 9, root), TenantHead("a", 9, root)),
        (TenantHead("a", 0, root),),
        (TenantHead("a", 9, EMPTY_ROOT.hex()),),
        (TenantHead("a", 9, root.upper()),),
        (TenantHead("a", 9, root[:-2]),),
        (TenantHead("a", 9, "no hash"),),
        (TenantHead("a", -9, root), TenantHead("b", 18, root)),
    ]:
        with pytest.raises(CheckpointError):
            _open(signed(*heads))
    for wrong in ({"tenants": 1}, {"records": 1}):
        with pytest.raises(CheckpointError, match="cut or added to"):
            _open(signed(TenantHead("a", 9, root), **wrong))


def test_a_checkpoint_is_signed_under_one_name_by_one_key_or_several():
    """Rotation: old keys keep verifying what they signed; during it both sign."""
    old, both = _sealed(LEDGERS, signers=[OLD_KEY]), _sealed(LEDGERS, signers=[OLD_KEY, KEY])
    assert _open(old.lines(), [KEY.key, OLD_KEY.key])[1].signed_by == (OLD_KEY.key,)
    assert _open(both.lines())[1].signed_by == (KEY.key,)
    with pytest.raises(NoteError, match="no listed key"):
        _open(old.lines())
    for signers in ([], [KEY, Signer("other.example", b"o")]):
        with pytest.raises(UsageError, match="one name"):
            _sealed(LEDGERS, signers=signers)


def test_a_key_of_another_log_does_not_vouch_for_this_one():
    """A listed witness, or the key of another installation, signs under its own name: that alone is not enough."""
    witness = Signer("witness.example", b"w")
    text = CHECKPOINT.signed.note.split("\n\n")[0] + "\n"
    forged = json.loads(LINES[0])
    forged["signed"]["note"] = sign_note(text, [witness])
    line = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(CheckpointError, match="witness does not do alone"):
        _open([line, *LINES[1:]], [KEY.key, witness.key])


def test_a_seal_that_is_not_the_last_of_the_log_is_refused():
    """Parts of two checkpoints do not make a third."""
    third = json.loads(next(iter(_sealed(LEDGERS, CHECKPOINT.signed.log).lines())))
    for part in ("note", "seal", "before"):
        mixed = json.loads(LINES[0])
        mixed["signed"][part] = third["signed"][part]
        line = json.dumps(mixed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        with pytest.raises((CheckpointError, ProofError)):
            _open([line, *LINES[1:]])


@pytest.mark.parametrize("tenant", ["acme", 'a"\\\n\x7f/<', "straße", "\U0001f4c8", "\u2028"])
def test_the_entry_of_a_tenant_is_canonical(tenant):
    """It is encoded without the checks that any JSON value needs; the bytes are the same."""
    head = TenantHead(tenant, 2**53 - 1, "ab" * 32)
    assert head.line == canonical.encode({"size": 2**53 - 1, "root": "ab" * 32, "tenant_id": tenant})


def test_a_tenant_without_a_utf8_form_is_not_sealed():
    with pytest.raises(CanonicalError):
        _sealed({"\ud800": Frontier()})


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
BODY = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"  # the example of c2sp.org/tlog-checkpoint


def test_the_text_of_a_checkpoint_is_the_published_one():
    head = LogHead.parse(BODY)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert str(head) == BODY
    assert LogHead.parse(f"{BODY}an extension\nanother\n") == head
    assert LogHead.parse(BODY.replace("20852163", "0")).size == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        BODY[:-1],
        BODY + "\n",
        "\n" + BODY,
        BODY.replace("20852163", "020852163"),
        BODY.replace("20852163", "-1"),
        BODY.replace("20852163", "+1"),
        BODY.replace("20852163", "²"),
        BODY.replace("20852163", "1_0"),
        BODY.replace("20852163", str(2**53)),
        BODY.replace("20852163", "9" * 5000),
        BODY.replace(ROOT, ROOT[:-1]),
        BODY.replace(ROOT, ROOT[4:]),
        BODY.replace(ROOT, ROOT.replace("2I=", "2J=")),
        BODY.replace(ROOT, "ö"),
        "example.com\n1\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text):
    """tlog-checkpoint: one way to write it."""
    with pytest.raises(CheckpointError):
        LogHead.parse(text)
