"""The validator gateway: every validator, every time, in one order; the strictest verdict (G1, G6, G9).

Pure: it turns (context, policy) into a run that is ready to be recorded, and decides nothing else. It does not pause,
fetch, repair or retry, and it hands validators nothing with which they could. What depends on the state of the ledger
(a known id, an earlier block) is decided in the store's transaction by ``ledger.commit``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge import canonical
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import EvidenceItem, OperationFacts, Proposal, Role, ValidationContext
from weighbridge.domain.decision import Finding, Sealed, ValidatorResult
from weighbridge.domain.evidence import Trust
from weighbridge.domain.freezing import freeze
from weighbridge.domain.identifiers import shortened
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.errors import UsageError, WeighbridgeError
from weighbridge.ledger.submission import RunDraft
from weighbridge.policy.effective import EffectivePolicy

if TYPE_CHECKING:
    from weighbridge.validators.interface import Validator

Contents = tuple[tuple[str, bytes], ...]

_OPERATIONS_KEPT_MAX = 1_000  # plans combine operations; a few hundred bytes each

_REASON = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)  # a code; a sentence is derived, never stored

_LEAVES = frozenset({str, int, float, bool, type(None), Verdict})


class PreparedRun(msgspec.Struct, frozen=True):
    """A judged run and the content it was judged from, each by its keyed hash."""

    draft: RunDraft
    contents: Contents


class Engine(msgspec.Struct, frozen=True):
    """What judges one tenant: its effective policy, the validators that policy names, and what identifies both (G4).

    ``kept`` is what every run points to besides its own inputs: ``(name, keyed hash, bytes)`` of engine and policy.
    """

    policy: EffectivePolicy
    built_in: tuple[Validator, ...]
    custom: tuple[Validator, ...]
    frozen_policy: EffectivePolicy
    version: str
    key: bytes
    kept: tuple[tuple[str, str, bytes], ...]
    operations: dict[Any, tuple[str, bytes]] = msgspec.field(default_factory=dict)
    """What was derived about the operations of requests so far; never a source of facts."""


class ValidatorGateway:
    """Runs the four built-in validators and the custom ones a policy names.

    ``custom`` are the custom validators at hand; ``libraries`` the versions of what the built-in ones compute with.
    """

    def __init__(self, custom: Sequence[Validator], libraries: Mapping[str, str]) -> None:
        self._custom = {validator.id: validator for validator in custom}
        if len(self._custom) < len(custom):  # G4: which of the two judged would depend on who was installed first
            ids = [validator.id for validator in custom]
            twice = sorted({f"`{name}`" for name in ids if ids.count(name) > 1})
            raise UsageError(f"there are two custom validators {', '.join(twice)}; give each an id of its own")
        self._libraries = dict(libraries)

    def engine(self, policy: EffectivePolicy, key: bytes) -> Engine:
        """Return the engine for a tenant's policy and content key; callers keep it.

        Raises:
            UsageError: the policy names a custom validator that is not at hand (absence is refusal, G5).
        """
        missing = [named.id for named in policy.custom_validators if named.id not in self._custom]
        if missing:
            message = (
                f"the policy names the custom validators {', '.join(f'`{name}`' for name in missing)}, which are not at hand; "
                "pass them to `weighbridge.open(..., validators=[...])` or install the package that provides them"
            )
            raise UsageError(message)
        from weighbridge.validators import builtin  # noqa: PLC0415 - who only registers functions judges nothing yet

        builtin.prepare(policy)
        custom = tuple(self._custom[named.id] for named in policy.custom_validators)
        description = canonical.encode(builtin.engine_description((*builtin.BUILT_IN, *custom), self._libraries))
        # What the built-in ones remember is theirs alone: nobody else may read it, or write to it (G1).
        frozen = msgspec.structs.replace(policy, document=freeze(policy.document))
        msgspec.structs.force_setattr(frozen, "memo", MappingProxyType({}))
        kept = tuple(
            (name, canonical.keyed_hash(key, data), data)
            for name, data in (("engine", description), ("policy", canonical.encode(policy.document)))
        )
        return Engine(policy, builtin.BUILT_IN, custom, frozen, canonical.sha256_hex(description), key, kept)

    @staticmethod
    def judge(
        context: ValidationContext, engine: Engine, sealed: dict[str, bytes] | None = None
    ) -> tuple[ValidatorResult, ...]:
        """Return every validator's result, in order. A BLOCK stops none of the others (G1).

        ``sealed`` is given the content of what custom validators sealed, by its hash; the built-in ones' is still in place.
        """
        results = [_run(validator, context, engine.policy) for validator in engine.built_in]
        if engine.custom:
            frozen = _freeze_context(context)  # none can change what the next one sees
            results += [
                _checked(_run(validator, frozen, engine.frozen_policy), engine.key, sealed)
                for validator in engine.custom
            ]
        return tuple(results)


class Identified(msgspec.Struct, frozen=True):
    """A context's parts by name, as keyed hashes and bytes, and what the request and the proposal are known by.

    ``request_hash`` covers choke point, target, proposal, evidence, data sources and snapshot, and neither the evaluation
    time nor the policy (G3). ``inputs_hash`` covers what a verdict is formed from and not how it is asked: neither target nor
    attempt, and evidence, references and data sources as sets (G8). ``proposal_hash`` covers operation and arguments only, so
    that the same action with other evidence is recognised as the same action (G8).
    """

    hashes: dict[str, str]
    parts: dict[str, bytes]
    request_hash: str
    inputs_hash: str
    proposal_hash: str


def identify(context: ValidationContext, key: bytes, *, simple: bool = False) -> Identified:
    """Return what a request is known by, under the tenant's content key.

    ``simple`` says that the context was read from a simple private copy (`canonical.private_copy`): the same bytes, sooner.
    """
    encode: Callable[[Any], bytes] = canonical.encode_simple if simple else _encode_parts
    parts = {
        name: encode(value)
        for name, value in (
            ("data_sources", context.data_sources),
            ("evidence", context.evidence),
            ("plan", context.plan and _without_facts(context.plan)),
            ("proposal", context.proposal and _without_facts(context.proposal)),
            ("snapshot", context.snapshot and context.snapshot.fields),
        )
        if value is not None
    }
    hashes = {name: canonical.keyed_hash(key, data) for name, data in parts.items()}
    request: dict[str, Any] = {"choke_point": context.choke_point, "target_id": target_of(context), **hashes}
    if context.choke_point is ChokePoint.BEFORE_STEP_EXECUTION and context.step_id is not None:
        # The target as text is for people: it is cut, and two step attempts may have the same.
        request["attempt"] = [context.plan_id, context.step_id, context.attempt]
    acts: list[dict[str, Any]] = [{"arguments": act.arguments, "operation": act.operation} for act in context.proposals]
    if context.choke_point is ChokePoint.BEFORE_PLAN_APPROVAL:
        for act, step in zip(acts, context.proposals, strict=True):
            act |= {"depends_on": step.depends_on, "step_id": step.step_id}
    proposal_hash = canonical.keyed_hash(key, encode(acts))

    def as_set(items: Sequence[Any] | None, listed: str | None = None) -> str | None:
        if not items:
            return None
        plain = [_without_order(item) for item in items]
        if listed is not None and len(items) == 1 and plain[0] is items[0]:
            return listed  # one item, listed or as a set, has the same bytes
        return canonical.keyed_hash(key, b"[" + b",".join(sorted({encode(item) for item in plain})) + b"]")

    inputs = {
        "choke_point": context.choke_point,
        "data_sources": as_set(context.data_sources, hashes.get("data_sources")),
        "evidence": as_set(context.evidence, hashes.get("evidence")),
        "proposal": proposal_hash,
        "references": [as_set(act.evidence) for act in context.proposals],  # in a plan, each step's are its own
        "snapshot": hashes.get("snapshot"),
    }
    return Identified(
        hashes, parts, canonical.sha256_hex(encode(request)), canonical.sha256_hex(encode(inputs)), proposal_hash
    )


def _without_order(value: Any) -> Any:
    """Return a reference, or an item with one, whose fields stand in no order of the caller's (R2: they are a set)."""
    if isinstance(value, EvidenceItem):
        reference = _without_order(value.reference)
        return value if reference is value.reference else msgspec.structs.replace(value, reference=reference)
    if not isinstance(value, dict) or not isinstance(value.get("record_locator"), dict):
        return value
    locator: dict[str, Any] = value["record_locator"]
    names = locator.get("fields")
    if not isinstance(names, list) or not all(type(name) is str for name in names):
        return value
    return {**value, "record_locator": {**locator, "fields": sorted(set(names))}}


