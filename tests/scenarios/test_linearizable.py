"""Whatever fails, PostgreSQL's answers are as if everything had been asked one after the other, in the ledger's order.

Clients in processes of their own ask for two hot tenants, and write down when they ask and what they hear. Meanwhile they are
killed and frozen, the server is stopped at once and started again, connections are cut, stalled, and keep their answers to
themselves. Afterwards `tests.linear` holds every answer against the pure kernel, replayed over the records alone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from psycopg import conninfo

from tests.linear import REFUSED, UNKNOWN, Asked, Report, check
from tests.postgres import Database, Server, running
from tests.proxy import Proxy, proxy
from tests.scenarios.linear_process import KEY, TENANTS, asked_as
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres.lane import RESOLVE_PAUSES_S
from weighbridge.storage.reading import LedgerReader

FAULTS, FAULTS_SOAK, ROUNDS_SOAK = 8, 12, 6
PROMISED, PROMISED_SOAK = 5, 50
THREADS, LANES = 5, 2
END_S_MAX = 120.0
REPOSITORY = Path(__file__).parents[2]
BEHIND = ("c1", "c2")  # the proxy; the others are connected directly
CLIENTS = ("c0", *BEHIND)
IN_A_RECORD = b'"evaluation_time"'
"""Bytes that go to the server with what is committed, and never otherwise."""


@dataclass
class Fault:
    """What was done, when, to whom, and on how much it had an effect: processes, connections, a server."""

    kind: str
    at_ns: int
    victims: tuple[str, ...]
    effect: int
    in_flight: int = 0

    def hit(self, history: list[Asked]) -> bool:
        """Return whether somebody whom it met was waiting for an answer, and the load went on afterwards."""
        self.in_flight = sum(one.client in self.victims and one.in_flight(self.at_ns) for one in history)
        went_on = any(one.answered_ns is not None and one.asked_ns > self.at_ns for one in history)
        return self.effect > 0 and self.in_flight > 0 and went_on


@dataclass
class Load:
    """Clients at work on one database, and what can be done to them."""

    server: Server
    database: Database
    between: Proxy
    folder: Path
    chance: random.Random
    freeze_s: float
    clients: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    thaws: list[tuple[float, subprocess.Popen[bytes]]] = field(default_factory=list)
    born: int = 0

    def begin(self, place: str) -> None:
        """Start a client in one of the places; a later one has another name."""
        self.born += 1
        client = f"{place}r{self.born}"
        dsn = self.database.dsn()
        if place in BEHIND:
            dsn = conninfo.make_conninfo(dsn, host="127.0.0.1", port=self.between.port)
        given = (dsn, client, str(THREADS), str(LANES), str(self.folder / client))
        command = [sys.executable, "-m", "tests.scenarios.linear_process", *given]
        self.clients[client] = subprocess.Popen(command, cwd=REPOSITORY)

    def wait_for_answers(self, clients: list[str]) -> None:
        """Wait until each of these was answered something."""
        until = time.monotonic() + END_S_MAX
        while not all((self.folder / one).exists() and b"told" in (self.folder / one).read_bytes() for one in clients):
            assert time.monotonic() < until, "a client was never answered"
            time.sleep(0.05)

    def at(self, *places: str) -> list[str]:
        return [one for one in self.clients if one.partition("r")[0] in places]

    def fault(self, kind: str) -> None:
        FAULT_KINDS[kind](self)
        self.thaw()

    def note(self, kind: str, at_ns: int, victims: list[str], effect: int) -> None:
        self.faults.append(Fault(kind, at_ns, tuple(victims), effect))

    def thaw(self, *, all_of_them: bool = False) -> None:
        for when, process in self.thaws[:]:
            if all_of_them or when <= time.monotonic():
                process.send_signal(signal.SIGCONT)
                self.thaws.remove((when, process))

    def end(self) -> None:
        """Let the clients come to an end: what is unknown to them is asked until it is known."""
        self.thaw(all_of_them=True)
        for process in self.clients.values():
            process.terminate()
        for client, process in self.clients.items():
            assert process.wait(END_S_MAX) == 0, f"{client} ended by itself"

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        self.between.hold()
        for process in self.clients.values():
            process.kill()
            process.wait()


def server_stopped(load: Load) -> None:
    at_ns, victims = time.monotonic_ns(), [*load.clients]
    load.server.crash()
    time.sleep(load.chance.uniform(0, 0.3))
    load.server.start()
    load.note("server stopped at once", at_ns, victims, effect=1)


def connections_ended(load: Load) -> None:
    sql = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = %s AND usename = 'app' AND pid <> pg_backend_pid()"
    )
    with closing(load.server.admin()) as admin:
        at_ns = time.monotonic_ns()
        ended = admin.execute(sql, (load.database.name,)).fetchall()
    load.note("connections ended by the server", at_ns, [*load.clients], sum(done for (done,) in ended))


def connections_cut(load: Load) -> None:
    at_ns = time.monotonic_ns()
    load.note("connections cut", at_ns, load.at(*BEHIND), load.between.cut())


def answers_kept(load: Load, *, unreachable_s: float = 0) -> None:
    """Every COMMIT arrives, no answer to it does, and then the connection is gone."""
    at_ns = time.monotonic_ns()
    load.between.hold(after=IN_A_RECORD)
    time.sleep(load.chance.uniform(0.1, 0.3))
    kept = load.between.deaf()
    if unreachable_s:
        load.between.hold("door", "client")
    load.between.cut()
    time.sleep(unreachable_s)
    load.between.hold()
    kind = "answers to COMMIT kept back" + (", then unreachable" if unreachable_s else "")
    load.note(kind, at_ns, load.at(*BEHIND), kept)


def server_unreachable(load: Load) -> None:
    """As before, for longer than a client tries to find out what became of its COMMIT."""
    answers_kept(load, unreachable_s=sum(RESOLVE_PAUSES_S) + 1)


def network_stalled(load: Load) -> None:
    """Nothing passes for longer than others wait for a lock, and then all of it does."""
    at_ns = time.monotonic_ns()
    met = load.between.hold("client", "server")
    time.sleep(load.freeze_s)
    load.between.hold()
    load.note("connections stalled", at_ns, load.at(*BEHIND), met)


def client_killed(load: Load) -> None:
    place = load.chance.choice(CLIENTS)
    (victim,) = load.at(place)
    process = load.clients[victim]
    process.send_signal(signal.SIGCONT)
    load.thaws = [(when, one) for when, one in load.thaws if one is not process]
    at_ns = time.monotonic_ns()
    process.kill()
    died = process.wait() == -signal.SIGKILL
    del load.clients[victim]
    load.note("client killed", at_ns, [victim], int(died))
    load.begin(place)
    load.wait_for_answers(load.at(place))


def client_frozen(load: Load) -> None:
    """It goes on later, maybe after the next fault, in the middle of whatever it was doing."""
    frozen = [process for _, process in load.thaws]
    victim = load.chance.choice([client for client, process in load.clients.items() if process not in frozen])
    process = load.clients[victim]
    at_ns = time.monotonic_ns()
    process.send_signal(signal.SIGSTOP)
    load.thaws.append((time.monotonic() + load.freeze_s, process))
    load.note("client frozen", at_ns, [victim], int(process.poll() is None))


FAULT_KINDS: dict[str, Callable[[Load], None]] = {
    "kept": answers_kept,
    "stopped": server_stopped,
    "frozen": client_frozen,
    "killed": client_killed,
    "cut": connections_cut,
    "ended": connections_ended,
    "stalled": network_stalled,
    "unreachable": server_unreachable,
}


@contextmanager
def load(server: Server, folder: Path, chance: random.Random, freeze_s: float) -> Iterator[Load]:
    """Give clients at work, each of which was answered already."""
    database = server.database()
    given = conninfo.conninfo_to_dict(server.address)
    with ExitStack() as held:
        held.callback(database.drop)
        with closing(database.store(entropy=lambda size: KEY[:size])) as store:
            assert {store.tenant_key(tenant) for tenant in TENANTS} == {KEY}
        between = held.enter_context(proxy(f"{given['host']}/.s.PGSQL.{given['port']}"))
        made = Load(server, database, between, folder, chance, freeze_s)
        held.callback(made.kill)
        for place in CLIENTS:
            made.begin(place)
        made.wait_for_answers([*made.clients])
        yield made


def history_of(folder: Path) -> list[Asked]:
    """Return everything that clients wrote down."""
    history: list[Asked] = []
    for path in sorted(folder.iterdir()):
        own: dict[tuple[str, int], Asked] = {}
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue  # a kill came between
            said = json.loads(line)
            if "ask" in said:
                key = (said["ask"], said["attempt"])
                own[key] = Asked(path.name, asked_as(said["ask"]), said["attempt"], said["at"])
            else:
                one = own[said["told"], said["attempt"]]
                one.answered_ns, one.said = said["at"], said["said"]
        history += own.values()
    return history


def checked(made: Load) -> tuple[Report, list[Asked]]:
    """Return what was found, after every row that stands beside the records was held against them, too."""
    history = history_of(made.folder)
    with closing(made.database.store(entropy=lambda size: KEY[:size])) as store:
        ledgers = {tenant: [*store.records(tenant)] for tenant in store.tenants()}
        report = check(history, ledgers)
        audit = verify_store(store)
        assert audit.ok, str(audit)
        for tenant, replayed in report.replayed.items():
            assert beside(store, tenant) == beside(replayed, tenant)
    return report, history


def beside(store: LedgerReader, tenant: str) -> list[object]:
    """Return every row of a tenant that is no record."""
    names = ("counters", "consumption", "identities", "blocked_proposals", "authorisations", "subjects", "contents")
    return [list(getattr(store, name)(tenant)) for name in names] + [store.families(tenant), store.head(tenant)]


def under_faults(
    server: Server, folder: Path, kinds: list[str], chance: random.Random, *, freeze_s: float
) -> tuple[Report, list[Fault]]:
    folder.mkdir()
    with load(server, folder, chance, freeze_s) as made:
        for kind in kinds:
            time.sleep(chance.uniform(0.2, 0.7))
            made.fault(kind)
        made.thaw(all_of_them=True)
        time.sleep(1)  # so that what comes after the last fault is seen as well
        made.end()
        report, history = checked(made)
        return report, [fault for fault in made.faults if fault.hit(history)]


def told(reports: list[Report], hits: list[Fault], kinds: list[str]) -> None:
    """Say what was exercised, so that a person sees it."""
    total: Counter[str] = Counter()
    for report in reports:
        total += report.counts
    by_kind = Counter(fault.kind for fault in hits)
    print(f"{len(hits)} of {len(kinds)} faults hit while clients were waiting for answers:")
    for kind, count in sorted(by_kind.items()):
        waiting = sum(fault.in_flight for fault in hits if fault.kind == kind)
        print(f"{count:8,} {kind} ({waiting} questions under way)")
    print(Report(total))


def require(report: Report) -> None:
    assert report.ok, str(report)
    # Otherwise nothing was tested.
    counts = report.counts
    assert counts["attempts recorded"] > 100
    assert counts["attempts replayed"]
    assert counts["attempts IdempotencyConflict"]
    assert counts["attempts head"]
    assert counts["reservations held against a cap"]
    assert counts[f"attempts {UNKNOWN}"], "no outcome was unknown"
    assert any(counts[f"attempts {code}"] for code in REFUSED), "nothing was refused"


@pytest.mark.slow
def test_answers_are_linearizable_under_faults(tmp_path):
    """G2, G3, B5, B6, L2, L3: of every kind of fault one, under load: no answer lost, none other than the kernel's, none late."""
    seed = int.from_bytes(os.urandom(4))
    kinds = [*FAULT_KINDS]
    assert len(kinds) == FAULTS
    print("seed", seed)
    with running() as server:
        report, hits = under_faults(server, tmp_path / "said", kinds, random.Random(seed), freeze_s=2.3)
    told([report], hits, kinds)
    require(report)
    assert len(hits) >= PROMISED


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")
def test_answers_are_linearizable_under_many_faults(tmp_path):
    """G2, G3, B5, B6, L2, L3: as above, with at least fifty faults, some of them longer than a transaction may stand still."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    chance = random.Random(seed)
    reports: list[Report] = []
    hits: list[Fault] = []
    kinds: list[str] = []
    with running() as server:
        for number in range(ROUNDS_SOAK):
            own = [*FAULT_KINDS, *chance.choices([*FAULT_KINDS], k=FAULTS_SOAK - len(FAULT_KINDS))]
            chance.shuffle(own)
            freeze_s = chance.choice((2.3, 4.0)) if number else 11.0
            report, hit = under_faults(server, tmp_path / f"said-{number}", own, chance, freeze_s=freeze_s)
            print("round", number, own, "pauses of", freeze_s, "s")
            require(report)
            reports, hits, kinds = [*reports, report], hits + hit, kinds + own
    told(reports, hits, kinds)
    assert len(hits) >= PROMISED_SOAK
    unknown = sum(report.counts[f"attempts {UNKNOWN}"] for report in reports)
    found = sum(report.counts[f"records of attempts that were {UNKNOWN}"] for report in reports)
    assert unknown >= found > 0  # COMMIT_UNKNOWN was the truth: it may be recorded, and was
