"""Amounts mean exactly what they say, in every spelling; and a tenant's section never lets more through."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.properties.policies import CLASSES, base_budgets, caps, tenant_budgets
from weighbridge.budgets.decide import Counter, Weighed, weigh
from weighbridge.domain.amounts import AMOUNT_MAX, CostClass
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import PolicyError
from weighbridge.policy.budget_caps import shadows
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.effective import BudgetPolicy
from weighbridge.policy.loader import document_from_mapping

relaxed = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)

SCALES = {"": 0, "k": 3, "M": 6, "G": 9}
SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
PERIODS = {"day": "DAY", "month": "MONTH", "plan": "PLAN"}

digits = st.integers(0, 10**20).map(str)
fractions = st.one_of(st.just(""), st.integers(1, 12).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)))
numbers = st.builds(lambda whole, part: f"{whole}.{part}" if part else whole, digits, fractions)


def smallest(number: str, scale: str, unit: str) -> Decimal:
    """Return what a number means in smallest units, calculated in decimals instead of whole numbers."""
    with localcontext() as context:
        context.prec = 200
        return Decimal(number).scaleb(SCALES[scale] + (0 if unit in {"operations", "tokens"} else 12))


def cap_of(**parts: Any) -> dict[str, Any] | None:
    """Return a cap in its effective form, or None where it is refused."""
    document = {"weighbridge": 1, "name": "x", "budgets": {"caps": [{"id": "a", **parts}]}}
    try:
        (made,) = document_from_mapping(document).effective(None).document["budgets"]["caps"]
    except PolicyError:
        return None
    return dict(made)


@st.composite
def amounts(draw: st.DrawFn) -> tuple[str, str, Decimal]:
    """Return an amount as written, the unit it is in, and its size in smallest units."""
    number, scale = draw(numbers), draw(st.sampled_from([*SCALES]))
    sign = draw(st.sampled_from([*SIGNS]))
    unit, text = draw(
        st.sampled_from(
            [
                ("operations", f"{number}{scale}"),
                ("operations", f"{number}{scale} operations"),
                ("tokens", f"{number}{scale} tokens"),
                (f"pico_{SIGNS[sign]}", f"{sign}{number}{scale}"),
                (f"pico_{SIGNS[sign]}", f"{number}{scale} {SIGNS[sign]}"),
                ("pico_JPY", f"{number}{scale} JPY"),
            ]
        )
    )
    return text, unit, smallest(number, scale, unit)


def is_amount(size: Decimal) -> bool:
    """Return whether a size is a whole number that an amount can be."""
    with localcontext() as context:
        context.prec = 200
        return size == size.to_integral_value() and size <= AMOUNT_MAX


@relaxed
@given(amounts(), st.sampled_from([*PERIODS]))
def test_every_form_of_a_cap_is_exactly_what_it_says_or_refused(stated, per):
    """B2: whatever can be written is exact in smallest units; what cannot be is refused, never rounded."""
    text, unit, size = stated
    made = cap_of(hard_cap=f"{text}/{per}", soft_cap=text)
    if not is_amount(size):
        assert made is None
        return
    assert made is not None
    assert (made["hard_cap"], made["soft_cap"]) == (str(int(size)), str(int(size)))
    assert (made["unit"], made["period"]) == (unit, PERIODS[per])


@relaxed
@given(amounts(), st.sampled_from([*PERIODS]))
def test_the_effective_form_of_a_cap_is_a_spelling_of_it(stated, per):
    """B2, G4: smallest units as text, with unit and period in keys of their own, are the same cap."""
    text, unit, size = stated
    assume(is_amount(size))
    made = cap_of(hard_cap=f"{text}/{per}")
    assert made is not None
    assert cap_of(**{key: value for key, value in made.items() if key != "id"}) == made
    assert cap_of(hard_cap=text, period=PERIODS[per], unit=unit.removeprefix("pico_")) == (
        made if has_unit(text, unit) else None
    )
    assert cap_of(hard_cap=str(int(size)), period=PERIODS[per], unit=unit) == made
    assert cap_of(hard_cap=f"{text}/{per}", period=PERIODS[per], unit=unit) == made


def has_unit(text: str, unit: str) -> bool:
    """Return whether an amount says its currency, where it is money: a bare number beside `unit: USD` is refused."""
    return "pico_" not in unit or not text[-1].isdigit() or not text[0].isdigit()


@relaxed
@given(numbers, st.sampled_from([*SCALES]), st.integers(1, 10**6), st.sampled_from([*SCALES]))
def test_prices_of_tokens_are_exact_or_refused(number, scale, tokens, token_scale):
    """B2: a price for many tokens is one for each in whole pico-units, or no price."""
    prices = {
        "currency": "USD",
        "models": {"m": {"input": f"${number}{scale}/{tokens}{token_scale} tokens", "output": "0"}},
    }
    document = {
        "weighbridge": 1,
        "name": "x",
        "budgets": {"caps": [{"id": "a", "hard_cap": "1/day"}], "prices": prices},
    }
    with localcontext() as context:
        context.prec = 200
        pico, rest = divmod(smallest(number, scale, "pico_USD"), Decimal(tokens).scaleb(SCALES[token_scale]))
    try:
        made = document_from_mapping(document).effective(None)
    except PolicyError:
        assert rest or pico > AMOUNT_MAX
        return
    assert not rest
    assert made.budgets is not None
    assert made.budgets.prices is not None
    assert made.budgets.prices.models["m"].input == pico
    assert document_from_mapping(made.document).effective(None).policy_version == made.policy_version


# --- Tenants never widen ----------------------------------------------------------------------------------------------

requests = st.fixed_dictionaries(
    {
        "cost_class": st.sampled_from(CLASSES),
        "account": st.sampled_from([None, "a", "b", "c"]),
        "plan": st.sampled_from([None, "p", "q"]),
        "tool": st.sampled_from(["update", "note", "other"]),
        "amounts": st.dictionaries(
            st.sampled_from(["tokens", "pico_USD", "pico_EUR"]), st.integers(0, 6), max_size=3
        ).map(lambda sizes: {unit: n if unit == "tokens" else n * 10**12 for unit, n in sizes.items()}),
        "operations": st.integers(1, 3),
    }
)
past = st.lists(st.tuples(requests, st.sampled_from(["day", "month", "before"]), st.booleans()), max_size=8)


def judged(budgets: BudgetPolicy, history: Any, request: Any, *, justified: bool) -> Weighed:
    """Return what a request meets after a history, counted one by one."""
    caps = [cap for cap in budgets.caps if cap.applies(CostClass(request["cost_class"]), request)]
    assumed = budgets.maxima.get(CostClass(request["cost_class"]), {})
    amounts = {**assumed, **request["amounts"], "operations": request["operations"]}
    return weigh([(cap, counted(cap, history, request)) for cap in caps], amounts, justified=justified)


def counted(cap: Any, history: Any, request: Any) -> Counter:
    """Return what fell under the counter that a request falls under."""
    reserved = settled = 0
    for other, when, gave_back in history:
        in_period = {"DAY": when == "day", "MONTH": when != "before", "PLAN": True}[cap.period]
        applies = cap.applies(CostClass(other["cost_class"]), other)
        if in_period and applies and cap.counter_tail(other) == cap.counter_tail(request):
            used = {**other["amounts"], "operations": other["operations"]}.get(cap.unit, 0)
            reserved, settled = reserved + used, settled + used * gave_back
    return Counter(reserved, settled)


GRAVITY = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.BLOCK: 2}


@st.composite
def bases_with_sections(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a base and a tenant's section that says other limits, and whatever else, of what the base is about."""
    base, section = draw(base_budgets), draw(tenant_budgets)
    repeated = [cap for cap in base["caps"] if draw(st.booleans())]
    changed = [{"id": cap["id"], **draw(changes_of(cap))} for cap in repeated]
    known = {cap["id"] for cap in changed}
    section["caps"] = [*changed, *(cap for cap in section["caps"] if cap["id"] not in known)]
    classes = {
        name: {"maximum": {unit: draw(st.sampled_from(["0 ", "9 "])) + unit for unit in entry["maximum"]}}
        for name, entry in base.get("cost_classes", {}).items()
    }
    return base, {
        **section,
        "cost_classes": {**section.get("cost_classes", {}), **draw(st.sampled_from([{}, classes]))},
    }


