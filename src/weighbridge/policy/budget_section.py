"""The `budgets` section of a policy, as people write it: caps, prices, and what unknown cost counts as.

Every cap, price and maximum is brought to one form when it is read: smallest units as decimal text, unit and period in keys of
their own.
So ``50/day`` and ``{hard_cap: 50, unit: operations, period: DAY}`` are one cap (B2). The effective form is such a form too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ModelWrapValidatorHandler,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from weighbridge.domain import zones
from weighbridge.domain.amounts import OPERATIONS, is_currency, money, shown
from weighbridge.domain.caps import EACH, NONE
from weighbridge.policy import amount_text
from weighbridge.policy.amount_text import UNLIMITED, AmountError, Price
from weighbridge.policy.leaves import CostWord, Many, Maybe, Name, Part, one_of_names, refusal
from weighbridge.policy.mistakes import Steps, closest

NO_CAPS: Final = "without a cap every operation is BLOCK NO_APPLICABLE_CONFIG"
WRITE_CAPS: Final = "`caps:` with at least one cap, or `budgets: unlimited`"

_PERIODS: Final = ("DAY", "MONTH", "PLAN")
_EVERYTHING: Final = {"caps": [{"id": UNLIMITED, "hard_cap": f"{UNLIMITED} {OPERATIONS}/month"}]}
"""What ``budgets: unlimited`` stands for (B8: "no limit" is written down, and usage is counted all the same)."""


# --- Words and amounts, each by itself --------------------------------------------------------------------------------


def _checked(read: Callable[[Any], Any]) -> BeforeValidator:
    """Return a check of one value by itself. It keeps the value: the part around it brings it to its one form."""

    def check(value: Any) -> str:
        try:
            read(value)
        except AmountError as error:
            raise refusal(error.message, error.write) from None
        return str(value)

    return BeforeValidator(check)


def _read_hard_cap(value: Any) -> amount_text.Stated:
    stated = amount_text.read_amount(value, amount_text.CAP_FORMS)
    if stated.per is not None:
        amount_text.read_period(stated.per)
    return stated


def _read_soft_cap(value: Any) -> amount_text.Stated:
    stated = amount_text.read_amount(value, amount_text.SOFT_FORMS)
    if stated.number is None:
        raise AmountError("`unlimited` warns of nothing", "leave `soft_cap` out")
    if stated.per is not None:
        raise AmountError(f"`{value}` has a period, and that of `hard_cap` holds", amount_text.SOFT_FORMS)
    return stated


def _amount_schema(*examples: str | int) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "number"], "examples": list(examples)})


HardCap = Annotated[
    str,
    _checked(_read_hard_cap),
    _amount_schema("50/day", "$25/month", "2M tokens/plan", "unlimited operations/month"),
]
SoftCap = Annotated[str, _checked(_read_soft_cap), _amount_schema(40, "$20", "1.5M tokens")]
UnitWord = Annotated[
    str,
    _checked(amount_text.read_unit),
    WithJsonSchema({"type": "string", "examples": ["operations", "tokens", "USD", "pico_USD"]}),
]
PeriodWord = Annotated[Literal["DAY", "MONTH", "PLAN"], *one_of_names(_PERIODS)]
OperationPrice = Annotated[str, _checked(amount_text.read_price), _amount_schema("$0.05", "0.05 USD")]
TokenPrice = Annotated[
    str, _checked(amount_text.read_token_price), _amount_schema("$2.50/1M tokens", "$0.0000025/token", 2_500_000)
]


def _zone(value: Any) -> str:
    if not isinstance(value, str) or value not in zones.names():
        guess = closest(value, zones.names()) if isinstance(value, str) else ""
        raise refusal(
            f"`{value}` is no time zone of the IANA database", guess or "a name such as Europe/Berlin, or UTC"
        )
    return value


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not is_currency(value):
        raise refusal(f"`{value}` is no currency", "its code of three capital letters, as in USD")
    return value


def _date(value: Any) -> str:
    try:
        if isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise refusal(f"`{value}` is no date", 'a date in quotes, as in "2026-11-22"')


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII) is None:
        raise refusal(f"`{value}` is no SHA-256", "64 hexadecimal digits in lower case, in quotes")
    return value


def _scope_value(value: str) -> str:
    if value == "*":
        raise refusal(f"`{value}` is no pattern here, but a value of its own", f"`{EACH}` for every one by itself")
    if value == NONE:
        # The counter of requests that lack the field; a value of that name would be another one (B3).
        raise refusal(f"`{NONE}` stands for requests without the field, and cannot be named", f"a value, or `{EACH}`")
    return value


TimeZone = Annotated[
    str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Berlin"]})
]
Currency = Annotated[str, BeforeValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})]
Date = Annotated[str, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
Sha256 = Annotated[str, BeforeValidator(_sha256), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"})]
ScopeValue = Annotated[Name, AfterValidator(_scope_value)]


# --- Several mistakes of one part -------------------------------------------------------------------------------------

_Found = tuple[Steps, PydanticCustomError]
"""A mistake inside a part, and where in it."""


def _raise(title: str, found: list[_Found], value: Any) -> None:
    if found:
        lines = [InitErrorDetails(type=error, loc=steps, input=value) for steps, error in found]
        raise ValidationError.from_exception_data(title, lines)


def _spoiling(message: str, write: str) -> PydanticCustomError:
    """Return a refusal that makes the part around its place unreadable: nothing more is concluded from the rest."""
    context = {"message": message, "write": write, "spoils": "the part"}
    return PydanticCustomError("policy", "{message}", context)


# --- Caps -------------------------------------------------------------------------------------------------------------


class CapScope(Part):
    """What a cap is about, besides the tenant. A field that is left out limits nothing."""

    account: Maybe[ScopeValue] = None
    """One account, or `each` for every account by itself."""
    plan: Maybe[ScopeValue] = None
    """One plan, or `each`."""
    tool: Maybe[ScopeValue] = None
    """One operation by its name, or `each`."""


class CapEntry(Part):
    """One cap: how much, of what, in which period. Every cap counts for itself."""

    id: Name
    """The cap's name in records and messages; each name once."""
    scope: Maybe[CapScope] = None
    """What it is about; left out: the whole tenant."""
    period: Maybe[PeriodWord] = None
    """DAY, MONTH or PLAN, where `hard_cap` does not say it."""
    unit: Maybe[UnitWord] = None
    """operations, tokens or a currency, where `hard_cap` does not say it."""
    hard_cap: HardCap
    """What would pass this is BLOCK: an amount and a period, or `unlimited`."""
    soft_cap: Maybe[SoftCap] = None
    """What would pass this is WARN: an amount in the unit of `hard_cap`, at most as high."""
    cost_classes: Maybe[Many[CostWord]] = None
    """The cost classes it is about; left out: any."""
    settlement: Maybe[StrictBool] = None
    """Whether what turns out not to have been used is given back; false when left out."""
    justification: Maybe[StrictBool] = None
    """Whether a reservation must state why, and is at least WARN; false when left out."""

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_form(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, Mapping):
            return handler(value)
        try:
            made, found = _one_form(value)
        except AmountError:
            return handler(value)  # a value that is wrong by itself is complained about at its own place
        if found:
            handler(value)
            _raise("cap", found, value)
        return handler(made)


