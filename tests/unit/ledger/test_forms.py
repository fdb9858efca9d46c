from __future__ import annotations

import pytest

from tests import samples
from weighbridge import canonical
from weighbridge.ledger import forms
from weighbridge.ledger.record import Event, events


@pytest.fixture(scope="module")
def told():
    with samples.weighbridge() as wb:
        wb.gate(samples.context(validation_run_id="run-1"))
        wb.gate(samples.warned_context(validation_run_id="run-2"))
        wb.gate(samples.blocked_context(validation_run_id="run-3"))
        return [event for stored in wb.reader.records("acme") for event in events(stored.body)]


OCSF_REQUIRED = {
    "activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time", "type_uid",
}  # fmt: skip


def test_ocsf_has_what_the_class_requires(told):
    """OCSF 1.6.0, API Activity: the attributes it requires, and the sums of numbers that it defines."""
    for event in told:
        made = forms.ocsf(event)
        assert set(made) >= OCSF_REQUIRED
        assert made["class_uid"] == made["category_uid"] * 1000 + 3
        assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
        assert made["metadata"]["version"] == "1.6.0"
        assert made["metadata"]["tenant_uid"] == "acme"
        assert made["actor"]["user"]["uid"] == "renewal-agent"
        assert made["src_endpoint"] == {"uid": "local"}
        assert made["time"] == samples.NOW_MS
        assert canonical.decode(canonical.encode(made)) == made


@pytest.mark.parametrize(("verdict", "severity", "status"), [("ALLOW", 1, 1), ("WARN", 2, 1), ("BLOCK", 3, 2)])
def test_ocsf_says_what_the_verdict_was(told, verdict, severity, status):
    found = [forms.ocsf(event) for event in told if event.fields.get("result") == verdict]
    assert found
    assert {(made["severity_id"], made["status_id"], made["status"]) for made in found} == {(severity, status, verdict)}


def test_what_has_no_verdict_has_no_status(told):
    made = forms.ocsf(next(event for event in told if event.type == "POLICY_ACTIVATED"))
    assert (made["severity_id"], made["status_id"], "status" in made) == (1, 0, False)


def test_a_cloudevent_has_what_the_specification_requires(told):
    """CloudEvents 1.0.2: id, source, specversion and type; source and id together are unique."""
    made = [forms.cloudevent(event) for event in told]
    assert all(one["specversion"] == "1.0" and one["type"].startswith("weighbridge.") for one in made)
    assert {one["source"] for one in made} == {"/weighbridge/tenants/acme"}
    assert len({one["id"] for one in made}) == len(told)
    assert {one["subject"] for one in made} == {"run-1", "run-2", "run-3"}
    assert made[0]["time"] == samples.NOW


def test_a_source_is_a_uri_reference_whatever_the_tenant_is_called():
    event = Event(1, 0, "LOGIN", {"tenant_id": "a b/ü?#"})
    assert forms.cloudevent(event)["source"] == "/weighbridge/tenants/a%20b%2F%C3%BC%3F%23"


def test_nothing_is_lost(told):
    for event in told:
        whole = forms.plain(event)
        assert forms.ocsf(event)["unmapped"] == forms.cloudevent(event)["data"] == whole
        assert (whole["seq"], whole["index"], whole["type"]) == (event.seq, event.index, event.type)


def test_an_event_that_says_little_has_a_form():
    bare = Event(1, 0, "REFUSALS", {"tenant_id": "acme", "actor": None})
    assert forms.ocsf(bare)["actor"] == {"user": {"uid": "unknown", "name": "unknown"}}
    assert "time" not in forms.cloudevent(bare)
    assert "subject" not in forms.cloudevent(bare)
