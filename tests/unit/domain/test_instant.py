import pytest

from weighbridge.domain.instant import DAY_MS, format_instant, parse_duration, parse_instant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-22T10:00:00Z", 1_795_341_600_000),
        ("2026-11-22t10:00:00z", 1_795_341_600_000),
        ("2026-11-22 10:00:00Z", 1_795_341_600_000),
        ("2026-11-22T12:30:00+02:30", 1_795_341_600_000),
        ("2026-11-22T10:00:00-00:00", 1_795_341_600_000),
        ("2026-11-22T10:00:00.1Z", 1_795_341_600_100),
        ("2026-11-22T10:00:00.123456789Z", 1_795_341_600_123),
        ("2026-11-22T10:00:00.9999999+00:00", 1_795_341_600_999),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_rfc_3339_with_an_offset_names_an_instant(text, expected):
    """F1: exact to the millisecond; digits beyond it are cut, so an age is never too small."""
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00Z",
        "2026-11-22T10:00:00.Z",
        "2026-11-22T10:00:00,123Z",
        "2026-11-22T10:00:00.12+Z",
        "2026-11-22T10:00:00.1234567890Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T24:00:00+01:00",
        "2026-11-22T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-W47-7T10:00:00Z",
        "20261122T100000.0000000Z",
        "2026-11-22T10:00:00+24:00",
        "2026-11-22T10:00:00+01:60",
        "2026-11-22T10:00:00+0100",
        "2026-11-22x10:00:00Z",
        " 2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z\n",
        "\uff12026-11-22T10:00:00Z",
        "2026-11-22T10:00:0\u0663Z",
        "2026-11-22T10:00:00.\u0663\u0663\u0663Z",
        "2026-11-22T10:00:00Z" + " " * 1_000,
        None,
        1_795_341_600_000,
        True,
        ["2026-11-22T10:00:00Z"],
    ],
)
def test_anything_else_names_none(text):
    """G5: no offset, no instant; nothing is guessed, on any interpreter (G4)."""
    assert parse_instant(text) is None


@pytest.mark.parametrize("instant_ms", [0, 1, -1, 1_795_341_600_123, -62_135_596_800_000, 253_402_300_799_999])
def test_written_instants_read_back(instant_ms):
    assert parse_instant(format_instant(instant_ms)) == instant_ms
    assert len(format_instant(instant_ms)) == len("2026-11-22T10:00:00.000Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14d", 14 * DAY_MS),
        ("1d12h", 36 * 3_600_000),
        ("250ms", 250),
        ("90s", 90_000),
        ("1m1ms", 60_001),
        ("2w", 14 * DAY_MS),
        ("0d", 0),
        ("1d 12h", None),
        ("", None),
        ("d", None),
        ("1", None),
        ("-1d", None),
        ("1.5d", None),
        ("1y", None),
        ("1d!", None),
        ("\u0661d", None),
        (14, None),
        (None, None),
    ],
)
def test_durations(text, expected):
    """F4: how limits are written."""
    assert parse_duration(text) == expected
