"""Records: what goes in comes out, and what is no record is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge import canonical
from weighbridge.errors import CanonicalError, LedgerCorrupt
from weighbridge.ledger import record
from weighbridge.ledger.record import Event, events

COMMON = {"actor": {"id": "a", "role": "agent"}, "plan_id": "p-1"}


def test_a_body_is_canonical_json_with_tenant_and_number():
    """L3: the body says where it belongs, so it cannot be moved."""
    body = record.encode("acme", 7, COMMON, [{"type": "LOGIN"}], subjects=[("step", "s")], purpose="enforcement")
    assert json.loads(body) == {
        "v": 1,
        "tenant_id": "acme",
        "seq": 7,
        "common": COMMON,
        "events": [{"type": "LOGIN"}],
        "subjects": [["step", "s"]],
        "purpose": "enforcement",
    }
    assert canonical.encode(json.loads(body)) == body


def test_what_is_in_common_stands_on_every_event():
    """G2: under what the event says itself."""
    body = record.encode("acme", 7, COMMON, [{"type": "A", "plan_id": "own"}, {"type": "B", "n": 1}])
    assert list(events(body)) == [
        Event(7, 0, "A", {"tenant_id": "acme", "actor": COMMON["actor"], "plan_id": "own"}),
        Event(7, 1, "B", {"tenant_id": "acme", "actor": COMMON["actor"], "plan_id": "p-1", "n": 1}),
    ]
    assert list(events(record.decode(body))) == list(events(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(), st.lists, max_leaves=5
)


@given(
    st.text(),
    st.integers(1, 2**53 - 1),
    st.dictionaries(st.text(), JSON),
    st.lists(st.dictionaries(st.text(), JSON)),
)
def test_decoding_gives_back_what_was_encoded(tenant, seq, common, listed):
    """L2: nothing is lost between writing and reading."""
    typed = [{**event, "type": "T"} for event in listed]
    try:
        body = record.encode(tenant, seq, common, typed)
    except CanonicalError:
        return
    decoded = record.decode(body)
    assert (decoded.tenant_id, decoded.seq, decoded.common, decoded.events) == (tenant, seq, common, typed)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"v":1,"tenant_id":"a","seq":"1","common":{},"events":[]}',
        b'{"v":1,"tenant_id":"a","seq":1,"common":{},"events":[{"no":"type"}]}',
        b'{"v":1,"tenant_id":"a","seq":1,"common":{},"events":["text"]}',
        b'{"v":2,"tenant_id":"a","seq":1,"common":{},"events":[]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(body):
    """L3: never guessed at."""
    with pytest.raises(LedgerCorrupt):
        record.decode(body)


def test_content_is_found_where_events_point_to_it():
    """L6: in a summary's `content`, and in every `content_hash`, at any depth."""
    listed = [
        {"type": "S", "content": {"policy": "h1", "engine": "h2"}},
        {"type": "V", "details": {"contradictions": [{"proposed_value": {"content_hash": "h3"}}, {"content": "no"}]}},
    ]
    assert set(record.content_hashes(listed)) == {"h1", "h2", "h3"}


@pytest.mark.parametrize(
    "common",
    [
        {"account_id": "a-1", "actor": {"id": "x", "role": "host"}, "b": ""},
        {"account_id": "\U0001f600 é \x00 \\ ' \u2028"},
        {"ﬀ": "1", "\U0001f600": "2"},
        {"actor": {"\U0001f600": "1", "ﬀ": "2"}},
        {"attempt": 3, "n": 1.0, "big": 2**53 - 1, "none": None, "list": ["x"]},
        {"actor": {"deep": {"er": 1e21}}},
    ],
)
def test_a_record_of_our_own_texts_has_the_same_bytes_without_a_look(common):
    """L2: the short way of encoding is taken only where both ways agree."""
    told = [{"type": "BUDGET_RESERVE", "caps": [{"cap": "day", "usage_before": "0"}], "findings": []}]
    assert record.encode("acme", 7, common, told, ours=True) == record.encode("acme", 7, common, told)


@pytest.mark.parametrize("common", [{"a": float("nan")}, {"a": {1, 2}}, {"a": "\ud800"}, {1: "a"}, {"a": 2**60}])
def test_what_has_no_canonical_form_is_refused_either_way(common):
    """L2: nothing is approximated."""
    with pytest.raises(CanonicalError):
        record.encode("acme", 7, common, [{"type": "BUDGET_RESERVE"}], ours=True)
