"""Reading outcomes back, for people."""

import os

import msgspec

from weighbridge.outcomes.reader import OutcomeReader
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, WON, capture, ended
from weighbridge.testing.submissions import TENANT, erasure


def test_outcomes_are_found_by_kind_plan_and_account():
    """O1: the reading side; and what people wrote, for as long as it is there (L6)."""
    store = MemoryStore(entropy=os.urandom)
    ended(store)
    captures = capture(store)
    sweep(store, captures, TENANT, by=BY)
    captures.capture(TENANT, msgspec.structs.replace(WON, account_id="a-2", note="at last"), by=BY)
    reader = OutcomeReader(store)
    assert len([*reader.outcomes(TENANT)]) == 6
    assert [row.kind for row in reader.outcomes(TENANT, kinds=["WON", "APPROVED"])] == ["APPROVED", "WON"]
    assert [row.kind for row in reader.outcomes(TENANT, account_id="a-2")] == ["WON"]
    assert len([*reader.outcomes(TENANT, plan_id="p-1", account_id="a-1")]) == 5
    assert [*reader.outcomes("globex")] == []
    *_others, won = reader.outcomes(TENANT)
    assert reader.note(TENANT, won) == "at last"
    assert reader.note(TENANT, _others[0]) is None
    store.erase_content(TENANT, (won.body["content"]["note"],), erasure())
    assert reader.note(TENANT, won) is None
