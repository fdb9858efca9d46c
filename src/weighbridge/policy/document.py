"""The policy document, as people write it: every section, key and default, and what a key accepts.

A `PolicyDocument` has the right shape and nothing impossible in it. `effective` gives what counts for one tenant: the base
merged with the tenant's section, compiled. Documents come from `loader.load_policy`, which reports every mistake with its
line, or from `loader.document_from_mapping`.

Keys that a tenant's section may leave out have no default here, so that leaving out never overrides the base; the
defaults of the base are written out by `merge.complete`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from weighbridge.policy.budget_section import BudgetsOrUnlimited, TenantBudgetsOrUnlimited
from weighbridge.policy.compile import compile_effective
from weighbridge.policy.effective import EffectivePolicy
from weighbridge.policy.leaves import (
    Checksum,
    CostWord,
    Distinct,
    Duration,
    FieldText,
    JsonObject,
    KindWord,
    Many,
    Maybe,
    Name,
    Part,
    ProposalPath,
    Regex,
    Scalar,
    Severity,
    TrustWord,
    one_of_names,
    refusal,
)
from weighbridge.policy.merge import effective_form
from weighbridge.policy.plan_section import PlanType, TenantPlanType
from weighbridge.policy.rule_kinds import Rule

FORMAT = 1
"""The version of this document format."""

ActionTypeList = Maybe[Many[Name]]
NeedlessInput = Annotated[
    Literal["snapshot", "data_sources", "evidence"], *one_of_names(("snapshot", "data_sources", "evidence"))
]
_CHOKE_POINTS = ("BEFORE_PLAN_APPROVAL", "BEFORE_STEP_EXECUTION", "BEFORE_EXTERNAL_WRITEBACK", "BEFORE_EXPENSIVE_READ")
ChokePointName = Annotated[str, *one_of_names(_CHOKE_POINTS)]


# --- Sources, operations, inputs --------------------------------------------------------------------------------------


class TenantSource(Part):
    """What a tenant's section may say about a source type."""

    trust: Maybe[TrustWord] = None
    """How far the source is believed; a tenant can lower it."""
    free_text: Maybe[Distinct[FieldText]] = None
    """Fields written by third parties (a mail body, a note): `observed` whatever the source's trust."""
    admitted_text: Maybe[Distinct[FieldText]] = None
    """Fields among `free_text` that are trusted like the source all the same."""


class Source(TenantSource):
    """How far a source type is believed."""

    trust: TrustWord
    """`system_of_record` and `trusted` ground an action; `observed` does not."""


class Operation(Part):
    """A registered operation: what it is, by its name."""

    kind: KindWord
    """`writeback` changes a system of others, `action` changes something of ours, `read` changes nothing."""
    cost_class: CostWord
    """`EXPENSIVE` operations pass a choke point of their own."""
    action_type: Maybe[Name] = None
    """What rules call it; left out: the operation's name."""
    target: Maybe[Name] = None
    """The system it writes to; a writeback has one."""
    declares_proposal: StrictBool = False
    """Whether an EXPENSIVE operation is grounded like a proposal."""


class NotNeededEntry(Part):
    """Inputs that some action types do not need."""

    inputs: Many[NeedlessInput]
    """What is not needed: `snapshot`, `data_sources`, `evidence`."""
    action_types: ActionTypeList = None
    """For which action types; left out: all."""
    choke_points: Maybe[Many[ChokePointName]] = None
    """At which choke points; left out: all that ask for it."""


class RequiredInputs(Part):
    """Exceptions from the table of required inputs; what no entry names is needed."""

    not_needed: Maybe[tuple[NotNeededEntry, ...]] = None
    """What is not needed, for which action types, at which choke points."""


# --- Freshness and grounding ------------------------------------------------------------------------------------------


class TenantTtl(Part):
    """What a tenant's section may lower."""

    soft_ttl: Maybe[Duration] = None
    """Older than this is WARN `DATA_AGING`."""
    hard_ttl: Maybe[Duration] = None
    """Older than this is BLOCK `DATA_STALE`."""


class Ttl(TenantTtl):
    """How old data may be; soft at most hard."""

    soft_ttl: Duration
    """Older than this is WARN `DATA_AGING`."""
    hard_ttl: Duration
    """Older than this is BLOCK `DATA_STALE`."""


class TenantFreshness(Part):
    """Lower limits for a tenant."""

    source_types: Maybe[dict[Name, TenantTtl]] = None
    """Limits per source type."""
    source_ids: Maybe[dict[Name, TenantTtl]] = None
    """Limits per source id; they come before those of the type."""


