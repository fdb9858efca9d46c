"""The store in PostgreSQL: for many processes and machines, tenants kept apart by the database. The only importer of psycopg.

``store`` commits and answers, ``lane`` is one writer and what it does when things go wrong, ``ahead`` reads what a batch needs
before it is decided, ``statements`` writes it, ``rows`` reads, ``connection`` connects and guards, ``setup`` makes the schema
and the roles.
"""

from weighbridge.storage.postgres.setup import initialise
from weighbridge.storage.postgres.store import PostgresStore

__all__ = ["PostgresStore", "initialise"]
