import gzip
import hashlib
import os
from contextlib import closing

import pytest

from weighbridge.errors import UsageError
from weighbridge.storage.archives import ArchiveFile, with_archives
from weighbridge.storage.audit import export_ledger
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import decision, draft


@pytest.fixture
def store():
    made = MemoryStore(entropy=os.urandom)
    for number in range(1, 8):
        made.commit(decision(draft(f"run-{number}")))
    return made


@pytest.fixture(params=["a.jsonl", "a.jsonl.gz"])
def path(request, tmp_path, store):
    """An archive of records 3 to 6."""
    data = b"".join(export_ledger(store, "acme", after_seq=2, last_seq=6))
    made = tmp_path / request.param
    made.write_bytes(gzip.compress(data) if made.suffix == ".gz" else data)
    return made


def test_bodies_are_found_in_any_order(path, store):
    with closing(ArchiveFile(path)) as file:
        assert (file.tenant_id, file.first_seq) == ("acme", 3)
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        for seq in (6, 3, 5, 4):
            assert file.body(seq) == store.record("acme", seq).body


def test_what_cannot_be_read_is_an_empty_body(path, store):
    """L3: which no leaf hash is of."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    changed = data.replace(b'"seq":4}', b'"seq":5}').replace(b'"leaf":', b'"loaf":', 1)
    path.write_bytes(gzip.compress(changed) if path.suffix == ".gz" else changed)
    with closing(ArchiveFile(path)) as file:
        assert [file.body(seq) for seq in (3, 4)] == [b"", b""]
        assert file.body(5) == store.record("acme", 5).body


def test_a_cut_file_has_what_it_has(path, store):
    path.write_bytes(path.read_bytes()[:-40])
    with closing(ArchiveFile(path)) as file:
        assert file.body(3) in {store.record("acme", 3).body, b""}


def test_what_is_no_archive_is_refused(tmp_path):
    for content in (b"", b"{}", b"\x1f\x8bnothing", b'{"format":"other"}'):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(UsageError, match="is no archive"):
            ArchiveFile(tmp_path / "x")
    with pytest.raises(UsageError, match="cannot be read"):
        ArchiveFile(tmp_path / "missing")


def test_a_reader_without_stubs_is_as_it_was(path, store):
    """L5: and a file of one tenant says nothing of another."""
    with closing(ArchiveFile(path)) as file:
        reader = with_archives(store, [file])
        assert [*reader.records("acme")] == [*store.records("acme")]
        assert reader.record("acme", 99) is None
        with reader.snapshot() as moment:
            assert moment.head("acme") == store.head("acme")
