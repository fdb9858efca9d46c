"""The airline's adapter and policy on a made-up database: every rule fires alone where it should, and only there (C1)."""

import pytest

from tests.acceptance.framework import POLICIES, Judge
from tests.acceptance.tau_airline_database import Airline, locators

DAY, LATER = "2024-05-20", "2024-05-22"
PASSENGER = {"first_name": "Ada", "last_name": "Byron", "dob": "1990-12-10"}


def flight(origin, destination, status="available", seats=9):
    open_day = {"status": status, "available_seats": {"economy": seats}, "prices": {"economy": 100, "business": 300}}
    return {"origin": origin, "destination": destination, "dates": {DAY: open_day, LATER: open_day}}


def segment(number, date=DAY, price=100):
    return {"flight_number": number, "date": date, "price": price}


def asked(*numbers, date=DAY):
    return [{"flight_number": number, "date": date} for number in numbers]


def reservation(**changed):
    base = {
        "user_id": "u",
        "origin": "AAA",
        "destination": "BBB",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [segment("AB")],
        "passengers": [PASSENGER],
        "created_at": "2024-05-01T10:00:00",
        "total_baggages": 2,
        "nonfree_baggages": 0,
        "insurance": "no",
    }
    return base | changed


@pytest.fixture
def airline():
    return Airline(
        reservations={
            "plain": reservation(),
            "basic": reservation(cabin="basic_economy"),
            "return": reservation(flight_type="round_trip", flights=[segment("AB"), segment("BA", LATER)]),
            "new": reservation(created_at="2024-05-14T15:00:00"),
            "old by a second": reservation(created_at="2024-05-14T14:59:59"),
            "insured": reservation(insurance="yes"),
            "business": reservation(cabin="business"),
            "dropped": reservation(flights=[segment("AB"), segment("dropped")]),
            "flown": reservation(cabin="business", flights=[segment("flown"), segment("AB")]),
        },
        users={
            "u": {
                "membership": "regular",
                "reservations": ["plain"],
                "payment_methods": {
                    "c1": {"source": "certificate", "amount": 50, "id": "c1"},
                    "c2": {"source": "certificate", "amount": 50, "id": "c2"},
                    "g1": {"source": "gift_card", "amount": 150, "id": "g1"},
                    "g2": {"source": "gift_card", "amount": 10, "id": "g2"},
                    "g3": {"source": "gift_card", "amount": 10, "id": "g3"},
                    "g4": {"source": "gift_card", "amount": 10, "id": "g4"},
                    "k1": {"source": "credit_card", "id": "k1"},
                    "k2": {"source": "credit_card", "id": "k2"},
                },
            },
            "insured": {"membership": "regular", "reservations": ["insured"], "payment_methods": {}},
            "silver": {"membership": "silver", "reservations": ["plain"], "payment_methods": {}},
        },
        flights={
            "AB": flight("AAA", "BBB"),
            "AB2": flight("AAA", "BBB"),
            "BA": flight("BBB", "AAA"),
            "AC": flight("AAA", "CCC"),
            "CB": flight("CCC", "BBB"),
            "CA": flight("CCC", "AAA"),
            "late": flight("AAA", "BBB", status="delayed"),
            "flown": flight("AAA", "AAA", status="landed"),
            "dropped": flight("BBB", "BBB", status="cancelled"),
            "full": flight("AAA", "BBB", seats=1),
        },
    )


@pytest.fixture(scope="module")
def judge():
    return Judge(POLICIES / "tau_airline.yaml")


def booking(flights=None, passengers=1, payments=(("k1", 100),), **changed):
    base = {
        "user_id": "u",
        "origin": "AAA",
        "destination": "BBB",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": flights or asked("AB"),
        "passengers": [PASSENGER] * passengers,
        "payment_methods": [{"payment_id": name, "amount": amount} for name, amount in payments],
        "total_baggages": 0,
        "nonfree_baggages": 0,
        "insurance": "no",
    }
    return base | changed


def change(name, *flights, cabin="economy", payment_id="k1"):
    return {"reservation_id": name, "cabin": cabin, "flights": list(flights), "payment_id": payment_id}


def bags(total, nonfree=0, payment_id="k1"):
    return {"reservation_id": "plain", "total_baggages": total, "nonfree_baggages": nonfree, "payment_id": payment_id}


