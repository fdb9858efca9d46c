"""What a contradiction rule looks at: one proposal beside the trusted state, and the cases the rule is limited to (C1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.domain.context import SnapshotField
from weighbridge.domain.paths import EACH, MISSING, Path
from weighbridge.policy.effective import Condition
from weighbridge.validators.values import typed_key


class Case:
    """One proposal beside the trusted state at one instant, and what was found so far."""

    __slots__ = ("_places", "arguments", "compared", "evaluation_time", "fields", "found")

    def __init__(
        self, arguments: dict[str, Any], fields: Mapping[str, SnapshotField], evaluation_time: str | None
    ) -> None:
        self.arguments: dict[str, Any] = arguments
        self.fields: Mapping[str, SnapshotField] = fields
        self.evaluation_time: str | None = evaluation_time
        self.compared: int = 0
        self.found: list[dict[str, Any]] = []
        self._places: dict[Path, list[str]] | None = None

    def place(self, path: Path, position: int) -> str:
        """Return where the ``position``-th match of a path stands; looked for only where there is something to report."""
        if self._places is None:
            self._places = {}
        if path not in self._places:
            self._places[path] = [match.place for match in path.find(self.arguments)]
        return self._places[path][position]


class Holds:
    """A condition of a rule: an equality on the proposal or on the trusted state."""

    __slots__ = ("_readings", "_snapshot", "_values")

    def __init__(self, condition: Condition, rule_path: Path | None) -> None:
        self._values = frozenset(typed_key(value) for value in condition.values)
        self._snapshot = condition.snapshot
        self._readings = () if condition.proposal is None else _readings(condition.proposal, rule_path)

    def holds(self, element: Any, case: Case) -> bool:
        """Return whether any value at the condition's path is one of its values; absence never is."""
        if self._snapshot is not None:
            found = self._snapshot.find(case.fields, element, case.arguments)
            return any(value is not MISSING and typed_key(value) in self._values for value in found)
        return any(
            typed_key(value) in self._values
            for path, from_element in self._readings
            for value, _ in path.values(element if from_element else case.arguments)
        )


def _readings(path: Path, rule_path: Path | None) -> tuple[tuple[Path, bool], ...]:
    """Return how a condition's path is read: from the element (True), from the arguments (False), or both.

    A path that runs through the rule's own ``[*]`` speaks of the same element; one that begins with ``$.`` of the arguments.
    Any other is read in both places, and holds where either does: an agent that adds a name to one place cannot switch the
    rule off in the other.
    """
    segments = path.segments
    if segments[0] == "$" and len(segments) > 1:
        return ((Path(path.text, segments[1:]), False),)
    rule_segments = rule_path.segments if rule_path is not None else ()
    if EACH not in rule_segments:
        return ((path, False),)
    size = len(rule_segments) - rule_segments[::-1].index(EACH)
    if segments[:size] == rule_segments[:size]:
        return ((Path(path.text, segments[size:]), True),)
    return (path, True), (path, False)
