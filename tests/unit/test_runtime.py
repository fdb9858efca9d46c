"""The finished thing: asking, asking again, authorising a retry, reading back."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tests.samples import NOW_MS, Clock, blocked_context, cap, context, policy, weighbridge
from weighbridge.domain.context import Role
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import (
    CanonicalError,
    ContextError,
    IdempotencyConflict,
    NotFound,
    Refusal,
    StoreError,
    SuppliedTimeRefused,
    TenantMismatch,
    UsageError,
)

PERSON = Principal(id="maria", role=Role.APPROVER, person=True, tenant_id="acme")
TOMORROW = "2026-11-23T10:00:00Z"
WAIVED = {"not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"], "action_types": ["pay"]}]}


def _events(wb, tenant="acme"):
    from weighbridge.ledger.record import events

    return [{"type": one.type} | one.fields for record in wb.reader.records(tenant) for one in events(record.body)]


class TestIdempotency:
    """G3: one id, one request, one answer."""

    def test_the_same_request_has_the_same_answer_and_appends_nothing(self):
        with weighbridge() as wb:
            first = wb.gate(context(validation_run_id="run-1"))
            again = wb.gate(context(validation_run_id="run-1"))
            assert (first.replayed, again.replayed) == (False, True)
            assert (again.record, again.results) == (first.record, first.results)
            assert wb.reader.head("acme").seq == 1

    def test_it_is_looked_up_before_judging(self, monkeypatch):
        """G3: identity is looked up before judging."""
        with weighbridge() as wb:
            wb.gate(context(validation_run_id="run-1"))
            monkeypatch.setattr(wb._gateway.__class__, "judge", lambda *_: pytest.fail("judged again"))
            assert wb.gate(context(validation_run_id="run-1")).replayed

    def test_after_a_restart_and_under_another_policy(self, tmp_path):
        """G3: the first record fixes the policy version and the time."""
        clock = Clock()
        with weighbridge(tmp_path / "l.db", clock=clock) as wb:
            first = wb.gate(context(validation_run_id="run-1"))
        clock.now_ms += 90 * 86_400_000
        with weighbridge(tmp_path / "l.db", clock=clock, policy=policy(name="another")) as wb:
            again = wb.gate(context(validation_run_id="run-1"))
        assert again.replayed
        assert (again.verdict, again.policy_version, again.evaluation_time) == (
            first.verdict,
            first.policy_version,
            first.evaluation_time,
        )

    def test_another_request_is_a_conflict(self):
        with weighbridge() as wb:
            wb.gate(context(validation_run_id="run-1"))
            with pytest.raises(IdempotencyConflict) as caught:
                wb.gate(blocked_context(validation_run_id="run-1"))
            assert caught.value.code == "IDEMPOTENCY_CONFLICT"
            assert wb.reader.head("acme").seq == 1

    def test_tenants_do_not_share_ids(self):
        """G3, L5: identity is (tenant, kind, id)."""
        with weighbridge() as wb:
            wb.gate(context(validation_run_id="run-1"))
            assert not wb.gate(context(validation_run_id="run-1", tenant_id="other")).replayed


class TestRetry:
    """G8: a block is not asked away."""

    def test_the_same_request_under_a_new_id_is_refused(self):
        """G8: with inputs and policy unchanged, RETRY_NOT_AUTHORISED; either way it is judged."""
        with weighbridge() as wb:
            first = wb.gate(blocked_context(validation_run_id="run-1"))
            again = wb.gate(blocked_context(validation_run_id="run-2"))
        assert first.retry_of is None
        assert again.retry_of == "run-1"
        assert [finding.reason for finding in again.findings] == ["RETRY_NOT_AUTHORISED"]
        assert len(again.results) == 4

    def test_changed_inputs_are_a_new_judgement(self):
        """G8: fresher data, new evidence, another snapshot: judged anew, and it says what it retries."""
        with weighbridge() as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            again = wb.gate(context(validation_run_id="run-2"))
        assert (again.verdict, again.retry_of, again.findings) == (Verdict.ALLOW, "run-1", ())

    def test_a_changed_policy_is_a_new_judgement(self, tmp_path):
        """G8: with another policy the retry needs no authorisation."""
        with weighbridge(tmp_path / "l.db") as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
        with weighbridge(tmp_path / "l.db", policy=policy(contradiction={"rules": []})) as wb:
            again = wb.gate(blocked_context(validation_run_id="run-2"))
        assert (again.verdict, again.findings) == (Verdict.ALLOW, ())

    def test_a_person_permits_one_new_judgement(self):
        """G8: one use, in the ledger, and it executes nothing against a BLOCK."""
        with weighbridge() as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            seq = wb.authorise_retry("run-1", by=PERSON, reason="the CRM was wrong", expires_at=TOMORROW)
            second = wb.gate(blocked_context(validation_run_id="run-2"))
            third = wb.gate(blocked_context(validation_run_id="run-3"))
            summaries = [event for event in _events(wb) if event["type"] == "VALIDATOR_RUN_SUMMARY"]
            authorised = [event for event in _events(wb) if event["type"] == "RETRY_AUTHORISED"]
        assert (second.verdict, second.findings) == (Verdict.BLOCK, ())
        assert [finding.reason for finding in third.findings] == ["RETRY_NOT_AUTHORISED"]
        assert summaries[1]["retry_authorised_by"] == seq
        assert authorised[0]["actor"] == {"id": "maria", "role": "approver"}

    def test_it_expires(self):
        clock = Clock()
        with weighbridge(clock=clock) as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            wb.authorise_retry("run-1", by=PERSON, reason="look again", expires_at=TOMORROW)
            clock.now_ms = NOW_MS + 86_400_000
            late = wb.gate(blocked_context(validation_run_id="run-2"))
        assert [finding.reason for finding in late.findings] == ["RETRY_NOT_AUTHORISED"]

    def test_it_is_bound_to_exactly_what_was_blocked(self):
        """G8: an authorisation for one request permits no other."""
        with weighbridge() as wb:
            other = blocked_context(validation_run_id="run-0")
            other["proposal"]["arguments"]["amount"] = 999
            wb.gate(other)
            wb.gate(blocked_context(validation_run_id="run-1"))
            wb.authorise_retry("run-0", by=PERSON, reason="look again", expires_at=TOMORROW)
            again = wb.gate(blocked_context(validation_run_id="run-2"))
        assert [finding.reason for finding in again.findings] == ["RETRY_NOT_AUTHORISED"]

    @pytest.mark.parametrize(
        ("by", "reason", "expires", "error"),
        [
            (Principal(id="bot", role=Role.AGENT), "x", TOMORROW, "no person"),
            (
                Principal(id="renewal-agent", role=Role.OPERATOR, person=True, tenant_id="acme"),
                "x",
                TOMORROW,
                "another person",
            ),
            (
                Principal(id="Renewal-Agent ", role=Role.OPERATOR, person=True, tenant_id="acme"),
                "x",
                TOMORROW,
                "another person",
            ),
            (Principal(id="maria", person=True), "x", TOMORROW, "one of the roles"),
            (Principal(id="bot", role=Role.AGENT, person=True), "x", TOMORROW, "one of the roles"),
            (Principal(id="aud", role=Role.AUDITOR, person=True), "x", TOMORROW, "auditor"),
            (PERSON, "  ", TOMORROW, "reason"),
            (PERSON, "x", "tomorrow", "RFC 3339"),
            (PERSON, "x", "2026-11-21T10:00:00Z", "past"),
        ],
    )
    def test_who_may_and_how(self, by, reason, expires, error):
        """G8: a person other than the proposer, with a reason, expiring."""
        with weighbridge() as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            with pytest.raises(UsageError, match=error):
                wb.authorise_retry("run-1", by=by, reason=reason, expires_at=expires)
            assert wb.reader.head("acme").seq == 1

    def test_only_what_was_blocked(self):
        with weighbridge() as wb:
            wb.gate(context(validation_run_id="run-1"))
            with pytest.raises(UsageError, match="was not blocked"):
                wb.authorise_retry("run-1", by=PERSON, reason="x", expires_at=TOMORROW)
            with pytest.raises(NotFound):
                wb.authorise_retry("run-9", by=PERSON, reason="x", expires_at=TOMORROW)

    def test_what_a_person_wrote_is_in_content_not_in_the_record(self):
        """L6: free text by people lives in content."""
        with weighbridge() as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            wb.authorise_retry("run-1", by=PERSON, reason="Mr Miller called", expires_at=TOMORROW)
            assert all(b"Miller" not in record.body for record in wb.reader.records("acme"))
            assert any(b"Miller" in (body or b"") for _, body in wb.reader.contents("acme"))


class TestTime:
    def test_an_enforcing_store_takes_no_supplied_time(self):
        """B9: supplied times are refused on a store opened for enforcement; nothing is recorded."""
        with weighbridge() as wb:
            with pytest.raises(SuppliedTimeRefused, match="evaluation_time"):
                wb.gate(context(evaluation_time="2026-01-01T00:00:00Z"))
            assert wb.reader.head("acme").seq == 0

    def test_an_evaluating_store_marks_it(self):
        """B9: supplied times are marked."""
        with weighbridge(purpose="evaluation") as wb:
            wb.gate(context(evaluation_time="2026-11-21T11:00:00+01:00"))
            wb.gate(context())
            marked = [(event["time_source"], event["evaluation_time"]) for event in _events(wb)]
        assert ("supplied", "2026-11-21T10:00:00.000Z") in marked
        assert ("clock", "2026-11-22T10:00:00.000Z") in marked

    def test_a_clock_that_steps_back_blocks(self):
        """B9: a live request far behind the tenant's last record is BLOCK CLOCK_STEPPED_BACK."""
        clock = Clock()
        with weighbridge(clock=clock, policy=policy(max_clock_skew="5s")) as wb:
            wb.gate(context())
            clock.now_ms -= 5_000
            assert wb.gate(context()).verdict is Verdict.ALLOW
            clock.now_ms -= 1
            assert wb.gate(context()).reasons == ("CLOCK_STEPPED_BACK",)


