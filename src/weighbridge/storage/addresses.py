"""Addresses of stores: what kind of place one names, and how it is shown to people and programs: without its secrets."""

from __future__ import annotations

import re

POSTGRES_SCHEMES = ("postgresql", "postgres")
_TOLD = frozenset({"connect_timeout", "dbname", "host", "hostaddr", "port", "sslmode", "target_session_attrs", "user"})
_HIDDEN = "***"


def scheme_of(place: str) -> str:
    """Return what stands before ``://``; empty where it is a path."""
    return place.split("://", 1)[0] if "://" in place else ""


def shown(place: str) -> str:
    """Return an address as it may be printed: of one that leads to a server, no password and no unknown option is left."""
    scheme = scheme_of(place)
    if scheme not in POSTGRES_SCHEMES:
        return place
    who, at, where = place.removeprefix(f"{scheme}://").rpartition("@")
    where, mark, options = where.partition("?")
    name = re.split("[:/?]", who, maxsplit=1)[0]
    user = f"{name}{'' if name == who else f':{_HIDDEN}'}{at}"
    told = "&".join(map(_option, options.split("&"))) if mark else ""
    for port in _no_ports(where):
        where = where.replace(f":{port}", f":{_HIDDEN}")
    return f"{scheme}://{user}{where}{mark}{told}"


def is_plain(dsn: str) -> bool:
    """Return whether nobody can read a part of a password as the host, the port or the database.

    In a URL the first ``/`` or ``@`` ends the password, whatever was meant; without an ``@`` there is none at all.
    """
    scheme = scheme_of(dsn)
    if scheme not in POSTGRES_SCHEMES:
        return True
    who, _, where = dsn.removeprefix(f"{scheme}://").rpartition("@")
    return not (re.search("[/@]", who) or _no_ports(where.partition("?")[0]))


def _no_ports(where: str) -> list[str]:
    """Return what stands where a port should, and is none."""
    hosts = where.partition("/")[0].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    return [port for port in ports if port and not (port.isascii() and port.isdecimal())]


def _option(option: str) -> str:
    name, equals, _ = option.partition("=")
    return option if equals and name in _TOLD else f"{name}={_HIDDEN}" if equals else _HIDDEN
