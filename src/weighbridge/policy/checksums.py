"""The names of the checksums a value pattern may ask for (P3). How each is computed is the validators' business."""

from __future__ import annotations

from typing import Final

CHECKSUMS: Final = frozenset({"iban", "ip_address", "isin", "luhn", "us_ssn", "verhoeff"})
"""A closed list: a new one changes the schema of policies and the engine version."""
