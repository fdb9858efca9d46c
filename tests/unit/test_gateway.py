"""The gateway: all run, in order, fail closed, and nothing else is decided."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
import pytest

from tests.samples import blocked_context, context, policy, weighbridge
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import Role
from weighbridge.domain.decision import Sealed, ValidatorResult
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, UsageError

BUILT_IN = ["freshness", "grounding", "contradiction", "compliance"]


class Custom:
    """A custom validator made of a function."""

    version = "1"

    def __init__(self, name, function):
        self.id = name
        self._function = function

    def evaluate(self, given, effective):
        return self._function(given, effective)


def _allow(name):
    return Custom(name, lambda given, effective: ValidatorResult(name, Verdict.ALLOW, "FINE", {}))


def _open(*validators, **options):
    named = [{"id": validator.id, "config": {"limit": [1]}} for validator in validators]
    return weighbridge(policy=policy(validators=named), validators=validators, **options)


def test_all_run_in_order_and_a_block_stops_none():
    """G1: freshness, grounding, contradiction, compliance, then the custom ones as the policy names them; all, always."""
    with _open(_allow("z.last"), _allow("a.first")) as wb:
        for made in (context(), blocked_context()):
            assert [result.validator for result in wb.gate(made).results] == [*BUILT_IN, "z.last", "a.first"]


@pytest.mark.parametrize("choke_point", list(ChokePoint))
def test_all_run_at_every_choke_point(choke_point):
    """G1: the same four at each of the four choke points."""
    plan = {"plan_id": "p-1", "steps": [context()["proposal"] | {"step_id": "s-1"}]}
    with weighbridge() as wb:
        decision = wb.gate(context(choke_point=choke_point.value, plan=plan))
    assert [result.validator for result in decision.results] == BUILT_IN


def test_the_aggregate_is_the_strictest():
    """Words, verdict: the aggregate of several is the strictest."""
    warn = Custom("warn", lambda *_: ValidatorResult("warn", Verdict.WARN, "HM", {}))
    with _open(warn) as wb:
        assert wb.gate(context()).verdict is Verdict.WARN
        assert wb.gate(blocked_context()).verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: (_ for _ in ()).throw(SystemExit(3)), "SystemExit"),
        (lambda *_: None, "NotAResult"),
        (lambda *_: True, "NotAResult"),
        (lambda *_: ValidatorResult("somebody.else", Verdict.ALLOW, "FINE", {}), "NotAResult"),
        (lambda *_: ValidatorResult("odd", cast("Verdict", "ALLOW!"), "FINE", {}), "NotAResult"),
        (lambda *_: ValidatorResult("odd", Verdict.ALLOW, "FINE", {"x": {1, 2}}), "DetailsAreNotJson"),
        (lambda *_: ValidatorResult("odd", Verdict.ALLOW, "FINE", {"x": float("nan")}), "DetailsAreNotJson"),
    ],
)
def test_a_broken_validator_blocks_and_the_others_still_run(function, error):
    """G6: one that raises, or returns what is no result, is BLOCK VALIDATOR_ERROR; the others still run."""
    with _open(Custom("odd", function), _allow("after")) as wb:
        decision = wb.gate(context())
    odd = decision.results[4]
    assert (odd.result, odd.reason, odd.details) == (Verdict.BLOCK, "VALIDATOR_ERROR", {"error": error})
    assert decision.verdict is Verdict.BLOCK
    assert decision.results[5].result is Verdict.ALLOW


def test_an_error_tells_no_secret():
    """G6: the exception's type, no secrets."""

    def leak(*_):
        raise RuntimeError("password=hunter2")

    with _open(Custom("leaky", leak)) as wb:
        wb.gate(context())
        assert all(b"hunter2" not in record.body for record in wb.reader.records("acme"))


