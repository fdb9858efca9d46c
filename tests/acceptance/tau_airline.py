"""tau_airline: writes that a language model really made on a reservation database, judged by the airline's rule book.

The records are episodes of write calls, each with the record locators that the agent had read by then, and corrected lists
of calls that break no rule. ``tau_airline_database`` looks up and reshapes them; ``policies/tau_airline.yaml`` judges.

Earlier writes of an episode are applied as they were requested. The API "does not check" the rule book, so a write that
breaks it still moves the database; one that breaks a rule which the API checks too (``tool-…``) does not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.acceptance.framework import (
    POLICIES,
    Decision,
    Document,
    Judge,
    Row,
    Score,
    find,
    find_reference,
    folders_with,
    read_json,
    read_lines,
)
from tests.acceptance.tau_airline_database import Airline, locator_of, locators, reference
from weighbridge.domain.verdict import Verdict

NAME = "tau_airline"

# Which of our rules must be among those that fire, by the rule id of the records. One that is not listed here is right when
# any rule fires.
_RULES_OF_LABEL = {
    "DESTINATION_CHANGED": {"same-origin", "same-destination", "still-returns", "still-goes-there"},
    "BASIC_ECONOMY_FLIGHT_CHANGE": {"basic-economy-keeps-flights"},
    "SEGMENT_ALREADY_FLOWN": {"no-segment-flown"},
    "NOT_ENOUGH_SEATS": {"tool-seats"},
    "GT1_CERTIFICATE": {"one-certificate"},
    "CERTIFICATE_FOR_UPDATE": {"tool-update-by-card"},
    "CANCEL_NOT_ELIGIBLE": {"cancel-within-a-day"},
}

# "... 1 free checked bag for each economy passenger ... If the booking user is a silver member, ...": a table of allowances
# by tier and cabin, times the passengers. No rule kind multiplies, and an adapter that did would judge.
_NOT_EXPRESSIBLE = {"NONFREE_BAGGAGE_MISMATCH"}


def discover(root: Path) -> list[Path]:
    """Return the folders that hold a reservation database and writes on it."""
    found = folders_with(root, "db_reservations", "db_users")
    return [folder for folder in found if find(folder, "write_calls") or find(folder, "gold_tau2_must_allow")]


def run(folder: Path) -> list[Row]:
    """Replay the episodes and the corrected lists."""
    airline = Airline(
        reservations=read_json(find_reference(folder, "db_reservations")),
        users=read_json(find_reference(folder, "db_users")),
        flights=read_json(find_reference(folder, "db_flights")),
    )
    judge = Judge(POLICIES / "tau_airline.yaml")
    score = Score(NAME)
    if (calls := find(folder, "write_calls")) is not None:
        for episode in _episodes(read_lines(calls)):
            _score_episode(score, airline.fork(), episode, judge)
    if (gold := find(folder, "gold_tau2_must_allow")) is not None:
        for task in read_lines(gold):
            _score_gold(score, airline.fork(), task, judge)
    return score.rows()


def _episodes(records: Iterable[Document]) -> Iterator[list[Document]]:
    def episode(record: Document) -> tuple[str, int]:
        return str(record["task_id"]), record["trial"]

    for _, found in itertools.groupby(
        sorted(records, key=lambda r: (episode(r), r["message_index"], r["seq"])), episode
    ):
        yield list(found)


def _score_episode(score: Score, airline: Airline, episode: list[Document], judge: Judge) -> None:
    for record in episode:
        case, tool, arguments = record["case_id"], record["tool"], record["args"]
        read = [item["locator"] for item in record["evidence"]]
        context = airline.context(case, tool, arguments, record["required_locators"], read)
        decision = judge(context)
        _score_rules(score, record, decision)
        _score_grounding(score, record, decision)
        _score_leave_one_out(score, record, context, judge)
        _apply(airline, tool, arguments, decision)


def _score_rules(score: Score, record: Document, decision: Decision) -> None:
    expected, case = record["expected"], record["case_id"]
    broken = decision.result("contradiction").result is Verdict.BLOCK
    if labels := expected["contradiction_block"]:
        for label in labels:
            wanted = _RULES_OF_LABEL.get(label, decision.rules)
            _judged_unless(
                score, label, case, inexpressible=label in _NOT_EXPRESSIBLE, right=bool(wanted & decision.rules)
            )
        _judged_unless(
            score, "writes that break a rule", case, inexpressible=set(labels) <= _NOT_EXPRESSIBLE, right=broken
        )
    elif expected["undetermined"]:
        for label in expected["undetermined"]:
            score.add(label, "BLOCK", "undetermined", case)
    elif record["env_error"]:
        score.judged("refused by the API alone", "BLOCK", case, right=broken)
    elif not expected["ungrounded_locators"]:
        score.judged("clean writes", "ALLOW", case, right=decision.verdict is Verdict.ALLOW)


def _judged_unless(score: Score, rule: str, case: str, *, inexpressible: bool, right: bool) -> None:
    if inexpressible:
        score.add(rule, "BLOCK", "not_expressible", case)
    else:
        score.judged(rule, "BLOCK", case, right=right)


def _score_grounding(score: Score, record: Document, decision: Decision) -> None:
    never_read = record["expected"]["ungrounded_locators"]
    if never_read:
        right = _ungrounded(decision) == set(never_read)
        score.judged("grounding: locators never read", "BLOCK", record["case_id"], right=right)
    else:
        right = decision.result("grounding").result is Verdict.ALLOW
        score.judged("grounding: everything was read", "ALLOW", record["case_id"], right=right)


def _score_leave_one_out(score: Score, record: Document, context: Document, judge: Judge) -> None:
    """Judge again without the evidence of one locator, for each: that one, and no other, must be named as unknown."""
    unread = set(record["expected"]["ungrounded_locators"])
    for locator in record["required_locators"]:
        case = f"{record['case_id']}-without-{locator}"
        left_out = reference(locator)
        rest = [item for item in context["evidence"] if item["reference"] != left_out]
        decision = judge({**context, "validation_run_id": case, "evidence": rest})
        score.judged(
            "grounding: one locator left out", "BLOCK", case, right=_ungrounded(decision) == {locator, *unread}
        )


def _ungrounded(decision: Decision) -> set[str]:
    """Return the references that grounding names as unknown, or none where it names anything else or does not block."""
    result = decision.result("grounding")
    failures = result.details.get("failures", [])
    if result.result is not Verdict.BLOCK or any(failure["reason"] != "UNKNOWN_EVIDENCE" for failure in failures):
        return set()
    return {locator_of(failure["reference"]) for failure in failures}


def _score_gold(score: Score, airline: Airline, task: Document, judge: Judge) -> None:
    for index, action in enumerate(task["actions"]):
        if not action["is_write"]:
            continue
        case, tool, arguments = f"{task['task_id']}-{index}", action["tool"], action["args"]
        # A corrected list does not say what was read before each write; that is not what it is about.
        needed = locators(arguments)
        decision = judge(airline.context(case, tool, arguments, needed, needed))
        score.judged("corrected gold writes", "ALLOW", case, right=decision.verdict is Verdict.ALLOW)
        _apply(airline, tool, arguments, decision)


def _apply(airline: Airline, tool: str, arguments: Document, decision: Decision) -> None:
    if not any(rule.startswith("tool-") for rule in decision.rules):
        airline.apply(tool, arguments)
