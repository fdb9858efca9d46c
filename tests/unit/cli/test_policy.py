"""`weighbridge policy …`: check, schema, diff, init."""

from __future__ import annotations

import json

import pytest

from tests.command_line import run
from weighbridge.policy.budget_notes import budget_notes
from weighbridge.policy.loader import load_policy
from weighbridge.policy.yaml_text import SIZE_MAX

GOOD = """\
weighbridge: 1
name: good
freshness: {source_types: {crm: {soft_ttl: 7d, hard_ttl: 14d}}}
tenants:
  acme:
    freshness: {source_types: {crm: {soft_ttl: 1d}}}
"""
BAD = """\
weighbridge: 1
name: no
freshness:
  source_types:
    crm: {sfot_ttl: 1d, hard_ttl: 14d}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(BAD, encoding="utf-8")
    return tmp_path


# --- check ------------------------------------------------------------------------------------------------------------


def test_a_policy_without_mistakes_is_named_by_its_versions():
    ran = run("policy", "check", "--table", "good.yaml")
    document = load_policy(GOOD, "good.yaml")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "good.yaml: no mistakes",
        f"  policy_version {document.effective(None).policy_version}  base",
        f"  policy_version {document.effective('acme').policy_version}  tenant acme",
        *(f"  note: {note}" for note in budget_notes(document.effective(None))),
    ]
    assert (
        "no `budgets` section" in ran.out
    )  # B8: every operation is then a BLOCK, which is no mistake, but worth a line


def test_every_mistake_is_reported_with_line_column_reason_and_remedy():
    """F3, G6: what does not load says everything that is wrong with it."""
    ran = run("policy", "check", "--table", "bad.yaml")
    assert ran.code == 3
    assert ran.out.splitlines() == [
        'bad.yaml:2:7: name: `no` is false to some YAML readers and text to others (write "no" for text, or false)',
        "bad.yaml:5:11: freshness.source_types.crm.sfot_ttl: unknown key `sfot_ttl` (write soft_ttl)",
    ]
    assert "bad.yaml: 2 mistakes" in ran.err


def test_several_policies_are_all_checked():
    ran = run("policy", "check", "--table", "good.yaml", "bad.yaml", "good.yaml")
    assert ran.code == 3
    assert ran.out.count("good.yaml: no mistakes") == 2
    assert ran.out.count("bad.yaml:") == 2


def test_programs_get_json_lines():
    assert run("policy", "check", "--json", "bad.yaml").lines[1] == {
        "file": "bad.yaml",
        "line": 5,
        "column": 11,
        "where": "freshness.source_types.crm.sfot_ttl",
        "message": "unknown key `sfot_ttl`",
        "write": "soft_ttl",
    }
    assert [line["tenant"] for line in run("policy", "check", "good.yaml").lines] == [None, "acme"]  # as in a pipe


def test_standard_input_is_a_file():
    assert run("policy", "check", "--table", "-", stdin=GOOD.encode()).code == 0
    assert run("policy", "check", "--table", "-", stdin=BAD.encode()).out.startswith("<stdin>:2:7: ")


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_file_that_cannot_be_read_is_usage(name):
    ran = run("policy", "check", "--table", name, "bad.yaml")
    assert ran.code == 2
    assert ran.out.startswith("bad.yaml:2:7: ")  # the others are checked
    assert f"`{name}` cannot be read" in ran.err


def test_a_policy_that_says_nothing_has_a_place_too(here):
    (here / "empty.yaml").write_bytes(b"")
    assert run("policy", "check", "--table", "empty.yaml").out.startswith(
        "empty.yaml:1:1: the document is not a mapping"
    )


def test_a_file_in_another_encoding_is_a_mistake(here):
    (here / "latin.yaml").write_bytes("weighbridge: 1\nname: M\xfcller\n".encode("latin-1"))
    ran = run("policy", "check", "--table", "latin.yaml")
    assert ran.code == 3
    assert ran.out.startswith("latin.yaml:2:8: the byte 0xFC is not UTF-8")


def test_a_file_above_the_limit_is_not_read_to_its_end(here):
    with (here / "big.yaml").open("wb") as file:
        file.truncate(1 << 33)
    ran = run("policy", "check", "--table", "big.yaml")
    assert ran.code == 3
    assert str(SIZE_MAX) in ran.out


def test_a_policy_cannot_draw_on_the_terminal(here):
    (here / "odd.yaml").write_text('weighbridge: 1\nname: x\n"\\e[31m\\u202ered": 1\n', encoding="utf-8")
    ran = run("policy", "check", "--table", "odd.yaml")
    assert ran.code == 3
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out


# --- schema -----------------------------------------------------------------------------------------------------------


def test_the_schema_is_json_an_editor_can_read():
    ran = run("policy", "schema")
    assert ran.code == 0
    schema = json.loads(ran.out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["properties"]["freshness"]["description"]


# --- diff -------------------------------------------------------------------------------------------------------------


def test_a_change_is_said_in_words(here):
    (here / "new.yaml").write_text(GOOD.replace("14d", "10d").replace("name: good", "name: better"), encoding="utf-8")
    ran = run("policy", "diff", "--table", "good.yaml", "new.yaml")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "stricter: freshness.source_types.crm.hard_ttl is 10d, was 14d",
        "changed: name is better, was good",
    ]


def test_what_changes_for_one_tenant_only_is_said_for_it(here):
    (here / "new.yaml").write_text(GOOD.replace("soft_ttl: 1d", "soft_ttl: 2d"), encoding="utf-8")
    looser = "freshness.source_types.crm.soft_ttl is 2d, was 1d"
    assert run("policy", "diff", "--table", "good.yaml", "new.yaml").out.splitlines() == [
        "for tenant acme, besides:",
        f"  looser: {looser}",
    ]
    assert run("policy", "diff", "--table", "good.yaml", "new.yaml", "--tenant", "acme").out.splitlines() == [
        "for tenant acme:",
        f"  looser: {looser}",
    ]
    assert run("policy", "diff", "good.yaml", "new.yaml").lines == [
        {"tenant": "acme", "where": "freshness.source_types.crm.soft_ttl", "effect": "looser", "what": "is 2d, was 1d"}
    ]


def test_spelling_is_no_change(here):
    (here / "new.yaml").write_text("# the same\n" + GOOD.replace("14d", "2w"), encoding="utf-8")
    assert run("policy", "diff", "--table", "good.yaml", "new.yaml").out == "no change in what counts\n"


def test_a_policy_with_mistakes_cannot_be_compared():
    ran = run("policy", "diff", "--table", "good.yaml", "bad.yaml")
    assert ran.code == 3
    assert "bad.yaml:2:7" in ran.out


def test_an_unheard_of_tenant_is_usage():
    ran = run("policy", "diff", "--table", "good.yaml", "good.yaml", "--tenant", "acne")
    assert ran.code == 2
    assert "`acne`" in ran.err


# --- init -------------------------------------------------------------------------------------------------------------


def test_the_starter_is_a_policy_without_mistakes(here):
    assert run("policy", "init").code == 0
    assert run("policy", "check", "--table", "policy.yaml").code == 0
    text = (here / "policy.yaml").read_text(encoding="utf-8")
    assert text.count("#") > 20
    document = load_policy(text, "policy.yaml")
    for section in (
        "freshness",
        "grounding",
        "contradiction",
        "compliance",
        "required_inputs",
        "operations",
        "tenants",
    ):
        assert getattr(document, section), section


def test_the_starter_goes_to_standard_output(here):
    ran = run("policy", "init", "-")
    assert ran.code == 0
    load_policy(ran.out, "stdin")
    assert not (here / "policy.yaml").exists()


def test_a_file_that_is_there_is_kept(here):
    ran = run("policy", "init", "good.yaml")
    assert ran.code == 2
    assert "--force" in ran.err
    assert (here / "good.yaml").read_text(encoding="utf-8") == GOOD
    assert run("policy", "init", "good.yaml", "--force").code == 0
    assert (here / "good.yaml").read_text(encoding="utf-8") != GOOD


def test_a_place_that_cannot_be_written_is_usage():
    assert run("policy", "init", "nowhere/policy.yaml").code == 2


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "diff", "init"])
def test_help_names_the_exit_codes(command):
    ran = run("policy", command, "--help")
    assert ran.code == 0
    assert "Exit code 0" in " ".join(ran.out.split())