def changes_of(cap: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return what a section may try to say of a cap: another limit in its unit and period, other flags."""
    unit, per = unit_of(cap), cap["hard_cap"].partition("/")[2]
    return st.fixed_dictionaries(
        {"hard_cap": st.sampled_from([f"{size} {unit}/{per}" for size in (3, 5, 9, "unlimited")])},
        optional={
            "soft_cap": st.integers(0, 3).map(lambda size: f"{size} {unit}"),
            "settlement": st.booleans(),
            "justification": st.booleans(),
        },
    )


@settings(relaxed, max_examples=400)
@given(bases_with_sections(), past, st.lists(requests, min_size=1, max_size=6), st.booleans())
def test_a_tenants_section_never_lets_more_through(sections, history, asked, justified):
    """B2, B4, B8, B12, B13: checked or not, what counts for a tenant is at least as strict as the base, for any request."""
    base, section = sections
    document = {"weighbridge": 1, "name": "x", "budgets": base, "tenants": {"acme": {"budgets": section}}}
    loaded = PolicyDocument.model_validate(document)
    wide, narrow = loaded.effective(None).budgets, loaded.effective("acme").budgets
    assert wide is not None
    assert narrow is not None
    for request in asked:
        before = judged(wide, history, request, justified=justified)
        after = judged(narrow, history, request, justified=justified)
        assert GRAVITY[after.verdict] >= GRAVITY[before.verdict], (before, after)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two caps of which the second is often behind the first: it says more of what it is about, or allows more."""
    wide = draw(caps(("wide",)))
    other = draw(caps(("narrow",)))
    kept = draw(st.sets(st.sampled_from(["scope", "cost_classes", "soft_cap", "justification", "settlement"])))
    narrow = {key: value for key, value in {**wide, **other}.items() if key not in kept or key in wide}
    narrow |= {key: wide[key] for key in kept if key in wide}
    narrow["hard_cap"] = draw(
        st.sampled_from([wide["hard_cap"], f"9 {unit_of(wide)}/{draw(st.sampled_from([*PERIODS]))}"])
    )
    if "soft_cap" in narrow:
        narrow["soft_cap"] = draw(st.sampled_from([f"{n} {unit_of(wide)}" for n in range(4)]))
    if limit_of(narrow) == "0":
        narrow.pop("soft_cap", None)
    return wide, narrow


def unit_of(cap: dict[str, Any]) -> str:
    """Return the unit of a generated cap."""
    return str(cap["hard_cap"]).partition("/")[0].split(" ")[1]


def limit_of(cap: dict[str, Any]) -> str:
    """Return the limit of a generated cap as it is written."""
    return str(cap["hard_cap"]).split(" ", maxsplit=1)[0]


@settings(relaxed, max_examples=300)
@given(pairs(), past, st.lists(requests, min_size=1, max_size=6), st.booleans())
def test_a_cap_behind_another_never_matters(pair, history, asked, justified):
    """B3, B4: without the cap that `policy check` says never matters, every request meets the same verdict."""
    wide, narrow = (cap_of(**{key: value for key, value in cap.items() if key != "id"}) for cap in pair)
    if wide is None or narrow is None or not shadows(wide, narrow):
        return
    document = {"weighbridge": 1, "name": "x"}
    alone, both = (
        PolicyDocument.model_validate({**document, "budgets": {"caps": list(kept)}}).effective(None).budgets
        for kept in (pair[:1], pair)
    )
    assert alone is not None
    assert both is not None
    for request in asked:
        # Where the wider cap does not apply, the narrower one does not either; then no cap applies at all.
        verdicts = {judged(one, history, request, justified=justified).verdict for one in (alone, both)}
        assert len(verdicts) == 1
