"""Unknown keys of a request: the key that was probably meant stands in the message."""

from __future__ import annotations

import pytest

from weighbridge.domain.context import parse_context
from weighbridge.domain.spending import parse_spending, parse_spending_request
from weighbridge.errors import ContextError
from weighbridge.scopes import scope

STEP = "BEFORE_STEP_EXECUTION"
FIELD = {"value": 1, "source_type": "crm", "sourceid": "r-1"}


@pytest.mark.parametrize(
    ("read", "document", "said"),
    [
        (parse_context, {"choke_point": STEP, "accountid": "a"}, "unknown field `accountid` (write account_id)"),
        (
            parse_context,
            {"choke_point": STEP, "plan": {"plan_id": "p", "steps": [{"operaton": 1}]}},
            "(write operation)",
        ),
        (parse_context, {"choke_point": STEP, "snapshot": {"fields": {"x.y": FIELD}}}, "(write source_id)"),
        (parse_context, {"choke_point": STEP, "actor": {"id": "a", "Role": "agent"}}, "(write role)"),
        (parse_spending_request, {"budgets": {}, "budget": {"operation": "x"}}, "(write budget)"),
        (parse_spending, {"operation": "x", "justificaton": "y"}, "(write justification)"),
        (parse_spending, {"tokens": {"input": 1, "output": 1, "modell": "m"}}, "(write model)"),
    ],
)
def test_the_key_that_was_meant_is_named(read, document, said):
    with pytest.raises(ContextError) as caught:
        read(document)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize("key", ["colour", "", "`", "é" * 300, "a\nb"])
def test_a_key_that_resembles_none_is_only_named(key):
    with pytest.raises(ContextError) as caught:
        parse_context({"choke_point": STEP, key: 1})
    assert "(write" not in str(caught.value)


def test_other_mistakes_get_no_suggestion():
    with pytest.raises(ContextError) as caught:
        parse_context({"choke_point": STEP, "attempt": "one"})
    assert "(write" not in str(caught.value)


def test_a_scope_says_it_too():
    from weighbridge.domain.choke_point import ChokePoint
    from weighbridge.domain.context import Proposal

    stated = scope(data_sources=[{"source_id": "a", "source_type": "crm", "last_update": "x"}])
    with pytest.raises(ContextError, match=r"\(write last_updated\)"):
        stated.context(ChokePoint.BEFORE_STEP_EXECUTION, Proposal("x"))
