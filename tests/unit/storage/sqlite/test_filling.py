from __future__ import annotations

import os
from contextlib import closing

import pytest

from weighbridge.errors import StoreError
from weighbridge.storage.sqlite import SqliteStore, filling
from weighbridge.testing.submissions import decision, draft


def test_a_file_has_no_name_before_it_is_whole(tmp_path):
    """G2: nobody can open half of a copy."""
    path = str(tmp_path / "to.db")

    def half(filled):
        filled.lock("acme")
        filled.write("tenant", [("acme",)])
        filled.write("tenant_key", [("acme", bytes(32))])
        assert filled.tenant_key("acme") == bytes(32)
        with pytest.raises(StoreError, match="no content key"):
            filled.tenant_key("nobody")
        assert not (tmp_path / "to.db").exists()
        return 1 / 0  # whatever goes wrong

    with pytest.raises(ZeroDivisionError), filling.filled(path, "enforcement", os.urandom) as filled:
        half(filled)
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_came_meanwhile_stays(tmp_path):
    path = tmp_path / "to.db"
    with pytest.raises(StoreError, match="File exists"), filling.filled(str(path), "enforcement", os.urandom):
        path.write_text("somebody's")
    assert path.read_text() == "somebody's"
    with pytest.raises(StoreError, match="there already"), filling.filled(str(path), "enforcement", os.urandom):
        pass


def test_a_store_that_is_being_written_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "TRIES_MAX", 2)
    path = str(tmp_path / "s.db")
    with closing(SqliteStore(path, entropy=os.urandom)) as store:
        store.commit(decision(draft("a")))
        with filling.standing_still(path) as still:
            assert still
            with pytest.raises(StoreError, match="is being written"), filling.standing_still(path):
                pass
        assert store.commit(decision(draft("b"))).seq == 2
