from __future__ import annotations

import shlex

from tests.command_line import run
from tests.unit.cli.plan.desk import ALDGATE, BIRCH, CEDAR, CONNECTOR, WHY
from weighbridge.examples.renewals import STEPS


def paused(desk):
    plan_id = desk.approved(BIRCH, steps=STEPS[1])
    desk.plan("run", plan_id, *CONNECTOR)
    return plan_id


def printed(ran, word):
    """Return the commands of the last lines that have a word."""
    return [
        shlex.split(line, comments=True) for line in ran.out.splitlines() if f" {word} " in line and "--store" in line
    ]


def test_the_whole_life_in_order_with_decisions_and_spend(desk):
    """L4, B10: from draft to end, one line for each record."""
    plan_id = desk.approved()
    desk.plan("run", plan_id, *CONNECTOR)
    plan, *rest = desk.plan("show", plan_id).lines
    assert (plan["plan"]["status"], plan["plan"]["objective"]) == ("COMPLETED", "keep Aldgate Bakery")
    assert [step["status"] for step in plan["plan"]["steps"]] == ["COMPLETED"] * 3
    events = [line["event"] for line in rest if "event" in line]
    assert [event["type"] for event in events] == [
        "PLAN_CREATED", "PLAN_SUBMITTED", "PLAN_APPROVED", "PLAN_ACTIVATED",
        *["STEP_STARTED", "STEP_COMPLETED"] * 3, "PLAN_COMPLETED",
    ]  # fmt: skip
    assert [event["verdict"] for event in events if event["verdict"]] == ["ALLOW"] * 4
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    spends = {line["spend"]["unit"]: line["spend"] for line in rest if "spend" in line}
    assert spends["pico_USD"] == {"unit": "pico_USD", "reserved": "20000000000", "used": "13200000000"}


def test_it_says_why_each_step_was_warned_of_or_blocked_and_what_explains_it(desk):
    """B10, F2, L4: every command it prints answers."""
    plan_id = paused(desk)
    ran = desk.plan("show", plan_id, "--table")
    shown = " ".join(ran.out.split())
    assert f"{plan_id} PAUSED (step `board-brief` was blocked)" in shown
    assert shown.count("is 10 days old") == 1
    assert "cap briefs: 0.02 of 0.03 USD used, and something did not fit" in shown
    asked = printed(ran, "why")
    answers = [run(*words[words.index("why") :]) for words in asked]
    assert [answer.lines[0]["verdict"] for answer in answers] == ["BLOCK", "WARN", "WARN"]


def test_a_paused_plan_says_what_a_person_can_do(desk):
    """H4: a budget is no matter of a permission; the plan can be resumed, the step be skipped, the plan be aborted."""
    plan_id = paused(desk)
    commands = printed(desk.plan("show", plan_id, "--table"), "plan")
    ways = [words[words.index("plan") + 1] for words in commands]
    assert ways == ["resume", "skip", "abort"]
    assert commands[1][commands[1].index("skip") + 1 :][:2] == [plan_id, "board-brief"]


def test_what_a_person_did_and_said(desk):
    """L2, L6: the words are content, and are told with who said them."""
    plan_id = paused(desk)
    desk.plan("skip", plan_id, "board-brief", "--by", "maria", "--reason", "one will do")
    (event,) = [
        one["event"] for one in desk.plan("show", plan_id).lines if one.get("event", {}).get("type") == "STEP_SKIPPED"
    ]
    assert (event["who"], event["words"], event["step_id"]) == ("maria", "one will do", "board-brief")
    assert "“one will do”" in desk.plan("show", plan_id, "--table").out


def test_an_approval_that_was_blocked_is_told(desk):
    """BEFORE_PLAN_APPROVAL: it is in the ledger, though the plan did not change."""
    plan_id = desk.propose(CEDAR)
    desk.plan("approve", plan_id, *desk.READ, "--by", "maria")
    event = [line["event"] for line in desk.plan("show", plan_id).lines if "event" in line][-1]
    assert (event["type"], event["verdict"]) == ("APPROVAL_BLOCKED", "BLOCK")
    assert run("why", event["why"], "--store", desk.store).lines[0]["verdict"] == "BLOCK"


def test_what_was_erased_is_said(desk):
    """L6: the document and the words are gone, the timeline stays."""
    plan_id = desk.approved()
    desk.plan("abort", plan_id, *WHY)
    run(
        "content", "erase", "--subject", plan_id, "--by", "dora", "--reason", "asked to", "--yes", "--store", desk.store
    )
    shown = desk.plan("show", plan_id, "--table")
    assert shown.code == 0
    assert "(its document was erased)" in shown.out
    assert "aborted, by maria" in shown.out
    assert "because" not in shown.out.replace("Because", "")


def test_no_such_plan(desk):
    """Rule 7."""
    desk.propose(ALDGATE)
    ran = desk.plan("show", "nix")
    assert (ran.code, "weighbridge plan list" in ran.err) == (2, True)
    other = run("plan", "show", "defend-r-1001", "--store", desk.store, "--tenant", "other")
    assert "the store also holds `default`" in other.err


def test_in_a_narrow_terminal_nothing_is_cropped(desk, monkeypatch):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", 60)
    shown = desk.plan("show", paused(desk), "--table").out
    assert "0.02 of 0.03 USD used" in shown
    assert "…" not in shown


def test_ids_from_agents_move_no_cursor(desk):
    """An id is told as text, also in the commands."""
    wild = desk.draft() | {"plan_id": "p\x1b[2J"}
    desk.plan("new", desk.write(wild))
    shown = desk.plan("show", "p\x1b[2J", "--table").out
    assert "\x1b" not in shown
    assert "p\\x1b[2J" in shown
