from __future__ import annotations

import pytest

from tests.unit.cli.plan.desk import Desk


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("WEIGHBRIDGE_TENANT", "WEIGHBRIDGE_POLICY", "WEIGHBRIDGE_STORE"):
        monkeypatch.delenv(name, raising=False)
    made = Desk(tmp_path)
    yield made
    made.close()
