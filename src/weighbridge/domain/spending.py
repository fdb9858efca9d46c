"""What a request asks of the budget: an operation, amounts, tokens, and the reason where a cap demands one.

In a request it stands under ``budget``, alone or beside a choke point; every key is optional here but ``operation``, which beside
a choke point is the proposal's::

    {"operation_id": "call-17", "tenant_id": "acme", "account_id": "a-1", "plan_id": "p-1",
     "evaluation_time": "2026-11-22T10:00:00Z",
     "budget": {"operation": "llm.summarise", "cost_class": "EXPENSIVE",
                "amounts": {"operations": 1, "tokens": 4818, "USD": "0.0096"},
                "tokens": {"input": 4808, "output": 10, "model": "gpt-4.1"}, "justification": "quarter end"}}

``amounts`` are what is reserved: whole numbers, decimal text or, in code, `Decimal` (`amounts.parse_stated`). ``tokens`` are
those that go in and the most that may come out; money for them is looked up in the policy's price table. ``cost_class`` can only
raise the class that the operation is registered with: one call of a tool may be larger than its others.

What such a request answers to is its ``operation_id``. Beside a choke point that and the ``validation_run_id`` are bound together
(G10), and either is enough to ask again: an operation id that is left out is the run's, a run id that is left out is derived from
the operation's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import Actor
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.unknown_keys import suggestion
from weighbridge.errors import ContextError

OPERATION_ID_LENGTH_MAX = 160  # the run ids derived from it stay within the length of an id
JUSTIFICATION_LENGTH_MAX = 2_000  # a reason, not a report

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # what JSON numbers are exact to


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a request: unknown keys are mistakes, not extras."""


class Tokens(_Part, frozen=True):
    """Tokens of a call to a language model: those that go in, and the most that may come out (or those that came out).

    ``model`` names the row of the price table.
    """

    input: _Count
    output: _Count
    model: str | None = None


class Spending(_Part, frozen=True):
    """What is asked of the budget."""

    operation: str | None = None
    cost_class: CostClass | None = None
    amounts: dict[str, Any] = {}
    tokens: Tokens | None = None
    justification: str | None = None


class SpendingRequest(_Part, frozen=True):
    """A request to the budget alone: at no choke point, on somebody's behalf."""

    budget: Spending
    tenant_id: str | None = None
    operation_id: str | None = None
    actor: Actor = Actor(id="unknown")
    account_id: str | None = None
    plan_id: str | None = None
    step_id: str | None = None
    attempt: int | None = None
    evaluation_time: str | None = None


def parse_spending_request(document: Any) -> SpendingRequest:
    """Return the budget request that a decoded JSON object states.

    Raises:
        ContextError: not an object, an unknown key, a wrong type, an id that is empty or too long, no operation, an evaluation
            time without an offset. The message names the path and what to write. Amounts are looked at where they are weighed.
    """
    request: SpendingRequest = _convert(document, SpendingRequest, "")
    _require_request(request)
    if request.evaluation_time is not None and parse_instant(request.evaluation_time) is None:
        raise ContextError(
            "evaluation_time", "names no instant; write RFC 3339 with an offset, as in 2026-11-22T10:00:00Z"
        )
    return request


def made_request(parts: Mapping[str, Any]) -> SpendingRequest:
    """Return the budget request of parts that code stated, of which nothing has looked at the types yet.

    Raises:
        ContextError: as `parse_spending_request`.
    """
    request: SpendingRequest = _convert(parts, SpendingRequest, "")
    _require_request(request)
    return request


def _require_request(request: SpendingRequest) -> None:
    for place in ("tenant_id", "operation_id", "account_id", "plan_id", "step_id"):
        _require_length(
            place, getattr(request, place), OPERATION_ID_LENGTH_MAX if place == "operation_id" else ID_LENGTH_MAX
        )
    _require_length("actor.id", request.actor.id, ID_LENGTH_MAX)
    if request.budget.operation is None:
        raise ContextError("budget.operation", "is missing; name the operation that is to be paid for")
    _require_spending(request.budget)


def parse_spending(document: Any) -> Spending:
    """Return what stands under ``budget`` in a request.

    Raises:
        ContextError: as `parse_spending_request`.
    """
    spending: Spending = _convert(document, Spending, "budget")
    _require_spending(spending)
    return spending


def checked_tokens(tokens: Tokens) -> Tokens:
    """Return tokens that were made in code, where nothing has looked at their types yet.

    Raises:
        ContextError: a count is negative or no whole number, or the model is no text.
    """
    checked: Tokens = _convert(msgspec.structs.asdict(tokens), Tokens, "tokens")
    return checked


def _require_spending(spending: Spending) -> None:
    _require_length("budget.operation", spending.operation, ID_LENGTH_MAX)
    _require_length("budget.justification", spending.justification, JUSTIFICATION_LENGTH_MAX)
    if spending.justification is not None and not spending.justification.strip():
        raise ContextError("budget.justification", "is blank; say why, or leave it out")
    if spending.tokens is not None and "tokens" in spending.amounts:
        raise ContextError("budget.amounts.tokens", "is stated beside `budget.tokens`; state one of the two")


def _require_length(place: str, value: str | None, length_max: int) -> None:
    if value is not None and not 0 < len(value) <= length_max:
        raise ContextError(place, f"has {len(value)} characters; use 1 to {length_max}")


def _convert(document: Any, kind: Any, path: str) -> Any:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        where = f"{path}{place.rstrip('`')}".lstrip(".")
        raise ContextError(where, message[:1].lower() + message[1:] + suggestion(message, place, kind)) from None


# Understood here and not at their first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(SpendingRequest)
msgspec.json.Decoder(Tokens)
