"""Time zones by IANA name, from the `tzdata` distribution and from nowhere else.

The machine's own zone files differ from machine to machine; a day that begins at another instant elsewhere would be another
counter. So the data is a locked dependency, and its version is part of the engine's (G4). It is constant: reading it is no
input.
"""

from __future__ import annotations

import datetime as dt
import functools

UTC = "UTC"


@functools.cache
def names() -> frozenset[str]:
    """Return every zone name there is."""
    from importlib.resources import files  # noqa: PLC0415 - most tenants live in UTC

    return frozenset((files("tzdata") / "zones").read_text("ascii").split())


@functools.cache
def zone(name: str) -> dt.tzinfo:
    """Return the zone of an IANA name, as in ``Europe/Berlin``.

    Raises:
        ValueError: there is no such zone.
    """
    if name == UTC:
        return dt.UTC
    from importlib.resources import files  # noqa: PLC0415 - most tenants live in UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - most tenants live in UTC

    if name not in names():
        message = f"`{name}` is no time zone of the IANA database"
        raise ValueError(message)
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)
