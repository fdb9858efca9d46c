"""The smallest parts of a policy: names, durations, numbers, paths, patterns. Each is checked where it is written.

Checked values stay plain JSON, in one spelling per meaning (``36h`` becomes ``1d12h``), so that policies which mean the same have
the same hash. Errors say what is wrong and what to write; the place is the reader's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError

from weighbridge import canonical
from weighbridge.domain.instant import parse_duration
from weighbridge.domain.paths import parse_field_pattern, parse_path, parse_snapshot_path
from weighbridge.errors import CanonicalError
from weighbridge.policy.checksums import CHECKSUMS
from weighbridge.policy.mistakes import closest, listed
from weighbridge.policy.patterns import compile_pattern

NAME_LENGTH_MAX: Final = 200  # as long as the ids of a context
DURATION_MS_MAX: Final = 36_525 * 86_400_000  # a century; longer is a slip of the unit
_DECIMAL_DIGITS_MAX: Final = 34  # what a decimal128 holds; amounts of money need half of it
_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))

T = TypeVar("T")


class Part(BaseModel):
    """A part of a policy: frozen, and a key it does not know is a mistake."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_by_alias=True, validate_by_name=False
    )


def refusal(message: str, write: str = "") -> PydanticCustomError:
    """Return the error that says what is wrong and what to write instead."""
    return PydanticCustomError("policy", "{message}", {"message": message, "write": write})


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise refusal("is null", "a value, or leave the key out")
    return value


class _NeverNull:
    """Says in the JSON Schema what `_refuse_null` does: None means "left out", and cannot be written."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        forms = [form for form in schema.get("anyOf", ()) if form != {"type": "null"}]
        return forms[0] if len(forms) == 1 else {**schema, "anyOf": forms} if forms else schema


Maybe = Annotated[T | None, BeforeValidator(_refuse_null), _NeverNull()]
"""A key that may be left out. A null that is written is a mistake: nothing defaults to "no limit" (G5)."""


# --- Names ------------------------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    if not text:
        raise refusal("is empty", "a name")
    if len(text) > NAME_LENGTH_MAX:
        raise refusal(f"has {len(text)} characters; the limit is {NAME_LENGTH_MAX}")
    if text != text.strip() or not text.isprintable():
        raise refusal("has white space at an end, or characters that do not print", "the name alone")
    return text


Name = Annotated[
    str,
    Strict(),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX}),
]


# --- Lists ------------------------------------------------------------------------------------------------------------


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    seen: set[bytes] = set()
    for value in values:
        key = canonical.encode(value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value)
        if key in seen:
            raise refusal(f"lists `{value}` twice", "each entry once")
        seen.add(key)
    return values


def _filled(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise refusal("is empty", "at least one entry, or leave the key out")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
"""A list in which nothing stands twice."""


def _at_least(count: int) -> Callable[[tuple[T, ...]], tuple[T, ...]]:
    def check(values: tuple[T, ...]) -> tuple[T, ...]:
        if len(values) < count:
            raise refusal(f"has {len(values)} entries, too few to order anything", f"at least {count}, first to last")
        return values

    return check


Many = Annotated[tuple[T, ...], AfterValidator(_distinct), AfterValidator(_filled)]
"""A list with at least one entry, in which nothing stands twice."""

Ordering = Annotated[tuple[T, ...], AfterValidator(_distinct), AfterValidator(_at_least(2))]
"""A list whose order means something."""


# --- Durations --------------------------------------------------------------------------------------------------------


def duration_text(milliseconds: int) -> str:
    """Return the one spelling of a duration, as in ``1d12h`` or ``-30d``; zero is ``0s``."""
    if milliseconds == 0:
        return "0s"
    text, rest = "", abs(milliseconds)
    for unit, size in _UNITS_MS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return f"-{text}" if milliseconds < 0 else text


def signed_duration_ms(text: str) -> int | None:
    """Return the milliseconds of a duration that may start with ``-`` or ``+``, else None."""
    sign = -1 if text.startswith("-") else 1
    size = parse_duration(text[1:] if text[:1] in {"-", "+"} else text)
    return None if size is None else sign * size


def _duration(value: Any) -> str:
    if not isinstance(value, str) or (size := parse_duration(value)) is None:
        raise refusal(f"`{value}` is no duration", "a whole number and a unit, as in 14d, 36h, 1d12h, 90s, 250ms")
    return _century(size)


def _signed_duration(value: Any) -> str:
    if not isinstance(value, str) or (size := signed_duration_ms(value)) is None:
        raise refusal(f"`{value}` is no duration", 'a duration with or without a sign, as in "-30d" or 24h')
    return _century(size)


def _century(size: int) -> str:
    if abs(size) > DURATION_MS_MAX:
        raise refusal("is longer than a century", "a shorter duration; check the unit")
    return duration_text(size)


Duration = Annotated[
    str, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["14d", "1d12h", "250ms"]})
]
SignedDuration = Annotated[
    str, BeforeValidator(_signed_duration), WithJsonSchema({"type": "string", "examples": ["-30d", "24h"]})
]


# --- Values a policy compares with ------------------------------------------------------------------------------------


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float | None):
        raise refusal("is a list or a mapping", "text, a number, true, false or null")
    try:
        return canonical.encode_and_decode(value)[1]
    except CanonicalError as error:
        raise refusal(str(error)) from None


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(f"`{value}` is not a number", "a number without quotes, as in 20 or 0.5")
    return _scalar(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise refusal(f"`{value}` is no count", "a whole number, 0 or more")
    return value


def _decimal(value: Any) -> str:
    """Return the decimal text of a size: exact, because a number's text names it exactly (see the reader's check)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise refusal("is not a number", "a number, as in 10 or 0.5")
    try:
        size = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise refusal(f"`{value}` is not a number", "a number, as in 10 or 0.5") from None
    if not size.is_finite() or size < 0:
        raise refusal(f"`{value}` is below zero or no size at all", "a number that is 0 or more")
    digits, exponent = size.as_tuple().digits, size.as_tuple().exponent
    if not isinstance(exponent, int) or max(len(digits), len(digits) + exponent, -exponent) > _DECIMAL_DIGITS_MAX:
        raise refusal(f"has more than {_DECIMAL_DIGITS_MAX} digits", "a number with fewer digits")
    text = format(abs(size), "f")  # abs: zero has a sign, too
    return text.rstrip("0").rstrip(".") if "." in text else text


