"""What every store does with plans: a part of the contract in `weighbridge.testing.store_contract`.

A plan's row follows from its records, whoever moves it and however many at once; the store decides nothing about it.
"""
# ruff: noqa: S101, PLR2004 - tests assert, against the numbers they expect, as many things as the contract says

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from weighbridge.domain.plan import PlanState, PlanStatus, StepStatus, Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound, PlanRefused
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage.audit import verify_store
from weighbridge.testing.plans import EXPIRES_MS, Mover, plan_of
from weighbridge.testing.stores import Store, in_threads, told
from weighbridge.testing.submissions import TENANT, cap, decision, draft, reservation

OTHER = "globex"
STEPS = ("brief", "meet", "update")


def mover(store: Store, plan_id: str = "p-1", tenant: str = TENANT, **changes: Any) -> Mover:
    """Return what moves a plan of this store."""
    return Mover(plan_of(plan_id, **changes), key=store.tenant_key(tenant))


def row_of(store: Store, plan_id: str = "p-1", tenant: str = TENANT) -> PlanState:
    """Return the row of a plan that there is."""
    row = store.plan(tenant, plan_id)
    assert row is not None
    return row


def approved(store: Store, moves: Mover) -> PlanState:
    """Propose, submit and approve a plan, and return its row."""
    plan_id = moves.plan.plan_id
    store.commit(moves.create())
    store.commit(moves.act(Verb.SUBMIT, row_of(store, plan_id)))
    store.commit(moves.approve(row_of(store, plan_id)))
    return row_of(store, plan_id)


def active(store: Store, moves: Mover) -> PlanState:
    """Bring a plan to where its steps can run, and return its row."""
    store.commit(moves.act(Verb.ACTIVATE, approved(store, moves)))
    return row_of(store, moves.plan.plan_id)


def event_types(answer: Committed) -> list[str]:
    """Return what a committed record tells of."""
    return [event.type for event in told(answer)]


def of_tenant(submission: Submission, tenant: str) -> Submission:
    """Return the same for another tenant."""
    return msgspec.structs.replace(submission, tenant_id=tenant)


