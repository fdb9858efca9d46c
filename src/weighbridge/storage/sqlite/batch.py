"""How SQLite writes what a batch decided. Knows the rows, not the driver; commits nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

from weighbridge.ledger.submission import Submission
from weighbridge.storage import batching
from weighbridge.storage.batching import Items, Kept, Rows
from weighbridge.storage.rows import OUTCOME_COLUMNS, PLAN_COLUMNS, TOGETHER
from weighbridge.storage.sqlite.rows import SqliteRows


class _Insert(NamedTuple):
    """A statement that inserts one row, and one that inserts `TOGETHER` of them."""

    one: str
    several: str


def _insert(table: str, columns: str, conflict: str = "") -> _Insert:
    row = f"({', '.join('?' * (columns.count(',') + 1))})"
    head = f"INSERT INTO {table} ({columns}) VALUES "  # noqa: S608 - our own names
    return _Insert(f"{head}{row}{conflict}", f"{head}{', '.join([row] * TOGETHER)}{conflict}")


def _upsert(table: str, columns: str, changed: str, key: str = "") -> _Insert:
    """Return what inserts a row, or changes these columns of the one that is there, under ``key`` where there are several."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in changed.split(", "))
    return _insert(table, columns, f" ON CONFLICT {f'({key}) ' * bool(key)}DO UPDATE SET {changes}")


_LEDGER = _insert("ledger", "tenant, seq, leaf_hash, hash, body")
_IDENTITY = _upsert("identity", "tenant, kind, id, request_hash, seq, state", "request_hash, seq, state")
_BLOCKED = _upsert(
    "blocked_proposal",
    "tenant, choke_point, proposal_hash, validation_run_id, inputs_hash, policy_version, seq",
    "validation_run_id, inputs_hash, policy_version, seq",
)
_AUTHORISED = _upsert(
    "retry_authorisation",
    "tenant, choke_point, proposal_hash, inputs_hash, expires_ms, given_by, seq, used_seq",
    "inputs_hash, expires_ms, given_by, seq, used_seq",
)
_SUBJECT = _insert("subject", "tenant, kind, id, seq")
# L6: a row that is there stays as it is, so erased content is never inserted again.
_CONTENT = _insert("content", "tenant, hash, body", " ON CONFLICT DO NOTHING")
_ERASE = "UPDATE content SET body = NULL WHERE tenant = ? AND hash = ?"
_COUNTER = _upsert("counter", "tenant, name, reserved, settled", "reserved, settled")
_CONSUMPTION = _upsert("consumption", "tenant, cell, reserved, settled", "reserved, settled")
_FAMILY = _insert("counter_family", "tenant, family")
_FIXED = ("plan_id", "account_id", "plan_type", "created_seq")
_PLAN = _upsert(
    "plan",
    ", ".join(("tenant", *PLAN_COLUMNS)),
    ", ".join(name for name in PLAN_COLUMNS if name not in _FIXED),
    "tenant, plan_id",  # H3: and not whichever other key it meets
)
_OUTCOME = _insert("outcome", ", ".join(("tenant", *OUTCOME_COLUMNS)))
_NO_FAMILY = "DELETE FROM counter_family WHERE tenant = ? AND family = ?"
_HEAD = _upsert(
    "ledger_head",
    "tenant, seq, hash, last_time_ms, policy_version, zones",
    "seq, hash, last_time_ms, policy_version, zones",
)
_STATEMENTS: dict[str, str | _Insert] = {
    "ledger": _LEDGER,
    "identity": _IDENTITY,
    "blocked_proposal": _BLOCKED,
    "retry_authorisation": _AUTHORISED,
    "subject": _SUBJECT,
    "content": _CONTENT,
    "erased": _ERASE,
    "counter": _COUNTER,
    "consumption": _CONSUMPTION,
    "family_left": _NO_FAMILY,
    "counter_family": _FAMILY,
    "plan": _PLAN,
    "outcome": _OUTCOME,
    "ledger_head": _HEAD,
}


class Connection(Protocol):
    """What writing needs of a connection."""

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for every row."""


class Batch(batching.Batch):
    """The submissions of one transaction, and how they are read ahead and written."""

    def __init__(self, rows: SqliteRows, purpose: str, kept: dict[str, Kept] | None = None) -> None:
        super().__init__(rows, purpose, kept)
        self._stored = rows

    def decide(self, items: Items) -> None:
        """Decide every item; one that is wrong gets its own error, and the others do not notice."""
        if len(items) >= TOGETHER:
            # One statement for many: each also gives the interpreter away, and a crowd of callers is waiting for it.
            with contextlib.suppress(UnicodeEncodeError):  # such an id is told to whoever asks for it
                self._read_ahead([item.work[0] for item in items])
        super().decide(items)

    def _read_ahead(self, submissions: Sequence[Submission]) -> None:
        """Read together what every decision asks for: heads, what counts, and what the ids are bound to."""
        tenants = list(dict.fromkeys(submission.tenant_id for submission in submissions))
        heads = self._stored.heads_of(tenants)
        unknown = [tenant for tenant in tenants if not self._view(tenant).take_in(heads.get(tenant))]
        for tenant, families in self._stored.families_of(unknown).items():
            self._view(tenant).take_in_families(families)
        linked = {submission.tenant_id for submission in submissions if _names_a_plan(submission)}
        asking = [tenant for tenant in unknown if tenant in linked]
        planned = self._stored.with_plans(asking)
        for tenant in asking:
            self._view(tenant).take_in_planned(planned=tenant in planned)
        ids = list(dict.fromkeys(named for submission in submissions for named in _ids(submission)))
        known = self._stored.identities_of(ids)
        for tenant, kind, identity in ids:
            self._view(tenant).take_in_identity(kind, identity, known.get((tenant, kind, identity)))

    def write(self, connection: Connection) -> None:
        """Write every row."""
        if not self.pending:
            return
        for table, rows in self.changes():
            if rows:
                _run(connection, _STATEMENTS[table], rows)


def _ids(submission: Submission) -> Iterator[tuple[str, str, str]]:
    """Yield the ids that a decision binds, with tenant and kind."""
    if submission.operation is not None:
        yield submission.tenant_id, "op", submission.operation[0]
    for run in submission.runs:
        yield submission.tenant_id, "run", run.validation_run_id


def _names_a_plan(submission: Submission) -> bool:
    return submission.plan is not None or (bool(submission.runs) and "plan_id" in submission.common)


def write_rows(connection: Connection, table: str, rows: Rows) -> None:
    """Write rows under a name that `Batch.changes` gives."""
    _run(connection, _STATEMENTS[table], rows)


def _run(connection: Connection, statement: str | _Insert, rows: Rows) -> None:
    """Run a statement for every row, in order."""
    if isinstance(statement, str):
        connection.executemany(statement, rows)
        return
    together = len(rows) - len(rows) % TOGETHER
    if together:
        groups = [tuple(chain.from_iterable(rows[at : at + TOGETHER])) for at in range(0, together, TOGETHER)]
        connection.executemany(statement.several, groups)
    if together < len(rows):
        connection.executemany(statement.one, rows[together:])
