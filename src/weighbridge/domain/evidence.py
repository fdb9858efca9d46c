"""Evidence: reference shapes, trust, and what covers what (R1, R2, R4).

A reference is a structured pointer to trusted state in one of three shapes; a bare string never is one. Two references
match when they have the same shape and the same parts; a record locator that names fields is covered by one of the same
record without fields, or with at least those fields.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Trust(enum.StrEnum):
    """How far a source may ground an action: only the first two do (R4)."""

    SYSTEM_OF_RECORD = "system_of_record"
    TRUSTED = "trusted"
    OBSERVED = "observed"

    @property
    def grounds(self) -> bool:
        """Return whether a source of this trust can ground an action."""
        return self is not Trust.OBSERVED


class Reference(msgspec.Struct, frozen=True):
    """A parsed reference. ``key`` is shape and identity; ``fields`` is None where the reference names none."""

    key: tuple[str, ...]
    fields: frozenset[str] | None = None
    source_type: str | None = None

    def covered_by(self, other: Reference) -> bool:
        """Return whether ``other``, an item of the evidence set, covers this reference (R2)."""
        if self.key != other.key:
            return False
        if other.fields is None:
            return True
        return self.fields is not None and self.fields <= other.fields


def parse_reference(value: Any) -> Reference | None:
    """Return the reference that ``value`` states, or None where it has no allowed shape (`INVALID_EVIDENCE`)."""
    if not isinstance(value, dict):
        return None
    parts = len(value)
    if parts == 2:  # noqa: PLR2004 - the two parts of a source reference
        kind, identity = value.get("source_type"), value.get("source_id")
        if kind and identity and type(kind) is str and type(identity) is str:
            return Reference(("source", kind, identity), None, kind)
    elif parts == 1:
        locator = value.get("record_locator")
        if isinstance(locator, dict):
            return _parse_locator(locator)
        identity = value.get("ledger_event_id")
        if identity and type(identity) is str:
            return Reference(("event", identity))
    return None


def _parse_locator(locator: dict[str, Any]) -> Reference | None:
    system, kind, identity = locator.get("system"), locator.get("object"), locator.get("id")
    if not (system and kind and identity and type(system) is str and type(kind) is str and type(identity) is str):
        return None
    key = ("record", system, kind, identity)
    if len(locator) == 3:  # noqa: PLR2004 - system, object and id
        return Reference(key, None, system)
    names = locator.get("fields")
    if len(locator) > 4 or not isinstance(names, list) or not names:  # noqa: PLR2004 - and fields
        return None
    if not all(isinstance(name, str) and name for name in names):
        return None
    return Reference(key, frozenset(names), system)
