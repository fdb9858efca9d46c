"""Opening: what can be opened, and what is said when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import weighbridge
from tests.samples import POLICY, context, policy
from weighbridge.errors import PolicyError, UsageError


@pytest.mark.parametrize("form", ["dict", "json", "path", "document"])
def test_a_policy_in_every_form(tmp_path, form):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    from weighbridge.policy.loader import document_from_mapping

    given = {"dict": policy(), "json": str(path), "path": path, "document": document_from_mapping(policy())}[form]
    with weighbridge.open(given) as wb:
        assert wb.gate(context(data_sources=None)).record.seq == 1


@pytest.mark.parametrize("store", ["{}/l.db", "sqlite:///{}/l.db"])
def test_a_store_in_every_form(tmp_path, store):
    with weighbridge.open(policy(), store.format(tmp_path)) as wb:
        wb.gate(context())
    assert (tmp_path / "l.db").exists()


def test_a_store_nobody_speaks():
    with pytest.raises(UsageError, match="redis://"):
        weighbridge.open(policy(), "redis://localhost")


def test_a_policy_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="policy init"):
        weighbridge.open(tmp_path / "none.yaml")


def test_a_policy_that_is_no_text(tmp_path):
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        weighbridge.open(tmp_path / "p.yaml")


def test_a_policy_with_mistakes_opens_no_store(tmp_path):
    with pytest.raises(PolicyError):
        weighbridge.open({"weighbridge": 1, "name": "x", "colour": "blue"}, tmp_path / "l.db")
    assert not (tmp_path / "l.db").exists()


def test_importing_loads_no_driver_and_no_framework():
    """House: `import weighbridge` loads neither a database driver nor a web, policy or command line framework."""
    program = "import sys, weighbridge; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"apsw", "sqlite3", "psycopg", "pydantic", "yaml", "typer", "rich", "fastapi", "asyncio"} & set(loaded)
    assert "weighbridge" in loaded