class TestTenant:
    """L5, Z1: the tenant comes from the credential."""

    def test_another_tenant_is_refused(self):
        with weighbridge(principal=Principal(id="svc", tenant_id="acme")) as wb:
            with pytest.raises(TenantMismatch, match="credential"):
                wb.gate(context(tenant_id="other"))
            assert wb.gate(context(tenant_id=None)).record.tenant_id == "acme"
            assert wb.reader.tenants() == ("acme",)

    def test_reading_back_crosses_no_tenant(self):
        """L5: whoever holds a credential for one tenant reads, verifies and replays no other."""
        with weighbridge(principal=Principal(id="svc", tenant_id="acme")) as wb:
            wb.gate(context(validation_run_id="run-1"))
            for ask in (
                lambda: wb.why("run-1", "other"),
                lambda: wb.verify("other"),
                lambda: wb.replay(tenant_id="other"),
            ):
                with pytest.raises(TenantMismatch):
                    ask()
            with pytest.raises(TenantMismatch):
                wb.authorise_retry(
                    "run-1", by=Principal(id="m", person=True, tenant_id="other"), reason="x", expires_at=TOMORROW
                )
            assert [audit.tenant_id for audit in wb.verify().tenants] == ["acme"]

    def test_each_tenant_has_its_own_policy(self):
        rules = policy(tenants={"strict": {"compliance": {"prohibited_actions": ["update"]}}})
        with weighbridge(policy=rules) as wb:
            assert wb.gate(context()).verdict is Verdict.ALLOW
            assert wb.gate(context(tenant_id="strict")).verdict is Verdict.BLOCK


