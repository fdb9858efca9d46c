"""The schema of a SQLite file, described from its catalog in the terms of `storage.schema`."""

from __future__ import annotations

import re
from typing import Any

import apsw

from weighbridge.storage.schema import one_line

_CHECK = re.compile(r"\bCHECK\s*\(", re.IGNORECASE)
_OURS = "name NOT LIKE 'sqlite_%'"
_TABLES = f"SELECT name, type, strict, wr FROM pragma_table_list WHERE schema = 'main' AND {_OURS}"  # noqa: S608 - our own text
_COLUMNS = """SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)"""
_INDEXES = (
    'SELECT listed.name, listed."unique", listed.origin, listed.partial, group_concat(part.name) '
    "FROM pragma_index_list(?) AS listed, pragma_index_info(listed.name) AS part GROUP BY listed.name"
)
_OTHERS = f"SELECT type, name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view') AND {_OURS}"  # noqa: S608 - our own text


def describe(connection: apsw.Connection) -> dict[str, str]:
    """Return everything in the file's schema, and how it is defined."""
    found: dict[str, str] = {}
    for table, kind, strict, bare in _rows(connection, _TABLES):
        found[f"table {table}"] = kind + ", strict" * strict + ", without rowid" * bare
        ((sql,),) = _rows(connection, "SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
        for number, check in enumerate(_checks(sql or ""), start=1):
            found[f"check {table} {number}"] = check
        for name, held, needed, default, key, hidden in _rows(connection, _COLUMNS, (table,)):
            found[f"column {table}.{name}"] = (
                held + ", not null" * needed + f", default {default}" * (default is not None)
                + f", key {key}" * bool(key) + ", generated" * bool(hidden)
            )  # fmt: skip
        for name, unique, origin, partial, columns in _rows(connection, _INDEXES, (table,)):
            found[f"index {name}"] = (
                f"{table} ({columns}), origin {origin}" + ", unique" * unique + ", partial" * partial
            )
    for kind, name, sql in _rows(connection, _OTHERS):
        found[f"{kind} {name}"] = one_line(sql)
    return found


def _rows(connection: apsw.Connection, sql: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(sql, values).fetchall()


def _checks(sql: str) -> list[str]:
    """Return the conditions of a table, in order: the catalog holds them as text only."""
    conditions = []
    for match in _CHECK.finditer(sql):
        depth, end = 1, match.end()
        while depth and end < len(sql):
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        conditions.append(one_line(sql[match.end() : end - 1]))
    return conditions
