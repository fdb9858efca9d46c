"""The store in one SQLite file: durable, append-only, safe for many threads and processes. The only importer of apsw.

``store`` commits and answers, ``batch`` is what one transaction decides and writes, ``rows`` reads, ``file`` makes, opens,
upgrades and guards the file, ``schema`` describes it, ``status`` says in what state it is.
"""

from weighbridge.storage.sqlite.status import make, status, upgrade
from weighbridge.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "make", "status", "upgrade"]
