"""The kernel, through the store that is nothing but the kernel. What every store shows is in the store contract."""

import itertools

import msgspec
import pytest

from weighbridge.budgets.decide import Counter
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.commit import Effects, Replay, answer, bound, decide
from weighbridge.ledger.record import decode, events
from weighbridge.ledger.submission import BlockedProposal, Consumption, Head, Identity, RetryAuthorisation
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import (
    EXPENSIVE,
    NOW_MS,
    TENANT,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    fact,
    hashed,
    reservation,
)


class Seen:
    """A view of a tenant in a given state, which notes what it was asked."""

    def __init__(self, head=None, identities=(), blocked=None, authorisation=None):
        self._head = head or Head(0, chain.genesis(TENANT))
        self._identities = dict(identities)
        self._blocked, self._authorisation = blocked, authorisation
        self.counters: dict[str, Counter] = {}
        self.consumed: dict[str, Consumption] = {}
        self.counted: tuple[str, ...] = ()
        self.asked = []

    def head(self):
        self.asked.append("head")
        return self._head

    def identity(self, kind, identity):
        self.asked.append(f"{kind} {identity}")
        return self._identities.get((kind, identity))

    def blocked(self, choke_point, proposal_hash):
        self.asked.append("blocked")
        return self._blocked

    def authorisation(self, choke_point, proposal_hash):
        self.asked.append("authorisation")
        return self._authorisation

    def has_content(self, content_hash):
        return False

    def counter(self, name):
        self.asked.append(f"counter {name}")
        return self.counters.get(name, Counter())

    def counters_of(self, names):
        return [self.counter(name) for name in names]

    def consumption(self, cell):
        self.asked.append(f"consumption {cell}")
        return self.consumed.get(cell)

    def cells(self):
        self.asked.append("cells")
        return self.consumed.items()

    def families(self):
        return self.counted

    def plan(self, plan_id):
        return None

    def active_plan(self, account_id, plan_type):
        return None

    def outcome(self, idempotency_key):
        return None

    def body(self, seq):
        raise AssertionError(seq)


def effects(submission, view=None, **options):
    found = decide(submission, view or Seen(), **options)
    assert isinstance(found, Effects)
    return found


def summaries(found):
    return [event.fields for event in events(found.body) if event.type == "VALIDATOR_RUN_SUMMARY"]


def test_a_known_identity_is_answered_before_anything_is_judged():
    """G3: nothing but the identity is looked at."""
    run = draft("run-1")
    view = Seen(identities={("run", "run-1"): Identity(run.request_hash, 4)})
    found = decide(decision(run), view)
    assert found == Replay(4, frozenset({("run", "run-1", run.request_hash)}))
    assert view.asked == ["run run-1"]


def test_a_known_operation_is_answered_before_any_counter_is_looked_at():
    """G3, B6: neither families, counters nor cells are read for what is on record."""
    asked = reservation("op-1", [cap("day", 1)])
    assert asked.operation is not None
    view = Seen(identities={("op", "op-1"): Identity(asked.operation[1], 4, "BLOCKED")})
    assert decide(asked, view) == Replay(4, frozenset({("op", *asked.operation)}), "BLOCKED")
    assert view.asked == ["op op-1"]


def test_the_effects_of_a_reservation():
    """B5: the record, the operation, every counter and the cell come out of one call."""
    view = Seen(Head(3, b"h" * 32, NOW_MS, hashed("v"), '[["UTC",0,0]]'))
    caps = [cap("day", 9), cap("tokens", 9, unit="tokens")]
    view.counted = ("operations DAY any", "tokens DAY any")
    view.counters = {"operations 2026-11-22 any": Counter(4, 1)}
    cell = '["2026-11-22","2026-11","a-1","p-1","crm.read","CHEAP"]'
    view.consumed = {cell: Consumption({"operations": 4}, {"operations": 1})}
    asked = reservation("op-1", caps, amounts={"operations": 2, "tokens": 3})
    found = effects(msgspec.structs.replace(asked, policy_version=hashed("v")), view)
    assert dict(found.counters) == {"operations 2026-11-22 any": Counter(6, 1), "tokens 2026-11-22 any": Counter(3)}
    assert dict(found.consumption) == {cell: Consumption({"operations": 6, "tokens": 3}, {"operations": 1})}
    assert (found.families, found.head.zones, found.state) == (None, '[["UTC",0,0]]', "PENDING")
    assert "cells" not in view.asked  # they are read for new families only
    assert found.subjects == (("account", "a-1"), ("plan", "p-1"), ("step", "s-1"))


