"""How PostgreSQL writes what a batch decided: one statement a table, however many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from weighbridge.storage.batching import Rows
from weighbridge.storage.rows import OUTCOME_COLUMNS, PLAN_COLUMNS


def _from(types: str) -> str:
    return f"unnest({', '.join(f'%b::{kind}[]' for kind in types.split())})"


def _insert(table: str, columns: str, types: str, conflict: str = "") -> bytes:
    stored = ", ".join(
        f"{name}::{_STORED.get((table, name), kind)}"
        for name, kind in zip(columns.split(", "), types.split(), strict=True)
    )
    given = f"{_from(types)} AS given ({columns})"
    return f"INSERT INTO {table} ({columns}) SELECT {stored} FROM {given}{conflict}".encode()  # noqa: S608 - our own names


def _upsert(table: str, columns: str, types: str, keys: str, changed: str) -> bytes:
    changes = ", ".join(f"{name} = excluded.{name}" for name in changed.split(", "))
    return _insert(table, columns, types, f" ON CONFLICT ({keys}) DO UPDATE SET {changes}")


_STORED = {  # handed in as text
    ("plan", "proposers"): "jsonb",
    ("plan", "steps"): "jsonb",
    ("outcome", "body"): "jsonb",
    ("counter", "reserved"): "numeric",
    ("counter", "settled"): "numeric",
    ("consumption", "reserved"): "jsonb",
    ("consumption", "settled"): "jsonb",
}

WRITE: Final[dict[str, bytes]] = {
    "ledger": _insert("ledger", "tenant, seq, leaf_hash, hash, body", "text bigint bytea bytea bytea"),
    # G3: of an id that is there, nothing but the state of its operation ever changes.
    "identity": _upsert(
        "identity",
        "tenant, kind, id, request_hash, seq, state",
        "text text text text bigint text",
        "tenant, id, kind",
        "state",
    ),
    "blocked_proposal": _upsert(
        "blocked_proposal",
        "tenant, choke_point, proposal_hash, validation_run_id, inputs_hash, policy_version, seq",
        "text text text text text text bigint",
        "tenant, choke_point, proposal_hash",
        "validation_run_id, inputs_hash, policy_version, seq",
    ),
    "retry_authorisation": _upsert(
        "retry_authorisation",
        "tenant, choke_point, proposal_hash, inputs_hash, expires_ms, given_by, seq, used_seq",
        "text text text text bigint text bigint bigint",
        "tenant, choke_point, proposal_hash",
        "inputs_hash, expires_ms, given_by, seq, used_seq",
    ),
    "subject": _insert("subject", "tenant, kind, id, seq", "text text text bigint"),
    # L6: a row that is there stays as it is, so erased content is never inserted again.
    "content": _insert("content", "tenant, hash, body", "text text bytea", " ON CONFLICT DO NOTHING"),
    "erased": f"UPDATE content SET body = NULL FROM {_from('text text')} AS given (tenant, hash) "  # noqa: S608 - our own names
    "WHERE content.tenant = given.tenant AND content.hash = given.hash".encode(),
    "counter": _upsert(
        "counter", "tenant, name, reserved, settled", "text text text text", "tenant, name", "reserved, settled"
    ),
    "consumption": _upsert(
        "consumption", "tenant, cell, reserved, settled", "text text text text", "tenant, cell", "reserved, settled"
    ),
    "family_left": f"DELETE FROM counter_family AS held USING {_from('text text')} AS given (tenant, family) "  # noqa: S608 - our own names
    "WHERE held.tenant = given.tenant AND held.family = given.family".encode(),
    "plan": _upsert(
        "plan",
        ", ".join(("tenant", *PLAN_COLUMNS)),
        "text text text text text bigint bigint bigint text text bigint text text text text bool text bigint text text bool "
        "text text",
        "tenant, plan_id",
        ", ".join(name for name in PLAN_COLUMNS if name not in {"plan_id", "account_id", "plan_type", "created_seq"}),
    ),
    "outcome": _insert(
        "outcome",
        ", ".join(("tenant", *OUTCOME_COLUMNS)),
        "text text text bigint text text text text text bigint bigint bigint text",
    ),
    "counter_family": _insert("counter_family", "tenant, family", "text text"),
    "ledger_head": (
        "UPDATE ledger_head AS held SET seq = given.seq, hash = given.hash, last_time_ms = given.last_time_ms, "  # noqa: S608 - our own names
        f"policy_version = given.policy_version, zones = given.zones FROM {_from('text bigint bytea bigint text text')} "
        "AS given (tenant, seq, hash, last_time_ms, policy_version, zones) WHERE held.tenant = given.tenant"
    ).encode(),
}
"""By the names that `Batch.changes` gives."""

TOGETHER: Final = ("ledger", "identity", "subject", "counter", "consumption", "ledger_head")
_WIDTHS: Final = {name: WRITE[name].count(b"%b") for name in TOGETHER}
_WRITE_TOGETHER: Final = (
    "WITH "
    + ", ".join(f"to_{name} AS ({WRITE[name].decode()})" for name in TOGETHER[:-1])
    + f" {WRITE[TOGETHER[-1]].decode()}"
).encode()


def writes(changes: Iterable[tuple[str, Rows]]) -> Iterator[tuple[bytes, tuple[list[Any], ...]]]:
    """Yield the statements that write the changes of a batch, with their values column by column.

    What every decision writes goes into one statement, because what a statement costs besides its rows is most of it.
    """
    together: dict[str, tuple[list[Any], ...]] = {}
    for table, rows in changes:
        columns = tuple(map(list, zip(*rows, strict=True))) if rows else ()
        if table in _WIDTHS:
            together[table] = columns or ([],) * _WIDTHS[table]
        elif columns:
            yield WRITE[table], columns
    yield _WRITE_TOGETHER, tuple(chain.from_iterable(together[table] for table in TOGETHER))
