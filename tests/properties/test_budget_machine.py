"""Any history of budgets: reserve, retry, conflict, settle, new caps, clock steps, rollover, daylight saving, zones.

One by one and many together, of tenants with caps and zones of their own, beside a gate or alone, live and with supplied times.
The model is a plain list of what was reserved and a few lines of arithmetic over it; it knows nothing of counters, cells,
families or transactions. Memory, SQLite and PostgreSQL are driven side by side, the latter two through two stores at once on
one database, and must give the model's answers and the same bytes.
"""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.book import Zones, day_of, month_of
from tests.postgres import shared
from weighbridge.admission import Surroundings
from weighbridge.domain.caps import parse_counter
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.errors import IdempotencyConflict, NotFound
from weighbridge.recorder import Recorder
from weighbridge.runtime import Weighbridge
from weighbridge.storage.audit import verify_store
from weighbridge.storage.memory import MemoryStore
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.wiring import load_document, make_gateway

TENANTS = ("acme", "globex")
SKEW_MS = 5_000
PICO = 10**12
CLASSES = {"read": "CHEAP", "llm": "MEDIUM", "enrich": "EXPENSIVE"}


def cap(name, unit, period, hard, soft=None, *, classes=None, settles=False, justified=False, **scope):
    """Return a cap as the model keeps it; an amount of money is in whole units."""
    scale = PICO if unit.startswith("pico_") else 1
    hard, soft = (None if amount is None else amount * scale for amount in (hard, soft))
    return {
        "id": name,
        "unit": unit,
        "period": period,
        "hard": hard,
        "soft": soft,
        "classes": classes,
        "settles": settles,
        "justified": justified,
        "scope": scope,
    }


# Caps come, go, move and change their limits between these; some have other ids over the same counter.
POLICIES = (
    ("UTC", (cap("a", "operations", "DAY", 5, 3), cap("b", "pico_USD", "MONTH", 10, account="each"))),
    (
        "UTC",
        (
            cap("a", "operations", "DAY", 3),
            cap("t", "tokens", "DAY", 1000, settles=True),
            cap("tk", "tokens", "DAY", 1500, 900),
            cap("x", "operations", "DAY", 2, classes=["EXPENSIVE"]),
            cap("z", "pico_USD", "MONTH", 6, 2, account="a-1"),
        ),
    ),
    (
        "Europe/Berlin",
        (
            cap("p", "operations", "PLAN", 4, plan="each"),
            cap("renamed", "operations", "DAY", 5),
            cap("j", "tokens", "MONTH", 800, account="a-1", justified=True),
            cap("t2", "tokens", "DAY", 900, tool="llm"),
        ),
    ),
    (
        "America/New_York",
        (
            cap("u", "operations", "MONTH", None, 6),
            cap("c", "operations", "DAY", 4, classes=["CHEAP", "MEDIUM"], tool="each", account="each"),
            cap("e", "pico_EUR", "MONTH", 3, account="a-2", settles=True),
        ),
    ),
)
OWN = (
    ("Asia/Kolkata", (cap("g", "operations", "DAY", 4, account="each"),)),
    ("UTC", (cap("g", "operations", "MONTH", 9, 5),)),
    ("Pacific/Auckland", (cap("g", "pico_USD", "DAY", 5, settles=True, tool="each"),)),
    ("Europe/Berlin", ()),
)
"""What the second tenant adds to each of them, and its own zone."""

PRICES: tuple[dict[str, Any], ...] = (
    {"models": {"m": {"input": 1_000_000_000, "output": 4_000_000_001}}},
    {},
    {"models": {"m": {"input": 0, "output": 7}}, "operations": {"enrich": 1_500_000_000_000}},
    {"operations": {"llm": 3}},
)
MAXIMA: tuple[dict[str, dict[str, int]], ...] = ({}, {}, {"EXPENSIVE": {"tokens": 400}}, {})
STARTS = (
    "2026-03-28T22:50:00Z",
    "2026-10-24T21:30:00Z",
    "2026-11-30T22:50:00Z",
    "2026-03-08T04:30:00Z",
    "2026-12-31T20:00:00Z",
)
STEPS_MS = (
    0,
    1,
    1,
    1_000,
    1_000,
    600_000,
    600_000,
    3_600_000,
    6 * 3_600_000,
    86_400_000,
    -3_000,
    -5_000,
    -5_001,
    -3_600_000,
)
EXACT = {"USD": "pico_USD", "EUR": "pico_EUR"}
CHOICES = st.integers(0, 99)  # a new id mostly; else one that is known


