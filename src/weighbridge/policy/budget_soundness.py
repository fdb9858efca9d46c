"""Caps, prices and maxima that can never matter, or that contradict each other (B8, B12).

A cap of the base matters if it matters for the base or for any tenant; what a section says, if it matters for that tenant. Where
what decides about it could not be read completely, nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weighbridge.domain.amounts import CostClass, shown
from weighbridge.domain.caps import EACH
from weighbridge.policy.amount_text import named, written
from weighbridge.policy.budget_caps import Cap, classes_in_reach, classes_of, limit_of, may_meet, shadows, shown_limit
from weighbridge.policy.complete import complete_cap
from weighbridge.policy.mistakes import Mistake, Steps, closest, listed
from weighbridge.policy.reachable import Scope
from weighbridge.policy.structure import Structure

Documents = Mapping[str | None, Mapping[str, Any]]
"""Effective documents by tenant; None is the base."""


def pointless_budgets(
    structure: Structure, base: Scope, sections: Iterable[Scope], documents: Documents
) -> Iterator[Mistake]:
    """Yield a mistake for every cap, price and maximum that can never matter, and for maxima that never fit."""
    for scope in (base, *sections):
        relevant = list(documents.values()) if scope is base else [documents[scope.tenant_id]]
        operations = [document["operations"] for document in relevant]
        if all(operations) and not structure.mentions("operations"):
            yield from _caps_that_never_apply(scope, base, operations)
            yield from _prices_of_nothing(scope, operations)
        if not structure.mentions("caps", "operations"):
            yield from _maxima(scope, relevant, documents[scope.tenant_id])
        yield from _shadowed_caps(structure, scope, documents[scope.tenant_id])


def _caps_of(part: Mapping[str, Any]) -> Any:
    return part.get("budgets", {}).get("caps", ())


# --- Against the operations -------------------------------------------------------------------------------------------


def _caps_that_never_apply(scope: Scope, base: Scope, operations: list[Mapping[str, Any]]) -> Iterator[Mistake]:
    known = {cap["id"] for cap in _caps_of(base.part)} if scope is not base else set()
    for index, cap in enumerate(_caps_of(scope.part)):
        tool = cap.get("scope", {}).get("tool", EACH)
        if cap["id"] in known:
            continue
        steps = (*scope.steps, "budgets", "caps", index)
        counted = [declared for declared in operations if tool == EACH or tool in declared]
        if not counted:
            yield _no_operation((*steps, "scope", "tool"), "never applies", tool, operations)
            continue
        # A request may be of a higher class than its operation, never of a lower one (B1).
        in_reach = frozenset[str]().union(*(classes_in_reach(complete_cap(cap), declared) for declared in counted))
        if not classes_of(cap) & in_reach:
            whose = "every operation" if tool == EACH else f"`{tool}`"
            raised = listed(one for one in CostClass if one in in_reach)
            message = f"never applies: {whose} is {raised}, and a request can only raise that"
            yield Mistake((*steps, "cost_classes"), message, "one of these, or leave it out")


def _prices_of_nothing(scope: Scope, operations: list[Mapping[str, Any]]) -> Iterator[Mistake]:
    for name in scope.part.get("budgets", {}).get("prices", {}).get("operations", {}):
        if not any(name in declared for declared in operations):
            steps = (*scope.steps, "budgets", "prices", "operations", name)
            yield _no_operation(steps, "has no effect", name, operations)


def _no_operation(steps: Steps, effect: str, name: str, operations: list[Mapping[str, Any]]) -> Mistake:
    guess = closest(name, operations[0])
    return Mistake(steps, f"{effect}: no operation is called `{name}`", guess or "an operation that is declared")


# --- Maxima against caps ----------------------------------------------------------------------------------------------


def _maxima(scope: Scope, relevant: list[Mapping[str, Any]], document: Mapping[str, Any]) -> Iterator[Mistake]:
    for cost_class, entry in scope.part.get("budgets", {}).get("cost_classes", {}).items():
        for unit, text in entry["maximum"].items():
            steps = (*scope.steps, "budgets", "cost_classes", cost_class, "maximum", unit)
            if not any(_counting(one, unit, cost_class) for one in relevant):
                message = f"has no effect: no cap counts {named(unit)} of {cost_class} requests"
                yield Mistake(steps, message, "a cap in this unit, or leave it out")
            for cap in _counting(document, unit, cost_class):
                limit = limit_of(cap)
                # A cap of 0 lets nothing through, known or not, which is what it is for.
                if limit and int(text) > limit and may_meet(cap, document["operations"], cost_class):
                    message = (
                        f"{shown(int(text), unit)} never fits under `{cap['id']}`, {shown_limit(cap)}: unknown cost of "
                        f"{cost_class} requests is always BLOCK NEVER_FITS"
                    )
                    yield Mistake(
                        steps, message, f"{written(limit, unit)} at most, or leave it out: BLOCK COST_UNKNOWN"
                    )
                    break


def _counting(document: Mapping[str, Any], unit: str, cost_class: str) -> list[Cap]:
    return [cap for cap in _caps_of(document) if cap["unit"] == unit and cost_class in classes_of(cap)]


# --- Caps against caps ------------------------------------------------------------------------------------------------


def _shadowed_caps(structure: Structure, scope: Scope, document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield every cap behind a stricter one. What is lowered by a section may well put a cap of the base behind it."""
    place = (*scope.steps, "budgets", "caps")
    own = [
        ((*place, index), complete_cap(cap))
        for index, cap in enumerate(_caps_of(scope.part))
        if structure.is_whole(*structure.as_written((*place, index)))
    ]
    others: list[Cap] = []
    if scope.steps and not structure.mentions("caps"):
        inherited = {cap["id"]: cap for cap in _caps_of(document)}
        own = [(steps, cap) for steps, cap in own if inherited.get(cap["id"]) == cap]
        written = {cap["id"] for _, cap in own}
        others = [cap for name, cap in inherited.items() if name not in written]
    for position, (steps, cap) in enumerate(own):
        earlier, later = own[:position], own[position + 1 :]
        first = next((one for one in (*others, *(c for _, c in earlier)) if shadows(one, cap)), None)
        first = first or next((one for _, one in later if shadows(one, cap) and not shadows(cap, one)), None)
        if first is not None and first["id"] != cap["id"]:
            message = (
                f"`{cap['id']}` never matters: `{first['id']}` lets no more through, of at least the same requests "
                "(remove one of the two)"
            )
            yield Mistake(steps, message)
