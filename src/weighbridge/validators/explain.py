"""One English sentence for any result or finding, with the arithmetic in it.

The sentence is derived, never stored: it reads only reason and details, so that a result fresh from a validator and one
decoded from a ledger record read the same. Values that are kept apart (`Sealed`, or its content hash) stay apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.decision import Finding, Sealed, ValidatorResult
from weighbridge.errors import CanonicalError
from weighbridge.validators.values import SHOWN_TEXT_MAX, instant_of

_UNITS: Final = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000), ("millisecond", 1))
_Details = Mapping[str, Any]


def explain(result: ValidatorResult | Finding | Mapping[str, Any]) -> str:
    """Return one sentence, without a capital or a full stop, for a result, a finding, or either decoded from a record.

    Never fails on a shape it does not know (a custom validator's): it then names the validator and the reason.
    """
    validator, verdict, reason, details = _parts(result)
    sentence = _SENTENCES.get(reason)
    if sentence is not None and (validator in _OURS or reason in _SHARED):
        try:
            return sentence(details)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
            pass  # details of another version; what is certain is said below
    return (
        f"{_code(validator)} answered {verdict} with reason {reason}" if validator else f"refused with reason {reason}"
    )


def _parts(result: ValidatorResult | Finding | Mapping[str, Any]) -> tuple[str, str, str, _Details]:
    if isinstance(result, Finding):
        return "", "BLOCK", result.reason, result.details
    if isinstance(result, ValidatorResult):
        return result.validator, result.result.value, result.reason, result.details
    return (
        str(result.get("validator", "")),
        str(result.get("result", "BLOCK")),
        str(result.get("reason", "")),
        result.get("details") or {},
    )


_OURS: Final = frozenset({"", "freshness", "grounding", "contradiction", "compliance"})
_SHARED: Final = frozenset({"VALIDATOR_ERROR", "NOT_APPLICABLE"})
"""What the gateway says of a custom validator, and what any may say; other reasons of theirs are theirs to explain."""


# --- Words ------------------------------------------------------------------------------------------------------------


def duration_text(duration_ms: int, *, beyond_ms: int | None = None) -> str:
    """Return a duration in words, exactly; or, where ``beyond_ms`` is given, cut as soon as it is seen to be longer."""
    rest, words, said = abs(duration_ms), [], 0
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
            said += count * size
        if words and (not rest or (beyond_ms is not None and said > beyond_ms)):
            break
    return " ".join(words) or "0 milliseconds"


def _code(text: Any) -> str:
    return f"`{text}`"


def _value(value: Any) -> str:
    if isinstance(value, Sealed) or (isinstance(value, Mapping) and set(value) == {"content_hash"}):
        return "a value kept apart"
    if isinstance(value, str):
        return _code(value if len(value) <= SHOWN_TEXT_MAX else f"{value[:SHOWN_TEXT_MAX]}…")
    try:
        return canonical.encode(value).decode()
    except CanonicalError:
        return "a value"


def _source_name(source_type: str) -> str:
    return source_type.replace("_", " ")


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _worst(entries: Sequence[_Details]) -> _Details:
    return next((entry for entry in entries if entry.get("result", "BLOCK") == "BLOCK"), entries[0])


def _and_more(entries: Sequence[_Details], thing: str) -> str:
    others = len(entries) - 1
    return f" (and {_count(others, f'more {thing}')})" if others else ""


def _actor(entry: _Details) -> str:
    step = f"step {_code(entry['step_id'])}" if "step_id" in entry else ""
    operation = _code(entry["operation"]) if "operation" in entry else ""
    return f"{step} ({operation})" if step and operation else step or operation or "the proposal"


# --- Freshness --------------------------------------------------------------------------------------------------------


def _freshness(details: _Details) -> str:
    sources = details["evaluated_sources"]
    worst = next(
        source
        for source in sources
        if source["source_id"] == details["worst_source_id"] and source["result"] == details["worst_result"]
    )
    failing = [source for source in sources if source["result"] != "ALLOW"]
    text = _SOURCE_SENTENCES[worst["reason"]](
        f"{_source_name(worst['source_type'])} data {_code(worst['source_id'])}", worst
    )
    if worst["result"] != "ALLOW":
        return text + _and_more(failing, "source")
    if len(sources) == 1:
        return text
    oldest = max(sources, key=lambda source: source["age_ms"])
    name = f"{_source_name(oldest['source_type'])} data {_code(oldest['source_id'])}"
    return f"all {len(sources)} sources are fresh; the oldest, {name}, is {duration_text(oldest['age_ms'])} old"


def _stale(name: str, source: _Details) -> str:
    limit_ms = source["hard_ttl_ms"]
    return (
        f"{name} is {duration_text(source['age_ms'], beyond_ms=limit_ms)} old; the limit is {duration_text(limit_ms)}"
    )


def _aging(name: str, source: _Details) -> str:
    soft_ms, hard_ms = source["soft_ttl_ms"], source["hard_ttl_ms"]
    return (
        f"{name} is {duration_text(source['age_ms'], beyond_ms=soft_ms)} old; "
        f"it should be at most {duration_text(soft_ms)} old, and the limit is {duration_text(hard_ms)}"
    )


def _fresh(name: str, source: _Details) -> str:
    return f"{name} is {duration_text(source['age_ms'])} old; it may be {duration_text(source['soft_ttl_ms'])} old"


_SOURCE_SENTENCES: Final[dict[str, Callable[[str, _Details], str]]] = {
    "DATA_STALE": _stale,
    "DATA_AGING": _aging,
    "FRESH": _fresh,
    "TIMESTAMP_MISSING": lambda name, _: f"{name} has no valid timestamp; write RFC 3339 with an offset",
    "TIMESTAMP_IN_FUTURE": lambda name, source: (
        f"{name} is dated {duration_text(source['age_ms'])} after the evaluation time, more than clocks may disagree"
    ),
    "CONFIG_MISSING": lambda name, _: f"the policy sets no age limit for {name}",
}


# --- Grounding --------------------------------------------------------------------------------------------------------


def _grounding(details: _Details) -> str:
    failures = details["failures"]
    worst = _worst(failures)
    return _FAILURE_SENTENCES[worst["reason"]](_actor(worst), worst) + _and_more(failures, "failure")


def _reference(entry: _Details) -> str:
    match entry["reference"]:
        case {"source_type": kind, "source_id": identity}:
            return f"{_source_name(kind)} {_code(identity)}"
        case {"ledger_event_id": identity}:
            return f"ledger event {_code(identity)}"
        case {"record_locator": {"system": system, "object": kind, "id": identity}}:
            return f"{kind} {_code(identity)} of {_code(system)}"
        case _:
            return f"reference {entry['position'] + 1}"


_FAILURE_SENTENCES: Final[dict[str, Callable[[str, _Details], str]]] = {
    "MISSING_EVIDENCE": lambda actor, _: f"{actor} carries no evidence reference; it needs at least one",
    "INVALID_EVIDENCE": lambda actor, entry: (
        f"evidence reference {entry['position'] + 1} of {actor} has no allowed shape; "
        "name a source, a ledger event or a record locator"
    ),
    "UNKNOWN_EVIDENCE": lambda actor, entry: f"{actor} refers to {_reference(entry)}, which is not in the evidence set",
    "UNTRUSTED_EVIDENCE": lambda actor, entry: f"{actor} refers to {_reference(entry)}, whose source is not trusted",
    "UNGROUNDED_VALUE": lambda actor, entry: (
        f"the value of {_code(entry['field'])} in {actor} stands in no trusted evidence (rule {_code(entry['rule'])})"
    ),
}


def _grounded(details: _Details) -> str:
    references, values = details["checked"], details["values"]
    said = [_count(references, "evidence reference")] if references else []
    said += [_count(values, "value")] if values else []
    return f"{_listed(said)} {'stands' if references + values == 1 else 'stand'} in trusted evidence"


# --- Contradiction ----------------------------------------------------------------------------------------------------


def _contradiction(details: _Details) -> str:
    entries = details["contradictions"]
    worst = _worst(entries)
    step = f"in step {_code(worst['step_id'])}, " if "step_id" in worst else ""
    say = _incomparable if worst["reason"] == "INCOMPARABLE_VALUE" else _KIND_SENTENCES[worst["kind"]]
    said = say(worst)
    return f"{step}{said} (rule {_code(worst['rule'])}){_and_more(entries, 'contradiction')}"


def _incomparable(entry: _Details) -> str:
    if entry["kind"] == "requires_state":
        return f"the state of {_code(entry['field'])} is unknown, and the action needs {_states(entry)}"
    said = _proposed(entry) if "proposed_value" in entry else "the evaluation time"
    for name in ("snapshot_value", "limit", "evaluation_time"):
        if name in entry:
            return f"{said}, which cannot be placed beside {_value(entry[name])}"
    return f"{said}, which cannot be placed"


def _proposed(entry: _Details) -> str:
    return f"{_code(entry['field'])} is to be {_value(entry['proposed_value'])}"


def _limit(entry: _Details) -> str:
    if "limit" in entry:
        return f"the limit is {_value(entry['limit'])}"
    return f"the snapshot's limit is {_value(entry['snapshot_value'])}"


def _stated(entry: _Details) -> str:
    return (
        f"the policy says {_value(entry['limit'])}"
        if "limit" in entry
        else f"the snapshot says {_value(entry['snapshot_value'])}"
    )


def _states(entry: _Details) -> str:
    allowed = entry.get("allowed")
    return _listed([_value(state) for state in allowed], "or") if allowed else "one of the rule's states"


def _delta(entry: _Details) -> str:
    limit = f"{entry['percent']} percent" if "percent" in entry else entry["absolute"]
    return (
        f"{_proposed(entry)}, the snapshot says {_value(entry['snapshot_value'])}, and it may move by at most {limit}"
    )


def _window(entry: _Details) -> str:
    evaluated = entry.get("evaluation_time")
    placed, base = entry.get("proposed_value", evaluated), entry.get("snapshot_value", evaluated)
    if "proposed_value" in entry:
        subject = f"{_code(entry['field'])} is {_value(placed)}"
        other = _value(base) if "snapshot_value" in entry else "the evaluation time"
    else:
        subject, other = "the evaluation time is", f"{_code(entry['field'])}, {_value(base)}"
    placed_ms, base_ms = instant_of(placed), instant_of(base)
    if placed_ms is None or base_ms is None:
        return f"{subject}, outside the window; {_bounds(entry)}"
    comma = "," if "proposed_value" in entry else ""
    return f"{subject}{comma} {_offset(placed_ms - base_ms)} {other}; {_bounds(entry)}"


def _bounds(entry: _Details) -> str:
    ends = [_offset(entry[name]) for name in ("earliest_ms", "latest_ms") if name in entry]
    if len(ends) > 1:
        return f"it may be {ends[0]} to {ends[1]}"
    return f"it may be {ends[0]} at the {'earliest' if 'earliest_ms' in entry else 'latest'}"


def _offset(offset_ms: int) -> str:
    if offset_ms == 0:
        return "at the same time"
    return f"{duration_text(offset_ms)} {'before' if offset_ms < 0 else 'after'}"


def _differs(entry: _Details) -> str:
    return f"{_proposed(entry)}, which {'the policy excludes' if 'limit' in entry else 'is what the snapshot says already'}"


_KIND_SENTENCES: Final[dict[str, Callable[[_Details], str]]] = {
    "eq": lambda entry: f"{_proposed(entry)}, but {_stated(entry)}",
    "differs": _differs,
    "one_of": lambda entry: f"{_proposed(entry)}; it may be {_states(entry)}",
    "member_of": lambda entry: f"{_proposed(entry)}, which the snapshot does not hold",
    "at_most": lambda entry: f"{_proposed(entry)}; {_limit(entry)}",
    "at_least": lambda entry: f"{_proposed(entry)}; {_limit(entry)}",
    "count_max": lambda entry: (
        f"{_code(entry['field'])} has {_count(entry['proposed_value'], 'element')}; {_limit(entry)}"
    ),
    "max_delta": _delta,
    "no_backward": lambda entry: f"{_proposed(entry)}, which is before {_value(entry['snapshot_value'])}",
    "transitions": lambda entry: (
        f"{_code(entry['field'])} may not go from {_value(entry['snapshot_value'])} to {_value(entry['proposed_value'])}"
    ),
    "date_window": _window,
    "requires_state": lambda entry: (
        f"{_code(entry['field'])} is {_value(entry['snapshot_value'])}, and the action needs {_states(entry)}"
    ),
}


# --- Compliance -------------------------------------------------------------------------------------------------------


def _compliance(details: _Details) -> str:
    violations = details["violations"]
    first = violations[0]
    step = f"in step {_code(first['step_id'])}, " if "step_id" in first else ""
    return f"{step}{_VIOLATION_SENTENCES[first['reason']](first)}{_and_more(violations, 'violation')}"


_VIOLATION_SENTENCES: Final[dict[str, Callable[[_Details], str]]] = {
    "UNKNOWN_OPERATION": lambda entry: f"nobody registered an operation {_code(entry['operation'])}",
    "PROHIBITED_ACTION": lambda entry: f"the action type {_code(entry['rule'])} is prohibited",
    "ACTION_NOT_ALLOWED": lambda entry: f"the action type {_code(entry['rule'])} is not on the list of allowed ones",
    "TARGET_NOT_ALLOWED": lambda entry: (
        f"the target {_code(entry['target'])} is not allowed" if "target" in entry else "the writeback names no target"
    ),
    "RESTRICTED_FIELD": lambda entry: f"{_code(entry['path'])} is a restricted field (rule {_code(entry['rule'])})",
    "PII_FIELD": lambda entry: (
        f"{_code(entry['path'])} holds personal data of class {entry['class']} (rule {_code(entry['rule'])})"
    ),
    "PII_VALUE": lambda entry: (
        f"the value of {_code(entry['path'])} looks like personal data of class {entry['class']} (rule {_code(entry['rule'])})"
    ),
    "PROHIBITED_VALUE": lambda entry: f"{_code(entry['path'])} has a value that rule {_code(entry['rule'])} prohibits",
    "UNKNOWN_VALUE": lambda entry: f"{_code(entry['path'])} must be known (rule {_code(entry['rule'])}) and is not",
    "TOO_COMPLEX": lambda entry: (
        f"the arguments have more than {entry['depth_max']} levels or {entry['nodes_max']:,} values, too many to look through"
    ),
}


# --- The gateway's own, and what all share ----------------------------------------------------------------------------


def _missing_inputs(details: _Details) -> str:
    names = [name.replace("_", " ") for name in details["missing"]]
    return f"the request lacks its {_listed(names)}, which this choke point requires"


def _missing_config(details: _Details) -> str:
    if "evaluated_sources" in details:
        return _freshness(details)
    return f"the policy has no section {_listed([_code(name) for name in details['missing']])}"


def _stepped_back(details: _Details) -> str:
    limit_ms = details["max_clock_skew_ms"]
    behind = duration_text(details["behind_ms"], beyond_ms=limit_ms)
    return f"the evaluation time is {behind} behind the last record; the limit is {duration_text(limit_ms)}"


def _raised(details: _Details) -> str:
    error = details["error"]
    if error == "NotAResult":
        return "the validator answered something that is not a result"
    return f"the validator failed with {_code(error)}"


def _untrusted(details: _Details) -> str:
    inputs = _listed([name.replace("_", " ") for name in details["inputs"]])
    return f"a principal with role {_code(details['role'])} may not state {inputs}; only a host may"


_SENTENCES: Final[dict[str, Callable[[_Details], str]]] = {
    **dict.fromkeys(("FRESH", "DATA_AGING", "DATA_STALE", "TIMESTAMP_MISSING", "TIMESTAMP_IN_FUTURE"), _freshness),
    **dict.fromkeys(_FAILURE_SENTENCES, _grounding),
    **dict.fromkeys(("CONTRADICTION", "INCOMPARABLE_VALUE"), _contradiction),
    **dict.fromkeys(_VIOLATION_SENTENCES, _compliance),
    "GROUNDED": _grounded,
    "CONSISTENT": lambda details: (
        f"{_count(details['checked'], 'comparison')} with the snapshot found no contradiction"
    ),
    "COMPLIANT": lambda details: (
        f"{_count(details['checked'], 'field')} {'keeps' if details['checked'] == 1 else 'keep'} to the rules"
    ),
    "NOT_APPLICABLE": lambda _: "there is nothing here that this validator has to judge",
    "INPUT_MISSING": _missing_inputs,
    "CONFIG_MISSING": _missing_config,
    "VALIDATOR_ERROR": _raised,
    "RETRY_NOT_AUTHORISED": lambda details: (
        f"the same proposal was blocked in run {_code(details['retry_of'])}, nothing changed since, and nobody authorised a retry"
    ),
    "NOT_AS_APPROVED": lambda details: (
        f"the {_listed(details['differs'])} {'is' if len(details['differs']) == 1 else 'are'} not what was approved"
    ),
    "UNTRUSTED_INPUT": _untrusted,
    "CLOCK_STEPPED_BACK": _stepped_back,
}