def test_custom_validators_get_frozen_data_and_see_no_results():
    """G1, G9: nothing a validator is handed can be changed, and none sees another's result."""
    failures = []

    def meddle(given, effective):
        attempts = [
            lambda: given.proposal.arguments.__setitem__("amount", 1),
            lambda: given.proposal.arguments["nested"].append(1),
            lambda: given.snapshot.fields.__setitem__("renewal", None),
            lambda: given.snapshot.fields["renewal"].value.__setitem__("status", "open"),
            lambda: given.evidence.append(1),
            lambda: setattr(given, "tenant_id", "other"),
            lambda: setattr(given.proposal, "operation", "other"),
            lambda: effective.document.__setitem__("name", "x"),
            lambda: effective.document["validators"][0]["config"]["limit"].append(2),
            lambda: effective.custom_validators[0].config.__setitem__("limit", 2),
            lambda: setattr(effective, "name", "x"),
            lambda: effective.memo.__setitem__("grounding source types", frozenset({"mail"})),
        ]
        for number, attempt in enumerate(attempts):
            try:
                attempt()
            except (TypeError, AttributeError):
                continue
            failures.append(number)
        assert not hasattr(given, "results")
        return ValidatorResult("meddler", Verdict.ALLOW, "FINE", {})

    made = context()
    made["proposal"]["arguments"]["nested"] = [1]
    with _open(Custom("meddler", meddle)) as wb:
        assert wb.gate(made).results[4].result is Verdict.ALLOW
    assert failures == []


def test_a_policy_that_names_an_absent_validator_does_not_open():
    """G5: absence is refusal."""
    with pytest.raises(UsageError, match=r"acme\.gone"):
        weighbridge(policy=policy(validators=[{"id": "acme.gone"}]))


def test_sealed_values_reach_no_record():
    """C3, L6: a sealed value is recorded as its keyed hash."""
    seal = Custom("sealer", lambda *_: ValidatorResult("sealer", Verdict.WARN, "SEEN", {"a": [{"b": Sealed("4711")}]}))
    with _open(seal) as wb:
        decision = wb.gate(context())
        assert list(decision.results[4].details["a"][0]["b"]) == ["content_hash"]
        assert all(b"4711" not in record.body for record in wb.reader.records("acme"))


def test_sealed_values_are_content():
    """L3, L6: the record points to content that is there, whoever sealed it, so that the ledger verifies; it can be erased."""
    seal = Custom("sealer", lambda *_: ValidatorResult("sealer", Verdict.WARN, "SEEN", {"a": [{"b": Sealed("4711")}]}))
    shapeless = context()["proposal"] | {"evidence": ["the customer, on the phone"]}
    with _open(seal) as wb:
        decision = wb.gate(context(proposal=shapeless))
        (failure,) = decision.results[1].details["failures"]
        hashes = {
            decision.results[4].details["a"][0]["b"]["content_hash"]: b'"4711"',
            failure["reference"]["content_hash"]: b'"the customer, on the phone"',
        }
        assert {named: wb.reader.content("acme", named) for named in hashes} == hashes
        assert wb.verify().ok
        wb.erase_content(list(hashes), by=Principal(id="maria", person=True), reason="asked for", tenant_id="acme")
        assert wb.verify().ok
        assert not any(b"4711" in (body or b"") for _, body in wb.reader.contents("acme"))


class TestFactsAndWhoMayStateThem:
    """Z5: trust, snapshots and times are facts; class, action type and target come from the registered operation."""

    AGENT = Principal(id="bot", role=Role.AGENT, tenant_id="acme")

    def test_an_agent_states_no_facts(self):
        """Z5: from an agent a snapshot and data sources are refused, UNTRUSTED_INPUT, and do not count."""
        with weighbridge(principal=self.AGENT) as wb:
            decision = wb.gate(context())
        assert decision.verdict is Verdict.BLOCK
        (finding,) = decision.findings
        assert finding.reason == "UNTRUSTED_INPUT"
        assert finding.details["inputs"] == ["snapshot", "data_sources"]
        assert decision.reasons[0] == "UNTRUSTED_INPUT"

    @pytest.mark.parametrize("role", [role for role in Role if role is not Role.HOST])
    def test_only_a_host_states_facts(self, role):
        """Z5: not an agent, and not a person of any role either."""
        with weighbridge(principal=Principal(id="p", role=role, tenant_id="acme", person=True)) as wb:
            assert wb.gate(context()).reasons[0] == "UNTRUSTED_INPUT"

    def test_evidence_from_an_agent_is_observed(self):
        """Z5, R4: from an agent, evidence is observed whatever its source type."""
        made = context(snapshot=None, data_sources=None)
        with weighbridge(principal=self.AGENT) as wb:
            grounding = wb.gate(made).results[1]
        assert (grounding.result, grounding.reason) == (Verdict.BLOCK, "UNTRUSTED_EVIDENCE")

    def test_an_unknown_operation_is_blocked(self):
        """Z5: an operation nobody registered is BLOCK UNKNOWN_OPERATION."""
        made = context()
        made["proposal"]["operation"] = "crm.unheard_of"
        with weighbridge() as wb:
            assert "UNKNOWN_OPERATION" in wb.gate(made).reasons

    def test_facts_cannot_be_stated(self):
        """Z5: nobody hands in a class, action type or target of their own."""
        made = context()
        made["proposal"]["facts"] = {"name": "crm.update", "action_type": "harmless"}
        with weighbridge() as wb, pytest.raises(UsageError, match="cannot be stated"):
            wb.gate(made)