def _deep(levels):
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class TestBadInput:
    """Rule 7: a clear error, and nothing is lost or half done; or a BLOCK with its reason."""

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"choke_point": "BEFORE_LUNCH"}, ContextError, "choke_point.*write one of BEFORE_PLAN_APPROVAL"),
            ({"proposal": "update it"}, ContextError, "proposal"),
            ({"proposal": {"operation": 3}}, ContextError, "proposal.operation"),
            ({"proposal": {"operation": "x", "arguments": [1]}}, ContextError, "proposal.arguments"),
            ({"proposal": {"operation": "x", "hurry": True}}, ContextError, "hurry"),
            ({"surprise": 1}, ContextError, "surprise"),
            ({"evidence": {"a": 1}}, ContextError, "evidence"),
            ({"evidence": [{"reference": {}, "trust": "absolute"}]}, ContextError, "trust"),
            ({"snapshot": {"fields": {"a": {"value": 1}}}}, ContextError, "source_type"),
            ({"validation_run_id": ""}, ContextError, "validation_run_id"),
            ({"validation_run_id": "x" * 201}, ContextError, "201 characters"),
            ({"actor": {"id": "x" * 201}}, ContextError, "actor.id"),
            ({"proposal": {"operation": "x" * 201}}, ContextError, "proposal.operation"),
            ({"plan": {"plan_id": "p", "steps": [{"operation": "x" * 201}]}}, ContextError, "plan.steps"),
            ({"plan": {"plan_id": "p", "steps": [{"operation": "x", "step_id": ""}]}}, ContextError, "step_id"),
            ({"evaluation_time": "2026-11-22T10:00:00"}, ContextError, "offset"),
            ({"evaluation_time": 1795341600}, ContextError, "evaluation_time"),
            ({"target_id": float("nan")}, CanonicalError, "NaN"),
            ({"target_id": float("inf")}, CanonicalError, "NaN"),
            ({"proposal": {"operation": "x", "arguments": {"n": 2**53}}}, CanonicalError, "2\\*\\*53"),
            ({"proposal": {"operation": "x", "arguments": {"n": 10**400}}}, CanonicalError, "2\\*\\*53"),
            ({"proposal": {"operation": "x", "arguments": {"t": "\ud800"}}}, CanonicalError, "surrogate"),
            ({"proposal": {"operation": "x", "arguments": {"\udfff": 1}}}, CanonicalError, "surrogate"),
            ({"proposal": {"operation": "x", "arguments": {1: 1}}}, CanonicalError, "key"),
            ({"proposal": {"operation": "x", "arguments": {"d": object()}}}, CanonicalError, "no JSON form"),
            ({"proposal": {"operation": "x", "arguments": {"d": _deep(198)}}}, CanonicalError, "deeply"),
            ({"proposal": {"operation": "x", "arguments": {"d": _deep(5_000)}}}, CanonicalError, "deeply"),
            ({"proposal": {"operation": "x", "arguments": {"d": _deep(100_000)}}}, CanonicalError, "deeply"),
        ],
    )
    def test_a_request_that_is_none(self, change, error, text):
        with weighbridge(purpose="evaluation") as wb:
            with pytest.raises(error, match=text):
                wb.gate(context() | change)
            assert wb.reader.tenants() == ()

    @pytest.mark.parametrize("document", [None, [], "x", 3])
    def test_not_even_an_object(self, document):
        with weighbridge() as wb, pytest.raises(ContextError):
            wb.gate(document)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"proposal": None}, "INPUT_MISSING"),
            ({"snapshot": None}, "INPUT_MISSING"),
            ({"evidence": None}, "INPUT_MISSING"),
            ({"proposal": {"operation": "crm.update", "arguments": {"x": _deep(80)}}}, "TOO_COMPLEX"),
            ({"proposal": {"operation": "crm.update", "arguments": {"x": _deep(196)}}}, "TOO_COMPLEX"),
            ({"proposal": {"operation": "crm.update", "evidence": ["because I say so"]}}, "INVALID_EVIDENCE"),
            (
                {"data_sources": [{"source_id": "a", "source_type": "crm", "last_updated": "yesterday"}]},
                "TIMESTAMP_MISSING",
            ),
            (
                {"data_sources": [{"source_id": "a", "source_type": "crm", "last_updated": "2026-11-21T10:00:00"}]},
                "TIMESTAMP_MISSING",
            ),
        ],
    )
    def test_a_request_that_lacks_what_it_needs_is_blocked_on_record(self, change, reason):
        """G5: absence is refusal, with its reason."""
        with weighbridge() as wb:
            decision = wb.gate(context(**change))
            assert decision.verdict is Verdict.BLOCK
            assert reason in decision.reasons
            assert wb.reader.head("acme").seq == 1


