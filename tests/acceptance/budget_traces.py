"""budget_traces: recorded calls of language models, each with a cost, against caps; the exact answers are published.

A folder holds the calls in order (``calls``), the caps (``caps``), and what follows from them: the decision about every call with
every cap that it would exceed, the final counters, and sums. The policy is made from the caps, whatever they are: scope,
window, unit, tier, limit. A tool is declared CHEAP; the host raises the cost class of a call to its tier.

Every trace is judged four times: in order with all caps; from many threads and processes with one cap at a time, where the
number that is allowed does not depend on the order; and, in order and from threads, by processes that are killed again and
again, with every call that was not answered asked again under its id. All of it on SQLite; on PostgreSQL in order with all caps,
and from four processes with one cap.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.acceptance.budget_traces_caller import ALLOWED, Asked, ask, open_for_replay
from tests.acceptance.framework import Document, Row, Score, find, folders_with, read_json, read_lines, read_text
from tests.server import shared
from weighbridge.domain.caps import Cap, counter_name
from weighbridge.errors import PolicyError
from weighbridge.ledger.record import events
from weighbridge.policy.loader import document_from_mapping
from weighbridge.runtime import Weighbridge

NAME = "budget_traces"

_REPOSITORY = Path(__file__).parents[2]
_TENANT = "tenant"
_STORES = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill is survived in memory as on disk, and faster
_KEY_LENGTHS = {"day": len("2026-11-22"), "month": len("2026-11")}
_PICO_COST = re.compile(r"cost_pico_([a-z]{3})")
_IN_ORDER_BATCH = 500
_KILLED_BATCH = 20
_KILL_DELAY_MAX = 0.05  # seconds; a few transactions
_SHUFFLED_BATCH = 5  # small, so that callers come between each other often
_ASKED_TWICE = 40  # answered calls that are asked again after a kill, besides those that were not answered

Answers = dict[str, str]
"""What was answered, by operation id."""


@dataclass(frozen=True)
class Way:
    """How calls are asked: from how many processes, and threads in each; how often the process is killed; and of what store."""

    threads: int = 1
    processes: int = 1
    kills: int = 0
    postgres: bool = False

    @property
    def in_order(self) -> bool:
        """Return whether calls are asked one after the other, by one that is not killed."""
        return (self.threads, self.processes, self.kills) == (1, 1, 0)

    def __str__(self) -> str:
        words = [f"{self.threads} threads" if self.threads > 1 else "", f"{self.processes} processes"]
        words += [f"{self.kills} kills" if self.kills else "", "in order" if self.in_order else ""]
        words += ["PostgreSQL" if self.postgres else ""]
        return ", ".join(word for word in words if word and word != "1 processes")


QUICK = (Way(threads=8), Way(threads=16), Way(threads=64), Way(processes=4))
"""One of these for each cap, in turn; `test_budget_traces` asks in every way for every cap, as a soak test."""
KILLED_IN_ORDER = Way(kills=4)
KILLED_THREADS = Way(threads=8, kills=3)
POSTGRES_IN_ORDER = Way(postgres=True)
POSTGRES_PROCESSES = Way(processes=4, threads=4, postgres=True)


@dataclass(frozen=True)
class Trace:
    """One folder, read."""

    name: str
    calls: list[Document]
    caps: list[Document]
    counts: Document
    decisions: list[str]
    counters: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> Trace:
        """Return the trace in a folder."""
        return cls(
            folder.name,
            list(read_lines(_there(folder, "calls"))),
            read_json(_there(folder, "caps")),
            read_json(_there(folder, "EXPECTED_COUNTS")),
            read_text(_there(folder, "expected_decisions")).splitlines(),
            read_json(_there(folder, "expected_final_counters")),
        )

    @property
    def expressible(self) -> bool:
        """Return whether our policies can say it: our counters are a tenant's own, so every scope has to name the tenant."""
        return all(_TENANT in cap["scope"] for cap in self.caps)

    def policy(self, *only: str) -> Document:
        """Return the policy that these caps make, or those of them that are named."""
        caps = [_cap(cap) for cap in self.caps if not only or cap["id"] in only]
        try:
            document_from_mapping(self._policy(caps))
        except PolicyError:
            # A cap that can never be full before another is a mistake in a policy, unless it warns before the other does. A
            # WARN is reserved like an ALLOW (B4); any other mistake is still one.
            strictest_first = sorted(caps, key=lambda cap: int(cap["hard_cap"]))
            for soft_cap, cap in enumerate(reversed(strictest_first)):
                cap["soft_cap"] = str(min(soft_cap, int(cap["hard_cap"])))
        return self._policy(caps)

    def _policy(self, caps: Sequence[Document]) -> Document:
        tools = sorted({call["tool"] for call in self.calls})
        return {
            "weighbridge": 1,
            "name": self.name,
            "operations": {tool: {"kind": "action", "action_type": tool, "cost_class": "CHEAP"} for tool in tools},
            "budgets": {"time_zone": "UTC", "caps": list(caps)},
        }

    def requests(self) -> list[Asked]:
        """Return the request that every call makes, in order."""
        return [_request(number, call) for number, call in enumerate(self.calls)]

    def counter_of(self, published: str, caps: Mapping[str, Cap]) -> tuple[str, str]:
        """Return the tenant and the name of the counter that is published as ``cap|window|tenant|values…``."""
        cap_id, window, *values = published.split("|")
        scope = next(cap["scope"] for cap in self.caps if cap["id"] == cap_id)
        stated = dict(zip(scope, values, strict=True))
        tenant = stated.pop(_TENANT)
        return tenant, counter_name(caps[cap_id].unit, window, caps[cap_id].counter_tail(stated))

    def single_cap_counters(self, cap_id: str) -> dict[tuple[str, str], int]:
        """Return the final counters with this cap alone, of calls: what was asked for, up to the limit, in any order."""
        cap = next(cap for cap in self.caps if cap["id"] == cap_id)
        tiers = _tiers(cap)
        asked = Counter(_published(cap, call) for call in self.calls if not tiers or call["tier"] in tiers)
        caps = compiled(self.policy(cap_id))
        return {self.counter_of(name, caps): min(count, cap["limit"]) for name, count in asked.items()}


