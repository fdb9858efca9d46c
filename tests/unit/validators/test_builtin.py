import sys
import unicodedata

from tests.unit.validators.builders import policy
from weighbridge import canonical
from weighbridge.validators import builtin
from weighbridge.validators.builtin import BUILT_IN, ENGINE_LIBRARIES, engine_description


def test_the_four_stand_in_the_contracts_order():
    """G1: freshness, grounding, contradiction, compliance."""
    assert [one.id for one in BUILT_IN] == ["freshness", "grounding", "contradiction", "compliance"]


def test_an_engine_is_described_by_all_that_may_change_an_answer():
    """G4: ids and versions of validators in order, libraries, Unicode data."""
    description = engine_description(BUILT_IN, {"google-re2": "1", "python-stdnum": "2", "tzdata": "3"})
    assert description == {
        "validators": [{"id": one.id, "version": "1"} for one in BUILT_IN],
        "libraries": {"google-re2": "1", "python-stdnum": "2", "tzdata": "3"},
        "unicode": unicodedata.unidata_version,
    }
    assert set(description["libraries"]) == set(ENGINE_LIBRARIES)
    assert canonical.encode(description)


def test_prepare_imports_what_the_policy_names():
    """G4: so that judging does no I/O."""
    builtin.prepare(policy())
    pattern = {"id": "p", "class": "X", "fields": ["**"], "checksum": "isin"}
    builtin.prepare(policy(compliance={"value_patterns": [pattern]}))
    assert "stdnum.isin" in sys.modules