def test_every_event_says_who_where_when_and_under_what():
    """Contract, "On every event": the fields each event carries when read."""
    wanted = {
        "tenant_id", "actor", "account_id", "plan_id", "step_id", "validation_run_id", "choke_point", "target_id",
        "snapshot_id", "evaluation_time", "time_source", "policy_version", "engine_version", "enforcement",
    }  # fmt: skip
    with weighbridge() as wb:
        wb.gate(context())
        runs = [event for event in _events(wb) if event["type"].startswith("VALIDATOR_RUN")]
    assert len(runs) == 5
    for event in runs:
        assert wanted - {"tenant_id"} <= event.keys()
        assert event["enforcement"] == "asked"


def test_a_policy_change_is_on_record(tmp_path):
    """L2: every policy change is in the ledger, where it took effect."""
    with weighbridge(tmp_path / "l.db") as wb:
        wb.gate(context())
        wb.gate(context())
    with weighbridge(tmp_path / "l.db", policy=policy(name="next")) as wb:
        last = wb.gate(context())
        changes = [event for event in _events(wb) if event["type"] == "POLICY_ACTIVATED"]
    assert len(changes) == 2
    assert changes[1]["policy_version"] == last.policy_version
    assert changes[1]["previous"] == changes[0]["policy_version"]


def test_personal_data_stays_out_of_the_record():
    """L6: arguments, snapshot and evidence live in content; the record holds hashes."""
    made = context()
    made["proposal"]["arguments"]["note"] = "call Jane Doe"
    made["snapshot"]["fields"]["renewal"]["value"]["contact"] = "jane@example.com"
    with weighbridge() as wb:
        wb.gate(made)
        bodies = b"".join(record.body for record in wb.reader.records("acme"))
        contents = b"".join(body or b"" for _, body in wb.reader.contents("acme"))
    assert b"Jane" not in bodies
    assert b"jane@" not in bodies
    assert b"Jane" in contents