class TestNotAsApproved:
    """G11: a plan-linked request that differs from what was approved is BLOCK NOT_AS_APPROVED."""

    def test_the_approved_step_and_snapshot_pass(self):
        with weighbridge() as wb:
            first = wb.gate(context())
            approved = {"step_hash": first.proposal_hash, "snapshot_id": first.snapshot_id}
            assert wb.gate(context(approved=approved)).verdict is Verdict.ALLOW

    @pytest.mark.parametrize("what", ["step", "snapshot", "plan"])
    def test_a_difference_blocks(self, what):
        """G11: whichever of the three differs is named."""
        with weighbridge() as wb:
            first = wb.gate(context())
            approved = {"step_hash": first.proposal_hash, "snapshot_id": first.snapshot_id}
            made = context(approved=approved)
            if what == "step":
                made["proposal"]["arguments"]["amount"] = 121
            elif what == "snapshot":
                made["snapshot"]["fields"]["renewal"]["value"]["note"] = "changed"
            else:
                made["approved"]["plan_hash"] = "0" * 64
            decision = wb.gate(made)
        assert decision.verdict is Verdict.BLOCK
        assert [(finding.reason, finding.details) for finding in decision.findings] == [
            ("NOT_AS_APPROVED", {"differs": [what]})
        ]


class TestRequestIdentity:
    """G3: what the request hash covers and what it leaves out."""

    @staticmethod
    def _hashes(wb, made):
        admitted = wb._executor._admission.admit(made)
        return admitted.identified.request_hash, admitted.identified.proposal_hash

    def test_key_order_and_number_spelling_do_not_matter(self):
        with weighbridge() as wb:
            one = context()
            other = {key: one[key] for key in reversed(one)}
            other["proposal"] = other["proposal"] | {"arguments": {"amount": 120.50, "renewal_id": "r-1"}}
            assert self._hashes(wb, one) == self._hashes(wb, other)

    @pytest.mark.parametrize(
        "change",
        [
            {"choke_point": "BEFORE_STEP_EXECUTION"},
            {"target_id": "elsewhere"},
            {"snapshot": {"fields": {}}},
            {"data_sources": []},
            {"evidence": []},
            {"proposal": {"operation": "crm.update", "arguments": {}, "evidence": []}},
        ],
    )
    def test_every_input_counts(self, change):
        with weighbridge() as wb:
            assert self._hashes(wb, context())[0] != self._hashes(wb, context(**change))[0]

    def test_new_evidence_is_another_request_for_the_same_action(self):
        """G8: the action is recognised by operation and arguments."""
        with weighbridge() as wb:
            made = context()
            made["proposal"]["evidence"].append({"ledger_event_id": "e-1"})
            one, other = self._hashes(wb, context()), self._hashes(wb, made)
        assert one[0] != other[0]
        assert one[1] == other[1]


def test_a_struct_and_its_json_are_the_same_request():
    with weighbridge() as wb:
        admitted = wb._executor._admission.admit(context(validation_run_id="run-1"))
        first = wb.gate(context(validation_run_id="run-1"))
        struct = msgspec.structs.replace(
            admitted.context,
            evaluation_time=None,
            proposal=msgspec.structs.replace(admitted.context.proposal, facts=None),
        )
        again = wb.gate(struct)
    assert again.replayed
    assert again.record == first.record