def _there(folder: Path, stem: str) -> Path:
    path = find(folder, stem)
    if path is None:
        message = f"{folder} lacks `{stem}`"
        raise FileNotFoundError(message)
    return path


def _cap(cap: Document) -> Document:
    classes = {"cost_classes": _tiers(cap)} if _tiers(cap) else {}
    return classes | {
        "id": cap["id"],
        "scope": {name: "each" for name in cap["scope"] if name != _TENANT},
        "period": cap["window"].upper(),
        "unit": _unit(cap["unit"]),
        "hard_cap": str(cap["limit"]),  # beyond 2**53 a JSON number is no longer exact
    }


def _tiers(cap: Document) -> list[str]:
    """Return the tiers that a cap counts; none is any."""
    tier = cap.get("tier") or []
    return [tier] if isinstance(tier, str) else tier


def _unit(published: str) -> str:
    """Return our name of a unit; one that we do not have is refused when the policy is loaded."""
    head, _, currency = published.partition("_")
    return f"{head}_{currency.upper()}" if currency else {"calls": "operations"}.get(published, published)


def _published(cap: Document, call: Document) -> str:
    window = call["ts"][: _KEY_LENGTHS[cap["window"]]]
    return "|".join([cap["id"], window, *(call[name] for name in cap["scope"])])


def _request(number: int, call: Document) -> Asked:
    amounts: dict[str, Any] = {"tokens": call["input_tokens"] + call["output_tokens"]}
    for name, cost in call.items():
        if (matched := _PICO_COST.fullmatch(name)) is not None:
            amounts[f"pico_{matched[1].upper()}"] = str(cost)  # text, as a limit is
    stated = {f"{name}_id": call[name] for name in ("account", "plan") if name in call}
    return stated | {
        "operation_id": f"call-{number}",
        "tenant_id": call[_TENANT],
        "evaluation_time": call["ts"],
        "budget": {"operation": call["tool"], "cost_class": call["tier"], "amounts": amounts},
    }


def compiled(policy: Document) -> dict[str, Cap]:
    """Return the caps of a policy by their ids."""
    budgets = document_from_mapping(policy).effective(None).budgets
    assert budgets is not None
    return {cap.id: cap for cap in budgets.caps}


def discover(root: Path) -> list[Path]:
    """Return the folders that hold calls, caps and what follows from them."""
    return folders_with(root, "calls", "caps", "expected_decisions", "expected_final_counters", "EXPECTED_COUNTS")


def run(folder: Path) -> list[Row]:
    """Judge one trace in order, from many callers, and by processes that are killed."""
    trace, score = Trace.read(folder), Score(NAME)
    if not trace.expressible:
        for number, expected in enumerate(trace.decisions):
            score.add("every decision", _expectation(expected), "not_expressible", f"{trace.name}/{number}")
        return score.rows()
    whole_trace(trace, score, Way())
    whole_trace(trace, score, KILLED_IN_ORDER)
    whole_trace(trace, score, POSTGRES_IN_ORDER)
    singles = list(trace.counts["single_cap_allowed_any_order"])
    for number, cap_id in enumerate(singles):
        one_cap(trace, score, cap_id, QUICK[number % len(QUICK)])
    if singles:
        one_cap(trace, score, singles[0], KILLED_THREADS)
        one_cap(trace, score, singles[-1], POSTGRES_PROCESSES)
    return score.rows()


