"""Who asks: the authenticated caller, as opposed to the actor an action is attributed to (Z1, Z5)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import msgspec

from weighbridge.domain.context import Role
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.errors import UsageError

_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})  # control and format characters, lone surrogates


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller. ``tenant_id`` None means that requests name their tenant (a host that serves several).

    Raises `UsageError` where the tenant is no id: an empty one would be no tenant and no choice of one either (L5). The id is
    text of 1 to 200 characters that can all be seen (`name_fault`).

    Only the role ``host`` may state facts: snapshots, data sources and the trust of evidence (Z5). Only a person may
    authorise a retry (G8).
    """

    id: str
    role: Role = Role.HOST
    tenant_id: str | None = None
    person: bool = False

    def __post_init__(self) -> None:
        """Refuse an id or a tenant that is none."""
        fault = name_fault(self.id)
        if fault is not None:
            raise UsageError(f"a principal's id {fault}")
        tenant = self.tenant_id
        if tenant is not None and not (isinstance(tenant, str) and 0 < len(tenant) <= ID_LENGTH_MAX):
            raise UsageError(
                f"a principal's tenant is text of 1 to {ID_LENGTH_MAX} characters; leave it out where requests name theirs"
            )


def name_fault(name: object) -> str | None:
    """Return what is wrong with the id of somebody who acts, as the rest of a sentence; None where it is one (Z1)."""
    if not isinstance(name, str):
        return f"is a `{type(name).__name__}`; an id is text"
    if not 0 < len(name) <= ID_LENGTH_MAX:
        return f"has {len(name)} characters; use 1 to {ID_LENGTH_MAX}"
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return f"{name!a} has control or format characters, which nobody sees; leave them out"
    return None if name.strip() else "is white space; say who it is"


def alias_key(name: str) -> str:
    """Return what two ids of one person have in common (H3, G8): NFKC, case folded, without format characters and outer space.

    As P2 compares field names, except that separators count: ``ann-li`` and ``annli`` may be two people.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in folded if unicodedata.category(c) != "Cf").strip()


def is_among(name: str | None, others: Iterable[str | None]) -> bool:
    """Return whether somebody is one of others, whichever way the id is written (H3, G8)."""
    return name is not None and alias_key(name) in {alias_key(other) for other in others if other is not None}
