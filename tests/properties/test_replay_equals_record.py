"""Property: whatever was recorded is judged again to the same bytes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.samples import NOW_MS, Clock, context, policy, weighbridge
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.instant import format_instant
from weighbridge.errors import WeighbridgeError
from weighbridge.replay import Replayed

_TEXT = st.text(max_size=8)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | _TEXT
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)
_REFERENCES = st.sampled_from(
    [
        {"source_type": "crm", "source_id": "r-1"},
        {"source_type": "mail", "source_id": "m-1"},
        {"ledger_event_id": "e-1"},
        {"record_locator": {"system": "crm", "object": "renewal", "id": "r-1", "fields": ["status"]}},
        "because",
    ]
)
_PROPOSALS = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["crm.update", "crm.note", "enrich", "crm.unheard_of"]),
        "arguments": st.dictionaries(st.sampled_from(["renewal_id", "ssn", "stage", "note"]), _JSON, max_size=3),
        "evidence": st.lists(_REFERENCES, max_size=2),
    }
)
_SOURCES = st.lists(
    st.fixed_dictionaries(
        {
            "source_id": st.sampled_from(["a", "b"]),
            "source_type": st.sampled_from(["crm", "mail"]),
            "last_updated": st.integers(-20, 1).map(lambda days: format_instant(NOW_MS + days * 86_400_000)) | _LEAVES,
        }
    ),
    max_size=2,
)
_SNAPSHOTS = st.builds(
    lambda value, source: {"fields": {"renewal": {"value": value, "source_type": source}}},
    st.fixed_dictionaries({"status": st.sampled_from(["open", "closed", None])}) | _JSON,
    st.sampled_from(["crm", "mail"]),
)
_EVIDENCE = st.lists(
    st.builds(lambda reference, content: {"reference": reference, "content": content}, _REFERENCES, _JSON)
)


@given(
    choke_point=st.sampled_from(list(ChokePoint)),
    proposal=st.none() | _PROPOSALS,
    snapshot=st.none() | _SNAPSHOTS,
    data_sources=st.none() | _SOURCES,
    evidence=st.none() | _EVIDENCE,
    budget=st.none() | st.fixed_dictionaries({"operation": st.just("crm.note"), "amounts": st.just({"tokens": 5})}),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replay_equals_record(*, choke_point, proposal, snapshot, data_sources, evidence, budget):
    """G4: for the same engine, results are byte-identical; also after the order of every object's keys is turned round.

    A reservation beside the run, in the same record, changes neither.
    """
    if budget is not None and proposal is not None:
        budget = budget | {"operation": proposal["operation"]}
    made = context(
        choke_point=choke_point.value,
        proposal=proposal,
        snapshot=snapshot,
        data_sources=data_sources,
        evidence=evidence,
        plan={"plan_id": "p-1", "steps": [proposal]} if proposal else None,
        budget=budget,
    )
    with weighbridge(clock=Clock(), policy=policy()) as wb:
        try:
            (first,) = wb.answer_many([made | {"validation_run_id": "run-1"}])
            if isinstance(first, WeighbridgeError):
                raise first
        except WeighbridgeError:
            assert wb.reader.tenants() == ()  # no request: nothing was recorded
            return
        (again,) = wb.answer_many([_turned(made) | {"validation_run_id": "run-1"}])
        assert not isinstance(again, WeighbridgeError)
        assert again.record == first.record
        assert [run.outcome for run in wb.replay(tenant_id="acme")] == [Replayed.EQUAL]


def _turned(value):
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value
