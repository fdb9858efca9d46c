"""Which key seals is on record in every ledger that it seals: who changed it, when and why (L2)."""

from __future__ import annotations

import pytest

from tests.command_line import run
from tests.sealing import NAME, decide, reader, site
from weighbridge.ledger import record

WHO = ("--by", "dana", "--reason", "a laptop was lost")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, postgres, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with site(request.param, tmp_path, postgres) as at:
        monkeypatch.setenv("WEIGHBRIDGE_STORE", at.address)
        decide(at.address, "one", "two")
        decide(at.address, "theirs", tenant="beta")
        (tmp_path / "w").mkdir()
        yield at.address


def events(store, tenant):
    """Return what the events that tell of a key say."""
    opened = reader(store)
    try:
        told = [event for stored in opened.records(tenant) for event in record.events(stored.body)]
    finally:
        opened.close()
    return [event.fields for event in told if event.type == record.KEY_CHANGED]


def test_every_ledger_says_which_key_seals_it(store):
    """L2: one record for each tenant and each key, also where it is asked for again."""
    made = run("keys", "create", NAME)
    first = made.out.strip()
    assert "keys record" in made.err
    assert [line["seq"] for line in run("keys", "record", *WHO).lines] == [3, 2]
    assert run("keys", "record", *WHO).lines == []
    decide(store, "new", tenant="gamma")
    assert [line["tenant_id"] for line in run("keys", "record", *WHO).lines] == ["gamma"]
    assert run("ledger", "seal", "--to", "w", "--begin").code == 0
    second = run("keys", "rotate").out.strip()
    assert len(run("keys", "record", *WHO).lines) == 3
    told = events(store, "acme")
    assert [(event["key"], event["origin"]) for event in told] == [(first, NAME), (second, NAME)]
    ids = [key.split("+")[1] for key in (first, second)]
    assert [event["signing"] for event in told] == [ids[:1], ids[::-1]]
    assert told[0]["actor"]["id"] == "dana"
    assert "laptop" not in str(told)  # L6: what people write is content
    assert run("ledger", "seal", "--to", "w").code == 0
    assert run("ledger", "verify", "--checkpoint", "w").code == 0
    assert run("why", ids[0], "--tenant", "acme").code == 0


def test_it_takes_a_person_and_a_reason(store):
    run("keys", "create", NAME)
    assert run("keys", "record", "--by", "dana", "--reason", " ").code == 2
    assert run("keys", "record").code == 2
    assert events(store, "acme") == []
