"""What the budget commands read, and how they say what is missing."""

from __future__ import annotations

import json

import pytest

from tests import samples
from tests.command_line import run, write_policy
from tests.unit.cli.budget.spending import BUDGETS, DAY_MS, asked, edit, policy, spend
from weighbridge.cli.budget.sources import instant
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.errors import Refusal, UsageError

PERSON = Principal(id="dana", person=True)
BERLIN = '[["Europe/Berlin",0,0]]'


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    return spend(tmp_path / "s.db")


def refused(*args):
    ran = run("budget", *args)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    return ran.err


@pytest.mark.parametrize(
    ("text", "zones", "expected"),
    [
        ("2026-11-22T10:00:00+01:00", None, "2026-11-22T09:00:00.000Z"),
        ("2026-11-22", None, "2026-11-22T00:00:00.000Z"),
        ("2026-11-22", BERLIN, "2026-11-21T23:00:00.000Z"),
        ("2026-11", BERLIN, "2026-10-31T23:00:00.000Z"),
        ("2026-11-22", '[["Pacific/Kiritimati",0,0]]', "2026-11-21T10:00:00.000Z"),
        ("2026-11-22", '[["Etc/GMT+12",0,0]]', "2026-11-22T12:00:00.000Z"),
    ],
)
def test_a_day_and_a_month_begin_where_they_begin_for_the_tenant(text, zones, expected):
    """B9."""
    assert format_instant(instant(text, zones)) == expected


@pytest.mark.parametrize("text", ["noon", "2026-11-22T10:00:00", "2026-13-01", "2026-02-30", "2026-1-1", "2026-00", ""])
def test_what_names_no_time_says_what_to_write(text):
    with pytest.raises(UsageError, match="is no time; write a day as 2026-11-22"):
        instant(text, BERLIN)


def test_a_day_that_the_zone_skipped_is_no_day():
    """B9: at the date line, a day was left out."""
    with pytest.raises(UsageError, match="is no time"):
        instant("2011-12-30", '[["Pacific/Apia",0,0]]')


@pytest.mark.parametrize("command", ["show", "forecast"])
def test_a_cap_that_is_not_there_is_answered_with_the_closest(store, command):
    assert "the policy has no cap `dy`; did you mean `day`?" in refused(command, "--store", store, "--cap", "dy")
    assert "there are `account-money`, `day`, " in refused(command, "--store", store, "--cap", "0")


@pytest.mark.parametrize("command", ["show", "forecast", "reconcile", "simulate"])
def test_a_tenant_without_records_is_answered_with_those_that_have_some(store, tmp_path, command):
    """L5: the tenant asked for and no other."""
    file = [write_policy(tmp_path)] if command == "simulate" else []
    said = refused(command, *file, "--store", store, "--tenant", "globex")
    assert "tenant `globex` has no records; the store holds `acme`: choose one with --tenant" in said


@pytest.mark.parametrize("command", ["show", "forecast", "reconcile", "simulate"])
def test_an_empty_store_is_said_to_be_empty(tmp_path, command):
    samples.weighbridge(tmp_path / "empty.db").close()
    file = [write_policy(tmp_path)] if command == "simulate" else []
    said = refused(command, *file, "--store", tmp_path / "empty.db")
    assert "has no records; the store holds no records; a copy made without the `-wal` file" in said
    assert "is a folder; name a file in it" in refused(command, *file, "--store", tmp_path)
    assert "there is no store" in refused(command, *file, "--store", tmp_path / "none.db")


@pytest.mark.parametrize("command", ["show", "forecast"])
def test_a_policy_without_budgets_has_no_caps_to_show(tmp_path, command):
    """B8: and it blocks every operation, which is what to say."""
    with samples.weighbridge(tmp_path / "s.db", policy=samples.policy(budgets=None)) as wb:
        wb.gate(samples.context())
    said = refused(command, "--store", tmp_path / "s.db")
    assert "has no budgets, which blocks every operation (NO_APPLICABLE_CONFIG)" in said
    file = write_policy(tmp_path, budgets=None)
    assert "has no budgets for tenant `acme`" in refused(command, "--store", tmp_path / "s.db", "--policy", file)


def test_a_file_that_is_no_policy_is_refused_like_everywhere(store, tmp_path):
    assert "cannot be read" in refused("show", "--store", store, "--policy", tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(json.dumps(policy(caps=[])))
    assert "mistake" in refused("show", "--store", store, "--policy", tmp_path / "bad.json")


def test_the_policy_in_force_is_on_record_also_where_budgets_alone_are(store):
    """L4: which caps are in force needs no other source."""
    (line,) = run("budget", "show", "--store", store, "--cap", "day").lines
    assert (line["hard_cap"], line["soft_cap"]) == ("8", "4")


def test_the_policy_in_force_is_the_last_one(store):
    """B14: after a change of caps, the new ones are shown, on the counters that were there."""
    caps = [{"id": "day", "hard_cap": "5/day"}]
    with samples.weighbridge(
        store, samples.Clock(), policy=samples.policy(budgets={"time_zone": "Europe/Berlin", "caps": caps})
    ) as wb:
        wb.reserve(asked(30, "crm.note"))
    (line,) = run("budget", "show", "--store", store).lines
    assert (line["hard_cap"], line["usage"], line["verdict"]) == ("5", "5", "BLOCK")


def test_a_policy_that_was_erased_is_asked_for(store, tmp_path):
    """L6: nothing is guessed over content that is gone."""
    with samples.weighbridge(store, samples.Clock(), policy=policy()) as wb:
        hashes = [name for name, body in wb.reader.contents("acme") if body is not None]
        wb.erase_content(hashes, by=PERSON, reason="request", tenant_id="acme")
    said = refused("show", "--store", store)
    assert "does not hold the policy in force, version " in said
    assert "name it with --policy FILE" in said
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy()))
    assert len(run("budget", "show", "--store", store, "--policy", file).lines) == 9


