"""A plan's document as content, and back; and what an edit changed (L6, G11). Pure.

The content ``plan`` is the document with its snapshot, data sources and evidence replaced by their content hashes. Those three
are contents of their own, with exactly the bytes that the gateway hashes when it judges: they are stored once, and the
snapshot's hash is the ``snapshot_id`` of every run. So ``plan_hash`` covers everything, and an edit of one argument stores one
small document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.domain.plan import Plan, parse_plan
from weighbridge.errors import LedgerCorrupt, NotFound

_APART = ("snapshot", "data_sources", "evidence")


class SealedPlan(msgspec.Struct, frozen=True):
    """A plan by its hashes: ``contents`` by name as ``(keyed hash, bytes)``, ``proposal_hashes`` by step id."""

    plan_hash: str
    snapshot_id: str
    contents: dict[str, tuple[str, bytes]]
    proposal_hashes: dict[str, str]


def seal_plan(plan: Plan, key: bytes) -> SealedPlan:
    """Return a plan's content under the tenant's content key.

    Raises:
        CanonicalError: a value in it has no canonical form.
    """
    document: dict[str, Any] = msgspec.to_builtins(plan)
    values: dict[str, Any] = {name: document.get(name, []) for name in _APART}
    values["snapshot"] = document["snapshot"]["fields"]
    contents = {name: _content(key, value) for name, value in values.items()}
    hashes = {name: content_hash for name, (content_hash, _) in contents.items()}
    contents["plan"] = _content(key, document | hashes)
    proposals = {
        step.step_id: _content(key, [{"arguments": step.arguments, "operation": step.operation}])[0]
        for step in plan.steps
    }
    return SealedPlan(contents["plan"][0], hashes["snapshot"], contents, proposals)


def open_plan(body_of: Callable[[str], bytes | None], plan_hash: str, key: bytes) -> Plan:
    """Return the plan of a hash; ``body_of`` gives a content's bytes, None where they were erased.

    Raises:
        NotFound: some of it was erased, or never stored.
        LedgerCorrupt: what is stored is not what its hash says: it is not what was approved (G11).
    """
    document = _body(body_of, plan_hash, key, "plan")
    for name in _APART:
        document[name] = _body(body_of, document[name], key, name)
    document["snapshot"] = {"fields": document["snapshot"]}
    return parse_plan(document)


def changed_fields(before: Plan, after: Plan) -> tuple[str, ...]:
    """Return the names of what an edit changed, sorted; names, never values.

    As in ``objective`` and ``steps.brief.arguments``; ``steps.brief`` is a step that came or went, ``steps`` their order.
    """
    olds, news = msgspec.to_builtins(before), msgspec.to_builtins(after)
    found = {name for name in olds.keys() | news.keys() if name != "steps" and _differ(olds, news, name)}
    return tuple(sorted(found | set(_changed_steps(olds["steps"], news["steps"]))))


def _changed_steps(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    olds = {step["step_id"]: step for step in before}
    news = {step["step_id"]: step for step in after}
    for step_id in olds.keys() ^ news.keys():
        yield f"steps.{step_id}"
    for step_id in olds.keys() & news.keys():
        old, new = olds[step_id], news[step_id]
        yield from (f"steps.{step_id}.{name}" for name in old.keys() | new.keys() if _differ(old, new, name))
    if olds.keys() == news.keys() and [*olds] != [*news]:
        yield "steps"


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    if (name in before) != (name in after):
        return True
    return canonical.encode(before[name]) != canonical.encode(after[name])


def _content(key: bytes, value: Any) -> tuple[str, bytes]:
    data = canonical.encode(value)
    return canonical.keyed_hash(key, data), data


def _body(body_of: Callable[[str], bytes | None], content_hash: str, key: bytes, name: str) -> Any:
    body = body_of(content_hash)
    if body is None:
        raise NotFound(f"the content `{content_hash}` of the plan (its {name}) was erased; propose it anew")
    if canonical.keyed_hash(key, body) != content_hash:
        raise LedgerCorrupt(f"the content `{content_hash}` of the plan (its {name}) does not match its hash")
    return canonical.decode(body)
