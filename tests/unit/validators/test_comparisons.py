import pytest

from tests.unit.validators.builders import NOW, field, judge, rules, with_rule_changed
from weighbridge.domain.instant import DAY_MS

HOLDS, BROKEN, UNPLACED = "CONSISTENT", "CONTRADICTION", "INCOMPARABLE_VALUE"


def outcome(rule, arguments, state=None, **others):
    """Judge one rule twice, by the short way and with a condition that always holds, and return the one answer."""
    fields = {"s": field(state)} if state is not None else {"other": field(1)}
    given = {"fields": fields, "arguments": {**arguments, "always": True}}
    short = judge("contradiction", rules(rule, **others), **given)
    when = [*rule.get("when", []), {"field": "$.always", "equals": True}]
    long = judge("contradiction", rules({**rule, "when": when}, **others), **given)
    assert short == long
    return short.reason


def eq(**rule):
    return {"rule": "eq", "field": "v", "snapshot": "s", **rule}


@pytest.mark.parametrize(
    ("proposed", "stated", "expected"),
    [
        ("a", "a", HOLDS),
        ("a", "b", BROKEN),
        (1, 1.0, HOLDS),
        (1, True, BROKEN),
        (True, True, HOLDS),
        (False, 0, BROKEN),
        ("1", 1, BROKEN),
        ([1, "a"], [1.0, "a"], HOLDS),
        ([1], [True], BROKEN),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, HOLDS),
        ({"a": 1}, {"a": 2}, BROKEN),
        ([], {}, BROKEN),
    ],
)
def test_eq_is_typed(proposed, stated, expected):
    """C1: eq; true is not 1, a text is no number, 1 equals 1.0, also deep inside."""
    assert outcome(eq(), {"v": proposed}, stated) == expected
    differs = outcome(eq(rule="differs"), {"v": proposed}, stated)
    assert differs == (BROKEN if expected == HOLDS else HOLDS)


@pytest.mark.parametrize("kind", ["eq", "differs", "at_most", "no_backward", "one_of", "member_of"])
@pytest.mark.parametrize("proposed", [None, "unknown", ""])
def test_null_absent_and_unknown_values_contradict_nothing(kind, proposed):
    """C2: on the side of the proposal."""
    others = {"no_backward": {"ordering": ["x", "y"]}, "one_of": {"values": ["x"]}}
    rule = {"rule": kind, "field": "v", "snapshot": "s", **others.get(kind, {})}
    if kind == "one_of":
        del rule["snapshot"]
    assert outcome(rule, {"v": proposed}, ["x"], unknown_values=["unknown", ""]) == HOLDS
    assert outcome(rule, {}, ["x"]) == HOLDS


@pytest.mark.parametrize(
    "rule", [eq(), eq(rule="differs"), eq(rule="at_least"), eq(rule="member_of"), eq(rule="count_max")]
)
@pytest.mark.parametrize("state", [None, "unknown", {}])
def test_an_unknown_state_contradicts_nothing(rule, state):
    """C2: on the side of the snapshot, also where a path leads nowhere."""
    assert (
        outcome({**rule, "snapshot": "s.x"}, {"v": 1}, {"x": state} if state != {} else {}, unknown_values=["unknown"])
        == HOLDS
    )


def test_one_of_is_an_enumeration():
    """C1: one_of."""
    rule = {"rule": "one_of", "field": "v", "values": ["a", 1, False]}
    assert outcome(rule, {"v": "a"}) == HOLDS
    assert outcome(rule, {"v": 1}) == HOLDS
    assert outcome(rule, {"v": True}) == BROKEN
    assert outcome(rule, {"v": False}) == HOLDS
    assert outcome(rule, {"v": 0}) == BROKEN
    assert outcome(rule, {"v": "b"}) == BROKEN
    assert outcome(rule, {"v": ["a"]}) == BROKEN


