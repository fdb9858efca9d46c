"""The budget service: from a request and a policy to a reservation that is ready to be decided (B1 to B3, B12, B13).

Pure. It finds the caps that apply, works out amounts from what was stated, the price table and the class maximum, and names
what is wrong before any counter is read. Whether it fits is decided on the counters, in the store's transaction (B5).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.budgets import pricing
from weighbridge.budgets.caps import Applicable, applicable
from weighbridge.budgets.decide import AMOUNT_OUT_OF_RANGE
from weighbridge.domain.amounts import AMOUNT_MAX, OPERATIONS, TOKENS, CostClass, as_text, currency_of, parse_stated
from weighbridge.domain.context import OperationFacts
from weighbridge.domain.decision import BudgetDecision
from weighbridge.domain.spending import Spending, Tokens, checked_tokens
from weighbridge.errors import ContextError
from weighbridge.ledger.submission import BudgetTerms, Reservation
from weighbridge.policy.effective import BudgetPolicy, Prices
from weighbridge.policy.mistakes import closest

_ORDER = tuple(CostClass)

_NAME_LENGTH_MAX = 200  # of a model's name in a record, which whoever asks chooses
_MODELS_KEPT_MAX = 64
_CLOSE = 0.5  # `m2` and `m1`: names of models are short, and differ in their versions

Contents = tuple[tuple[str, bytes], ...]


class OnBehalfOf(msgspec.Struct, frozen=True):
    """The account and plan that a request is counted under, and the step attempt that it is for."""

    account_id: str | None
    plan_id: str | None
    step_id: str | None = None
    attempt: int | None = None


class Untrusted(msgspec.Struct, frozen=True):
    """What was stated by a principal whose role may not state it: it does not count, and is a BLOCK (Z5)."""

    inputs: tuple[str, ...]
    role: str


class PreparedReservation(msgspec.Struct, frozen=True):
    """A reservation, and the content it points to: the stated reason, by its keyed hash (L6)."""

    reservation: Reservation
    contents: Contents


def terms_of(policy: BudgetPolicy | None) -> BudgetTerms | None:
    """Return what the activation of a policy says of counters; None for one without budgets."""
    return None if policy is None else BudgetTerms(policy.families, policy.time_zone)


def prepare(
    spending: Spending,
    facts: OperationFacts | None,
    behalf: OnBehalfOf,
    policy: BudgetPolicy | None,
    *,
    operation_id: str,
    key: bytes,
    untrusted: Untrusted | None = None,
    known: Iterable[str] = (),
) -> PreparedReservation:
    """Return the reservation that a request asks for.

    ``operation_id`` is what it is charged under. ``facts`` are the registered operation's, None for one that nobody knows, of
    which the closest of the ``known`` is named; ``key`` is the tenant's content key. Without a policy for budgets no cap
    applies, which is a BLOCK (B8).

    Raises:
        ContextError: the request states a lower class than the operation is registered with, or an amount that is none.
    """
    operation = spending.operation or (facts.name if facts is not None else "unknown")
    stated = parse_stated(spending.amounts, "budget.amounts")
    justification, contents = _justification(spending, operation_id, key)
    request = _request(spending, operation, stated, behalf, justification)
    found: list[dict[str, Any]] = []
    if untrusted is not None:  # what does not count is part of the request all the same (G3)
        details = {"inputs": list(untrusted.inputs), "role": untrusted.role}
        found.append({"reason": "UNTRUSTED_INPUT", "details": details})
        spending, stated = Spending(operation), {}
    caps: Applicable = ()
    cost_class: CostClass | None = None
    amounts = _with_operations(stated, spending.tokens)
    assumed: tuple[str, ...] = ()
    unpriced: dict[str, str] | None = None
    priced: dict[str, str] | None = None
    if facts is None:
        meant = closest(operation, known)
        named = {"operation": operation} | ({"closest": meant} if meant else {})
        found.append({"reason": "UNKNOWN_OPERATION", "details": named})
    else:
        cost_class = _class(spending, facts)
        values = {"account": behalf.account_id, "plan": behalf.plan_id, "tool": operation}
        caps = applicable(policy.caps, cost_class, values) if policy is not None else ()
        if policy is not None:
            amounts, priced = _priced(amounts, operation, spending.tokens, policy.prices)
            amounts, assumed = _with_maxima(amounts, caps, policy.maxima.get(cost_class, {}), stated)
            if untrusted is None and not _states_money(amounts) and any(currency_of(cap.unit) for cap, _ in caps):
                unpriced = _unpriced(spending.tokens, policy.prices, tokens_known=amounts.get(TOKENS, 0) > 0)
    beyond = sorted(unit for unit, amount in amounts.items() if amount > AMOUNT_MAX)
    if beyond:
        found.append({"reason": AMOUNT_OUT_OF_RANGE, "details": {"units": beyond}})
    reservation = Reservation(
        operation=operation,
        cost_class=None if cost_class is None else cost_class.value,
        account_id=behalf.account_id,
        plan_id=behalf.plan_id,
        amounts=amounts,
        applicable=caps,
        request_hash=canonical.sha256_hex(canonical.encode(request)),
        assumed=assumed,
        justification=justification,
        findings=tuple(found),
        unpriced=unpriced,
        priced=priced,
    )
    return PreparedReservation(reservation, contents)


def consumed(stated: Mapping[str, Any] | Tokens, reserved: BudgetDecision | None) -> dict[str, int]:
    """Return what a report says was consumed, whole numbers by unit.

    Money for tokens is worked out at the unit prices of the reservation, for as many operations as were reserved (B7); tokens of
    another model than was reserved leave the money unknown, which gives nothing back.

    Raises:
        ContextError: an amount that is none.
    """
    tokens = checked_tokens(stated) if isinstance(stated, Tokens) else None
    amounts = {} if isinstance(stated, Tokens) else parse_stated(stated, "consumed")
    if tokens is not None:
        amounts[TOKENS] = tokens.input + tokens.output
        priced = None if reserved is None else reserved.priced
        if reserved is not None and priced is not None and tokens.model in {None, priced.get(pricing.MODEL)}:
            amounts[priced[pricing.UNIT]] = pricing.money(priced, reserved.amounts[OPERATIONS], tokens)
    if not amounts:  # the first report counts: one that says nothing would be the last
        raise ContextError("consumed", "is empty; say how much, or report nothing")
    for unit, amount in amounts.items():
        if amount > AMOUNT_MAX:
            raise ContextError(f"consumed.{unit}", f"`{amount}` is beyond what any counter holds")
    return amounts


def usage_hash(amounts: Mapping[str, int]) -> str:
    """Return the hash that a report of use is known by: said twice, it is said once."""
    return canonical.sha256_hex(canonical.encode(as_text(amounts)))


def _class(spending: Spending, facts: OperationFacts) -> CostClass:
    """Return the class that counts: the operation's, or a higher one that the request states."""
    stated = spending.cost_class
    if stated is None:
        return facts.cost_class
    if _ORDER.index(stated) < _ORDER.index(facts.cost_class):
        raise ContextError(
            "budget.cost_class",
            f"`{stated}` is below `{facts.cost_class}`, which `{facts.name}` is registered with; a call can only cost more",
        )
    return stated


