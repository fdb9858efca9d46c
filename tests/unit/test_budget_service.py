"""The budget service: what a request reserves, before any counter is read."""

from __future__ import annotations

import pytest

from weighbridge import canonical
from weighbridge.budget_service import OnBehalfOf, Untrusted, consumed, prepare, terms_of, usage_hash
from weighbridge.domain.amounts import AMOUNT_MAX, CostClass
from weighbridge.domain.caps import Cap, Period, Scope
from weighbridge.domain.context import OperationFacts
from weighbridge.domain.decision import BudgetDecision
from weighbridge.domain.spending import Spending, Tokens
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError
from weighbridge.policy.effective import BudgetPolicy, ModelPrice, Prices

KEY = b"k" * 32
SUMMARISE = OperationFacts("summarise", "summarise", cost_class=CostClass.MEDIUM)
BEHALF = OnBehalfOf("a-1", None)

OPERATIONS = Cap("operations", "operations", Period.DAY, 50)
TOKENS = Cap("tokens", "tokens", Period.DAY, 10_000)
USD = Cap("usd", "pico_USD", Period.MONTH, 10**12)
EUR = Cap("eur", "pico_EUR", Period.MONTH, 10**12)
PRICES = Prices("pico_USD", {"enrich": 50}, {"m-1": ModelPrice(3, 7)})


def policy(*caps, maxima=None, prices=None):
    known = {CostClass.MEDIUM: maxima} if maxima else {}
    return BudgetPolicy("UTC", caps, known, prices, tuple(sorted({cap.family for cap in caps})))


def prepared(spending, *caps, facts=SUMMARISE, behalf=BEHALF, untrusted=None, known=(), **sections):
    made = policy(*caps, **sections) if caps else None
    return prepare(spending, facts, behalf, made, operation_id="op", key=KEY, untrusted=untrusted, known=known)


def reserved(spending, *caps, **options):
    return prepared(spending, *caps, **options).reservation


def reasons(reservation):
    return [found["reason"] for found in reservation.findings]


class TestAmounts:
    def test_operations_count_1_unless_set(self):
        """B2: an amount per unit, operations 1 unless set."""
        assert reserved(Spending("summarise"), OPERATIONS).amounts == {"operations": 1}
        assert reserved(Spending("summarise", amounts={"operations": 3}), OPERATIONS).amounts == {"operations": 3}

    def test_tokens_are_those_in_and_the_most_that_may_come_out(self):
        """B5: reserved before the call, so the most it can be."""
        made = reserved(Spending("summarise", tokens=Tokens(input=4808, output=1000)), TOKENS)
        assert made.amounts == {"operations": 1, "tokens": 5808}
        assert made.assumed == ()

    def test_money_is_looked_up_per_token_in_and_out_and_per_operation(self):
        """B2: integer pico-units from the price table."""
        tokens = Tokens(input=100, output=10, model="m-1")
        assert reserved(Spending("summarise", tokens=tokens), USD, prices=PRICES).amounts["pico_USD"] == 370
        facts = OperationFacts("enrich", "enrich")
        assert reserved(Spending("enrich"), USD, facts=facts, prices=PRICES).amounts["pico_USD"] == 50
        made = Spending("enrich", amounts={"operations": 2}, tokens=tokens)
        assert reserved(made, USD, facts=facts, prices=PRICES).amounts["pico_USD"] == 470

    def test_stated_money_is_not_looked_up(self):
        """B2: what a host states is what is reserved."""
        made = Spending("summarise", amounts={"USD": "0.25"}, tokens=Tokens(input=1, output=1, model="m-1"))
        assert reserved(made, USD, prices=PRICES).amounts["pico_USD"] == 250_000_000_000

    @pytest.mark.parametrize("tokens", [None, Tokens(input=1, output=1), Tokens(input=1, output=1, model="other")])
    def test_a_price_that_is_not_known_leaves_the_cost_unknown(self, tokens):
        """B12: never 0; and a model that is not in the table is not paid for with another price."""
        facts = OperationFacts("enrich" if tokens and tokens.model else "summarise", "x")
        assert "pico_USD" not in reserved(Spending(facts.name, tokens=tokens), USD, facts=facts, prices=PRICES).amounts

    def test_nothing_is_a_known_amount(self):
        """B12: 0 tokens are known; only what nobody says is unknown."""
        made = reserved(Spending("summarise", amounts={"tokens": 0}), TOKENS, maxima={"tokens": 9})
        assert (made.amounts["tokens"], made.assumed) == (0, ())

    def test_unknown_cost_reserves_the_class_maximum(self):
        """B12: of units that a cap needs, and of no others."""
        made = reserved(Spending("summarise"), TOKENS, maxima={"tokens": 2000, "pico_USD": 7})
        assert made.amounts == {"operations": 1, "tokens": 2000}
        assert made.assumed == ("tokens",)
        assert reserved(Spending("summarise"), TOKENS).assumed == ()

    def test_the_maximum_is_that_of_the_class_that_counts(self):
        """B12, B1: a call that is dearer than its operation has its own class's maximum, of which there is none here."""
        dear = Spending("summarise", cost_class=CostClass.EXPENSIVE)
        assert "tokens" not in reserved(dear, TOKENS, maxima={"tokens": 2000}).amounts

    def test_money_in_another_currency_is_known_and_not_converted(self):
        """B2: neither a maximum nor a price of another currency stands for it."""
        made = Spending("enrich", amounts={"EUR": "0.10"})
        facts = OperationFacts("enrich", "enrich", cost_class=CostClass.MEDIUM)
        assert reserved(made, USD, facts=facts, maxima={"pico_USD": 5}, prices=PRICES).amounts == {
            "operations": 1,
            "pico_EUR": 10**11,
        }

    def test_what_fits_no_counter_is_a_block(self):
        """B2: AMOUNT_OUT_OF_RANGE, of a stated amount and of one that was worked out."""
        stated = reserved(Spending("summarise", amounts={"tokens": AMOUNT_MAX + 1}), OPERATIONS)
        assert reasons(stated) == ["AMOUNT_OUT_OF_RANGE"]
        dear = Prices("pico_USD", {}, {"m-1": ModelPrice(AMOUNT_MAX, 0)})
        tokens = Tokens(input=2, output=0, model="m-1")
        assert stated.findings[0]["details"] == {"units": ["tokens"]}
        assert reasons(reserved(Spending("summarise", tokens=tokens), USD, prices=dear)) == ["AMOUNT_OUT_OF_RANGE"]
        assert reasons(reserved(Spending("summarise", amounts={"tokens": AMOUNT_MAX}), OPERATIONS)) == []


