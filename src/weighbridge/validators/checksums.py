"""Checksums: does a text check as a card number, an account number, an identity number (P3)?

The names are policy's (`policy.checksums`); a test keeps the two together.

The arithmetic is python-stdnum's; its version is part of the engine version (G4). The library is imported when a policy first
names one of its checksums (`builtin.prepare`), so that a policy without value patterns never pays for it and judging does no I/O.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Final

Checksum = Callable[[str], bool]

_MODULES: Final = {
    "ip_address": "ipaddress",
    "iban": "stdnum.iban",
    "isin": "stdnum.isin",
    "luhn": "stdnum.luhn",
    "us_ssn": "stdnum.us.ssn",
    "verhoeff": "stdnum.verhoeff",
}


@functools.cache
def checksum(name: str) -> Checksum:
    """Return the function that says whether a text checks.

    Raises:
        KeyError: no checksum has that name.
    """
    module = importlib.import_module(_MODULES[name])
    if name == "ip_address":
        return functools.partial(_is_ip_address, module.ip_address)
    if name == "iban":
        # The country's own check digits would import a module per country while judging; the IBAN's own suffice.
        return lambda text: bool(module.is_valid(text, check_country=False))
    is_valid: Checksum = module.is_valid
    return is_valid


def _is_ip_address(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
