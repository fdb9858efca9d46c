"""What every store does with outcomes: a part of the contract in `weighbridge.testing.store_contract`.

An outcome is a record of its own, written after what it reports, once; the store decides nothing about it.
"""
# ruff: noqa: S101, PLR2004 - tests assert, against the numbers they expect, as many things as the contract says

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from weighbridge.domain.context import Actor, Role
from weighbridge.domain.outcome import Approved, Completed, EventRef, Outcome, OutcomeRow, StepFailed, Won
from weighbridge.domain.plan import StepStatus, Verb
from weighbridge.errors import ContextError, NotFound, UsageError, WeighbridgeError
from weighbridge.ledger.submission import Committed, OutcomeDraft, Submission
from weighbridge.outcomes.capture import Capture, Captured, Setting, outcomes_of
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage.audit import verify_store
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.testing.store_contract_plans import active, mover, of_tenant, row_of
from weighbridge.testing.stores import Store, in_threads, told
from weighbridge.testing.submissions import NOW_MS, TENANT, decision, draft, fact

OTHER = "globex"
BY = Actor(id="host-1", role=Role.HOST)
AT = "2026-11-22T10:00:00Z"
WON = Won(
    account_id="a-1",
    opportunity_id="o-1",
    source="crm",
    closed_at="2026-11-20T00:00:00Z",
    amount="1200.50",
    currency="USD",
)


def capture(store: Store, first: int = 1) -> Capture:
    """Return what captures outcomes in a store, under numbers from ``first`` on."""
    numbers = itertools.count(first)
    return Capture(
        store.commit_many,
        lambda tenant: Setting(store.tenant_key(tenant)),
        clock_ms=lambda: NOW_MS,
        new_id=lambda: f"outcome-{next(numbers):03}",
    )


def outcomes(store: Store, tenant: str = TENANT) -> list[OutcomeRow]:
    """Return every outcome, in the order of their records."""
    return sorted(outcome_rows(store, tenant), key=lambda row: row.seq)


def ended(store: Store) -> list[Committed]:
    """Bring a plan to its end, with a step that failed, one that did not, and a late result; return every record's answer."""
    moves, answers = mover(store), list[Committed]()
    row = active(store, moves)
    failed: dict[str, Any] = {"outcome": StepStatus.FAILED, "details": {"error": "TimeoutError"}}
    for submission in (
        moves.start("brief"),
        moves.end("brief", **failed),
        moves.start("brief", attempt=2),
        moves.end("brief", attempt=2),
        moves.start("meet"),
        moves.act(Verb.ABORT, reason="BY_PERSON"),
        moves.end("meet"),
    ):
        answers.append(store.commit(submission))
    assert row_of(store).revision == row.revision + 6
    return answers