@pytest.mark.parametrize(
    ("path", "state", "proposed", "expected"),
    [
        ("s", ["a", "b"], "a", HOLDS),
        ("s", ["a", "b"], "c", BROKEN),
        ("s", [], "a", BROKEN),
        ("s", [1], True, BROKEN),
        ("s", {"a": 0}, "a", HOLDS),
        ("s", {"1": 0}, 1, BROKEN),
        ("s", {"a": 0}, "b", BROKEN),
        ("s", "a", "a", UNPLACED),
        ("s.list", {"list": None}, "a", HOLDS),
        ("s[*].id", [{"id": "a"}, {"id": "b"}], "b", HOLDS),
        ("s[*].id", [{"id": "a"}, {}], "b", BROKEN),
        ("s[*].id", [], "b", BROKEN),
        ("s[*].id", {"x": {"id": "b"}}, "b", HOLDS),
        ("s[*].ids", [{"ids": ["a"]}, {"ids": ["b"]}], "b", HOLDS),
        ("s[*]", [{"id": "a"}], {"id": "a"}, HOLDS),
        ("s.list[*]", {}, "a", HOLDS),
        ("s.list[*]", {"list": "text"}, "a", HOLDS),
    ],
)
def test_member_of_stands_in_a_collection(path, state, proposed, expected):
    """C1: member_of: a list, an object's keys, or what [*] finds; an empty collection is known, and holds nothing."""
    assert outcome({"rule": "member_of", "field": "v", "snapshot": path}, {"v": proposed}, state) == expected


@pytest.mark.parametrize(
    ("proposed", "limit", "most", "least"),
    [
        (20, 20, HOLDS, HOLDS),
        (20.000001, 20, BROKEN, HOLDS),
        (19, 20, HOLDS, BROKEN),
        (-1, 20, HOLDS, BROKEN),
        ("19", 20, UNPLACED, UNPLACED),
        (True, 20, UNPLACED, UNPLACED),
        ([1], 20, UNPLACED, UNPLACED),
        (9007199254740991, 9007199254740990, BROKEN, HOLDS),
    ],
)
def test_at_most_and_at_least(proposed, limit, most, least):
    """C1: a literal or a snapshot field; C3: what is no number cannot be placed."""
    for rule in ({"value": limit}, {"snapshot": "s"}):
        assert outcome({"rule": "at_most", "field": "v", **rule}, {"v": proposed}, limit) == most
        assert outcome({"rule": "at_least", "field": "v", **rule}, {"v": proposed}, limit) == least


def test_a_limit_in_the_snapshot_that_is_no_number_cannot_be_placed():
    """C3: INCOMPARABLE_VALUE on either side."""
    assert outcome(eq(rule="at_most"), {"v": 1}, "20") == UNPLACED
    assert outcome(eq(rule="max_delta", absolute=1), {"v": 1}, True) == UNPLACED


@pytest.mark.parametrize(
    ("path", "value", "limit", "expected"),
    [
        ("v[*]", ["a", "b"], 2, HOLDS),
        ("v[*]", ["a", "b", "c"], 2, BROKEN),
        ("v", ["a", "b", "c"], 2, BROKEN),
        ("v", {"x": 1, "y": 2}, 1, BROKEN),
        ("v", "a", 0, BROKEN),
        ("v", None, 0, HOLDS),
        ("v[*]", [None], 0, BROKEN),
        ("w[*]", [], 0, HOLDS),
        ("v[*].tags", [{"tags": ["a", "b"]}, {"tags": ["c"]}, {}], 2, BROKEN),
        ("v[*].tags", [{"tags": ["a", "b"]}, {"tags": []}], 2, HOLDS),
    ],
)
def test_count_max_counts_elements(path, value, limit, expected):
    """C1: count_max: a literal, a number of the snapshot, or the size of a collection there."""
    arguments = {"v": value}
    assert outcome({"rule": "count_max", "field": path, "max": limit}, arguments) == expected
    assert outcome({"rule": "count_max", "field": path, "snapshot": "s"}, arguments, limit) == expected
    assert outcome({"rule": "count_max", "field": path, "snapshot": "s"}, arguments, ["x"] * limit) == expected
    assert outcome({"rule": "count_max", "field": path, "snapshot": "s[*]"}, arguments, ["x"] * limit) == expected