def test_content_hashes_differ_between_tenants():
    """L6: content is addressed under a per-tenant key."""
    with weighbridge() as wb:
        one, other = wb.gate(context()), wb.gate(context(tenant_id="other"))
    assert one.snapshot_id != other.snapshot_id


def test_the_asynchronous_face_is_the_same():
    async def main(wb):
        first = await wb.gate_async(context(validation_run_id="run-1"))
        again = await wb.gate_async(context(validation_run_id="run-1"))
        return first, again

    with weighbridge() as wb:
        first, again = asyncio.run(main(wb))
    assert again.replayed
    assert again.record == first.record


class TestReader:
    """L5: no read crosses a tenant, whatever the caller asks for; and a reader reads."""

    def test_a_credential_for_one_tenant_reads_no_other(self, tmp_path):
        """L5: not through the reader either, nor through one of its moments."""
        path = tmp_path / "ledger.db"
        with weighbridge(path) as both:
            both.gate(context())
            both.gate(context(tenant_id="other"))
            assert both.reader.tenants() == ("acme", "other")
        with weighbridge(path, principal=Principal(id="h", tenant_id="acme")) as wb:
            assert wb.reader.tenants() == ("acme",)
            assert wb.reader.heads() == {"acme": wb.reader.head("acme")}
            assert [tenant for tenant, _ in wb.reader.records_of({"acme": (1, 1)})] == ["acme"]
            with pytest.raises(TenantMismatch):
                wb.reader.records_of({"acme": (1, 1), "other": (1, 1)})
            assert wb.reader.head("acme").seq == 1
            assert wb.reader.purpose() == "enforcement"
            with wb.reader.snapshot() as moment:
                for reader in (wb.reader, moment):
                    for ask in (reader.head, reader.tenant_key, reader.contents, reader.records, reader.subjects):
                        with pytest.raises(TenantMismatch):
                            ask("other")
                assert len(list(moment.records("acme"))) == 1

    @pytest.mark.parametrize("name", ["commit", "commit_many", "erase_content", "close", "_tenants"])
    def test_it_writes_nothing(self, name):
        """Z4: the read side is no way around the gateway."""
        with weighbridge() as wb, pytest.raises(AttributeError):
            getattr(wb.reader, name)


@pytest.mark.parametrize("asked", ["identity", "tenant_key", "record"])
def test_a_store_that_cannot_be_read_is_a_refusal(monkeypatch, asked):
    """G2: a store failure is a refusal, counted, whichever side of the store failed; in a batch it stands in its place."""

    def fail(*_):
        raise StoreError("the disk reports an error")

    made = context(validation_run_id="run-1")
    with weighbridge() as wb:
        if asked == "record":
            wb.gate(made)
        monkeypatch.setattr(wb._reader, asked, fail)
        with pytest.raises(Refusal, match="LEDGER_WRITE_FAILED"):
            wb.gate(made)
        assert [type(answer) for answer in wb.answer_many([made])] == [Refusal]
        assert wb._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 2}


def test_the_log_repeats_no_exception_of_the_function(caplog):
    """G6, Z1: what a function raises may hold secrets; where its end cannot be recorded, the log names the operation."""
    with weighbridge(policy=policy(operations={}, required_inputs=WAIVED)) as wb:

        @wb.operation("pay", cost="CHEAP")
        def pay():
            monkey.setattr(wb._recorder._writer, "commit", fail)
            raise ValueError("password=hunter2")

        def fail(_):
            raise StoreError("disk full")

        with pytest.MonkeyPatch.context() as monkey, pytest.raises(ValueError, match="hunter2"):
            pay()
    assert "could not be recorded" in caplog.text
    assert "hunter2" not in caplog.text


def test_whoever_asked_in_anothers_name_authorises_nothing():
    """G8: the proposer is the actor and the caller behind it; neither authorises the retry."""
    with weighbridge(principal=Principal(id="maria", tenant_id="acme")) as wb:
        wb.gate(blocked_context(validation_run_id="run-1"))
        with pytest.raises(UsageError, match="proposed"):
            wb.authorise_retry("run-1", by=PERSON, reason="looked at it", expires_at=TOMORROW)


