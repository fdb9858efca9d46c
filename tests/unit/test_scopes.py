"""Scopes: in whose name operations are called, in every task and thread its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.samples import CONTEXT, policy, weighbridge
from weighbridge.domain.decision import Blocked
from weighbridge.errors import ContextError
from weighbridge.scopes import apart, current, entered, in_scope, scope

HERE = {
    "tenant": "acme",
    "account": "a-1",
    "actor": "renewal-agent",
    "snapshot": CONTEXT["snapshot"]["fields"],
    "data_sources": CONTEXT["data_sources"],
    "evidence": CONTEXT["evidence"],
    "references": CONTEXT["proposal"]["evidence"],
}
CLOSED = {"renewal": {"value": {"status": "closed"}, "source_type": "crm", "source_id": "r-1"}}


@pytest.fixture
def wb():
    with weighbridge(policy=policy(operations={})) as made:
        yield made


@pytest.fixture
def update(wb):
    calls: list[Any] = []

    @wb.writeback("crm.update", target="crm", action="update")
    def update_renewal(renewal_id):
        calls.append(renewal_id)
        return calls

    update_renewal.calls = calls
    return update_renewal


class TestScope:
    def test_inner_scopes_add_to_outer_ones(self, wb, update):
        with scope(**HERE) as outer, scope(account="a-2", references=HERE["references"]) as inner:
            assert scope() is inner
            update("r-1")
        assert inner.decisions == outer.decisions
        assert len(outer.decisions) == 1
        assert list(wb.reader.find("acme", "a-2")) == [1, 2]  # the decision, and how it ended

    def test_evidence_can_be_added_on_the_way(self, wb, update):
        with scope(**HERE | {"evidence": []}) as here:
            with pytest.raises(Blocked):
                update("r-1")
            here.add_evidence({"source_type": "crm", "source_id": "r-1"}, content={"status": "open"})
            assert update("r-2") is update.calls

    def test_it_is_carried_into_threads(self, wb, update):
        """Scopes are context variables; `in_scope` carries one into a thread."""
        outcomes: list[Any] = []

        def work():
            try:
                outcomes.append(update("r-1") is update.calls)
            except Blocked:
                outcomes.append("blocked")

        with scope(**HERE) as here:
            for target in (in_scope(work), work):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
        assert outcomes == [True, "blocked"]
        assert len(here.decisions) == 1

    def test_without_a_scope_absence_is_refusal(self, update):
        """G5: no snapshot, no evidence, no data sources: BLOCK."""
        with pytest.raises(Blocked) as caught:
            update("r-1")
        assert "INPUT_MISSING" in caught.value.decision.reasons

    @pytest.mark.parametrize("field", ["open", {"status": "open"}, {"value": "open"}])
    def test_a_snapshot_field_has_a_shape(self, field):
        with pytest.raises(ContextError, match=r"scope\.snapshot\.renewal.*value.*source_type"):
            scope(**HERE | {"snapshot": {"renewal": field}})

    def test_nonsense_is_a_clear_error(self, wb, update):
        with scope(**HERE | {"evidence": ["because"]}), pytest.raises(ContextError, match="evidence"):
            update("r-1")

    def test_whoever_forgot_the_scope_is_told(self, update):
        """Rule 7: the commonest mistake of a thread says so."""
        with pytest.raises(Blocked, match=r"no scope is in force here.*in_scope"):
            update("r-1")
        with scope(**HERE | {"snapshot": CLOSED}), pytest.raises(Blocked) as caught:
            update("r-1")
        assert "no scope" not in str(caught.value)


class TestScopeBounds:
    def test_another_tenant_inherits_nothing(self):
        """L5: snapshot and evidence of one tenant are not stated for another."""
        with scope(**HERE), scope(tenant="other") as inner:
            assert inner.stated == {"tenant_id": "other"}
        with scope(**HERE), scope(tenant="acme", account="a-2") as inner:
            assert inner.stated["snapshot"] == {"fields": HERE["snapshot"]}

    def test_one_scope_can_be_entered_by_many(self):
        """L5: who leaves it leaves it for itself alone."""
        shared = scope(**HERE)
        entered, left = threading.Event(), threading.Event()
        found = []

        def work():
            with shared:
                entered.set()
                left.wait(5)
                found.append(scope() is shared)
            found.append(scope() is shared)

        thread = threading.Thread(target=work)
        thread.start()
        entered.wait(5)
        with shared:
            pass
        assert scope() is not shared
        left.set()
        thread.join()
        assert found == [True, False]


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_a_scope_refuses_a_blank_reason_at_once(reason):
    """B13: where it is written, not where it is used."""
    with pytest.raises(ContextError, match=r"scope\.justification.*is blank"):
        scope(justification=reason)


def test_apart_nothing_of_a_scope_outside_is_stated():
    with scope(**HERE) as outer:
        with apart():
            assert not entered()
            with scope(tenant="other") as inner:
                assert inner.stated == {"tenant_id": "other"}
        assert current() is outer


def test_it_is_back_after_an_error():
    with scope(**HERE) as outer:
        with pytest.raises(ZeroDivisionError), apart():
            raise ZeroDivisionError
        assert current() is outer