def test_count_max_needs_a_whole_number():
    """C3: a limit that is none cannot be placed."""
    rule = {"rule": "count_max", "field": "v[*]", "snapshot": "s"}
    assert outcome(rule, {"v": [1]}, 2.5) == UNPLACED
    assert outcome(rule, {"v": [1]}, "2") == UNPLACED
    assert outcome(rule, {"v": [1]}, True) == UNPLACED
    assert outcome({**rule, "snapshot": "s.n[*]"}, {"v": [1]}, {"m": []}) == HOLDS


def test_count_max_counts_what_its_conditions_leave():
    """C1: conditions are asked of every element."""
    kinds = {"p1": {"kind": "certificate"}, "p2": {"kind": "card"}, "p3": {"kind": "certificate"}}
    when = [{"snapshot": "s.{id}.kind", "equals": "certificate"}]
    for path in ("payments[*]", "payments"):
        rule = {"rule": "count_max", "field": path, "max": 1, "when": when}
        one = {"payments": [{"id": "p1"}, {"id": "p2"}, {"id": "p9"}]}
        assert outcome(rule, one, kinds) == HOLDS
        assert outcome(rule, {"payments": [*one["payments"], {"id": "p3"}]}, kinds) == BROKEN
        by_field = {**rule, "when": [{"field": "payments[*].kind", "equals": "x"}]}
        assert outcome(by_field, {"payments": [{"kind": "x"}, {"kind": "y"}]}) == HOLDS
        assert outcome(by_field, {"payments": [{"kind": "x"}, {"kind": "x"}]}) == BROKEN


@pytest.mark.parametrize(
    ("limit", "proposed", "stated", "expected"),
    [
        ({"absolute": 50}, 150, 100, HOLDS),
        ({"absolute": 50}, 150.01, 100, BROKEN),
        ({"absolute": 50}, 49, 100, BROKEN),
        ({"absolute": 0.3}, 0.6, 0.3, HOLDS),
        ({"absolute": "0.1"}, 0.3, 0.2, HOLDS),
        ({"absolute": "0.1"}, 0.30000000000000004, 0.2, BROKEN),
        ({"percent": 10}, 110, 100, HOLDS),
        ({"percent": 10}, 110.000001, 100, BROKEN),
        ({"percent": 10}, 90, 100, HOLDS),
        ({"percent": 10}, -110, -100, HOLDS),
        ({"percent": 10}, -111, -100, BROKEN),
        ({"percent": 10}, 100, -100, BROKEN),
        ({"percent": 2.5}, 1.025, 1, HOLDS),
        ({"percent": 2.5}, 1.0250000000000001, 1, BROKEN),
        ({"percent": 10}, 0, 0, HOLDS),
        ({"percent": 10}, 0.0001, 0, BROKEN),
        ({"percent": 10}, 1.1e21, 1e21, HOLDS),
        ({"percent": 10}, 1.1000001e21, 1e21, BROKEN),
        ({"absolute": 1}, 5e-324, 1, HOLDS),
        ({"absolute": 5}, "101", 100, UNPLACED),
    ],
)
def test_max_delta_is_exact(limit, proposed, stated, expected):
    """C1: max_delta, absolute or percent, on the decimal text of the numbers; nothing but 0 is within percent of 0."""
    assert outcome(eq(rule="max_delta", **limit), {"v": proposed}, stated) == expected


