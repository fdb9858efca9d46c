"""Hypothesis strategies for policies: documents of every section, and sections of tenants that may widen or not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SOURCES = ("crm", "erp", "web")
ACTIONS = ("update", "note", "mail")
FIELDS = ("amount", "owner.role", "items[*].id", "stage", "close_date", "to[*]")
SNAPSHOTS = ("deal.status", "deal.amount", "items[*].id", 'payments.{$.id}."a.b"', "deal.close_date")

milliseconds = st.integers(0, 40 * 86_400_000)
durations = milliseconds.map(lambda size: f"{size}ms")
signed_durations = st.integers(-(10**9), 10**9).map(lambda size: f"{size}ms")
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-1e9, 1e9, allow_nan=False),
    st.sampled_from(["", "no", "1:30", "open", "😀", "a\nb", "\u2028"]),
)
severities = st.sampled_from(["WARN", "BLOCK"])
numbers = st.one_of(st.integers(-100, 100), st.floats(-1e6, 1e6, allow_nan=False))


def some(values: Any, *, at_least: int = 0) -> st.SearchStrategy[list[Any]]:
    """Return lists without repetitions (by type and value, as policies compare)."""
    return st.lists(values, min_size=at_least, max_size=4, unique_by=lambda value: (isinstance(value, bool), value))


def partial(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return mappings with all required and some optional keys."""
    return st.fixed_dictionaries(required, optional=optional)


def limited() -> dict[str, Any]:
    """Return the optional keys that every rule has."""
    return {"action_types": some(st.sampled_from(ACTIONS), at_least=1)}


@st.composite
def ttls(draw: st.DrawFn) -> dict[str, str]:
    """Return limits, soft at most hard."""
    soft, hard = sorted(draw(st.tuples(milliseconds, milliseconds)))
    return {"soft_ttl": f"{soft}ms", "hard_ttl": f"{hard}ms"}


cases = partial(
    {"field": st.sampled_from(["kind", "tier"]), "equals": st.one_of(scalars, some(scalars, at_least=1))}, {}
)