def _one_form(cap: Mapping[str, Any]) -> tuple[dict[str, Any], list[_Found]]:
    """Return a cap with its amounts in smallest units, and what its keys say against each other."""
    if "hard_cap" not in cap or not _readable_period(cap):
        raise AmountError("", "")
    hard = _read_hard_cap(cap["hard_cap"])
    own_unit = amount_text.read_unit(cap["unit"]) if "unit" in cap else None
    found = [*_said_twice(cap, hard, own_unit)]
    unit = hard.unit or own_unit or OPERATIONS
    made = {**cap, "unit": unit, "period": str(amount_text.read_period(hard.per)) if hard.per else cap.get("period")}
    if made["period"] is None:
        write = "50/day, 50/month or 50/plan, or `period:` with DAY, MONTH or PLAN"
        found.append((("hard_cap",), _spoiling(f"`{cap['hard_cap']}` has no period", write)))
    limits: dict[str, int] = {}
    for key, stated in (
        ("hard_cap", hard),
        ("soft_cap", _read_soft_cap(cap["soft_cap"]) if "soft_cap" in cap else None),
    ):
        if stated is None:
            continue
        try:
            made[key], limits[key] = _limit(cap, key, stated, unit)
        except AmountError as error:
            found.append(((key,), _spoiling(error.message, error.write)))
    if (
        hard.number is not None
        and len(limits) == len(("hard_cap", "soft_cap"))
        and limits["soft_cap"] > limits["hard_cap"]
    ):
        message = (
            f"the soft cap {shown(limits['soft_cap'], unit)} is above the hard cap {shown(limits['hard_cap'], unit)}"
        )
        found.append((("soft_cap",), _spoiling(message, "soft at most hard")))
    return made, found