def written(index: int) -> dict[str, Any]:
    """Return a policy document with the caps of one entry of POLICIES, and what the second tenant adds."""
    zone, caps = POLICIES[index]
    maxima = {cls: {"maximum": {u: str(n) for u, n in known.items()}} for cls, known in MAXIMA[index].items()}
    prices = {
        "operations": {name: str(price) for name, price in PRICES[index].get("operations", {}).items()},
        "models": {
            name: {side: str(price) for side, price in sides.items()}
            for name, sides in PRICES[index].get("models", {}).items()
        },
    }
    own_zone, own = OWN[index]
    return {
        "weighbridge": 1,
        "name": f"p{index}",
        "operations": {tool: {"kind": "read", "cost_class": cls} for tool, cls in CLASSES.items()},
        "compliance": {"restricted_fields": ["ssn"]},
        "budgets": {"time_zone": zone, "caps": entries(caps)}
        | ({"cost_classes": maxima} if maxima else {})
        | ({"prices": {"currency": "USD", **prices}} if PRICES[index] else {}),
        "tenants": {TENANTS[1]: {"budgets": {"time_zone": own_zone} | ({"caps": entries(own)} if own else {})}},
    }


def entries(caps) -> list[dict[str, Any]]:
    """Return caps as a policy holds them."""
    made = []
    for one in caps:
        entry = {"id": one["id"], "unit": one["unit"], "period": one["period"], "scope": one["scope"]}
        entry["hard_cap"] = "unlimited" if one["hard"] is None else str(one["hard"])
        entry |= {"soft_cap": str(one["soft"])} if one["soft"] is not None else {}
        entry |= {"cost_classes": one["classes"]} if one["classes"] else {}
        made.append(entry | {"settlement": one["settles"], "justification": one["justified"]})
    return made


class Model:
    """What should happen, from a list of everything that was reserved."""

    def __init__(self, tenant, *, live):
        self.tenant, self.live = tenant, live
        self.reserved, self.answers, self.reports = [], {}, {}
        self.days, self.months = Zones(day_of), Zones(month_of)
        self.last_ms = None

    def usage(self, one, request) -> int:
        total = 0
        for entry in self.reserved:
            same = all(
                entry["about"].get(field) == (request["about"].get(field) if value == "each" else value)
                for field, value in one["scope"].items()
            )
            period = {"DAY": "day", "MONTH": "month", "PLAN": None}[one["period"]]
            within = period is None or entry[period] == request[period]
            if same and within and (not one["classes"] or entry["class"] in one["classes"]):
                total += entry["amounts"].get(one["unit"], 0)
                total -= entry["settled"].get(one["unit"], 0) if one["settles"] else 0
        return total

    def reserve(self, index, name, request, now_ms):
        zone, caps = POLICIES[index]
        if self.tenant == TENANTS[1]:
            zone, caps = OWN[index][0], caps + OWN[index][1]
        begins_ms = max(now_ms, self.last_ms or 0) if self.live else now_ms  # a clock that stepped back moves no period
        self.days.activate(begins_ms, zone)
        self.months.activate(begins_ms, zone)
        stepped_back = self.live and self.last_ms is not None and now_ms < self.last_ms - SKEW_MS
        self.last_ms = max(self.last_ms or 0, now_ms)
        if request["gate"] == "bad" or (request["gate"] and stepped_back):
            self.answers[name] = ("BLOCK", None)
            return self.answers[name]
        request = {**request, "day": self.days.key(now_ms), "month": self.months.key(now_ms), "settled": {}}
        applies = [
            one
            for one in sorted(caps, key=lambda one: one["id"])
            if (not one["classes"] or request["class"] in one["classes"])
            and all(value in ("each", request["about"].get(field)) for field, value in one["scope"].items())
        ]
        amounts = self.priced(index, request)
        for one in applies:
            known = MAXIMA[index].get(request["class"], {})
            if one["unit"] not in amounts and one["unit"] in known:
                amounts[one["unit"]] = known[one["unit"]]
        said = [self.judge(one, self.usage(one, request), amounts, request["justified"]) for one in applies]
        verdicts = {verdict for _, _, verdict in said}
        blocked = stepped_back or not applies or "BLOCK" in verdicts
        verdict = "BLOCK" if blocked else "WARN" if "WARN" in verdicts else "ALLOW"
        if not blocked:
            settles = {one["unit"] for one in applies if one["settles"]}
            self.reserved.append({**request, "amounts": amounts, "settles": settles, "id": name})
        self.answers[name] = (verdict, said)
        return verdict, said

    @staticmethod
    def priced(index, request):
        """B2, B12: money that was stated, else that of the table; of a model that is not in it, nobody knows."""
        amounts, model = dict(request["amounts"]), request["model"]
        table, tool = PRICES[index], request["about"]["tool"]
        known = table.get("models", {}).get(model), table.get("operations", {}).get(tool)
        if any(unit.startswith("pico_") for unit in amounts) or known == (None, None) or (model and known[0] is None):
            return amounts
        if known[0] is None and amounts.get("tokens") and table.get("models"):
            return amounts  # tokens of nobody knows which model
        money = (known[1] or 0) * amounts["operations"]
        if known[0]:
            money += request["in"] * known[0]["input"] + (amounts["tokens"] - request["in"]) * known[0]["output"]
        return {**amounts, "pico_USD": money}

    @staticmethod
    def judge(one, used, amounts, justified):
        amount = amounts.get(one["unit"])
        if (
            amount is None
            or (one["hard"] is not None and used + amount > one["hard"])
            or (one["justified"] and not justified)
        ):
            return one["id"], used, "BLOCK"
        warned = one["justified"] or (one["soft"] is not None and used + amount > one["soft"])
        return one["id"], used, "WARN" if warned else "ALLOW"

    def report(self, name, consumed):
        entry = next(entry for entry in self.reserved if entry["id"] == name)
        amounts = ((unit, n) for unit, n in entry["amounts"].items() if unit in entry["settles"])
        entry["settled"] = {unit: n - consumed[unit] for unit, n in amounts if consumed.get(unit, n) < n}