def rule(kind: str, **required: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return rules of one kind; ids are given where they are put together."""
    optional = {**limited(), "severity": severities, "when": st.lists(cases, max_size=1)}
    return partial({"rule": st.just(kind), **required}, optional)


field, snapshot = st.sampled_from(FIELDS), st.sampled_from(SNAPSHOTS)
contradiction_rules = st.one_of(
    rule("eq", field=field, value=scalars),
    rule("differs", field=field, snapshot=snapshot),
    rule("one_of", field=field, values=some(scalars, at_least=1)),
    rule("member_of", field=field, snapshot=snapshot),
    rule("at_most", field=field, value=numbers),
    rule("at_least", field=field, snapshot=snapshot),
    rule("count_max", field=field, max=st.integers(0, 9)),
    rule("max_delta", field=field, snapshot=snapshot, percent=st.integers(0, 1000).map(lambda tenths: tenths / 10)),
    rule("no_backward", field=field, snapshot=snapshot, ordering=some(scalars, at_least=2)),
    rule(
        "transitions",
        field=field,
        snapshot=snapshot,
        allowed=st.dictionaries(st.sampled_from("abc"), some(st.sampled_from("abc"))),
    ),
    rule("date_window", field=field, earliest=signed_durations),
    rule("requires_state", snapshot=snapshot, values=some(scalars, at_least=1)),
)


def numbered(entries: st.SearchStrategy[dict[str, Any]], prefix: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return lists of rules with ids of their own."""
    return st.lists(entries, max_size=4).map(
        lambda made: [{**entry, "id": f"{prefix}{i}"} for i, entry in enumerate(made)]
    )


def compliance(prefix: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return field guards whose rules have ids starting with ``prefix``."""
    paths = st.sampled_from(["ssn", "margin", "contact.mail", "**"])
    guarded = partial({"path": paths}, limited())
    pattern = partial(
        {
            "class": st.just("C"),
            "fields": some(paths, at_least=1),
            "regex": st.sampled_from(["[0-9]+", "a|b", r"\bx\b"]),
        },
        {"checksum": st.just("luhn"), "normalise": some(st.sampled_from(["nfkc", "strip_separators"]))},
    )
    return partial(
        {"restricted_fields": numbered(guarded, prefix)},
        {
            "unknown_values": some(scalars),
            "personal_fields": st.fixed_dictionaries(
                {}, optional={"P": numbered(guarded, prefix), "Q": numbered(guarded, prefix)}
            ),
            "prohibited_actions": some(st.sampled_from(["delete", "refund", *ACTIONS])),
            "allowed_actions": some(st.sampled_from(["archive", *ACTIONS])),
            "allowed_targets": some(st.sampled_from(["crm", "smtp"])),
            "prohibited_targets": some(st.sampled_from(["ftp", "fax"])),
            "prohibited_values": numbered(
                partial({"path": paths, "values": some(scalars, at_least=1)}, limited()), prefix
            ),
            "required_known": numbered(partial({"path": st.sampled_from(FIELDS)}, limited()), prefix),
            "value_patterns": numbered(pattern, prefix),
        },
    )


def grounding(prefix: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return grounding sections whose rules have ids starting with ``prefix``."""
    value = partial(
        {"field": field},
        {
            **limited(),
            "text": st.booleans(),
            "normalise": some(st.sampled_from(["case_folded", "trimmed"])),
            "source_types": some(st.sampled_from(SOURCES), at_least=1),
            "severity": severities,
        },
    )
    return partial({}, {"severity": severities, "values": numbered(value, prefix)})


def contradiction(prefix: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return contradiction sections whose rules have ids starting with ``prefix``."""
    return partial({"rules": numbered(contradiction_rules, prefix)}, {"unknown_values": some(scalars)})


UNITS = ("operations", "tokens", "USD", "EUR")


def amount(size: int, unit: str) -> str:
    """Return an amount as people write it."""
    return f"{size} {unit}"


@st.composite
def caps(draw: st.DrawFn, ids: tuple[str, ...]) -> dict[str, Any]:
    """Return a cap: soft at most hard, or without a limit."""
    unit, period = draw(st.sampled_from(UNITS)), draw(st.sampled_from(["day", "month", "plan"]))
    soft, hard = sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    limit = draw(st.sampled_from([amount(hard, unit), amount(hard, unit), f"unlimited {unit}"]))
    made: dict[str, Any] = {"id": draw(st.sampled_from(ids)), "hard_cap": f"{limit}/{period}"}
    if draw(st.booleans()):
        made["soft_cap"] = amount(soft, unit)
    values = {
        "account": st.sampled_from(["each", "a", "b"]),
        "plan": st.sampled_from(["each", "p"]),
        "tool": st.sampled_from(["each", "update", "note"]),
    }
    optional = {
        "scope": st.fixed_dictionaries({}, optional=values),
        "cost_classes": some(st.sampled_from(CLASSES), at_least=1),
        "settlement": st.booleans(),
        "justification": st.booleans(),
    }
    return made | draw(st.fixed_dictionaries({}, optional=optional))


CLASSES = ("CHEAP", "MEDIUM", "EXPENSIVE")
maxima = st.dictionaries(st.sampled_from(["tokens", "USD", "EUR"]), st.integers(0, 9).map(str), min_size=1).map(
    lambda sizes: {unit: size if unit == "tokens" else f"{size} {unit}" for unit, size in sizes.items()}
)
prices = partial(
    {"currency": st.just("USD")},
    {
        "operations": st.dictionaries(st.sampled_from(["update", "note"]), st.integers(0, 9).map(lambda n: f"${n}")),
        "models": st.dictionaries(
            st.just("m"), st.fixed_dictionaries({"input": st.just("$1/1M tokens"), "output": st.just("$0/token")})
        ),
    },
)


def budgets(ids: tuple[str, ...], *, at_least: int) -> st.SearchStrategy[dict[str, Any]]:
    """Return sections whose caps have some of these ids, each once."""
    return partial(
        {"caps": st.lists(caps(ids), min_size=at_least, max_size=5, unique_by=lambda cap: str(cap["id"]))},
        {
            "time_zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
            "cost_classes": st.dictionaries(
                st.sampled_from(CLASSES), st.builds(lambda maximum: {"maximum": maximum}, maxima)
            ),
            "prices": prices,
        },
    )


free_text = some(st.sampled_from(["notes", "mail.body", "subject"]))
sources = st.dictionaries(
    st.sampled_from(SOURCES),
    partial({"trust": st.sampled_from(["system_of_record", "trusted", "observed"])}, {"free_text": free_text}),
)
operations = st.dictionaries(
    st.sampled_from(["update", "note", "scrape"]),
    partial(
        {"kind": st.sampled_from(["read", "action"]), "cost_class": st.just("EXPENSIVE")},
        {"action_type": st.sampled_from(ACTIONS), "target": st.just("crm"), "declares_proposal": st.booleans()},
    ),
)
exceptions = st.lists(
    partial({"inputs": some(st.sampled_from(["snapshot", "evidence"]), at_least=1)}, limited()), max_size=2
)
freshness = partial(
    {"source_types": st.dictionaries(st.sampled_from(SOURCES), ttls())},
    {"source_ids": st.dictionaries(st.sampled_from(["crm:1", "erp:2"]), ttls())},
)
validators = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["v1", "v2", "v3"]), "config": st.dictionaries(st.sampled_from("ab"), scalars)}
    ),
    max_size=3,
    unique_by=lambda entry: str(entry["id"]),
)


def section(prefix: str, *, contradictions: Any, spending: Any) -> dict[str, Any]:
    """Return the optional keys of a base or of a tenant's section."""
    return {
        "max_clock_skew": durations,
        "sources": sources,
        "operations": operations,
        "required_inputs": st.fixed_dictionaries({"not_needed": exceptions}),
        "freshness": freshness,
        "grounding": grounding(prefix),
        "contradiction": contradictions,
        "compliance": compliance(prefix),
        "budgets": spending,
        "validators": validators,
    }


base_budgets = budgets(("a", "b", "c", "d"), at_least=1)
tenant_budgets = budgets(("a", "b", "c", "x", "y"), at_least=0)
bases = partial(
    {"weighbridge": st.just(1), "name": st.just("generated")},
    section("b", contradictions=contradiction("b"), spending=base_budgets),
)
sections = partial({}, section("t", contradictions=contradiction("t"), spending=tenant_budgets))
documents = st.builds(lambda base, tenant: {**base, "tenants": {"acme": tenant}}, bases, sections)
"""Documents of the right shape; they may not make sense, and the section may widen the base."""
