import pytest

from weighbridge.domain.evidence import Trust, parse_reference

LOCATOR = {"system": "crm", "object": "renewal", "id": "r-1"}


def parsed(value):
    reference = parse_reference(value)
    assert reference is not None
    return reference


def test_the_three_shapes():
    """The words of the contract: a structured pointer to trusted state, in one of three shapes."""
    source = parsed({"source_type": "crm", "source_id": "r-1"})
    assert (source.key, source.fields, source.source_type) == (("source", "crm", "r-1"), None, "crm")
    event = parsed({"ledger_event_id": "17:2"})
    assert (event.key, event.source_type) == (("event", "17:2"), None)
    record = parsed({"record_locator": {**LOCATOR, "fields": ["b", "a", "b"]}})
    assert (record.key, record.fields, record.source_type) == (("record", "crm", "renewal", "r-1"), {"a", "b"}, "crm")


@pytest.mark.parametrize(
    "value", ["crm:r-1", None, 1, True, [], {}, {"source_id": "r-1"}, {"record_locator": [LOCATOR]}]
)
def test_nothing_else_is_one(value):
    """R3: a bare string never is one; tests of grounding name more."""
    assert parse_reference(value) is None


def test_shapes_never_cover_each_other():
    """R2: structural match."""
    shapes: list[dict] = [
        {"source_type": "event", "source_id": "1"},
        {"ledger_event_id": "1"},
        {"record_locator": {"system": "event", "object": "1", "id": "1"}},
    ]
    references = [parsed(shape) for shape in shapes]
    for one in references:
        assert [one.covered_by(other) for other in references] == [one is other for other in references]


def test_only_two_kinds_of_trust_ground():
    """R4: system_of_record and trusted."""
    assert [trust.value for trust in Trust if trust.grounds] == ["system_of_record", "trusted"]
