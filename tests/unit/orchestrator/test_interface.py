"""Z5: what a connector says of an account, taken in or refused."""

import pytest

from weighbridge.domain.context import DataSource, SnapshotField
from weighbridge.errors import ContextError
from weighbridge.orchestrator.interface import Observation, PlanEngine, observation

FIELD = {"value": 1, "source_type": "crm"}
SOURCE = {"source_id": "r-1", "source_type": "crm", "last_updated": "2026-11-20T10:00:00Z"}


def test_what_does_not_know_says_none():
    assert observation(None) is None


def test_snapshot_and_sources_count_and_nothing_else():
    found = observation({"snapshot": {"renewal": FIELD}, "data_sources": [SOURCE], "evidence": ["x"]})
    assert isinstance(found, Observation)
    assert found.snapshot.fields == {"renewal": SnapshotField(1, "crm")}
    assert found.data_sources == [DataSource(**SOURCE)]


@pytest.mark.parametrize(
    ("returned", "place"),
    [
        ("open", "observed"),
        ({}, "observed"),
        ({"snapshot": "open"}, "observed"),
        ({"snapshot": {"renewal": {"value": 1}}}, "observed.snapshot.fields"),
        ({"snapshot": {}, "data_sources": [{}]}, "observed.data_sources"),
    ],
)
def test_another_shape_is_refused_with_its_place(returned, place):
    with pytest.raises(ContextError) as refused:
        observation(returned)
    assert refused.value.path.startswith(place)


def test_the_port_is_three_verbs():
    assert {name for name in vars(PlanEngine) if not name.startswith("_")} == {"start", "wake", "stop"}
