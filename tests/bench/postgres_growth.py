"""Does a reservation on PostgreSQL cost more among a million and a half records? Long, and of its own: `--group postgres-growth`.

The same as the last row of group `postgres`, which has a short look at it. Gigabytes, and minutes.
"""

from __future__ import annotations

from tests.bench.flush import Place
from tests.bench.measure import Row, Scale
from tests.bench.postgres import growth, served

GROUP = "postgres-growth"
MANY = 1_500_000


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the rate on a large ledger beside the rate on a small one."""
    with served(place) as server:
        return [growth(server, place, scale, GROUP, MANY)]