def test_a_policy_that_was_changed_in_the_file_is_not_believed(store):
    """L3: its version is the hash of its text."""
    edit(store, "UPDATE content SET body = CAST(replace(CAST(body AS TEXT), '\"8\"', '\"9\"') AS BLOB)")
    assert "does not hold the policy in force" in refused("show", "--store", store)


def test_without_any_decision_no_policy_is_in_force(tmp_path):
    """A store that holds other facts only: nobody has asked for anything yet."""
    with samples.weighbridge(tmp_path / "s.db") as wb:
        wb.gate(samples.context())
        tenant_key = wb.reader.tenant_key("acme")
    assert tenant_key
    edit(tmp_path / "s.db", "UPDATE ledger_head SET policy_version = NULL")
    said = refused("show", "--store", tmp_path / "s.db")
    assert "no decision of tenant `acme` is on record, so no policy is in force; name one with --policy FILE" in said


def test_a_store_for_evaluation_is_looked_at_when_it_was_evaluated(tmp_path, monkeypatch):
    """B9: it holds the past; now is the time of its last decision, and the answer says what store it is."""
    late = samples.surroundings(samples.Clock(samples.NOW_MS + 400 * DAY_MS))
    with samples.weighbridge(tmp_path / "s.db", policy=policy(), purpose="evaluation") as wb:
        wb.reserve(asked(1, "crm.note", evaluation_time="2024-02-29T10:00:00Z"))
        wb.report_usage("op-1", {"USD": "0.01"}, tenant_id="acme")
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: late)
    (line,) = run("budget", "show", "--store", tmp_path / "s.db", "--cap", "day").lines
    assert (line["period"], line["usage"]) == ("2024-02-29", "1")
    told = run("budget", "show", "--store", tmp_path / "s.db", "--table").out
    assert "a store for evaluation" in " ".join(told.split())


def test_whoever_names_no_tenant_is_told_which_others_there_are(tmp_path, monkeypatch):
    """L5: `default` is a tenant like any other, and not the one that was meant, perhaps."""
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)
    with samples.weighbridge(tmp_path / "s.db", policy=policy()) as wb:
        for tenant in ("default", "globex"):
            wb.reserve(asked(1, "crm.note", tenant_id=tenant))
    show = ("budget", "show", "--store", tmp_path / "s.db", "--at", "2026-11-22")
    assert run(*show).err == "tenant `default`; the store also holds `globex`: choose one with --tenant\n"
    assert run(*show, "--tenant", "default").err == ""
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "globex")
    assert run(*show).err == ""


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("at", ["9999-12-31", "9999-12", "9999-12-31T23:59:59.999Z", "1970-01-01", "1970-01"])
def test_the_first_and_the_last_periods_are_periods(tmp_path, monkeypatch, zone, at):
    """B9: time ends with year 9999, and no command does with a traceback."""
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    store = spend(tmp_path / "s.db", policy=policy(time_zone=zone))
    file = write_policy(tmp_path, budgets=BUDGETS)
    for command in ("show", "forecast"):
        for options in ((), ("--policy", file)):
            ran = run("budget", command, "--store", store, "--at", at, *options)
            assert (ran.code, ran.err) == (0, "") or "nothing was" in ran.err
            assert ran.lines


def test_a_time_after_the_last_is_none(store):
    assert "is no time" in refused("show", "--store", store, "--at", "9999-12-31T23:59:59-14:00")


TAMPERED = {
    "UPDATE counter SET name = 'nonsense' WHERE name = 'operations 2026-11-22 any'": ("show", "forecast"),
    "UPDATE counter SET name = 'operations 2026-11-22 FREE x' WHERE name = 'operations 2026-11-22 any'": ("show",),
    "UPDATE counter SET reserved = '1' || replace(hex(zeroblob(2500)), '0', '1') WHERE name = 'operations 2026-11-22 any'": (
        "show",
        "forecast",
        "reconcile",
    ),
    "UPDATE consumption SET cell = 'nonsense' WHERE cell LIKE '%p-1%'": ("show --by tool",),
    "UPDATE consumption SET cell = '[1]' WHERE cell LIKE '%p-1%'": ("show --by tool",),
    "UPDATE ledger_head SET zones = 'x'": ("show", "forecast", "show --by tool"),
}


@pytest.mark.parametrize("sql", TAMPERED)
def test_a_row_that_nobody_of_ours_wrote_is_said_to_be_one(store, sql):
    """L3: what does not make sense is never a traceback; the check of the ledger says more."""
    edit(store, sql)
    for command in TAMPERED[sql]:
        ran = run("budget", *command.split(), "--store", store)
        assert (ran.code, ran.out) == (1, "")
        assert "run `weighbridge ledger verify`" in ran.err
        assert "Traceback" not in ran.err


def test_an_activation_over_cells_that_make_no_sense_is_a_refusal(store, tmp_path):
    """G2, L3: a new cap cannot be added up, so that nothing is decided."""
    edit(store, "UPDATE consumption SET cell = 'nonsense' WHERE cell LIKE '%p-1%'")
    caps = [*BUDGETS["caps"], samples.cap("new", "99/month", scope={"account": "each", "tool": "each"})]
    with (
        samples.weighbridge(store, policy=policy(caps=caps)) as wb,
        pytest.raises(Refusal, match="run `weighbridge ledger verify`"),
    ):
        wb.reserve({"tenant_id": "acme", "budget": {"operation": "crm.note"}})