def test_an_authorisation_that_ends_now_is_none():
    """G8: it must hold for some time."""
    with weighbridge() as wb:
        wb.gate(blocked_context(validation_run_id="run-1"))
        with pytest.raises(ContextError, match="past"):
            wb.authorise_retry("run-1", by=PERSON, reason="looked at it", expires_at="2026-11-22T10:00:00Z")


def test_a_credential_for_one_tenant_verifies_that_one(tmp_path):
    """L5: a check without a tenant is of the credential's own."""
    path = tmp_path / "ledger.db"
    with weighbridge(path) as both:
        both.gate(context())
        both.gate(context(tenant_id="other"))
        assert [audit.tenant_id for audit in both.verify().tenants] == ["acme", "other"]
    with weighbridge(path, principal=Principal(id="h", tenant_id="acme")) as wb:
        assert [audit.tenant_id for audit in wb.verify().tenants] == ["acme"]


class TestTheSameInputsInOtherWords:
    """G8: whether a retry needs an authorisation depends on what is judged, not on how it is asked."""

    @staticmethod
    def _asked(**changes):
        made = blocked_context(**changes)
        locator = {"system": "crm", "object": "renewal", "id": "r-1", "fields": ["a", "b"]}
        made["proposal"]["evidence"].append({"record_locator": locator})
        made["evidence"].append({"reference": {"source_type": "mail", "source_id": "m-1"}})
        made["data_sources"].append(made["data_sources"][0] | {"source_id": "crm:r-2"})
        return made

    @staticmethod
    def _twice_and_reversed(items):
        items += items[:1]
        items.reverse()

    @pytest.mark.parametrize("choke_point", ["BEFORE_EXTERNAL_WRITEBACK", "BEFORE_STEP_EXECUTION"])
    @pytest.mark.parametrize(
        "reword",
        [
            lambda made: made.update(target_id="elsewhere"),
            lambda made: made.update(attempt=2),
            lambda made: made.update(step_id="s-2"),
            lambda made: made.update(plan_id="p-2", account_id="a-2"),
            lambda made: TestTheSameInputsInOtherWords._twice_and_reversed(made["evidence"]),
            lambda made: TestTheSameInputsInOtherWords._twice_and_reversed(made["proposal"]["evidence"]),
            lambda made: TestTheSameInputsInOtherWords._twice_and_reversed(made["data_sources"]),
            lambda made: made["proposal"]["evidence"][1]["record_locator"].update(fields=["b", "a", "b"]),
        ],
    )
    def test_it_is_the_same_request(self, choke_point, reword):
        """G8: another target, attempt or step, another order, the same thing twice: nothing changed."""
        with weighbridge() as wb:
            wb.gate(self._asked(choke_point=choke_point, validation_run_id="run-1"))
            made = copy.deepcopy(self._asked(choke_point=choke_point, validation_run_id="run-2"))
            reword(made)
            again = wb.gate(made)
        assert [finding.reason for finding in again.findings] == ["RETRY_NOT_AUTHORISED"]

    @pytest.mark.parametrize(
        "change",
        [
            lambda made: made["evidence"].pop(),
            lambda made: made["evidence"][0].update(content={"status": "closed"}),
            lambda made: made["proposal"]["evidence"].pop(),
            lambda made: made["data_sources"][0].update(last_updated="2026-11-21T10:00:00Z"),
            lambda made: made["snapshot"]["fields"]["renewal"].update(source_id="r-2"),
        ],
    )
    def test_what_is_judged_differs(self, change):
        """G8: fresher data, other evidence, another snapshot: a new judgement."""
        with weighbridge() as wb:
            wb.gate(self._asked(validation_run_id="run-1"))
            made = copy.deepcopy(self._asked(validation_run_id="run-2"))
            change(made)
            again = wb.gate(made)
        assert (again.retry_of, again.findings) == ("run-1", ())

    def test_a_reference_that_moves_to_another_step_is_new(self):
        """G8, R1: each step of a plan is grounded by its own references."""
        step = {"operation": "crm.update", "arguments": {}, "depends_on": []}
        proof = [{"source_type": "crm", "source_id": "r-1"}]

        def plan(run, one, two):
            steps = [step | {"step_id": "s-1", "evidence": one}, step | {"step_id": "s-2", "evidence": two}]
            made = blocked_context(choke_point="BEFORE_PLAN_APPROVAL", validation_run_id=run)
            return {name: value for name, value in made.items() if name != "proposal"} | {
                "plan": {"plan_id": "p-1", "steps": steps}
            }

        with weighbridge() as wb:
            wb.gate(plan("run-1", proof, []))
            again = wb.gate(plan("run-2", [], proof))
            third = wb.gate(plan("run-3", [], proof * 2))
        assert (again.retry_of, again.findings) == ("run-1", ())
        assert [finding.reason for finding in third.findings] == ["RETRY_NOT_AUTHORISED"]

    def test_an_authorisation_holds_for_the_same_inputs_in_other_words(self):
        """G8: the leave is bound to what was judged, so a later attempt of the step uses it up."""
        with weighbridge() as wb:
            wb.gate(blocked_context(validation_run_id="run-1"))
            wb.authorise_retry("run-1", by=PERSON, reason="look again", expires_at=TOMORROW)
            second = wb.gate(blocked_context(validation_run_id="run-2", attempt=2))
            third = wb.gate(blocked_context(validation_run_id="run-3", attempt=3))
            assert wb.verify().ok
        assert second.findings == ()
        assert [finding.reason for finding in third.findings] == ["RETRY_NOT_AUTHORISED"]


