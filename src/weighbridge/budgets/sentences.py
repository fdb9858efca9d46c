"""One English sentence for everything a budget can say, with the arithmetic in it. Pure.

Derived, never stored: it reads only what a decision carries, so that a fresh one and one read back from its record read the
same. Amounts are shown as people write them (``0.05 USD``); names and ids stand in backticks, as they are: whoever prints them
on a terminal makes them safe first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from weighbridge.budgets.periods import PLAN_KEY
from weighbridge.domain.amounts import OPERATIONS, TOKENS, Amounts, CostClass, currency_of, shown
from weighbridge.domain.caps import parse_counter
from weighbridge.domain.decision import BudgetDecision, CapUsage, Finding
from weighbridge.domain.verdict import Verdict

_DAY_KEY_LENGTH = len("2026-11-22")
_UNITS_FIRST = (OPERATIONS, TOKENS)


def explain(decision: BudgetDecision) -> list[str]:
    """Return a sentence, without a capital or a full stop, for every reason that is no ALLOW: what no cap caused comes first.

    Of the caps, the gravest come first. An ALLOW needs no excuse: the list is empty.
    """
    if decision.verdict is Verdict.ALLOW:
        return []
    said = [explain_finding(finding) for finding in decision.findings]
    said += [explain_cap(cap, decision) for cap in deciding(decision)]
    if decision.reason == "NO_APPLICABLE_CONFIG" or not said:
        said.append(_without_caps(decision))
    return list(dict.fromkeys(said))


def explain_finding(finding: Finding | Mapping[str, Any]) -> str:
    """Return the sentence for a BLOCK that no cap caused; one that is not known is named by its reason."""
    reason, details = (
        (finding.reason, finding.details)
        if isinstance(finding, Finding)
        else (str(finding.get("reason", "")), finding.get("details") or {})
    )
    sentence = _FINDINGS.get(reason)
    if sentence is not None:
        try:
            return sentence(details)
        except (KeyError, TypeError, ValueError):
            pass  # details of another version; what is certain is said below
    return f"refused with reason {reason}"


def explain_cap(cap: CapUsage, decision: BudgetDecision | None = None) -> str:
    """Return the sentence for what one cap said; a reason that is not known is named.

    With the decision it belongs to, the sentence says why a cost is not known, and which currency was stated.
    """
    if decision is not None and cap.reason == "COST_UNKNOWN" and currency_of(cap.unit) is not None:
        return _unknown(cap, _why_unpriced(decision))
    if decision is not None and cap.reason == "CURRENCY_MISMATCH":
        return _mismatch(cap, sorted(filter(None, map(currency_of, decision.amounts))))
    sentence = _CAPS.get(cap.reason)
    return f"cap `{cap.cap}` answered {cap.verdict} {cap.reason}" if sentence is None else sentence(cap)


def deciding(decision: BudgetDecision) -> tuple[CapUsage, ...]:
    """Return the caps whose verdict is the decision's, where that is no ALLOW. Under a BLOCK no soft cap was passed."""
    if decision.verdict is Verdict.ALLOW:
        return ()
    return tuple(cap for cap in decision.caps if cap.verdict is decision.verdict)


def summary(decision: BudgetDecision) -> str:
    """Return what was asked for, and where it leaves the tightest cap: ``1 operation; cap `day`: 13 of 50 operations …``."""
    asked = amounts_text(decision.amounts, decision.assumed)
    tightest = max(decision.caps, key=_tightness, default=None)
    if tightest is None or decision.verdict is not Verdict.ALLOW:
        return asked  # what the caps said is explained
    more = len(decision.caps) - 1
    others = f" (tightest of {more + 1} caps)" if more else ""
    return f"{asked}; {_standing(tightest)}{others}"


# --- Words ------------------------------------------------------------------------------------------------------------


