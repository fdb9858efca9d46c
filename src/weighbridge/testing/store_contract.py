"""The contract every store keeps, as a suite of tests that any store can be put through.

Subclass `StoreContract` in a test module and give it a ``store`` fixture that returns a new, empty store made for
enforcement, both `LedgerWriter` and `LedgerReader`; pytest collects the tests::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore(purpose="enforcement", entropy=os.urandom)

Each test names the rule of the governance contract that it proves.
"""
# ruff: noqa: S101, PLR2004 - tests assert, against the numbers they expect, as many things as the contract says

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from weighbridge.budgets.decide import Counter
from weighbridge.domain.amounts import AMOUNT_MAX, CostClass
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import (
    CanonicalError,
    IdempotencyConflict,
    NotFound,
    TenantMismatch,
    UsageError,
    WeighbridgeError,
)
from weighbridge.ledger import chain
from weighbridge.ledger.record import BUDGET_DECISIONS, events
from weighbridge.ledger.submission import Committed, Head, Submission
from weighbridge.storage.audit import verify_store
from weighbridge.storage.reading import StoredRecord
from weighbridge.testing.store_contract_outcomes import OutcomeContract
from weighbridge.testing.store_contract_plans import PlanContract
from weighbridge.testing.stores import Store, in_threads, told
from weighbridge.testing.submissions import (
    EXPENSIVE,
    NOW_MS,
    SKEW_MS,
    TENANT,
    WRITEBACK,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    ended,
    erasure,
    fact,
    hashed,
    reservation,
    usage,
    with_content,
)

OTHER = "globex"
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def summary(answer: Committed) -> dict[str, Any]:
    """Return what the last summary of a committed record says."""
    return [event.fields for event in told(answer) if event.type == "VALIDATOR_RUN_SUMMARY"][-1]


def reasons(answer: Committed) -> list[str]:
    """Return the gateway's own findings in a committed record."""
    return [finding["reason"] for finding in summary(answer)["findings"]]


def budget(answer: Committed) -> dict[str, Any]:
    """Return what the budget decision of a committed record says, its type included."""
    (decided,) = (event for event in told(answer) if event.type in BUDGET_DECISIONS)
    return {"type": decided.type, **decided.fields}


def counters(store: Store) -> dict[str, tuple[int, int]]:
    """Return every counter: what was reserved, and what was given back."""
    return {name: (counter.reserved, counter.settled) for name, counter in store.counters(TENANT)}


def changed(submission: Submission, **fields: Any) -> Submission:
    """Return a submission with other fields."""
    return msgspec.structs.replace(submission, **fields)


def unclassed(submission: Submission) -> Submission:
    """Return a reservation of an operation that nobody knows, and nobody says so."""
    assert submission.reservation is not None
    return changed(submission, reservation=msgspec.structs.replace(submission.reservation, cost_class=None))


