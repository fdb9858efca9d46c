"""Stories: everything that belongs to an id, in order, and one answer to why."""

import json
import os

import pytest

from weighbridge import canonical
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound
from weighbridge.ledger.story import tell
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import EXPENSIVE, TENANT, authorisation, completion, decision, draft


@pytest.fixture
def store():
    store = MemoryStore(entropy=os.urandom)
    blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
    store.commit(decision(draft("run-0"), blocked, operation="op-1", plan_id="p-1"))
    store.commit(decision(draft("run-2", proposal="p", request="r"), plan_id="p-1"))
    store.commit(authorisation(blocked))
    store.commit(decision(draft("run-3", proposal="p", request="r"), operation="op-3", plan_id="p-1"))
    store.commit(completion("op-3"))
    store.commit(decision(draft("run-9", verdict=Verdict.WARN), plan_id="p-9", step_id="s-9", account_id="a-9"))
    return store


def seqs(story):
    return sorted({entry.seq for entry in story.entries})


def test_why_was_this_blocked_has_one_answer(store):
    """L4: the first block: the gateway's findings, then the results that blocked, with details."""
    story = tell(store, TENANT, "op-1")
    assert (story.kinds, story.verdict, story.state) == (("operation",), "BLOCK", "BLOCKED")
    why = story.why_blocked
    assert why is not None
    assert (why.validation_run_id, why.seq, why.reasons) == ("run-1", 1, ("RESTRICTED_FIELD",))
    assert why.results == ({"validator": "compliance", "result": "BLOCK", "reason": "RESTRICTED_FIELD", "details": {}},)
    refused = tell(store, TENANT, "run-2").why_blocked
    assert refused is not None
    assert (refused.reasons, refused.results) == (("RETRY_NOT_AUTHORISED",), ())


def test_a_run_brings_its_retries_its_authorisation_and_the_end_of_its_operation(store):
    """L4: nothing else needs to be asked."""
    story = tell(store, TENANT, "run-3")
    assert (story.kinds, seqs(story), story.verdict) == (("run",), [4, 5], "ALLOW")
    assert story.entries[-1].type == "OPERATION_COMPLETED"
    first = tell(store, TENANT, "run-1")
    assert seqs(first) == [1, 2, 3]
    assert (first.verdict, len(first.blocks)) == ("BLOCK", 2)


def test_of_several_runs_only_the_one_asked_about(store):
    """L4: in a record of two runs, the story of one is its own events."""
    runs = {entry.fields.get("validation_run_id") for entry in tell(store, TENANT, "run-0").entries}
    assert runs <= {"run-0", None}
    assert tell(store, TENANT, "run-0").verdict == "ALLOW"


@pytest.mark.parametrize(
    ("asked", "kinds", "expected"),
    [
        ("p-1", ("plan",), [1, 2, 4]),
        ("s-1", ("step",), [1, 2, 4]),
        ("a-1", ("account",), [1, 2, 4]),
        ("op-3", ("operation",), [4, 5]),
        ("p-9", ("plan",), [6]),
        ("s-9", ("step",), [6]),
    ],
)
def test_every_kind_of_id_has_a_story(store, asked, kinds, expected):
    """L4: plan, step, account, run, operation."""
    story = tell(store, TENANT, asked)
    assert (story.kinds, seqs(story)) == (kinds, expected)
    assert [(entry.seq, entry.index) for entry in story.entries] == sorted((e.seq, e.index) for e in story.entries)


def test_a_story_counts_verdicts(store):
    """L4: of all the runs it tells of."""
    assert tell(store, TENANT, "p-1").runs == {"ALLOW": 2, "BLOCK": 2}
    assert tell(store, TENANT, "run-9").runs == {"WARN": 1}
    assert tell(store, TENANT, "run-9").why_blocked is None


def test_a_story_is_plain_data(store):
    """L4: JSON, complete: every event of the records is in it once."""
    story = tell(store, TENANT, "p-1")
    document = json.loads(canonical.encode(story.document()))
    assert document["asked"] == "p-1"
    told = [(entry["seq"], entry["type"]) for entry in document["entries"]]
    assert told.count((1, "VALIDATOR_RUN")) == 8
    assert told.count((4, "VALIDATOR_RUN_SUMMARY")) == 1
    summary = document["entries"][-1]
    assert summary["fields"]["retry_of"] == "run-2"
    assert summary["fields"]["choke_point"] != EXPENSIVE


def test_an_unknown_id_has_no_story(store):
    """L5: another tenant's id is unknown too."""
    for tenant, asked in ((TENANT, "nobody"), ("globex", "run-1")):
        with pytest.raises(NotFound):
            tell(store, tenant, asked)