@pytest.mark.parametrize("behind", ["actor", "principal"])
def test_nobody_uses_the_authorisation_they_gave(behind):
    """G8: a person other than the proposer, also where the proposer changes after the leave was given."""
    with weighbridge() as wb:
        wb.gate(blocked_context(validation_run_id="run-1"))
        wb.authorise_retry("run-1", by=PERSON, reason="let me try", expires_at=TOMORROW)
        if behind == "principal":
            wb._executor._admission._principal = Principal(id="maria", tenant_id="acme")
            own = wb.gate(blocked_context(validation_run_id="run-2"))
            wb._executor._admission._principal = Principal(id="local")
        else:
            own = wb.gate(blocked_context(validation_run_id="run-2", actor={"id": "maria", "role": "agent"}))
        other = wb.gate(blocked_context(validation_run_id="run-3"))
        assert wb.verify().ok
    assert [finding.reason for finding in own.findings] == ["RETRY_NOT_AUTHORISED"]
    assert other.findings == ()


NOTE: dict[str, Any] = {
    "tenant_id": "acme",
    "account_id": "a-1",
    "plan_id": "p-1",
    "budget": {"operation": "crm.note"},
}


class TestBudget:
    """What a host sees of budgets."""

    RULES = policy(budgets={"caps": [cap("day", "2/day"), cap("tokens", "1k tokens/day", settlement=True)]})

    def _note(self, operation_id, **changes):
        budget = NOTE["budget"] | {"amounts": {"tokens": 100}}
        return NOTE | {"operation_id": operation_id, "budget": budget} | changes

    def test_it_is_one_story(self):
        """L2, L4: from the operation, the account or the plan: reserved, used, settled, in order."""
        with weighbridge(policy=self.RULES) as wb:
            wb.reserve(self._note("op-1"))
            assert wb.report_usage("op-1", {"tokens": 40}, tenant_id="acme").operation_id == "op-1"
            for asked in ("op-1", "a-1", "p-1"):
                types = [entry.type for entry in wb.why(asked, "acme").entries]
                assert [one for one in types if one != "POLICY_ACTIVATED"] == [
                    "BUDGET_RESERVE",
                    "USAGE_REPORTED",
                    "BUDGET_SETTLE",
                ]
            assert [one["enforcement"] for one in _events(wb) if one["type"].startswith("BUDGET")] == ["asked"] * 2

    def test_a_block_says_why_in_the_ledger_alone(self):
        """L4, B10: which caps, what they held, what was asked for."""
        with weighbridge(policy=self.RULES) as wb:
            for number in range(3):
                wb.reserve(self._note(f"op-{number}"))
            blocked = next(one for one in _events(wb) if one["type"] == "BUDGET_BLOCK")
        assert (blocked["operation"], blocked["cost_class"], blocked["reason"]) == (
            "crm.note",
            "CHEAP",
            "HARD_CAP_EXCEEDED",
        )
        assert blocked["amounts"] == {"operations": "1", "tokens": "100"}
        assert [(one["cap"], one["usage_before"], one["hard_cap"], one["verdict"]) for one in blocked["caps"]] == [
            ("day", "2", "2", "BLOCK"),
            ("tokens", "200", "1000", "ALLOW"),
        ]

    def test_without_holding_up_a_loop(self):
        """B5: asynchronous callers share commits; of ten under a cap of two, two."""

        async def main():
            return await asyncio.gather(*(wb.reserve_async(self._note(f"op-{number}")) for number in range(10)))

        with weighbridge(policy=self.RULES) as wb:
            answers = asyncio.run(main())
        assert sum(answer.verdict is Verdict.ALLOW for answer in answers) == 2

    def test_the_clock_decides_the_period(self):
        """B9: a supplied time is refused where we enforce, and marked where we evaluate."""
        with weighbridge(policy=self.RULES) as wb:
            with pytest.raises(SuppliedTimeRefused):
                wb.reserve(self._note("op-1", evaluation_time="2026-11-21T10:00:00Z"))
            (answer,) = wb.answer_many([self._note("op-1", evaluation_time="2026-11-21T10:00:00Z")])
            assert isinstance(answer, SuppliedTimeRefused)
        with weighbridge(policy=self.RULES, purpose="evaluation") as wb:
            answer = wb.reserve(self._note("op-1", evaluation_time="2026-11-21T10:00:00Z"))
            assert answer.budget.period == {"DAY": "2026-11-21", "MONTH": "2026-11"}
            assert _events(wb)[-1]["time_source"] == "supplied"

    def test_a_clock_that_steps_back_is_a_block(self):
        """B9: nobody spends yesterday's budget again."""
        clock = Clock()
        with weighbridge(policy=self.RULES, clock=clock) as wb:
            wb.reserve(self._note("op-1"))
            clock.now_ms -= 86_400_000
            answer = wb.reserve(self._note("op-2"))
            assert (answer.verdict, answer.reasons) == (Verdict.BLOCK, ("CLOCK_STEPPED_BACK",))
            assert wb.verify().ok

    def test_no_tenant_reaches_another(self):
        """L5: neither to spend nor to report."""
        bound = Principal(id="svc", tenant_id="acme")
        with weighbridge(policy=self.RULES, principal=bound) as wb:
            wb.reserve(self._note("op-1"))
            with pytest.raises(TenantMismatch):
                wb.reserve(self._note("op-2", tenant_id="other"))
            with pytest.raises(TenantMismatch):
                wb.report_usage("op-1", {"tokens": 1}, tenant_id="other")
            assert wb.report_usage("op-1", {"tokens": 1}).operation_id == "op-1"
            with pytest.raises(TenantMismatch):
                wb.reader.counter("other", "operations 2026-11-22 any")

    def test_a_tenant_has_its_own_counters(self):
        """B2, L5: a cap in the base policy holds for each tenant separately."""
        with weighbridge(policy=self.RULES) as wb:
            answers = [
                wb.reserve(self._note(f"op-{n}", tenant_id=name)) for name in ("acme", "other") for n in range(3)
            ]
        assert [answer.verdict.value for answer in answers] == ["ALLOW", "ALLOW", "BLOCK"] * 2

    def test_there_is_nothing_of_a_reservation_alone_to_judge_again(self):
        """G4: replay is of runs; beside one, the run is judged again and is equal."""
        with weighbridge(policy=self.RULES) as wb:
            wb.reserve(self._note("op-1"))
            budget = {"amounts": {"tokens": 1}}
            wb.reserve(context(operation_id="op-2", budget=budget))
            assert list(wb.replay("op-1", "acme")) == []
            assert [run.outcome.value for run in wb.replay("op-2", "acme")] == ["EQUAL"]


