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

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pytest

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
from weighbridge.ledger.record import Event, events
from weighbridge.ledger.submission import Committed, Head
from weighbridge.storage.audit import verify_store
from weighbridge.storage.reading import LedgerReader
from weighbridge.storage.writing import LedgerWriter
from weighbridge.testing.submissions import (
    EXPENSIVE,
    NOW_MS,
    SKEW_MS,
    TENANT,
    WRITEBACK,
    authorisation,
    completion,
    decision,
    draft,
    erasure,
    fact,
    hashed,
    with_content,
)

OTHER = "globex"
MINUTE_MS = 60_000


class Store(LedgerWriter, LedgerReader, Protocol):
    """Both sides of a store."""


def told(answer: Committed) -> list[Event]:
    """Return the events of a committed record."""
    return list(events(answer.body))


def summary(answer: Committed) -> dict[str, Any]:
    """Return what the last summary of a committed record says."""
    return [event.fields for event in told(answer) if event.type == "VALIDATOR_RUN_SUMMARY"][-1]


def reasons(answer: Committed) -> list[str]:
    """Return the gateway's own findings in a committed record."""
    return [finding["reason"] for finding in summary(answer)["findings"]]


class StoreContract:
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


def in_threads(call: Callable[[int], None], numbers: Iterable[int]) -> None:
    """Call with every number at the same time, and raise what any of them raised."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            call(number)
        except BaseException as error:  # noqa: BLE001 - raised below, on the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
