"""The effective policy of a tenant, compiled once into frozen records for the validators.

`EffectivePolicy.document` is the plain JSON form (the base merged with the tenant's section, defaults written out);
``policy_version`` is the SHA-256 of its RFC 8785 bytes. Compiling reads nothing but that document, so replay compiles the
recorded one and judges by the same rules. A section that is absent is None: the validator whose input is present then
answers `CONFIG_MISSING` (G5); an empty rule list that is written out is an empty tuple.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Cap
from weighbridge.domain.choke_point import ChokePoint, Input
from weighbridge.domain.context import OperationFacts
from weighbridge.domain.evidence import Trust
from weighbridge.domain.paths import FieldPattern, Path, SnapshotPath
from weighbridge.domain.plan import Risk
from weighbridge.domain.verdict import Verdict

ActionTypes = frozenset[str] | None
"""The action types a rule is limited to; None means every one."""


class Ttl(msgspec.Struct, frozen=True):
    """Two ages in milliseconds; ``soft_ms <= hard_ms`` (F3)."""

    soft_ms: int
    hard_ms: int


class FreshnessPolicy(msgspec.Struct, frozen=True):
    """TTLs per source id and per source type; the id wins (F4)."""

    source_types: Mapping[str, Ttl]
    source_ids: Mapping[str, Ttl]


class SourcePolicy(msgspec.Struct, frozen=True):
    """Trust of a source type; ``free_text`` are third-party fields inside it, `observed` unless in ``admitted_text`` (R4)."""

    trust: Trust
    free_text: tuple[FieldPattern, ...] = ()
    admitted_text: tuple[FieldPattern, ...] = ()


class GroundedValue(msgspec.Struct, frozen=True):
    """A field whose values must stand in trusted evidence (R5).

    ``text`` admits text leaves that contain the value between boundaries; ``normalise`` is a subset of
    {"case_folded", "trimmed"}; ``source_types`` limits which sources count (None: every one that grounds).
    """

    id: str
    path: Path
    action_types: ActionTypes
    text: bool
    normalise: frozenset[str]
    source_types: frozenset[str] | None
    severity: Verdict


class GroundingPolicy(msgspec.Struct, frozen=True):
    """Severity of failing references (R3) and the grounded values (R5)."""

    severity: Verdict
    values: tuple[GroundedValue, ...]


class Condition(msgspec.Struct, frozen=True):
    """One equality a rule is limited by: the value at ``path`` is one of ``values`` (typed: true is not 1).

    Exactly one of ``proposal`` and ``snapshot`` is set.
    """

    proposal: Path | None
    snapshot: SnapshotPath | None
    values: tuple[Any, ...]


class ContradictionRule(msgspec.Struct, frozen=True):
    """One entry of the allowlist of compared fields (C1).

    Which fields are set depends on ``rule``:

    ==================  =====================================================================================
    ``eq, differs``     ``snapshot`` or ``literal``
    ``one_of``          ``values``
    ``member_of``       ``snapshot``: a collection (a list, an object's keys, or a ``[*]`` path)
    ``at_most``,        ``snapshot`` or ``literal`` (numbers)
    ``at_least``
    ``count_max``       ``literal`` or ``snapshot`` (a whole number): how many elements at ``path`` meet ``when``
    ``max_delta``       ``absolute`` or ``percent`` against ``snapshot`` (decimal text in the document, exact here)
    ``no_backward``     ``values``: the ordering; ``snapshot`` is the current place
    ``transitions``     ``transitions``: from -> allowed tos; ``snapshot`` is the current place
    ``date_window``     ``earliest_ms``/``latest_ms`` (either None: open) relative to ``snapshot`` or, when that is None, to
                        the evaluation time; ``path`` None: the evaluation time is what is placed
    ``requires_state``  ``snapshot`` has one of ``values``; ``path`` is None
    ==================  =====================================================================================
    """

    id: str
    rule: str
    action_types: ActionTypes
    severity: Verdict
    when: tuple[Condition, ...] = ()
    path: Path | None = None
    snapshot: SnapshotPath | None = None
    literal: Any = None
    has_literal: bool = False
    values: tuple[Any, ...] = ()
    transitions: Mapping[str, frozenset[str]] | None = None
    absolute: Any = None
    percent: Any = None
    earliest_ms: int | None = None
    latest_ms: int | None = None
    personal: bool = False
    """Whether the field is personal or restricted by the compliance section: details then hold Sealed values (C3)."""


class ContradictionPolicy(msgspec.Struct, frozen=True):
    """The rules, and the values that contradict nothing (C2)."""

    rules: tuple[ContradictionRule, ...]
    unknown_values: tuple[Any, ...]


class FieldRule(msgspec.Struct, frozen=True):
    """A field that must not occur: restricted (``personal_class`` None) or classified as personal data (P1)."""

    id: str
    pattern: FieldPattern
    action_types: ActionTypes
    personal_class: str | None = None


class ProhibitedValue(msgspec.Struct, frozen=True):
    """Values that a field must not have (P1)."""

    id: str
    pattern: FieldPattern
    values: tuple[Any, ...]
    action_types: ActionTypes


class RequiredKnown(msgspec.Struct, frozen=True):
    """A field that must be present, and neither null nor one of the unknown values (P1, `UNKNOWN_VALUE`)."""

    id: str
    path: Path
    action_types: ActionTypes


class ValuePattern(msgspec.Struct, frozen=True):
    """A value pattern on the fields it names (P3): an RE2 expression, a checksum, or both (candidates that check).

    ``fields`` empty means: on no field; every field is written as the pattern ``"**"``. ``checksum`` is one of luhn, iban,
    verhoeff, ssn, ipv4, ipv6, email or another name that the document's schema lists. ``normalise`` lists ``"nfkc"`` and
    ``"strip_separators"``.
    """

    id: str
    personal_class: str
    fields: tuple[FieldPattern, ...]
    regex: str | None
    checksum: str | None
    action_types: ActionTypes
    compiled: Any = None
    normalise: frozenset[str] = frozenset()


class CompliancePolicy(msgspec.Struct, frozen=True):
    """The field guard (P1 to P3). ``allowed_*`` None means that there is no allowlist."""

    field_rules: tuple[FieldRule, ...]
    prohibited_actions: frozenset[str]
    allowed_actions: frozenset[str] | None
    allowed_targets: frozenset[str] | None
    prohibited_targets: frozenset[str]
    prohibited_values: tuple[ProhibitedValue, ...]
    required_known: tuple[RequiredKnown, ...]
    unknown_values: tuple[Any, ...]
    value_patterns: tuple[ValuePattern, ...]


class NotNeeded(msgspec.Struct, frozen=True):
    """Inputs that some action types do not need, at some choke points."""

    inputs: frozenset[Input]
    choke_points: frozenset[ChokePoint] | None
    action_types: ActionTypes


class CustomValidator(msgspec.Struct, frozen=True):
    """A custom validator the policy names, and the configuration it is given."""

    id: str
    config: Mapping[str, Any]


class ModelPrice(msgspec.Struct, frozen=True):
    """What a language model costs, in pico-units of the price table's currency for each token."""

    input: int
    output: int


class Prices(msgspec.Struct, frozen=True):
    """The price table: money for an operation, and for the tokens of a model. ``unit`` as in ``pico_USD``."""

    unit: str
    operations: Mapping[str, int]
    models: Mapping[str, ModelPrice]


class BudgetPolicy(msgspec.Struct, frozen=True):
    """What may be spent (B1 to B14).

    ``caps`` are sorted by id. ``maxima`` is what a request of a class reserves in a unit whose amount nobody knows (B12).
    ``families`` are what the caps count, sorted, each once (`weighbridge.domain.caps`). ``time_zone`` is an IANA name.
    """

    time_zone: str
    caps: tuple[Cap, ...]
    maxima: Mapping[CostClass, Mapping[str, int]]
    prices: Prices | None
    families: tuple[str, ...]


class PlanAction(msgspec.Struct, frozen=True):
    """What a plan type says of one action type. ``operations`` None: every operation of that action type."""

    risk: Risk
    human_touch: bool = False
    operations: frozenset[str] | None = None


class PlanType(msgspec.Struct, frozen=True):
    """What a plan of one type may be (H3), and what follows when a step cannot go on (H4).

    ``order`` holds pairs of action types, ``(before, after)``. ``objective`` are conditions on the snapshot that must all hold;
    none means that only its steps complete a plan. From ``elevated_risk`` on, approval needs elevated authority.
    """

    name: str
    actions: Mapping[str, PlanAction]
    max_retries: int
    lifetime_ms: int
    order: tuple[tuple[str, str], ...] = ()
    objective: tuple[Condition, ...] = ()
    abort_on_block: bool = False
    elevated_risk: Risk = Risk.HIGH


class EffectivePolicy(msgspec.Struct, frozen=True, eq=False):
    """Everything that counts for one tenant."""

    document: Mapping[str, Any]
    policy_version: str
    name: str
    max_clock_skew_ms: int
    sources: Mapping[str, SourcePolicy]
    operations: Mapping[str, OperationFacts]
    not_needed: tuple[NotNeeded, ...]
    freshness: FreshnessPolicy | None
    grounding: GroundingPolicy | None
    contradiction: ContradictionPolicy | None
    compliance: CompliancePolicy | None
    budgets: BudgetPolicy | None
    custom_validators: tuple[CustomValidator, ...]
    plan_types: Mapping[str, PlanType] = {}
    """By name; what is not here is no type of plan (`INVALID_PLAN_TYPE`)."""
    memo: dict[Any, Any] = {}
    """What validators derived from the other fields and keep, so that a rule is prepared once; never a source of facts."""

    def __post_init__(self) -> None:
        """Start with nothing derived, also where this is a changed copy of another policy."""
        msgspec.structs.force_setattr(self, "memo", {})

    def trust_of(self, source_type: str | None) -> Trust:
        """Return the declared trust of a source type; an undeclared one is `observed` (R4)."""
        source = self.sources.get(source_type) if source_type is not None else None
        return source.trust if source is not None else Trust.OBSERVED

    def needs(self, choke_point: ChokePoint, wanted: Input, action_types: frozenset[str]) -> bool:
        """Return whether an input that the choke point asks for is needed by one of ``action_types`` (G5).

        No action type at all (nothing is proposed, or nobody knows the operation) needs what is not waived for every one.
        """
        needing = set(action_types)
        for entry in self.not_needed:
            if wanted not in entry.inputs or (entry.choke_points is not None and choke_point not in entry.choke_points):
                continue
            if entry.action_types is None:
                return False
            needing -= entry.action_types
        return bool(needing) or not action_types
