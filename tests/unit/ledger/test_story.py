"""Stories: everything that belongs to an id, in order, and one answer to why."""

import json
import os

import pytest

from weighbridge import canonical
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound
from weighbridge.ledger.story import budget_of, tell
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import (
    EXPENSIVE,
    TENANT,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    reservation,
    usage,
)


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


# --- Budgets ----------------------------------------------------------------------------------------------------------

DAY = cap("day", 2, soft=1)
MONTH = cap("account", 5000, unit="tokens", period=Period.MONTH, scope=(("account", None),), settles=True)


@pytest.fixture
def spending():
    """A store with operations that had a budget alone, a budget beside a run, and a run that let nothing through."""
    store = MemoryStore(entropy=os.urandom)
    amounts = {"operations": 1, "tokens": 900}

    def asked(operation, *runs, **given):
        caps = [DAY, MONTH]
        store.commit(reservation(operation, caps, *runs, amounts=amounts, zone="Europe/Berlin", **given))

    asked("alone")
    asked("beside", draft("beside:step"), draft("beside:write"))
    asked("blocked", draft("blocked:step"))
    asked("stopped", draft("stopped:step", verdict=Verdict.BLOCK))
    store.commit(usage("alone", {"tokens": 1000, "operations": 1}))
    store.commit(usage("beside", {"tokens": 100}))
    return store


def test_a_budget_that_said_block_answers_why(spending):
    """L4, B10: which cap, what was used, how much was asked for, and when the period ends."""
    story = tell(spending, TENANT, "blocked")
    assert (story.kinds, story.verdict, story.state) == (("operation",), "BLOCK", "BLOCKED")
    assert (story.runs, story.budgets) == ({"ALLOW": 1}, {"BLOCK": 1})
    (why,) = story.blocks
    assert (why.validation_run_id, why.choke_point, why.operation_id) == (None, None, "blocked")
    assert why.reasons == ("HARD_CAP_EXCEEDED",)
    assert why.budget is not None
    assert why.budget.amounts == {"operations": "1", "tokens": "900"}
    (said,) = why.budget.caps
    assert (said["cap"], said["usage_before"], said["hard_cap"]) == ("day", "2", "2")
    assert why.budget.ends_at == {"DAY": "2026-11-22T23:00:00.000Z", "MONTH": "2026-11-30T23:00:00.000Z"}
    (entry,) = [entry for entry in story.entries if entry.type == "BUDGET_BLOCK"]
    assert [one.cap for one in budget_of(entry).caps] == ["day", "account"]


def test_an_operation_with_a_budget_alone_has_verdict_state_and_use(spending):
    """L4, B7: what was reserved, what was used, what was given back."""
    story = tell(spending, TENANT, "alone")
    assert (story.verdict, story.state, story.runs, story.budgets) == ("ALLOW", "PENDING", {}, {"ALLOW": 1})
    assert story.why_blocked is None
    assert [entry.type for entry in story.entries] == ["POLICY_ACTIVATED", "BUDGET_RESERVE", "USAGE_REPORTED"]
    assert story.entries[-1].fields["overrun"] == {"tokens": "100"}


def test_an_operation_with_both_is_as_strict_as_the_stricter(spending):
    """G10: the verdict is the strictest of all."""
    both = tell(spending, TENANT, "beside")
    assert (both.verdict, both.runs, both.budgets, both.blocks) == ("WARN", {"ALLOW": 2}, {"WARN": 1}, ())
    assert [entry.type for entry in both.entries][-2:] == ["USAGE_REPORTED", "BUDGET_SETTLE"]
    gate = tell(spending, TENANT, "stopped")
    assert (gate.verdict, gate.state, gate.budgets) == ("BLOCK", "BLOCKED", {})
    assert [block.budget for block in gate.blocks] == [None]


@pytest.mark.parametrize("run", ["beside:step", "blocked:step"])
def test_a_runs_verdict_is_its_own_and_its_story_tells_what_the_budget_said(spending, run):
    """L4: also where the run stands beside the budget alone, and shares all that its record has in common."""
    story = tell(spending, TENANT, run)
    assert (story.kinds, story.verdict, story.state) == (("run",), "ALLOW", None)
    assert (story.runs, story.budgets, story.blocks) == ({"ALLOW": 1}, {}, ())
    assert any(entry.type in {"BUDGET_WARN", "BUDGET_BLOCK"} for entry in story.entries)
    if run == "beside:step":
        assert not any(entry.fields.get("validation_run_id") == "beside:write" for entry in story.entries)


def test_a_subject_counts_runs_and_budgets(spending):
    """L4: an account's story holds the blocks of both, in order."""
    story = tell(spending, TENANT, "a-1")
    assert (story.runs, story.budgets) == ({"ALLOW": 3, "BLOCK": 1}, {"ALLOW": 1, "WARN": 1, "BLOCK": 1})
    assert [block.operation_id for block in story.blocks] == ["blocked", "stopped"]
    assert json.loads(canonical.encode(story.document()))["blocks"][0]["budget"]["reason"] == "HARD_CAP_EXCEEDED"


def test_no_cap_no_go_is_a_reason_without_a_cap():
    """B8."""
    store = MemoryStore(entropy=os.urandom)
    store.commit(reservation("op", []))
    (block,) = tell(store, TENANT, "op").blocks
    assert block.budget is not None
    assert (block.reasons, block.budget.caps, block.budget.ends_at) == (("NO_APPLICABLE_CONFIG",), (), {})


def test_a_call_of_ours_without_an_end_is_pending(spending):
    """G10, B7: with what stays reserved after what was given back; a report of use is no end."""
    (one,) = tell(spending, TENANT, "beside").pending
    assert (one.operation_id, one.operation, one.seq, one.settles) == ("beside", "crm.read", 2, ())
    assert one.reserved == {"operations": "1", "tokens": "100"}
    assert [call.operation_id for call in tell(spending, TENANT, "a-1").pending] == ["alone", "beside"]
    spending.commit(completion("beside"))
    assert [call.operation_id for call in tell(spending, TENANT, "a-1").pending] == ["alone"]
    assert tell(spending, TENANT, "blocked").pending == ()


def test_before_a_report_of_use_the_caps_that_would_settle_are_named(spending):
    """B7."""
    spending.commit(reservation("new", [MONTH], amounts={"operations": 1, "tokens": 1}, zone="Europe/Berlin"))
    (one,) = tell(spending, TENANT, "new").pending
    assert one.settles == ("account",)
