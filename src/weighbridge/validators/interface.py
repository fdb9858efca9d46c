"""The port every validator stands behind.

A validator is a function of (context, policy) and nothing else: no clock, randomness, environment, file, network or
database, and no order of object keys (G4). The instant of judgement is ``context.evaluation_time_ms``. It returns a
`ValidatorResult`; raising, or returning anything else, counts as BLOCK `VALIDATOR_ERROR` (G6).

Custom validators get the same two arguments, deeply frozen, plus nothing. They are passed to `weighbridge.open` or found
under the entry point group ``weighbridge.validators``, and take part where the policy names them.
"""

from __future__ import annotations

from typing import Protocol

from weighbridge.domain.context import ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.policy.effective import EffectivePolicy


class Validator(Protocol):
    """One question with one answer. ``id`` and ``version`` are part of the engine version."""

    @property
    def id(self) -> str:
        """The name in records, metrics and policies."""

    @property
    def version(self) -> str:
        """Changes whenever the answer to some input may change."""

    def evaluate(self, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
        """Return the result for this context under this policy."""
