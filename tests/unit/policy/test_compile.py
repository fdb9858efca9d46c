"""The effective document as frozen records, and the records only."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.unit.policy.documents import BASE, caps, effective, policy, rules
from weighbridge import canonical
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.choke_point import ChokePoint, Input
from weighbridge.domain.context import OperationKind
from weighbridge.domain.evidence import Trust
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import PolicyError
from weighbridge.policy.compile import compile_effective

DAY_MS = 86_400_000


def one_rule(**parts):
    (rule,) = effective(rules({"id": "r", **parts})).contradiction.rules
    return rule


def test_compiling_the_recorded_document_gives_the_same_policy():
    """G4: replay judges by the same rules, from the document alone."""
    made = effective(BASE)
    recorded = canonical.decode(canonical.encode(made.document))
    again = compile_effective(recorded)
    assert again.policy_version == made.policy_version
    assert again.document == made.document
    assert again.contradiction == made.contradiction
    assert again.freshness == made.freshness


@pytest.mark.parametrize("document", [{}, {"weighbridge": 1, "name": "x"}, [], {"x": float("nan")}, {**BASE}])
def test_what_is_no_effective_document_is_refused(document):
    with pytest.raises(PolicyError, match="not an effective policy"):
        compile_effective(document)


def test_sources_operations_and_inputs():
    made = effective(
        policy(
            operations={
                **BASE["operations"],
                "scrape": {"kind": "read", "cost_class": "EXPENSIVE", "declares_proposal": True},
            }
        )
    )
    assert made.trust_of("crm") is Trust.SYSTEM_OF_RECORD
    assert made.trust_of("unheard") is Trust.OBSERVED
    assert made.trust_of(None) is Trust.OBSERVED
    update, scrape = made.operations["update"], made.operations["scrape"]
    assert (update.kind, update.target, update.cost_class) == (OperationKind.WRITEBACK, "crm", CostClass.MEDIUM)
    assert (scrape.action_type, scrape.target, scrape.declares_proposal) == ("scrape", None, True)
    point = ChokePoint.BEFORE_STEP_EXECUTION
    assert not made.needs(point, Input.SNAPSHOT, frozenset({"note"}))
    assert made.needs(point, Input.SNAPSHOT, frozenset({"note", "update"}))
    assert made.needs(point, Input.EVIDENCE, frozenset({"note"}))
    assert made.needs(point, Input.SNAPSHOT, frozenset())


def test_ttls_in_milliseconds():
    """F1: limits are exact to the millisecond."""
    made = effective(policy(freshness={"source_types": {"crm": {"soft_ttl": "1ms", "hard_ttl": "1d1ms"}}}))
    assert (made.freshness.source_types["crm"].soft_ms, made.freshness.source_types["crm"].hard_ms) == (1, DAY_MS + 1)


def test_grounded_values():
    """R5: the field, how it may stand, and where it counts."""
    value = {
        "id": "to",
        "field": "to[*]",
        "text": True,
        "normalise": ["trimmed"],
        "source_types": ["crm"],
        "severity": "BLOCK",
    }
    (made,) = effective(policy(grounding={"severity": "WARN", "values": [value]})).grounding.values
    assert (made.text, made.normalise, made.source_types) == (True, frozenset({"trimmed"}), frozenset({"crm"}))
    assert made.severity is Verdict.BLOCK
    assert made.action_types is None


def test_a_limit_is_a_literal_or_a_snapshot_path():
    literal = one_rule(rule="at_most", field="a[*].b", value=20)
    assert (literal.literal, literal.has_literal, literal.snapshot) == (20, True, None)
    compared = one_rule(rule="at_most", field="a", snapshot="b.{id}.c")
    assert (compared.has_literal, compared.snapshot.text) == (False, "b.{id}.c")


def test_false_is_a_literal():
    rule = one_rule(rule="eq", field="a", value=False)
    assert rule.has_literal
    assert rule.literal is False


def test_counts():
    rule = one_rule(rule="count_max", field="a[*]", max=0, when=[{"field": "k", "equals": "x"}])
    assert (rule.literal, rule.has_literal) == (0, True)
    assert rule.when[0].proposal.text == "k"
    assert rule.when[0].snapshot is None
    assert rule.when[0].values == ("x",)


def test_deltas_are_exact():
    """C1: 0.1 percent is a tenth, not the nearest binary fraction."""
    assert one_rule(rule="max_delta", field="a", snapshot="b", percent=0.1).percent == Decimal("0.1")
    exact = one_rule(rule="max_delta", field="a", snapshot="b", absolute="0.12345678901234567890")
    assert exact.absolute == Decimal("0.1234567890123456789")
    assert exact.percent is None


def test_windows():
    rule = one_rule(rule="date_window", field="a", snapshot="b", earliest="-30d", latest="12h")
    assert (rule.earliest_ms, rule.latest_ms) == (-30 * DAY_MS, DAY_MS // 2)
    open_ended = one_rule(rule="date_window", snapshot="b", latest="0s")
    assert (open_ended.earliest_ms, open_ended.latest_ms, open_ended.path) == (None, 0, None)


def test_orderings_transitions_and_states():
    assert one_rule(rule="no_backward", field="a", snapshot="b", ordering=["z", "a"]).values == ("z", "a")
    moves = one_rule(
        rule="transitions", field="a", snapshot="b", allowed={"open": ["won", "lost"], "won": []}
    ).transitions
    assert moves == {"open": frozenset({"won", "lost"}), "won": frozenset()}
    state = one_rule(rule="requires_state", snapshot="b", values=["open", 1, True])
    assert state.path is None
    assert {(type(value), value) for value in state.values} == {(str, "open"), (int, 1), (bool, True)}


def test_patterns_are_compiled_once():
    """P3: a regular expression is ready to use, with its checksum beside it."""
    (made,) = effective(BASE).compliance.value_patterns
    assert made.compiled.search("x 4111111111111111").group() == "4111111111111111"
    assert (made.regex, made.checksum, made.personal_class) == ("[0-9]{13,19}", "luhn", "CARD")
    assert made.fields[0].names == ()


def test_the_records_cannot_be_changed():
    """G4: a validator that writes into the policy cannot change another's answer."""
    made = effective(BASE)
    with pytest.raises(TypeError):
        made.sources["crm"] = None
    with pytest.raises(AttributeError):
        made.contradiction.rules[0].severity = Verdict.ALLOW