class TestClasses:
    def test_the_class_is_the_registered_one_or_a_higher_one(self):
        """B1: tagged where the operation is defined; one call can only cost more."""
        assert reserved(Spending("summarise"), OPERATIONS).cost_class == "MEDIUM"
        dear = Spending("summarise", cost_class=CostClass.EXPENSIVE)
        assert reserved(dear, OPERATIONS).cost_class == "EXPENSIVE"
        with pytest.raises(ContextError, match=r"cost_class.*CHEAP.*below.*MEDIUM"):
            reserved(Spending("summarise", cost_class=CostClass.CHEAP), OPERATIONS)

    def test_caps_of_other_classes_do_not_apply(self):
        """B2, B3: one, several or any cost classes."""
        cheap = Cap("cheap", "operations", Period.DAY, 1, cost_classes=frozenset({CostClass.CHEAP}))
        assert [cap.id for cap, _ in reserved(Spending("summarise"), cheap, OPERATIONS).applicable] == ["operations"]

    def test_an_operation_that_nobody_knows_falls_under_nothing(self):
        """Z5: UNKNOWN_OPERATION."""
        made = reserved(Spending("mystery"), OPERATIONS, facts=None)
        assert reasons(made) == ["UNKNOWN_OPERATION"]
        assert (made.cost_class, made.applicable) == (None, ())

    def test_the_closest_of_those_that_are_known_is_named(self):
        """Z5: as data; the sentence is derived."""
        known = ("enrich", "summarise")
        made = prepared(Spending("sumarize"), OPERATIONS, facts=None, known=known).reservation
        assert made.findings[0]["details"] == {"operation": "sumarize", "closest": "summarise"}
        made = prepared(Spending("mystery"), OPERATIONS, facts=None, known=known).reservation
        assert made.findings[0]["details"] == {"operation": "mystery"}


