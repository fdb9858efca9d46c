"""Admission: what is asked of the budget, made complete and bound to its ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.samples import NOW, Clock, context, policy, weighbridge
from weighbridge.admission import Admission, tenant_of, with_exact_amounts
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import OperationFacts, Role
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import made_request
from weighbridge.errors import CanonicalError, ContextError, SuppliedTimeRefused, TenantMismatch, UsageError

ALONE = {"operation_id": "op-1", "tenant_id": "acme", "account_id": "a-1", "budget": {"operation": "crm.note"}}


def admission(wb) -> Any:
    made = wb._executor._admission
    assert isinstance(made, Admission)
    return made


@pytest.fixture
def wb():
    with weighbridge() as made:
        yield made


class TestAlone:
    def test_it_is_complete(self, wb):
        """B9: one instant, the clock's; G3: bound to its id."""
        asked = admission(wb).asked(ALONE)
        assert (asked.operation_id, asked.tenant_id, asked.time_source) == ("op-1", "acme", "clock")
        assert asked.about.evaluation_time == NOW
        assert (asked.runs, asked.id_supplied) == ((), True)
        assert asked.names == (("op", "op-1", asked.request_hash),)

    def test_an_id_is_minted_where_none_is_stated(self, wb):
        asked = admission(wb).asked({**ALONE, "operation_id": None})
        assert not asked.id_supplied
        assert len(asked.operation_id) == 36

    def test_the_clock_and_the_id_are_no_part_of_the_request(self):
        """G3: the hash covers what is asked for; neither when nor under which id."""
        clock = Clock()
        with weighbridge(clock=clock) as wb:
            first = admission(wb).asked(ALONE)
            clock.now_ms += 86_400_000
            assert admission(wb).asked({**ALONE, "operation_id": "op-2"}).request_hash == first.request_hash
            assert admission(wb).asked({**ALONE, "account_id": "a-2"}).request_hash != first.request_hash

    @pytest.mark.parametrize(
        ("changed", "error", "said"),
        [
            ({"budget": {}}, ContextError, "operation"),
            ({"operation_id": 7}, ContextError, "operation_id"),
            ({"operation_id": "x" * 161}, ContextError, "160"),
            ({"snapshot": {}}, ContextError, "snapshot"),
            ({"evaluation_time": NOW}, SuppliedTimeRefused, "clock"),
            ({"budget": {"operation": "crm.note", "amounts": {"tokens": float("nan")}}}, ContextError, "not exact"),
            ({"budget": {"operation": "crm.note", "amounts": {"tokens": 5.0}}}, ContextError, "not exact"),
            ({"budget": {"operation": "crm.note", "amounts": {1: 1}}}, CanonicalError, "not text"),
            ({"budget": {"operation": "crm.update", "cost_class": "CHEAP"}}, ContextError, "below"),
        ],
    )
    def test_what_is_no_request_is_refused(self, wb, changed, error, said):
        """B2, B9, B1: a clear error."""
        with pytest.raises(error, match=said):
            admission(wb).asked(ALONE | changed)

    @pytest.mark.parametrize("document", [None, [], "x", {}, {"operation_id": "op-1"}])
    def test_a_request_names_its_budget(self, wb, document):
        with pytest.raises(ContextError, match="budget"):
            admission(wb).asked(document)

    def test_a_request_has_so_many_levels_and_no_more(self, wb):
        """G4: what is accepted does not depend on the machine."""
        deep: list[object] = []
        for _ in range(300):
            deep = [deep]
        with pytest.raises(CanonicalError, match="deep"):
            admission(wb).asked({**ALONE, "budget": {"operation": "crm.note", "amounts": {"tokens": deep}}})

    def test_a_credential_for_one_tenant_asks_for_no_other(self):
        """L5: the tenant comes from the credential."""
        with weighbridge(principal=Principal(id="svc", tenant_id="other")) as wb:
            with pytest.raises(TenantMismatch):
                admission(wb).asked(ALONE)
            assert admission(wb).asked({**ALONE, "tenant_id": None}).tenant_id == "other"


