"""The advisory lock of a PostgreSQL store: a lock of one open transaction, over all processes and machines.

A transaction keeps one server connection to itself, also through a pooler that hands out transactions; a lock of the session
would be left behind there, on a connection that the next transaction of somebody else gets. It holds no rows back: between two
statements it has no snapshot.

It is a lease. A thread asks for a sign of life every few seconds; where none comes (the process is frozen, the machine is gone
without a word, the network is cut), the server ends the transaction by itself and the lock is free. So it is never held for
ever. Whoever lost it is told at the next question (`StillHeld`), because the transaction is gone.

Any login that may connect to the database can take it, also one that may read nothing: that stops whoever needs it, and changes
nothing. So the refusal names who holds it.

What no lock can see: a server that was promoted while the old one went on. Each of the two has a lock of its own. Then the
witnesses decide: none takes a second checkpoint under a number.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from weighbridge.errors import StoreError
from weighbridge.storage.locking import SEALING, LockHeld, LockLost, LockName, StillHeld
from weighbridge.storage.postgres.connection import Connection, connect, discard, holders, translated, words

LEASE_MS = 60_000
BEAT_S = 10.0

_OPEN = (
    b"SELECT pg_is_in_recovery(), set_config('idle_in_transaction_session_timeout', %s, true), "
    b"set_config('statement_timeout', %s, true)"
)
_TAKE = b"SELECT pg_try_advisory_xact_lock(%s)"
_SHARE = b"SELECT pg_try_advisory_xact_lock_shared(%s)"
_ALIVE = (
    b"SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted "
    b"AND (classid::bigint << 32 | objid::bigint) = %s)"
)


class TransactionLock:
    """An `AdvisoryLock` in the database that ``dsn`` leads to, for anybody who may connect to it.

    ``lease_ms`` is after how long without a sign of life the server frees it, ``beat_s`` how often one is given. With ``shared``
    any number hold it together, and nobody alone.
    """

    def __init__(
        self,
        dsn: str,
        name: LockName = SEALING,
        *,
        lease_ms: int = LEASE_MS,
        beat_s: float = BEAT_S,
        shared: bool = False,
    ) -> None:
        self.dsn: str = dsn
        self._name, self._lease_ms, self._beat_s, self._shared = name, lease_ms, beat_s, shared

    @contextmanager
    def held(self) -> Iterator[StillHeld]:
        """Hold the lock (`AdvisoryLock`)."""
        with translated():
            connection = connect(self.dsn)
        over = threading.Event()
        beating = threading.Thread(
            target=self._beat, args=(connection, over), name=f"{self._name.word}-lock", daemon=True
        )
        try:
            with translated():
                self._take(connection)
            beating.start()
            yield lambda: _require(connection, self._name)
        finally:
            over.set()
            if beating.is_alive():
                beating.join()  # a connection is closed by whoever is alone with it
            discard(connection)  # which ends the transaction, and the lock with it

    def _take(self, connection: Connection) -> None:
        connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        lease = str(self._lease_ms)
        ((standby, *_),) = connection.execute(_OPEN, (lease, lease)).fetchall()
        if standby:
            raise StoreError("this server is a standby, whose locks keep nobody out; go to the one that takes writes")
        ((taken,),) = connection.execute(_SHARE if self._shared else _TAKE, (self._name.key,)).fetchall()
        if not taken:
            raise LockHeld(
                f"another process is {self._name.does} (it holds the database's {self._name.word} lock: "
                f"{holders(connection, self._name.key)}); one at a time"
            )

    def _beat(self, connection: Connection, over: threading.Event) -> None:
        while not over.wait(self._beat_s):
            try:
                _require(connection, self._name)
            except LockLost:
                return  # told to whoever asks next


def _require(connection: Connection, name: LockName) -> None:
    lost, start_again = f"the {name.word} lock was lost", f"another process may be {name.does}, start again"
    try:
        ((alive,),) = connection.execute(_ALIVE, (name.key,)).fetchall()
    except psycopg.Error as error:
        discard(connection)  # whatever state it is in, the lock is not ours any more
        raise LockLost(f"{lost}: {words(error)}; {start_again}") from error
    if not alive:
        raise LockLost(f"{lost}; {start_again}")
