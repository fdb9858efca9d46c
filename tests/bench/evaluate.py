"""Judging alone: four applicable validators and ten rules, beside what other engines take for ten rules. CPU time.

Ours: `ValidatorGateway.judge` on a complete context: ages are computed from timestamps, references resolved against the
evidence set, a value looked for in trusted content, four fields compared with the snapshot, every field of the arguments
visited. Theirs are given more than ours: AGT's context holds the ages, the trust and the state as finished facts under the
very names its conditions ask for.
"""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.bench import workload
from tests.bench.flush import Place
from tests.bench.measure import Row, Scale, ratio, settle, take_turns, typical_call
from weighbridge.domain.context import ValidationContext, parse_context
from weighbridge.domain.decision import ValidatorResult
from weighbridge.gateway import Engine, ValidatorGateway, with_facts
from weighbridge.policy.loader import document_from_mapping
from weighbridge.validators.builtin import BUILT_IN
from weighbridge.validators.interface import Validator

GROUP = "evaluate"
TARGET = 0.4
AGENT = "did:mesh:renewal-agent"

# The same ten questions, as conditions of AGT's language; the last is the one that matches, as the allow list is with us.
AGT_SAME_KINDS = (
    "renewal.age_days > 14",
    "contact.age_days > 90",
    "recipient.trust != 'trusted'",
    "renewal.status in ['closed', 'lost']",
    "proposal.stage == 'prospect'",
    "proposal.discount_percent > 20",
    "proposal.currency != 'EUR'",
    "proposal.ssn",
    "proposal.owner in ['admin', 'root']",
    "action.type == 'update_renewal'",
)
# The condition it answers fastest, nine times, and the one that matches.
AGT_EQUALITIES = (*(f"proposal.owner == 'admin-{n}'" for n in range(9)), "action.type == 'update_renewal'")

_EVALUATED_MS = 1_795_341_600_000


_TOGETHER = 25  # calls timed at once: a millisecond or so, which the clock sees and an interruption seldom hits

Contender = tuple[Callable[[Any], object], Callable[[int], Any]]
"""What is timed, and how the argument of its call number n is made."""


def run(_place: Place, scale: Scale) -> list[Row]:
    """Return the comparisons; a peer that is not installed is left out (`make bench` installs them)."""
    engine, context = _ours()
    contenders: dict[str, Contender] = {
        "judge": (lambda given: ValidatorGateway.judge(given, engine), context),
        "validators": (lambda given: [one.evaluate(given, engine.policy) for one in BUILT_IN], context),
        **{one.id: (partial(_one, one, engine), context) for one in BUILT_IN},
        **_agt(),
        **_aegis(),
    }
    places = {name: place for place, name in enumerate(contenders)}
    settle()

    def block(name: str, number: int) -> float:
        function, make = contenders[name]
        # Made just before, as in earnest, and other ones for every block: nothing about them is known yet.
        first = ((number + 1) * len(contenders) + places[name]) * scale.calls
        given = [make(call) for call in range(first, first + scale.calls)]
        return typical_call(function, given, clock=time.process_time, together=_TOGETHER)

    took = take_turns({name: partial(block, name) for name in contenders}, scale.rounds)
    return _rows(took)


def _one(validator: Validator, engine: Engine, given: ValidationContext) -> ValidatorResult:
    return validator.evaluate(given, engine.policy)


def _rows(took: dict[str, list[float]]) -> list[Row]:
    ours = took["judge"]

    def row(beside: str, words: str, *, target: float | None = None, note: str = "") -> Row:
        other = took[beside]
        return Row(
            GROUP,
            "judge: 4 validators, 10 rules",
            statistics.median(ours) * 1e6,
            "us",
            words,
            statistics.median(other) * 1e6,
            ratio(ours, other),
            target,
            note=note,
        )

    each = ", ".join(f"{one.id} {statistics.median(took[one.id]) * 1e6:.1f} us" for one in BUILT_IN)
    rows = [row("validators", "the four validators alone", note=f"each alone: {each}")]
    if "agt" in took:
        rows += [
            row("agt", "AGT, 10 conditions of the same kinds", target=TARGET),
            row("agt equalities", "AGT, 10 equalities (its fastest)"),
        ]
    if "aegis" in took:
        words = "aegis-kernel decides from tool name and arguments alone: no ages, evidence, snapshot or nested fields"
        rows.append(row("aegis", "aegis-kernel decide, 10 constraints", note=words))
    return rows


