"""Instants and durations in whole milliseconds.

An instant is an integer: milliseconds since 1970-01-01T00:00:00Z. Text is RFC 3339 with an offset; text without one names
no instant and is refused. Digits beyond the millisecond are cut, not rounded.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

# Compiled by `re` when first used, and kept there: nearly every instant is in the common form.
_RFC3339 = r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_DURATION = r"(\d{1,12})\s*(ms|s|m|h|d|w)"
_INSTANT_LENGTH_MAX = len("2026-11-22T10:00:00.123456789+00:00")
_COMMON_LENGTH = len("2026-11-22T10:00:00.000Z")
_NO_HOUR = "24"  # some interpreters read 24:00 as the next day's midnight, which RFC 3339 does not know
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

DAY_MS = _UNIT_MS["d"]
INSTANT_MS_MAX = 253_402_300_799_999
"""The end of year 9999: no later instant has a text."""


# Instants already read: one request asks for its own several times, and sources change less often than they are asked about.
_known: dict[str, int] = {}
_KNOWN_MAX = 4096


def parse_instant(text: object) -> int | None:
    """Return the instant that RFC 3339 ``text`` names, or None where it names none (no text, no offset, no such day)."""
    if not isinstance(text, str) or len(text) > _INSTANT_LENGTH_MAX:
        return None
    known = _known.get(text)
    if known is not None:
        return known
    instant_ms = _parse(text)
    if instant_ms is not None:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[text] = instant_ms
    return instant_ms


def _parse(text: str) -> int | None:
    milliseconds = 0
    if not _is_common_form(text):
        match = re.fullmatch(_RFC3339, text, re.ASCII)
        if match is None:
            return None
        day, time, fraction, offset = match.groups()
        text = f"{day}T{time}{'+00:00' if offset in 'Zz' else offset}"
        milliseconds = int((fraction or "0")[:3].ljust(3, "0"))
    if text[11:13] == _NO_HOUR:
        return None
    try:
        since = dt.datetime.fromisoformat(text) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000 + milliseconds


def _is_common_form(text: str) -> bool:
    """Return whether ``text`` is laid out as our own instants are, in UTC; the interpreter then reads it as it stands."""
    if len(text) == _COMMON_LENGTH:
        return text[4:20:3] == "--T::." and text[-1] == "Z" and text.isascii()
    return text[4::3] == "--T::Z" and text.isascii()


def format_instant(instant_ms: int) -> str:
    """Return ``instant_ms`` as RFC 3339 UTC text with three decimals, as in ``2026-11-22T10:00:00.000Z``."""
    seconds, milliseconds = divmod(instant_ms, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"


@functools.lru_cache(maxsize=64)  # what happens at the same time is written at the same time
def _to_the_second(seconds: int) -> str:
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat()


def parse_duration(text: object) -> int | None:
    """Return the milliseconds of ``14d``, ``36h``, ``90s``, ``250ms``, ``1d12h`` (units w d h m s ms), else None."""
    if not isinstance(text, str) or not text:
        return None
    total, position = 0, 0
    for match in re.finditer(_DURATION, text, re.ASCII):
        if match.start() != position:
            return None
        total += int(match[1]) * _UNIT_MS[match[2]]
        position = match.end()
    return total if position == len(text) else None
