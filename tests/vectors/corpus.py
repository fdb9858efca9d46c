"""Decision vectors: a policy, a request, and the exact bytes four validators answer with. Any implementation must reproduce them.

A vector is a file ``<name>.json``: ``why`` (the contract's rules it stands on), ``policy`` (a policy document), ``context``
(a request as JSON) and ``expected``: what freshness, grounding, contradiction and compliance answer, in this order, each as
``{validator, result, reason, details}``. Equal means equal canonical bytes (RFC 8785). A value that details keep apart stands
as ``{"content_hash": ...}``: HMAC-SHA-256 of its canonical bytes under the key ``vectors``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from weighbridge import canonical
from weighbridge.domain.context import ValidationContext, parse_context
from weighbridge.domain.decision import ValidatorResult
from weighbridge.gateway import run_event, with_facts
from weighbridge.policy.effective import EffectivePolicy
from weighbridge.policy.loader import document_from_mapping
from weighbridge.validators import builtin
from weighbridge.validators.builtin import BUILT_IN

FOLDER = Path(__file__).parent
KEY = b"vectors"

Order = Callable[[list[str]], list[str]]


class Vector(NamedTuple):
    """One vector, as its file says it."""

    name: str
    policy: dict[str, Any]
    context: dict[str, Any]
    expected: list[dict[str, Any]]

    def load(self, shuffled: Order = sorted) -> tuple[EffectivePolicy, ValidationContext]:
        """Return policy and context, ready to be judged; ``shuffled`` puts the keys of every object in another order."""
        policy = document_from_mapping(_reordered(self.policy, shuffled)).effective(None)
        context = with_facts(parse_context(_reordered(self.context, shuffled)), policy.operations.get)
        builtin.prepare(policy)
        return policy, context

    def answer(self) -> bytes:
        """Return what this implementation answers, as canonical bytes."""
        policy, context = self.load()
        return canonical.encode([as_json(one.evaluate(context, policy)) for one in BUILT_IN])


@functools.cache
def vectors() -> tuple[Vector, ...]:
    """Return the whole corpus, by name."""
    return tuple(read(path) for path in sorted(FOLDER.glob("*.json")))


def read(path: Path) -> Vector:
    """Return the vector of a file."""
    document = json.loads(path.read_bytes())
    return Vector(path.stem, document["policy"], document["context"], document["expected"])


def as_json(result: ValidatorResult) -> dict[str, Any]:
    """Return a result as a vector states it."""
    event = run_event(result, KEY)
    del event["type"]
    return event


def _reordered(value: Any, shuffled: Order) -> Any:
    if isinstance(value, dict):
        return {name: _reordered(value[name], shuffled) for name in shuffled(list(value))}
    return [_reordered(item, shuffled) for item in value] if isinstance(value, list) else value