def _ours() -> tuple[Engine, Callable[[int], ValidationContext]]:
    policy = document_from_mapping(workload.POLICY).effective("acme")
    engine = ValidatorGateway([], {}).engine(policy, b"k" * 32)

    def context(number: int) -> ValidationContext:
        made = parse_context(workload.request(number, _EVALUATED_MS + number * 1000))
        return with_facts(made, policy.operations.get)

    reasons = [result.reason for result in ValidatorGateway.judge(context(0), engine)]
    assert reasons == ["FRESH", "GROUNDED", "CONSISTENT", "COMPLIANT"], reasons
    return engine, context


def _agt() -> dict[str, Contender]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            agt = importlib.import_module("agentmesh.governance.policy")
    except ImportError:
        return {}

    def engine(conditions: Sequence[str]) -> Any:
        last = len(conditions) - 1
        rules = [
            agt.PolicyRule(name=f"rule-{n}", condition=condition, action="allow" if n == last else "deny", priority=n)
            for n, condition in enumerate(conditions)
        ]
        made = agt.PolicyEngine()
        made.load_policy(agt.Policy(name="bench", agents=["*"], rules=rules))
        decision = made.evaluate(AGENT, _agt_context(0))
        assert (decision.allowed, decision.matched_rule) == (True, f"rule-{last}"), decision
        return made

    same, fastest = engine(AGT_SAME_KINDS), engine(AGT_EQUALITIES)
    return {
        "agt": (lambda given: same.evaluate(AGENT, given), _agt_context),
        "agt equalities": (lambda given: fastest.evaluate(AGENT, given), _agt_context),
    }


def _agt_context(number: int) -> dict[str, Any]:
    request = workload.request(number)
    return {
        "action": {"type": "update_renewal", "target": "crm"},
        "proposal": request["proposal"]["arguments"],
        "renewal": {"age_days": 2, **request["snapshot"]["fields"]["renewal"]["value"]},
        "contact": {"age_days": 9},
        "recipient": {"trust": "trusted"},
        "evidence": request["evidence"],
    }


def _aegis() -> dict[str, Contender]:
    try:
        aegis, policy, guards = (importlib.import_module(f"aegis{part}") for part in ("", ".policy", ".guards.base"))
        grants, kernels = importlib.import_module("aegis.grant"), importlib.import_module("aegis.kernel")
    except ImportError:
        return {}
    limit = policy.ArgConstraint
    constraints = {  # ten, over the seven arguments
        "renewal_id": limit(matches=r"R-\d{7}", prefix="R-"),
        "recipient": limit(matches=r"[^@ ]+@acme\.example"),
        "stage": limit(one_of=("proposal", "won")),
        "discount_percent": limit(max_value=20),
        "currency": limit(one_of=("EUR",)),
        "owner": limit(forbid_matches=r"\b(admin|root)\b", max_len=40),
        "note": limit(forbid_matches=r"\d{3}-\d{2}-\d{4}", max_len=200),
    }
    tool = "crm.update_renewal"
    budget = policy.Budget(usd=1e9, tokens=10**12, wall_clock_s=1e9, tool_calls=10**12)
    rules = {tool: policy.ToolRule(tool, constraints)}
    grant = grants.Grant.root(policy.Policy("bench", tools=rules, budget=budget))
    kernel = kernels.Kernel(aegis.ToolRegistry())

    def call(number: int) -> Any:
        return guards.Call(tool, workload.request(number)["proposal"]["arguments"])

    verdict = kernel.decide(grant, call(0))
    assert verdict.allowed, verdict
    return {"aegis": (lambda given: kernel.decide(grant, given), call)}