REQUESTS = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from([TENANTS[0], TENANTS[0], TENANTS[1]]),
        "name": CHOICES,
        "tool": st.sampled_from(sorted(CLASSES)),
        "account": st.sampled_from([None, "a-1", "a-2", '"each" (none)']),
        "plan": st.sampled_from([None, "p-1"]),
        "operations": st.sampled_from([1, 1, 1, 2, 6]),
        "tokens": st.sampled_from([None, 0, 100, 200, 300, 300, 700, 1001]),
        "model": st.sampled_from([None, None, "m", "another"]),
        "money": st.sampled_from([{}, {"USD": "0.75"}, {"USD": "2.000000000001"}, {"USD": "1", "EUR": "1.5"}]),
        "justification": st.sampled_from([None, "quarter end"]),
        "gate": st.sampled_from([None, None, None, "good", "bad"]),
    }
)


def asked(given) -> dict[str, Any]:
    """Return the request as a host writes it."""
    budget: dict[str, Any] = {
        "operation": given["tool"],
        "amounts": {"operations": given["operations"], **given["money"]},
    }
    if given["tokens"] is not None and given["model"]:
        read = given["tokens"] // 3
        budget["tokens"] = {"input": read, "output": given["tokens"] - read, "model": given["model"]}
    elif given["tokens"] is not None:
        budget["amounts"]["tokens"] = given["tokens"]
    if given["justification"] is not None:
        budget["justification"] = given["justification"]
    document = {"tenant_id": given["tenant"], "operation_id": given["name"], "budget": budget}
    optional = {"account_id": given["account"], "plan_id": given["plan"]}
    if given["gate"]:
        arguments = {"id": given["name"]} | ({"ssn": "1"} if given["gate"] == "bad" else {})
        optional["choke_point"] = "BEFORE_EXPENSIVE_READ"
        optional["proposal"] = {"operation": given["tool"], "arguments": arguments}
    return document | {key: value for key, value in optional.items() if value is not None}


def understood(given) -> dict[str, Any]:
    """Return the request as the model takes it."""
    amounts = {"operations": given["operations"], **given["money"]}
    if given["tokens"] is not None:
        amounts["tokens"] = given["tokens"]
    return {
        "about": {"account": given["account"], "plan": given["plan"], "tool": given["tool"]},
        "class": CLASSES[given["tool"]],
        "amounts": {EXACT.get(unit, unit): _whole(unit, value) for unit, value in amounts.items()},
        "model": given["model"] if given["tokens"] is not None else None,
        "in": (given["tokens"] or 0) // 3,
        "justified": given["justification"] is not None,
        "gate": given["gate"],
    }