class OutcomeContract:
    """What every store does with outcomes. ``store`` is new for every test."""

    def test_an_outcome_is_a_record_after_what_it_reports(self, store: Store) -> None:
        """O2, O3, L2: with the event it points to, found by plan, account and opportunity; and everything verifies."""
        ended(store)
        swept = sweep(store, capture(store), TENANT, by=BY)
        assert (swept.captured, swept.errors) == (5, ())
        said = [(row.kind, row.event_seq, row.actor_id, row.body) for row in outcomes(store)]
        attempt = {"step_id": "brief", "attempt": 1, "reason": "OPERATION_FAILED"}
        assert said == [
            ("APPROVED", 3, "maria", {}),
            ("STEP_FAILED", 6, None, attempt),
            ("STEP_SUCCEEDED", 8, None, {"step_id": "brief", "attempt": 2}),
            ("ABORTED", 10, None, {"reason": "BY_PERSON"}),
            ("STEP_SUCCEEDED", 11, None, {"step_id": "meet", "attempt": 1, "late": True}),
        ]
        assert [row.seq for row in outcomes(store)] == [12, 13, 14, 15, 16]
        assert {row.account_id for row in outcomes(store)} == {"a-1"}
        assert set(store.find(TENANT, "p-1")) >= {12, 13, 14, 15, 16}
        assert store.plan(TENANT, "p-1") == row_of(store)
        assert verify_store(store).ok

    def test_an_outcome_is_captured_once(self, store: Store) -> None:
        """O4: a duplicate answers with the first id, in one transaction, later, and from many callers at once."""
        ended(store)
        captures = capture(store)
        first, again = captures.capture_many(TENANT, [WON, msgspec.structs.replace(WON, amount="1.00")], by=BY)
        assert first == Captured("outcome-001", 12)
        assert again == Captured("outcome-001", 12, duplicate=True)
        assert captures.capture(TENANT, WON, by=BY) == again
        answers: list[Captured] = []
        other = msgspec.structs.replace(WON, opportunity_id="o-2")
        in_threads(lambda _: answers.append(captures.capture(TENANT, other, by=BY)), range(8))
        assert len({answer.outcome_id for answer in answers}) == 1
        assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 7
        for _ in range(2):
            sweep(store, captures, TENANT, by=BY)
        assert (len(outcomes(store)), store.head(TENANT).seq) == (7, 18)
        assert verify_store(store).ok

    def test_an_id_of_an_outcome_is_not_given_twice(self, store: Store) -> None:
        """L3: what is on record stays, and nothing is recorded that would not verify."""
        capture(store).capture(TENANT, WON, by=BY)
        with pytest.raises(WeighbridgeError):
            capture(store).capture(TENANT, msgspec.structs.replace(WON, opportunity_id="o-2"), by=BY)
        assert [row.opportunity_id for row in outcomes(store)] == ["o-1"]
        assert store.head(TENANT).seq == 1
        assert verify_store(store).ok

    def test_a_sweep_finds_what_a_crash_lost(self, store: Store) -> None:
        """O2: whatever was written of it before, afterwards everything is there, once."""
        answers = ended(store)
        captures = capture(store)
        assert [captures.capture_events(TENANT, answer.body, by=BY) != [] for answer in answers] == [
            *(False, True, False, True, False, True, True)
        ]
        assert sweep(store, captures, TENANT, by=BY).captured == 1  # the approval
        assert sweep(store, captures, TENANT, by=BY).captured == 0
        assert len({row.idempotency_key for row in outcomes(store)}) == 5

    @pytest.mark.parametrize(
        ("outcome", "error", "match"),
        [
            (Completed(plan_id="p-1", event=EventRef(10, 0), at=AT), NotFound, "is PLAN_ABORTED of plan `p-1`"),
            (Completed(plan_id="p-2", event=EventRef(10, 0), at=AT), NotFound, "which is not COMPLETED of plan `p-2`"),
            (Completed(plan_id="p-1", event=EventRef(99, 0), at=AT), NotFound, "not on record"),
            (Completed(plan_id="p-1", event=EventRef(10, 7), at=AT), NotFound, "not on record"),
            (
                Approved(plan_id="p-1", account_id="a-1", event=EventRef(3, 6), at=AT, actor_id="eve"),
                NotFound,
                "by `maria`, not by `eve`",
            ),
            (
                StepFailed(plan_id="p-1", event=EventRef(5, 0), at=AT, step_id="brief", attempt=1),
                NotFound,
                "which is not STEP_FAILED",
            ),
            (msgspec.structs.replace(WON, source="a:b"), ContextError, "is no name"),
            (msgspec.structs.replace(WON, opportunity_id=""), ContextError, "opportunity_id"),
            (msgspec.structs.replace(WON, closed_at="yesterday"), ContextError, "names no instant"),
            (msgspec.structs.replace(WON, currency=None), ContextError, "go together"),
            (msgspec.structs.replace(WON, amount="-1"), ContextError, "negative"),
        ],
    )
    def test_what_could_be_joined_with_nothing_is_refused(
        self, store: Store, outcome: Outcome, error: type[Exception], match: str
    ) -> None:
        """O2, O3: a clear error, nothing recorded, and what is right beside it is kept."""
        answers = ended(store)
        approval = next(iter(outcomes_of([*store.records(TENANT)][2].body)))
        assert isinstance(approval, Approved)
        wrong, good = capture(store).capture_many(TENANT, [outcome, approval], by=BY)
        assert isinstance(wrong, error)
        assert match in str(wrong)
        assert isinstance(good, Captured)
        assert store.head(TENANT).seq == 5 + len(answers)
        assert verify_store(store).ok

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda made: msgspec.structs.replace(made, runs=(draft("run-1"),), policy_version="v"),
            lambda made: msgspec.structs.replace(made, events=({"type": "KEY_CHANGED"},)),
            lambda made: outcome_with(made, kind="MAYBE"),
            lambda made: outcome_with(made, opportunity_id=None),
            lambda made: outcome_with(made, account_id=None),
            lambda made: outcome_with(made, account_id="another"),
            lambda made: outcome_with(made, kind="COMPLETED", plan_id="p-1"),
            lambda made: outcome_with(made, kind="APPROVED", plan_id="p-1", event=(1, 0)),
            lambda made: outcome_with(made, idempotency_key=""),
            lambda made: outcome_with(made, event=(1, 0)),
        ],
    )
    def test_no_record_holds_an_outcome_without_what_joins_it(
        self, store: Store, wrong: Callable[[Submission], Submission]
    ) -> None:
        """O2, O3: also where somebody makes the submission by hand."""
        made = fact({"type": "x"}, about={"account_id": "a-1"})
        told_of = OutcomeDraft("WON", "id-1", "crm:o-1:WON", NOW_MS, account_id="a-1", opportunity_id="o-1")
        made = msgspec.structs.replace(made, events=(), outcome=told_of)
        store.commit(decision(draft("run-0")))
        with pytest.raises(UsageError):
            store.commit(wrong(made))
        assert store.head(TENANT).seq == 1
        assert told(store.commit(made))[-1].type == "OUTCOME_CAPTURED"
        assert verify_store(store).ok

    def test_what_people_write_is_content(self, store: Store) -> None:
        """L6: the note stands in no record; it can be erased, and everything verifies."""
        note = "they disliked Bob's tie"
        answer = capture(store).capture(TENANT, msgspec.structs.replace(WON, note=note), by=BY)
        record = store.record(TENANT, answer.seq)
        assert record is not None
        assert b"tie" not in record.body
        (row,) = outcomes(store)
        content_hash = row.body["content"]["note"]
        assert note.encode() in (store.content(TENANT, content_hash) or b"")
        store.erase_content(TENANT, (content_hash,), fact({"type": "CONTENT_ERASED", "reason": "asked"}))
        assert store.content(TENANT, content_hash) is None
        assert outcomes(store) == [row]
        assert verify_store(store).ok

    def test_outcomes_never_cross_a_tenant(self, store: Store) -> None:
        """L5: the same key is another outcome elsewhere, and no outcome reports another tenant's event."""
        ended(store)
        store.commit(of_tenant(mover(store, tenant=OTHER).create(), OTHER))
        captures = capture(store)
        captures.capture(TENANT, WON, by=BY)
        assert not captures.capture(OTHER, WON, by=BY).duplicate
        with pytest.raises(NotFound):
            captures.capture(OTHER, Completed(plan_id="p-1", event=EventRef(10, 0), at=AT), by=BY)
        assert sweep(store, captures, OTHER, by=BY).captured == 0
        assert len(outcomes(store, OTHER)) == 1
        assert verify_store(store).ok

    def test_a_snapshot_shows_the_outcomes_of_its_moment(self, store: Store) -> None:
        """L3."""
        captures = capture(store)
        captures.capture(TENANT, WON, by=BY)
        with store.snapshot() as moment:
            captures.capture(TENANT, msgspec.structs.replace(WON, opportunity_id="o-2"), by=BY)
            assert [row.opportunity_id for row in outcome_rows(moment, TENANT)] == ["o-1"]
        assert len(outcomes(store)) == 2


def outcome_with(made: Submission, **fields: Any) -> Submission:
    """Return a submission whose outcome says something else."""
    assert made.outcome is not None
    return msgspec.structs.replace(made, outcome=msgspec.structs.replace(made.outcome, **fields))
