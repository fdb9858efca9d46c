"""The airline's database: what a proposed write is looked up in, and what an executed one changes.

It looks up and reshapes; every judgement is a rule of ``policies/tau_airline.yaml``:

* the snapshot is the reservation with the status of each of its flights, the user's profile, the schedule's entries of the
  flights that the call names, and what these add up to: where the journey goes (``journey``), what it costs (``quote``),
  whether any flight of a reservation was cancelled, whether any reservation of a user is insured or flies business;
* a proposed flight carries its key, the seats it needs, and whether it is kept ("some flight segments can be kept": same
  flight, same date, same cabin);
* ``origin``, ``destination`` and ``flight_type``, which a change of flights cannot name, are the reservation's own;
* ``amount_due`` is the difference in fares, or "50 dollars" for each bag that is paid for in addition.

The calls were made by a language model: any argument may be missing or of another type. What cannot be looked up is left
out, and the rules see the arguments as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.acceptance.framework import Document, write_context

# "The current time is 2024-05-15 15:00:00 EST." Nothing in the data has an offset; all of it is read as EST.
_EST = "-05:00"
_NOW = "2024-05-15T15:00:00"

# The ids that the airline's tool gives to new bookings and certificates, in this order.
_NEW_RESERVATION_IDS = ("HATHAT", "HATHAU", "HATHAV")
_NEW_CERTIFICATE_IDS = ("certificate_3221322", "certificate_3221323", "certificate_3221324")

_BAG_PRICE = 50
_INSURANCE_PRICE = 30

_LOCATOR_KEYS = (("user", "user_id"), ("reservation", "reservation_id"), ("payment", "payment_id"))


def reference(locator: str) -> Document:
    """Return ``kind:id``, as the records write a locator, as an evidence reference."""
    kind, _, identity = locator.partition(":")
    return {"record_locator": {"system": "airline", "object": kind, "id": identity}}


def locator_of(stated: Document) -> str:
    """Return an evidence reference as the records write it."""
    record = stated["record_locator"]
    return f"{record['object']}:{record['id']}"


def locators(arguments: Document) -> list[str]:
    """Return the records that a call names."""
    found = [f"{kind}:{arguments[key]}" for kind, key in _LOCATOR_KEYS if key in arguments]
    found += [f"payment:{payment.get('payment_id')}" for payment in _objects(arguments.get("payment_methods"))]
    found += [f"flight:{_key(flight)}" for flight in _objects(arguments.get("flights"))]
    return list(dict.fromkeys(found))


class Airline:
    """Reservations, users and the flight schedule. Records are replaced, never changed in place."""

    def __init__(self, reservations: Document, users: Document, flights: Document) -> None:
        self.reservations, self.users, self.flights = reservations, users, flights

    def fork(self) -> Airline:
        """Return a database of its own that begins as this one."""
        return Airline(dict(self.reservations), dict(self.users), self.flights)

    def context(self, case_id: str, tool: str, arguments: Document, needed: list[str], read: Iterable[str]) -> Document:
        """Return the proposal with its snapshot, the records it relies on, and the records that were read."""
        reservation = self._reservation(arguments)
        context = write_context(
            case_id,
            tool,
            self._proposed(tool, arguments, reservation),
            self._snapshot(arguments, reservation),
            evaluation_time=_NOW + _EST,
        )
        context["proposal"]["evidence"] = [reference(locator) for locator in needed]
        context["evidence"] = [
            {"reference": reference(locator), "source_type": f"airline_{locator.partition(':')[0]}"} for locator in read
        ]
        return context

    def apply(self, tool: str, arguments: Document) -> None:
        """Change the database as the call asked, the cabin included, which the airline's own tool forgets to store."""
        reservation = self._reservation(arguments)
        if tool == "book_reservation":
            self._book(arguments)
        elif tool == "send_certificate":
            self._give_certificate(arguments)
        elif reservation is not None:
            # A cancellation changes nothing that a rule looks at; bags and passengers are stored as given.
            asked = {key: value for key, value in arguments.items() if key not in {"reservation_id", "payment_id"}}
            if "passengers" in asked:
                asked["passengers"] = _objects(asked["passengers"])
            if "flights" in asked:
                asked["flights"] = self._priced(arguments, reservation)
            self._pay(
                reservation["user_id"], arguments.get("payment_id"), self._amount_due(tool, arguments, reservation)
            )
            self.reservations[arguments["reservation_id"]] = {**reservation, **asked}

    # --- Looking up

    def _reservation(self, arguments: Document) -> Document | None:
        found: Document | None = self.reservations.get(_text(arguments.get("reservation_id")))
        return found

    def _scheduled(self, flight: Document) -> Document | None:
        """Return the schedule's entry of a flight on its date, with where it goes."""
        plan = self.flights.get(_text(flight.get("flight_number")))
        day = plan["dates"].get(_text(flight.get("date"))) if plan else None
        return {"origin": plan["origin"], "destination": plan["destination"], **day} if plan and day else None

    def _snapshot(self, arguments: Document, reservation: Document | None) -> dict[str, tuple[Any, str]]:
        snapshot: dict[str, tuple[Any, str]] = {}
        user_id = _text(arguments.get("user_id") if reservation is None else reservation["user_id"])
        if user_id in self.users:
            snapshot["user"] = (self._user_state(user_id), "airline_user")
        if reservation is not None:
            snapshot["reservation"] = (self._reservation_state(reservation), "airline_reservation")
        if "flights" in arguments:
            flights = _objects(arguments["flights"])
            schedule = {_key(flight): self._scheduled(flight) for flight in flights}
            known = {key: entry for key, entry in schedule.items() if entry is not None}
            snapshot["schedule"] = (known, "airline_flight")
            snapshot["journey"] = (_journey([self._scheduled(flight) for flight in flights]), "airline_flight")
            if "payment_methods" in arguments:
                snapshot["quote"] = ({"total": self._booking_total(arguments)}, "airline_flight")
        return snapshot

    def _user_state(self, user_id: str) -> Document:
        user = self.users[user_id]
        reservations = [self.reservations[name] for name in user["reservations"] if name in self.reservations]
        return {
            "membership": user["membership"],
            "payment_methods": user["payment_methods"],
            "has_insurance": any(reservation.get("insurance") == "yes" for reservation in reservations),
            "flies_business": any(reservation.get("cabin") == "business" for reservation in reservations),
        }

    def _reservation_state(self, reservation: Document) -> Document:
        flights = reservation["flights"]
        statuses = [(self._scheduled(flight) or {}).get("status") for flight in flights]
        return {
            "cabin": reservation.get("cabin"),
            "insurance": reservation.get("insurance"),
            "created_at": reservation["created_at"] + _EST,
            "total_baggages": reservation.get("total_baggages"),
            "passenger_count": len(reservation["passengers"]),
            "itinerary": _itinerary(flights),
            "flights": [{"key": _key(f), "status": s} for f, s in zip(flights, statuses, strict=True)],
            "cancelled_by_airline": "cancelled" in statuses,
        }

    def _fare(self, flight: Document, cabin: Any, reservation: Document | None) -> int | None:
        """Return the price of one seat: what was paid for a segment that is kept, or else what the schedule asks."""
        kept = _kept(flight, cabin, reservation)
        if kept is not None:
            return int(kept["price"])
        return ((self._scheduled(flight) or {}).get("prices") or {}).get(cabin)

    def _fares(self, arguments: Document, reservation: Document | None) -> int | None:
        cabin = _text(arguments.get("cabin"))
        fares = [self._fare(flight, cabin, reservation) for flight in _objects(arguments["flights"])]
        return None if None in fares else sum(fare for fare in fares if fare is not None)

    def _booking_total(self, arguments: Document) -> int | None:
        fares, bags = self._fares(arguments, None), arguments.get("nonfree_baggages")
        if fares is None or not isinstance(bags, int):
            return None
        passengers = len(_objects(arguments.get("passengers")))
        insurance = _INSURANCE_PRICE * passengers if arguments.get("insurance") == "yes" else 0
        return fares * passengers + insurance + _BAG_PRICE * bags

    # --- Reshaping

    def _proposed(self, tool: str, arguments: Document, reservation: Document | None) -> Document:
        proposed = dict(arguments)
        passengers = _objects(
            arguments["passengers"] if "passengers" in arguments else (reservation or {}).get("passengers")
        )
        if "passengers" in arguments:
            proposed["passenger_count"] = len(passengers)
        if "payment_methods" in arguments:
            amounts = [payment.get("amount") for payment in _objects(arguments["payment_methods"])]
            proposed["amount_paid"] = sum(amount for amount in amounts if isinstance(amount, (int, float)))
        if "flights" in arguments:
            cabin, flights = _text(arguments.get("cabin")), _objects(arguments["flights"])
            proposed["flights"] = [
                {
                    **flight,
                    "key": _key(flight),
                    "seats": len(passengers),
                    "kept": _kept(flight, cabin, reservation) is not None,
                }
                for flight in flights
            ]
            proposed["itinerary"] = _itinerary(flights)
        if reservation is not None:
            proposed |= {key: reservation.get(key) for key in ("origin", "destination", "flight_type")}
            proposed["amount_due"] = self._amount_due(tool, arguments, reservation)
        return proposed

    def _amount_due(self, tool: str, arguments: Document, reservation: Document) -> int | None:
        """Return what a change costs or, below zero, gives back; None where nothing is due or a price is unknown."""
        if tool == "update_reservation_flights" and "flights" in arguments:
            before = sum(flight["price"] for flight in reservation["flights"])
            after = self._fares(arguments, reservation)
            return None if after is None else (after - before) * len(reservation["passengers"])
        bags, bags_before = arguments.get("nonfree_baggages"), reservation.get("nonfree_baggages")
        if tool == "update_reservation_baggages" and isinstance(bags, int) and isinstance(bags_before, int):
            return _BAG_PRICE * max(0, bags - bags_before)
        return None

    # --- Replaying

    def _book(self, arguments: Document) -> None:
        name = next((name for name in _NEW_RESERVATION_IDS if name not in self.reservations), None)
        user_id = _text(arguments.get("user_id"))
        if name is None or user_id not in self.users or "flights" not in arguments:
            return
        for payment in _objects(arguments.get("payment_methods")):
            self._pay(user_id, payment.get("payment_id"), payment.get("amount"))
        user = self.users[user_id]
        self.users[user_id] = {**user, "reservations": [*user["reservations"], name]}
        self.reservations[name] = {
            **{key: value for key, value in arguments.items() if key != "payment_methods"},
            "passengers": _objects(arguments.get("passengers")),
            "flights": self._priced(arguments, None),
            "created_at": _NOW,
        }

    def _priced(self, arguments: Document, reservation: Document | None) -> list[Document]:
        cabin, flights = _text(arguments.get("cabin")), _objects(arguments.get("flights"))
        return [{**flight, "price": self._fare(flight, cabin, reservation) or 0} for flight in flights]

    def _give_certificate(self, arguments: Document) -> None:
        user_id = _text(arguments.get("user_id"))
        methods = self.users.get(user_id, {}).get("payment_methods", {})
        name = next((name for name in _NEW_CERTIFICATE_IDS if name not in methods), None)
        if user_id in self.users and name is not None:
            given = {"source": "certificate", "amount": arguments.get("amount"), "id": name}
            self.users[user_id] = {**self.users[user_id], "payment_methods": {**methods, name: given}}

    def _pay(self, user_id: str, payment_id: Any, amount: Any) -> None:
        """Take an amount from a gift card; a certificate is used up ("the remaining amount ... is not refundable")."""
        if user_id not in self.users:
            return
        methods = dict(self.users[user_id]["payment_methods"])
        method = methods.get(_text(payment_id), {})
        if method.get("source") == "gift_card" and isinstance(amount, (int, float)):
            methods[payment_id] = {**method, "amount": method["amount"] - amount}
        elif method.get("source") == "certificate":
            del methods[payment_id]
        self.users[user_id] = {**self.users[user_id], "payment_methods": methods}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: Any) -> list[Document]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _key(flight: Document) -> str:
    return f"{flight.get('flight_number')}@{flight.get('date')}"


def _itinerary(flights: list[Document]) -> str:
    return " ".join(_key(flight) for flight in flights)


def _kept(flight: Document, cabin: Any, reservation: Document | None) -> Document | None:
    """Return the segment of the reservation that a proposed flight keeps as it is."""
    if reservation is None or reservation.get("cabin") != cabin:
        return None
    return next((old for old in reservation["flights"] if _key(old) == _key(flight)), None)


def _journey(entries: list[Document | None]) -> Document:
    known = [entry for entry in entries if entry is not None]
    if not known or len(known) < len(entries):
        return {}
    stops = [entry["destination"] for entry in known]
    return {"start": known[0]["origin"], "end": stops[-1], "stops": stops}
