from __future__ import annotations

import json

import pytest

from tests.command_line import run
from tests.sealing import NAME


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_key_is_made_shown_and_rotated(tmp_path):
    made = run("keys", "create", NAME)
    assert made.code == 0
    assert made.out.startswith(f"{NAME}+")
    renewed = run("keys", "rotate")
    assert renewed.code == 0
    shown = [json.loads(line) for line in run("keys", "show", "--json").out.splitlines()]
    assert [line["key"] for line in shown] == [made.out.strip(), renewed.out.strip()]
    assert [line["signs"] for line in shown] == [True, True]
    assert run("keys", "rotate", "--at-once").code == 0
    shown = [json.loads(line) for line in run("keys", "show", "--json").out.splitlines()]
    assert [line["signs"] for line in shown] == [False, False, True]
    assert "verifies what it signed" in run("keys", "show", "--table").out


def test_nothing_is_overwritten_and_no_secret_is_printed(tmp_path):
    assert run("keys", "create", NAME, "--keys", "k").code == 0
    again = run("keys", "create", NAME, "--keys", "k")
    assert again.code == 2
    assert "not overwritten" in again.err
    secret = next((tmp_path / "k").glob("*.key")).read_text().rpartition("+")[2]
    for words in (("show",), ("rotate",), ("show", "--table")):
        ran = run("keys", *words, "--keys", "k")
        assert secret not in ran.out + ran.err


def test_public_keys_alone_can_be_shown(tmp_path):
    run("keys", "create", NAME, "--keys", "k")
    ran = run("keys", "show", "--keys", "k/public-keys.txt", "--json")
    assert json.loads(ran.out)["signs"] is False


def test_the_environment_names_the_folder(monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_KEYS", "elsewhere")
    assert run("keys", "show").code == 2
    assert run("keys", "create", NAME).code == 0
    assert run("keys", "show", "--keys", "elsewhere").code == 0