class InTurns:
    """Stores on one database, as of several processes: any of them takes the next call."""

    def __init__(self, *stores):
        self.__dict__.update(stores=stores, chance=random.Random(1))

    def __getattr__(self, name):
        return getattr(self.chance.choice(self.stores), name)

    def close(self):
        for store in self.stores:
            store.close()


def in_turns(*stores) -> Any:
    return InTurns(*stores)


class BudgetMachine(RuleBasedStateMachine):
    """B2 to B9, B11 to B14, G3, G10, L5: three stores and a model of each tenant, through one history."""

    purpose = "enforcement"

    @initialize(start=st.sampled_from(STARTS), index=st.integers(0, len(POLICIES) - 1))
    def begin(self, start, index):
        self.now_ms = round(dt.datetime.fromisoformat(start).timestamp() * 1000)
        self.folder = tempfile.TemporaryDirectory()
        entropy = b"\1".__mul__
        self.file = Path(self.folder.name) / "machine.db"
        self.database = shared().database(self.purpose)
        given: dict[str, Any] = {"purpose": self.purpose, "entropy": entropy}
        self.stores = (
            MemoryStore(**given),
            in_turns(SqliteStore(self.file, **given), SqliteStore(self.file, **given)),
            in_turns(self.database.store(**given), self.database.store(**given, lanes=2)),
        )
        self.models = {tenant: Model(tenant, live=self.purpose == "enforcement") for tenant in TENANTS}
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}
        self.under(index)

    @rule(index=st.integers(0, len(POLICIES) - 1))
    def under(self, index):
        """B14: another policy judges from here on."""
        self.index = index
        around = Surroundings(clock_ms=lambda: self.now_ms, entropy=b"\2".__mul__)
        self.held = [
            Weighbridge(
                policy=load_document(written(index)),
                recorder=Recorder(store),
                reader=store,
                close=lambda: None,
                gateway=make_gateway(),
                principal=Principal(id="host"),
                surroundings=around,
            )
            for store in self.stores
        ]

    @rule(step=st.sampled_from(STEPS_MS))
    def wait(self, step):
        """B9: the clock goes on, into other periods too, or steps back."""
        self.now_ms += step

    @rule(given=REQUESTS)
    def reserve(self, given):
        """B4, B6: one request."""
        given = self.named(given)
        document, wanted = self.written(given), self.wanted(given)
        for held in self.held:
            if wanted is None:  # B6, G3: never a new verdict
                with pytest.raises(IdempotencyConflict):
                    held.reserve(document)
            else:
                check(held.reserve(document), *wanted)

    @rule(many=st.lists(REQUESTS, min_size=2, max_size=5))
    def several(self, many):
        """B5, G3: many requests in one transaction, also of the same id, are answered as if they came one after the other."""
        many = [self.named(given) for given in many]
        documents, wanted = [self.written(given) for given in many], [self.wanted(given) for given in many]
        for held in self.held:
            for answer, expected in zip(held.answer_many(documents), wanted, strict=True):
                if expected is None:
                    assert isinstance(answer, IdempotencyConflict)
                else:
                    check(answer, *expected)

    def named(self, given):
        """Return a request of a new id, the very request of a known one, or another request of a known one."""
        choice, tenant = given["name"], given["tenant"]
        known = [name for of, name in self.requests if of == tenant]
        if choice < 70 or not known:
            named = {**given, "name": f"op-{len(self.requests)}"}
        elif choice < 90:
            named = self.requests[tenant, known[-1 - choice % min(5, len(known))]]
        else:
            named = {**given, "name": known[choice % len(known)]}
        self.requests.setdefault((tenant, named["name"]), named)
        return named

    def written(self, given):
        supplied = {} if self.purpose == "enforcement" else {"evaluation_time": format_instant(self.now_ms)}
        return asked(given) | supplied

    def wanted(self, given):
        """Return verdict, caps, and whether it is a replay, as the model says; None for a conflict."""
        model, name = self.models[given["tenant"]], given["name"]
        if asked(self.requests[given["tenant"], name]) != asked(given):
            return None
        if name in model.answers:
            return (*model.answers[name], True)
        return (*model.reserve(self.index, name, understood(given), self.now_ms), False)

    @rule(
        tenant=st.sampled_from(TENANTS),
        choice=CHOICES,
        consumed=st.sampled_from(
            [{"tokens": 0}, {"tokens": 60}, {"tokens": 5000}, {"USD": "0.5", "EUR": "0.25", "tokens": 0}]
        ),
    )
    def report(self, tenant, choice, consumed):
        """B7: down only, once, against the period of the reservation."""
        model = self.models[tenant]
        known = [entry["id"] for entry in model.reserved] if choice < 90 else [*model.answers]
        name = known[choice % len(known)] if known else "nothing"
        reserved = any(entry["id"] == name for entry in model.reserved)
        before = model.reports.get(name, consumed)
        wanted = NotFound if not reserved else IdempotencyConflict if before != consumed else None
        for held in self.held:
            if wanted is None:
                held.report_usage(name, consumed, tenant_id=tenant)
            else:
                with pytest.raises(wanted):
                    held.report_usage(name, consumed, tenant_id=tenant)
        if wanted is None and name not in model.reports:
            model.reports[name] = consumed
            model.last_ms = max(model.last_ms or 0, self.now_ms)
            model.report(name, {EXACT.get(unit, unit): _whole(unit, value) for unit, value in consumed.items()})

    def teardown(self):
        if not hasattr(self, "stores"):
            return
        memory, others = self.stores[0], self.stores[1:]
        try:
            for tenant in TENANTS:
                for store in others:
                    assert list(memory.records(tenant)) == list(store.records(tenant))
                    assert list(memory.counters(tenant)) == list(store.counters(tenant))
            for store in others:
                store.close()
            assert verify_store(memory).ok
            given: dict[str, Any] = {"purpose": self.purpose, "entropy": b"\1".__mul__}
            for store in (SqliteStore(self.file, **given), self.database.store(**given)):
                with closing(store):
                    audit = verify_store(store)
                    assert audit.ok, str(audit)
                    for tenant in TENANTS:
                        self.check_counters(store, tenant)
        finally:
            for store in others:
                store.close()
            self.folder.cleanup()
            self.database.drop()

    def check_counters(self, store, tenant):
        """B3: a counter that a policy of now counts holds everything that fell under it, whichever caps there were then."""
        active = store.families(tenant)
        for name, counter in store.counters(tenant):
            parts = parse_counter(name)
            families = [family for family in active if _counts(family, parts)]
            matching = [entry for entry in self.models[tenant].reserved if _falls(entry, parts)]
            if families:
                assert counter.reserved == sum(entry["amounts"].get(parts.unit, 0) for entry in matching)
                assert counter.settled == sum(entry["settled"].get(parts.unit, 0) for entry in matching)


