"""The four validators every gate runs first, in the contract's order, and what identifies an engine (G1, G4)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from weighbridge.policy.effective import EffectivePolicy
from weighbridge.validators import compliance
from weighbridge.validators.compliance import Compliance
from weighbridge.validators.contradiction import Contradiction
from weighbridge.validators.freshness import Freshness
from weighbridge.validators.grounding import Grounding

if TYPE_CHECKING:
    from weighbridge.validators.interface import Validator

BUILT_IN: Final[tuple[Validator, ...]] = (Freshness(), Grounding(), Contradiction(), Compliance())

ENGINE_LIBRARIES: Final = ("google-re2", "python-stdnum", "tzdata")
"""The distributions whose version may change an answer; whoever wires the engine looks the versions up."""


def engine_description(validators: Iterable[Validator], libraries: Mapping[str, str]) -> dict[str, Any]:
    """Return what identifies an engine: two engines with the same description answer with the same bytes (G4)."""
    return {
        "validators": [{"id": validator.id, "version": validator.version} for validator in validators],
        "libraries": dict(libraries),
        "unicode": unicodedata.unidata_version,
    }


def prepare(policy: EffectivePolicy) -> None:
    """Import what judging by ``policy`` will need (checksums it names), so that judging does no I/O."""
    compliance.prepare(policy)