BOOKINGS = [
    (booking(), set()),
    (booking(passengers=5, payments=[("k1", 500)]), set()),
    (booking(passengers=6, payments=[("k1", 600)]), {"five-passengers"}),
    (booking(payments=[("c1", 50), ("k1", 50)]), set()),
    (booking(payments=[("c1", 50), ("c2", 50)]), {"one-certificate"}),
    (booking(payments=[("k1", 50), ("k2", 50)]), {"one-credit-card"}),
    (booking(payments=[("g2", 10), ("g3", 10), ("g1", 80)]), set()),
    (booking(payments=[("g1", 70), ("g2", 10), ("g3", 10), ("g4", 10)]), {"three-gift-cards"}),
    (booking(payments=[("stolen", 100)]), {"tool-payments-in-profile"}),
    (booking(payments=[("g2", 11), ("k1", 89)]), {"tool-payments-covered"}),
    (booking(payments=[("k1", 99)]), {"tool-paid-in-full"}),
    (booking(payments=[("k1", 180)], insurance="yes", nonfree_baggages=1), set()),
    (booking(flights=asked("late")), {"tool-flight-available"}),
    (booking(flights=asked("nowhere")), {"tool-flight-known"}),
    (booking(flights=asked("full"), passengers=2, payments=[("k1", 200)]), {"tool-seats"}),
]
CHANGES = [
    (change("plain", *asked("AB2")), set()),
    (change("plain", *asked("AC", "CB")), set()),
    (change("plain", *asked("AC")), {"same-destination", "still-goes-there"}),
    (change("plain", *asked("CB")), {"same-origin"}),
    (change("plain", *asked("AB", "BA")), {"same-destination"}),
    (change("return", *asked("AB"), *asked("BA", date=LATER)), set()),
    (change("return", *asked("AB2"), *asked("BA")), set()),
    (change("return", *asked("AB")), {"still-returns"}),
    (change("return", *asked("AC", "CA")), {"still-goes-there"}),
    (change("basic", *asked("AB")), set()),
    (change("basic", *asked("AB2")), {"basic-economy-keeps-flights"}),
    (change("basic", *asked("AB", date=LATER)), {"basic-economy-keeps-flights"}),
    (change("plain", *asked("AB2"), payment_id="c1"), {"tool-update-by-card"}),
    (change("plain", *asked("AB"), cabin="business", payment_id="g1"), {"tool-payment-covered"}),
    (change("flown", *asked("flown", "AB"), cabin="business"), set()),
]
CANCELLATIONS = [
    ("plain", {"cancel-within-a-day"}),
    ("new", set()),
    ("old by a second", {"cancel-within-a-day"}),
    ("insured", set()),
    ("business", set()),
    ("dropped", set()),
    ("flown", {"no-segment-flown"}),
]
OTHERS = [
    ("update_reservation_baggages", bags(2), set()),
    ("update_reservation_baggages", bags(1), {"bags-not-removed"}),
    ("update_reservation_baggages", bags(5, nonfree=3, payment_id="g1"), set()),
    ("update_reservation_baggages", bags(6, nonfree=4, payment_id="g1"), {"tool-payment-covered"}),
    ("update_reservation_passengers", {"reservation_id": "plain", "passengers": [PASSENGER]}, set()),
    (
        "update_reservation_passengers",
        {"reservation_id": "plain", "passengers": [PASSENGER] * 2},
        {"tool-same-number-of-passengers"},
    ),
    ("send_certificate", {"user_id": "u", "amount": 100}, {"no-compensation"}),
    ("send_certificate", {"user_id": "insured", "amount": 100}, set()),
    ("send_certificate", {"user_id": "silver", "amount": 100}, set()),
]
CASES = [
    *(("book_reservation", arguments, rules) for arguments, rules in BOOKINGS),
    *(("update_reservation_flights", arguments, rules) for arguments, rules in CHANGES),
    *(("cancel_reservation", {"reservation_id": name}, rules) for name, rules in CANCELLATIONS),
    *OTHERS,
]


@pytest.mark.parametrize(("tool", "arguments", "rules"), CASES)
def test_exactly_the_rules_that_a_call_breaks_are_named(airline, judge, tool, arguments, rules):
    """C1, C3: each rule judges its own field, and the details name it."""
    needed = locators(arguments)
    decision = judge(airline.context("case", tool, arguments, needed, needed))
    assert decision.rules == rules
    assert decision.verdict == ("BLOCK" if rules else "ALLOW")


def test_an_executed_booking_can_be_changed_afterwards(airline, judge):
    airline.apply("book_reservation", booking(payments=[("g1", 50), ("c1", 50)]))
    assert airline.users["u"]["payment_methods"]["g1"]["amount"] == 100
    assert "c1" not in airline.users["u"]["payment_methods"]
    arguments = change("HATHAT", *asked("AB"), cabin="business", payment_id="g1")
    assert judge(airline.context("case", "update_reservation_flights", arguments, [], [])).rules == {
        "tool-payment-covered"
    }
    assert judge(airline.context("case", "cancel_reservation", {"reservation_id": "HATHAT"}, [], [])).rules == set()


def test_a_change_is_applied_as_it_was_requested_and_leaves_other_episodes_alone(airline):
    episode = airline.fork()
    episode.apply("update_reservation_flights", change("basic", *asked("AB"), cabin="economy", payment_id="g1"))
    assert episode.reservations["basic"]["cabin"] == "economy"
    assert airline.reservations["basic"]["cabin"] == "basic_economy"