def amounts_text(amounts: Amounts, assumed: Iterable[str] = ()) -> str:
    """Return amounts for people: ``1 operation, 2,000 tokens (class maximum), 0.05 USD``; "nothing" where there are none."""
    units = sorted(amounts, key=lambda unit: (_UNITS_FIRST.index(unit) if unit in _UNITS_FIRST else 2, unit))
    by_class = frozenset(assumed)
    said = (f"{shown(amounts[unit], unit)}{' (class maximum)' if unit in by_class else ''}" for unit in units)
    return ", ".join(said) or "nothing"


def of_text(used: int, limit: int | None, unit: str) -> str:
    """Return a usage and its limit with the unit once: ``13 of 50 operations``, ``1.50 of 25.00 USD``, ``13 tokens``."""
    if limit is None:
        return shown(used, unit)
    amount = shown(used, unit).rsplit(" ", 1)[0]
    return f"{amount} of {shown(limit, unit)}"


def unit_name(unit: str) -> str:
    """Return what people call a unit: ``operations``, ``tokens``, ``USD``."""
    return currency_of(unit) or unit


def counter_text(counter: str) -> str:
    """Return whom a counter counts: ``account `a-1`, tool `crm.read```; empty where that is the whole tenant."""
    scope = parse_counter(counter).scope
    return ", ".join(f"no {field}" if value is None else f"{field} `{value}`" for field, value in scope)


def classes_text(classes: Iterable[CostClass] | None) -> str:
    """Return the cost classes that a cap counts: ``EXPENSIVE``, ``CHEAP or MEDIUM``; empty for any."""
    return "" if classes is None else " or ".join(one for one in CostClass if one in frozenset(classes))


def period_text(key: str) -> str:
    """Return when, by the key of a period: ``on 2026-11-22``, ``in 2026-11``, ``in the plan's life``."""
    if key == PLAN_KEY:
        return "in the plan's life"
    return f"on {key}" if len(key) == _DAY_KEY_LENGTH else f"in {key}"


def _each(key: str) -> str:
    """Return what repeats, by the key of a period: to wait for the next one does not help where something never fits."""
    if key == PLAN_KEY:
        return "in a plan's life"
    return "a day" if len(key) == _DAY_KEY_LENGTH else "a month"


# --- What no cap caused -----------------------------------------------------------------------------------------------


def _seconds(duration_ms: int) -> str:
    whole, rest = divmod(duration_ms, 1000)
    return f"{whole:,}{f'.{rest:03d}'.rstrip('0') if rest else ''} s"


def _closest(details: Mapping[str, Any]) -> str:
    return f" (closest: `{details['closest']}`)" if "closest" in details else ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_FINDINGS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "UNTRUSTED_INPUT": lambda details: (
        f"a principal with role `{details['role']}` may not state "
        f"{_listed([f'`{name}`' for name in details['inputs']])}; only a host may"
    ),
    "UNKNOWN_OPERATION": lambda details: f"nobody registered an operation `{details['operation']}`{_closest(details)}",
    "AMOUNT_OUT_OF_RANGE": lambda details: (
        f"the amount of {_listed([unit_name(unit) for unit in details['units']])} is beyond what any counter holds"
    ),
    "NOT_AS_APPROVED": lambda _: "its plan is not under way: it was not activated, is paused, or has ended",
    "CLOCK_STEPPED_BACK": lambda details: (
        f"the evaluation time is {_seconds(details['behind_ms'])} behind the last record; "
        f"the limit is {_seconds(details['max_clock_skew_ms'])}"
    ),
}


def _without_caps(decision: BudgetDecision) -> str:
    if decision.reason != "NO_APPLICABLE_CONFIG":
        return explain_finding({"reason": decision.reason})
    what = f"`{decision.operation}`" + (f" ({decision.cost_class})" if decision.cost_class else "")
    return f"no cap of the policy applies to {what}, and no cap means no go; write one, or `budgets: unlimited`"


# --- What a cap says --------------------------------------------------------------------------------------------------


def _named(cap: CapUsage) -> str:
    whom = counter_text(cap.counter)
    return f"cap `{cap.cap}`" + (f" for {whom}" if whom else "")


def _when(cap: CapUsage) -> str:
    return period_text(parse_counter(cap.counter).period)


