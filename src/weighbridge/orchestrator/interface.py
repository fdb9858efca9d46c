"""The ports of the orchestrator: what runs a step, what drives plans, and what says how an account stands.

An engine decides nothing: it says who may try next. What may happen is a pure function of the plan (`plans.next_action`), and
what does happen is decided in the store. So an engine that runs something twice, late, or not at all, can do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from weighbridge.domain.context import DataSource, Snapshot
from weighbridge.domain.decision import OperationDecision
from weighbridge.domain.plan import PlanState
from weighbridge.errors import ContextError
from weighbridge.operations import StepMoves

Observe = Callable[[str, str], Any]
"""Says how an account stands: called with tenant and account, it returns ``{"snapshot": ..., "data_sources": ...}`` or None."""


class Observation(msgspec.Struct, frozen=True):
    """How an account stood when somebody looked, by a registered connector (Z5)."""

    snapshot: Snapshot
    data_sources: list[DataSource] = []


class Advanced(msgspec.Struct, frozen=True):
    """What one action came to.

    ``action`` is its name, as in ``RUN_STEP``; ``recorded`` whether this call did it (False: somebody was faster, or nothing is
    to be done). ``waits_for`` is set where nothing is left to do before a person, a worker or time acts. ``decision`` is that of
    a step's operation, and ``error`` what it raised, or why it could not be called.
    """

    plan: PlanState
    action: str
    recorded: bool
    waits_for: str | None = None
    decision: OperationDecision | None = None
    error: Exception | None = None


class Runs(Protocol):
    """Runs a step attempt: judged, drawn and called once, and its end on record: the operations."""

    def run_step(self, name: str, arguments: Mapping[str, Any], operation_id: str, moves: StepMoves) -> Any:
        """Call a registered operation as an attempt of a plan's step, in the scope that is in force."""


class PlanEngine(Protocol):
    """Drives the plans of a store until it is stopped."""

    def start(self) -> None:
        """Begin.

        Raises:
            LockHeld: another worker drives the plans of this store, and only one may.
        """

    def wake(self, tenant_id: str, plan_id: str) -> None:
        """Look at a plan soon: somebody has done something to it. It would be found anyway."""

    def stop(self, *, drain: bool = True) -> None:
        """End: start nothing more, and, with ``drain``, wait until the attempt that is running has ended."""


def observation(returned: Any) -> Observation | None:
    """Return what a connector says of an account; None where it does not know.

    What it returns besides ``snapshot`` and ``data_sources`` does not count.

    Raises:
        ContextError: it is neither None nor a mapping of that shape.
    """
    if returned is None:
        return None
    if not isinstance(returned, Mapping) or not isinstance(returned.get("snapshot"), Mapping):
        raise ContextError(
            "observed", 'is no observation; return {"snapshot": {field: {"value", "source_type"}}}, or None'
        )
    said = {"snapshot": {"fields": returned["snapshot"]}, "data_sources": returned.get("data_sources", [])}
    try:
        return msgspec.convert(said, Observation)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise ContextError(f"observed.{place.rstrip('`')}", message[:1].lower() + message[1:]) from None


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(Observation)