def _expectation(published: str) -> str:
    return "ALLOW" if published == ALLOWED else "BLOCK"


def whole_trace(trace: Trace, score: Score, way: Way) -> None:
    """Score a replay in order with all caps: every decision, the file they make, the sums and the final counters."""
    with _store(way) as store:
        answers = replayed(trace.policy(), store, trace.requests(), way)
        found = [_in_published_order(trace, answers.get(f"call-{number}", "")) for number in range(len(trace.calls))]
        when = f"{trace.name}, {way}"
        rule = f"every decision{', killed and asked again' if way.kills else ''}{_where(way)}"
        for number, (expected, said) in enumerate(zip(trace.decisions, found, strict=True)):
            score.judged(rule, _expectation(expected), f"{when}/{number}", right=said == expected)
        for name, right in _sums(trace, found).items():
            score.judged("sums and decision file", "ALLOW", f"{when}/{name}", right=right)
        caps = compiled(trace.policy())
        expected_counters = {trace.counter_of(name, caps): value for name, value in trace.counters.items()}
        _score_store(score, when, store, policy=trace.policy(), expected=expected_counters, calls=len(trace.calls))


def _sums(trace: Trace, found: Sequence[str]) -> dict[str, bool]:
    published = trace.counts
    allowed = [call for call, said in zip(trace.calls, found, strict=True) if said == ALLOWED]
    denied = Counter(cap for said in found if said != ALLOWED for cap in said.partition(":")[2].split(","))
    digest = hashlib.sha256("".join(f"{said}\n" for said in found).encode()).hexdigest()
    costs = {f"allowed_{name}": sum(call[name] for call in allowed) for name in trace.calls[0] if "cost_" in name}
    given = {
        "calls": len(found),
        "sequential_allowed": len(allowed),
        "denied": len(found) - len(allowed),
        "denied_by_cap": {cap: count for cap, count in denied.items() if count},
        "expected_decisions_sha256": digest,
        **costs,
    }
    return {name: published[name] == value for name, value in given.items() if name in published}


def one_cap(trace: Trace, score: Score, cap_id: str, way: Way) -> None:
    """Score a shuffled replay with one cap alone: the number allowed and every counter are the same in any order (B5)."""
    requests = trace.requests()
    random.Random(f"{trace.name} {cap_id} {way}").shuffle(requests)
    with _store(way) as store:
        answers = replayed(trace.policy(cap_id), store, requests, way)
        when = f"{trace.name}, {cap_id}, {way}"
        counted = sum(text == ALLOWED for text in answers.values())
        right = counted == trace.counts["single_cap_allowed_any_order"][cap_id] and len(answers) == len(requests)
        rule = f"one cap at a time, {'killed and asked again' if way.kills else 'from many callers'}{_where(way)}"
        score.judged(rule, "ALLOW", f"{when}: {counted}", right=right)
        _score_store(
            score,
            when,
            store,
            policy=trace.policy(cap_id),
            expected=trace.single_cap_counters(cap_id),
            calls=len(requests),
        )


def _in_published_order(trace: Trace, said: str) -> str:
    """Return an answer with its caps in the order in which they are published."""
    order = [cap["id"] for cap in trace.caps]
    head, colon, caps = said.partition(":")
    return said if head != "D" else head + colon + ",".join(sorted(caps.split(","), key=order.index))


def _score_store(
    score: Score, when: str, store: str, *, policy: Document, expected: Mapping[tuple[str, str], int], calls: int
) -> None:
    """Score what the store holds afterwards: the counters, twice, the ledger, and one record for each call."""
    with open_for_replay(policy, store) as wb:
        kept = {
            (tenant, name): counter.reserved
            for tenant in wb.reader.tenants()
            for name, counter in wb.reader.counters(tenant)
        }
        for key in sorted({*kept, *expected}):
            right = kept.get(key, 0) == expected.get(key, 0)
            score.judged("final counters", "ALLOW", f"{when}/{' '.join(key)}", right=right)
        score.judged("counters are what the ledger adds up to", "ALLOW", when, right=_nonzero(kept) == added_up(wb))
        checked = wb.verify()
        score.judged("the ledger verifies, one record a call", "ALLOW", when, right=checked.ok)
        score.judged("the ledger verifies, one record a call", "ALLOW", when, right=checked.records == calls)


def added_up(wb: Weighbridge) -> dict[tuple[str, str], int]:
    """Return the counters that the records alone give, by adding up what they reserve: no code of the product's own."""
    total: Counter[tuple[str, str]] = Counter()
    for tenant in wb.reader.tenants():
        for stored in wb.reader.records(tenant):
            for event in events(stored.body):
                if event.type in {"BUDGET_RESERVE", "BUDGET_WARN"}:
                    amounts = event.fields["amounts"]
                    moved = {one["counter"]: int(amounts[one["unit"]]) for one in event.fields["caps"]}
                    total.update({(tenant, name): amount for name, amount in moved.items()})
    return _nonzero(total)


