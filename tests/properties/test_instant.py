"""Instants are read as RFC 3339 says, by the short way for common texts and by the long one alike (F1, G5)."""

import calendar
import re

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.domain.instant import format_instant, parse_instant

FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
PIECES = st.sampled_from(["0", "9", "-", ":", "T", "Z", "z", ".", "+", "24", "60", " ", "W", ",", "\u0663", ""])


def brute_force(text):
    """RFC 3339 section 5.6, number by number, without the standard library's calendar types."""
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
        r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))",
        text,
    )
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, _, sign, offset_hours, offset_minutes = match.groups()[6:]
    if not (year >= 1 and 1 <= month <= 12 and hour <= 23 and minute <= 59 and second <= 59):
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    offset = 0
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            return None
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * (1 if sign == "+" else -1)
    before = year - 1
    days = 365 * before + before // 4 - before // 100 + before // 400 - 719_162
    days += sum(calendar.monthrange(year, m)[1] for m in range(1, month)) + day - 1
    return (
        ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + int((fraction or "0").ljust(9, "0")[:3])
    )


@given(st.integers(FIRST_MS, LAST_MS))
def test_what_is_written_reads_back(instant_ms):
    """F1: exact to the millisecond."""
    assert parse_instant(format_instant(instant_ms)) == instant_ms == brute_force(format_instant(instant_ms))


@given(
    st.integers(FIRST_MS, LAST_MS).map(format_instant),
    st.sampled_from(["Z", "z", "+00:00", "-00:00", "+05:30", "-23:59", "+24:00", "+01:60", ""]),
    st.integers(0, 10),
    st.tuples(st.integers(0, 30), st.integers(0, 2), PIECES),
)
def test_texts_that_are_nearly_right_are_read_strictly(text, offset, digits, edit):
    """G5: what names no instant by the letter of RFC 3339 names none."""
    place, cut, piece = edit
    fraction = f".{'123456789012'[:digits]}" if digits else ""
    for base in (text, f"{text[:19]}{fraction}{offset}"):
        changed = base[:place] + piece + base[place + cut :]
        for candidate in (base, changed):
            assert parse_instant(candidate) == brute_force(candidate), candidate