class TestUnpriced:
    """B12: why nobody knows what a request costs is part of the decision."""

    @pytest.mark.parametrize(
        ("tokens", "prices", "unpriced"),
        [
            (None, None, {"cause": "NO_PRICES"}),
            (None, PRICES, {"cause": "NO_PRICE"}),
            (Tokens(1, 1), PRICES, {"cause": "NO_MODEL"}),
            (Tokens(0, 0), PRICES, {"cause": "NO_PRICE"}),
            (Tokens(1, 1), Prices("pico_USD", {"enrich": 50}, {}), {"cause": "NO_PRICE"}),
            (Tokens(1, 1, "m-2"), PRICES, {"cause": "MODEL_UNKNOWN", "model": "m-2", "closest": "m-1"}),
            (Tokens(1, 1, "x" * 1000), PRICES, {"cause": "MODEL_UNKNOWN", "model": "x" * 200}),
            (Tokens(1, 1, "m-1"), PRICES, None),
        ],
    )
    def test_the_cause(self, tokens, prices, unpriced):
        made = reserved(Spending("summarise", tokens=tokens), OPERATIONS, USD, prices=prices)
        assert made.unpriced == unpriced

    def test_there_is_none_where_no_cap_counts_money_or_it_is_stated_or_assumed(self):
        assert reserved(Spending("summarise"), OPERATIONS, prices=PRICES).unpriced is None
        assert reserved(Spending("summarise", amounts={"EUR": "1"}), USD, prices=PRICES).unpriced is None
        assert reserved(Spending("summarise"), USD, prices=PRICES, maxima={"pico_USD": 9}).unpriced is None


class TestScopes:
    def test_every_cap_is_checked_against_the_counter_of_its_scope(self):
        """B2, B3: a value, or "each"; a request that lacks the field falls under `(none)`."""
        each = Cap("each", "operations", Period.PLAN, 1, scope=(("account", None), ("plan", None)))
        tool = Cap("tool", "operations", Period.DAY, 1, scope=(("tool", "summarise"),))
        other = Cap("other", "operations", Period.DAY, 1, scope=(("account", "a-2"),))
        made = reserved(Spending("summarise"), each, tool, other)
        assert [(cap.id, tail) for cap, tail in made.applicable] == [
            ("each", 'any account="a-1" plan=(none)'),
            ("tool", 'any tool="summarise"'),
        ]

    def test_every_field_of_a_scope_comes_from_its_own_place(self):
        """B2, B3: account and plan from the request, the tool from the operation."""
        scope: Scope = (("account", "a-9"), ("plan", "p-9"), ("tool", "summarise"))
        made = Cap("all", "operations", Period.PLAN, 1, scope=scope)
        for behalf, applies in ((("a-9", "p-9"), True), (("p-9", "a-9"), False), (("a-9", None), False)):
            found = reserved(Spending("summarise"), made, behalf=OnBehalfOf(*behalf)).applicable
            assert bool(found) is applies

    def test_without_budgets_no_cap_applies(self):
        """B8: the policy says nothing of budgets; the kernel answers NO_APPLICABLE_CONFIG."""
        made = reserved(Spending("summarise"))
        assert (made.applicable, reasons(made)) == ((), [])
        assert terms_of(None) is None

    def test_the_terms_of_a_policy_are_its_families_and_its_zone(self):
        """B9, B14: what its activation says of counters."""
        terms = terms_of(policy(TOKENS, OPERATIONS))
        assert terms is not None
        assert (terms.families, terms.time_zone) == (("operations DAY any", "tokens DAY any"), "UTC")


class TestJustification:
    def test_a_reason_is_content_and_not_record(self):
        """B13, L6: the reservation holds the keyed hash, the content the text."""
        made = prepared(Spending("summarise", justification="quarter end"), OPERATIONS)
        ((content_hash, body),) = made.contents
        assert made.reservation.justification == content_hash == canonical.keyed_hash(KEY, body)
        assert body == b'{"justification":"quarter end","operation_id":"op"}'
        assert prepared(Spending("summarise"), OPERATIONS).contents == ()


class TestRequestHash:
    CHANGES = (
        Spending("other"),
        Spending("summarise", amounts={"operations": 2}),
        Spending("summarise", amounts={"tokens": 1}),
        Spending("summarise", cost_class=CostClass.EXPENSIVE),
        Spending("summarise", tokens=Tokens(input=1, output=0)),
        Spending("summarise", tokens=Tokens(input=0, output=1)),
        Spending("summarise", tokens=Tokens(input=1, output=0, model="m-1")),
        Spending("summarise", justification="because"),
    )

    def test_every_part_of_a_request_counts(self):
        """B6, G3: another body is another request."""
        hashes = [reserved(one, OPERATIONS).request_hash for one in (Spending("summarise"), *self.CHANGES)]
        behalves = (OnBehalfOf(None, None), OnBehalfOf("a-2", None), OnBehalfOf("a-1", "p"), OnBehalfOf(None, "a-1"))
        hashes += [reserved(Spending("summarise"), OPERATIONS, behalf=one).request_hash for one in behalves]
        assert len(set(hashes)) == len(hashes)

    def test_neither_policy_nor_spelling_count(self):
        """B6, G3: the first record fixes the policy; one amount is one amount."""
        one = reserved(Spending("summarise", amounts={"USD": "0.25"}), USD)
        other = reserved(Spending("summarise", amounts={"pico_USD": 250_000_000_000}), OPERATIONS, prices=PRICES)
        assert (
            one.request_hash
            == other.request_hash
            == reserved(Spending("summarise", amounts={"USD": "0.250"})).request_hash
        )


