"""Zones come from the locked distribution, and from nowhere else."""

import datetime as dt
import zoneinfo

import pytest

from weighbridge.domain import zones
from weighbridge.domain.zones import names, zone


def test_every_name_has_a_zone():
    """B9: what a policy may write can be computed with."""
    instant = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    assert len(names()) > 400
    for name in names():
        assert instant.astimezone(zone(name)) == instant


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "europe/berlin", "../../etc/localtime", "Europe", "tzdata.zi"])
def test_what_is_no_name_is_refused(name):
    """B9: nothing else is looked up, no path either."""
    with pytest.raises(ValueError, match="no time zone"):
        zone(name)


def test_the_machine_has_no_say(monkeypatch):
    """G4: its own zone files are never read."""
    monkeypatch.setattr(zoneinfo, "ZoneInfo", zoneinfo.ZoneInfo)
    zoneinfo.reset_tzpath(to=[])
    zones.zone.cache_clear()
    try:
        found = dt.datetime(2026, 7, 1, tzinfo=dt.UTC).astimezone(zone("Europe/Berlin"))
        assert found.utcoffset() == dt.timedelta(hours=2)
    finally:
        zoneinfo.reset_tzpath()
        zones.zone.cache_clear()
