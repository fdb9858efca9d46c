"""The shop's adapter and policy on a made-up database: every rule fires alone where it should, and only there (C1)."""

import pytest

from tests.acceptance.framework import POLICIES, Judge
from tests.acceptance.tau_retail_database import Shop


def order(name, status, paid_with="card"):
    return {
        "order_id": name,
        "user_id": "u",
        "status": status,
        "items": [{"item_id": "red", "product_id": "shirt", "price": 10.1}],
        "payment_history": [{"transaction_type": "payment", "amount": 10.1, "payment_method_id": paid_with}],
    }


@pytest.fixture
def shop():
    variants = {"red": (True, 10.1), "blue": (True, 10.4), "gold": (True, 99.0), "gone": (False, 10.0)}
    return Shop(
        orders={name: order(name, name.split()[0]) for name in ("pending", "delivered", "cancelled", "pending again")},
        users={
            "u": {
                "payment_methods": {
                    "card": {"source": "credit_card", "id": "card"},
                    "other": {"source": "paypal", "id": "other"},
                    "gift": {"source": "gift_card", "id": "gift", "balance": 10.1},
                    "empty": {"source": "gift_card", "id": "empty", "balance": 0.3},
                }
            }
        },
        products={
            "shirt": {"variants": {name: {"available": a, "price": p} for name, (a, p) in variants.items()}},
            "shoe": {"variants": {"left": {"available": True, "price": 1.0}}},
        },
    )


@pytest.fixture(scope="module")
def judge():
    return Judge(POLICIES / "tau_retail.yaml")


def cancel(name, reason="no longer needed"):
    return "cancel_pending_order", {"order_id": name, "reason": reason}


def pay(name, method):
    return "modify_pending_order_payment", {"order_id": name, "payment_method_id": method}


def swap(tool, name, old, new, method="card"):
    return tool, {"order_id": name, "item_ids": [old], "new_item_ids": [new], "payment_method_id": method}


def modify(name, new, method="card", old="red"):
    return swap("modify_pending_order_items", name, old, new, method)


def exchange(name, new, method="card"):
    return swap("exchange_delivered_order_items", name, "red", new, method)


def give_back(name, method, item="red"):
    return "return_delivered_order_items", {"order_id": name, "item_ids": [item], "payment_method_id": method}


CASES = [
    (cancel("pending"), set()),
    (cancel("delivered"), {"pending-only"}),
    (cancel("pending", "found it cheaper"), {"cancel-reason"}),
    (pay("pending", "gift"), set()),
    (pay("pending", "other"), set()),
    (pay("pending", "card"), {"new-payment-differs"}),
    (pay("pending", "stolen"), {"payment-in-profile"}),
    (pay("pending", "empty"), {"balance"}),
    (modify("pending", "blue"), set()),
    (modify("pending", "red"), set()),
    (modify("pending", "blue", "empty"), set()),  # 0.3 covers 10.4 - 10.1, which as floats is a little more
    (modify("pending", "gold", "empty"), {"balance"}),
    (modify("pending", "gone"), {"new-item-available"}),
    (modify("pending", "left"), {"same-product"}),
    (modify("pending", "blue", old="hat"), {"item-in-order"}),
    (modify("cancelled", "blue"), {"pending-only"}),
    (exchange("delivered", "blue"), set()),
    (exchange("pending", "blue"), {"delivered-only"}),
    (exchange("delivered", "gold", "gift"), {"balance"}),
    (give_back("delivered", "card"), set()),
    (give_back("delivered", "gift"), set()),
    (give_back("delivered", "other"), {"refund-method"}),
    (give_back("delivered", "card", item="hat"), {"item-in-order"}),
    (("modify_user_address", {"user_id": "u", "city": "Paris"}), set()),
]


@pytest.mark.parametrize(("call", "rules"), CASES)
def test_exactly_the_rules_that_a_call_breaks_are_named(shop, judge, call, rules):
    """C1, C3: each rule judges its own field, and the details name it."""
    decision = judge(shop.context("case", *call))
    assert decision.rules == rules
    assert decision.verdict == ("BLOCK" if rules else "ALLOW")


def test_an_order_that_is_not_there_leaves_nothing_to_judge_by(shop, judge):
    """G5: absence is refusal."""
    decision = judge(shop.context("case", *cancel("nowhere")))
    assert decision.verdict == "BLOCK"
    assert decision.result("contradiction").reason == "INPUT_MISSING"


def test_items_of_an_order_can_be_modified_once(shop, judge):
    tool, arguments = modify("pending", "blue", "gift")
    replay = shop.copy_for([{"args": arguments}])
    replay.apply(tool, arguments)
    assert judge(replay.context("again", *modify("pending", "red", old="blue"))).rules == {"pending-only"}
    assert replay.users["u"]["payment_methods"]["gift"]["balance"] == 9.8
    assert judge(shop.context("elsewhere", tool, arguments)).rules == set()


def test_a_payment_method_that_was_replaced_is_refunded(shop, judge):
    tool, arguments = pay("pending", "gift")
    replay = shop.copy_for([{"args": arguments}])
    replay.apply(tool, arguments)
    assert replay.users["u"]["payment_methods"]["gift"]["balance"] == 0
    assert judge(replay.context("again", *pay("pending again", "gift"))).rules == {"balance"}
    replay.apply(*pay("pending", "other"))
    assert judge(replay.context("later", *pay("pending again", "gift"))).rules == set()