def _encode_parts(value: Any) -> bytes:
    return canonical.encode(msgspec.to_builtins(value))


def target_of(context: ValidationContext) -> str:
    """Return what is being weighed: the plan, the step attempt, the writeback's target, or the operation."""
    if context.target_id is not None:
        return context.target_id
    if context.choke_point is ChokePoint.BEFORE_PLAN_APPROVAL:
        return context.plan.plan_id if context.plan else context.plan_id or "unknown"
    operation = context.proposal.operation if context.proposal else "unknown"
    if context.choke_point is ChokePoint.BEFORE_STEP_EXECUTION and context.step_id is not None:
        return shortened(
            "/".join(str(part) for part in (context.plan_id, context.step_id, context.attempt) if part is not None)
        )
    facts = context.proposal.facts if context.proposal else None
    if context.choke_point is ChokePoint.BEFORE_EXTERNAL_WRITEBACK and facts is not None and facts.target:
        return facts.target
    return shortened(operation)


def with_facts(context: ValidationContext, look_up: Callable[[str], OperationFacts | None]) -> ValidationContext:
    """Return the context with every proposal's operation looked up by name; an unknown one stays unknown (Z5)."""
    changed: dict[str, Any] = {}
    if context.proposal is not None:
        changed["proposal"] = msgspec.structs.replace(context.proposal, facts=look_up(context.proposal.operation))
    if context.plan is not None:
        steps = [msgspec.structs.replace(step, facts=look_up(step.operation)) for step in context.plan.steps]
        changed["plan"] = msgspec.structs.replace(context.plan, steps=steps)
    return msgspec.structs.replace(context, **changed)