class Freshness(Part):
    """How old data may be, per source type and, narrower, per source id."""

    source_types: Maybe[dict[Name, Ttl]] = None
    """Limits per source type."""
    source_ids: Maybe[dict[Name, Ttl]] = None
    """Limits per source id; they come before those of the type."""


class GroundedField(Part):
    """A field of the proposal whose values must each stand in trusted evidence."""

    id: Name
    """The rule's name in records and messages; each name once."""
    field: ProposalPath
    """The path in the proposal's arguments; `[*]` for every element."""
    action_types: ActionTypeList = None
    """The action types the rule is limited to; left out: all."""
    text: StrictBool = False
    """Whether the value may also stand inside a text, between spaces, quotes or punctuation."""
    normalise: Distinct[Annotated[str, *one_of_names(("case_folded", "trimmed"))]] = ()
    """How both sides are made alike before comparing; empty: not at all."""
    source_types: Maybe[Many[Name]] = None
    """The source types that count; left out: every one that is trusted."""
    severity: Maybe[Severity] = None
    """What a failure is; left out: what the section says."""


class Grounding(Part):
    """What evidence an action needs."""

    severity: Maybe[Severity] = None
    """What a failing reference is: WARN or BLOCK (the default)."""
    values: Maybe[tuple[GroundedField, ...]] = None
    """Fields whose values must stand in the evidence."""


# --- Contradiction ----------------------------------------------------------------------------------------------------


class TenantContradiction(Part):
    """More rules for a tenant."""

    unknown_values: Maybe[Distinct[Scalar]] = None
    """Values that mean "not known", like null: they contradict nothing."""
    rules: Maybe[tuple[Rule, ...]] = None
    """The fields that are compared, and how."""


class Contradiction(TenantContradiction):
    """What a proposal must not contradict. What no rule names is not compared."""

    rules: tuple[Rule, ...]
    """The fields that are compared, and how; `[]` compares nothing."""


# --- Compliance -------------------------------------------------------------------------------------------------------


