"""LiteLLM's public price map, converted to the price table of a policy (`budgets.prices`). Pure: bytes in, numbers out.

The map is one JSON object: model name -> entry. Of an entry these are read: ``input_cost_per_token`` and
``output_cost_per_token`` in US dollars, their tiers by length (``…_above_200k_tokens``, and ``tiered_pricing``, which says the
same as a list), and ``mode``. A number is read from its digits, never through a binary float (B2), and becomes whole
pico-dollars.

Promise: no price comes out lower than what the map states for any number of tokens, unless the base price was asked for. What
has to be rounded is rounded up; of several tiers the highest counts; an entry that cannot be believed, that prices only one
direction, or that states 0 for both, which is a gap more often than a gift, is left out, and an operation with a model that
has no price is not reserved as if it were free (B12). Who knows that a model costs nothing asks for that.

Not read: levels of service (priority, batches, flex), and tokens with prices of their own (cached, reasoning, audio, image).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, NamedTuple

from weighbridge.errors import UsageError
from weighbridge.policy.effective import ModelPrice
from weighbridge.policy.leaves import NAME_LENGTH_MAX
from weighbridge.policy.mistakes import closest

CURRENCY: Final = "USD"
SOURCE: Final = "LiteLLM model prices"
SOURCE_BASE: Final = "LiteLLM model prices, base tier"

PRICE_MAX: Final = 10**9
"""The highest price to be believed, in pico-dollars: $1,000 for 1M tokens. The dearest models cost about $600; the map's few
entries beyond are prices for 1,000 tokens, written where the price of one belongs."""

Side = Literal["input", "output"]

_SAMPLE = "sample_spec"  # the entry that explains the others
_WITHOUT_OUTPUT = ("embedding",)  # modes whose models answer with no tokens
_TIERS = "tiered_pricing"
_TIER_KEY = re.compile(r"(input|output)_cost_per_token_above_[0-9]+k?_tokens", re.ASCII)
_TWICE: Final = object()  # the value of a key that stands twice in one object: nobody can say which of them counts
_PICO_DIGITS = 12
_SHOWN_MAX = 40  # of a value that is wrong


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of the entries that were asked for. Names are sorted; each stands in one of the first five fields.

    ``models`` have a price; ``bad`` says what is wrong with an entry; ``unpriced`` have no token prices at all, ``one_sided``
    only one of the two; ``free`` have prices of 0, which were not to be kept. Of the ``models``, ``kept_free`` cost nothing in
    either direction, ``rounded`` were rounded up, and ``tiered`` cost more than their base price. Of the ``bad``, ``refused``
    were asked for by their names.
    """

    models: dict[str, ModelPrice] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)
    one_sided: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    kept_free: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    tiered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return how many entries were asked for."""
        return len(self.models) + len(self.bad) + len(self.unpriced) + len(self.one_sided) + len(self.free)

    def why_not(self, name: str) -> str:
        """Return why a model has no price."""
        if name in self.bad:
            return self.bad[name]
        if name in self.free:
            return "costs 0, says the map, which is often a gap; --free keeps it"
        return "has no price for tokens" if name in self.unpriced else "has a price for one direction alone"


class _Price(NamedTuple):
    """What one direction costs, in pico-dollars for each token."""

    pico: int
    exact: bool
    tiered: bool


class _BadEntryError(Exception):
    """An entry cannot be believed; the text says why."""


# --- The map ----------------------------------------------------------------------------------------------------------


def convert(data: bytes, patterns: Sequence[str] = (), *, base: bool = False, free: bool = False) -> Converted:
    """Return the prices of the models that match one of ``patterns`` (names, or globs); of all, where there are none.

    ``base`` leaves tiers out: what a reservation is made with may then be too small. ``free`` keeps models that cost nothing.

    Raises:
        UsageError: the data are no such map; a pattern that matches nothing, or nothing that has a price. A name of an entry
            that cannot be believed is in ``refused`` instead, where others have a price.
    """
    entries = _entries(data)
    wanted = [name for name in entries if not patterns or any(_matches(name, pattern) for pattern in patterns)]
    converted = Converted()
    for name in sorted(wanted):
        _add(converted, name, entries[name], base=base, free=free)
    converted.refused.extend(name for name in converted.bad if name in patterns)
    tolerated = converted.refused if converted.models else ()
    problems = [
        said for pattern in patterns if pattern not in tolerated and (said := _missing(pattern, entries, converted))
    ]
    if problems:
        raise UsageError("; ".join(problems))
    if not converted.models:
        raise UsageError("no model in the file has prices for tokens; give LiteLLM's map of model prices")
    return converted


def _entries(data: bytes) -> dict[str, Any]:
    try:
        entries = _decoder.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"the price map is not UTF-8 text (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"the price map is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise UsageError("the price map is nested too deep") from None
    if not isinstance(entries, dict):
        raise UsageError("the price map is not a JSON object of model names; give LiteLLM's map of model prices")
    entries.pop(_SAMPLE, None)
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        made[key] = _TWICE if key in made else value
    return made


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond everything
        return text


# What is no number to JSON either (NaN, Infinity) stays text, and is named with the entry it stands in.
_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_float=_number, parse_int=_number, parse_constant=str)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # some names hold a `*`, or a `[`, of their own


def _missing(pattern: str, entries: Mapping[str, Any], converted: Converted) -> str:
    """Return what is wrong with a pattern that brings no price, or an empty text."""
    matched = [name for name in entries if _matches(name, pattern)]
    if any(name in converted.models for name in matched):
        return ""
    if not matched:
        guess = closest(pattern, entries)
        return f"no model matches `{pattern}`" + (f"; the closest is `{guess}`" if guess else "")
    first = min(matched)
    more = f" (and {len(matched) - 1} more without a price)" if len(matched) > 1 else ""
    return f"no model that matches `{pattern}` has a price: {_shown(first)} {converted.why_not(first)}{more}"


# --- One entry --------------------------------------------------------------------------------------------------------


def _add(converted: Converted, name: str, entry: Any, *, base: bool, free: bool) -> None:
    try:
        read, answered = _sides(name, entry, base=base)
    except _BadEntryError as error:
        converted.bad[name] = str(error)
        return
    if read is None or answered is None:
        (converted.unpriced if read is answered else converted.one_sided).append(name)
        return
    if not (read.pico or answered.pico):  # B12: unknown is never 0, and many a 0 stands for unknown
        (converted.kept_free if free else converted.free).append(name)
        if not free:
            return
    converted.models[name] = ModelPrice(input=read.pico, output=answered.pico)
    if not (read.exact and answered.exact):
        converted.rounded.append(name)
    if read.tiered or answered.tiered:
        converted.tiered.append(name)


def _sides(name: str, entry: Any, *, base: bool) -> tuple[_Price | None, _Price | None]:
    """Return what a token read and a token answered cost."""
    if not name or len(name) > NAME_LENGTH_MAX or name != name.strip() or not name.isprintable():
        raise _BadEntryError("has a name that no policy can hold: empty, too long, in white space, or not printable")
    if not isinstance(entry, dict):
        raise _BadEntryError("stands twice in the file" if entry is _TWICE else "is no object")
    read, answered = _price(entry, "input", base=base), _price(entry, "output", base=base)
    if read is not None and answered is None and entry.get("mode") in _WITHOUT_OUTPUT:
        answered = _Price(0, exact=True, tiered=False)
    return read, answered


def _price(entry: Mapping[str, Any], side: Side, *, base: bool) -> _Price | None:
    """Return what a direction costs: the highest of its tiers, or the base price; None where the entry does not say."""
    key = f"{side}_cost_per_token"
    lowest = _stated(entry, key)
    tiers = [price for tier in _tier_list(entry) if (price := _stated(tier, key)) is not None]
    if lowest is None and tiers:
        lowest = tiers[0]
    if lowest is None:
        return None
    if base:
        return _rounded(lowest, tiered=False)
    lengths = [_stated(entry, name) for name in entry if (found := _TIER_KEY.fullmatch(name)) and found[1] == side]
    highest = max([lowest, *tiers, *(price for price in lengths if price is not None)])
    return _rounded(highest, tiered=highest > lowest)


def _tier_list(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    tiers = entry.get(_TIERS)
    if tiers is None:
        return
    if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
        raise _BadEntryError(f"`{_TIERS}` is no list of tiers")
    yield from tiers


def _stated(entry: Mapping[str, Any], key: str) -> Decimal | None:
    """Return the price that an entry states under a key, in dollars, or None where it states none."""
    value = entry.get(key)
    if value is None:
        return None
    if value is _TWICE:
        raise _BadEntryError(f"`{key}` stands twice")
    if not isinstance(value, Decimal):
        raise _BadEntryError(f"`{key}` is {_shown(value)}, which is no number")
    if value < 0:
        raise _BadEntryError(f"`{key}` is {_shown(value)}, which is negative")
    if value > Decimal(PRICE_MAX).scaleb(-_PICO_DIGITS):
        raise _BadEntryError(f"`{key}` is {_shown(value)}, more than $1,000 for 1M tokens")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "an object"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    text = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return f"`{text if text.isprintable() else text.encode('unicode_escape').decode()}`"


def _rounded(dollars: Decimal, *, tiered: bool) -> _Price:
    """Return a price in whole pico-dollars, up where it is between two: what is reserved is never too little (B2)."""
    _, digits, exponent = dollars.as_tuple()
    # Made from its digits, because arithmetic on decimals rounds to the precision of the thread's context.
    pico = Decimal((0, digits, int(exponent) + _PICO_DIGITS))
    whole = pico.to_integral_value(rounding=ROUND_CEILING)
    return _Price(int(whole), exact=whole == pico, tiered=tiered)


# --- The table --------------------------------------------------------------------------------------------------------


def table(converted: Converted, *, date: str, sha256: str, base: bool = False) -> dict[str, Any]:
    """Return what goes under `budgets.prices` of a policy. Prices are pico-dollars for each token, as decimal text."""
    return {
        "currency": CURRENCY,
        "source": SOURCE_BASE if base else SOURCE,
        "date": date,
        "sha256": sha256,
        "models": {
            name: {"input": str(price.input), "output": str(price.output)} for name, price in converted.models.items()
        },
    }


def as_yaml(prices: Mapping[str, Any]) -> str:
    """Return a price table as YAML, indented to stand in a policy below its line ``budgets:``."""
    lines = [
        "prices:",
        f"  currency: {prices['currency']}",
        *(f"  {key}: {_quoted(prices[key])}" for key in ("source", "date", "sha256")),
        "  models: # millionths of a dollar for 1M tokens",
        *(
            # In quotes: digits alone below 100 are taken for dollars that lost their sign.
            f"    {_quoted(name)}: {{input: {_quoted(price['input'])}, output: {_quoted(price['output'])}}}"
            for name, price in prices["models"].items()
        ),
    ]
    return "".join(f"  {line}\n" for line in lines)


def _quoted(text: str) -> str:
    return json.dumps(
        text, ensure_ascii=False
    )  # quoted always: names such as `no`, dates, digits; a printable text is YAML
