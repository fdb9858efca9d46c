"""The store in PostgreSQL: for many processes and machines, tenants kept apart by the database. The only importer of psycopg.

``store`` commits and answers, ``lane`` is one writer and what it does when things go wrong, ``ahead`` reads what a batch needs
before it is decided, ``statements`` writes it, ``rows`` reads, ``connection`` connects, ``guards`` says what must hold, ``setup``
makes and upgrades the schema and the roles, ``schema`` describes what is there, ``status`` says in what state it is.
"""

from weighbridge.storage.postgres.setup import initialise, make, upgrade
from weighbridge.storage.postgres.status import status
from weighbridge.storage.postgres.store import PostgresStore

__all__ = ["PostgresStore", "initialise", "make", "status", "upgrade"]
