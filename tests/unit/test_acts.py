"""What people do: erase content, and what is left afterwards."""

from __future__ import annotations

import json

import pytest

from tests.samples import context, weighbridge
from weighbridge.domain.context import Role
from weighbridge.domain.principal import Principal
from weighbridge.errors import NotFound, TenantMismatch, UsageError
from weighbridge.ledger.record import events
from weighbridge.replay import Replayed

PERSON = Principal(id="dana", role=Role.ADMIN, person=True)


def _content(wb, run_id):
    """Return the content hashes of a run, by name, as its record states them."""
    known = wb.reader.identity("acme", "run", run_id)
    summary = list(events(wb.reader.record("acme", known.seq).body))[-1]
    return summary.fields["content"]


@pytest.fixture(params=["memory", "sqlite"])
def wb(request, tmp_path):
    with weighbridge(":memory:" if request.param == "memory" else tmp_path / "l.db") as made:
        yield made


def test_erased_content_is_gone_and_the_ledger_still_verifies(wb):
    """L6: content can be erased (CONTENT_ERASED); the ledger verifies, and replay says what is gone."""
    wb.gate(context(validation_run_id="run-1"))
    snapshot = _content(wb, "run-1")["snapshot"]
    seq = wb.erase_content([snapshot], by=PERSON, reason="Mr Miller asked for it", tenant_id="acme")
    assert wb.reader.content("acme", snapshot) is None
    assert wb.verify().ok
    (run,) = wb.replay(tenant_id="acme")
    assert (run.outcome, run.missing) == (Replayed.CONTENT_ERASED, ("snapshot",))
    (erased,) = events(wb.reader.record("acme", seq).body)
    assert (erased.type, erased.fields["hashes"], erased.fields["actor"]["id"]) == (
        "CONTENT_ERASED",
        [snapshot],
        "dana",
    )
    assert b"Miller" not in wb.reader.record("acme", seq).body


def test_nothing_puts_it_back(wb):
    """L6: never re-inserted, also when the same content is judged again."""
    wb.gate(context(validation_run_id="run-1"))
    snapshot = _content(wb, "run-1")["snapshot"]
    wb.erase_content([snapshot], by=PERSON, reason="asked for", tenant_id="acme")
    wb._recorder._known_content.clear()  # as after a restart
    again = wb.gate(context(validation_run_id="run-2"))
    assert again.snapshot_id == snapshot
    assert wb.reader.content("acme", snapshot) is None
    assert json.dumps([again.verdict]) == '["ALLOW"]'


@pytest.mark.parametrize(
    ("hashes", "by", "reason", "error"),
    [
        (["0" * 64], PERSON, "asked for", NotFound),
        ([], PERSON, "asked for", UsageError),
        (None, PERSON, "  ", UsageError),
        (None, Principal(id="bot", role=Role.AGENT), "asked for", UsageError),
        (None, "dana", "asked for", UsageError),
    ],
)
def test_what_is_wrong_erases_nothing(wb, hashes, by, reason, error):
    """Rule 7: a clear error, and nothing is half done."""
    wb.gate(context(validation_run_id="run-1"))
    stored = _content(wb, "run-1")["snapshot"]
    with pytest.raises(error):
        wb.erase_content([stored] if hashes is None else hashes, by=by, reason=reason, tenant_id="acme")
    assert wb.reader.content("acme", stored) is not None
    assert wb.reader.head("acme").seq == 1


def test_erasing_crosses_no_tenant(wb):
    """L5: the hash of one tenant names nothing of another."""
    wb.gate(context(validation_run_id="run-1"))
    wb.gate(context(tenant_id="other"))
    with pytest.raises(NotFound):
        wb.erase_content([_content(wb, "run-1")["snapshot"]], by=PERSON, reason="asked for", tenant_id="other")
    with weighbridge(principal=Principal(id="svc", tenant_id="acme")) as bound, pytest.raises(TenantMismatch):
        bound.erase_content(["0" * 64], by=PERSON, reason="asked for", tenant_id="other")