def _asked(cap: CapUsage) -> str:
    return shown(max(0, _after(cap) - cap.usage_before), cap.unit)


def _after(cap: CapUsage) -> int:
    return cap.usage_before if cap.usage_after is None else cap.usage_after


def _hard(cap: CapUsage) -> int:
    return cap.hard_cap if cap.hard_cap is not None else 0


def _exceeded(cap: CapUsage) -> str:
    used, left = of_text(cap.usage_before, cap.hard_cap, cap.unit), _hard(cap) - cap.usage_before
    if left <= 0:
        return f"{_named(cap)} is used up: {used} {_when(cap)}, no room for {_asked(cap)} more"
    return f"{_named(cap)} has no room for {_asked(cap)}: {used} used {_when(cap)}, {shown(left, cap.unit)} left"


def _never(cap: CapUsage) -> str:
    allowed = f"{shown(_hard(cap), cap.unit)} {_each(parse_counter(cap.counter).period)}"
    return f"{_asked(cap)} can never fit under {_named(cap)}, which allows {allowed}"


def _soft(cap: CapUsage) -> str:
    soft = f"above its soft cap of {shown(cap.soft_cap or 0, cap.unit)}"
    return f"{_named(cap)} is at {of_text(_after(cap), cap.hard_cap, cap.unit)} {_when(cap)}, {soft}"


def _unknown(cap: CapUsage, why: str = "nobody knows how much this takes") -> str:
    return (
        f"cap `{cap.cap}` counts {unit_name(cap.unit)}, and {why}; state it, or let the policy name "
        "a maximum for its cost class"
    )


def _why_unpriced(decision: BudgetDecision) -> str:
    """Return why nobody knows what a request costs; of a record of another version, only that nobody does."""
    unpriced = decision.unpriced or {}
    match unpriced.get("cause"):
        case "MODEL_UNKNOWN" if "model" in unpriced:
            return f"model `{unpriced['model']}` has no price in the policy{_closest(unpriced)}"
        case "NO_MODEL":
            return "no model was named to look up the price of its tokens"
        case "NO_PRICE":
            return f"the policy has no price for `{decision.operation}`, and no tokens of a model were stated"
        case "NO_PRICES":
            return "the policy has no `prices`"
        case _:
            return "nobody knows how much this takes"


def _mismatch(cap: CapUsage, stated: Sequence[str] = ()) -> str:
    other = _listed(stated) if stated else "another currency"
    return f"cap `{cap.cap}` counts {unit_name(cap.unit)}, and the amount is in {other}; nothing is converted"


def _range(cap: CapUsage) -> str:
    return f"with it, the counter of {_named(cap)} would be beyond what any counter holds"


def _unjustified(cap: CapUsage) -> str:
    return f"{_named(cap)} demands a reason, and none was stated; state it as `justification`"


def _justified(cap: CapUsage) -> str:
    return f"{_named(cap)} demands a reason, and one is on record; {_standing(cap, named=False)}"


def _within(cap: CapUsage) -> str:
    return _standing(cap)


def _standing(cap: CapUsage, *, named: bool = True) -> str:
    said = f"{of_text(_after(cap), cap.hard_cap, cap.unit)} {_when(cap)}"
    return f"{_named(cap)}: {said}" if named else said


def _tightness(cap: CapUsage) -> tuple[bool, int]:
    """Order caps by the share that is used; one without a limit is never tight."""
    return cap.hard_cap is not None, _after(cap) * 10**9 // max(cap.hard_cap or 0, 1)


_CAPS: Final[dict[str, Callable[[CapUsage], str]]] = {
    "WITHIN_CAPS": _within,
    "JUSTIFIED": _justified,
    "SOFT_CAP_EXCEEDED": _soft,
    "JUSTIFICATION_MISSING": _unjustified,
    "HARD_CAP_EXCEEDED": _exceeded,
    "NEVER_FITS": _never,
    "COST_UNKNOWN": _unknown,
    "CURRENCY_MISMATCH": _mismatch,
    "AMOUNT_OUT_OF_RANGE": _range,
}
