"""Replay: recorded runs judged again, from content alone."""

from __future__ import annotations

import pytest

from tests.samples import Clock, blocked_context, context, policy, warned_context, weighbridge
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound
from weighbridge.gateway import ValidatorGateway
from weighbridge.replay import Replayed


class Custom:
    id, version = "acme.limit", "1"

    def evaluate(self, given, effective):
        (named,) = effective.custom_validators
        over = given.proposal.arguments["amount"] > named.config["limit"]
        return ValidatorResult(self.id, Verdict.WARN if over else Verdict.ALLOW, "OVER" if over else "UNDER", {})


def test_every_run_is_equal_byte_for_byte():
    """G4: for the same engine the results are byte-identical."""
    rules = policy(validators=[{"id": "acme.limit", "config": {"limit": 100}}])
    with weighbridge(policy=rules, validators=[Custom()]) as wb:
        for made in (context(), warned_context(), blocked_context(), context(snapshot=None, evidence=None)):
            wb.gate(made)
        outcomes = [(run.outcome, run.verdict) for run in wb.replay(tenant_id="acme")]
    assert outcomes == [(Replayed.EQUAL, verdict) for verdict in ("WARN", "WARN", "BLOCK", "BLOCK")]


def test_one_run_by_its_id():
    with weighbridge() as wb:
        wb.gate(context(validation_run_id="one"))
        wb.gate(context(validation_run_id="two"))
        assert [run.validation_run_id for run in wb.replay("two", "acme")] == ["two"]
        with pytest.raises(NotFound):
            list(wb.replay("three", "acme"))


def test_the_recorded_policy_judges_not_todays(tmp_path):
    """G4: a run is judged again under the policy it was judged under."""
    path = tmp_path / "ledger.db"
    with weighbridge(path) as wb:
        wb.gate(context())
    with weighbridge(path, policy=policy(compliance={"restricted_fields": ["amount"]})) as wb:
        assert [run.outcome for run in wb.replay(tenant_id="acme")] == [Replayed.EQUAL]


def test_another_engine_says_so(monkeypatch):
    """G4: replay under another engine says DIFFERENT_ENGINE instead of guessing."""
    rules = policy(validators=[{"id": "acme.limit", "config": {"limit": 100}}])
    with weighbridge(policy=rules, validators=[Custom()]) as wb:
        wb.gate(context())
        monkeypatch.setattr(Custom, "version", "2")
        assert [run.outcome for run in wb.replay(tenant_id="acme")] == [Replayed.DIFFERENT_ENGINE]


def test_a_validator_that_changed_in_secret_is_caught(monkeypatch):
    """G4: the same engine that answers differently is DIFFERENT, by name."""
    rules = policy(validators=[{"id": "acme.limit", "config": {"limit": 100}}])
    with weighbridge(policy=rules, validators=[Custom()]) as wb:
        wb.gate(context())
        monkeypatch.setattr(
            Custom, "evaluate", lambda self, given, effective: ValidatorResult(self.id, Verdict.ALLOW, "FINE", {})
        )
        (run,) = wb.replay(tenant_id="acme")
    assert (run.outcome, run.differs) == (Replayed.DIFFERENT, ("acme.limit",))


def test_the_clock_of_today_does_not_matter():
    """G4: the evaluation time is the recorded one."""
    clock = Clock()
    with weighbridge(clock=clock) as wb:
        wb.gate(context())
        clock.now_ms += 400 * 86_400_000
        assert [run.outcome for run in wb.replay(tenant_id="acme")] == [Replayed.EQUAL]


def test_an_aggregate_that_does_not_follow_is_different(monkeypatch):
    """G4: the verdict of the run is judged again too."""
    with weighbridge() as wb:
        monkeypatch.setattr("weighbridge.gateway.strictest", lambda _: Verdict.ALLOW)
        assert wb.gate(blocked_context()).verdict is Verdict.ALLOW
        monkeypatch.undo()
        (run,) = wb.replay(tenant_id="acme")
    assert (run.outcome, run.differs) == (Replayed.DIFFERENT, ("verdict",))


def test_a_finding_of_the_gateway_is_no_difference():
    """G4: a BLOCK that the gateway added stands beside the results."""
    with weighbridge() as wb:
        wb.gate(context(approved={"plan_hash": "0" * 64}))
        assert [run.outcome for run in wb.replay(tenant_id="acme")] == [Replayed.EQUAL]


def test_the_order_of_the_validators_counts(monkeypatch):
    """G1, G4: the same results in another order are not the same record."""
    with weighbridge() as wb:
        wb.gate(context())
        judge = ValidatorGateway.judge
        monkeypatch.setattr(ValidatorGateway, "judge", staticmethod(lambda *asked: judge(*asked)[::-1]))
        wb.gate(context())
        monkeypatch.undo()
        _, run = wb.replay(tenant_id="acme")
    assert (run.outcome, run.differs) == (Replayed.DIFFERENT, ("order",))


def test_content_that_was_changed_is_never_equal():
    """G4, L3: what was judged is addressed by its hash; other bytes under it are not what was judged."""
    with weighbridge() as wb:
        wb.gate(context())
        contents = wb._reader._tenants["acme"].contents
        (hash_,) = [name for name, body in contents.items() if body and b"renewal_id" in body]
        contents[hash_] = contents[hash_].replace(b"120.5", b"999.5")
        (run,) = wb.replay(tenant_id="acme")
    assert (run.outcome, run.differs) == (Replayed.DIFFERENT, ("content.proposal",))


def test_a_validator_sees_again_all_that_it_saw():
    """G4: the record holds, or points to, everything that a validator is handed."""

    class Everything:
        id, version = "acme.everything", "1"

        def evaluate(self, given, effective):
            seen = {name: repr(getattr(given, name)) for name in given.__struct_fields__}
            return ValidatorResult(self.id, Verdict.ALLOW, "SEEN", seen)

    plan = {"plan_id": "p-1", "plan_type": "X", "steps": [context()["proposal"] | {"step_id": "s-1"}]}
    rules = policy(validators=[{"id": "acme.everything", "config": {}}])
    made = [
        context(attempt=3),
        context(target_id="somewhere"),
        context(choke_point="BEFORE_STEP_EXECUTION", attempt=2, operation_id="op-9"),
        context(approved={"plan_hash": "0" * 64, "snapshot_id": "1" * 64}),
        context(choke_point="BEFORE_PLAN_APPROVAL", plan=plan),
        context(evidence=[], data_sources=[]),
    ]
    with weighbridge(policy=rules, validators=[Everything()]) as wb:
        for one in made:
            wb.gate(one)
        assert [(run.outcome, run.differs) for run in wb.replay(tenant_id="acme")] == [(Replayed.EQUAL, ())] * len(made)
