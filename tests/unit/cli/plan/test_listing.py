from __future__ import annotations

from tests.unit.cli.plan.desk import ALDGATE, BIRCH


def test_every_plan_by_id_or_those_of_a_status(desk):
    first, second = desk.approved(ALDGATE), desk.propose(BIRCH)
    assert [line["plan_id"] for line in desk.plan("list").lines] == [first, second]
    assert [line["plan_id"] for line in desk.plan("list", "--status", "draft").lines] == [second]
    both = desk.plan("list", "--status", "DRAFT", "--status", "APPROVED").lines
    assert [(line["status"], line["steps_done"], line["steps"]) for line in both] == [
        ("APPROVED", 0, 3),
        ("DRAFT", 0, 3),
    ]


def test_the_table_says_what_each_waits_for(desk):
    desk.propose()
    shown = desk.plan("list", "--table").out
    assert "DRAFT (submitted for approval)" in shown
    assert "0 of 3" in shown


def test_none_of_a_status(desk):
    desk.propose()
    ran = desk.plan("list", "--status", "EXPIRED", "--table")
    assert (ran.code, ran.out, ran.err) == (0, "", "tenant `default` has no plans of that status\n")


def test_there_is_no_such_status(desk):
    """Rule 7."""
    desk.propose()
    assert desk.plan("list", "--status", "DONE").code == 2
