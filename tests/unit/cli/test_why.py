from __future__ import annotations

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import asked as request_for
from tests.unit.cli.budget.spending import policy, spend
from weighbridge.domain.decision import Blocked, WriteUnconfirmed
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens
from weighbridge.ledger.record import decode
from weighbridge.scopes import scope


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


# --- Budgets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spending(tmp_path):
    """A store with the spending of a day, and operations that were executed under a cap of one a day."""
    place = spend(tmp_path / "b.db")
    caps = [{"id": "one", "hard_cap": "1/day", "scope": {"account": "each"}}]
    with samples.weighbridge(tmp_path / "x.db", policy=samples.policy(budgets={"caps": caps})) as wb:
        note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: None)
        fine = samples.context()
        with scope(
            tenant="acme",
            actor="renewal-agent",
            account="a-1",
            snapshot=fine["snapshot"]["fields"],
            data_sources=fine["data_sources"],
            evidence=fine["evidence"],
            references=fine["proposal"]["evidence"],
        ):
            note.with_id("x-1")()
            with pytest.raises(Blocked):
                note.with_id("x-2")()
    return place


def test_a_budget_that_said_block_is_the_answer(spending):
    """L4, B10: which cap, what is used, what was asked for, when there is room again."""
    told = why(spending, "op-12", "--table").out
    assert told.startswith(
        "BLOCKED at the budget because\n"
        "  cap `dear` for tool `enrich` is used up: 2 of 2 operations on 2026-11-22, no room for 1 operation more\n"
        "  the day that `dear` counts in ends 2026-11-22 23:00:00 UTC\n"
        "enrich by renewal-agent (agent), account a-2, policy "
    )
    assert "Nothing was reserved, under any cap. Its id is used up: to ask again, take a new id." in told
    assert "The call was not made" not in told  # it was only asked: the host's to say
    (story,) = why(spending, "op-12", "--json").lines
    assert story["blocks"][0]["budget"]["ends_at"]["DAY"] == "2026-11-22T23:00:00.000Z"
    assert len(story["because"]) == 2


def test_an_executed_operation_that_its_budget_blocked_was_not_called(spending, tmp_path):
    """G10: both stand in one story; the run says what it said, and where to look on."""
    told = why(tmp_path / "x.db", "x-2", "--table").out
    assert told.startswith(
        "BLOCKED at the budget because\n  cap `one` for account `a-1` is used up: 1 of 1 operation on"
    )
    assert "The call was not made, and nothing was reserved, under any cap." in " ".join(told.split())
    assert "BEFORE_STEP_EXECUTION" in told
    run_story = why(tmp_path / "x.db", "x-2:BEFORE_STEP_EXECUTION", "--table").out
    assert run_story.startswith("ALLOWED at BEFORE_STEP_EXECUTION\n")
    assert "The budget of its operation x-2 said BLOCK (HARD_CAP_EXCEEDED)." in run_story
    assert "The call was made, and completed." in why(tmp_path / "x.db", "x-1", "--table").out


def test_what_was_reserved_used_and_given_back_is_told(spending):
    """L4, B7."""
    told = " ".join(why(spending, "op-11", "--table").out.split())
    assert told.startswith("ALLOWED at the budget enrich by renewal-agent (agent)")
    for part in ("enrich (EXPENSIVE): 1 operation, 2.00 USD", "used 0.50 of 2.00 USD", "gives back 1.50 USD"):
        assert part in told
    assert "WARNED at the budget because cap `day` is at 5 of 8 operations" in " ".join(
        why(spending, "op-15", "--table").out.split()
    )


def test_an_account_counts_its_budget_decisions(spending):
    told = why(spending, "a-2", "--table").out
    head = (
        "BLOCKED, 1 of 4 budget decisions, at the budget because\n  2026-11-22 10:00:00 enrich op-12:\n    cap `dear`"
    )
    assert told.startswith(head)
    assert "\nby renewal-agent (agent), policy " in told  # several operations: none of them is the answer's
    assert "the day that" not in told  # of one operation, it is an answer


