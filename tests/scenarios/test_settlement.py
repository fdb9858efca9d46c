"""What is given back is what was not used: never a change of price, and never to a cap that did not ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.postgres import shared_place
from tests.samples import policy, weighbridge
from weighbridge import canonical
from weighbridge.domain.spending import Tokens
from weighbridge.domain.verdict import Verdict

TOKENS: dict[str, Any] = {"input": 100_000, "output": 0, "model": "s"}


def priced(*, per_million: str = "$10", **budgets: Any) -> dict[str, Any]:
    """Return a policy whose money cap settles."""
    model = {"input": f"{per_million}/1M tokens", "output": f"{per_million}/1M tokens"}
    table = {"currency": "USD", "models": {"s": model}, "operations": budgets.pop("operations", {})}
    caps = budgets.pop("caps", [{"id": "money", "hard_cap": "$5/month", "settlement": True}])
    return policy(budgets={"prices": table, "caps": caps})


def used(wb: Any) -> dict[str, tuple[int, int]]:
    return {name: (counter.reserved, counter.settled) for name, counter in wb.reader.counters("acme")}


def reserve(wb: Any, **budget: Any) -> Any:
    return wb.reserve({"tenant_id": "acme", "operation_id": "op", "budget": {"operation": "enrich", **budget}})


@shared_place
@pytest.mark.parametrize("after", ["$1", "$10", "$100"])
def test_a_change_of_price_gives_nothing_back(place, after):
    """B7: the very tokens that were reserved cost what they were reserved at, whatever the table says by then."""
    with weighbridge(place, policy=priced()) as wb:
        assert reserve(wb, tokens=TOKENS).verdict is Verdict.ALLOW
    with weighbridge(place, policy=priced(per_million=after)) as wb:
        wb.report_usage("op", Tokens(**TOKENS), tenant_id="acme")
        assert used(wb) == {"pico_USD 2026-11 any": (10**12, 0)}
        events = [event for record in wb.reader.records("acme") for event in _events(record.body)]
        assert not any("overrun" in event or event["type"] == "BUDGET_SETTLE" for event in events)
        assert wb.verify().ok


def _events(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = canonical.decode(body)["events"]
    return found


@pytest.mark.parametrize("model", ["s", None])
def test_the_price_of_the_calls_is_not_given_back(model):
    """B7: eight calls at ten cents were made, so only the tokens that were not used come back."""
    with weighbridge(policy=priced(operations={"enrich": "$0.10"})) as wb:
        decision = reserve(wb, amounts={"operations": 8}, tokens=TOKENS)
        assert decision.budget.amounts["pico_USD"] == 18 * 10**11
        wb.report_usage("op", Tokens(input=40_000, output=0, model=model), tenant_id="acme")
        assert used(wb) == {"pico_USD 2026-11 any": (18 * 10**11, 6 * 10**11)}
        assert wb.verify().ok


def test_tokens_of_another_model_give_no_money_back():
    """B7, B12: what they cost is not known from the reservation."""
    with weighbridge(policy=priced()) as wb:
        reserve(wb, tokens=TOKENS)
        wb.report_usage("op", Tokens(input=1, output=0, model="other"), tenant_id="acme")
        assert used(wb) == {"pico_USD 2026-11 any": (10**12, 0)}


def test_a_price_for_the_call_does_not_make_its_tokens_known():
    """B12: tokens of nobody knows which model are an unknown cost, also where the call has a price."""
    with weighbridge(policy=priced(operations={"enrich": "$0.10"})) as wb:
        assert reserve(wb, tokens={"input": 1, "output": 1}).budget.reason == "COST_UNKNOWN"
    with weighbridge(policy=priced(operations={"enrich": "$0.10"})) as wb:
        assert reserve(wb, amounts={"tokens": 2}).budget.reason == "COST_UNKNOWN"
    with weighbridge(policy=priced(operations={"enrich": "$0.10"})) as wb:
        assert reserve(wb).budget.amounts["pico_USD"] == 10**11


@shared_place
def test_a_unit_whose_cap_did_not_opt_in_is_not_given_back(place):
    """B7: another cap's settlement, of another unit, is no business of this one, also after it opts in."""

    def caps(*, tokens_settle: bool) -> dict[str, Any]:
        tokens = {"id": "tokens", "hard_cap": "100 tokens/day", "settlement": tokens_settle}
        calls = {"id": "calls", "hard_cap": "9/day", "settlement": True}
        return policy(budgets={"caps": [tokens, calls]})

    with weighbridge(place, policy=caps(tokens_settle=False)) as wb:
        reserve(wb, amounts={"tokens": 100})
        wb.report_usage("op", {"tokens": 1}, tenant_id="acme")
        assert used(wb) == {"operations 2026-11-22 any": (1, 0), "tokens 2026-11-22 any": (100, 0)}
    with weighbridge(place, policy=caps(tokens_settle=True)) as wb:
        more = {"tenant_id": "acme", "budget": {"operation": "enrich", "amounts": {"tokens": 1}}}
        assert wb.reserve(more).budget.reason == "HARD_CAP_EXCEEDED"
        assert wb.verify().ok


def test_one_consumption_in_two_spellings_is_one_report():
    """B6, B7: four tokens are four tokens."""
    with weighbridge(policy=priced(caps=[{"id": "t", "hard_cap": "9 tokens/day", "settlement": True}])) as wb:
        reserve(wb, amounts={"tokens": 9})
        wb.report_usage("op", {"tokens": 4}, tenant_id="acme")
        wb.report_usage("op", Tokens(input=2, output=2), tenant_id="acme")
        assert used(wb) == {"tokens 2026-11-22 any": (9, 5)}
