import pytest

from tests.unit.validators.builders import EXPENSIVE, PLAN, STEP, WRITEBACK, context, policy
from weighbridge.domain.choke_point import ChokePoint, Input
from weighbridge.validators.absence import lacks, missing_inputs

EVERYTHING = tuple(Input)


@pytest.mark.parametrize(
    ("choke_point", "required"),
    [
        (PLAN, ["plan", "snapshot", "data_sources", "evidence"]),
        (STEP, ["proposal", "snapshot", "data_sources", "evidence"]),
        (WRITEBACK, ["proposal", "snapshot", "evidence"]),
        (EXPENSIVE, ["proposal"]),
    ],
)
def test_what_a_choke_point_requires(choke_point, required):
    """G5: the table of the contract, read with nothing given at all."""
    under = policy()
    nothing = context(under, choke_point=choke_point, proposal=None, snapshot=None, data_sources=None, evidence=None)
    assert missing_inputs(nothing, under, *EVERYTHING) == required
    assert {ChokePoint(choke_point)} <= set(ChokePoint)


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (Input.PLAN, {"plan": {"plan_id": "p"}}),
        (Input.PROPOSAL, {"proposal": None}),
        (Input.SNAPSHOT, {"snapshot": {"fields": {}}}),
        (Input.DATA_SOURCES, {"data_sources": []}),
        (Input.EVIDENCE, {"evidence": None}),
    ],
)
def test_what_counts_as_absent(wanted, changes):
    """G5: a plan without steps, a snapshot without fields and an empty list of sources say nothing."""
    under = policy()
    assert lacks(context(under, **changes), wanted)
    steps = {"plan": {"plan_id": "p", "steps": [{"operation": "crm.note"}]}}
    assert not lacks(context(under, **steps), wanted)


def test_an_empty_evidence_set_is_a_set():
    """R3: it resolves nothing, which is judged."""
    assert not lacks(context(policy(), evidence=[]), Input.EVIDENCE)


def test_what_is_waived_everywhere_needs_no_action_type():
    """G5: only what the policy declares not needed; by choke point and action type, where it says so."""
    entry = {"inputs": ["snapshot"], "choke_points": [STEP]}
    under = policy(required_inputs={"not_needed": [entry]})
    asked = context(under, snapshot=None, operation="crm.unheard_of")
    assert missing_inputs(asked, under, Input.SNAPSHOT) == []
    elsewhere = context(under, snapshot=None, choke_point=WRITEBACK)
    assert missing_inputs(elsewhere, under, Input.SNAPSHOT) == ["snapshot"]
