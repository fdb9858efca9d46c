"""The shop's database: what a proposed write is looked up in, and what an executed one changes.

It looks up and reshapes; every judgement is a rule of ``policies/tau_retail.yaml``:

* the snapshot is the order, the profile of the user it belongs to, and for every item of the order the variants of its
  product, all as the database has them;
* parallel lists of items and new items become pairs;
* ``amount_due`` is what the rule book says that the payment method must cover: "the total amount" when the method is
  changed, "the price difference" when items are.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.acceptance.framework import Document, write_context

# "All times in the database are EST" and no rule of this book asks for the time, so any instant will do.
_EVALUATION_TIME = "2024-05-15T15:00:00-05:00"


class Shop:
    """The order database: what a proposal is looked up in, and what an executed one changes."""

    def __init__(self, orders: Document, users: Document, products: Document) -> None:
        self.orders, self.users, self.products = orders, users, products

    def copy_for(self, calls: list[Document]) -> Shop:
        """Return this database with private copies of everything that ``calls`` could change."""
        names = {call["args"].get("order_id") for call in calls} & self.orders.keys()
        orders = {name: copy.deepcopy(self.orders[name]) for name in names}
        touched = {order["user_id"] for order in orders.values()} | {call["args"].get("user_id") for call in calls}
        users = {name: copy.deepcopy(self.users[name]) for name in touched & self.users.keys()}
        return Shop({**self.orders, **orders}, {**self.users, **users}, self.products)

    def context(self, case_id: str, tool: str, arguments: Document) -> Document:
        """Return the proposal with its snapshot."""
        order = self.orders.get(arguments.get("order_id", ""))
        user_id = arguments.get("user_id", "") if order is None else order["user_id"]
        user = self.users.get(user_id)
        snapshot: dict[str, tuple[Any, str]] = {}
        if user is not None:
            snapshot["user"] = ({"user_id": user_id, "payment_methods": user["payment_methods"]}, "retail_user")
        if order is not None:
            snapshot["order"] = (self._order_state(order), "retail_order")
            snapshot["items"] = (self._items_state(order), "retail_catalogue")
        return write_context(
            case_id, tool, self._proposed(tool, arguments, order), snapshot, evaluation_time=_EVALUATION_TIME
        )

    def _order_state(self, order: Document) -> Document:
        original = order["payment_history"][0]["payment_method_id"] if order["payment_history"] else None
        return {"order_id": order["order_id"], "status": order["status"], "original_payment_method_id": original}

    def _items_state(self, order: Document) -> Document:
        return {
            item["item_id"]: {
                "product_id": item["product_id"],
                "price": item["price"],
                "variants": {
                    name: {"available": variant["available"], "price": variant["price"]}
                    for name, variant in self.products[item["product_id"]]["variants"].items()
                },
            }
            for item in order["items"]
        }

    def _proposed(self, tool: str, arguments: Document, order: Document | None) -> Document:
        proposed = {name: value for name, value in arguments.items() if name not in {"item_ids", "new_item_ids"}}
        if "new_item_ids" in arguments:
            pairs = zip(arguments["item_ids"], arguments["new_item_ids"], strict=False)
            proposed["changes"] = [{"item_id": item, "new_item_id": new} for item, new in pairs]
        elif "item_ids" in arguments:
            proposed["changes"] = [{"item_id": item} for item in arguments["item_ids"]]
        if order is not None and (due := self._amount_due(tool, arguments, order)) is not None:
            proposed["amount_due"] = due
        return proposed

    def _amount_due(self, tool: str, arguments: Document, order: Document) -> float | None:
        """Return what the payment method must cover, or None where a price is unknown or nothing is due."""
        if tool == "modify_pending_order_payment":
            return order["payment_history"][0]["amount"] if order["payment_history"] else None
        if "new_item_ids" not in arguments:
            return None
        items = self._items_state(order)
        difference = 0.0
        for old, new in zip(arguments["item_ids"], arguments["new_item_ids"], strict=False):
            item = items.get(old)
            if item is None or new not in item["variants"]:
                return None
            difference += item["variants"][new]["price"] - item["price"]
        return round(difference, 2)

    def apply(self, tool: str, arguments: Document) -> None:
        """Change the database as an executed write asks for, as the rule book describes the outcome."""
        if tool == "modify_user_address":
            return  # no rule looks at an address
        order = self.orders[arguments["order_id"]]
        match tool:
            case "cancel_pending_order":
                # "the total will be refunded via the original payment method immediately if it is gift card"
                order["status"] = "cancelled"
                for payment in order["payment_history"]:
                    self._pay(order, payment["payment_method_id"], -payment["amount"])
            case "modify_pending_order_payment":
                # "The original payment method will be refunded immediately if it is a gift card"
                first = order["payment_history"][0]
                self._pay(order, arguments["payment_method_id"], first["amount"])
                self._pay(order, first["payment_method_id"], -first["amount"])
                first["payment_method_id"] = arguments["payment_method_id"]
            case "modify_pending_order_items":
                # The order's status becomes 'pending (items modified)' in the rule book, and this in the shop's data.
                self._pay(order, arguments["payment_method_id"], self._amount_due(tool, arguments, order) or 0.0)
                self._exchange_items(order, arguments)
                order["status"] = "pending (item modified)"
            case "return_delivered_order_items":
                order["status"] = "return requested"
            case "exchange_delivered_order_items":
                order["status"] = "exchange requested"
            case _:
                pass

    def _pay(self, order: Document, payment_method_id: str, amount: float) -> None:
        method = self.users[order["user_id"]]["payment_methods"].get(payment_method_id, {})
        if "balance" in method:
            method["balance"] = round(method["balance"] - amount, 2)

    def _exchange_items(self, order: Document, arguments: Document) -> None:
        for old, new in zip(arguments["item_ids"], arguments["new_item_ids"], strict=False):
            item = next(item for item in order["items"] if item["item_id"] == old)
            variant = self.products[item["product_id"]]["variants"][new]
            item.update(item_id=new, price=variant["price"])
