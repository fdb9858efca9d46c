"""The four places where a host asks before it acts. There is no fifth."""

from __future__ import annotations

import enum


class ChokePoint(enum.StrEnum):
    """A choke point, in the order in which one operation passes them."""

    BEFORE_PLAN_APPROVAL = "BEFORE_PLAN_APPROVAL"
    BEFORE_STEP_EXECUTION = "BEFORE_STEP_EXECUTION"
    BEFORE_EXTERNAL_WRITEBACK = "BEFORE_EXTERNAL_WRITEBACK"
    BEFORE_EXPENSIVE_READ = "BEFORE_EXPENSIVE_READ"


class Input(enum.StrEnum):
    """What a request can bring to a choke point, as policies name it."""

    PLAN = "plan"
    PROPOSAL = "proposal"
    SNAPSHOT = "snapshot"
    DATA_SOURCES = "data_sources"
    EVIDENCE = "evidence"


REQUIRED_INPUTS: dict[ChokePoint, frozenset[Input]] = {
    ChokePoint.BEFORE_PLAN_APPROVAL: frozenset({Input.PLAN, Input.SNAPSHOT, Input.DATA_SOURCES, Input.EVIDENCE}),
    ChokePoint.BEFORE_STEP_EXECUTION: frozenset({Input.PROPOSAL, Input.SNAPSHOT, Input.DATA_SOURCES, Input.EVIDENCE}),
    ChokePoint.BEFORE_EXTERNAL_WRITEBACK: frozenset({Input.PROPOSAL, Input.SNAPSHOT, Input.EVIDENCE}),
    ChokePoint.BEFORE_EXPENSIVE_READ: frozenset({Input.PROPOSAL}),
}
"""The table of the contract. At the expensive choke point the proposal carries the operation and its arguments."""
