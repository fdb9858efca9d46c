import msgspec
import pytest

from weighbridge.errors import LedgerCorrupt, RecordArchived
from weighbridge.ledger import archive, chain, record
from weighbridge.ledger.archive import Archived
from weighbridge.ledger.fold import Fold
from weighbridge.ledger.submission import Identity

STATE = {
    "seq": 2, "digest": "", "purpose": "enforcement", "families": [],
    "last_time_ms": 5, "policy_version": "p", "zones": None,
}  # fmt: skip
MADE = Archived(file="a.jsonl", first_seq=1, last_seq=4, root="00" * 32, seq=9, sha256="11" * 32)


def test_a_stub_says_where_a_body_is():
    """L3: canonical, told from every body by how it begins, and read back as it was written."""
    assert archive.is_stub(MADE.stub)
    assert archive.read_stub(MADE.stub) == MADE
    assert not archive.is_stub(record.encode("acme", 1, {"archived": "x"}, []))
    assert MADE.place == f"`a.jsonl` (sha256 {'11' * 32})"


@pytest.mark.parametrize("seq", [1, 4])
def test_it_covers_its_range(seq):
    assert MADE.covers(seq)


@pytest.mark.parametrize("seq", [0, 5, 9])
def test_it_covers_nothing_else(seq):
    assert not MADE.covers(seq)


@pytest.mark.parametrize(
    "body",
    [
        b'{"archived":{}}',
        b'{"archived":',
        b'{"archived":\xff}',
        MADE.stub.replace(b'"seq":9', b'"seq": 9'),
        MADE.stub.replace(b'"seq":9', b'"seq":"9"'),
        MADE.stub.replace(b'"seq":9', b'"more":1,"seq":9'),
        MADE.stub + b" ",
    ],
)
def test_what_we_would_not_write_is_refused(body):
    """L3: one text for one archive."""
    with pytest.raises(LedgerCorrupt):
        archive.read_stub(body)


def test_a_record_that_is_not_there_is_no_damage():
    """G3: whoever asks for an archived record is told where it is, not that the ledger is broken."""
    with pytest.raises(RecordArchived, match=r"records 1 to 4, which are archived in `a\.jsonl`") as told:
        record.decode(MADE.stub)
    assert (told.value.code, told.value.file, told.value.span) == ("RECORD_ARCHIVED", "a.jsonl", (1, 4))


def test_an_event_that_lacks_something_is_corrupt():
    said = {"file": "a", "first_seq": 1, "last_seq": 2, "root": "", "sha256": "", "kept": [2], "state": STATE}
    told = archive.of_event(3, said)
    assert (told.archived, {*told.kept}) == (Archived("a", 1, 2, "", 3, ""), {2})
    assert msgspec.to_builtins(told.state) == STATE | {"families": ()}
    for name in said:
        with pytest.raises(LedgerCorrupt, match="does not say what it archived"):
            archive.of_event(3, {key: value for key, value in said.items() if key != name})


def test_a_chain_goes_on_over_an_archived_record():
    """L3: by its leaf hash; without that it does not."""
    leaf = chain.leaf_hash(b"body")
    genesis = chain.genesis("acme")
    assert chain.check_link((0, genesis), 1, leaf, chain.link(genesis, 1, leaf), None) is None
    fault = chain.check_link((0, genesis), 1, bytes(32), chain.link(genesis, 1, leaf), None)
    assert fault is not None
    assert fault.message == "record 1 does not continue record 0"


def test_a_fold_forgets_what_it_cannot_know():
    """L3: after an archived record no id of before is claimed; what was erased stays known, because its record stays."""
    fold = Fold("acme")
    fold.identities["run", "x"] = Identity("hash", 1)
    fold.erased["content"] = 1
    leaf = chain.leaf_hash(b"body")
    assert fold.add(1, leaf, chain.link(chain.genesis("acme"), 1, leaf), MADE.stub) is None
    assert (fold.archived_to, fold.identities, fold.erased) == (1, {}, {"content": 1})
    outside = fold.add(
        2, leaf, chain.link(fold.head.hash, 2, leaf), MADE.stub.replace(b'"last_seq":4', b'"last_seq":1')
    )
    assert outside is not None
    assert outside.part == "archive"