class PlanContract:
    """What every store does with plans. ``store`` is new for every test."""

    def test_a_plan_is_what_its_moves_made_of_it(self, store: Store) -> None:
        """H1, L2, L3: from the proposal to the end, every change is a record, and the row is what the records give."""
        moves = mover(store)
        seen = [active(store, moves)]
        for step in STEPS:
            started, ended = store.commit(moves.start(step)), store.commit(moves.end(step))
            assert (event_types(started)[-1], event_types(ended)[-1]) == ("STEP_STARTED", "STEP_COMPLETED")
            seen.append(row_of(store))
        store.commit(moves.act(Verb.COMPLETE, row_of(store), reason="all_steps_done"))
        row = row_of(store)
        assert [step.status for step in row.steps] == [StepStatus.COMPLETED] * 3
        assert (row.status, row.revision, row.seq) == (PlanStatus.COMPLETED, 11, 11)
        assert (row.approver_id, row.approved_hash, row.expires_ms) == ("maria", moves.sealed.plan_hash, EXPIRES_MS)
        assert [one.revision for one in seen] == [4, 6, 8, 10]
        assert [*store.plans(TENANT)] == [row]
        assert verify_store(store).ok

    def test_what_a_plan_does_not_permit_leaves_nothing(self, store: Store) -> None:
        """H1, H2: refused with a code, and nothing is recorded."""
        moves = mover(store)
        row = active(store, moves)
        records = store.head(TENANT).seq
        other = mover(store, objective="another one")
        for submission, code in (
            (other.create(), "PLAN_EXISTS"),
            (moves.edit(row), "PLAN_TRANSITION"),
            (moves.act(Verb.PAUSE, msgspec.structs.replace(row, revision=3)), "PLAN_CHANGED"),
            (moves.start("meet"), "STEP_NOT_READY"),
            (moves.start("brief", attempt=2), "ATTEMPT_TAKEN"),
            (moves.end("brief"), None),
        ):
            with pytest.raises((PlanRefused, NotFound)) as refused:
                store.commit(submission)
            assert getattr(refused.value, "code", None) == code
        with pytest.raises(NotFound):
            store.commit(mover(store, "p-9").act(Verb.SUBMIT, row))
        assert (store.head(TENANT).seq, store.plan(TENANT, "p-9"), row_of(store)) == (records, None, row)

    def test_an_approval_that_is_blocked_changes_no_plan(self, store: Store) -> None:
        """H1, G8: the runs are on record, the row is as it was."""
        moves = mover(store)
        store.commit(moves.create())
        store.commit(moves.act(Verb.SUBMIT, row_of(store)))
        before = row_of(store)
        answer = store.commit(moves.approve(before, verdict=Verdict.BLOCK))
        assert event_types(answer)[-1] == "VALIDATOR_RUN_SUMMARY"
        assert row_of(store) == before
        assert verify_store(store).ok

    def test_an_edit_voids_the_approval(self, store: Store) -> None:
        """H1, H2: APPROVED goes back to DRAFT, with nothing left of who approved."""
        moves = mover(store)
        row = approved(store, moves)
        moves.plan = plan_of("p-1", objective="something else")
        store.commit(moves.edit(row))
        edited = row_of(store)
        assert (edited.status, edited.submitted, edited.approver_id, edited.approved_hash) == (
            PlanStatus.DRAFT,
            False,
            None,
            None,
        )
        assert edited.plan_hash == moves.sealed.plan_hash != row.plan_hash
        assert verify_store(store).ok

    def test_a_move_that_is_said_twice_is_made_once(self, store: Store) -> None:
        """G3: the same answer, nothing appended, also from within one transaction."""
        moves = mover(store)
        created = moves.create()
        first, again = store.commit_many([created, created])
        assert isinstance(first, Committed)
        assert isinstance(again, Committed)
        assert (first.replayed, again.replayed, first.body) == (False, True, again.body)
        submit = moves.act(Verb.SUBMIT, row_of(store))
        assert [store.commit(submit).replayed for _ in range(3)] == [False, True, True]
        assert store.commit(created).replayed
        assert store.head(TENANT).seq == 2

    def test_of_racing_transitions_one_wins(self, store: Store) -> None:
        """H1: decided on the same revision, at the same time."""
        moves = mover(store)
        row = approved(store, moves)
        answers: list[str] = []

        def call(caller: int) -> None:
            verb = (Verb.ACTIVATE, Verb.ABORT)[caller % 2]
            try:
                answers.append(event_types(store.commit(moves.act(verb, row, said=str(caller))))[-1])
            except PlanRefused as refused:
                answers.append(refused.code)

        in_threads(call, range(12))
        won = [answer for answer in answers if answer.startswith("PLAN_A")]
        assert (len(answers), len(won), {*answers} - {*won}) == (12, 1, {"PLAN_CHANGED"})
        status = {"PLAN_ACTIVATED": PlanStatus.ACTIVE, "PLAN_ABORTED": PlanStatus.ABORTED}[won[0]]
        assert (row_of(store).status, row_of(store).revision) == (status, row.revision + 1)
        assert verify_store(store).ok

    def test_an_attempt_is_drawn_once_however_many_ask(self, store: Store) -> None:
        """H4, G10: every worker draws the same attempt; one of them is not told that it is replayed."""
        moves = mover(store)
        active(store, moves)
        answers: list[bool] = []
        in_threads(lambda _: answers.append(store.commit(moves.start("brief")).replayed), range(12))
        assert sorted(answers) == [False] + [True] * 11
        row = row_of(store)
        assert (row.steps[0].status, row.steps[0].attempts, row.revision) == (StepStatus.RUNNING, 1, 5)
        assert verify_store(store).ok

    def test_one_plan_of_an_account_and_type_is_active(self, store: Store) -> None:
        """H3: of many that are activated at once one is; each other is refused on record, once, and not queued."""
        plans = [mover(store, f"p-{number}") for number in range(6)]
        rows = [approved(store, moves) for moves in plans]
        answers: dict[int, str] = {}

        def call(number: int) -> None:
            answers[number] = event_types(store.commit(plans[number].act(Verb.ACTIVATE, rows[number])))[-1]

        in_threads(call, range(6))
        assert sorted(answers.values()) == ["PLAN_ACTIVATED"] + ["PLAN_ACTIVATION_REFUSED"] * 5
        (first,) = (row.plan_id for row in store.plans(TENANT, [PlanStatus.ACTIVE]))
        refused = [row.plan_id for row in store.plans(TENANT) if row.refused]
        assert sorted([first, *refused]) == [f"p-{number}" for number in range(6)]
        elsewhere = mover(store, "p-b", account_id="a-2")
        assert active(store, elsewhere).status is PlanStatus.ACTIVE
        assert verify_store(store).ok

    def test_a_place_is_free_as_soon_as_it_was_left(self, store: Store) -> None:
        """H3: also within one transaction, and there and back again."""
        one, other = mover(store, "p-1"), mover(store, "p-2")
        here, there = active(store, one), approved(store, other)
        paused = msgspec.structs.replace(here, revision=here.revision + 1)
        running = msgspec.structs.replace(there, revision=there.revision + 1)
        answers = store.commit_many(
            [
                one.act(Verb.PAUSE, here),
                other.act(Verb.ACTIVATE, there),
                one.act(Verb.RESUME, paused, said="in vain"),
                other.act(Verb.ABORT, running),
                one.act(Verb.RESUME, msgspec.structs.replace(paused, revision=paused.revision + 1)),
            ]
        )
        types = [event_types(answer)[-1] if isinstance(answer, Committed) else repr(answer) for answer in answers]
        assert types == ["PLAN_PAUSED", "PLAN_ACTIVATED", "PLAN_ACTIVATION_REFUSED", "PLAN_ABORTED", "PLAN_RESUMED"]
        assert [row.status for row in store.plans(TENANT)] == [PlanStatus.ACTIVE, PlanStatus.ABORTED]
        third = mover(store, "p-3")
        comes = third.act(Verb.ACTIVATE, approved(store, third))
        assert all(isinstance(answer, Committed) for answer in store.commit_many([one.act(Verb.ABORT), comes]))
        ends = [PlanStatus.ABORTED, PlanStatus.ABORTED, PlanStatus.ACTIVE]
        assert [row.status for row in store.plans(TENANT)] == ends
        assert verify_store(store).ok

    def test_a_plan_is_found_by_status_and_in_order(self, store: Store) -> None:
        """L4: however many there are."""
        named = [f"p-{number:03}" for number in range(300)]
        created = [mover(store, name, account_id=name).create() for name in reversed(named)]
        assert all(isinstance(answer, Committed) for answer in store.commit_many(created))
        store.commit(mover(store, "p-007", account_id="p-007").act(Verb.ABORT))
        assert [row.plan_id for row in store.plans(TENANT)] == named
        assert [row.plan_id for row in store.plans(TENANT, ("ABORTED", "ACTIVE"))] == ["p-007"]
        assert len([*store.plans(TENANT, ["DRAFT"])]) == 299
        assert [*store.plans(OTHER)] == []

    def test_a_plan_id_is_a_label_until_there_is_a_plan(self, store: Store) -> None:
        """G11: from then on, no attempt of it is judged besides those that are drawn; whatever was remembered before."""
        step = "BEFORE_STEP_EXECUTION"
        for number in range(3):  # a budget beside it, so that a store has something to remember
            run = draft(f"run-{number}", choke_point=step)
            answer = store.commit(reservation(f"op-{number}", [cap("day", 9)], run))
            assert answer.state == "PENDING"
        store.commit(mover(store).create())
        blocked = store.commit(reservation("op-9", [cap("day", 9)], draft("run-9", choke_point=step)))
        assert blocked.state == "BLOCKED"
        elsewhere = store.commit(decision(draft("run-10", choke_point=step), operation="op-10", plan_id="p-2"))
        assert elsewhere.state == "PENDING"
        assert verify_store(store).ok

    def test_plans_never_cross_a_tenant(self, store: Store) -> None:
        """L5: the same id is another plan elsewhere, and no other's plan takes a place."""
        active(store, mover(store))
        theirs = mover(store, tenant=OTHER, objective="theirs")
        store.commit(of_tenant(theirs.create(), OTHER))
        assert row_of(store, tenant=OTHER).status is PlanStatus.DRAFT
        assert row_of(store).status is PlanStatus.ACTIVE
        for verb in (Verb.SUBMIT, Verb.APPROVE, Verb.ACTIVATE):
            row = row_of(store, tenant=OTHER)
            submission = theirs.approve(row) if verb is Verb.APPROVE else theirs.act(verb, row)
            store.commit(of_tenant(submission, OTHER))
        assert row_of(store, tenant=OTHER).status is PlanStatus.ACTIVE
        assert store.plan("nobody", "p-1") is None
        assert verify_store(store).ok

    def test_a_snapshot_shows_the_plans_of_its_moment(self, store: Store) -> None:
        """L3: so that rows and records that are compared are of one moment."""
        moves = mover(store)
        store.commit(moves.create())
        with store.snapshot() as moment:
            assert moment.plan(TENANT, "p-1") == row_of(store)
            store.commit(moves.act(Verb.SUBMIT, row_of(store)))
            store.commit(mover(store, "p-2").create())
            assert [row.submitted for row in moment.plans(TENANT)] == [False]
        assert [row.submitted for row in store.plans(TENANT)] == [True, False]
