from __future__ import annotations

from pathlib import Path

import pytest

from tests import samples
from tests.command_line import run, write_contexts, write_policy
from weighbridge import wiring
from weighbridge.cli.stores import other_tenants, reading, store_or_default, tenant_or_default
from weighbridge.errors import UsageError


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    with samples.weighbridge(path) as wb:
        wb.gate(samples.context())
    return str(path)


def test_defaults_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_STORE", "elsewhere.db")
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "beta")
    assert (store_or_default(None), tenant_or_default(None)) == ("elsewhere.db", "beta")
    assert (store_or_default("here.db"), tenant_or_default("acme")) == ("here.db", "acme")


def test_the_only_tenant_is_meant_where_nobody_names_one(store, monkeypatch):
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)
    with reading(store) as reader:
        assert tenant_or_default(None, reader) == "acme"
        assert tenant_or_default("beta", reader) == "beta"
        monkeypatch.setenv("WEIGHBRIDGE_TENANT", "beta")
        assert tenant_or_default(None, reader) == "beta"


def test_a_url_names_a_store_as_a_path_does(store):
    with reading(f"sqlite:///{store}") as reader:
        assert reader.tenants() == ("acme",)


def test_whoever_reads_a_store_does_not_write_it(store, monkeypatch):
    """L1: commands that look at a ledger open it for nothing else, so that they work where nothing can be written."""
    options = {}
    open_store = wiring.open_store

    def opened(*args, **given):
        options.update(given)
        return open_store(*args, **given)

    monkeypatch.setattr(wiring, "open_store", opened)
    before = Path(store).read_bytes()
    with reading(store) as reader:
        assert reader.head("acme").seq == 1
    assert options["read_only"] is True
    assert Path(store).read_bytes() == before


def test_a_folder_is_no_store(tmp_path):
    for place in (str(tmp_path), f"sqlite:///{tmp_path}"):
        with pytest.raises(UsageError, match="is a folder; name a file in it"), reading(place):
            pass
    for words in (["demo"], ["evaluate", write_policy(tmp_path), write_contexts(tmp_path / "c.jsonl")]):
        ran = run(*words, "--store", tmp_path)
        assert (ran.code, ran.err) == (2, f"error: `{tmp_path}` is a folder; name a file in it\n")


def test_other_tenants_are_named_up_to_a_number(store, monkeypatch):
    with samples.weighbridge(store) as wb:
        for number in range(7):
            wb.gate(samples.context(tenant_id=f"t-{number}"))
    with reading(store) as reader:
        assert other_tenants(reader, "acme") == "`t-0`, `t-1`, `t-2`, `t-3`, `t-4`, …"
        assert other_tenants(reader, "t-0").startswith("`acme`, `t-1`")


@pytest.mark.parametrize(
    ("place", "words"),
    [("nowhere.db", "there is no store"), (":memory:", "a memory store ends"), ("redis://x", "no store speaks")],
)
def test_what_is_no_store_is_a_usage_error_and_none_is_made(place, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words), reading(place):
        pass
    assert not list(tmp_path.iterdir())
