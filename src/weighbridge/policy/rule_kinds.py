"""The kinds of contradiction rules (C1), each with its own parameters and no others.

What two parameters exclude each other, and what is compared with what, stands at the kind. How they judge is the
validator's business; compiled they are one record (`effective.ContradictionRule`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from weighbridge.policy.leaves import (
    AnyOf,
    Count,
    Many,
    Maybe,
    Name,
    Number,
    Ordering,
    Part,
    ProposalPath,
    Scalar,
    Severity,
    SignedDuration,
    Size,
    SnapshotText,
)


class Case(Part):
    """One condition of a rule: the value at a path of the proposal, or of the snapshot, equals one of the values."""

    alternatives: ClassVar[tuple[str, ...]] = ("field", "snapshot")

    field: Maybe[ProposalPath] = None
    """The path in the proposal's arguments; write either this or `snapshot`."""
    snapshot: Maybe[SnapshotText] = None
    """The path in the snapshot; write either this or `field`."""
    equals: AnyOf
    """The value, or a list of values of which any will do. A value that is absent equals nothing."""


class _Rule(Part):
    alternatives: ClassVar[tuple[str, ...]] = ()
    """Of these keys exactly one is written."""

    id: Name
    """The rule's name in records and messages; each name once."""
    action_types: Maybe[Many[Name]] = None
    """The action types the rule is limited to; left out: all."""
    severity: Severity = "BLOCK"
    """What a contradiction is: WARN or BLOCK (the default)."""
    when: tuple[Case, ...] = ()
    """Conditions that must all hold for the rule to apply."""


class _FieldRule(_Rule):
    field: ProposalPath
    """The proposed value, as a path in the proposal's arguments; `[*]` judges every element by itself."""


class Equal(_FieldRule):
    """The proposed value equals the snapshot's, or a given one."""

    alternatives: ClassVar[tuple[str, ...]] = ("snapshot", "value")

    rule: Literal["eq"]
    """The proposed value equals the snapshot's, or a given one."""
    snapshot: Maybe[SnapshotText] = None
    """The value to equal, as a path in the snapshot."""
    value: Maybe[Scalar] = None
    """The value to equal, written here."""


class Differs(_FieldRule):
    """The proposed value differs from the snapshot's, or from a given one."""

    alternatives: ClassVar[tuple[str, ...]] = ("snapshot", "value")

    rule: Literal["differs"]
    """The proposed value differs from the snapshot's, or from a given one."""
    snapshot: Maybe[SnapshotText] = None
    """The value to differ from, as a path in the snapshot."""
    value: Maybe[Scalar] = None
    """The value to differ from, written here."""


class OneOf(_FieldRule):
    """The proposed value is one of a list."""

    rule: Literal["one_of"]
    """The proposed value is one of a list."""
    values: Many[Scalar]
    """The values it may have."""


class MemberOf(_FieldRule):
    """The proposed value stands in a collection of the snapshot."""

    rule: Literal["member_of"]
    """The proposed value stands in a collection of the snapshot."""
    snapshot: SnapshotText
    """The collection: a list, the keys of an object, or a path with `[*]`."""


class AtMost(_FieldRule):
    """The proposed number is at most the snapshot's, or a given one."""

    alternatives: ClassVar[tuple[str, ...]] = ("snapshot", "value")

    rule: Literal["at_most"]
    """The proposed number is at most the snapshot's, or a given one."""
    snapshot: Maybe[SnapshotText] = None
    """The limit, as a path in the snapshot."""
    value: Maybe[Number] = None
    """The limit, written here."""


class AtLeast(_FieldRule):
    """The proposed number is at least the snapshot's, or a given one."""

    alternatives: ClassVar[tuple[str, ...]] = ("snapshot", "value")

    rule: Literal["at_least"]
    """The proposed number is at least the snapshot's, or a given one."""
    snapshot: Maybe[SnapshotText] = None
    """The limit, as a path in the snapshot."""
    value: Maybe[Number] = None
    """The limit, written here."""


class CountMax(_FieldRule):
    """At most so many elements of the proposal meet `when`."""

    alternatives: ClassVar[tuple[str, ...]] = ("max", "snapshot")

    rule: Literal["count_max"]
    """At most so many elements of the proposal meet `when`."""
    max: Maybe[Count] = None
    """The limit, written here."""
    snapshot: Maybe[SnapshotText] = None
    """The limit, as a path in the snapshot."""


class MaxDelta(_FieldRule):
    """The proposed number is at most so far from the snapshot's."""

    alternatives: ClassVar[tuple[str, ...]] = ("absolute", "percent")

    rule: Literal["max_delta"]
    """The proposed number is at most so far from the snapshot's."""
    snapshot: SnapshotText
    """The number it is compared with."""
    absolute: Maybe[Size] = None
    """How far, in the unit of the field."""
    percent: Maybe[Size] = None
    """How far, in percent of the snapshot's number."""


class NoBackward(_FieldRule):
    """The proposed place in an ordering is not before the snapshot's."""

    rule: Literal["no_backward"]
    """The proposed place in an ordering is not before the snapshot's."""
    snapshot: SnapshotText
    """The current place."""
    ordering: Ordering[Scalar]
    """All places, first to last."""


class Transitions(_FieldRule):
    """The step from the snapshot's value to the proposed one is allowed."""

    rule: Literal["transitions"]
    """The step from the snapshot's value to the proposed one is allowed."""
    snapshot: SnapshotText
    """The current value."""
    allowed: dict[Name, tuple[Name, ...]]
    """From each value, the values it may become; an empty list for an end."""


class DateWindow(_Rule):
    """A date lies in a window around the snapshot's date, or around the evaluation time."""

    rule: Literal["date_window"]
    """A date lies in a window around the snapshot's date, or around the evaluation time."""
    field: Maybe[ProposalPath] = None
    """The proposed date; left out: the evaluation time is what is placed."""
    snapshot: Maybe[SnapshotText] = None
    """The date the window is around; left out: the evaluation time."""
    earliest: Maybe[SignedDuration] = None
    """How early, relative to that date; left out: however early."""
    latest: Maybe[SignedDuration] = None
    """How late, relative to that date; left out: however late."""


class RequiresState(_Rule):
    """The action is possible only while a snapshot field has one of the values."""

    rule: Literal["requires_state"]
    """The action is possible only while a snapshot field has one of the values."""
    snapshot: SnapshotText
    """The field whose state decides."""
    values: Many[Scalar]
    """The states in which the action is possible."""


RULE_KINDS: tuple[type[Part], ...] = (
    Equal,
    Differs,
    OneOf,
    MemberOf,
    AtMost,
    AtLeast,
    CountMax,
    MaxDelta,
    NoBackward,
    Transitions,
    DateWindow,
    RequiresState,
)

Rule = Annotated[
    Equal
    | Differs
    | OneOf
    | MemberOf
    | AtMost
    | AtLeast
    | CountMax
    | MaxDelta
    | NoBackward
    | Transitions
    | DateWindow
    | RequiresState,
    Field(discriminator="rule"),
]


def kind_name(kind: type[Part]) -> str:
    """Return the word that policies use for a kind, as in ``at_most``."""
    annotation: Any = kind.model_fields["rule"].annotation
    return str(annotation.__args__[0])


KINDS_BY_NAME = {kind_name(kind): kind for kind in RULE_KINDS}