def without_stated_facts(
    context: ValidationContext, principal: Principal
) -> tuple[ValidationContext, tuple[Finding, ...]]:
    """Return what counts of a request from this principal, and a finding for what it may not state (Z5).

    From anyone but a host, evidence is `observed`, and a snapshot, data sources or an evaluation time are refused.
    """
    if principal.role is Role.HOST:
        return context, ()
    stated = [name for name in ("snapshot", "data_sources", "evaluation_time") if getattr(context, name) is not None]
    evidence = context.evidence and [msgspec.structs.replace(item, trust=Trust.OBSERVED) for item in context.evidence]
    counted = msgspec.structs.replace(context, snapshot=None, data_sources=None, evidence=evidence)
    if not stated:
        return counted, ()
    return counted, (Finding("UNTRUSTED_INPUT", {"inputs": stated, "role": principal.role.value}),)


def prepare(
    context: ValidationContext, engine: Engine, identified: Identified, findings: tuple[Finding, ...] = ()
) -> PreparedRun:
    """Judge a complete context and return the run, ready to be recorded in one record (G2)."""
    key = engine.key
    hashes, parts = identified.hashes, dict(identified.parts)
    found = (*findings, *_not_as_approved(context, identified))
    sealed: dict[str, bytes] = {}
    results = ValidatorGateway.judge(context, engine, sealed)
    events = tuple(run_event(result, key, sealed) for result in results)
    operations_hash, parts["operations"] = _operations_part(context, engine)
    content = {
        **hashes,
        "operations": operations_hash,
        **{name: content_hash for name, content_hash, _ in engine.kept},
    }
    fields: dict[str, Any] = {
        "validation_run_id": context.validation_run_id,
        "choke_point": context.choke_point.value,
        "target_id": target_of(context),
    }
    if "snapshot" in hashes:
        fields["snapshot_id"] = hashes["snapshot"]
    if context.approved is not None:
        parts["approved"] = _encode_parts(context.approved)
        content["approved"] = canonical.keyed_hash(key, parts["approved"])
    draft = RunDraft(
        validation_run_id=context.validation_run_id or "",
        choke_point=context.choke_point.value,
        request_hash=identified.request_hash,
        inputs_hash=identified.inputs_hash,
        proposal_hash=identified.proposal_hash,
        verdict=strictest([result.result for result in results] + [Verdict.BLOCK] * len(found)),
        fields=fields,
        events=events,
        summary={"content": content, **_operation_summary(context)},
        findings=tuple({"reason": finding.reason, "details": finding.details} for finding in found),
    )
    contents = [(content[name], data) for name, data in sorted(parts.items())]
    contents += [(content_hash, data) for _, content_hash, data in engine.kept]
    contents += sealed.items()  # L6: the record holds the hash of a personal value, and content the value
    return PreparedRun(draft, tuple(contents))


def _operations_part(context: ValidationContext, engine: Engine) -> tuple[str, bytes]:
    """Return what the registry knows about the operations of a request, by hash and bytes; kept, because few differ."""
    acts = tuple((act.operation, act.facts) for act in context.proposals if act.facts is not None)
    known = engine.operations.get(acts)
    if known is None:
        data = canonical.encode(msgspec.to_builtins(dict(acts)))
        if len(engine.operations) >= _OPERATIONS_KEPT_MAX:
            engine.operations.clear()
        known = engine.operations[acts] = canonical.keyed_hash(engine.key, data), data
    return known