class StoreContract(PlanContract, OutcomeContract):
    """What every store does. ``store`` is new for every test."""

    # --- records ---

    def test_a_record_is_one_link_of_a_chain(self, store: Store) -> None:
        """L3: the record that is answered is the one that lies there, numbered from 1 and linked to its predecessor."""
        assert store.head(TENANT) == Head(0, chain.genesis(TENANT))
        previous = chain.genesis(TENANT)
        for seq in (1, 2, 3):
            answer = store.commit(decision(draft(f"run-{seq}")))
            stored = store.record(TENANT, seq)
            assert stored is not None
            assert (answer.seq, answer.hash, answer.body) == (seq, stored.hash, stored.body)
            assert stored.leaf_hash == chain.leaf_hash(stored.body)
            assert stored.hash == chain.link(previous, seq, stored.leaf_hash)
            previous = stored.hash
        assert (store.head(TENANT).seq, store.head(TENANT).hash) == (3, previous)

    def test_a_decision_is_one_record(self, store: Store) -> None:
        """G2: one VALIDATOR_RUN for each validator and one summary, in order, in one record, with every row it implies."""
        answer = store.commit(decision(draft("run-1"), operation="op-1"))
        assert [event.type for event in told(answer)][-5:] == [*["VALIDATOR_RUN"] * 4, "VALIDATOR_RUN_SUMMARY"]
        assert [(event.seq, event.index) for event in told(answer)] == [(1, index) for index in range(6)]
        run, operation = store.identity(TENANT, "run", "run-1"), store.identity(TENANT, "op", "op-1")
        assert run is not None
        assert operation is not None
        assert (run.seq, operation.seq, operation.state) == (1, 1, "PENDING")
        assert all(event.fields["validation_run_id"] == "run-1" for event in told(answer))

    def test_several_runs_of_one_operation_are_one_record(self, store: Store) -> None:
        """G10: every run keeps its own fields, the operation is as strict as the strictest."""
        blocked = draft("run-b", choke_point=EXPENSIVE, verdict=Verdict.BLOCK)
        answer = store.commit(decision(draft("run-a"), blocked, operation="op-1"))
        runs = {event.fields["validation_run_id"]: event.fields for event in told(answer) if "SUMMARY" in event.type}
        assert (runs["run-a"]["choke_point"], runs["run-b"]["choke_point"]) == (WRITEBACK, EXPENSIVE)
        assert (runs["run-a"]["result"], runs["run-b"]["result"]) == ("ALLOW", "BLOCK")
        assert answer.state == "BLOCKED"

    def test_every_event_says_where_it_belongs(self, store: Store) -> None:
        """G2: tenant, actor, account, plan, step, ids, time, versions and enforcement stand on every event."""
        answer = store.commit(decision(draft("run-1"), operation="op-1"))
        wanted = {
            "tenant_id", "actor", "account_id", "plan_id", "step_id", "validation_run_id", "operation_id", "choke_point",
            "target_id", "snapshot_id", "evaluation_time", "time_source", "policy_version", "engine_version", "enforcement",
        }  # fmt: skip
        assert all(wanted <= event.fields.keys() for event in told(answer))

    def test_a_policy_change_is_on_record(self, store: Store) -> None:
        """L2: the first record under a policy version says so, and says what was in force before."""
        store.commit(decision(draft("run-1"), policy="old"))
        store.commit(decision(draft("run-2"), policy="old"))
        answer = store.commit(decision(draft("run-3"), policy="new"))
        changes = [event for stored in store.records(TENANT) for event in events(stored.body) if "POLICY" in event.type]
        assert [(event.seq, event.fields["previous"]) for event in changes] == [(1, None), (3, hashed("old"))]
        assert store.head(TENANT).policy_version == hashed("new")
        assert told(answer)[0].type == "POLICY_ACTIVATED"

    def test_refusals_are_summed_into_the_next_record(self, store: Store) -> None:
        """G2: refusals stand in the tenant's next record."""
        answer = store.commit(decision(draft("run-1"), refusals={"OVERLOADED": 3}))
        assert told(answer)[0].type == "REFUSALS"
        assert told(answer)[0].fields["counts"] == {"OVERLOADED": 3}

    # --- identity ---

    def test_the_same_request_is_answered_from_the_record(self, store: Store) -> None:
        """G3: same id and hash, the recorded answer, nothing appended; time and policy of the first record stand."""
        first = store.commit(decision(draft("run-1")))
        again = store.commit(decision(draft("run-1"), at_ms=NOW_MS + MINUTE_MS, policy="another"))
        assert again.replayed
        assert not first.replayed
        assert (again.seq, again.hash, again.body) == (first.seq, first.hash, first.body)
        assert store.head(TENANT).seq == 1

    def test_another_request_under_the_same_id_is_a_conflict(self, store: Store) -> None:
        """G3: another hash is IDEMPOTENCY_CONFLICT, never a new verdict."""
        store.commit(decision(draft("run-1")))
        with pytest.raises(IdempotencyConflict) as caught:
            store.commit(decision(draft("run-1", request="another")))
        assert (caught.value.code, caught.value.kind, caught.value.identity) == ("IDEMPOTENCY_CONFLICT", "run", "run-1")
        assert store.head(TENANT).seq == 1

    def test_run_and_operation_ids_are_bound_together(self, store: Store) -> None:
        """G10: either in another pairing is a conflict, and nothing is recorded."""
        a, b = draft("run-a"), draft("run-b", choke_point=EXPENSIVE)
        store.commit(decision(a, b, operation="op-1"))
        store.commit(decision(draft("run-c")))
        pairings = [
            decision(a, b, operation="op-2", request="op-1"),  # the runs under another operation
            decision(a, operation="op-1"),  # the operation with one run less
            decision(a, b, draft("run-d", choke_point="BEFORE_STEP_EXECUTION"), operation="op-1"),  # with one more
            decision(a),  # a run alone
            decision(a, b),  # the runs without their operation
            decision(draft("run-c"), operation="op-3"),  # a lone run under an operation
            decision(a, draft("run-c", choke_point=WRITEBACK), operation="op-1"),  # runs of two records
            decision(a, b, operation="op-1", request="op-2"),  # another request
        ]
        for pairing in pairings:
            with pytest.raises(IdempotencyConflict):
                store.commit(pairing)
        assert store.head(TENANT).seq == 2
        assert store.commit(decision(a, b, operation="op-1")).replayed

    def test_a_block_consumes_the_operation_id(self, store: Store) -> None:
        """G10: asked again, the operation is still blocked; under the same id there is no second try."""
        blocked = decision(draft("run-1", verdict=Verdict.BLOCK), operation="op-1")
        assert store.commit(blocked).state == "BLOCKED"
        again = store.commit(blocked)
        assert (again.replayed, again.state, again.seq) == (True, "BLOCKED", 1)
        with pytest.raises(NotFound):
            store.commit(completion("op-1"))

    def test_an_operation_ends_once(self, store: Store) -> None:
        """G10: one outcome; said again it is the same record, another one is a conflict, of an unknown id there is none."""
        with pytest.raises(NotFound):
            store.commit(completion("op-1"))
        allowed = decision(draft("run-1"), operation="op-1")
        store.commit(allowed)
        done = store.commit(completion("op-1"))
        assert (done.seq, done.state, done.replayed) == (2, "COMPLETED", False)
        again = store.commit(completion("op-1", at_ms=NOW_MS + 1))
        assert (again.seq, again.body, again.replayed) == (2, done.body, True)
        with pytest.raises(IdempotencyConflict):
            store.commit(completion("op-1", "FAILED"))
        assert store.commit(allowed).state == "COMPLETED"
        assert store.head(TENANT).seq == 2

    # --- retries ---

    def test_an_unchanged_retry_needs_an_authorisation(self, store: Store) -> None:
        """G8: refused without one, and the record says what it retries."""
        store.commit(decision(draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)))
        retry = store.commit(decision(draft("run-2", proposal="p", request="r")))
        assert reasons(retry) == ["RETRY_NOT_AUTHORISED"]
        assert (summary(retry)["result"], summary(retry)["retry_of"]) == ("BLOCK", "run-1")

    def test_an_authorisation_is_for_one_use(self, store: Store) -> None:
        """G8: one use; it lets the proposal be judged again, and the one after that is refused."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked))
        given = store.commit(authorisation(blocked))
        assert store.commit(authorisation(blocked)).seq == given.seq  # said twice is said once
        retry = store.commit(decision(draft("run-2", proposal="p", request="r")))
        assert (summary(retry)["result"], summary(retry)["retry_authorised_by"]) == ("ALLOW", given.seq)
        third = store.commit(decision(draft("run-3", proposal="p", request="r")))
        assert reasons(third) == ["RETRY_NOT_AUTHORISED"]

    def test_an_authorisation_executes_nothing_against_a_block(self, store: Store) -> None:
        """G8: an authorised retry is judged; blocked again it stays blocked, and the authorisation is used up."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked))
        store.commit(authorisation(blocked))
        again = decision(draft("run-2", proposal="p", request="r", verdict=Verdict.BLOCK), operation="op-2")
        answer = store.commit(again)
        assert (summary(answer)["result"], answer.state, reasons(answer)) == ("BLOCK", "BLOCKED", [])
        assert reasons(store.commit(decision(draft("run-3", proposal="p", request="r")))) == ["RETRY_NOT_AUTHORISED"]

    def test_an_authorisation_expires(self, store: Store) -> None:
        """G8: it holds until its instant and not at it."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked))
        store.commit(authorisation(blocked, expires_ms=NOW_MS + MINUTE_MS))
        late = store.commit(decision(draft("run-2", proposal="p", request="r"), at_ms=NOW_MS + MINUTE_MS))
        assert reasons(late) == ["RETRY_NOT_AUTHORISED"]
        store.commit(authorisation(blocked, expires_ms=NOW_MS + 2 * MINUTE_MS))
        early = store.commit(decision(draft("run-3", proposal="p", request="r"), at_ms=NOW_MS + 2 * MINUTE_MS - 1))
        assert reasons(early) == []

    def test_an_authorisation_is_bound_to_the_request(self, store: Store) -> None:
        """G8: leave for one request is none for another; without a block there is nothing to authorise."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        with pytest.raises(NotFound):
            store.commit(authorisation(blocked))
        store.commit(decision(blocked))
        store.commit(authorisation(draft("x", proposal="p", request="another")))
        assert reasons(store.commit(decision(draft("run-2", proposal="p", request="r")))) == ["RETRY_NOT_AUTHORISED"]

    def test_a_retry_in_other_words_is_unchanged(self, store: Store) -> None:
        """G8: inputs decide, not the request: neither a target, an attempt nor an order makes a new judgement."""
        blocked = draft("run-1", proposal="p", request="r", inputs="i", verdict=Verdict.BLOCK)
        store.commit(decision(blocked))
        retry = draft("run-2", proposal="p", request="another", inputs="i")
        assert reasons(store.commit(decision(retry))) == ["RETRY_NOT_AUTHORISED"]
        store.commit(authorisation(blocked))
        again = draft("run-3", proposal="p", request="a third", inputs="i")
        assert reasons(store.commit(decision(again))) == []

    def test_nobody_uses_the_authorisation_they_gave(self, store: Store) -> None:
        """G8: by whoever else it is asked, the leave still serves; from another person it is another leave."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked))
        given = store.commit(authorisation(blocked))
        giver = {"id": "person-1", "role": "approver"}
        own = decision(draft("own-1", proposal="p", request="r"), actor=giver)
        assert reasons(store.commit(own)) == ["RETRY_NOT_AUTHORISED"]
        behind = decision(draft("own-2", proposal="p", request="r"), principal=giver)
        assert reasons(store.commit(behind)) == ["RETRY_NOT_AUTHORISED"]
        (row,) = (row for *_, row in store.authorisations(TENANT))
        assert (row.by, row.used_seq) == ("person-1", None)
        second = store.commit(authorisation(blocked, about={"actor": {"id": "person-2", "role": "approver"}}))
        assert second.seq != given.seq
        retry = store.commit(decision(draft("run-2", proposal="p", request="r"), actor=giver))
        assert summary(retry)["retry_authorised_by"] == second.seq

    @pytest.mark.parametrize("changed", ["request", "policy", "choke point", "proposal"])
    def test_a_changed_retry_is_a_new_judgement(self, store: Store, changed: str) -> None:
        """G8: with fresher data, another snapshot, evidence or policy it is judged like any other."""
        store.commit(decision(draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)))
        run = draft(
            "run-2",
            proposal="another" if changed == "proposal" else "p",
            request="fresher" if changed == "request" else "r",
            choke_point=EXPENSIVE if changed == "choke point" else WRITEBACK,
        )
        retry = store.commit(decision(run, policy="new" if changed == "policy" else "policy-1"))
        assert (reasons(retry), summary(retry)["result"]) == ([], "ALLOW")
        assert summary(retry).get("retry_of") == ("run-1" if changed in {"request", "policy"} else None)

    # --- time ---

    def test_a_clock_that_stepped_back_blocks(self, store: Store) -> None:
        """B9: more than the skew behind the tenant's last record is CLOCK_STEPPED_BACK, to the millisecond."""
        store.commit(decision(draft("run-1")))
        within = store.commit(decision(draft("run-2"), at_ms=NOW_MS - SKEW_MS))
        assert (reasons(within), store.head(TENANT).last_time_ms) == ([], NOW_MS)
        beyond = store.commit(decision(draft("run-3"), at_ms=NOW_MS - SKEW_MS - 1, operation="op-3"))
        assert (reasons(beyond), beyond.state) == (["CLOCK_STEPPED_BACK"], "BLOCKED")
        assert summary(beyond)["findings"][0]["details"] == {"behind_ms": SKEW_MS + 1, "max_clock_skew_ms": SKEW_MS}

    def test_supplied_times_are_free(self, store: Store) -> None:
        """B9: a supplied time neither moves the tenant's clock nor is held against it."""
        store.commit(decision(draft("run-1")))
        past = store.commit(decision(draft("run-2"), at_ms=0, time_source="supplied"))
        store.commit(decision(draft("run-3"), at_ms=NOW_MS * 2, time_source="supplied"))
        assert reasons(past) == []
        assert store.head(TENANT).last_time_ms == NOW_MS

    # --- finding ---

    def test_every_id_leads_to_its_records(self, store: Store) -> None:
        """L4: plan, step, account, run and operation ids find every record that tells of them, in order."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked, operation="op-1", plan_id="p-1"))
        store.commit(decision(draft("run-2"), operation="op-2", plan_id="p-2", step_id="s-2"))
        store.commit(completion("op-2"))
        store.commit(authorisation(blocked))
        store.commit(decision(draft("run-3", proposal="p", request="r"), plan_id="p-1"))
        found = {name: tuple(store.find(TENANT, name)) for name in ("p-1", "p-2", "s-1", "s-2", "a-1", "op-2", "run-1")}
        assert found == {
            "p-1": (1, 5), "p-2": (2,), "s-1": (1, 5), "s-2": (2,), "a-1": (1, 2, 5), "op-2": (2, 3), "run-1": (1, 4, 5),
        }  # fmt: skip
        assert tuple(store.find(TENANT, "nobody")) == ()

    # --- tenants ---

    def test_nothing_crosses_a_tenant(self, store: Store) -> None:
        """L5: the same ids, proposals and contents in two tenants never meet, whatever is asked."""
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK, content=hashed("c"))
        store.commit(decision(blocked, operation="op-1", contents=[(hashed("c"), b"private")]))
        store.commit(authorisation(blocked))
        assert store.identity(OTHER, "run", "run-1") is None
        assert store.identity(OTHER, "op", "op-1") is None
        assert (tuple(store.find(OTHER, "run-1")), list(store.records(OTHER)), store.record(OTHER, 1)) == ((), [], None)
        assert store.content(OTHER, hashed("c")) is None
        for listing in ("identities", "blocked_proposals", "authorisations", "subjects", "contents"):
            assert list(getattr(store, listing)(OTHER)) == []
        with pytest.raises(NotFound):
            store.commit(completion("op-1", tenant=OTHER))
        with pytest.raises(NotFound):
            store.commit(authorisation(blocked, tenant=OTHER))
        answer = store.commit(decision(draft("run-1", proposal="p", request="x"), tenant=OTHER, at_ms=0))
        assert (answer.seq, reasons(answer), "retry_of" in summary(answer)) == (1, [], False)
        assert store.tenants() == (TENANT, OTHER)
        assert store.head(OTHER).hash != store.head(TENANT).hash

    def test_a_tenant_erases_its_own_content_only(self, store: Store) -> None:
        """L5: neither a wrong tenant in the call nor in the submission reaches another's content."""
        store.commit(decision(draft("run-1", content=hashed("c")), contents=[(hashed("c"), b"private")]))
        with pytest.raises(TenantMismatch):
            store.erase_content(TENANT, (hashed("c"),), erasure(tenant=OTHER))
        with pytest.raises(NotFound):
            store.erase_content(OTHER, (hashed("c"),), erasure(tenant=OTHER))
        assert store.content(TENANT, hashed("c")) == b"private"

    # --- content ---

    def test_content_is_stored_once_and_found_by_its_hash(self, store: Store) -> None:
        """L6: the record holds the hash, the content lies beside it."""
        key = store.tenant_key(TENANT)
        first, again = with_content("run-1", key, b'{"amount":1}'), with_content("run-2", key, b'{"amount":1}')
        store.commit(first)
        store.commit(again)
        assert list(store.contents(TENANT)) == [(first.contents[0][0], b'{"amount":1}')]
        assert store.content(TENANT, first.contents[0][0]) == b'{"amount":1}'
        assert b"amount" not in b"".join(stored.body for stored in store.records(TENANT))

    def test_erased_content_stays_erased(self, store: Store) -> None:
        """L6: never inserted again, and the ledger still verifies."""
        key = store.tenant_key(TENANT)
        submission = with_content("run-1", key, b"personal")
        content_hash = submission.contents[0][0]
        store.commit(submission)
        erased = store.erase_content(TENANT, (content_hash,), erasure())
        assert [event.fields["hashes"] for event in told(erased) if event.type == "CONTENT_ERASED"] == [[content_hash]]
        store.commit(with_content("run-2", key, b"personal"))
        assert store.content(TENANT, content_hash) is None
        assert list(store.contents(TENANT)) == [(content_hash, None)]
        assert verify_store(store).ok

    def test_only_stored_content_can_be_erased_and_only_so(self, store: Store) -> None:
        """L6: erasing and its event belong together; of what was never stored nothing is erased."""
        store.commit(decision(draft("run-1")))
        with pytest.raises(NotFound):
            store.erase_content(TENANT, (hashed("nothing"),), erasure())
        with pytest.raises(UsageError):
            store.erase_content(TENANT, (), erasure())
        with pytest.raises(UsageError):
            store.commit(erasure())
        with pytest.raises(UsageError):
            store.erase_content(TENANT, (hashed("c"),), fact({"type": "LOGIN"}))
        assert store.head(TENANT).seq == 1

    def test_a_tenant_has_one_key(self, store: Store) -> None:
        """L6: made on first use, the same ever after, another for every tenant."""
        assert store.tenant_key(TENANT) == store.tenant_key(TENANT)
        assert store.tenant_key(TENANT) != store.tenant_key(OTHER)
        assert len(store.tenant_key(TENANT)) == 32

    # --- refusing ---

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            (decision, UsageError),
            (lambda: decision(draft("run-x"), draft("run-x")), UsageError),
            (lambda: decision(draft("run-x"), at_ms=-1), UsageError),
            (lambda: decision(draft("run-x"), note=float("nan")), CanonicalError),
            (lambda: decision(draft("run-\ud800", request="r", proposal="p")), CanonicalError),
            (lambda: decision(draft("run-x"), tenant="\ud800"), CanonicalError),
            (lambda: decision(draft("run-x"), plan_id="\ud800"), CanonicalError),
            (lambda: decision(draft("run-x"), contents=[(hashed("unnamed"), b"")]), UsageError),
            (lambda: decision(draft("run-x"), note={1, 2}), WeighbridgeError),
            (lambda: fact({"type": "OPERATION_COMPLETED"}), UsageError),
            (lambda: completion("op-x", "DONE"), UsageError),
        ],
    )
    def test_what_cannot_be_recorded_leaves_nothing(
        self, store: Store, wrong: Callable[[], Any], error: type[Exception]
    ) -> None:
        """G2: a clear error, and no trace: the id is free afterwards."""
        store.commit(decision(draft("run-1")))
        with pytest.raises(error):
            store.commit(wrong())
        assert store.head(TENANT).seq == 1
        assert not store.commit(decision(draft("run-x"))).replayed
        assert verify_store(store).ok

    def test_one_wrong_submission_harms_no_other(self, store: Store) -> None:
        """G2: of many handed in together, each has its own answer, in its place."""
        store.commit(decision(draft("run-1")))
        given = [
            decision(draft("run-2")),
            decision(draft("run-1", request="another")),
            decision(draft("run-3"), note=float("inf")),
            decision(draft("run-2")),
            decision(draft("run-4")),
        ]
        answers = store.commit_many(given)
        kinds = [answer.seq if isinstance(answer, Committed) else type(answer) for answer in answers]
        assert kinds == [2, IdempotencyConflict, CanonicalError, 2, 3]
        assert store.commit_many([]) == []
        assert verify_store(store).ok

    # --- reading ---

    def test_records_can_be_read_from_anywhere(self, store: Store) -> None:
        """L2: numbered without gaps, in order, both ends included."""
        for number in range(1, 8):
            store.commit(decision(draft(f"run-{number}")))
        assert [stored.seq for stored in store.records(TENANT)] == [1, 2, 3, 4, 5, 6, 7]
        assert [stored.seq for stored in store.records(TENANT, 3, 5)] == [3, 4, 5]
        assert [stored.seq for stored in store.records(TENANT, 6)] == [6, 7]
        assert list(store.records(TENANT, 8)) == []
        assert store.record(TENANT, 0) is None
        assert store.record(TENANT, 8) is None

    def test_many_ledgers_are_asked_about_together(self, store: Store) -> None:
        """L3, L5: what one question says of many tenants is what each of them would be answered alone."""
        assert store.heads() == {}
        counts = {f"t-{number:03}": 1 + number % 3 for number in range(70)} | {"long": 300, "\U00010348": 2}
        for tenant, many in counts.items():
            store.commit_many([decision(draft(f"run-{number}"), tenant=tenant) for number in range(many)])
        assert store.heads() == {tenant: store.head(tenant) for tenant in counts}
        assert store.heads().keys() == set(store.tenants())
        spans = {tenant: (max(1, many - 1), many) for tenant, many in counts.items()}
        wanted = spans | {"long": (2, 299), "t-001": (2, 1), "t-002": (3, 9), "nobody": (1, 5)}
        with store.snapshot() as moment:
            found: dict[str, list[StoredRecord]] = {}
            for tenant, portion in moment.records_of(wanted):
                found.setdefault(tenant, []).extend(portion)
            assert moment.heads() == store.heads()
        alone = {tenant: list(store.records(tenant, *span)) for tenant, span in wanted.items()}
        assert {tenant: found.get(tenant, []) for tenant in wanted} == alone
        assert list(store.records_of({})) == []

    def test_a_snapshot_is_of_one_moment(self, store: Store) -> None:
        """L3: what is committed meanwhile does not show, so a check sees rows and records that belong together."""
        store.commit(decision(draft("run-1"), operation="op-1"))
        with store.snapshot() as moment:
            store.commit(decision(draft("run-2")))
            store.commit(completion("op-1"))
            assert (moment.head(TENANT).seq, moment.record(TENANT, 2)) == (1, None)
            before = moment.identity(TENANT, "op", "op-1")
            assert before is not None
            assert before.state == "PENDING"
            assert moment.tenant_key(TENANT) == store.tenant_key(TENANT)
            assert moment.purpose() == store.purpose()
        assert store.head(TENANT).seq == 3

    def test_what_a_store_wrote_verifies(self, store: Store) -> None:
        """L3: every row is what the fold of the records gives."""
        key = store.tenant_key(TENANT)
        blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
        store.commit(decision(blocked, draft("run-1b", choke_point=EXPENSIVE), operation="op-1"))
        store.commit(authorisation(blocked))
        store.commit(decision(draft("run-2", proposal="p", request="r"), operation="op-2", policy="new"))
        store.commit(completion("op-2", "FAILED"))
        store.commit(with_content("run-3", key, b"personal", at_ms=NOW_MS + MINUTE_MS))
        store.erase_content(TENANT, (with_content("run-3", key, b"personal").contents[0][0],), erasure())
        store.commit(decision(draft("run-4"), tenant=OTHER))
        checked = verify_store(store)
        assert [(one.tenant_id, one.records, one.faults) for one in checked.tenants] == [
            (TENANT, 6, ()),
            (OTHER, 1, ()),
        ]

    # --- budgets ---

    def test_a_reservation_is_one_record_with_one_decision(self, store: Store) -> None:
        """B5, B10: after the runs of its operation, in the same record; every cap with what it saw and said."""
        caps = [cap("day", 5, soft=1), cap("tokens", None, unit="tokens", period=Period.MONTH)]
        asked = reservation("op-1", caps, draft("run-1"), amounts={"operations": 1, "tokens": 10**24})
        answer = store.commit(asked)
        assert [event.type for event in told(answer)][-2:] == ["VALIDATOR_RUN_SUMMARY", "BUDGET_RESERVE"]
        said = budget(answer)
        assert (said["result"], said["reason"], answer.state) == ("ALLOW", "WITHIN_CAPS", "PENDING")
        assert (said["amounts"], said["cost_class"]) == ({"operations": "1", "tokens": str(10**24)}, "CHEAP")
        assert [(one["cap"], one["usage_before"], one["usage_after"], one["hard_cap"]) for one in said["caps"]] == [
            ("day", "0", "1", "5"), ("tokens", "0", str(10**24), "unlimited"),
        ]  # fmt: skip
        assert store.counter(TENANT, "tokens 2026-11 any") == Counter(10**24)
        assert [consumed.reserved for _, consumed in store.consumption(TENANT)] == [{"operations": 1, "tokens": 10**24}]
        assert verify_store(store).ok

    def test_of_any_number_of_callers_exactly_as_many_as_fit_are_reserved(self, store: Store) -> None:
        """B5: sixteen callers, 160 requests, a cap of 100: 100 reserved; the refused ones moved no other counter."""
        caps = [cap("exact", 100), cap("wide", None, period=Period.MONTH, scope=(("account", None),))]
        states: list[str | None] = []

        def call(caller: int) -> None:
            states.extend(store.commit(reservation(f"op-{caller}-{number}", caps)).state for number in range(10))

        in_threads(call, range(16))
        assert (states.count("PENDING"), states.count("BLOCKED")) == (100, 60)
        assert counters(store) == {
            "operations 2026-11-22 any": (100, 0), 'operations 2026-11 any account="a-1"': (100, 0),
        }  # fmt: skip
        assert verify_store(store).ok

    def test_many_handed_in_together_are_reserved_one_after_the_other(self, store: Store) -> None:
        """B5, B6: in one transaction each sees what the others reserved; the same id twice is charged once."""
        caps = [cap("day", 3)]
        given = [reservation(f"op-{number}", caps) for number in (1, 2, 1, 3, 4, 2, 4)]
        answers = [answer for answer in store.commit_many(given) if isinstance(answer, Committed)]
        assert [answer.state for answer in answers] == [*["PENDING"] * 4, "BLOCKED", "PENDING", "BLOCKED"]
        assert [answer.replayed for answer in answers] == [False, False, True, False, False, True, True]
        assert counters(store) == {"operations 2026-11-22 any": (3, 0)}

    def test_all_counters_move_or_none(self, store: Store) -> None:
        """B4: where one cap is full, no other counter moves, and nothing is remembered as consumed."""
        caps = [cap("a", 9, unit="tokens"), cap("b", 1), cap("c", 9, period=Period.MONTH)]
        store.commit(reservation("op-1", caps, amounts={"operations": 1, "tokens": 2}))
        before = (counters(store), list(store.consumption(TENANT)))
        answer = store.commit(reservation("op-2", caps, amounts={"operations": 1, "tokens": 2}))
        assert [(one["verdict"], one["reason"]) for one in budget(answer)["caps"]] == [
            ("ALLOW", "WITHIN_CAPS"), ("BLOCK", "HARD_CAP_EXCEEDED"), ("ALLOW", "WITHIN_CAPS"),
        ]  # fmt: skip
        assert (budget(answer)["reason"], answer.state) == ("HARD_CAP_EXCEEDED", "BLOCKED")
        assert (counters(store), list(store.consumption(TENANT))) == before

    def test_a_soft_cap_warns_and_reserves(self, store: Store) -> None:
        """B4: up to the soft cap ALLOW, beyond it WARN, beyond the hard cap BLOCK; each to the unit."""
        caps = [cap("day", 3, soft=2)]
        answers = [store.commit(reservation(f"op-{number}", caps)) for number in range(4)]
        assert [budget(answer)["type"] for answer in answers] == [
            "BUDGET_RESERVE", "BUDGET_RESERVE", "BUDGET_WARN", "BUDGET_BLOCK",
        ]  # fmt: skip
        assert [answer.state for answer in answers] == [*["PENDING"] * 3, "BLOCKED"]
        assert counters(store) == {"operations 2026-11-22 any": (3, 0)}

    def test_an_operation_is_charged_once(self, store: Store) -> None:
        """B6: asked again, also at another time, it is the first answer; another request is a conflict."""
        first = store.commit(reservation("op-1", [cap("day", 1)]))
        again = store.commit(reservation("op-1", [cap("day", 1)], at_ms=NOW_MS + 3 * DAY_MS))
        assert (again.seq, again.body, again.replayed) == (first.seq, first.body, True)
        with pytest.raises(IdempotencyConflict):
            store.commit(reservation("op-1", [cap("day", 1)], request="another"))
        with pytest.raises(IdempotencyConflict):
            store.commit(reservation("op-1", [cap("day", 1)], draft("run-1")))  # G10: with a run it never had
        assert counters(store) == {"operations 2026-11-22 any": (1, 0)}

    def test_a_blocked_reservation_consumes_the_operation_id(self, store: Store) -> None:
        """B6, G10: still blocked when it is asked again, also where there is room by now; it can neither end nor be used."""
        caps = [cap("day", 0)]
        assert store.commit(reservation("op-1", caps)).state == "BLOCKED"
        again = store.commit(reservation("op-1", [cap("day", 9)]))
        assert (again.replayed, again.state, budget(again)["reason"]) == (True, "BLOCKED", "NEVER_FITS")
        for report in (completion("op-1"), usage("op-1", {"operations": 1})):
            with pytest.raises(NotFound):
                store.commit(report)
        assert counters(store) == {}

    def test_a_gate_that_blocks_asks_no_budget(self, store: Store) -> None:
        """B11, G10: nothing moves, no budget event, and the id is consumed."""
        blocked = draft("run-1", verdict=Verdict.BLOCK)
        answer = store.commit(reservation("op-1", [cap("day", 9)], blocked))
        assert not [event for event in told(answer) if event.type.startswith("BUDGET")]
        assert (answer.state, counters(store), list(store.consumption(TENANT))) == ("BLOCKED", {}, [])

    def test_a_budget_that_blocks_blocks_what_the_gate_allowed(self, store: Store) -> None:
        """G10: the strictest of all counts; the runs keep their verdicts."""
        answer = store.commit(reservation("op-1", [cap("day", 0)], draft("run-1")))
        assert (summary(answer)["result"], budget(answer)["result"], answer.state) == ("ALLOW", "BLOCK", "BLOCKED")

    def test_every_counter_holds_everything_that_falls_under_it(self, store: Store) -> None:
        """B3: whole tenant, "each" with its own counter for whoever has none, one value, one class."""
        caps = [
            cap("all", None),
            cap("each", 2, scope=(("account", None),)),
            cap("one", None, scope=(("account", "a-1"), ("tool", "crm.read"))),
            cap("dear", None, classes=[CostClass.MEDIUM, CostClass.EXPENSIVE]),
            cap("life", None, period=Period.PLAN, scope=(("plan", None),)),
        ]
        store.commit(reservation("op-1", caps))
        store.commit(reservation("op-2", caps, account="a-2", plan=None, cost_class=CostClass.EXPENSIVE))
        store.commit(reservation("op-3", caps, account=None, tool="crm.write", cost_class=CostClass.MEDIUM))
        store.commit(reservation("op-4", caps, account=None, plan=None))
        assert store.commit(reservation("op-5", caps, account=None, plan="p-2")).state == "BLOCKED"
        assert counters(store) == {
            "operations 2026-11-22 any": (4, 0),
            'operations 2026-11-22 any account="a-1"': (1, 0),
            'operations 2026-11-22 any account="a-2"': (1, 0),
            "operations 2026-11-22 any account=(none)": (2, 0),
            'operations 2026-11-22 any account="a-1" tool="crm.read"': (1, 0),
            "operations 2026-11-22 MEDIUM+EXPENSIVE": (2, 0),
            'operations PLAN any plan="p-1"': (2, 0),
            "operations PLAN any plan=(none)": (2, 0),
        }
        assert verify_store(store).ok

    def test_caps_over_the_same_things_share_a_counter(self, store: Store) -> None:
        """B3, B14: it moves once, whatever the caps are called, and whether they name the account or say "each"."""
        caps = [
            cap("a", 3, scope=(("account", None),)),
            cap("b", 2, scope=(("account", None),), soft=1),
            cap("c", 9, scope=(("account", "a-1"),)),
        ]
        answers = [store.commit(reservation(f"op-{number}", caps)) for number in range(3)]
        assert [budget(answer)["reason"] for answer in answers] == [
            "WITHIN_CAPS", "SOFT_CAP_EXCEEDED", "HARD_CAP_EXCEEDED",
        ]  # fmt: skip
        assert counters(store) == {'operations 2026-11-22 any account="a-1"': (2, 0)}

    def test_without_a_cap_nothing_goes(self, store: Store) -> None:
        """B8: no cap that applies, none at all, and "unlimited", which counts and lifts no other cap."""
        other = [cap("elsewhere", 9, scope=(("account", "a-9"),))]
        assert budget(store.commit(reservation("op-1", other)))["reason"] == "NO_APPLICABLE_CONFIG"
        assert budget(store.commit(reservation("op-2", [])))["reason"] == "NO_APPLICABLE_CONFIG"
        caps = [cap("free", None), cap("tight", 1, period=Period.MONTH)]
        states = [store.commit(reservation(f"op-f{number}", caps)).state for number in range(2)]
        assert (states, counters(store)["operations 2026-11-22 any"]) == (["PENDING", "BLOCKED"], (1, 0))

    def test_a_reservation_fits_or_not(self, store: Store) -> None:
        """B12: never shrunk to what is left; larger than the cap is said so; what is not known is not 0."""
        caps = [cap("tokens", 10, unit="tokens")]

        def ask(name: str, **amounts: int) -> str:
            reason: str = budget(store.commit(reservation(name, caps, amounts=amounts)))["reason"]
            return reason

        assert ask("op-1", tokens=7) == "WITHIN_CAPS"
        assert ask("op-2", tokens=4) == "HARD_CAP_EXCEEDED"
        assert ask("op-3", tokens=11) == "NEVER_FITS"
        assert ask("op-4", operations=1) == "COST_UNKNOWN"
        assert ask("op-5", tokens=3) == "WITHIN_CAPS"
        assert ask("op-6", tokens=0) == "WITHIN_CAPS"
        assert counters(store) == {"tokens 2026-11-22 any": (10, 0)}
        assert verify_store(store).ok

    def test_amounts_are_exact_to_the_largest(self, store: Store) -> None:
        """B2: whole numbers far beyond 64 bits; beyond the range nothing is reserved, also in a unit that no cap counts."""
        caps = [cap("money", None, unit="pico_USD")]
        store.commit(reservation("op-1", caps, amounts={"pico_USD": AMOUNT_MAX - 1}))
        store.commit(reservation("op-2", caps, amounts={"pico_USD": 1}))
        assert counters(store) == {"pico_USD 2026-11-22 any": (AMOUNT_MAX, 0)}
        for name, amounts in {"op-3": {"pico_USD": 1}, "op-4": {"pico_USD": 0, "tokens": AMOUNT_MAX + 1}}.items():
            assert budget(store.commit(reservation(name, caps, amounts=amounts)))["reason"] == "AMOUNT_OUT_OF_RANGE"
        mixed = store.commit(reservation("op-5", caps, amounts={"pico_EUR": 1}))
        assert budget(mixed)["reason"] == "CURRENCY_MISMATCH"
        assert verify_store(store).ok

    def test_a_cap_can_demand_a_reason(self, store: Store) -> None:
        """B13: without one BLOCK, with one at least WARN, and the reason is content of the record."""
        caps = [cap("dear", 5, justification=True)]
        assert budget(store.commit(reservation("op-1", caps)))["reason"] == "JUSTIFICATION_MISSING"
        stated = reservation("op-2", caps, justification=hashed("why"), contents=[(hashed("why"), b'"quarter end"')])
        answer = store.commit(stated)
        assert (budget(answer)["reason"], budget(answer)["result"], answer.state) == ("JUSTIFIED", "WARN", "PENDING")
        assert budget(answer)["content"] == {"justification": hashed("why")}
        assert store.content(TENANT, hashed("why")) == b'"quarter end"'

    def test_a_failed_operation_stays_paid_for(self, store: Store) -> None:
        """B7: a reservation is spent, whatever becomes of the operation."""
        store.commit(reservation("op-1", [cap("day", 1)]))
        store.commit(completion("op-1", "FAILED"))
        assert store.commit(reservation("op-2", [cap("day", 1)])).state == "BLOCKED"

    def test_what_was_not_used_is_given_back_once_to_caps_that_opted_in(self, store: Store) -> None:
        """B7: down only, once; the other caps keep the reservation, on the same counter."""
        caps = [cap("kept", 10, unit="tokens"), cap("settling", 10, unit="tokens", settles=True)]
        store.commit(reservation("op-1", caps, amounts={"tokens": 8}))
        answer = store.commit(usage("op-1", {"tokens": 3}))
        (used, settled) = (event.fields for event in told(answer))
        assert (used["consumed"], used["reserved"], "overrun" in used) == ({"tokens": "3"}, {"tokens": "8"}, False)
        assert settled["released"] == {"tokens": "5"}
        assert [(one["usage_before"], one["usage_after"]) for one in settled["counters"]] == [("8", "3")]
        assert counters(store) == {"tokens 2026-11-22 any": (8, 5)}
        again = store.commit(usage("op-1", {"tokens": 3}))
        assert (again.seq, again.replayed, again.body) == (answer.seq, True, answer.body)
        with pytest.raises(IdempotencyConflict):
            store.commit(usage("op-1", {"tokens": 2}))
        assert tuple(store.find(TENANT, "op-1")) == (1, 2)  # L4
        said = budget(store.commit(reservation("op-2", caps, amounts={"tokens": 3})))
        assert [(one["usage_before"], one["reason"]) for one in said["caps"]] == [
            ("8", "HARD_CAP_EXCEEDED"), ("3", "WITHIN_CAPS"),
        ]  # fmt: skip
        assert counters(store) == {"tokens 2026-11-22 any": (8, 5)}
        assert verify_store(store).ok

    def test_an_overrun_is_told_and_moves_nothing(self, store: Store) -> None:
        """B7: settlement goes down only; a unit that was never reserved is an overrun too."""
        store.commit(reservation("op-1", [cap("day", 9, unit="tokens", settles=True)], amounts={"tokens": 3}))
        (used,) = (event.fields for event in told(store.commit(usage("op-1", {"tokens": 5, "pico_USD": 7}))))
        assert used["overrun"] == {"tokens": "2", "pico_USD": "7"}
        assert counters(store) == {"tokens 2026-11-22 any": (3, 0)}
        assert verify_store(store).ok

    def test_a_completion_can_bring_its_use_along(self, store: Store) -> None:
        """B7: in one record; what was reported before stays what was reported, and the completion is told all the same."""
        caps = [cap("day", 9, unit="tokens", settles=True)]
        for name in ("op-1", "op-2"):
            store.commit(reservation(name, caps, amounts={"tokens": 4}))
        store.commit(usage("op-2", {"tokens": 4}))
        answers = [store.commit(ended(name, {"tokens": 1})) for name in ("op-1", "op-2")]
        assert [[event.type for event in told(answer)] for answer in answers] == [
            ["OPERATION_COMPLETED", "USAGE_REPORTED", "BUDGET_SETTLE"], ["OPERATION_COMPLETED"],
        ]  # fmt: skip
        assert [answer.state for answer in answers] == ["COMPLETED", "COMPLETED"]
        assert store.commit(ended("op-1", {"tokens": 1})).replayed
        assert counters(store) == {"tokens 2026-11-22 any": (8, 3)}
        assert verify_store(store).ok

    def test_settlement_goes_to_the_period_that_was_reserved_in(self, store: Store) -> None:
        """B7: however late, also under another policy and zone; a family that no longer counts gets it when it comes back."""
        caps = [cap("day", 9, unit="tokens", settles=True)]
        store.commit(reservation("op-1", caps, amounts={"tokens": 4}))
        store.commit(reservation("op-2", [cap("other", None)], at_ms=NOW_MS + 40 * DAY_MS, zone="Asia/Tokyo"))
        store.commit(usage("op-1", {"tokens": 1}, at_ms=NOW_MS + 41 * DAY_MS))
        assert store.counter(TENANT, "tokens 2026-11-22 any") == Counter(4, 0)
        assert verify_store(store).ok
        store.commit(reservation("op-3", caps, amounts={"tokens": 1}, at_ms=NOW_MS + 42 * DAY_MS))
        assert store.counter(TENANT, "tokens 2026-11-22 any") == Counter(4, 3)
        assert verify_store(store).ok

    def test_a_new_cap_starts_at_what_already_fell_under_it(self, store: Store) -> None:
        """B14: in the activating transaction, from the cells of every unit, account, plan, tool and class."""
        first = [cap("day", None)]
        for number in range(3):
            store.commit(reservation(f"op-{number}", first, amounts={"operations": 1, "tokens": 5}))
        store.commit(reservation("op-x", first, account="a-2", cost_class=CostClass.EXPENSIVE))
        added = [
            cap("renamed", None),
            cap("tokens", 15, unit="tokens", period=Period.MONTH),
            cap("each", 4, scope=(("account", None), ("plan", None))),
            cap("dear", 1, classes=[CostClass.EXPENSIVE]),
        ]
        answer = store.commit(reservation("op-new", added, amounts={"operations": 1, "tokens": 1}))
        assert [(one["cap"], one["usage_before"]) for one in budget(answer)["caps"]] == [
            ("renamed", "4"), ("tokens", "15"), ("each", "3"),
        ]  # fmt: skip
        (activated,) = (event.fields for event in told(answer) if event.type == "POLICY_ACTIVATED")
        assert tuple(activated["budget"]["families"]) == store.families(TENANT)
        assert counters(store) == {
            "operations 2026-11-22 any": (4, 0),
            "tokens 2026-11 any": (15, 0),
            'operations 2026-11-22 any account="a-1" plan="p-1"': (3, 0),
            'operations 2026-11-22 any account="a-2" plan="p-1"': (1, 0),
            "operations 2026-11-22 EXPENSIVE": (1, 0),
        }
        assert verify_store(store).ok

    def test_a_new_cap_sees_what_stands_before_it_in_the_same_transaction(self, store: Store) -> None:
        """B14: many handed in together, with a policy change between them."""
        before, after = [cap("a", None)], [cap("b", 3, unit="tokens")]
        amounts = {"operations": 1, "tokens": 1}
        given = [reservation(f"op-{number}", before, amounts=amounts) for number in range(2)]
        given += [reservation(f"op-n{number}", after, amounts=amounts) for number in range(2)]
        answers = [answer for answer in store.commit_many(given) if isinstance(answer, Committed)]
        assert [answer.state for answer in answers] == [*["PENDING"] * 3, "BLOCKED"]
        assert counters(store)["tokens 2026-11-22 any"] == (3, 0)
        assert verify_store(store).ok

    def test_a_cap_lowered_below_usage_moves_nothing(self, store: Store) -> None:
        """B14: every further reservation is a BLOCK, and the counter stands."""
        for number in range(3):
            store.commit(reservation(f"op-{number}", [cap("day", 5)]))
        answer = store.commit(reservation("op-low", [cap("day", 2)]))
        assert (budget(answer)["reason"], budget(answer)["caps"][0]["usage_before"]) == ("HARD_CAP_EXCEEDED", "3")
        assert counters(store) == {"operations 2026-11-22 any": (3, 0)}

    def test_a_cap_that_leaves_and_comes_back_has_missed_nothing(self, store: Store) -> None:
        """B14: while it is away its counters stand still; back again they hold what fell under them meanwhile."""
        day, month = [cap("day", 9)], [cap("month", 9, period=Period.MONTH)]
        store.commit(reservation("op-1", day))
        store.commit(reservation("op-2", month))
        assert store.families(TENANT) == ("operations MONTH any",)
        assert counters(store) == {"operations 2026-11-22 any": (1, 0), "operations 2026-11 any": (2, 0)}
        store.commit(reservation("op-3", []))  # a policy without budgets drops them all
        assert store.families(TENANT) == ()
        assert verify_store(store).ok
        store.commit(reservation("op-4", day))
        assert counters(store) == {"operations 2026-11-22 any": (3, 0), "operations 2026-11 any": (2, 0)}
        assert verify_store(store).ok

    def test_a_gate_under_a_new_policy_activates_its_caps_too(self, store: Store) -> None:
        """B14: whatever is decided first under it; what counts must be the same for all that is decided under it."""
        caps = [cap("day", 9)]
        asked = reservation("op-1", caps)
        gate = msgspec.structs.replace(decision(draft("run-1")), terms=asked.terms, policy_version=asked.policy_version)
        store.commit(gate)
        assert store.families(TENANT) == ("operations DAY any",)
        assert store.commit(asked).state == "PENDING"
        with pytest.raises(UsageError):
            store.commit(msgspec.structs.replace(reservation("op-2", [cap("x", 9, period=Period.MONTH)]),
                                                 policy_version=asked.policy_version))  # fmt: skip
        assert verify_store(store).ok

    def test_periods_follow_from_the_time_and_the_zone(self, store: Store) -> None:
        """B9: the day turns at the zone's midnight, to the millisecond."""
        caps = [cap("day", 1)]
        midnight = NOW_MS + 13 * HOUR_MS  # 2026-11-23T00:00 in Berlin
        times = {"op-1": midnight - 1, "op-2": midnight - 1, "op-3": midnight}
        states = [
            store.commit(reservation(name, caps, zone="Europe/Berlin", at_ms=at)).state for name, at in times.items()
        ]
        assert states == ["PENDING", "BLOCKED", "PENDING"]
        assert sorted(counters(store)) == ["operations 2026-11-22 any", "operations 2026-11-23 any"]

    def test_a_new_zone_counts_from_the_next_period(self, store: Store) -> None:
        """B9: the day and the month under way end where they would have ended, each on its own, by event."""
        caps = [cap("day", None), cap("month", None, period=Period.MONTH)]
        store.commit(reservation("op-1", caps))
        answer = store.commit(
            reservation("op-2", caps, zone="Pacific/Auckland", at_ms=NOW_MS + HOUR_MS)
        )  # there, the 23rd
        assert budget(answer)["period"] == {"DAY": "2026-11-22", "MONTH": "2026-11"}
        (activated,) = (event.fields["budget"] for event in told(answer) if event.type == "POLICY_ACTIVATED")
        days, months = NOW_MS + 14 * HOUR_MS, NOW_MS + 8 * DAY_MS + 14 * HOUR_MS
        assert activated["zones"] == [["UTC", 0, 0], ["Pacific/Auckland", days, months]]
        assert store.head(TENANT).zones == f'[["UTC",0,0],["Pacific/Auckland",{days},{months}]]'
        later = {"op-3": days - 1, "op-4": days, "op-5": days + 11 * HOUR_MS, "op-6": months - 1, "op-7": months}
        periods = [
            budget(store.commit(reservation(name, caps, zone="Pacific/Auckland", at_ms=at)))["period"]
            for name, at in later.items()
        ]
        assert [(period["DAY"], period["MONTH"]) for period in periods] == [
            ("2026-11-22", "2026-11"), ("2026-11-23", "2026-11"), ("2026-11-24", "2026-11"),
            ("2026-12-01", "2026-11"), ("2026-12-01", "2026-12"),
        ]  # fmt: skip
        assert verify_store(store).ok

    def test_a_clock_that_stepped_back_reserves_nothing(self, store: Store) -> None:
        """B9: it would count in a period that is over; in a gate's record the run says so, and no budget is asked."""
        caps = [cap("day", None)]
        store.commit(reservation("op-1", caps))
        alone = store.commit(reservation("op-2", caps, at_ms=NOW_MS - SKEW_MS - 1))
        assert (budget(alone)["reason"], alone.state) == ("CLOCK_STEPPED_BACK", "BLOCKED")
        beside = store.commit(reservation("op-3", caps, draft("run-3"), at_ms=NOW_MS - SKEW_MS - 1))
        assert (reasons(beside), beside.state) == (["CLOCK_STEPPED_BACK"], "BLOCKED")
        assert store.commit(reservation("op-4", caps, at_ms=NOW_MS - SKEW_MS)).state == "PENDING"
        assert counters(store) == {"operations 2026-11-22 any": (2, 0)}
        assert verify_store(store).ok

    def test_budgets_never_cross_a_tenant(self, store: Store) -> None:
        """L5: a cap of the base policy holds for each tenant separately; no listing shows another's."""
        caps = [cap("day", 1)]
        states = [store.commit(reservation("op-1", caps, tenant=tenant)).state for tenant in (TENANT, OTHER, "third")]
        assert states == ["PENDING"] * 3
        with pytest.raises(NotFound):
            store.commit(usage("op-1", {"operations": 1}, tenant="nobody"))
        assert (list(store.counters("nobody")), list(store.consumption("nobody"))) == ([], [])
        assert (store.families("nobody"), store.counter("nobody", "operations 2026-11-22 any")) == ((), Counter())

    def test_a_snapshot_shows_the_counters_of_its_moment(self, store: Store) -> None:
        """L3: rows and records belong together."""
        store.commit(reservation("op-1", [cap("day", None)]))
        with store.snapshot() as moment:
            store.commit(reservation("op-2", [cap("month", None, period=Period.MONTH)]))
            assert [counter for _, counter in moment.counters(TENANT)] == [Counter(1)]
            assert (len(list(moment.consumption(TENANT))), moment.families(TENANT)) == (1, ("operations DAY any",))
        assert len(counters(store)) == 2

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: changed(reservation("op-x", [cap("day", 9)]), operation=None),
            lambda: changed(reservation("op-x", [cap("day", 9)]), terms=None),
            lambda: changed(reservation("op-x", [cap("day", 9)]), events=({"type": "LOGIN"},)),
            lambda: changed(reservation("op-x", [cap("day", 9)]), common={"account_id": "another"}),
            lambda: reservation("op-x", [cap("day", 9)], amounts={"operations": -1}),
            lambda: unclassed(reservation("op-x", [cap("day", 9)])),
            lambda: changed(fact({"type": "LOGIN"}), operation=("op-x", hashed("x"))),
            lambda: fact({"type": "USAGE_REPORTED"}),
            lambda: usage("op-1", {"operations": -1}),
            lambda: changed(usage("op-1", {}), events=({"type": "LOGIN"},)),
            lambda: changed(ended("op-1", {}), usage=usage("op-2", {}).usage),
        ],
    )
    def test_what_is_no_reservation_and_no_report_leaves_nothing(
        self, store: Store, wrong: Callable[[], Submission]
    ) -> None:
        """B5: a clear error, and no counter moved."""
        store.commit(reservation("op-1", [cap("day", None)]))
        before = (counters(store), store.head(TENANT))
        with pytest.raises(UsageError):
            store.commit(wrong())
        assert (counters(store), store.head(TENANT)) == before
        assert not store.commit(reservation("op-x", [cap("day", None)])).replayed

    def test_use_is_told_of_what_was_reserved(self, store: Store) -> None:
        """B7: of an operation that is not on record, or that no budget was asked for, there is nothing to report."""
        store.commit(decision(draft("run-1"), operation="op-gate"))
        for name in ("op-nobody", "op-gate"):
            with pytest.raises(NotFound):
                store.commit(usage(name, {"operations": 1}))
        assert store.head(TENANT).seq == 1

    # --- many at once ---

    def test_callers_at_the_same_time_lose_and_double_nothing(self, store: Store) -> None:
        """G3: sixteen callers with the same and with different ids: one record for each id, one chain."""
        answers: list[Committed | WeighbridgeError] = []

        def call(caller: int) -> None:
            for number in range(12):
                shared = number % 3 == 0
                name = f"shared-{number}" if shared else f"run-{caller}-{number}"
                answers.append(store.commit(decision(draft(name), operation=f"op-{name}")))

        in_threads(call, range(16))
        names = 4 + 16 * 8
        seqs = [answer.seq for answer in answers if isinstance(answer, Committed)]
        assert (len(seqs), len(set(seqs)), store.head(TENANT).seq) == (16 * 12, names, names)
        fresh = [answer for answer in answers if isinstance(answer, Committed) and not answer.replayed]
        assert len(fresh) == names
        assert verify_store(store).ok
