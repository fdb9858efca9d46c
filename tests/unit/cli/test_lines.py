from __future__ import annotations

import gzip
import io
import json
import os
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.cli import lines
from weighbridge.cli.lines import BATCH_LINES, Identifier, Line, Source, derived_id, identity_of, read
from weighbridge.errors import CanonicalError, ContextError, UsageError


def lines_of(path):
    source = Source(str(path))
    try:
        return [line for batch in source.batches() for line in batch]
    finally:
        source.close()


def test_numbers_count_every_line_and_blank_ones_are_left_out(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n   \n{"b":2}')
    assert lines_of(path) == [Line(1, b'{"a":1}\r'), Line(4, b'{"b":2}')]


def test_gzip_is_told_by_content_and_not_by_name(tmp_path):
    path = tmp_path / "plain-by-name.jsonl"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [line.data for line in lines_of(path)] == [b"one", b"two"]


def test_a_damaged_archive_gives_what_can_be_read_and_says_where_it_ends(tmp_path):
    path = tmp_path / "c.gz"
    whole = gzip.compress(
        b"".join(b'{"n": "%d", "x": "%s"}\n' % (n, os.urandom(20).hex().encode()) for n in range(2000))
    )
    path.write_bytes(whole[: len(whole) // 2])
    read_lines = lines_of(path)
    assert "damaged" in (read_lines[-1].error or "")
    assert read_lines[-1].number == len(read_lines)
    assert all(line.error is None for line in read_lines[:-1])


@given(
    texts=st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")), max_size=30),
    cuts=st.lists(st.integers(1, 40), max_size=60),
)
def test_lines_do_not_depend_on_how_the_stream_is_cut(texts, cuts):
    stream = io.BytesIO(b"\n".join(texts))
    splitter = lines._Splitter()
    found: list[Line] = []
    for size in [*cuts, 10_000]:
        if chunk := stream.read(size):
            found += splitter.lines(chunk)
    found += splitter.rest()
    expected = []
    for number, data in enumerate(texts, 1):
        shown = data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data
        if shown.strip():
            expected.append(Line(number, shown))
    assert found == expected


def test_a_line_without_end_is_reported_once_and_skipped(monkeypatch, tmp_path):
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 100)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 64)
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"first\n" + b"x" * 1000 + b"\nlast\n")
    found = lines_of(path)
    assert [line.number for line in found] == [1, 2, 3]
    assert "longer than" in (found[1].error or "")
    assert found[2].data == b"last"


def test_batches_hold_at_most_the_lines_of_one_commit(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"x\n" * (2 * BATCH_LINES + 1))
    source = Source(str(path))
    assert [len(batch) for batch in source.batches()] == [BATCH_LINES, BATCH_LINES, 1]
    source.close()


def test_lines_of_an_open_pipe_are_given_before_it_ends(monkeypatch):
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as readable, os.fdopen(write_end, "wb", buffering=0) as writable:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(readable))
        writable.write(b"one\ntwo\nhalf")
        got = []
        reader = threading.Thread(target=lambda: got.append(next(Source("-").batches())))
        reader.start()
        reader.join(timeout=10)
        assert [line.data for line in got[0]] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["no-such-file", "."])
def test_a_source_that_cannot_be_read_is_a_usage_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        Source(name)


def test_an_id_is_derived_from_the_canonical_line_and_its_occurrence():
    """G3: the same request is known again, the same request made twice is two."""
    identifier = Identifier()
    first = identifier.context(b'{"b": 1.0, "a": [1, 2]}')["validation_run_id"]
    again = identifier.context(b'{"a":[1,2],"b":1}')["validation_run_id"]
    other = identifier.context(b'{"a":[2,1],"b":1}')["validation_run_id"]
    assert len({first, again, other}) == 3
    in_another_run = Identifier()
    assert [in_another_run.context(b'{"a":[1,2],  "b":1}')["validation_run_id"] for _ in "12"] == [first, again]
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert Identifier("agent").context(b'{"a":[1,2],"b":1}')["validation_run_id"] != first


def test_a_derived_id_is_the_same_for_ever():
    assert derived_id(b"\0" * 32, 0) == "2c34ce1d-f23b-838c-9abf-2a7f6437cca3"


def test_a_stated_id_stays():
    assert Identifier().context(b'{"validation_run_id": "run-1"}')["validation_run_id"] == "run-1"
    assert Identifier().context(b'{"validation_run_id": null}')["validation_run_id"]


SPENDING = b'{"budget": {"operation": "llm.chat", "amounts": {"tokens": 5}}}'


def test_a_request_for_the_budget_gets_an_operation_id_the_same_in_every_run():
    """B6, G3: the same line is known again, the same line twice is two operations."""
    once, other = Identifier(), Identifier()
    first, second = (once.context(SPENDING) for _ in "12")
    assert first["operation_id"] != second["operation_id"]
    assert [other.context(SPENDING)["operation_id"] for _ in "12"] == [first["operation_id"], second["operation_id"]]
    assert identity_of(first) == first["operation_id"]
    assert "validation_run_id" not in first


def test_beside_a_choke_point_the_run_is_named_for_its_operation():
    """G10: both ids are bound together, in every run over the line the same ones."""
    line = b'{"choke_point": "BEFORE_STEP_EXECUTION", "budget": {}}'
    asked = Identifier().context(line)
    assert asked["validation_run_id"] == f"{asked['operation_id']}:BEFORE_STEP_EXECUTION"
    assert Identifier().context(line) == asked
    stated = Identifier().context(b'{"operation_id": "op-1", "choke_point": "BEFORE_STEP_EXECUTION", "budget": {}}')
    assert (identity_of(stated), stated["validation_run_id"]) == ("op-1", "op-1:BEFORE_STEP_EXECUTION")


def test_a_stated_run_id_is_stated_for_one_operation():
    """G3: the same line with its id is the same request, also twice in one file."""
    line = b'{"validation_run_id": "run-1", "choke_point": "BEFORE_STEP_EXECUTION", "budget": {}}'
    identifier = Identifier()
    first, again = identifier.context(line), identifier.context(line)
    assert first == again
    assert first["validation_run_id"] == "run-1"


def test_amounts_of_any_size_have_an_id_and_text_and_numbers_are_one_request():
    """B2, G3: amounts are exact beyond 2**53, where the canonical form of a request ends."""
    large = b'{"budget": {"operation": "x", "amounts": {"tokens": 1000000000000000000000}}}'
    as_text = large.replace(b"1000000000000000000000", b'"1000000000000000000000"')
    assert Identifier().context(large) == Identifier().context(as_text)


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (Line(1, b"[1]"), ContextError, "is a list, not an object"),
        (Line(1, b"true"), ContextError, "is true, not an object"),
        (Line(1, b"null"), ContextError, "is null, not an object"),
        (Line(1, b'"x"'), ContextError, "is text, not an object"),
        (Line(1, b"3.5"), ContextError, "is a number, not an object"),
        (Line(1, b'{"a": "\\ud800"}'), CanonicalError, "surrogate"),
        (Line(1, b'{"a": 9007199254740993}'), CanonicalError, "2**53 - 1"),
        (Line(1, b"", "is too long"), ContextError, "is too long"),
    ],
)
def test_what_is_no_context_comes_back_as_its_error(line, error, words):
    found = read(Identifier(), line)
    assert isinstance(found, error)
    assert words in str(found)


def test_json_round_trip():
    document = {"choke_point": "X", "n": 1.5}
    assert read(Identifier(), Line(1, json.dumps({**document, "validation_run_id": "r"}).encode())) == {
        **document,
        "validation_run_id": "r",
    }