_SCALAR_SCHEMA: Final = {"type": ["string", "number", "boolean", "null"]}

Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
"""A value that is compared by type and value: ``true`` is not ``1``, ``1`` is ``1.0``."""

Number = Annotated[Any, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0})]
Size = Annotated[
    str,
    BeforeValidator(_decimal),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}]}
    ),
]
"""An exact decimal, kept as text; quote it to write more digits than a number keeps."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


AnyOf = Annotated[
    tuple[Scalar, ...],
    BeforeValidator(_as_list),
    AfterValidator(_distinct),
    AfterValidator(_filled),
    WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array", "minItems": 1, "items": _SCALAR_SCHEMA}]}),
]
"""One value, or a list of which any will do."""


def _json_object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refusal("is not a mapping", "key: value pairs, or {}")
    try:
        return canonical.encode_and_decode(value)[1]
    except CanonicalError as error:
        raise refusal(str(error)) from None


JsonObject = Annotated[dict[str, Any], BeforeValidator(_json_object), WithJsonSchema({"type": "object"})]


# --- Paths and patterns -----------------------------------------------------------------------------------------------


def _parsed_by(parse: Callable[[str], Any]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            message, _, advice = str(error).partition("; write ")
            raise refusal(message, advice) from None
        return text

    return AfterValidator(check)


ProposalPath = Annotated[str, Strict(), _parsed_by(parse_path)]
"""A path that starts at the arguments of the proposal."""

SnapshotText = Annotated[str, Strict(), _parsed_by(parse_snapshot_path)]
"""A path that starts at the fields of the snapshot."""

FieldText = Annotated[str, Strict(), _parsed_by(parse_field_pattern)]
"""Dotted names that match the end of any path; ``**`` matches every field (P2)."""


def _regex(text: str) -> str:
    try:
        compile_pattern(text)
    except ValueError as error:
        raise refusal(str(error), "an RE2 expression that takes at least one character, in single quotes") from None
    return text


Regex = Annotated[str, Strict(), AfterValidator(_regex), WithJsonSchema({"type": "string", "format": "regex"})]


def one_of_names(names: Iterable[str]) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return a check that text is one of ``names``, with a guess at what was meant, and its schema."""
    known = tuple(names)

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in known:
            return value
        guess = closest(value, known) if isinstance(value, str) else ""
        raise refusal(f"`{value}` is none of {listed(known)}", guess or "one of them")

    return BeforeValidator(check), WithJsonSchema({"enum": list(known)})


Severity = Annotated[Literal["WARN", "BLOCK"], *one_of_names(("WARN", "BLOCK"))]
TrustWord = Annotated[
    Literal["system_of_record", "trusted", "observed"], *one_of_names(("system_of_record", "trusted", "observed"))
]
CostWord = Annotated[Literal["CHEAP", "MEDIUM", "EXPENSIVE"], *one_of_names(("CHEAP", "MEDIUM", "EXPENSIVE"))]
KindWord = Annotated[Literal["read", "action", "writeback"], *one_of_names(("read", "action", "writeback"))]
Checksum = Annotated[str, *one_of_names(sorted(CHECKSUMS))]
