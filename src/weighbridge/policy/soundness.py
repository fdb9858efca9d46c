"""Does a policy of the right shape make sense? Everything beyond the shape of single keys, reported together.

Six questions, each with a file of its own: can the values be meant (`possible`), can every rule ever matter (`reachable`), does
every rule add something (`overlapping`), does every cap, price and maximum (`budget_soundness`), can there be plans of every type
(`plan_soundness`), and does a tenant's section only make things stricter (`merge`).
Mistakes carry their place in the document as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from weighbridge import canonical
from weighbridge.domain.amounts import currency_of
from weighbridge.domain.paths import parse_path
from weighbridge.errors import CanonicalError
from weighbridge.policy.budget_section import NO_CAPS, WRITE_CAPS
from weighbridge.policy.budget_soundness import pointless_budgets
from weighbridge.policy.complete import with_ids
from weighbridge.policy.merge import Merged, is_key, merge
from weighbridge.policy.mistakes import Mistake, Steps, closest
from weighbridge.policy.overlapping import overlapping_rules
from weighbridge.policy.plan_soundness import pointless_plan_types
from weighbridge.policy.possible import impossible_limits, impossible_parts, impossible_values
from weighbridge.policy.reachable import Scope, unreachable_rules
from weighbridge.policy.structure import Structure, read_structure

_SECTION_KEYS = (
    "max_clock_skew",
    "sources",
    "operations",
    "required_inputs",
    "freshness",
    "grounding",
    "contradiction",
    "compliance",
    "budgets",
    "plan_types",
    "validators",
)


def find_mistakes(structure: Structure) -> list[Mistake]:
    """Return every mistake in a document that was read into ``structure``, as far as it could be read."""
    mistakes = list(impossible_parts(structure.raw, structure.taken_out))
    if structure.document is None:
        return mistakes
    written = structure.document.written()
    base, sections = _parts(written)
    scopes = {tenant_id: merge(written, tenant_id) for tenant_id in (None, *sections)}
    found = [
        *impossible_values((), base),
        *(m for t, part in sections.items() for m in impossible_values(("tenants", t), part)),
        *_replaceable_mistakes(written, base),
    ]
    known = {(mistake.message, mistake.write) for mistake in found}
    for tenant_id, section in sections.items():
        of_tenant = _tenant_mistakes(structure, tenant_id, section, scopes[tenant_id])
        found += [mistake for mistake in of_tenant if (mistake.message, mistake.write) not in known]
    if not _is_effective_form(structure.raw, scopes[None].document):
        documents = {tenant_id: scope.document for tenant_id, scope in scopes.items()}
        whole, parts = Scope((), base), [Scope(("tenants", name), part) for name, part in sections.items()]
        found += [
            *unreachable_rules(structure, whole, parts, documents),
            *overlapping_rules(structure, whole, parts),
            *pointless_budgets(structure, whole, parts, documents),
            *pointless_plan_types(structure, whole, parts, documents),
        ]
    certain = [mistake for mistake in found if not _rests_on_a_gap(mistake.steps, structure)]
    placed = (structure.as_written(_as_spelt(mistake.steps, structure.raw)) for mistake in certain)
    return mistakes + [replace(mistake, steps=steps) for mistake, steps in zip(certain, placed, strict=True)]


def _as_spelt(steps: Steps, raw: Any) -> Steps:
    """Return where a maximum of money stands: people write its currency, the effective form pico-units."""
    currency = currency_of(str(steps[-1])) if steps[-2:-1] == ("maximum",) else None
    if currency is None:
        return steps
    node = raw
    for step in steps[:-1]:
        node = node.get(step) if isinstance(node, dict) else None
    return (*steps[:-1], currency) if isinstance(node, dict) and currency in node else steps


def _rests_on_a_gap(steps: Steps, structure: Structure) -> bool:
    """Return whether a mistake may be there only because something beside it could not be read."""
    if "admitted_text" in steps:
        beside = (*steps[: steps.index("admitted_text")], "free_text")
    elif "rules" in steps and {"when", "values"} & set(steps):
        beside = steps[: steps.index("rules") + 2]
    else:
        return False
    return not structure.is_whole(*structure.as_written(beside))


def _is_effective_form(raw: Any, effective: Any) -> bool:
    """Return whether a document has everything written out, as nobody but merging does.

    A narrow tenant leaves rules behind that no case reaches any more. That is no mistake: its effective policy, as it is on
    record, loads as a policy.
    """
    try:
        return canonical.encode(raw) == canonical.encode(effective)
    except CanonicalError:
        return False


def _parts(written: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    base = with_ids({key: value for key, value in written.items() if key not in {"tenants", "replaceable"}})
    return base, {tenant_id: with_ids(section) for tenant_id, section in written.get("tenants", {}).items()}


def _replaceable_mistakes(written: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[Mistake]:
    for index, text in enumerate(written.get("replaceable", ())):
        steps = tuple(parse_path(text).segments)
        if not all(isinstance(step, str) for step in steps) or not is_key(steps, base):
            guess = closest(str(steps[0]), _SECTION_KEYS)
            write = (
                "a key of a section, as in grounding.severity, or a rule by its id, as in contradiction.rules.discount"
            )
            if steps[0] not in _SECTION_KEYS and guess:
                write = guess + text[len(str(steps[0])) :]
            yield Mistake(("replaceable", index), f"`{text}` names nothing that a tenant's section could write", write)


def _tenant_mistakes(
    structure: Structure, tenant_id: str, section: Mapping[str, Any], scope: Merged
) -> Iterator[Mistake]:
    """Yield what widens, and what is wrong with the merged document that is not wrong with its parts."""
    prefix = ("tenants", tenant_id)
    if structure.is_whole("replaceable"):
        yield from (mistake for mistake in scope.mistakes if not _is_doubtful(mistake.steps[2:], structure))
    yield from impossible_limits(prefix, scope.document.get("freshness", {}), section.get("freshness", {}))
    if (
        "budgets" in section and not scope.document.get("budgets", {"caps": True})["caps"]
    ):  # G5: replaced by one without
        yield Mistake((*prefix, "budgets"), f"has no caps, and {NO_CAPS}", WRITE_CAPS)
    refused = {mistake.steps for mistake in scope.mistakes}
    merged = read_structure(type(structure.document), _mergeable_in_part(scope.document)).mistakes
    for mistake in [*merged, *impossible_values((), {**scope.document, "freshness": {}})]:
        found = replace(mistake, steps=prefix + mistake.steps)
        if not refused & {found.steps, found.steps[:-1]} and not _is_doubtful(mistake.steps, structure):
            yield found


def _mergeable_in_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section may write half of; everything else is as whole as it was before merging."""
    return {key: document[key] for key in ("weighbridge", "name", "sources", "freshness") if key in document}


def _is_doubtful(steps: Steps, structure: Structure) -> bool:
    """Return whether something of the base was taken out at, above or below ``steps``: then nothing is concluded."""
    key = steps[:-1] if steps and isinstance(steps[-1], int) else steps
    return any(place[: len(key)] == key[: len(place)] for place in structure.taken_out if place[:1] != ("tenants",))