# --- Personal fields --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "snapshot", "personal"),
    [
        ("phone", "a.b", True),
        ("contact.Phone", "a.b", True),
        ("contacts[*].phone", "a.b", True),
        ("phone.country", "a.b", True),
        ("phones", "a.b", False),
        ("telephone", "a.b", False),
        ("a", "person.p_h_o_n_e", True),
        ("a", "person.{phone}.name", False),
        ("a", "phone.{id}.name", True),
        ("a", "home.address", True),
        ("a", "person.home", True),
        ("a", "address", False),
        ("a", "home", True),
    ],
)
def test_rules_about_personal_or_restricted_fields_are_sealed(field, snapshot, personal):
    """C3, L6: values of personal or restricted fields go into details by hash only, also inside what holds them."""
    guard = {
        "restricted_fields": [{"path": "home.address", "action_types": ["note"]}],
        "personal_fields": {"P": ["phone"]},
    }
    document = rules({"id": "r", "rule": "eq", "field": field, "snapshot": snapshot}, compliance=guard)
    assert effective(document).contradiction.rules[0].personal is personal


def test_without_a_compliance_section_nothing_is_known_to_be_personal():
    document = rules({"id": "r", "rule": "eq", "field": "phone", "value": 1}, compliance=None)
    assert effective(document).contradiction.rules[0].personal is False


def test_a_pattern_for_every_field_seals_every_rule():
    document = rules({"id": "r", "rule": "eq", "field": "x", "value": 1}, compliance={"restricted_fields": ["**"]})
    assert effective(document).contradiction.rules[0].personal is True


# --- Budgets ----------------------------------------------------------------------------------------------------------


def test_budgets_are_whole_numbers_of_smallest_units():
    """B2, B12: caps sorted by id, what they count each once, money in pico-units, all of it exact."""
    made = effective(BASE).budgets
    assert [cap.id for cap in made.caps] == ["day", "money", "note", "tokens"]
    money = made.caps[1]
    assert (money.unit, money.hard_cap, money.soft_cap) == ("pico_USD", 25 * 10**12, 20 * 10**12)
    assert money.scope == (("account", None),)
    assert made.caps[2].scope == (("tool", "note"),)
    assert made.families == (
        "operations DAY any",
        'operations MONTH any tool="note"',
        "pico_USD MONTH any account=each",
        "tokens PLAN any plan=each",
    )
    assert made.maxima == {CostClass.CHEAP: {"tokens": 2000}}
    assert (made.time_zone, made.prices.unit, made.prices.operations) == (
        "Europe/Berlin",
        "pico_USD",
        {"mail": 50_000_000_000},
    )
    assert (made.prices.models["m"].input, made.prices.models["m"].output) == (2_500_000, 10_000_000)


def test_two_caps_over_the_same_things_share_what_they_count():
    """B14: a counter is identified by what it counts, not by the cap's id."""
    pair = [{"id": "a", "hard_cap": "5/day"}, {"id": "b", "hard_cap": "9/day", "justification": True}]
    assert effective(caps(*pair)).budgets.families == ("operations DAY any",)


def test_no_section_is_no_budget():
    """G5, B8: absence is never a section without caps."""
    assert effective(policy(budgets=None)).budgets is None
