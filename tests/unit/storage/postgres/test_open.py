"""One setting changed: `weighbridge.open(policy, "postgresql://...")`."""

from urllib.parse import quote

from psycopg import conninfo

from weighbridge import wiring
from weighbridge.domain.verdict import Verdict

POLICY = {
    "weighbridge": 1,
    "name": "pg",
    "operations": {"crm.read": {"kind": "read", "cost_class": "CHEAP"}},
    "budgets": {"caps": [{"id": "day", "hard_cap": "2/day"}]},
}


def test_a_weighbridge_is_opened_on_postgresql(database):
    """B5: the same product; the third of two is blocked, and everything verifies."""
    given = conninfo.conninfo_to_dict(database.dsn())
    address = f"postgresql://{given['user']}@/{given['dbname']}?host={quote(str(given['host']), safe='')}&port={given['port']}"
    with wiring.open(POLICY, address) as wb:
        asked = [
            {"tenant_id": "acme", "operation_id": f"op-{n}", "budget": {"operation": "crm.read"}} for n in range(3)
        ]
        assert [wb.reserve(one).verdict for one in asked] == [Verdict.ALLOW, Verdict.ALLOW, Verdict.BLOCK]
        assert wb.verify("acme").ok
