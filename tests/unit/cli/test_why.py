from __future__ import annotations

import pytest

from tests import samples
from tests.command_line import run
from weighbridge.domain.decision import Blocked
from weighbridge.operations import scope


@pytest.fixture
def store(tmp_path):
    """A store with one run of every verdict and one operation that was blocked, for one account."""
    path = tmp_path / "s.db"
    with samples.weighbridge(path) as wb:
        wb.gate(samples.context(validation_run_id="run-allowed"))
        wb.gate(samples.warned_context(validation_run_id="run-warned"))
        wb.gate(samples.blocked_context(validation_run_id="run-blocked"))

        @wb.writeback("crm.update", target="crm", action="update", cost="MEDIUM")
        def update(renewal_id):
            return renewal_id

        closed = samples.blocked_context()
        with scope(
            tenant="acme",
            actor="renewal-agent",
            account="a-9",
            snapshot=closed["snapshot"]["fields"],
            data_sources=closed["data_sources"],
            evidence=closed["evidence"],
            references=closed["proposal"]["evidence"],
        ):
            with pytest.raises(Blocked):
                update.with_id("op-blocked")("r-9")
            with scope(snapshot=samples.context()["snapshot"]["fields"]):
                update.with_id("op-allowed")("r-8")
    return path


def why(store, identity, *options):
    return run("why", identity, "--store", store, *options)


def test_the_answer_comes_first(store):
    """L4: why this was blocked, from the ledger alone."""
    ran = why(store, "run-blocked", "--table")
    assert ran.code == 0
    assert ran.out.splitlines()[:3] == [
        "BLOCKED at BEFORE_EXTERNAL_WRITEBACK because",
        "  `renewal.status` is `closed`, and the action needs `open` (rule `open-only`)",
        ran.out.splitlines()[2],
    ]
    assert "crm.update by renewal-agent (agent), account a-1, plan p-1, step s-1" in ran.out
    assert "acting on the answer was the host's" in ran.out


def test_a_warning_is_explained_and_an_allow_needs_no_excuse(store):
    assert why(store, "run-warned", "--table").out.startswith(
        "WARNED at BEFORE_EXTERNAL_WRITEBACK because\n  crm data `crm:r-1` is 10 days old"
    )
    assert why(store, "run-allowed", "--table").out.startswith("ALLOWED at BEFORE_EXTERNAL_WRITEBACK\n")


def test_an_operation_is_one_story_with_its_end(store):
    """L4, G10: all runs of an operation and what became of it."""
    blocked = why(store, "op-blocked", "--table").out
    assert blocked.startswith("BLOCKED at BEFORE_STEP_EXECUTION and BEFORE_EXTERNAL_WRITEBACK because")
    assert blocked.count("is `closed`") == 3  # once in the answer, once for each choke point in the timeline
    assert "The call was not made. Its id is used up: to try with fresher data, take a new id." in blocked
    allowed = why(store, "op-allowed", "--table").out
    assert "The call was made, and completed." in allowed
    assert "OPERATION_COMPLETED" in allowed


@pytest.mark.parametrize("width", [80, 120])
def test_ids_and_event_names_are_in_one_piece_in_every_width(store, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    identity = "0193a7c2-4b1e-7c3a-9d52-1f6e8a0b4c77"
    with samples.weighbridge(store) as wb:
        wb.gate(samples.blocked_context(validation_run_id=identity, account_id="a-1"))
    told = why(store, "a-1", "--table").out
    assert max(map(len, told.splitlines())) <= width
    assert f"run {identity}" in told
    assert "2026-11-22 10:00:00" in told
    assert why(store, "op-blocked", "--table").out.count("BEFORE_STEP_EXECUTION  ") == 1


def test_an_account_says_how_many_of_its_runs_it_was(store):
    assert why(store, "a-1", "--table").out.startswith("BLOCKED, 1 of 3 runs, at BEFORE_EXTERNAL_WRITEBACK because")


def test_json_holds_the_whole_story(store):
    (story,) = why(store, "op-blocked", "--json").lines
    assert story["verdict"] == "BLOCK"
    assert story["state"] == "BLOCKED"
    assert story["kinds"] == ["operation"]
    assert story["because"] == ["`renewal.status` is `closed`, and the action needs `open` (rule `open-only`)"]
    assert [entry["type"] for entry in story["entries"]] == (["VALIDATOR_RUN"] * 4 + ["VALIDATOR_RUN_SUMMARY"]) * 2
    assert [block["choke_point"] for block in story["blocks"]] == ["BEFORE_STEP_EXECUTION", "BEFORE_EXTERNAL_WRITEBACK"]


def test_an_unknown_id_ends_with_2_and_says_where_else_to_look(store):
    with samples.weighbridge(store) as wb:
        wb.gate(samples.context(tenant_id="beta"))
    ran = why(store, "run-blocked", "--tenant", "beta")
    assert ran.code == 2
    assert ran.out == ""
    assert "no record of tenant `beta` knows `run-blocked`" in ran.err
    assert "the store also holds `acme`: choose one with --tenant" in ran.err


def test_a_story_of_one_tenant_shows_nothing_of_another(store):
    """L5: no read crosses a tenant."""
    with samples.weighbridge(store) as wb:
        wb.gate(samples.warned_context(tenant_id="beta", validation_run_id="run-blocked"))
    (story,) = why(store, "run-blocked", "--tenant", "beta", "--json").lines
    assert (story["tenant_id"], story["verdict"]) == ("beta", "WARN")
    assert all(entry["seq"] == 1 for entry in story["entries"])


def test_ids_from_agents_do_not_reach_the_terminal_as_they_are(store):
    with samples.weighbridge(store) as wb:
        wb.gate(samples.blocked_context(validation_run_id="\x1b[2J", account_id="\x1b[31m"))
    assert "\x1b" not in why(store, "\x1b[2J", "--table").out
