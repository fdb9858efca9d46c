from __future__ import annotations

import pytest

from tests.command_line import run
from tests.unit.cli.plan.desk import CONNECTOR
from weighbridge.cli.plan.hosts import AuthorRole, PersonRole, Where, opened, person
from weighbridge.errors import UsageError

APP = """
import weighbridge
from weighbridge.examples import renewals

def make():
    wb = weighbridge.open("policy.yaml", "ledger.db")
    renewals.connector(wb)
    return wb

number = 3

def broken():
    raise LookupError("no such thing")
"""


@pytest.fixture
def app(desk, request):
    """Write a module of its own name, because Python keeps what it imported."""
    name = f"app_{abs(hash(request.node.name)):x}"
    (desk.folder / f"{name}.py").write_text(APP)
    return name


def test_an_app_brings_policy_store_and_operations(desk, app):
    plan_id = desk.approved()
    ran = run("plan", "run", plan_id, "--app", f"{app}:make")
    assert (ran.code, ran.lines[-1]["status"]) == (0, "COMPLETED")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--app", "APP"), "write MODULE:NAME"),
        (("--app", "APP:nix"), "has no attribute 'nix'"),
        (("--app", "nix_nix:x"), "No module named 'nix_nix'"),
        (("--app", "APP:number"), "that is a `int`"),
        (("--app", "APP:broken"), "raised LookupError"),
        (("--app", "APP:make", "--store", "x.db"), "leave the others out"),
        (("--connector", "APP:number"), "name a function"),
        (("--connector", "APP:make"), "raised TypeError"),
        (("--policy", "nix.yaml"), "cannot be read"),
        (("--store", "nix.db"), "there is no store `nix.db`"),
    ],
)
def test_what_cannot_be_opened_is_said(desk, app, words, says):
    """Rule 7: one line, and nothing was done."""
    desk.approved()
    given = [word.replace("APP", app) for word in words]
    named = {"--app", "--store"} & set(given)
    ran = run("plan", "run", "defend-r-1001", *given, *(() if named else ("--store", desk.store)))
    assert (ran.code, says in ran.err) == (2, True), ran.err
    assert desk.events("defend-r-1001")[-1] == "PLAN_APPROVED"


def test_a_store_without_a_policy_wants_one(desk):
    desk.plan("new", desk.write(desk.draft()))
    ran = desk.plan("submit", "defend-r-1001", "--by", "ann", policy=False)
    assert (ran.code, "no policy is in force for tenant `default`" in ran.err) == (2, True)


def test_the_environment_names_the_policy(desk, monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_POLICY", desk.policy)
    assert desk.plan("new", desk.write(desk.draft()), policy=False).code == 0


def test_under_the_policy_in_force_nothing_changes_it(desk):
    """The same version judges: no policy is activated by looking."""
    desk.approved()
    with opened(Where(desk.store, None)) as host:
        before = host.wb.reader.head("default").policy_version
        assert host.wb._policy.effective("default").policy_version == before
        with pytest.raises(UsageError):
            host.wb.plan("x", "other")


def test_a_connector_that_contradicts_the_policy(desk):
    """Z5."""
    text = (desk.folder / "policy.yaml").read_text().replace("target: support", "target: crm", 1)
    (desk.folder / "policy.yaml").write_text(text)
    desk.approved()
    ran = desk.plan("run", "defend-r-1001", *CONNECTOR)
    assert (ran.code, "make them agree" in ran.err) == (2, True)


def test_only_an_agent_is_no_person():
    """Z1."""
    assert [person("x", role).person for role in AuthorRole] == [False, True, True, True]
    assert all(person("x", role).person for role in PersonRole)
    with pytest.raises(UsageError, match="--by NAME"):
        person(" ", PersonRole.ADMIN)