def run_event(result: ValidatorResult, key: bytes, sealed: dict[str, bytes] | None = None) -> dict[str, Any]:
    """Return the `VALIDATOR_RUN` event of a result; sealed values are replaced by their keyed hash (C3, L6).

    ``sealed`` is given the values themselves, by that hash.
    """
    return {
        "type": "VALIDATOR_RUN",
        "validator": result.validator,
        "result": str(result.result),
        "reason": result.reason,
        "details": _unseal(result.details, key, sealed),
    }


def _run(validator: Validator, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
    try:
        result = validator.evaluate(context, policy)
    except KeyboardInterrupt:  # a person's, not the validator's
        raise
    except BaseException as error:  # noqa: BLE001 - G6: whatever it raises counts as BLOCK
        return _failed(validator, type(error).__name__)
    if (
        type(result) is not ValidatorResult  # a subclass may answer differently each time it is asked
        or not isinstance(result.result, Verdict)
        or not isinstance(result.reason, str)
        or not isinstance(result.details, dict)
        or result.validator != validator.id
    ):
        return _failed(validator, "NotAResult")
    return result


def _checked(result: ValidatorResult, key: bytes, sealed: dict[str, bytes] | None) -> ValidatorResult:
    """Return a custom validator's result as it will be recorded, shared with nobody, or VALIDATOR_ERROR (G6)."""
    if _REASON.fullmatch(result.reason) is None:
        return ValidatorResult(result.validator, Verdict.BLOCK, "VALIDATOR_ERROR", {"error": "ReasonIsNoCode"})
    own: dict[str, bytes] = {}
    try:
        details = canonical.encode_and_decode(_unseal(result.details, key, own))[1]
    except (WeighbridgeError, RecursionError):
        return ValidatorResult(result.validator, Verdict.BLOCK, "VALIDATOR_ERROR", {"error": "DetailsAreNotJson"})
    if sealed is not None:
        sealed.update(own)
    return ValidatorResult(result.validator, result.result, result.reason, details)


def _failed(validator: Validator, error: str) -> ValidatorResult:
    return ValidatorResult(validator.id, Verdict.BLOCK, "VALIDATOR_ERROR", {"error": error})


def _freeze_context(context: ValidationContext) -> ValidationContext:
    return _frozen_struct(context)  # type: ignore[no-any-return]


def _frozen_struct(value: Any) -> Any:
    """Return a struct, list or JSON value with nothing mutable left in it."""
    if isinstance(value, msgspec.Struct):
        changed = {name: _frozen_struct(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, (list, tuple)):
        return tuple(_frozen_struct(item) for item in value)
    if isinstance(value, dict):
        return freeze({name: _frozen_struct(item) for name, item in value.items()})
    return value


def _without_facts(part: Any) -> Any:
    if isinstance(part, Proposal):
        return msgspec.structs.replace(part, facts=None)
    return msgspec.structs.replace(part, steps=[_without_facts(step) for step in part.steps])


def _not_as_approved(context: ValidationContext, identified: Identified) -> tuple[Finding, ...]:
    """G11: what runs must be what was approved; a hash that cannot be formed differs."""
    approved = context.approved
    if approved is None:
        return ()
    pairs = (
        ("plan", approved.plan_hash, identified.hashes.get("plan")),
        ("step", approved.step_hash, identified.proposal_hash),
        ("snapshot", approved.snapshot_id, identified.hashes.get("snapshot")),
    )
    differs = [name for name, wanted, actual in pairs if wanted is not None and wanted != actual]
    return (Finding("NOT_AS_APPROVED", {"differs": differs}),) if differs else ()


def _operation_summary(context: ValidationContext) -> dict[str, Any]:
    if context.choke_point is ChokePoint.BEFORE_PLAN_APPROVAL or context.proposal is None:
        return {}
    return {"operation": context.proposal.operation}


def _unseal(value: Any, key: bytes, sealed: dict[str, bytes] | None) -> Any:
    if isinstance(value, dict):
        return {name: item if type(item) in _LEAVES else _unseal(item, key, sealed) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _LEAVES else _unseal(item, key, sealed) for item in value]
    if isinstance(value, Sealed):
        data = canonical.encode(value.value)
        content_hash = canonical.keyed_hash(key, data)
        if sealed is not None:
            sealed[content_hash] = data
        return {"content_hash": content_hash}
    return value