@pytest.mark.parametrize("width", [80, 140])
def test_budgets_are_told_in_every_width(spending, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    for asked in ("op-12", "op-11", "a-2"):
        assert max(map(len, why(spending, asked, "--table").out.splitlines())) <= width


# --- Calls without an outcome, stated reasons, and many decisions -----------------------------------------------------


@pytest.fixture
def crashed(tmp_path, monkeypatch):
    """A store whose plan has a call that ended and one that was cut off, and an operation that can never fit."""
    caps = [
        {"id": "thinking", "scope": {"plan": "each"}, "hard_cap": "$0.10/plan", "settlement": True},
        {"id": "calls", "scope": {"account": "each"}, "hard_cap": "9/day", "justification": True},
        {"id": "tokens", "hard_cap": "5k tokens/day"},
    ]
    prices = {"currency": "USD", "models": {"m": {"input": "$5/1M tokens", "output": "$5/1M tokens"}}}
    place = tmp_path / "k.db"
    fine = samples.context()
    with samples.weighbridge(place, policy=samples.policy(budgets={"caps": caps, "prices": prices})) as wb:

        def reserves(tokens):
            return Tokens(input=tokens, output=500, model="m")

        note = wb.operation("crm.note", cost="CHEAP", action="note", reserves=reserves)(lambda tokens: None)
        with scope(
            tenant="acme",
            actor="renewal-agent",
            account="a-1",
            plan="p-1",
            justification="quarter \x1b[2Jend",
            snapshot=fine["snapshot"]["fields"],
            data_sources=fine["data_sources"],
            evidence=fine["evidence"],
            references=fine["proposal"]["evidence"],
        ):
            note.with_id("k-1")(1000)
            with monkeypatch.context() as killed:  # before it could say how it ended
                killed.setattr("weighbridge.executor.Executor._report", lambda *_: None)
                note.with_id("k-2")(1000)
            with pytest.raises(Blocked):
                note.with_id("k-3")(1_000_000)
    return place


def test_a_call_without_an_outcome_is_named_with_what_stays_reserved(crashed):
    """G10, L4: nobody knows whether it happened, and the plan's story says so first."""
    for asked in ("p-1", "a-1"):
        head = why(crashed, asked, "--table").out.split(" Record ")[0]
        call = "1 call has no outcome on record: k-2 (1 operation, 1,500 tokens, 0.0075 USD stay reserved)\n"
        assert call in head
        assert why(crashed, asked, "--json").lines[0]["pending"] == [
            {
                "operation_id": "k-2",
                "operation": "crm.note",
                "seq": 3,
                "at": "2026-11-22T10:00:00.000Z",
                "reserved": {"operations": "1", "tokens": "1500", "pico_USD": "7500000000"},
                "settles": ["thinking"],
            }
        ]
    told = why(crashed, "k-2", "--table").out
    assert "how it ended is not on record (OUTCOME_UNKNOWN)" in told
    assert "stay reserved; a report of use gives back what was not used of it to `thinking`" in " ".join(told.split())
    assert "no outcome" not in why(crashed, "k-1", "--table").out


def test_a_report_of_use_settles_a_call_without_an_outcome(crashed):
    """B7: once; its outcome stays unknown."""
    with samples.weighbridge(crashed) as wb:
        wb.report_usage("k-2", {"USD": "0.0025", "tokens": 500}, tenant_id="acme")
    (call,) = why(crashed, "p-1", "--json").lines[0]["pending"]
    assert (call["reserved"], call["settles"]) == (
        {"operations": "1", "tokens": "1500", "pico_USD": "2500000000"},  # no cap on tokens settles
        [],
    )
    assert "no report of use gives any of it back" in why(crashed, "k-2", "--table").out


def test_what_was_only_asked_has_no_outcome_to_miss(spending):
    """G10: acting on it was the host's."""
    assert why(spending, "a-2", "--json").lines[0]["pending"] == []


def test_the_stated_reason_is_told_until_it_is_erased(crashed):
    """B13, L6: safe on a terminal, whole in JSON."""
    told = why(crashed, "k-2", "--table").out
    assert told.count("stated reason: quarter \\x1b[2Jend\n") == 2  # in the answer, and where it was stated
    (story,) = why(crashed, "k-2", "--json").lines
    assert [entry["justification"] for entry in story["entries"] if "justification" in entry] == [
        {"text": "quarter \x1b[2Jend"}
    ]
    assert "quarter" in run("ledger", "show", 3, "--store", crashed, "--table").out
    with samples.weighbridge(crashed) as wb:
        (entry,) = [one for one in wb.why("k-2", "acme").entries if one.justification]
        stored = wb.reader.record("acme", entry.seq)
        contents = [event.get("content", {}) for event in decode(stored.body).events]
        hashes = {content["justification"] for content in contents if "justification" in content}
        wb.erase_content([*hashes], by=Principal(id="dana", person=True), reason="request", tenant_id="acme")
    assert "stated reason: (erased)" in why(crashed, "k-2", "--table").out
    (story,) = why(crashed, "k-2", "--json").lines
    assert {"text": None} in [entry.get("justification") for entry in story["entries"]]


def test_what_can_never_fit_is_not_told_to_wait(crashed, tmp_path):
    """B10: no period has room for it, also where another cap is used up."""
    caps = [{"id": "one", "hard_cap": "1/day"}, {"id": "tokens", "hard_cap": "5k tokens/day"}]
    with samples.weighbridge(tmp_path / "n.db", policy=samples.policy(budgets={"caps": caps})) as wb:
        for number, tokens in enumerate((1, 9000)):
            wb.reserve(request_for(number, "crm.note", budget={"operation": "crm.note", "amounts": {"tokens": tokens}}))
    told = why(tmp_path / "n.db", "op-1", "--table").out
    assert "cap `one` is used up" in told
    assert " ends " not in told
    told = " ".join(why(crashed, "k-3", "--table").out.split())
    assert "1,000,500 tokens can never fit under cap `tokens`, which allows 5,000 tokens a day" in told
    assert " ends " not in told


def test_of_many_decisions_each_reason_names_its_own_the_newest_first(spending, monkeypatch):
    """L4: which operation, and when."""
    with samples.weighbridge(spending, samples.Clock(samples.NOW_MS + 60_000), policy=policy()) as wb:
        wb.reserve(request_for(20, "enrich", "a-2"))
        wb.reserve(request_for(21, "nobody.knows", "a-2"))
    told = why(spending, "a-2", "--table").out
    heads = ["10:01:00 nobody.knows op-21:", "10:01:00 enrich op-20:", "10:00:00 enrich op-12:"]
    assert [told.index(f"  2026-11-22 {head}") for head in heads] == sorted(told.index(head) - 13 for head in heads)
    assert why(spending, "a-2", "--json").lines[0]["because"][0] == "nobody registered an operation `nobody.knows`"
    monkeypatch.setattr("weighbridge.cli.why.REASONS_SHOWN_MAX", 1)
    assert "and 2 before: --all" in why(spending, "a-2", "--table").out
    assert "before: --all" not in why(spending, "a-2", "--table", "--all").out


def test_validators_without_anything_to_judge_are_one_line(tmp_path):
    nothing = {"snapshot": None, "data_sources": None, "evidence": None, "choke_point": "BEFORE_EXPENSIVE_READ"}
    with samples.weighbridge(tmp_path / "s.db") as wb:
        wb.gate(samples.context(validation_run_id="run-1", **nothing))
    place = tmp_path / "s.db"
    idle = [one for one in why(place, "run-1").lines[0]["entries"] if one.get("reasons") == ["NOT_APPLICABLE"]]
    assert len(idle) > 1
    names = ", ".join(one["fields"]["validator"] for one in idle)
    assert f"{names}: nothing to judge" in " ".join(why(place, "run-1", "--table").out.split())
    for every in (
        why(place, "run-1", "--table", "--all").out,
        run("ledger", "show", 1, "--store", place, "--table").out,
    ):
        assert " ".join(every.split()).count("there is nothing here that this validator has to judge") == len(idle)


class TestReadBack:
    """L4, L6: what a target stores instead is told from the ledger, with the values for as long as they are kept."""

    @pytest.fixture
    def written(self, tmp_path):
        """A store with three writes: stored as asked, stored otherwise, and not read back."""
        path = tmp_path / "s.db"
        stored: dict[str, str] = {}
        with samples.weighbridge(path, policy=samples.policy(operations={})) as wb:

            def read_back(value, renewal_id, note):
                if note == "broken":
                    raise TimeoutError
                return stored

            @wb.writeback("crm.note", target="crm", action="note", read_back=read_back)
            def write(renewal_id, note):
                stored.update(renewal_id=renewal_id, note=note[:4])

            about = samples.context()
            with scope(
                tenant="acme",
                snapshot=about["snapshot"]["fields"],
                data_sources=about["data_sources"],
                evidence=about["evidence"],
                references=about["proposal"]["evidence"],
            ):
                write.with_id("op-kept")("r-1", "ring")
                for name, note in (("op-cut", "ring Ms Miller"), ("op-broken", "broken")):
                    with pytest.raises(WriteUnconfirmed):
                        write.with_id(name)("r-1", note)
        return path

    def test_what_differs_is_said_with_its_values(self, written):
        told = why(written, "op-cut", "--table").out
        assert told.startswith("ALLOWED at BEFORE_STEP_EXECUTION and BEFORE_EXTERNAL_WRITEBACK and the budget\n")
        assert "The call was made, and its target stores something else than was asked." in told
        assert '`note` was asked as "ring Ms Miller", and "ring" is stored' in told

    def test_what_is_not_known_is_said(self, written):
        """G10: it may have happened."""
        told = why(written, "op-broken", "--table").out
        assert "The call was made." in told
        assert "it may be stored or not: look at the target" in told
        assert "error TimeoutError" in told

    def test_what_is_confirmed_is_said(self, written):
        told = why(written, "op-kept", "--table").out
        assert "The call was made, and completed." in told
        assert "stored as asked: note, renewal_id" in " ".join(told.split())

    def test_json_has_the_values_until_they_are_erased(self, written):
        def ended():
            (story,) = why(written, "op-cut", "--json").lines
            return story["entries"][-1]

        assert ended()["reasons"] == ["WRITE_NOT_STORED"]
        assert ended()["fields"]["differs"] == ["note"]
        assert ended()["read_back"] == {"values": {"asked": {"note": "ring Ms Miller"}, "stored": {"note": "ring"}}}
        with samples.weighbridge(written, policy=samples.policy(operations={})) as wb:
            said = [event for record in wb.reader.records("acme") for event in decode(record.body).events]
            (content,) = [event["content"]["read_back"] for event in said if "differs" in event]
            wb.erase_content([content], by=Principal(id="maria", person=True), reason="asked to", tenant_id="acme")
        assert ended()["read_back"] == {"values": None}
        assert "`note` is stored otherwise than asked (the values were erased)" in why(written, "op-cut", "--table").out


class TestPlans:
    """L4: from the id of a plan or a step, the whole story in order."""

    @pytest.fixture
    def ledger(self, tmp_path):
        from weighbridge.examples import renewals
        from weighbridge.policy.loader import load_policy

        path = tmp_path / "plans.db"
        with samples.weighbridge(path, policy=load_policy(renewals.policy_text(), "p")) as wb:
            renewals.tell(wb, tenant="acme", now_ms=samples.NOW_MS)
        return path

    def test_a_plan_is_told_in_words(self, ledger):
        shown = why(ledger, "defend-r-1002", "--table").out
        assert shown.startswith("BLOCKED, 0 of 9 runs and 1 of 4 budget decisions, at the budget because")
        told = " ".join(shown.split())
        for sentence in ("drafted: 4 steps", "paused: step `board-brief` was blocked", "maria: one brief will do"):
            assert sentence in told
        assert told.index("drafted") < told.index("paused") < told.index("completed: all steps")

    def test_a_step_is_unique_in_its_plan_alone(self, ledger):
        everywhere = why(ledger, "brief").lines[0]
        here = why(ledger, "brief", "--plan", "defend-r-1001").lines[0]
        assert {entry["fields"]["plan_id"] for entry in everywhere["entries"]} == {"defend-r-1001", "defend-r-1002"}
        assert {entry["fields"]["plan_id"] for entry in here["entries"]} == {"defend-r-1001"}
        assert [entry["type"] for entry in here["entries"] if entry["type"].startswith("STEP")] == [
            "STEP_STARTED",
            "STEP_COMPLETED",
        ]

    def test_a_step_of_another_plan_is_not_found(self, ledger):
        """Rule 7."""
        ran = why(ledger, "board-brief", "--plan", "defend-r-1001")
        assert (ran.code, "no record of plan `defend-r-1001`" in ran.err) == (2, True)

    def test_what_a_person_said_is_told_until_it_is_erased(self, ledger):
        """L6: the words are content."""
        (skipped,) = [one for one in why(ledger, "defend-r-1002").lines[0]["entries"] if one["type"] == "STEP_SKIPPED"]
        assert skipped["words"] == {"text": "one brief will do"}
        run("content", "erase", "--subject", "defend-r-1002", "--by", "d", "--reason", "r", "--yes", "--store", ledger)
        (gone,) = [one for one in why(ledger, "defend-r-1002").lines[0]["entries"] if one["type"] == "STEP_SKIPPED"]
        assert gone["words"] == {"text": None}
        assert "maria: (erased)" in why(ledger, "defend-r-1002", "--table").out