@pytest.mark.parametrize(
    ("proposed", "stated", "expected"),
    [
        ("proposal", "prospect", HOLDS),
        ("proposal", "proposal", HOLDS),
        ("prospect", "won", BROKEN),
        ("archived", "won", UNPLACED),
        ("won", "archived", UNPLACED),
        (3, "won", UNPLACED),
        (["won"], "won", UNPLACED),
    ],
)
def test_no_backward_follows_the_ordering(proposed, stated, expected):
    """C1: no_backward; C3: what is not in the ordering cannot be placed."""
    rule = eq(rule="no_backward", ordering=["prospect", "proposal", "won"])
    assert outcome(rule, {"v": proposed}, stated) == expected


@pytest.mark.parametrize(
    ("proposed", "stated", "expected"),
    [
        ("negotiation", "open", HOLDS),
        ("open", "open", HOLDS),
        ("open", "negotiation", BROKEN),
        ("open", "lost", BROKEN),
        ("lost", "lost", HOLDS),
        ("archived", "open", UNPLACED),
        ("open", "archived", UNPLACED),
        (1, "open", UNPLACED),
    ],
)
def test_transitions_allow_listed_pairs(proposed, stated, expected):
    """C1: transitions; staying where it is goes nowhere; C3: a place the table does not know cannot be placed."""
    rule = eq(rule="transitions", allowed={"open": ["negotiation", "lost"], "negotiation": ["lost"]})
    assert outcome(rule, {"v": proposed}, stated) == expected


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        ("2026-10-31", HOLDS),
        ("2026-10-30", BROKEN),
        ("2026-10-30T23:59:59.999Z", BROKEN),
        ("2026-10-31T00:00:00Z", HOLDS),
        ("2027-02-28", HOLDS),
        ("2027-02-28T00:00:00.001Z", BROKEN),
        ("2027-02-28T01:00:00+01:00", HOLDS),
        ("2027-02-30", UNPLACED),
        ("2026-12-01T00:00:00", UNPLACED),
        ("soon", UNPLACED),
        (20261201, UNPLACED),
        ([], UNPLACED),
    ],
)
def test_date_window_around_a_snapshot_date(proposed, expected):
    """C1: date_window; a date is its midnight in UTC, both ends belong to the window; C3: no date, no place."""
    rule = eq(rule="date_window", earliest="-30d", latest="90d")
    assert outcome(rule, {"v": proposed}, "2026-11-30") == expected


def test_date_window_around_the_evaluation_time():
    """C1: a duration against the evaluation time, to the millisecond."""
    rule = {"rule": "date_window", "field": "v", "earliest": "0d", "latest": "1d"}
    assert outcome(rule, {"v": NOW}) == HOLDS
    assert outcome(rule, {"v": "2026-11-22T09:59:59.999Z"}) == BROKEN
    assert outcome(rule, {"v": "2026-11-23T10:00:00Z"}) == HOLDS
    assert outcome(rule, {"v": "2026-11-23T10:00:00.001Z"}) == BROKEN


def test_date_window_places_the_evaluation_time_itself():
    """C1: with no field it is the evaluation time that must stand in the window; an unknown date contradicts nothing."""
    rule = {"rule": "date_window", "snapshot": "s.created_at", "latest": "24h"}
    assert outcome(rule, {}, {"created_at": "2026-11-21T10:00:00Z"}) == HOLDS
    assert outcome(rule, {}, {"created_at": "2026-11-21T09:59:59.999Z"}) == BROKEN
    assert outcome(rule, {}, {"created_at": "long ago"}) == UNPLACED
    assert outcome(rule, {}, {}) == HOLDS
    result = judge("contradiction", rules(rule), fields={"s": field({"created_at": "2026-01-01"})})
    assert result.details["contradictions"][0] == {
        "field": "s.created_at",
        "rule": "rule-0",
        "kind": "date_window",
        "reason": BROKEN,
        "result": "BLOCK",
        "snapshot_value": "2026-01-01",
        "latest_ms": DAY_MS,
        "evaluation_time": NOW,
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"status": "open"}, HOLDS),
        ({"status": "lost"}, BROKEN),
        ({"status": None}, UNPLACED),
        ({"status": "unknown"}, UNPLACED),
        ({}, UNPLACED),
        ("open", UNPLACED),
        (None, UNPLACED),
        ({"status": ["open"]}, BROKEN),
    ],
)
def test_requires_state_blocks_an_unknown_state(state, expected):
    """C1: requires_state; C2: an unknown state is INCOMPARABLE_VALUE, even one that is listed."""
    rule = {"rule": "requires_state", "snapshot": "s.status", "values": ["open", "unknown"]}
    assert outcome(rule, {}, state, unknown_values=["unknown"]) == expected