def _path_or_object(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class GuardedField(Part):
    """A field that must not occur."""

    path: FieldText
    """Dotted names; they match the end of any path, at any depth, whatever the case and separators."""
    id: Maybe[Name] = None
    """The rule's name; left out: the path."""
    action_types: ActionTypeList = None
    """The action types the rule is limited to; left out: all."""


PathOrField = Annotated[GuardedField, BeforeValidator(_path_or_object, json_schema_input_type=str | GuardedField)]


class ProhibitedValues(Part):
    """Values that a field must not have."""

    path: FieldText
    """Dotted names that match the end of any path."""
    values: Many[Scalar]
    """The values it must not have."""
    id: Maybe[Name] = None
    """The rule's name; left out: the path."""
    action_types: ActionTypeList = None
    """The action types the rule is limited to; left out: all."""


class KnownField(Part):
    """A field that must be there, and be known."""

    path: ProposalPath
    """The path in the proposal's arguments."""
    id: Maybe[Name] = None
    """The rule's name; left out: the path."""
    action_types: ActionTypeList = None
    """The action types the rule is limited to; left out: all."""


PathOrKnown = Annotated[KnownField, BeforeValidator(_path_or_object, json_schema_input_type=str | KnownField)]


class Pattern(Part):
    """Values that look like personal data: an expression, a checksum, or both."""

    id: Name
    """The rule's name in records and messages; each name once."""
    personal_class: Name = Field(alias="class")
    """The class of personal data it finds, as in CREDIT_CARD."""
    fields: Many[FieldText]
    """Where it looks: dotted names that match the end of any path, or `**` for every field."""
    regex: Maybe[Regex] = None
    """An RE2 expression; with a checksum too, what it finds must also check."""
    checksum: Maybe[Checksum] = None
    """A checksum that the value, or what the expression found, satisfies."""
    normalise: Distinct[Annotated[str, *one_of_names(("nfkc", "strip_separators"))]] = ()
    """How the value is made plain before looking."""
    action_types: ActionTypeList = None
    """The action types the rule is limited to; left out: all."""


class Compliance(Part):
    """The field guard: what must not occur, and what must be known."""

    unknown_values: Maybe[Distinct[Scalar]] = None
    """Values that mean "not known", like null."""
    restricted_fields: Maybe[tuple[PathOrField, ...]] = None
    """Fields that must not occur."""
    personal_fields: Maybe[dict[Name, tuple[PathOrField, ...]]] = None
    """Fields that hold personal data, by class; they must not occur either."""
    prohibited_actions: Maybe[Distinct[Name]] = None
    """Action types that are never allowed."""
    allowed_actions: Maybe[Distinct[Name]] = None
    """When written: the only action types that are allowed."""
    allowed_targets: Maybe[Distinct[Name]] = None
    """When written: the only targets that are allowed."""
    prohibited_targets: Maybe[Distinct[Name]] = None
    """Targets that are never allowed."""
    prohibited_values: Maybe[tuple[ProhibitedValues, ...]] = None
    """Values that fields must not have."""
    required_known: Maybe[tuple[PathOrKnown, ...]] = None
    """Fields that must be there, and neither null nor unknown."""
    value_patterns: Maybe[tuple[Pattern, ...]] = None
    """Values that must not occur, whatever the field is called."""


class CustomValidatorEntry(Part):
    """A validator of one's own that takes part."""

    id: Name
    """The validator's id."""
    config: JsonObject = Field(default_factory=dict)
    """What it is configured with; any JSON object."""


# --- The document -----------------------------------------------------------------------------------------------------


class TenantSection(Part):
    """What is different for one tenant. It can only be stricter, except under keys the base declares replaceable."""

    max_clock_skew: Maybe[Duration] = None
    """How far clocks may be apart; the lower counts."""
    sources: Maybe[dict[Name, TenantSource]] = None
    """Lower trust, more third-party text."""
    operations: Maybe[dict[Name, Operation]] = None
    """Operations; only where the base declares them replaceable."""
    required_inputs: Maybe[RequiredInputs] = None
    """Exceptions; only where the base declares them replaceable."""
    freshness: Maybe[TenantFreshness] = None
    """Lower limits."""
    grounding: Maybe[Grounding] = None
    """A stricter severity, more fields."""
    contradiction: Maybe[TenantContradiction] = None
    """More rules, fewer unknown values."""
    compliance: Maybe[Compliance] = None
    """More denials, shorter allow lists."""
    budgets: Maybe[TenantBudgetsOrUnlimited] = None
    """Lower caps, and more of them."""
    plan_types: Maybe[dict[Name, TenantPlanType]] = None
    """Narrower types of plans, and none that the base does not have."""
    validators: Maybe[tuple[CustomValidatorEntry, ...]] = None
    """More validators, after those of the base."""


def _format(value: Any) -> Any:
    if type(value) is not int or value != FORMAT:
        raise refusal(f"this reads version {FORMAT} of the document format", f"{FORMAT}")
    return value


class PolicyDocument(Part):
    """A Weighbridge policy."""

    weighbridge: Annotated[Literal[1], BeforeValidator(_format)]
    """The version of the document format: 1."""
    name: Name
    """What people call this policy."""
    max_clock_skew: Maybe[Duration] = None
    """How far in the future a timestamp may lie before it is BLOCK `TIMESTAMP_IN_FUTURE`; 5s when left out."""
    sources: Maybe[dict[Name, Source]] = None
    """Trust per source type; a source type that is not declared is `observed`."""
    operations: Maybe[dict[Name, Operation]] = None
    """The registered operations, by name."""
    required_inputs: Maybe[RequiredInputs] = None
    """Which inputs some action types do not need."""
    freshness: Maybe[Freshness] = None
    """How old data may be."""
    grounding: Maybe[Grounding] = None
    """What evidence an action needs."""
    contradiction: Maybe[Contradiction] = None
    """What a proposal must not contradict."""
    compliance: Maybe[Compliance] = None
    """What must not occur in a proposal, and what must be known."""
    budgets: Maybe[BudgetsOrUnlimited] = None
    """What may be spent; without it every operation is BLOCK `NO_APPLICABLE_CONFIG`."""
    plan_types: Maybe[dict[Name, PlanType]] = None
    """The types of plans that there are, by name; without it every plan is `INVALID_PLAN_TYPE`."""
    validators: Maybe[tuple[CustomValidatorEntry, ...]] = None
    """Validators of one's own, in the order in which they run after the four."""
    replaceable: Maybe[Distinct[ProposalPath]] = None
    """Keys that a tenant's section may replace outright, as in `freshness.source_types.web_page`."""
    tenants: Maybe[dict[Name, TenantSection]] = None
    """What is different for each tenant, by tenant id."""

    def written(self) -> dict[str, Any]:
        """Return the document as plain data: what was written, in one spelling, rules with their defaults."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def effective(self, tenant_id: str | None) -> EffectivePolicy:
        """Return what counts for a tenant: the base, merged with its section where there is one.

        Compiling takes a few milliseconds; keep the answer.
        """
        return compile_effective(effective_form(self.written(), tenant_id))


class _SchemaWithoutNulls(GenerateJsonSchema):
    """None as a default means "left out"; a schema says that by not requiring the key."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        if "default" in schema and schema["default"] is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of policies (draft 2020-12), with a description on every key, as editors read it."""
    schema = PolicyDocument.model_json_schema(by_alias=True, schema_generator=_SchemaWithoutNulls)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}
