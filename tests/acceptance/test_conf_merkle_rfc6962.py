"""RFC 6962's published vectors: what a checkpoint proves (L3)."""

import pytest

from tests.acceptance import conf_merkle_rfc6962
from tests.acceptance.framework import rows_or_skip

pytestmark = pytest.mark.acceptance

KINDS = {"inclusion", "consistency", "subtree inclusion", "subtree consistency"}


def test_every_published_proof_holds_and_every_bad_one_is_refused():
    """L3: 36 hold and 482 must be refused, those about trees without leaves included."""
    rows = rows_or_skip(conf_merkle_rfc6962)
    assert {(row.rule, row.expected) for row in rows} == {
        (kind, verdict) for kind in KINDS for verdict in ("ALLOW", "BLOCK")
    }
    assert [row for row in rows if row.wrong or row.not_expressible or row.undetermined] == []