class TestBeside:
    def test_ids_of_run_and_operation_are_bound_together(self, wb):
        """G10: the run's id is the operation's where none is stated, so that it can be asked again."""
        made = context(choke_point="BEFORE_STEP_EXECUTION", operation_id="op-1", budget={})
        asked = admission(wb).asked(made)
        assert [(kind, name) for kind, name, _ in asked.names] == [
            ("op", "op-1"),
            ("run", "op-1:BEFORE_STEP_EXECUTION"),
        ]
        assert asked.about.budget.operation == "crm.update"
        assert (asked.about.account_id, asked.about.plan_id, asked.about.step_id) == ("a-1", "p-1", "s-1")

    def test_either_id_is_enough_to_ask_again(self, wb):
        """G3: a run id alone names the operation too."""
        asked = admission(wb).asked(context(validation_run_id="run-1", budget={}))
        assert [(kind, name) for kind, name, _ in asked.names] == [("op", "run-1"), ("run", "run-1")]
        assert asked.id_supplied

    def test_it_is_one_operation(self, wb):
        """Z5: what is paid for is what is proposed."""
        with pytest.raises(ContextError, match=r"crm\.note.*crm\.update"):
            admission(wb).asked(context(budget={"operation": "crm.note"}))
        with pytest.raises(ContextError, match=r"budget\.operation"):
            admission(wb).asked(context(proposal=None, budget={}))
        assert admission(wb).asked(context(proposal=None, budget={"operation": "crm.note"})).reserved is not None

    def test_the_whole_of_it_counts(self, wb):
        """G3, B6: arguments and amounts."""
        made = [
            context(budget={}),
            context(budget={"amounts": {"tokens": 1}}),
            context(budget={}, target_id="elsewhere"),
        ]
        assert len({admission(wb).asked(one).request_hash for one in made}) == 3

    def test_nothing_of_the_callers_is_kept_or_changed(self, wb):
        """G11: a private copy is judged."""
        made = context(budget={"amounts": {"tokens": 5}})
        before = str(made)
        asked = admission(wb).asked(made)
        made["proposal"]["arguments"]["amount"] = 7
        made["budget"]["amounts"]["tokens"] = 7
        assert asked.reserved.reservation.amounts["tokens"] == 5
        assert asked.runs[0].context.proposal.arguments["amount"] == 120.5
        assert str(context(budget={"amounts": {"tokens": 5}})) == before


class TestExactAmounts:
    def test_whole_numbers_of_any_size_are_exact(self, wb):
        """B2: also those beyond what JSON numbers hold."""
        for amount in (2**53 + 1, str(2**53 + 1)):
            asked = admission(wb).asked({**ALONE, "budget": {"operation": "crm.note", "amounts": {"tokens": amount}}})
            assert asked.reserved.reservation.amounts["tokens"] == 2**53 + 1

    def test_a_decimal_is_as_exact_as_its_text(self, wb):
        """B2, G3: the same amount either way, and so the same request."""
        hashes = set()
        for amount in (Decimal("0.0096"), "0.0096", Decimal("96E-4")):
            asked = admission(wb).asked({**ALONE, "budget": {"operation": "crm.note", "amounts": {"USD": amount}}})
            assert asked.reserved.reservation.amounts["pico_USD"] == 9_600_000_000
            hashes.add(asked.reserved.reservation.request_hash)
        assert len(hashes) == 1

    @pytest.mark.parametrize("amount", [10**45, -(10**45), Decimal("1E+999999999"), Decimal("1E-999999999")])
    def test_a_number_that_is_too_long_is_said_to_be(self, amount):
        """B2: and refused at once."""
        with pytest.raises(ContextError, match=r"budget\.amounts\.tokens.*more than 40 digits"):
            with_exact_amounts({"amounts": {"tokens": amount}})

    def test_what_is_no_whole_number_stays_what_it_is(self):
        """B2: true is not 1."""
        stated = {"amounts": {"a": True, "c": "7", "d": 7, "e": 10**39}}
        assert with_exact_amounts(stated)["amounts"] == {"a": True, "c": "7", "d": "7", "e": str(10**39)}
        assert with_exact_amounts(stated)["amounts"]["a"] is True
        odd: Any
        for odd in (None, [], {"amounts": None}, {"amounts": [1]}, {}):
            assert with_exact_amounts(odd) is odd

    def test_a_number_that_never_ends_is_refused_at_once(self, wb):
        """B2: nobody writes out a million digits."""
        with pytest.raises(UsageError):
            admission(wb).asked({**ALONE, "budget": {"operation": "crm.note", "amounts": {"tokens": 10**5000}}})


class TestAgents:
    """Z5: amounts, tokens, class and time are facts, and count only from a host."""

    AGENT = Principal(id="bot", role=Role.AGENT, tenant_id="acme")

    @pytest.mark.parametrize(
        ("stated", "inputs"),
        [
            ({"amounts": {"tokens": 1}}, ["budget.amounts"]),
            ({"tokens": {"input": 1, "output": 1}}, ["budget.tokens"]),
            ({"cost_class": "EXPENSIVE"}, ["budget.cost_class"]),
            ({"cost_class": "CHEAP", "amounts": {"USD": "0"}}, ["budget.amounts", "budget.cost_class"]),
        ],
    )
    def test_what_an_agent_states_is_found(self, stated, inputs):
        with weighbridge(principal=self.AGENT) as wb:
            asked = admission(wb).asked({**ALONE, "budget": {"operation": "crm.update", **stated}})
            plain = admission(wb).asked({**ALONE, "budget": {"operation": "crm.update"}})
        (found,) = asked.reserved.reservation.findings
        assert found == {"reason": "UNTRUSTED_INPUT", "details": {"inputs": inputs, "role": "agent"}}
        assert asked.reserved.reservation.amounts == {"operations": 1}
        assert asked.request_hash != plain.request_hash
        assert plain.reserved.reservation.findings == ()

    def test_the_time_decides_the_period(self):
        """Z5, B9: an agent that chose its time would choose its counter."""
        with weighbridge(principal=self.AGENT, purpose="evaluation") as wb:
            asked = admission(wb).asked({**ALONE, "evaluation_time": NOW})
        assert asked.reserved.reservation.findings[0]["details"]["inputs"] == ["evaluation_time"]
        with weighbridge(purpose="evaluation") as wb:
            asked = admission(wb).asked({**ALONE, "evaluation_time": "2025-01-01T00:00:00+01:00"})
        assert asked.reserved.reservation.findings == ()
        assert (asked.about.evaluation_time, asked.time_source) == ("2024-12-31T23:00:00.000Z", "supplied")

    def test_a_reason_may_be_stated_by_anybody(self):
        """B13: it is no fact."""
        with weighbridge(principal=self.AGENT) as wb:
            asked = admission(wb).asked({**ALONE, "budget": {"operation": "crm.note", "justification": "please"}})
        assert asked.reserved.reservation.findings == ()


