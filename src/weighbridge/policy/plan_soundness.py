"""Plan types that no plan can be of, and parts of them that can never matter (H3).

An order rule speaks of action types that the type has, and rules of order have no circle; an operation that is named is of that
action type. Where what decides about it could not be read completely, nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weighbridge.policy.mistakes import Mistake, Steps, closest, listed
from weighbridge.policy.reachable import Scope
from weighbridge.policy.structure import Structure


def pointless_plan_types(
    structure: Structure, base: Scope, sections: Iterable[Scope], documents: Mapping[str | None, Mapping[str, Any]]
) -> Iterator[Mistake]:
    """Yield a mistake for everything in a plan type that cannot be meant."""
    if structure.mentions("plan_types", "operations"):
        return
    for scope in (base, *sections):
        effective = documents[scope.tenant_id].get("plan_types", {})
        operations = documents[scope.tenant_id]["operations"]
        for name, written in scope.part.get("plan_types", {}).items():
            steps, kind = (*scope.steps, "plan_types", name), effective.get(name)
            if kind is not None:
                yield from _actions(steps, written, operations)
                yield from _order(steps, written, kind)


def _actions(steps: Steps, written: Mapping[str, Any], operations: Mapping[str, Any]) -> Iterator[Mistake]:
    actions = written.get("actions", {})
    if actions == {} and "actions" in written:
        yield Mistake((*steps, "actions"), "is empty, so that no plan can be of this type", "what its steps may be")
    for name, action in actions.items():
        for index, operation in enumerate(action.get("operations", ())):
            place = (*steps, "actions", name, "operations", index)
            declared = operations.get(operation)
            if declared is not None and declared["action_type"] != name:
                message = (
                    f"`{operation}` has the action type `{declared['action_type']}`, so that no step of `{name}` is it"
                )
                yield Mistake(place, message, "an operation of this action type")


def _order(steps: Steps, written: Mapping[str, Any], kind: Mapping[str, Any]) -> Iterator[Mistake]:
    known = kind["actions"]
    for index, rule in enumerate(written.get("order", ())):
        for key in ("before", "after"):
            if rule[key] not in known:
                message = f"`{rule[key]}` is no action type of this plan type"
                write = closest(rule[key], known) or f"one of {listed(known)}"
                yield Mistake((*steps, "order", index, key), message, write)
        if _leads_to(kind["order"], rule["after"], rule["before"]):
            message = f"`{rule['after']}` also comes before `{rule['before']}`, so that no plan can have both"
            yield Mistake((*steps, "order", index), message, "one of the two orders")


def _leads_to(order: Iterable[Mapping[str, Any]], start: str, end: str) -> bool:
    """Return whether rules of order lead from one action type to another one, or they are the same."""
    rules, reached, waiting = list(order), {start}, [start]
    while waiting:
        here = waiting.pop()
        further = {rule["after"] for rule in rules if rule["before"] == here} - reached
        reached |= further
        waiting += further
    return end in reached
