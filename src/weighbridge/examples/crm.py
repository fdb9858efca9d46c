"""An example connector: a small customer system in SQLite, and the operations through which an agent may touch it.

`Crm` is the system, with accounts, opportunities, renewals and tickets. `connect` registers what may be done with it on a
Weighbridge: each function is tagged once, with what it costs and where it writes, and the functions hold the connection, so that
nobody else needs it. `Crm.grounds` is the canonical snapshot of an account, with the age of every row it was read from.

The language model of the brief is made up; everything else is stored. Times come in as arguments.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, NamedTuple

from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.domain.spending import Tokens
from weighbridge.errors import UsageError
from weighbridge.operations import Governed
from weighbridge.runtime import Weighbridge

MODEL = "scribe-1"
TOKENS_IN, TOKENS_OUT_MAX, TOKENS_OUT = 4_000, 1_000, 320  # of a brief: what goes in, may come out, and does

_BUSY_SECONDS = 5.0
_EPOCH_DAYS = 2_440_587.5  # of 1970-01-01, as SQLite counts days
_DUE_DAYS = 30  # from now to the end of a contract

_TABLES = {
    "accounts": "account_id",
    "meetings": "meeting_id",
    "opportunities": "opportunity_id",
    "renewals": "renewal_id",
    "tickets": "ticket_id",
}


class Account(NamedTuple):
    """An account to begin with."""

    name: str
    tier: str
    health: int
    status: str
    """Of its renewal."""
    synced_days_ago: int
    """How long ago its renewal was changed last."""
    risk: str
    """What its open ticket is about."""


ACCOUNTS = (
    Account("Aldgate Bakery", "gold", 82, "open", 2, "label printer jams"),
    Account("Birch Logistics", "silver", 55, "negotiation", 10, "routes are lost over night"),
    Account("Cedar Clinics", "gold", 91, "renewed", 1, "export takes a minute"),
)


class Crm:
    """A customer system in one SQLite file, or in memory. Safe to use from many threads and processes; close it.

    ``now_ms`` is the clock that stamps changes, in milliseconds since the epoch. Left out, it is that of the system itself.
    """

    def __init__(self, path: str = ":memory:", *, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or self._own_clock_ms
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self._writing() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'accounts'").fetchone():
                for statement in _statements():
                    connection.execute(statement)

    def close(self) -> None:
        """Close the file. What was written stays."""
        self._connection.close()

    def seed(self, *, first_number: int = 1001) -> list[str]:
        """Add the example accounts with a renewal, an opportunity and a ticket each, and return their account ids.

        Ids end in numbers from ``first_number``; what is there already stays as it is.
        """
        with self._writing() as connection:
            for number, account in enumerate(ACCOUNTS, first_number):
                for table, row in self._rows(number, account):
                    names = ", ".join(row)
                    marks = ", ".join("?" * len(row))
                    connection.execute(
                        f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608 - names of ours
                        tuple(row.values()),
                    )
        return [f"a-{number}" for number, _ in enumerate(ACCOUNTS, first_number)]

    def _own_clock_ms(self) -> int:
        days: float
        (days,) = self._connection.execute("SELECT julianday('now')").fetchone()
        return round((days - _EPOCH_DAYS) * DAY_MS)

    def _rows(self, number: int, account: Account) -> Iterator[tuple[str, dict[str, Any]]]:
        now = self._now_ms()
        synced, lately = format_instant(now - account.synced_days_ago * DAY_MS), format_instant(now - DAY_MS)
        of = {"account_id": f"a-{number}"}
        contact = f"{account.name.split()[0].lower()}@example.com"
        known = {"name": account.name, "tier": account.tier, "health": account.health, "contact": contact}
        yield "accounts", {**of, **known, "updated_at": lately}
        due = format_instant(now + _DUE_DAYS * DAY_MS)[: len("2026-01-01")]
        renewal = {"status": account.status, "price_usd": 12_000, "due_on": due}
        yield "renewals", {"renewal_id": f"r-{number}", **of, **renewal, "updated_at": synced}
        deal = {"stage": "proposal", "amount_usd": 3_000}
        yield "opportunities", {"opportunity_id": f"o-{number}", **of, **deal, "updated_at": lately}
        ticket = {"body": account.risk, "severity": "normal", "status": "open"}
        yield "tickets", {"ticket_id": f"t-{number}", **of, **ticket, "updated_at": lately}

    def row(self, table: str, identity: str) -> dict[str, Any]:
        """Return one row.

        Raises:
            UsageError: there is none.
        """
        with self._lock:
            found = self._connection.execute(
                f"SELECT * FROM {table} WHERE {_TABLES[table]} = ?",  # noqa: S608 - names of ours
                (identity,),
            ).fetchone()
        if found is None:
            raise UsageError(f"the customer system has no `{identity}` among its {table}")
        return dict(found)

    def rows_of(self, table: str, account_id: str) -> list[dict[str, Any]]:
        """Return the rows of an account, in the order of their ids."""
        with self._lock:
            found = self._connection.execute(
                f"SELECT * FROM {table} WHERE account_id = ? ORDER BY {_TABLES[table]}",  # noqa: S608 - names of ours
                (account_id,),
            ).fetchall()
        return [dict(row) for row in found]

    def change(self, table: str, identity: str, **changes: Any) -> None:
        """Change fields of one row, and when it was changed last. What the system makes of them is its own affair.

        Raises:
            UsageError: there is no such row.
        """
        stamped = {**changes, "updated_at": format_instant(self._now_ms())}
        sets = ", ".join(f"{name} = ?" for name in stamped)
        with self._writing() as connection:
            changed = connection.execute(
                f"UPDATE {table} SET {sets} WHERE {_TABLES[table]} = ?",  # noqa: S608 - names of ours
                (*stamped.values(), identity),
            ).rowcount
        if not changed:
            raise UsageError(f"the customer system has no `{identity}` among its {table}")

    def add_meeting(self, renewal_id: str, held_on: str) -> str:
        """Add a meeting, and return its id."""
        with self._writing() as connection:
            number = connection.execute("SELECT count(*) FROM meetings").fetchone()[0] + 1
            row = (f"m-{number}", renewal_id, held_on, format_instant(self._now_ms()))
            connection.execute("INSERT INTO meetings VALUES (?, ?, ?, ?)", row)
        return f"m-{number}"

    def grounds(self, account_id: str) -> dict[str, Any]:
        """Return what an action for an account rests on, as `weighbridge.scope` and plans take it.

        ``snapshot`` is the canonical state: ``account``, ``renewal``, ``opportunities`` and ``tickets``, each with its source;
        ``data_sources`` say when each row was changed last; ``evidence`` are the rows, and ``references`` what points to them.

        Raises:
            UsageError: there is no such account, or it has no renewal.
        """
        account = self.row("accounts", account_id)
        renewals = self.rows_of("renewals", account_id)
        if not renewals:
            raise UsageError(f"account `{account_id}` has no renewal")
        (renewal,) = renewals
        deals, tickets = self.rows_of("opportunities", account_id), self.rows_of("tickets", account_id)
        read = [
            ("crm_account", account_id, account),
            ("crm_renewal", renewal["renewal_id"], renewal),
            *(("crm_opportunity", deal["opportunity_id"], deal) for deal in deals),
            *(("support_ticket", ticket["ticket_id"], ticket) for ticket in tickets),
        ]
        sources = [{"source_type": kind, "source_id": identity} for kind, identity, _ in read]
        return {
            "snapshot": {
                "account": {"value": account, **sources[0]},
                "renewal": {"value": renewal, **sources[1]},
                "opportunities": {"value": deals, "source_type": "crm_opportunity"},
                "tickets": {"value": tickets, "source_type": "support_ticket"},
            },
            "data_sources": [
                {**source, "last_updated": row["updated_at"]} for source, (*_, row) in zip(sources, read, strict=True)
            ],
            "evidence": [
                {"reference": source, "content": row} for source, (*_, row) in zip(sources, read, strict=True)
            ],
            "references": sources,
        }

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the only write transaction there is; whatever raises inside leaves nothing behind."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _statements() -> Iterator[str]:
    """Yield the statements of the schema; `executescript` would commit each for itself."""
    text = ""
    for line in (files("weighbridge.examples") / "crm.sql").read_text("utf-8").splitlines():
        text += f"{line}\n"
        if sqlite3.complete_statement(text):
            yield text
            text = ""


class Connected(NamedTuple):
    """The operations of the customer system, governed."""

    read_account_health: Governed[[str], dict[str, Any]]
    prepare_renewal_brief: Governed[[str], dict[str, Any]]
    request_renewal_meeting: Governed[[str, str], dict[str, Any]]
    escalate_support_risk: Governed[[str], None]
    update_renewal: Governed[..., None]


def connect(wb: Weighbridge, crm: Crm) -> Connected:
    """Register the operations of a customer system, and return them governed.

    Raises:
        UsageError: they are registered already, or the policy declares one of them otherwise.
    """

    @wb.operation("crm.read_account_health", action="read_account_health", cost="CHEAP", reads=True)
    def read_account_health(account_id: str) -> dict[str, Any]:
        account = crm.row("accounts", account_id)
        waiting = [ticket for ticket in crm.rows_of("tickets", account_id) if ticket["status"] == "open"]
        return {**account, "open_tickets": len(waiting)}

    @wb.operation(
        "llm.prepare_renewal_brief",
        action="prepare_renewal_brief",
        cost="EXPENSIVE",
        reads=True,
        reserves=lambda _: Tokens(input=TOKENS_IN, output=TOKENS_OUT_MAX, model=MODEL),
        consumed=lambda _: Tokens(input=TOKENS_IN, output=TOKENS_OUT, model=MODEL),
    )
    def prepare_renewal_brief(renewal_id: str) -> dict[str, Any]:
        renewal = crm.row("renewals", renewal_id)
        account = crm.row("accounts", renewal["account_id"])
        about = [ticket["body"] for ticket in crm.rows_of("tickets", account["account_id"])]
        brief = f"{account['name']}: {renewal['status']}, health {account['health']}, {'; '.join(about)}"
        return {"renewal_id": renewal_id, "brief": brief}

    @wb.writeback(
        "calendar.request_renewal_meeting",
        target="calendar",
        action="request_renewal_meeting",
        cost="CHEAP",
        # What is read back has an id that nobody knew before: it is found by the function's value.
        read_back=lambda meeting, *_: crm.row("meetings", meeting["meeting_id"]),
    )
    def request_renewal_meeting(renewal_id: str, held_on: str) -> dict[str, Any]:
        return {"meeting_id": crm.add_meeting(renewal_id, held_on)}

    @wb.writeback(
        "support.escalate_risk",
        target="support",
        action="escalate_support_risk",
        cost="MEDIUM",
        read_back=lambda _, ticket_id: crm.row("tickets", ticket_id),
        asked=lambda ticket_id: {"ticket_id": ticket_id, "severity": "urgent"},
    )
    def escalate_support_risk(ticket_id: str) -> None:
        crm.change("tickets", ticket_id, severity="urgent")

    @wb.writeback(
        "crm.update_renewal",
        target="crm",
        action="update_renewal",
        cost="MEDIUM",
        read_back=lambda _, renewal_id, **__: crm.row("renewals", renewal_id),
    )
    def update_renewal(renewal_id: str, **changes: Any) -> None:
        unknown = changes.keys() - {"status", "discount_percent", "next_step"}
        if unknown or not changes:
            raise UsageError(f"a renewal has status, discount_percent and next_step to change, not `{sorted(unknown)}`")
        crm.change("renewals", renewal_id, **changes)

    return Connected(
        read_account_health, prepare_renewal_brief, request_renewal_meeting, escalate_support_risk, update_renewal
    )
