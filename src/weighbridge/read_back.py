"""Read-back: whether what a writeback left behind is what was asked, and how a call ended.

A target that answers "ok" may have stored something else: cut a text, rounded a number, ignored a field. So what is stored is
read after the call and compared, field by field and exactly: equal in type and value, in canonical form. What was asked and
what is stored instead is content, never record (L6). Nothing is read here; the executor does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.arguments import weighable
from weighbridge.errors import ContextError

ReadBack = Callable[..., Any]
"""Says what is stored, from the function's value and the call's arguments: a mapping of field names to values."""

Asked = Callable[..., Mapping[str, Any]]
"""Says which fields the stored state must have, from the call's arguments."""

COMPLETED = "COMPLETED"
FAILED = "FAILED"
WRITE_NOT_STORED = "WRITE_NOT_STORED"
READ_BACK_FAILED = "READ_BACK_FAILED"


class Ending(msgspec.Struct, frozen=True):
    """How a call ended, as its `OPERATION_COMPLETED` says.

    ``reason`` says why a call that returned is FAILED all the same; ``error`` is the type of an exception, never its text.
    ``compared`` are the fields that were read back, of which ``differs`` are stored otherwise; ``values`` holds what was asked of
    those and what is stored, as ``{"asked": {...}, "stored": {...}}``.
    """

    outcome: str
    reason: str | None = None
    error: str | None = None
    compared: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    values: dict[str, Any] | None = None
    cause: BaseException | None = None

    def event(self) -> dict[str, Any]:
        """Return what the record says of it."""
        said = {"outcome": self.outcome, "reason": self.reason, "error": self.error}
        fields = {"compared": list(self.compared), "differs": list(self.differs)}
        return {name: value for name, value in (said | fields).items() if value}


DONE = Ending(COMPLETED)
"""A call that returned, and that nobody reads back."""

UNREAD = Ending(FAILED, READ_BACK_FAILED)
"""A call that returned, and whose read-back never ended."""


def raised(error: BaseException) -> Ending:
    """Return the ending of a call that raised."""
    return Ending(FAILED, error=type(error).__name__, cause=error)


def unread(error: BaseException) -> Ending:
    """Return the ending of a call that returned, and whose read-back raised: the write may have happened."""
    return Ending(FAILED, READ_BACK_FAILED, error=type(error).__name__, cause=error)


def compared(asked: Mapping[str, Any], stored: Any) -> Ending:
    """Return the ending of a call by what is stored. What was asked and is not among ``stored`` differs; fields beyond count not.

    Raises:
        ContextError, CanonicalError: ``stored`` is no mapping of names to values that can be compared.
    """
    if not isinstance(stored, Mapping):
        raise ContextError(
            "read_back", f"returned a `{type(stored).__name__}`; return a mapping of fields to what is stored"
        )
    found = {name: weighable(stored[name], f"read_back.{name}")[1] for name in asked if name in stored}
    differs = tuple(sorted(name for name in asked if name not in found or not _equal(asked[name], found[name])))
    names = tuple(sorted(asked))
    if not differs:
        return Ending(COMPLETED, compared=names)
    values = {
        "asked": {name: asked[name] for name in differs},
        "stored": {name: found[name] for name in differs if name in found},
    }
    return Ending(FAILED, WRITE_NOT_STORED, compared=names, differs=differs, values=values)


def _equal(asked: Any, stored: Any) -> bool:
    # Python says that True == 1; their canonical forms differ.
    return canonical.encode(asked) == canonical.encode(stored)
