"""The store in one SQLite file: durable, append-only, safe for many threads and processes. The only importer of apsw.

``store`` commits and answers, ``batch`` is what one transaction decides and writes, ``rows`` reads, ``file`` makes, opens
and guards the file.
"""

from weighbridge.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
