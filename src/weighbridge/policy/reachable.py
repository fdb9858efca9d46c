"""Rules that can never matter: for actions nobody can take, and about sources nobody trusts.

A rule of the base matters if it matters for the base or for any tenant; a rule of a section, if it matters for that tenant. Where
what decides about it could not be read completely, nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.policy.mistakes import Mistake, Steps, closest
from weighbridge.policy.possible import entries_of, entry_lists
from weighbridge.policy.structure import Structure

_GROUNDING = frozenset({"system_of_record", "trusted"})


@dataclass(frozen=True, slots=True)
class Scope:
    """The base or a tenant's section, as written, and the path to it."""

    steps: Steps
    part: Mapping[str, Any]

    @property
    def tenant_id(self) -> str | None:
        """Return the tenant, or None for the base."""
        return str(self.steps[1]) if self.steps else None


def unreachable_rules(
    structure: Structure, base: Scope, sections: Iterable[Scope], documents: Mapping[str | None, Mapping[str, Any]]
) -> Iterator[Mistake]:
    """Yield a mistake for everything that can never matter. ``documents`` are the effective ones, None for the base."""
    possible = {tenant_id: _Possible.of(document) for tenant_id, document in documents.items()}
    for scope in (base, *sections):
        relevant = list(possible.values()) if scope is base else [possible[scope.tenant_id]]
        if not structure.mentions("operations", "allowed_actions"):
            yield from _dead_action_types(scope, relevant)
        if not structure.mentions("sources"):
            yield from _distrusted(scope, frozenset().union(*(one.trusted for one in relevant)))
        yield from _allowed_and_prohibited(scope, base)


@dataclass(frozen=True, slots=True)
class _Possible:
    """What an effective policy lets happen. ``action_types`` empty: no operation is declared, and every one is possible."""

    action_types: frozenset[str]
    prohibited: frozenset[str]
    allowed: frozenset[str] | None
    trusted: frozenset[str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> _Possible:
        compliance = document.get("compliance", {})
        allowed = compliance.get("allowed_actions")
        return cls(
            action_types=frozenset(operation["action_type"] for operation in document["operations"].values()),
            prohibited=frozenset(compliance.get("prohibited_actions", ())),
            allowed=None if allowed is None else frozenset(allowed),
            trusted=frozenset(name for name, source in document["sources"].items() if source["trust"] in _GROUNDING),
        )

    def dead_because(self, action_type: str) -> str:
        """Return why no action of this type can be allowed, or an empty text where one can."""
        if self.action_types and action_type not in self.action_types:
            return f"no operation has the action type `{action_type}`"
        if action_type in self.prohibited:
            return f"`{action_type}` is one of the `prohibited_actions`"
        if self.allowed is not None and action_type not in self.allowed:
            return f"`{action_type}` is not one of the `allowed_actions`"
        return ""


# --- Action types -----------------------------------------------------------------------------------------------------


def _dead_action_types(scope: Scope, relevant: list[_Possible]) -> Iterator[Mistake]:
    places = [*entry_lists(scope.part), (("required_inputs", "not_needed"), _not_needed(scope.part))]
    for place, entries in places:
        for index, entry in enumerate(entries):
            for position, action_type in enumerate(entry.get("action_types", ())):
                if all(one.dead_because(action_type) for one in relevant):
                    steps = (*scope.steps, *place, index, "action_types", position)
                    meant = closest(action_type, relevant[0].action_types - {action_type})
                    write = meant or "an action type that can happen, or leave it out"
                    yield Mistake(steps, f"never applies: {relevant[0].dead_because(action_type)}", write)


def _not_needed(part: Mapping[str, Any]) -> Any:
    return part.get("required_inputs", {}).get("not_needed", ())


def _allowed_and_prohibited(scope: Scope, base: Scope) -> Iterator[Mistake]:
    own, inherited = scope.part.get("compliance", {}), base.part.get("compliance", {})
    for allowed, prohibited in (("allowed_actions", "prohibited_actions"), ("allowed_targets", "prohibited_targets")):
        denied = {*own.get(prohibited, ()), *inherited.get(prohibited, ())}
        for index, name in enumerate(own.get(allowed, ())):
            if name in denied:
                steps = (*scope.steps, "compliance", allowed, index)
                yield Mistake(
                    steps, f"`{name}` is allowed here and prohibited under `{prohibited}`", "it in one of the two"
                )


# --- Sources ----------------------------------------------------------------------------------------------------------


def _distrusted(scope: Scope, trusted: frozenset[str]) -> Iterator[Mistake]:
    for place, entry in entries_of(scope.part, "grounding", "values"):
        for index, name in enumerate(entry.get("source_types", ())):
            if name not in trusted:
                message = f"`{name}` is `observed`, and nothing of it grounds an action"
                yield Mistake(
                    (*scope.steps, *place, "source_types", index),
                    message,
                    closest(name, trusted) or "a trusted source type",
                )
    compared = [place for place, rule in entries_of(scope.part, "contradiction", "rules") if _compares(rule)]
    if compared and not trusted:
        message = "never compares: only fields of system_of_record and trusted sources are, and `sources` has none"
        yield Mistake((*scope.steps, *compared[0]), message, "`sources:` with the trust of each source type")


def _compares(rule: Mapping[str, Any]) -> bool:
    return "snapshot" in rule and rule["rule"] != "requires_state"
