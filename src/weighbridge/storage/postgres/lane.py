"""One writer: a connection, a queue before it, and one transaction for everything that queued up.

Promises what `PostgresStore` promises, for the tenants of this lane. What matters is what happens when something goes wrong:
before COMMIT was sent, nothing is recorded, and that is certain; after it, the outcome is read back under the lock that the lost
transaction held, so that it cannot still be on its way.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from weighbridge.errors import CanonicalError, Refusal, StoreError, WeighbridgeError
from weighbridge.ledger.submission import Committed, PlanMove, Submission
from weighbridge.storage.batching import Batch, Items, Kept, Work
from weighbridge.storage.group_commit import GroupCommit, Take
from weighbridge.storage.postgres.ahead import Ahead, Zones
from weighbridge.storage.postgres.connection import (
    OPEN,
    Connection,
    connect,
    discard,
    opened_for,
    pipelined,
    refusal_of,
    storable,
    words,
)
from weighbridge.storage.postgres.statements import writes

QUEUE_MAX = 10_000  # callers waiting, each with a few kilobytes: tens of megabytes
BATCH_MAX = 512
PASSES_MAX = 8  # what is asked for follows from what was read: an id, its record, a cell, a counter
SEEN_MAX = 100_000  # tenants whose zone is remembered
RESOLVE_PAUSES_S = (0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0)  # a server that was killed is back within seconds


class _Attempt:
    """How far a transaction got."""

    __slots__ = ("batch", "committing", "warned")

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.committing = self.warned = False


class Lane:
    """Writes for the tenants that hash to it, one batch at a time."""

    def __init__(self, dsn: str, purpose: str) -> None:
        self._dsn, self._purpose = dsn, purpose
        self._connection: Connection | None = None
        self._attempt = _Attempt()
        self._seen: Zones = {}
        self._kept: dict[str, Kept] = {}
        self._group: GroupCommit[Work, Committed] = GroupCommit(self._flush, queue_max=QUEUE_MAX, batch_max=BATCH_MAX)

    def submit(self, works: Sequence[Work]) -> list[Committed | WeighbridgeError]:
        """Return the answer or the error of every work, in order (`GroupCommit.submit`)."""
        return self._group.submit(works)

    def close(self) -> None:
        """Wait until what is queued is answered, then close the connection."""
        self._group.close()
        self._drop()

    def _flush(self, take: Take[Work, Committed]) -> None:
        try:
            self._write(take())
        except BaseException:
            self._drop()  # interrupted: whatever it was doing, it does not go on
            raise

    def _write(self, items: Items, *, again: bool = True) -> None:
        """Write a batch in one transaction and answer it; with ``again`` left, what certainly failed is tried once more."""
        items = _storable(items)
        if not items:
            return
        reused, self._attempt = self._connection is not None, _Attempt()
        attempt = self._attempt
        try:
            self._transact(self._connected(), items, attempt)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller is told what became of it (G2)
            rolled_back = self._rolled_back(attempt)
            if attempt.committing and not rolled_back:
                self._settle_unknown(items, attempt, error, again=again)
            elif reused and not rolled_back:
                self._write(_asked_again(items), again=again)  # the connection had died while it was idle
            else:
                self._retry(items, error)
            return
        if attempt.batch is None or attempt.warned:
            message = (
                "recorded, but the server does not vouch that it stays (no standby confirmed it, or it was going down)"
            )
            _refuse(items, Refusal("COMMIT_UNKNOWN", f"{message}; ask again under the same id"))
        else:
            attempt.batch.answer()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._dsn, prepare=True)
            self._connection.add_notice_handler(self._notice)
        return self._connection

    def _notice(self, diagnostic: errors.Diagnostic) -> None:
        # A COMMIT whose wait for a standby was cut short says so in a warning, and nowhere else.
        self._attempt.warned |= self._attempt.committing and diagnostic.severity_nonlocalized == "WARNING"

    def _transact(self, connection: Connection, items: Items, attempt: _Attempt) -> None:
        end = None
        with pipelined(connection):
            rows = Ahead(connection, items, self._seen, self._kept)
            attempt.batch = batch = self._decided(rows, items)
            if batch.pending:
                for statement, values in writes(batch.changes()):
                    connection.execute(statement, values)
                attempt.committing = True
                end = connection.execute(b"COMMIT")
        if end is None:
            # Not in the pipeline: psycopg forgets what it prepared when something was rolled back, and tells the server so.
            connection.execute(b"ROLLBACK")
        elif end.statusmessage != "COMMIT":
            raise psycopg.OperationalError(f"COMMIT was answered by {end.statusmessage}")
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()

    def _decided(self, rows: Ahead, items: Items) -> Batch:
        """Return the batch, decided over everything that it asked for."""
        for _ in range(PASSES_MAX):
            batch = Batch(rows, self._purpose, self._kept)
            batch.decide(items)
            if rows.is_complete:
                return batch
            _asked_again(items)
            rows.complete()
        raise psycopg.DataError("what is needed leads on and on")

    def _retry(self, items: Items, error: Exception) -> None:
        """Give the items of a batch that certainly failed transactions of their own, so that one bad request poisons no other."""
        waited = isinstance(error, (errors.LockNotAvailable, errors.QueryCanceled))
        groups = _by_tenant(items) if waited else [[item] for item in items]
        if len(groups) == 1 or self._connection is None or isinstance(error, StoreError):
            for item in items:
                item.answer, item.error = None, refusal_of(error)
            return
        for group in groups:
            self._write(_asked_again(group))

    def _rolled_back(self, attempt: _Attempt) -> bool:
        """Return whether the connection is alive and its transaction certainly came to nothing; a dead one is dropped."""
        connection = self._connection
        if connection is None:
            return False
        status = connection.info.transaction_status
        if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            try:
                connection.execute(b"ROLLBACK")
            except psycopg.Error:
                self._drop()
                return False
            return True
        if status == TransactionStatus.IDLE and not attempt.committing:
            return True
        self._drop()
        return False

    def _settle_unknown(self, items: Items, attempt: _Attempt, error: Exception, *, again: bool) -> None:
        """Find out what became of a COMMIT that nobody answered (G2)."""
        self._drop()
        written = self._read_back(attempt)
        if written is None:
            _refuse(items, Refusal("COMMIT_UNKNOWN", f"{words(error)}; ask again under the same id"))
        elif written and attempt.batch is not None:
            attempt.batch.answer()  # a transaction is there whole or not at all
        elif again:
            self._write(_asked_again(items), again=False)
        else:
            _refuse(items, refusal_of(error))

    def _read_back(self, attempt: _Attempt) -> bool | None:
        """Return whether the batch is on record; None where that cannot be found out."""
        if attempt.batch is None:
            return None
        _, effects = attempt.batch.pending[0]
        for pause_s in RESOLVE_PAUSES_S:
            time.sleep(pause_s)
            try:
                connection = self._connected()
                with pipelined(connection):
                    connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")
                    connection.execute(OPEN, (opened_for([effects.tenant_id]),))
                    # The lost transaction holds this lock for as long as it lives: behind it, its end is known.
                    connection.execute(b"SELECT FROM ledger_head WHERE tenant = %s FOR UPDATE", (effects.tenant_id,))
                    found = connection.execute(
                        b"SELECT hash FROM ledger WHERE tenant = %s AND seq = %s", (effects.tenant_id, effects.head.seq)
                    )
                    # Not ROLLBACK: in a pipeline psycopg forgets by it what the next batch has just prepared.
                    connection.execute(b"COMMIT")
                    return found.fetchall() == [(effects.head.hash,)]
            except psycopg.Error:
                self._drop()
        return None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        discard(connection)


def _storable(items: Items) -> Items:
    """Return the items whose ids PostgreSQL can hold; the others are told so."""
    kept = []
    for item in items:
        if storable(_names(item.work[0])):
            kept.append(item)
        else:
            item.error = CanonicalError("an id holds a lone surrogate or a NUL character; send well-formed Unicode")
    return kept


def _names(submission: Submission) -> Iterator[str]:
    """Yield every text of a submission that stands in a row outside its record."""
    yield submission.tenant_id
    yield submission.policy_version or ""
    yield from submission.operation or ()
    yield from submission.completes or ()
    for run in submission.runs:
        yield from (run.validation_run_id, run.choke_point, run.request_hash, run.inputs_hash, run.proposal_hash)
    if submission.usage is not None:
        yield from (submission.usage.operation_id, submission.usage.request_hash)
    if submission.authorises is not None:
        yield from submission.authorises[:3]
    if submission.plan is not None:
        yield from _names_of_move(submission.plan, submission.common)
    if submission.outcome is not None:
        said = submission.outcome
        yield from (said.outcome_id, said.idempotency_key, said.opportunity_id or "", said.actor_id or "")
        yield from (text for text in said.details.values() if isinstance(text, str))
    for kind, name in (*submission.subjects, *submission.common.items()):
        yield kind
        if isinstance(name, str):
            yield name
    for content_hash, _ in submission.contents:
        yield content_hash


def _names_of_move(move: PlanMove, common: dict[str, Any]) -> Iterator[str]:
    """Yield every text of a move that stands in the plan's row."""
    yield from (move.plan_id, move.request_hash, move.reason or "", move.step_id or "", *(move.by or {}).values())
    yield from (str(common.get(who, {}).get("id", "")) for who in ("actor", "principal"))
    if move.draft is not None:
        draft = move.draft
        yield from (draft.account_id, draft.plan_type, draft.plan_hash, draft.snapshot_id)
        for step in draft.steps:
            yield from (step.step_id, step.operation, step.action_type, *step.depends_on, *step.accepts_skipped)


def _asked_again(items: Items) -> Items:
    for item in items:
        item.answer = item.error = None
    return items


def _refuse(items: Items, refusal: Refusal) -> None:
    for item in items:
        item.answer, item.error = None, Refusal(refusal.code, str(refusal).removeprefix(f"{refusal.code}: "))


def _by_tenant(items: Items) -> list[Items]:
    groups: dict[str, Items] = defaultdict(list)
    for item in items:
        groups[item.work[0].tenant_id].append(item)
    return [*groups.values()]
