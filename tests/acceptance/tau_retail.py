"""tau_retail: proposed changes of a shop's orders, judged by the shop's rule book.

Two kinds of records lie in a folder. The *matrix* proposes well-formed writes against a fresh copy of the order database
and says what the shop's own tool answers; the *gold tasks* are lists of correct calls, each replayed on a fresh copy.

``tau_retail_database`` looks up and reshapes; ``policies/tau_retail.yaml`` judges.

In a replay a write that was judged ALLOW moves the database as requested, and a blocked one moves nothing (C4).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.acceptance.framework import (
    POLICIES,
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
from tests.acceptance.tau_retail_database import Shop
from weighbridge.domain.verdict import Verdict

NAME = "tau_retail"

# Which of our rules must be among those that fire, by what the tool says was wrong. A category that is not listed here is
# right when any rule fires.
_RULES_OF_CATEGORY = {
    "STATUS": {"pending-only", "delivered-only"},
    "REASON_NOT_ALLOWED": {"cancel-reason"},
    "PAYMENT_NOT_IN_PROFILE": {"payment-in-profile"},
    "NO_CHANGE": {"new-payment-differs"},
    "REFUND_METHOD": {"refund-method"},
    "ITEM_UNAVAILABLE_OR_OTHER_PRODUCT": {"same-product", "new-item-available"},
    "BALANCE": {"balance"},
}


def discover(root: Path) -> list[Path]:
    """Return the folders that hold an order database and writes on it."""
    found = folders_with(root, "db_orders", "db_users")
    return [folder for folder in found if find(folder, "state_action_matrix") or find(folder, "gold_tasks")]


def run(folder: Path) -> list[Row]:
    """Judge the matrix, by its status rules alone and by all rules, and replay the gold tasks."""
    shop = Shop(
        orders=read_json(find_reference(folder, "db_orders")),
        users=read_json(find_reference(folder, "db_users")),
        products=read_json(find_reference(folder, "db_products")),
    )
    document = yaml.safe_load((POLICIES / "tau_retail.yaml").read_text(encoding="utf-8"))
    score = Score(NAME)
    if (matrix := find(folder, "state_action_matrix")) is not None:
        records = list(read_lines(matrix))
        _score_status_alone(score, shop, records, Judge(only_requires_state(document)))
        _score_matrix(score, shop, records, Judge(document))
    if (gold := find(folder, "gold_tasks")) is not None:
        _score_gold(score, shop, read_lines(gold), Judge(document))
    return score.rows()


def only_requires_state(document: Document) -> Document:
    """Return the policy with no contradiction rules but those about an order's status."""
    reduced = copy.deepcopy(document)
    section = reduced["contradiction"]
    section["rules"] = [rule for rule in section["rules"] if rule["rule"] == "requires_state"]
    return reduced


def _score_status_alone(score: Score, shop: Shop, records: list[Document], judge: Judge) -> None:
    for record in records:
        case = record["case_id"]
        decision = judge(shop.context(case, record["tool"], record["args"]))
        if record["expected"] == "ALLOW":
            score.judged("status rules alone", "ALLOW", case, right=decision.verdict is Verdict.ALLOW)
        elif record["category"] == "STATUS":
            score.judged("status rules alone", "BLOCK", case, right=decision.verdict is Verdict.BLOCK)


def _score_matrix(score: Score, shop: Shop, records: list[Document], judge: Judge) -> None:
    for record in records:
        case = record["case_id"]
        decision = judge(shop.context(case, record["tool"], record["args"]))
        if record["expected"] == "ALLOW":
            score.judged("allowed by the tool", "ALLOW", case, right=decision.verdict is Verdict.ALLOW)
            continue
        blocked = decision.verdict is Verdict.BLOCK
        score.judged("refused by the tool", "BLOCK", case, right=blocked)
        if category := record["category"]:
            wanted = _RULES_OF_CATEGORY.get(category, decision.rules)
            score.judged(category, "BLOCK", case, right=blocked and bool(wanted & decision.rules))


def _score_gold(score: Score, shop: Shop, tasks: Iterator[Document], judge: Judge) -> None:
    for task in tasks:
        replay = shop.copy_for(task["calls"])
        for index, call in enumerate(task["calls"]):
            if not call["is_write"]:
                continue
            case = f"{task['task_id']}-{index}"
            allowed = judge(replay.context(case, call["tool"], call["args"])).verdict is Verdict.ALLOW
            if allowed:
                replay.apply(call["tool"], call["args"])
            # The benchmark's own list is wrong where its own tool refuses; nothing is expected there.
            if call["env_error"] is None:
                score.judged("gold writes", "ALLOW", case, right=allowed)