def test_a_block_of_the_budget_has_no_effect_but_its_record():
    """B4: no counter, no cell."""
    found = effects(reservation("op-1", [cap("day", 0)]))
    assert (found.counters, found.consumption, found.state) == ((), (), "BLOCKED")
    assert found.families == ("operations DAY any",)


@pytest.mark.parametrize(
    ("known", "named"),
    [
        ({("op", "op"): ("operation op", 4), ("run", "a"): ("request other", 4)}, ("run", "a")),
        ({("op", "op"): ("operation other", 4), ("run", "a"): ("request a", 4)}, ("op", "op")),
        ({("op", "op"): ("operation op", 4), ("run", "a"): ("request a", 5)}, ("run", "a")),
        ({("op", "op"): ("operation op", 4)}, ("run", "a")),
        ({("run", "a"): ("request a", 5)}, ("op", "op")),
    ],
)
def test_ids_that_do_not_belong_together_are_a_conflict(known, named):
    """G3, G10: another request, another record, or one of them unknown; the id that does not fit is named."""
    view = Seen(identities={key: Identity(hashed(request), seq) for key, (request, seq) in known.items()})
    with pytest.raises(IdempotencyConflict) as caught:
        decide(decision(draft("a"), operation="op"), view)
    assert (caught.value.kind, caught.value.identity) == named


def test_the_effects_of_a_first_decision():
    """G2: the record and every row that follows from it come out of one call."""
    blocked = draft("run-b", choke_point=EXPENSIVE, verdict=Verdict.BLOCK)
    found = effects(decision(draft("run-a"), blocked, operation="op-1"), purpose="enforcement")
    assert found.head == Head(1, chain.link(chain.genesis(TENANT), 1, found.leaf_hash), NOW_MS, hashed("policy-1"))
    assert found.leaf_hash == chain.leaf_hash(found.body)
    assert found.identities == (
        ("op", "op-1", Identity(hashed("operation op-1"), 1, "BLOCKED")),
        ("run", "run-a", Identity(hashed("request run-a"), 1)),
        ("run", "run-b", Identity(hashed("request run-b"), 1)),
    )
    block = BlockedProposal("run-b", hashed("inputs run-b"), hashed("policy-1"), 1)
    assert found.blocked == ((EXPENSIVE, hashed("proposal run-b"), block),)
    assert found.subjects == (("account", "a-1"), ("plan", "p-1"), ("step", "s-1"))
    assert decode(found.body).purpose == "enforcement"
    assert found.committed.state == "BLOCKED"


def test_only_record_1_says_the_purpose():
    """B9: it is fixed once."""
    assert decode(effects(decision(draft("r")), Seen(Head(1, b"h" * 32)), purpose="evaluation").body).purpose is None


def test_one_run_stands_in_common_and_several_on_their_events():
    """G2: the same fields on every event, whichever way they are kept."""
    alone, two = effects(decision(draft("a"))), effects(decision(draft("a"), draft("b", choke_point=EXPENSIVE)))
    assert decode(alone.body).common["validation_run_id"] == "a"
    assert "validation_run_id" not in decode(two.body).common
    told = [event.fields["validation_run_id"] for event in events(two.body) if event.type.startswith("VALIDATOR")]
    assert told == ["a"] * 5 + ["b"] * 5


def test_findings_of_the_gateway_come_first_and_block():
    """G8: whatever the validators say, a finding is a BLOCK; the clock's and the retry's stand after the gateway's."""
    given = {"reason": "NOT_AS_APPROVED", "details": {}}
    run = draft("run-2", proposal="p", request="r")
    run = type(run)(**{name: getattr(run, name) for name in run.__struct_fields__} | {"findings": (given,)})
    block = BlockedProposal("run-1", run.inputs_hash, hashed("policy-1"), 1)
    view = Seen(Head(1, b"h" * 32, NOW_MS + 60_000), blocked=block)
    (summary,) = summaries(effects(decision(run), view))
    assert [found["reason"] for found in summary["findings"]] == [
        "NOT_AS_APPROVED",
        "CLOCK_STEPPED_BACK",
        "RETRY_NOT_AUTHORISED",
    ]
    assert (summary["result"], summary["retry_of"]) == ("BLOCK", "run-1")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, False),
        (RetryAuthorisation(hashed("inputs r"), NOW_MS + 1, "person-1", 2), True),
        (RetryAuthorisation(hashed("inputs r"), NOW_MS, "person-1", 2), False),
        (RetryAuthorisation(hashed("inputs r"), NOW_MS + 1, "person-1", 2, used_seq=3), False),
        (RetryAuthorisation(hashed("inputs other"), NOW_MS + 1, "person-1", 2), False),
    ],
)
def test_which_authorisation_counts(given, used):
    """G8: unused, for this request, not expired; then it is used up by this record."""
    run = draft("run-2", proposal="p", request="r")
    block = BlockedProposal("run-1", run.inputs_hash, hashed("policy-1"), 1)
    found = effects(decision(run), Seen(Head(3, b"h" * 32), blocked=block, authorisation=given))
    (summary,) = summaries(found)
    assert summary["result"] == ("ALLOW" if used else "BLOCK")
    assert [row.used_seq for *_, row in found.authorisations] == ([4] if used else [])
    assert summary.get("retry_authorised_by") == (2 if used else None)