def _nonzero(counters: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: value for key, value in counters.items() if value}


def _where(way: Way) -> str:
    return ", on PostgreSQL" if way.postgres else ""


@contextlib.contextmanager
def _store(way: Way) -> Iterator[str]:
    if way.postgres:
        database = shared().database("evaluation")
        try:
            yield database.url()
        finally:
            database.drop()
        return
    with tempfile.TemporaryDirectory(prefix="budget-traces-", dir=_STORES) as folder:
        yield str(Path(folder) / "ledger.db")


def replayed(policy: Document, store: str, requests: Sequence[Asked], way: Way) -> Answers:
    """Return the answer to every request, asked in one of the ways."""
    if way.kills:
        return killed(policy, store, requests, way)
    batch = _IN_ORDER_BATCH if way.in_order else _SHUFFLED_BATCH
    if way.processes > 1:
        with contextlib.ExitStack() as stack:
            shares = [requests[first :: way.processes] for first in range(way.processes)]
            callers = [stack.enter_context(Caller(policy, store, share, way, batch)) for share in shares]
            for caller in callers:
                caller.go()
            with ThreadPoolExecutor(way.processes) as readers:  # a caller whose pipe is full would wait
                found = readers.map(lambda caller: dict(caller.answers()), callers)
                return {operation_id: text for one in found for operation_id, text in one.items()}
    answers: Answers = {}
    with open_for_replay(policy, store) as wb:
        ask(wb, requests, threads=way.threads, batch=batch, told=answers.update)
    return answers


def killed(policy: Document, store: str, requests: Sequence[Asked], way: Way) -> Answers:
    """Return the answer to every request, from processes of which all but the last are killed with SIGKILL on the way.

    Each asks for everything that none before it was answered, and for some that were: an id that was answered otherwise
    before raises (B6).
    """
    chance = random.Random(f"{len(requests)} {way}")
    answers: Answers = {}
    for kill in range(way.kills + 1):
        open_ones = [one for one in requests if one["operation_id"] not in answers]
        again = [one for one in requests if one["operation_id"] in answers]
        known = again[-_ASKED_TWICE:] if way.threads == 1 else chance.sample(again, min(len(again), _ASKED_TWICE))
        # The last that are left to ask for are many: every process is killed in the middle of its work.
        stop = len(open_ones) // (way.kills + 1 - kill) + len(known) if kill < way.kills else None
        delay = chance.uniform(0, _KILL_DELAY_MAX)
        with Caller(policy, store, [*known, *open_ones], way, _KILLED_BATCH, delay) as caller:
            caller.go()
            for operation_id, text in caller.answers(killed_after=stop):
                if answers.setdefault(operation_id, text) != text:
                    message = f"`{operation_id}` was answered `{answers[operation_id]}`, and later `{text}`"
                    raise AssertionError(message)
    return answers


@dataclass
class Caller:
    """A process that asks. It starts to when told by :meth:`go`; leaving the context ends it."""

    policy: Document
    store: str
    requests: Sequence[Asked]
    way: Way
    batch: int
    kill_delay: float = 0.0
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        """Start the process and wait until it has opened the store."""
        job = {
            "policy": self.policy,
            "store": self.store,
            "requests": list(self.requests),
            "threads": self.way.threads,
            "batch": self.batch,
        }
        command = [sys.executable, "-m", "tests.acceptance.budget_traces_caller"]
        self._process = subprocess.Popen(
            command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended, which the next line tells
            self._say(json.dumps(job))
        if self._process.stdout.readline() != "ready\n":
            message = f"a caller ended by itself: {self._process.wait()}"
            raise RuntimeError(message)
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the process."""
        self._process.kill()
        with self._process:
            pass

    def go(self) -> None:
        """Let it ask."""
        self._say("go")

    def answers(self, *, killed_after: int | None = None) -> Iterator[tuple[str, str]]:
        """Yield what it is answered until it ends, killed after so many answers."""
        assert self._process.stdout is not None
        lines: Iterable[str] = self._process.stdout
        for number, line in enumerate(lines, start=1):
            if number == killed_after:
                time.sleep(self.kill_delay)  # or it would always be killed where the next transaction has just begun
                self._process.kill()
            if line.endswith("\n"):  # a kill may cut the last one short
                operation_id, _, text = line.rstrip("\n").partition(" ")
                yield operation_id, text
        ended = self._process.wait()
        if ended != 0 and killed_after is None:
            message = f"a caller ended by itself: {ended}"
            raise RuntimeError(message)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