def test_requires_state_does_not_believe_an_untrusted_field():
    """C1, C2: a state from an observed source is as unknown as one that is not there."""
    rule = {"rule": "requires_state", "snapshot": "s.status", "values": ["open"]}
    result = judge("contradiction", rules(rule), fields={"s": field({"status": "open"}, "web")})
    assert result.reason == UNPLACED
    assert "snapshot_value" not in result.details["contradictions"][0]


def test_requires_state_holds_for_every_state_the_arguments_name():
    """C1: a snapshot path may be keyed by a value of the proposal; with several, every one must hold."""
    rule = {"rule": "requires_state", "snapshot": "s.{order_ids[*]}.status", "values": ["open"]}
    orders = {"1": {"status": "open"}, "2": {"status": "open"}, "3": {"status": "shipped"}}
    assert outcome(rule, {"order_ids": ["1", 2]}, orders) == HOLDS
    assert outcome(rule, {"order_ids": ["1", "3"]}, orders) == BROKEN
    assert outcome(rule, {"order_ids": ["1", "9"]}, orders) == UNPLACED
    assert outcome(rule, {"order_ids": []}, orders) == UNPLACED
    assert outcome({**rule, "snapshot": "s[*].status"}, {}, []) == UNPLACED


def test_each_element_is_judged_by_itself_beside_its_own_state():
    """C1: [*] for every element, and a snapshot path keyed by a value of that element."""
    rule = {"rule": "at_most", "field": "payments[*].amount", "snapshot": "s.{id}.balance"}
    balances = {"a": {"balance": 10}, "b": {"balance": 20}}
    payments = [
        {"id": "a", "amount": 10},
        {"id": "b", "amount": 21},
        {"id": "c", "amount": 99},
        {"id": "a", "amount": 11},
    ]
    result = judge("contradiction", rules(rule), fields={"s": field(balances)}, arguments={"payments": payments})
    found = [(entry["field"], entry["snapshot_value"]) for entry in result.details["contradictions"]]
    assert found == [("payments[1].amount", 20), ("payments[3].amount", 10)]


def test_every_value_of_several_in_the_snapshot_must_hold():
    """C1: a path that finds several values is as strict as its strictest."""
    rule = {"rule": "at_most", "field": "v", "snapshot": "s[*].limit"}
    assert outcome(rule, {"v": 5}, [{"limit": 9}, {"limit": 5}]) == HOLDS
    assert outcome(rule, {"v": 6}, [{"limit": 9}, {"limit": 5}]) == BROKEN


def test_details_do_not_depend_on_the_order_of_keys():
    """G4: [*] over an object goes by name."""
    rule = {"rule": "at_most", "field": "v[*]", "value": 0}
    one = judge("contradiction", rules(rule), arguments={"v": {"b": 1, "a": 2}})
    other = judge("contradiction", rules(rule), arguments={"v": {"a": 2, "b": 1}})
    assert one == other
    assert [entry["field"] for entry in one.details["contradictions"]] == ["v.a", "v.b"]


def test_a_rule_that_lacks_what_it_needs_fails_closed():
    """G6: an error, never a rule that holds for want of a path."""
    with pytest.raises(ValueError, match="lacks a path"):
        judge("contradiction", with_rule_changed(rules(eq()), snapshot=None))
