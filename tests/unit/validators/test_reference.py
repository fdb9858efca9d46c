"""The reference pages say what the code says: every reason, and the table of boundaries."""

import re
from pathlib import Path

from weighbridge.validators import explain
from weighbridge.validators.boundaries import BRACKETS, CLOSING_PUNCTUATION, QUOTES, WHITE_SPACE

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_every_reason_has_its_row():
    """Every code that can be explained is in the reference, and none that cannot."""
    page = (REFERENCE / "validators.md").read_text(encoding="utf-8")
    written = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)` \|", page))
    assert written == set(explain._SENTENCES)


def code_points(cell):
    """Return the characters that a cell of the table names."""
    found = set()
    for part in cell.split(","):
        bounds = re.findall(r"U\+([0-9A-F]{4})", part)
        if bounds:
            found |= {chr(point) for point in range(int(bounds[0], 16), int(bounds[-1], 16) + 1)}
    for literal in re.findall(r"`([^`]+)`", cell):
        found |= set(literal.split())
    return found


def test_the_table_of_boundaries_is_the_codes_own():
    """R5: a fixed table of code points."""
    page = (REFERENCE / "evidence.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (white space|quotes|brackets|closing punctuation) \| (.+) \|$", page, re.MULTILINE))
    assert {kind: code_points(cell) for kind, cell in rows.items()} == {
        "white space": set(WHITE_SPACE),
        "quotes": set(QUOTES),
        "brackets": set(BRACKETS),
        "closing punctuation": set(CLOSING_PUNCTUATION),
    }