class EvaluationMachine(BudgetMachine):
    """B9: as above, with times that are supplied, in any order: no clock steps back, and every period gets its own."""

    purpose = "evaluation"

    @rule(step=st.sampled_from([-400 * 86_400_000, -86_400_000, 86_400_000, 40 * 86_400_000]))
    def jump(self, step):
        self.now_ms += step


def check(decision, verdict, said, replayed):
    assert (decision.verdict.value, decision.replayed) == (verdict, replayed)
    if said is None:  # B11: a gate that blocks asks no budget
        assert decision.budget is None
    else:
        assert [(one.cap, one.usage_before, one.verdict.value) for one in decision.budget.caps] == said


def _whole(unit: str, value: Any) -> int:
    whole, _, fraction = str(value).partition(".")
    return int(whole) * PICO + int(fraction.ljust(12, "0")) if unit in {"USD", "EUR"} else int(value)


def _falls(entry, parts) -> bool:
    period = parts.period in {"PLAN", entry["day"], entry["month"]}
    classes = parts.cost_classes is None or entry["class"] in parts.cost_classes
    return period and classes and all(entry["about"].get(field) == value for field, value in parts.scope)


def _counts(family: str, parts) -> bool:
    of = parse_counter(family)
    kind = {4: "PLAN", 7: "MONTH", 10: "DAY"}[len(parts.period)]
    alike = (of.unit, of.period, of.cost_classes) == (parts.unit, kind, parts.cost_classes)
    fields = [field for field, _ in of.scope] == [field for field, _ in parts.scope]
    return (
        alike
        and fields
        and all(value in (None, own) for (_, value), (_, own) in zip(of.scope, parts.scope, strict=True))
    )


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestEvaluationMachine = EvaluationMachine.TestCase
TestEvaluationMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