def test_one_authorisation_serves_one_run_of_a_request():
    """G8: one use, also where one request has the same proposal twice."""
    runs = [draft("a", proposal="p", request="r"), draft("b", proposal="p", request="r")]
    block = BlockedProposal("run-1", runs[0].inputs_hash, hashed("policy-1"), 1)
    given = RetryAuthorisation(runs[0].inputs_hash, NOW_MS + 1, "person-1", 2)
    found = effects(decision(*runs, operation="op"), Seen(Head(3, b"h" * 32), blocked=block, authorisation=given))
    assert [summary["result"] for summary in summaries(found)] == ["ALLOW", "BLOCK"]


def test_the_head_remembers_the_latest_clock():
    """B9: a clock that is a little behind does not move it back."""
    later = Head(1, b"h" * 32, NOW_MS + 3_000, hashed("policy-1"))
    assert effects(decision(draft("r")), Seen(later)).head.last_time_ms == NOW_MS + 3_000
    assert effects(decision(draft("r"), at_ms=NOW_MS + 9_000), Seen(later)).head.last_time_ms == NOW_MS + 9_000
    supplied = effects(decision(draft("r"), at_ms=NOW_MS + 9_000, time_source="supplied"), Seen(later))
    assert supplied.head.last_time_ms == NOW_MS + 3_000


def test_other_events_are_not_judged_by_the_clock():
    """B9: it is for requests; what happened is recorded whenever it is told."""
    view = Seen(Head(1, b"h" * 32, NOW_MS + 60_000, hashed("policy-1")))
    (event,) = events(effects(fact({"type": "POLICY_PUBLISHED"}), view).body)
    assert event.type == "POLICY_PUBLISHED"


def test_what_follows_from_an_event_stands_in_it():
    """L3: the record says everything that rows are made from."""
    store = MemoryStore(entropy=bytes)
    blocked = draft("run-1", verdict=Verdict.BLOCK)
    store.commit(decision(blocked))
    store.commit(decision(draft("run-2"), operation="op-2"))
    (given,) = events(store.commit(authorisation(blocked, expires_ms=NOW_MS + 1)).body)
    wanted = {"choke_point", "proposal_hash", "inputs_hash", "expires_at", "retry_of", "reason"}
    assert wanted <= given.fields.keys()
    assert (given.fields["retry_of"], given.fields["expires_at"]) == ("run-1", "2026-11-22T10:00:00.001Z")
    (ended,) = events(store.commit(completion("op-2", "FAILED")).body)
    assert (ended.fields["operation_id"], ended.fields["state"]) == ("op-2", "FAILED")


def test_a_pairing_is_checked_against_the_record():
    """G10: `bound` is what a record binds, `answer` compares it with what was asked."""
    store = MemoryStore(entropy=bytes)
    committed = store.commit(decision(draft("a"), draft("b", choke_point=EXPENSIVE), operation="op"))
    names = frozenset(
        {("op", "op", hashed("operation op")), ("run", "a", hashed("request a")), ("run", "b", hashed("request b"))}
    )
    assert bound(decode(committed.body)) == names
    assert answer(Replay(1, names, "PENDING"), b"h", committed.body).replayed
    for size in (1, 2):
        for fewer in itertools.combinations(sorted(names), size):
            with pytest.raises(UsageError):
                answer(Replay(1, frozenset(fewer)), b"h", committed.body)


def test_judged_runs_come_with_their_policy():
    """G2: a decision says what it was made under."""
    submission = decision(draft("r"))
    values = {name: getattr(submission, name) for name in submission.__struct_fields__}
    with pytest.raises(UsageError, match="policy version"):
        decide(type(submission)(**values | {"policy_version": None}), Seen())


def test_an_authorisation_says_who_gave_it():
    """G8: without a giver nobody could be kept from using their own."""
    view = Seen(blocked=BlockedProposal("run-1", "i", "p", 1))
    with pytest.raises(UsageError, match="name the actor"):
        decide(authorisation(draft("run-1"), about={"actor": {}}), view)
