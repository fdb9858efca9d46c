"""Sentences with labelled personal data, and business ids that look like some and are none.

The rule book is the list of entities; `policies/pii_presidio.yaml` declares those with a published form (P3: exact, listed,
no scoring, no model). The others (names, places, dates, phone numbers) have none and are counted as not expressible.

A labelled span is right when the sentence that holds it is blocked by a rule of its class; a sentence without a class is
right when no rule of that class speaks. An alarm on a business id that passes a checksum by chance cannot be told from a hit
by any exact rule: those ids have a row of their own, which names them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.framework import POLICIES, Judge, Row, Score, find, folders_with, read_lines

NAME = "pii_presidio"
_SENTENCES, _BUSINESS_IDS = "synth_dataset_v2", "hard_negatives"
_EVALUATION_TIME = "2026-01-01T00:00:00Z"
_CHECK_DIGITS = frozenset({"iban", "isin", "luhn", "verhoeff"})


def discover(root: Path) -> list[Path]:
    """Return every folder with labelled sentences or business ids."""
    return sorted({*folders_with(root, _SENTENCES), *folders_with(root, _BUSINESS_IDS)})


def run(folder: Path) -> list[Row]:
    """Judge every sentence as the text of an outgoing message."""
    guard, score = Guard(), Score(NAME)
    if (file := find(folder, _SENTENCES)) is not None:
        for number, record in enumerate(read_lines(file), start=1):
            _score_sentence(score, guard, f"{file.name}:{number}", record)
    if (file := find(folder, _BUSINESS_IDS)) is not None:
        for number, record in enumerate(read_lines(file), start=1):
            _score_business_id(score, guard, f"{file.name}:{number}", record)
    return score.rows()


class Guard:
    """The policy's value patterns, asked about a text."""

    def __init__(self) -> None:
        path = POLICIES / f"{NAME}.yaml"
        patterns = yaml.safe_load(path.read_text(encoding="utf-8"))["compliance"]["value_patterns"]
        self.classes: dict[str, str] = {pattern["id"]: pattern["class"] for pattern in patterns}
        self.with_check_digits = {pattern["id"] for pattern in patterns if pattern.get("checksum") in _CHECK_DIGITS}
        self._judge = Judge(path)

    def rules_that_speak(self, run_id: str, text: str) -> set[str]:
        """Return the ids of the patterns that found something in ``text``."""
        context = {
            "choke_point": "BEFORE_EXTERNAL_WRITEBACK",
            "tenant_id": "acceptance",
            "validation_run_id": run_id,
            "proposal": {"operation": "message.send", "arguments": {"text": text}},
            "evaluation_time": _EVALUATION_TIME,
        }
        violations = self._judge(context).result("compliance").details.get("violations", ())
        return {entry["rule"] for entry in violations if entry["reason"] == "PII_VALUE"}


def _score_sentence(score: Score, guard: Guard, case_id: str, record: dict[str, Any]) -> None:
    alarms = {guard.classes[rule] for rule in guard.rules_that_speak(case_id, record["full_text"])}
    labelled = [span["entity_type"] for span in record["spans"]]
    for entity in labelled:
        if entity in guard.classes.values():
            score.judged(entity, "BLOCK", case_id, right=entity in alarms)
        else:
            score.add(entity, "BLOCK", "not_expressible", case_id)
    for entity in sorted({*guard.classes.values()} - {*labelled}):
        score.judged(entity, "ALLOW", case_id, right=entity not in alarms)


def _score_business_id(score: Score, guard: Guard, case_id: str, record: dict[str, Any]) -> None:
    rules = guard.rules_that_speak(case_id, record["full_text"])
    by_chance = bool(rules) and rules <= guard.with_check_digits
    rule = "business ids that pass a checksum by chance" if by_chance else "business ids"
    score.judged(rule, "ALLOW", f"{record['kind']} {record['value']}", right=not rules)