def _with_operations(stated: Mapping[str, int], tokens: Tokens | None) -> dict[str, int]:
    amounts = {OPERATIONS: 1, **stated}  # B2: operations count 1 unless set
    if tokens is not None:
        amounts[TOKENS] = tokens.input + tokens.output
    return amounts


def _priced(
    amounts: dict[str, int], operation: str, tokens: Tokens | None, prices: Prices | None
) -> tuple[dict[str, int], dict[str, str] | None]:
    """Add what the price table knows, unless money was stated, and return the unit prices it was worked out at."""
    if prices is None or _states_money(amounts):
        return amounts, None
    priced = pricing.unit_prices(operation, tokens, prices, tokens_known=amounts.get(TOKENS, 0) > 0)
    if priced is None:
        return amounts, None
    return {**amounts, prices.unit: pricing.money(priced, amounts[OPERATIONS], tokens)}, priced


def _unpriced(tokens: Tokens | None, prices: Prices | None, *, tokens_known: bool) -> dict[str, str]:
    """Return why nobody knows what a request costs (B12), as data: the sentence is derived."""
    if prices is None:
        return {"cause": "NO_PRICES"}
    if tokens is None or tokens.model is None:
        return {"cause": "NO_MODEL" if tokens_known and prices.models else "NO_PRICE"}
    model = tokens.model[:_NAME_LENGTH_MAX]
    meant = _closest_model(model, tuple(prices.models))
    return {"cause": "MODEL_UNKNOWN", "model": model} | ({"closest": meant} if meant else {})


@functools.lru_cache(maxsize=_MODELS_KEPT_MAX)  # a table may hold thousands of names, and the same mistake comes again
def _closest_model(model: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(model, known, n=1, cutoff=_CLOSE)
    return found[0] if found else ""


def _with_maxima(
    amounts: dict[str, int], caps: Applicable, maxima: Mapping[str, int], stated: Mapping[str, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Fill in the class maximum for units that a cap needs and nobody knows (B12)."""
    unknown = sorted({cap.unit for cap, _ in caps} - amounts.keys())
    if _states_money(stated):  # B2: it is known, in another currency, and nothing is converted: CURRENCY_MISMATCH
        unknown = [unit for unit in unknown if currency_of(unit) is None]
    assumed = tuple(unit for unit in unknown if unit in maxima)
    return {**amounts, **{unit: maxima[unit] for unit in assumed}}, assumed


def _states_money(amounts: Mapping[str, int]) -> bool:
    return any(currency_of(unit) is not None for unit in amounts)


def _justification(spending: Spending, operation_id: str, key: bytes) -> tuple[str | None, Contents]:
    """Return the stated reason as content of its own: erasing it takes no other operation's reason away (L6)."""
    if spending.justification is None:
        return None, ()
    stated = canonical.encode({"justification": spending.justification, "operation_id": operation_id})
    content_hash = canonical.keyed_hash(key, stated)
    return content_hash, ((content_hash, stated),)


def _request(
    spending: Spending, operation: str, stated: Mapping[str, int], behalf: OnBehalfOf, justification: str | None
) -> dict[str, Any]:
    """Return what an operation id is bound to (G3): what is asked for, and neither when nor under which policy."""
    request: dict[str, Any] = {"operation": operation, "amounts": as_text({OPERATIONS: 1, **stated})}
    optional = {
        "account_id": behalf.account_id,
        "plan_id": behalf.plan_id,
        "step_id": behalf.step_id,
        "attempt": behalf.attempt,
        "cost_class": None if spending.cost_class is None else spending.cost_class.value,
        "tokens": None if spending.tokens is None else _listed(spending.tokens),
        "justification": justification,
    }
    return request | {name: value for name, value in optional.items() if value is not None}


def _listed(tokens: Tokens) -> list[Any]:
    return [tokens.input, tokens.output, tokens.model]
