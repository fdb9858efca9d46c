"""What every record set of the acceptance run shares: rows, finding data, reading it, and asking for a judgement.

A record set is a module with three names::

    NAME = "tau_retail"                          # the `set` of its rows
    def discover(root: Path) -> list[Path]       # the folders at or below `root` that hold such records
    def run(folder: Path) -> list[Row]           # judge every record in one folder

Sets find their folders by the shape of the files, assume no counts, and take the expected answers from the records. What a
record expects is read only after the judgement, to score it: a proposal or a snapshot is never built from it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

import weighbridge
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.verdict import Verdict

POLICIES = Path(__file__).parent / "policies"
"""Where the policies stand, one per set, each written from the record set's own rule book."""

Document = dict[str, Any]
"""A JSON object of the records or of a request."""

Outcome = Literal["right", "wrong", "not_expressible", "undetermined"]
"""What one case adds to its row. `not_expressible` is never a pass; `undetermined` needs a fact outside the records."""

_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".txt", ".txt.gz")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how the cases that one rule decides were judged.

    ``expected`` is ``ALLOW`` or ``BLOCK``; the four counts are disjoint; ``wrong_cases`` names what is counted as wrong.
    """

    set: str
    rule: str
    expected: str
    right: int
    wrong: int
    not_expressible: int
    undetermined: int
    wrong_cases: tuple[str, ...]


@dataclass(slots=True)
class Score:
    """Counts cases into rows."""

    name: str
    _counts: dict[tuple[str, str], dict[Outcome, list[str]]] = field(default_factory=dict)

    def add(self, rule: str, expected: str, outcome: Outcome, case_id: str) -> None:
        """Count one case under a rule."""
        self._counts.setdefault((rule, expected), {}).setdefault(outcome, []).append(case_id)

    def judged(self, rule: str, expected: str, case_id: str, *, right: bool) -> None:
        """Count one case as right or wrong under a rule."""
        self.add(rule, expected, "right" if right else "wrong", case_id)

    def rows(self) -> list[Row]:
        """Return the rows counted so far: what must be allowed first, then by rule."""
        counted = sorted(self._counts.items(), key=lambda item: (item[0][1], item[0][0]))
        return [_row(self.name, rule, expected, cases) for (rule, expected), cases in counted]


def _row(name: str, rule: str, expected: str, cases: dict[Outcome, list[str]]) -> Row:
    return Row(
        set=name,
        rule=rule,
        expected=expected,
        right=len(cases.get("right", ())),
        wrong=len(cases.get("wrong", ())),
        not_expressible=len(cases.get("not_expressible", ())),
        undetermined=len(cases.get("undetermined", ())),
        wrong_cases=tuple(cases.get("wrong", ())),
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one record."""

    verdict: Verdict
    results: tuple[ValidatorResult, ...]

    def result(self, validator: str) -> ValidatorResult:
        """Return the result of one validator."""
        return next(result for result in self.results if result.validator == validator)

    @property
    def rules(self) -> frozenset[str]:
        """Return the ids of the contradiction rules that were broken."""
        found = self.result("contradiction").details.get("contradictions", ())
        return frozenset(entry["rule"] for entry in found)


class Judge:
    """A policy that can be asked about contexts: a Weighbridge on a store in memory."""

    def __init__(self, policy: Path | Document) -> None:
        self._weighbridge = weighbridge.open(policy, ":memory:", purpose="evaluation")
        self._runs = itertools.count(1)

    def __call__(self, context: Document) -> Decision:
        """Return the decision about one context, given as JSON."""
        # Runs are numbered here: ids in records made by others need not be unique (G3).
        decision = self._weighbridge.gate({**context, "validation_run_id": f"run-{next(self._runs)}"})
        return Decision(decision.verdict, decision.results)


def judge(policy: Path | Document, context: Document) -> Decision:
    """Return the decision of a policy about one context. For many contexts make one `Judge`."""
    return Judge(policy)(context)


class RecordSet(Protocol):
    """What the runner asks of a module."""

    NAME: str

    def discover(self, root: Path) -> list[Path]:
        """Return the folders at or below ``root`` that hold records of this kind."""

    def run(self, folder: Path) -> list[Row]:
        """Judge the records in one folder."""


def folders_with(root: Path, *stems: str) -> list[Path]:
    """Return every folder at or below ``root``, sorted, that holds a file for each of ``stems`` (see :func:`find`)."""
    folders = {root, *(path for path in root.rglob("*") if path.is_dir())}
    return sorted(folder for folder in folders if all(find(folder, stem) for stem in stems))


def find(folder: Path, stem: str) -> Path | None:
    """Return the file ``stem`` in a folder, whichever of the known endings it has, packed or not."""
    return next((path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def find_reference(folder: Path, stem: str) -> Path:
    """Return a file of reference data: in the folder, or else in a folder beside it or beside its parent.

    Reference data (flights, products) is the same for every split of a record set, so a split may come without it.

    Raises:
        FileNotFoundError: it is nowhere there.
    """
    candidates = (folder, *sorted(folder.parent.glob("*/")), *sorted(folder.parent.parent.glob("*/")))
    for candidate in candidates:
        if (path := find(candidate, stem)) is not None:
            return path
    message = f"no `{stem}` in {folder} or beside it"
    raise FileNotFoundError(message)


def read_text(path: Path) -> str:
    """Return the text of a file, unpacked where its name says that it is packed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")


def read_json(path: Path) -> Any:
    """Return the one JSON value in a file."""
    return json.loads(read_text(path))


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the JSON value of every line that is not empty."""
    yield from (json.loads(line) for line in read_text(path).split("\n") if line.strip())


def data_root() -> Path:
    """Return the folder of the records: ``WEIGHBRIDGE_DATA``, or ``../shared/data`` beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("WEIGHBRIDGE_DATA", beside))


def rows_or_skip(record_set: RecordSet) -> list[Row]:
    """Return the rows of a set over every folder found, for the tests; skip loudly, naming the folder, where there is none."""
    root = data_root()
    folders = record_set.discover(root)
    if not folders:
        pytest.skip(
            f"no records of `{record_set.NAME}` at or below {root}; set WEIGHBRIDGE_DATA to a folder that has them"
        )
    return merge(row for folder in folders for row in record_set.run(folder))


def merge(rows: Iterable[Row]) -> list[Row]:
    """Return rows with those of the same set, rule and expectation added up: one set may lie in several folders."""
    merged: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.set, row.rule, row.expected)
        merged[key] = _add(merged[key], row) if key in merged else row
    return list(merged.values())


def _add(one: Row, other: Row) -> Row:
    return Row(
        set=one.set,
        rule=one.rule,
        expected=one.expected,
        right=one.right + other.right,
        wrong=one.wrong + other.wrong,
        not_expressible=one.not_expressible + other.not_expressible,
        undetermined=one.undetermined + other.undetermined,
        wrong_cases=(*one.wrong_cases, *other.wrong_cases),
    )


def write_context(case_id: str, operation: str, arguments: Any, snapshot: Any, *, evaluation_time: str) -> Document:
    """Return a context for the writeback choke point, without evidence; ``snapshot`` maps fields to (value, source type)."""
    fields = {name: {"value": value, "source_type": kind} for name, (value, kind) in snapshot.items()}
    return {
        "choke_point": "BEFORE_EXTERNAL_WRITEBACK",
        "tenant_id": "acceptance",
        "validation_run_id": case_id,
        "proposal": {"operation": operation, "arguments": arguments},
        "snapshot": {"fields": fields},
        "evaluation_time": evaluation_time,
    }
