"""RFC 8785's published vectors: what is hashed (G4)."""

import pytest

from tests.acceptance import conf_jcs_rfc8785
from tests.acceptance.framework import rows_or_skip

pytestmark = pytest.mark.acceptance


def test_every_published_vector_is_reproduced_byte_for_byte():
    """G4: results are byte-identical in canonical JSON on any machine."""
    rows = rows_or_skip(conf_jcs_rfc8785)
    assert {row.rule for row in rows} & {"documents", "documents in hex", "numbers"}
    assert [row for row in rows if row.wrong or not row.right] == []