def _readable_period(cap: Mapping[str, Any]) -> bool:
    return "period" not in cap or cap["period"] in _PERIODS


def _said_twice(cap: Mapping[str, Any], hard: amount_text.Stated, own_unit: str | None) -> Iterator[_Found]:
    if hard.unit is not None and own_unit not in {None, hard.unit}:
        message = f"the unit is `{cap['unit']}` here, and {amount_text.named(hard.unit)} in `hard_cap`"
        yield ("unit",), _spoiling(message, "it once, or the same twice")
    if hard.per is not None and cap.get("period") not in {None, str(amount_text.read_period(hard.per))}:
        message = f"the period is `{cap['period']}` here, and `{hard.per}` in `hard_cap`"
        yield ("period",), _spoiling(message, "it once, or the same twice")


def _limit(cap: Mapping[str, Any], key: str, stated: amount_text.Stated, unit: str) -> tuple[str, int]:
    if stated.number is None:
        return UNLIMITED, 0
    if stated.unit not in {None, unit}:
        message = (
            f"`{cap[key]}` is counted in {amount_text.named(stated.unit)}, the hard cap in {amount_text.named(unit)}"
        )
        raise AmountError(message, "the unit of `hard_cap`")
    is_money = unit not in {OPERATIONS, "tokens"}
    if stated.unit is None and is_money and not ("unit" in cap and amount_text.counts_alone(cap["unit"])):
        raise amount_text.no_currency(cap[key], unit)
    amount = amount_text.whole(cap[key], stated.number, unit, pico=stated.unit is None)
    return str(amount), amount


# --- Unknown cost -----------------------------------------------------------------------------------------------------


def _maxima(value: Any) -> Any:
    """Return maxima by unit, in smallest units (B12)."""
    if not isinstance(value, Mapping):
        return value
    made: dict[str, str] = {}
    found: list[_Found] = []
    for key, stated in value.items():
        try:
            unit = _maximum_unit(key, made)
            made[unit] = str(
                amount_text.in_unit(stated, unit, amount_text.MAXIMUM_FORMS, alone=amount_text.counts_alone(key))
            )
        except AmountError as error:
            found.append(((key,), refusal(error.message, error.write)))
    _raise("maximum", found, value)
    if not made:
        raise refusal("is empty", "at least one unit, as in {tokens: 2k tokens}, or leave the class out")
    return made


def _maximum_unit(key: Any, made: Mapping[str, str]) -> str:
    unit = amount_text.read_unit(key)
    if unit == OPERATIONS:
        raise AmountError(
            "has no effect: a request is for one operation unless it says how many", "tokens or a currency"
        )
    if unit in made:
        raise AmountError(f"states {amount_text.named(unit)} a second time", "it once")
    return unit


class CostClassEntry(Part):
    """What is assumed of a cost class."""

    maximum: Annotated[
        dict[str, str],
        BeforeValidator(_maxima),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number"]}}),
    ]
    """What a request of the class reserves in a unit whose amount nobody knows: `tokens`, or a currency."""


_ClassWord = Annotated[str, *one_of_names(("CHEAP", "MEDIUM", "EXPENSIVE"))]


# --- Prices -----------------------------------------------------------------------------------------------------------