def test_facts_come_from_the_operation_by_name(wb):
    """Z5: class of a declared operation; where nobody knows it, UNKNOWN_OPERATION."""
    known = admission(wb).asked({**ALONE, "budget": {"operation": "enrich"}}).reserved.reservation
    unknown = admission(wb).asked({**ALONE, "budget": {"operation": "mystery"}}).reserved.reservation
    assert known.cost_class == CostClass.EXPENSIVE
    assert (unknown.cost_class, unknown.findings[0]["reason"]) == (None, "UNKNOWN_OPERATION")


def test_an_operation_inside_a_step_passes_no_choke_point_and_has_a_reservation(wb):
    """Z4, B5: nothing is executed unrecorded."""
    facts = OperationFacts("peek", "peek")
    about = made_request({"tenant_id": "acme", "budget": {"operation": "peek"}})
    asked = admission(wb).operation(facts, "op-1", [], about)
    assert asked.names == (("op", "op-1", asked.request_hash),)
    submission = admission(wb).operation_submission(asked, "executed")
    assert submission.reservation.amounts == {"operations": 1}
    assert submission.runs == ()
    # L4: which policy that was is on record, as it is beside a run.
    assert submission.reservation.policy in dict(submission.contents)


def test_the_policy_in_force_says_what_counts(wb):
    """B14: the families of its caps go with every decision; none where it has no budgets."""
    asked = admission(wb).asked(ALONE)
    assert admission(wb).operation_submission(asked, "asked").terms.families == ("operations MONTH any",)
    with weighbridge(policy=policy(budgets=None)) as bare:
        asked = admission(bare).asked(ALONE)
        assert admission(bare).operation_submission(asked, "asked").terms is None


@pytest.mark.parametrize("tenant_id", [5, True, b"acme", [], "", "x" * 201])
def test_a_tenant_that_is_no_id_is_refused_before_any_store_is_asked(tenant_id):
    """L5: the same answer whatever the store, and never another tenant's."""
    with pytest.raises(ContextError) as caught:
        tenant_of(Principal("host"), tenant_id)
    assert caught.value.path == "tenant_id"


@pytest.mark.parametrize("instant", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_period_has_is_no_request(instant):
    """B9: named by its path, whether a choke point or the budget is asked."""
    with weighbridge(purpose="evaluation") as wb:
        for ask, made in ((wb.gate, context()), (wb.reserve, ALONE)):
            with pytest.raises(ContextError) as caught:
                ask(made | {"evaluation_time": instant})
            assert caught.value.path == "evaluation_time"
        assert wb.reader.head("acme").seq == 0


class TestIdsOfAttempts:
    """H4, G10: what plans draw, nobody else answers to."""

    TAKEN = "plan:0123456789abcdef"

    @pytest.mark.parametrize(
        "ids",
        [
            {"operation_id": TAKEN},
            {"validation_run_id": TAKEN, "operation_id": None, "choke_point": "BEFORE_EXTERNAL_WRITEBACK"},
            {"validation_run_id": f"{TAKEN}:BEFORE_STEP_EXECUTION", "choke_point": "BEFORE_EXTERNAL_WRITEBACK"},
        ],
    )
    def test_a_reservation_takes_none(self, wb, ids):
        asked = ALONE | {"actor": {"id": "agent-1", "role": "agent"}} | ids
        with pytest.raises(ContextError, match="begins with `plan:`"):
            wb.reserve({name: value for name, value in asked.items() if value is not None})
        assert wb.reader.head("acme").seq == 0

    def test_a_request_takes_none(self, wb):
        with pytest.raises(ContextError, match="validation_run_id"):
            wb.gate(context(validation_run_id=f"{self.TAKEN}:BEFORE_STEP_EXECUTION"))
        assert isinstance(wb.answer_many([context(validation_run_id=self.TAKEN)])[0], ContextError)
        assert wb.reader.head("acme").seq == 0

    def test_a_call_takes_none(self, wb):
        calls: list[int] = []
        governed = wb.operation("crm.other", cost="CHEAP")(lambda: calls.append(1))
        with pytest.raises(ContextError, match="operation_id"):
            governed.with_id(self.TAKEN)()
        assert calls == []

    def test_an_attempt_that_is_drawn_does(self, wb):
        assert admission(wb).operation_id(self.TAKEN, drawn=True) == self.TAKEN