class TestCustomResults:
    """G6: what a custom validator returns is a result as it is recorded, or an error."""

    @pytest.mark.parametrize(
        ("returned", "error"),
        [
            (ValidatorResult("odd", Verdict.ALLOW, "the customer Bob said so", {}), "ReasonIsNoCode"),
            (ValidatorResult("odd", Verdict.ALLOW, "", {}), "ReasonIsNoCode"),
            (ValidatorResult("odd", Verdict.ALLOW, "FINE", cast("dict[str, str]", {1: "x"})), "DetailsAreNotJson"),
        ],
    )
    def test_a_reason_is_a_code_and_details_are_json(self, returned, error):
        """Validators: stable upper-case reason codes and structured details; a sentence is never stored."""
        with _open(Custom("odd", lambda *_: returned)) as wb:
            odd = wb.gate(context()).results[4]
        assert (odd.result, odd.reason, odd.details) == (Verdict.BLOCK, "VALIDATOR_ERROR", {"error": error})

    def test_a_result_that_answers_differently_each_time_is_none(self):
        """G6: the aggregate and the record must be of one answer."""

        class Fickle(ValidatorResult, frozen=True):
            pass

        with _open(Custom("odd", lambda *_: Fickle("odd", Verdict.ALLOW, "FINE", {}))) as wb:
            assert wb.gate(context()).results[4].details == {"error": "NotAResult"}

    def test_details_are_shared_with_nobody(self):
        """G4: what a validator keeps of its result changes nothing that is recorded."""
        kept = {"seen": [1]}
        with _open(Custom("odd", lambda *_: ValidatorResult("odd", Verdict.ALLOW, "FINE", kept))) as wb:
            admitted = wb._executor._admission.admit(context())
            judged = wb._gateway.judge(admitted.context, admitted.engine)
        kept["seen"].append(2)
        assert judged[4].details == {"seen": [1]}

    def test_cancellation_in_a_validator_is_its_error(self):
        """G6: a validator that raises counts as BLOCK, whatever it raises; only a person's interrupt passes."""

        def cancel(*_):
            raise asyncio.CancelledError

        def interrupt(*_):
            raise KeyboardInterrupt

        with _open(Custom("odd", cancel)) as wb:
            assert wb.gate(context()).results[4].details == {"error": "CancelledError"}
        with _open(Custom("odd", interrupt)) as wb, pytest.raises(KeyboardInterrupt):
            wb.gate(context())

    def test_two_validators_of_one_id_do_not_open(self):
        """G4: which of them judged would depend on the order of installation."""
        with pytest.raises(UsageError, match="two custom validators"):
            weighbridge(policy=policy(validators=[{"id": "twin"}]), validators=[_allow("twin"), _allow("twin")])


class TestWhatARequestIs:
    """G3: the request hash covers what was stated, exactly."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"plan_id": "a/b", "step_id": "c"}, {"plan_id": "a", "step_id": "b/c"}),
            ({"plan_id": "p" * 200, "step_id": "c"}, {"plan_id": "p" * 200, "step_id": "d"}),
            ({"step_id": "s", "attempt": 1}, {"step_id": "s/1"}),
        ],
    )
    def test_step_attempts_are_not_confused(self, one, other):
        """G3: two attempts whose target reads the same are two requests."""
        step = {"choke_point": "BEFORE_STEP_EXECUTION", "validation_run_id": "run-1", "plan_id": None}
        with weighbridge() as wb:
            wb.gate(context(**step | one))
            with pytest.raises(IdempotencyConflict):
                wb.gate(context(**step | other))

    @pytest.mark.parametrize("stated", ["snapshot", "data_sources", "evidence"])
    def test_what_does_not_count_is_part_of_it(self, stated):
        """G3, Z5: an agent that states a fact asks something else than one that does not."""
        agent = Principal(id="bot", role=Role.AGENT, tenant_id="acme")
        bare = {"snapshot": None, "data_sources": None}
        other = bare | {stated: context()[stated]}
        if stated == "evidence":
            other["evidence"][0]["trust"] = "trusted"
        with weighbridge(principal=agent) as wb:
            wb.gate(context(validation_run_id="run-1", **bare))
            with pytest.raises(IdempotencyConflict):
                wb.gate(context(validation_run_id="run-1", **other))
            assert wb.gate(context(validation_run_id="run-1", **bare)).replayed

    def test_the_order_of_steps_that_depend_is_part_of_a_plan(self):
        """G11: a plan with other dependencies is another proposal."""
        step = context()["proposal"] | {"step_id": "s-1"}
        plans = [
            {"plan_id": "p-1", "steps": [step, step | {"step_id": "s-2", "depends_on": depends}]}
            for depends in ([], ["s-1"])
        ]
        with weighbridge() as wb:
            hashes = [
                wb.gate(context(choke_point="BEFORE_PLAN_APPROVAL", proposal=None, plan=plan)).proposal_hash
                for plan in plans
            ]
        assert hashes[0] != hashes[1]