class TestWhyBudgetsBlock:
    """B10, B12: what is missing is on record, and read back with the decision."""

    def test_a_model_without_a_price(self):
        prices = {"currency": "USD", "models": {"m1": {"input": "$1/1M tokens", "output": "$1/1M tokens"}}}
        with weighbridge(policy=policy(budgets={"caps": [cap("money", "$1/day")], "prices": prices})) as wb:
            call = {"operation": "crm.note", "tokens": {"input": 1, "output": 1, "model": "m2"}}
            asked = {"tenant_id": "acme", "operation_id": "op-1", "budget": call}
            made, again = wb.reserve(asked), wb.reserve(asked)
            unpriced = {"cause": "MODEL_UNKNOWN", "model": "m2", "closest": "m1"}
            assert made.budget.unpriced == again.budget.unpriced == unpriced
            assert [one["unpriced"] for one in _events(wb) if one["type"] == "BUDGET_BLOCK"] == [unpriced]
            assert wb.verify().ok

    def test_an_operation_that_resembles_a_known_one(self):
        with weighbridge() as wb:
            wb.operation("mail.send", cost="CHEAP")(lambda: None)
            for asked, closest in (("mail.sent", "mail.send"), ("crm.notes", "crm.note")):
                decision = wb.reserve({"tenant_id": "acme", "budget": {"operation": asked}})
                assert decision.budget.findings[0].details == {"operation": asked, "closest": closest}
            assert wb.verify().ok