class TestUntrusted:
    def test_what_an_agent_states_does_not_count(self):
        """Z5: a BLOCK, and nothing of it is reserved; it is part of the request all the same (G3)."""
        stated = Spending("summarise", amounts={"tokens": 5}, cost_class=CostClass.CHEAP, justification="please")
        made = reserved(stated, TOKENS, untrusted=Untrusted(("budget.amounts",), "agent"))
        assert made.findings == (
            {"reason": "UNTRUSTED_INPUT", "details": {"inputs": ["budget.amounts"], "role": "agent"}},
        )
        assert (made.amounts, made.cost_class) == ({"operations": 1}, "MEDIUM")
        assert made.justification is not None
        assert made.request_hash != reserved(Spending("summarise", justification="please"), TOKENS).request_hash


def decided(spending, prices=PRICES):
    """Return the decision that a reservation comes back as, as far as a report of use reads it."""
    found = reserved(spending, USD, prices=prices)
    return BudgetDecision(
        Verdict.ALLOW, "WITHIN_CAPS", found.operation, found.cost_class, found.amounts, {}, (), priced=found.priced
    )


class TestConsumed:
    @pytest.mark.parametrize(
        ("stated", "amounts"),
        [
            ({"tokens": 912, "USD": "0.0018"}, {"tokens": 912, "pico_USD": 1_800_000_000}),
            (Tokens(input=100, output=10), {"tokens": 110, "pico_USD": 370}),
            (Tokens(input=100, output=10, model="m-1"), {"tokens": 110, "pico_USD": 370}),
            (Tokens(input=100, output=10, model="other"), {"tokens": 110}),
        ],
    )
    def test_amounts_or_tokens(self, stated, amounts):
        """B7: what was really consumed; money for the tokens of the model that was reserved for, at those prices."""
        reserved_for = decided(Spending("summarise", tokens=Tokens(input=900, output=100, model="m-1")))
        assert consumed(stated, reserved_for) == amounts

    def test_money_is_worked_out_as_it_was_reserved(self):
        """B7: a price for each call counts for as many as were reserved, and unit prices are those of the reservation."""
        tokens = Tokens(input=1000, output=0, model="m-1")
        both = Prices("pico_USD", {"summarise": 50}, PRICES.models)
        reserved_for = decided(Spending("summarise", amounts={"operations": 8}, tokens=tokens), both)
        assert reserved_for.amounts["pico_USD"] == 8 * 50 + 1000 * PRICES.models["m-1"].input
        assert consumed(tokens, reserved_for)["pico_USD"] == reserved_for.amounts["pico_USD"]

    def test_money_that_was_stated_is_reported_as_stated(self):
        """B7: who states money knows it; tokens alone then say nothing about it, and give nothing of it back."""
        reserved_for = decided(Spending("summarise", amounts={"USD": "1", "tokens": 5}))
        assert reserved_for.priced is None
        assert consumed(Tokens(input=1, output=0, model="m-1"), reserved_for) == {"tokens": 1}

    def test_a_report_does_not_count_operations(self):
        """B7: it moves no counter but by settlement, and an operation that happened is one."""
        assert consumed({"tokens": 1}, decided(Spending("enrich"))) == {"tokens": 1}
        assert consumed(Tokens(input=1, output=0), None) == {"tokens": 1}

    @pytest.mark.parametrize(
        "stated",
        [
            *({}, None, 912, {"stones": 1}, {"operations": 0}),
            *({"tokens": wrong} for wrong in (-1, 1.5, AMOUNT_MAX + 1)),
            *(Tokens(input=1, output=wrong) for wrong in (-1, None)),  # type: ignore[arg-type]
        ],
    )
    def test_what_is_no_amount_is_refused(self, stated):
        """B7: the first report counts, so one that says nothing is none."""
        with pytest.raises(ContextError):
            consumed(stated, decided(Spending("summarise")))

    def test_a_report_is_known_by_what_it_comes_to(self):
        """B7: said twice it is one report, in whatever words."""
        assert usage_hash({"tokens": 1, "pico_USD": 10**12}) == usage_hash({"pico_USD": 10**12, "tokens": 1})
        assert usage_hash({"tokens": 1}) != usage_hash({"tokens": 2})
        four = (consumed({"tokens": "4"}, None), consumed(Tokens(input=2, output=2), None))
        assert usage_hash(four[0]) == usage_hash(four[1])