class ModelPriceEntry(Part):
    """What the tokens of a language model cost."""

    input: TokenPrice
    """For a token that goes in: money for tokens, or whole pico-units for one."""
    output: TokenPrice
    """For a token that comes out."""


class PriceTable(Part):
    """What things cost, in one currency."""

    currency: Currency
    """The currency of all prices, by its code (ISO 4217)."""
    source: Maybe[Name] = None
    """Where the prices are from."""
    date: Maybe[Date] = None
    """Since when they hold."""
    sha256: Maybe[Sha256] = None
    """The hash of the file they were imported from."""
    operations: Maybe[dict[Name, OperationPrice]] = None
    """What one call of an operation costs, by its name."""
    models: Maybe[dict[Name, ModelPriceEntry]] = None
    """What the tokens of a language model cost, by its name."""

    @model_validator(mode="wrap")
    @classmethod
    def _in_pico_units(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        currency = value.get("currency") if isinstance(value, Mapping) else None
        if not isinstance(currency, str) or not is_currency(currency):
            return handler(value)
        found: list[_Found] = []
        made = dict(value)
        if isinstance(made.get("operations"), Mapping):
            made["operations"] = {
                name: _priced(price, amount_text.read_price, currency, ("operations", name), found)
                for name, price in made["operations"].items()
            }
        if isinstance(made.get("models"), Mapping):
            made["models"] = {
                name: _model(entry, currency, ("models", name), found) for name, entry in made["models"].items()
            }
        whole = handler(made)  # what is wrong by itself is complained about first
        _raise("prices", found, value)
        return whole


def _model(entry: Any, currency: str, steps: Steps, found: list[_Found]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    read = amount_text.read_token_price
    return {
        key: _priced(price, read, currency, (*steps, key), found) if key in {"input", "output"} else price
        for key, price in entry.items()
    }


def _priced(value: Any, read: Callable[[Any], Price], currency: str, steps: Steps, found: list[_Found]) -> Any:
    """Return a price in pico-units as text; what is no price by itself is left as it is."""
    try:
        price = read(value)
    except AmountError:
        return value
    if price.unit not in {None, money(currency)}:
        message = f"`{value}` is not in {currency}, the currency of this table; nothing converts currencies"
        found.append((steps, refusal(message, f"the price in {currency}")))
    return str(price.pico)


# --- The section ------------------------------------------------------------------------------------------------------


def _filled(caps: tuple[CapEntry, ...]) -> tuple[CapEntry, ...]:
    if not caps:  # G5, B8: nothing defaults to "no limit"
        raise refusal(f"is empty, and {NO_CAPS}", "at least one cap, or `budgets: unlimited`")
    return caps


class TenantBudgets(Part):
    """Lower caps, and more of them, for a tenant."""

    time_zone: Maybe[TimeZone] = None
    """Where days and months begin: an IANA name; UTC when left out. A tenant sets its own freely."""
    cost_classes: Maybe[dict[_ClassWord, CostClassEntry]] = None
    """What unknown cost counts as, by cost class; left out, it is BLOCK `COST_UNKNOWN`."""
    prices: Maybe[PriceTable] = None
    """What operations and tokens cost."""
    caps: Maybe[tuple[CapEntry, ...]] = None
    """The caps. A request to which none applies is BLOCK `NO_APPLICABLE_CONFIG`."""


class Budgets(TenantBudgets):
    """What may be spent."""

    caps: Annotated[tuple[CapEntry, ...], AfterValidator(_filled)]
    """The caps. A request to which none applies is BLOCK `NO_APPLICABLE_CONFIG`."""


def _unlimited(value: Any) -> Any:
    if value == UNLIMITED:
        return _EVERYTHING
    if isinstance(value, str):
        raise refusal(f"`{value}` is no budget", WRITE_CAPS)
    return value


_Unlimited = Literal["unlimited"]
BudgetsOrUnlimited = Annotated[Budgets, BeforeValidator(_unlimited, json_schema_input_type=_Unlimited | Budgets)]
TenantBudgetsOrUnlimited = Annotated[
    TenantBudgets, BeforeValidator(_unlimited, json_schema_input_type=_Unlimited | TenantBudgets)
]
