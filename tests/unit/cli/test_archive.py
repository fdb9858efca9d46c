from __future__ import annotations

import gzip
import hashlib
import json
import re
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest

from tests import samples
from tests.command_line import run
from tests.ledgers import CAPS, fill
from tests.postgres import APP, AUDITOR
from tests.sealing import NAME, address
from weighbridge import verify, wiring
from weighbridge.cli import archive as command
from weighbridge.domain.context import Role
from weighbridge.domain.plan import Verb
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, RecordArchived
from weighbridge.ledger import chain, record
from weighbridge.ledger.archive import Archived, State, is_stub
from weighbridge.ledger.merkle import tree_head
from weighbridge.storage.archives import ArchiveFile
from weighbridge.storage.audit import verify_tenant
from weighbridge.storage.reading import StoredRecord
from weighbridge.testing.store_contract_plans import mover, row_of
from weighbridge.testing.submissions import authorisation, completion, decision, draft, reservation, usage
from weighbridge.verifier.command import main as verifier

WHO = ("--by", "bob", "--reason", "it is old")
BOB = Principal(id="bob", role=Role.OPERATOR, person=True)


@pytest.fixture
def place(tmp_path, monkeypatch, database):
    """A PostgreSQL store with eight decisions, the third of which is a BLOCK; commands read it as the auditor."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", address(database, AUDITOR))
    with samples.weighbridge(address(database)) as wb:
        wb.gate(request("run-1"))
        wb.gate(request("run-2"))
        wb.gate(samples.blocked_context(validation_run_id="run-3"))
        for number in range(4, 9):
            wb.gate(request(f"run-{number}"))
    return database


def request(name, text=None):
    """Return a request whose content is its own."""
    proposal = samples.CONTEXT["proposal"] | {"arguments": {"renewal_id": "r-1", "text": text or name}}
    return samples.context(validation_run_id=name, account_id=f"account of {name}", proposal=proposal)


def archive(place, *words, out="a.jsonl"):
    return run("ledger", "archive", *WHO, "--store", address(place, "postgres"), "--out", out, *words)


def archived(place, *words, **given):
    ran = archive(place, *words, **given)
    assert ran.code == 0, ran.err
    return ran.lines[0]


def records(place):
    with closing(place.store()) as store:
        return {stored.seq: stored for stored in store.records("acme")}


def check(*words):
    ran = run("ledger", "verify", *words)
    return ran.code, ran.lines[0]


def test_records_move_to_a_file_and_the_ledger_still_verifies(place):
    """L1, L3: hashes stay, an event tells of it, the file verifies by itself, and with it everything does."""
    before = records(place)
    said = archived(place, "--through", "4")
    after = records(place)
    assert {seq for seq, stored in after.items() if is_stub(stored.body)} == {1, 2, 4}
    assert said["kept"] == [3]
    for seq, stored in before.items():
        assert after[seq][:3] == stored[:3]
    assert said["root"] == tree_head(stored.leaf_hash for seq, stored in sorted(before.items()) if seq <= 4).hex()
    assert said["sha256"] == hashlib.sha256(Path("a.jsonl").read_bytes()).hexdigest()
    event = json.loads(after[9].body)["events"][0]
    names = ("file", "first_seq", "last_seq", "root", "sha256", "kept")
    assert {name: event[name] for name in names} == {name: said[name] for name in names}
    assert (event["type"], event["detached"]) == ("LEDGER_ARCHIVED", 3)
    with Path("a.jsonl").open("rb") as file:
        report = verify.verify_export(file)
    assert (report.ok, report.first_seq, report.last_seq) == (True, 1, 4)
    code, line = check()
    assert (code, line["ok"], line["records"], line["not_recomputed_to"]) == (0, True, 9, 4)
    code, line = check("--archive", "a.jsonl")
    assert (code, line["ok"], line["records"], line["not_recomputed_to"]) == (0, True, 9, 0)


def test_verify_says_what_it_could_not_compute(place):
    """L3: plainly, and how to have it computed."""
    archived(place, "--through", "4")
    out = run("ledger", "verify", "--table").out
    assert "records 1 to 4 are archived in `a.jsonl` (sha256 " in out
    assert "not recomputed: what those records said; counters and consumption" in out
    assert "--archive FILE" in out
    assert "not recomputed" not in run("ledger", "verify", "--table", "--archive", "a.jsonl").out


def test_the_strangers_verifier_checks_an_archive(place, capsys):
    archived(place, "--through", "4")
    assert verifier(["export", "a.jsonl"]) == 0
    assert "1 to 4" in capsys.readouterr().out


def test_an_archive_follows_the_other(place):
    """A second one begins where the first ends; without one of them the check is of hashes, with both of everything."""
    archived(place, "--through", "2")
    said = archived(place, "--through", "9", out="b.jsonl.gz")
    assert (said["first_seq"], said["last_seq"], said["kept"]) == (3, 9, [3, 8, 9])
    assert gzip.decompress(Path("b.jsonl.gz").read_bytes()).startswith(b'{"after_hash"')
    assert check("--archive", "b.jsonl.gz")[1]["not_recomputed_to"] == 2
    assert check("--archive", "a.jsonl")[1]["not_recomputed_to"] == 7
    code, line = check("--archive", "a.jsonl", "--archive", "b.jsonl.gz")
    assert (code, line["not_recomputed_to"]) == (0, 0)
    assert [one["seq"] for one in line["archives"]] == [9, 10]


def test_before_a_time(place):
    """What was judged before a time, up to the first record that was not."""
    with samples.weighbridge(address(place), clock=samples.Clock(samples.NOW_MS + 86_400_000)) as wb:
        wb.gate(samples.context(validation_run_id="tomorrow"))
    assert archived(place, "--before", "2026-11-23")["last_seq"] == 8
    ran = archive(place, "--before", "2026-11-23", out="b.jsonl")
    assert (ran.code, ran.out) == (2, "")
    assert "records up to 8 are archived" in ran.err


# --- found ------------------------------------------------------------------------------------------------------------


def flip(at):
    data = bytearray(Path("a.jsonl").read_bytes())
    data[at] ^= 1
    Path("a.jsonl").write_bytes(data)


def tamper(place, *statements):
    """Change rows as one who owns the machine can: with the triggers off."""
    with closing(place.owner()) as owner:
        owner.execute("SET search_path = weighbridge")
        guards = owner.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
        ).fetchall()
        for table, name in guards:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        for statement in statements:
            assert owner.execute(statement).rowcount == 1
        for table, name in guards:
            owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def test_any_flipped_byte_of_an_archive_is_found(place):
    """L3: in a body, in a hash, in the frame, anywhere: named by the record where there is one."""
    archived(place, "--through", "4")
    whole = Path("a.jsonl").read_bytes()
    for at in range(0, len(whole), 61):
        flip(at)
        ran = run("ledger", "verify", "--archive", "a.jsonl")
        assert ran.code in {2, 4}, at  # 2: it is no archive any more
        Path("a.jsonl").write_bytes(whole)
    at = whole.index(b"account of run-2")
    flip(at)
    code, line = check("--archive", "a.jsonl")
    assert code == 4
    assert line["faults"][0] == {
        "seq": 2,
        "part": "chain",
        "message": "the body of record 2 does not match its leaf hash",
    }
    assert any("is not the file that record 9 names" in fault["message"] for fault in line["faults"])


def test_a_cut_archive_is_found(place):
    """L3: the first record that is missing is named."""
    archived(place, "--through", "4")
    lines = Path("a.jsonl").read_bytes().splitlines(keepends=True)
    Path("a.jsonl").write_bytes(b"".join(lines[:3]))
    code, line = check("--archive", "a.jsonl")
    assert code == 4
    assert any("sha256" in fault["message"] for fault in line["faults"])


@pytest.mark.parametrize("with_archive", [False, True])
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE ledger SET leaf_hash = decode(repeat('00', 32), 'hex') WHERE seq = 2",
            "record 2 does not continue record 1",
        ),
        (
            "UPDATE ledger SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 2",
            "record 2 does not continue record 1",
        ),
        ("DELETE FROM ledger WHERE seq = 2", "record 2 is missing"),
    ],
)
def test_a_changed_row_of_an_archived_record_is_found(place, statement, words, with_archive):
    """L3: with the archive and without it."""
    archived(place, "--through", "4")
    tamper(place, statement)
    code, line = check(*(("--archive", "a.jsonl") if with_archive else ()))
    assert code == 4
    changed_leaf = "the body of record 2 does not match its leaf hash"  # with the body at hand, that is what shows
    assert words in line["faults"][0]["message"] or (with_archive and line["faults"][0]["message"] == changed_leaf)
    assert line["faults"][0]["seq"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('last_seq":4', 'last_seq":5'), "no record says that it was archived like that"),
        (('first_seq":1', 'first_seq":2'), "no record says that it was archived like that"),
        (('last_seq":4', 'last_seq":1'), "to an archive that it is not in"),
        (("a.jsonl", "b.jsonl"), "no record says that it was archived like that"),
    ],
)
def test_a_stub_that_says_something_else_is_found(place, change, words):
    """L3: what stands in place of a body counts only as the event says it."""
    archived(place, "--through", "4")
    stub = records(place)[2].body.decode()
    tamper(place, f"UPDATE ledger SET body = '{stub.replace(*change)}' WHERE seq = 2")
    code, line = check()
    assert code == 4
    assert any(fault["seq"] == 2 and words in fault["message"] for fault in line["faults"])


def test_a_body_that_is_gone_without_an_archive_is_found(place):
    """L3: the owner's machine can remove a body; that nobody archived it shows."""
    archived(place, "--through", "4")
    stub = records(place)[2].body.decode()
    for body, words in (
        (stub, "that it is not in"),
        (stub.replace('last_seq":4', 'last_seq":6'), "no record says"),
        ("", "leaf hash"),
    ):
        kept = records(place)[6].body
        tamper(place, f"UPDATE ledger SET body = '{body}' WHERE seq = 6")
        code, line = check()
        assert code == 4
        assert any(fault["seq"] == 6 and words in fault["message"] for fault in line["faults"]), line
        tamper(place, f"UPDATE ledger SET body = '\\x{kept.hex()}' WHERE seq = 6")


def test_an_event_with_another_range_is_found(place):
    """L3: an event that was changed breaks the chain as any record does."""
    archived(place, "--through", "4")
    body = records(place)[9].body.replace(b'"last_seq":4', b'"last_seq":3')
    tamper(place, f"UPDATE ledger SET body = '\\x{body.hex()}' WHERE seq = 9")
    code, line = check()
    assert code == 4
    assert any(fault["message"] == "the body of record 9 does not match its leaf hash" for fault in line["faults"])


def test_a_range_that_was_computed_anew_does_not_have_the_root(place):
    """L3: event, stubs, leaf, hash and head changed to fit each other: range and root belong together."""
    archived(place, "--through", "4")
    now = records(place)
    body = now[9].body.replace(b'"last_seq":4', b'"last_seq":3').replace(b'"detached":3', b'"detached":2')
    leaf = chain.leaf_hash(body)
    hash_ = chain.link(now[8].hash, 9, leaf).hex()
    stub = now[2].body.replace(b'"last_seq":4', b'"last_seq":3').decode()
    file = Path("a.jsonl").read_bytes().splitlines()[4]
    tamper(
        place,
        f"UPDATE ledger SET body = '\\x{body.hex()}', leaf_hash = '\\x{leaf.hex()}', hash = '\\x{hash_}' WHERE seq = 9",
        f"UPDATE ledger_head SET hash = '\\x{hash_}' WHERE seq = 9",
        *(f"UPDATE ledger SET body = '{stub}' WHERE seq = {seq}" for seq in (1, 2)),
        "UPDATE ledger SET body = '\\x{}' WHERE seq = 4".format(json.loads(file)["body"].encode().hex()),
    )
    code, line = check()
    assert code == 4
    assert [fault["message"] for fault in line["faults"]] == ["records 1 to 3 are not those that record 9 archived"]


def test_rows_after_the_archive_are_still_checked_without_it(place):
    """L3: what later records left is compared all the same; what earlier ones left, with the archive."""
    archived(place, "--through", "4")
    tamper(place, "UPDATE identity SET request_hash = 'x' WHERE id = 'run-7'")
    assert check()[1]["faults"][0]["message"].startswith("identity run `run-7` is not what record 7")
    tamper(
        place, "UPDATE identity SET request_hash = 'x' WHERE id = 'run-1'", "DELETE FROM identity WHERE id = 'run-7'"
    )
    assert [fault["seq"] for fault in check()[1]["faults"]] == [7, None]
    assert [fault["seq"] for fault in check("--archive", "a.jsonl")[1]["faults"]] == [1, 7]


def test_the_wrong_file_is_told(place):
    archived(place, "--through", "4")
    run("ledger", "export", "--after", "5", "--out", "other.jsonl")
    code, line = check("--archive", "other.jsonl")
    assert code == 4
    assert "begins with record 6, where no archive on record does" in line["faults"][0]["message"]
    Path("none.jsonl").write_text("{}")
    for name in ("none.jsonl", "missing.jsonl"):
        assert run("ledger", "verify", "--archive", name).code == 2
    assert run("ledger", "verify", "a.jsonl", "--archive", "a.jsonl").code == 2


# --- what stands on it ------------------------------------------------------------------------------------------------


def test_an_id_that_leads_to_the_archive_is_never_judged_again(place):
    """G3: the same request is told where its answer is, another one that it conflicts; nothing is recorded."""
    archived(place, "--through", "4")
    with samples.weighbridge(address(place)) as wb:
        with pytest.raises(
            RecordArchived, match=r"records 1 to 4, which are archived in `a.jsonl` \(sha256 [0-9a-f]{64}\)"
        ):
            wb.gate(request("run-1"))
        with pytest.raises(IdempotencyConflict):
            wb.gate(request("run-1", "another"))
        assert wb.gate(request("run-5")).replayed
    assert len(records(place)) == 9


def test_what_is_open_goes_on(database, tmp_path, monkeypatch):
    """G8, G10, B7: an open operation ends, use is reported and settled, a blocked proposal is authorised and asked again."""
    monkeypatch.chdir(tmp_path)
    with samples.weighbridge(address(database)) as wb:
        wb.gate(samples.context(validation_run_id="first"))
    with closing(database.store()) as store:
        fill(store)
        waiting = reservation("op-3", CAPS, amounts={"operations": 1, "tokens": 5})
        store.commit(waiting)
        store.commit(completion("op-3"))
        last = store.head("acme").seq
    with samples.weighbridge(address(database)) as wb:
        wb.gate(samples.context(validation_run_id="last"))
    said = archived(database, "--through", str(last))
    assert 1 < len(said["kept"]) < last
    with closing(database.store()) as store:
        assert store.commit(waiting).replayed
        assert store.commit(usage("op-3", {"tokens": 1})).seq == last + 3
        assert store.commit(completion("op-2")).seq == last + 4
        blocked = draft("run-2", verdict=Verdict.BLOCK)
        assert store.commit(authorisation(blocked)).replayed
        allowed = decision(draft("run-2b", request="run-2", proposal="run-2"))
        assert b"retry_authorised_by" in store.commit(allowed).body
        assert store.commit(completion("op-1")).replayed
        checked = verify_tenant(store, "acme")
        assert (checked.ok, checked.archived_to > 0) == (True, True), checked
        with closing(ArchiveFile(Path("a.jsonl"))) as file:
            checked = verify_tenant(store, "acme", archives=[file])
        assert (checked.ok, checked.archived_to) == (True, 0), checked


def test_a_blocked_run_can_be_authorised_after_it_was_archived(place):
    """G8: the latest block of a proposal stays readable."""
    archived(place, "--through", "8")
    with wiring.open_acts(address(place)) as (acts, _):
        assert acts.authorise_retry("acme", "run-3", BOB, "checked", "2030-01-01T00:00:00Z") == 10


def test_stories_say_where_the_rest_is(place):
    """L4: the archive and its hash; with the file at hand, the story."""
    archived(place, "--through", "4")
    out = run("why", "run-1", "--table").out
    assert re.search(r"records of it are archived in `a\.jsonl` \(sha256 [0-9a-f]{64}\)", out)
    (line,) = run("why", "run-1").lines
    assert (line["verdict"], line["archived"][0]["file"]) == (None, "a.jsonl")
    (line,) = run("why", "run-1", "--archive", "a.jsonl").lines
    assert (line["verdict"], line["archived"]) == ("ALLOW", [])
    assert "archived in `a.jsonl`" in run("ledger", "tail", "--table").out
    assert run("ledger", "tail").lines[0]["record"]["archived"]["file"] == "a.jsonl"
    assert run("ledger", "show", "2").lines[0]["record"]["archived"]["last_seq"] == 4
    ran = run("ledger", "show", "2", "--table")
    assert (ran.code, "RECORD_ARCHIVED" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "words", [("ledger", "export"), ("ledger", "export", "--out", "x.zip"), ("replay", "--all"), ("replay", "run-1")]
)
def test_what_needs_the_bodies_says_where_they_are(place, words):
    archived(place, "--through", "4")
    ran = run(*words)
    assert ran.code == 2
    assert "archived in `a.jsonl`" in ran.err


def test_what_stands_after_the_archive_is_exported_as_ever(place):
    archived(place, "--through", "4")
    assert run("ledger", "export", "--after", "4", "--out", "x.jsonl").code == 0
    assert run("ledger", "verify", "x.jsonl").code == 0


def test_content_of_archived_records_is_erased_with_the_archive(place):
    """L6: the archive holds no content; which content is whose stands in it."""
    archived(place, "--through", "4")
    words = ("content", "erase", "--subject", "account of run-1", "--store", address(place))
    assert "archived in `a.jsonl`" in run(*words).err
    ran = run(*words, "--archive", "a.jsonl", "--yes", *WHO)
    assert ran.code == 0, ran.err
    assert ran.lines[-1]["erase"] > 0
    assert check("--archive", "a.jsonl")[0] == 0
    assert check()[0] == 0


def test_seals_hold_and_go_on(place):
    """L3: a checkpoint from before verifies after, and so does one that is made from the hashes alone."""
    Path("w").mkdir()
    run("keys", "create", NAME)
    assert run("ledger", "seal", "--to", "w", "--begin").code == 0
    archived(place, "--through", "4")
    assert check("--checkpoint", "w")[0] == 0
    assert check("--checkpoint", "w", "--archive", "a.jsonl")[0] == 0
    Path("v").mkdir()
    assert run("ledger", "seal", "--to", "v", "--begin").code == 0
    assert run("ledger", "seal", "--to", "w").code == 0
    assert check("--checkpoint", "v")[0] == 0
    newest = str(max(Path("v").iterdir()))
    assert run("ledger", "prove", "run-6", "--checkpoint", newest).code == 0
    assert "archived in" in run("ledger", "prove", "run-1", "--checkpoint", newest).err


def test_an_archived_ledger_moves(place):
    """A copy carries the stubs along, and verifies with the archive as before."""
    archived(place, "--through", "4")
    assert run("db", "copy", address(place, AUDITOR), "to.db").code == 0
    assert check("--store", "to.db", "--archive", "a.jsonl") == check("--archive", "a.jsonl")


# --- who, and in which order ------------------------------------------------------------------------------------------


def test_only_the_owner_archives(place):
    """Z3: neither by command nor with raw SQL."""
    for user in (APP, AUDITOR):
        ran = run("ledger", "archive", *WHO, "--store", address(place, user), "--out", "x.jsonl", "--through", "4")
        assert (ran.code, "weighbridge_owner" in ran.err) == (1, True)
    archived(place, "--through", "4")
    stub = records(place)[2].body.decode()
    with closing(place.connect(APP)) as runtime:
        runtime.execute("SELECT set_config('weighbridge.tenants', '{\"acme\": 0}', false)")
        for change in (f"body = '{stub}'", "body = ''", "body = body"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                runtime.execute(f"UPDATE weighbridge.ledger SET {change} WHERE seq = 3")
    assert check()[0] == 0


def test_the_owner_cannot_remove_a_body_that_no_event_archived(place):
    """L1: a slip of the owner's hand is stopped: no event, a record outside the range, another record, twice."""
    archived(place, "--through", "4")
    kept = records(place)
    stub = kept[2].body.decode()
    other_record, other_file = stub.replace('"seq":9', '"seq":8'), stub.replace("a.jsonl", "b.jsonl")
    with closing(place.owner()) as owner:
        owner.execute("SET ROLE weighbridge_owner")
        owner.execute("SELECT set_config('weighbridge.tenants', '{\"acme\": 0}', false)")
        for change in (
            f"body = '{stub}' WHERE seq = 6",
            f"body = '{stub}' WHERE seq = 2",
            "body = '' WHERE seq = 3",
            "body = '{\"archived\":{}}' WHERE seq = 3",
            f"body = '{other_record}' WHERE seq = 3",
            f"body = '{other_file}' WHERE seq = 3",
            f"body = '{stub}', hash = leaf_hash WHERE seq = 3",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                owner.execute(f"UPDATE weighbridge.ledger SET {change}")
    assert records(place) == kept


def test_what_is_interrupted_before_the_event_changes_nothing(place, monkeypatch):
    """The file is whole and verified before the ledger changes; a file that is there is never overwritten."""
    before = records(place)
    with monkeypatch.context() as broken:
        broken.setattr("weighbridge.storage.postgres.owner._appended", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            archive(place, "--through", "4")
    assert records(place) == before
    with Path("a.jsonl").open("rb") as file:
        assert verify.verify_export(file).ok
    ran = archive(place, "--through", "4")
    assert (ran.code, "is there already" in ran.err) == (2, True)


def test_a_file_that_the_disk_changed_detaches_nothing(place, monkeypatch):
    """The file is read back from the disk before anything is removed."""
    before = records(place)
    real = command._write

    def damaged(out, *given):
        real(out, *given)
        flip(Path("a.jsonl").read_bytes().index(b"account of run-2"))

    monkeypatch.setattr(command, "_write", damaged)
    ran = archive(place, "--through", "4")
    assert (ran.code, "does not hold what was written to it" in ran.err) == (4, True)
    assert records(place) == before


def test_a_ledger_that_does_not_verify_is_not_archived(place):
    """L3: nothing is moved out of a ledger that is not what was written."""
    tamper(place, "UPDATE ledger SET leaf_hash = decode(repeat('00', 32), 'hex') WHERE seq = 2")
    ran = archive(place, "--through", "4")
    assert (ran.code, "nothing was archived" in ran.err) == (4, True)
    assert not Path("a.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say how far"),
        (("--through", "4", "--before", "2026-11-23"), "say how far"),
        (("--through", "400"), "has no record 400"),
        (("--before", "2020-01-01"), "there are no records before"),
        (("--before", "soon"), "`soon` is no time"),
        (("--through", "4", "--out", "x.zip"), "a .jsonl or a .jsonl.gz"),
        (("--through", "4", "--reason", " "), "a person and a reason"),
        (("--through", "4", "--store", "s.db"), "db copy"),
        (("--through", "4", "--tenant", "nobody"), "nobody"),
    ],
)
def test_bad_input_says_what_to_do(place, words, said):
    ran = archive(place, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert not list(Path().glob("*.jsonl*"))


def test_a_record_says_itself_where_it_is(place):
    archived(place, "--through", "4")
    stored: StoredRecord = records(place)[1]
    assert json.loads(stored.body)["archived"]["seq"] == 9


# --- by whom an archive is told ---------------------------------------------------------------------------------------


def forged(place, *, stub_first, **said):
    """Return an archive of everything that continues the chain, as one who may append would write it: rows of the ledger."""
    now = records(place)
    last, hash_, rows = len(now), now[len(now)].hash, []
    leaves = [stored.leaf_hash for _, stored in sorted(now.items())]
    if stub_first:
        leaves.append(bytes(32))
        last += 1
    with closing(place.store()) as store:
        head = store.head("acme")
    state = State(last, "00" * 32, "enforcement", (), head.last_time_ms, head.policy_version, head.zones)
    made = Archived("x.jsonl", 1, last, tree_head(leaves).hex(), last + 1, "11" * 32)
    if stub_first:
        hash_ = chain.link(hash_, last, bytes(32))
        rows.append((last, bytes(32), hash_, made.stub))
    event = {"type": "LEDGER_ARCHIVED", "kept": [], "state": msgspec.to_builtins(state), "detached": last}
    event |= {name: getattr(made, name) for name in ("file", "first_seq", "last_seq", "root", "sha256")} | said
    body = record.encode("acme", last + 1, json.loads(now[len(now)].body)["common"], [event])
    leaf = chain.leaf_hash(body)
    return [*rows, (last + 1, leaf, chain.link(hash_, last + 1, leaf), body)]


def append(connection, rows):
    with connection.transaction():
        connection.execute("SELECT set_config('weighbridge.tenants', '{\"acme\": 0}', true)")
        for row in rows:
            connection.execute("INSERT INTO weighbridge.ledger VALUES ('acme', %s, %s, %s, %s)", row)
        seq, _, hash_, _ = rows[-1]
        connection.execute("UPDATE weighbridge.ledger_head SET seq = %s, hash = %s WHERE tenant = 'acme'", (seq, hash_))


NAME_ESCAPED = rb'"\u004cEDGER_ARCHIVED"'
WAYS_TO_TELL = {
    "as it is": lambda body: body,
    "escaped": lambda body: body.replace(b'"LEDGER_ARCHIVED"', NAME_ESCAPED),
    "escaped, with a NUL elsewhere": lambda body: body.replace(b'"LEDGER_ARCHIVED"', NAME_ESCAPED).replace(
        b'"x.jsonl"', rb'"x\u0000\\u0000.jsonl"'
    ),
    "with a name said twice": lambda body: body.replace(b'"type":', b'"type":"X","type":'),
}


@pytest.mark.parametrize("how", WAYS_TO_TELL)
def test_the_runtime_cannot_say_that_anything_was_archived(place, how):
    """L1, L3, Z3: however it writes the name; a check would otherwise take every body for archived."""
    (row,) = forged(place, stub_first=False)
    body = WAYS_TO_TELL[how](row[3])
    assert record.decode(body).events[0]["type"] == "LEDGER_ARCHIVED"
    with closing(place.connect(APP)) as runtime:
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="only the owner archives"):
            append(runtime, [(row[0], chain.leaf_hash(body), row[2], body)])
        # What only names it is a record like any other: one that no kernel decided, which other checks are for.
        other = body.replace(b'"type":"LEDGER_ARCHIVED"', rb'"type":"X","said":"LEDGER_ARCHIVED \u0000 \\u0000"')
        append(runtime, [(row[0], chain.leaf_hash(other), row[2], other)]) if how == "as it is" else None


def test_the_runtime_cannot_append_what_stands_for_a_body(place):
    """L1, L3, Z3: a stub without a body before it would blind a check to everything before."""
    stub, _ = forged(place, stub_first=True)
    with closing(place.connect(APP)) as runtime:
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="only the owner archives"):
            append(runtime, [stub])
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="only the owner archives"):
            append(runtime, [(*stub[:3], b'{"archived":')])
    assert check() == (0, check()[1])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "record 9 says that the body of record 1 was archived, and it was not"),
        ({"kept": [*range(1, 9)]}, "that every body of them stayed"),
        ({"kept": [1, 9]}, "bodies stayed which it did not archive"),
        ({"last_seq": 9}, "which cannot be"),
        ({"first_seq": 2}, "which cannot be"),
        ({"kept": None}, "does not say what it archived"),
        ({"state": {}}, "does not say what it archived"),
    ],
)
def test_an_archive_that_took_nothing_away_is_found(place, said, words):
    """L3: whoever wrote it; in a file that may be anybody who can write it."""
    with closing(place.owner()) as owner:
        append(owner, forged(place, stub_first=False, **said))
    code, line = check()
    assert code == 4
    assert any(words in fault["message"] for fault in line["faults"]), line


@pytest.mark.parametrize("seq", [7, 9])
def test_what_says_of_another_state_than_that_in_between_is_found(place, seq):
    """L3: what the ledger held is said of a record between the archived ones and the one that says it."""
    (row,) = forged(place, stub_first=False)
    state = json.loads(row[3])["events"][0]["state"]
    with closing(place.owner()) as owner:
        append(owner, forged(place, stub_first=False, state=state | {"seq": seq}))
    assert any("which cannot be" in fault["message"] for fault in check()[1]["faults"])


def test_archives_have_no_gap(place):
    """L3: the second begins where the first ends, or a range could be archived without a word."""
    archived(place, "--through", "2")
    with closing(place.owner()) as owner:
        append(owner, forged(place, stub_first=False, first_seq=4))
    faults = check()[1]["faults"]
    assert any("records 4 to 9 were archived, which cannot be" in fault["message"] for fault in faults)


def test_an_archive_is_not_told_by_an_archived_record(place):
    """L3: what tells of an archive stays readable; where it does not, nothing says that anything was archived."""
    archived(place, "--through", "4")
    now = records(place)
    stub = now[2].body.decode()
    tamper(place, f"UPDATE ledger SET body = '{stub}' WHERE seq = 9")
    assert any("no record says" in fault["message"] for fault in check()[1]["faults"])


@pytest.mark.parametrize("with_archive", [False, True])
def test_a_kept_body_that_goes_is_found(place, with_archive):
    """L3: the event says which stayed; the trigger stops the owner, the check finds whoever switched that off."""
    archived(place, "--through", "4")
    stub = records(place)[2].body.decode()
    with closing(place.owner()) as owner, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        owner.execute(f"UPDATE weighbridge.ledger SET body = '{stub}' WHERE seq = 3")
    tamper(place, f"UPDATE ledger SET body = '{stub}' WHERE seq = 3")
    code, line = check(*(("--archive", "a.jsonl") if with_archive else ()))
    assert code == 4
    assert line["faults"][0]["message"] == "the body of record 3 is gone, and record 9 says that it stayed"


def test_an_archived_body_that_came_back_is_found(place):
    """L3: what is here and not listed was not archived."""
    before = records(place)
    archived(place, "--through", "4")
    tamper(place, f"UPDATE ledger SET body = '\\x{before[2].body.hex()}' WHERE seq = 2")
    (fault,) = check()[1]["faults"]
    assert fault["message"] == "record 9 says that the body of record 2 was archived, and it was not"


# --- what can be checked without the file -----------------------------------------------------------------------------

LEFT = {
    "every content erased": "UPDATE content SET body = NULL",
    "a content of a later record erased": "UPDATE content SET body = NULL WHERE hash = '{later}'",
    "a content of an archived record erased": "UPDATE content SET body = NULL WHERE hash = '{earlier}'",
    "a content of a later record away": "DELETE FROM content WHERE hash = '{later}'",
    "an id invented": "INSERT INTO identity VALUES ('acme', 'run', 'never', 'x', 2, NULL)",
    "an id bound to another request": "UPDATE identity SET request_hash = 'x' WHERE id = 'run-1'",
    "an id bound to another record": "UPDATE identity SET seq = 1 WHERE id = 'run-2'",
    "an id away": "DELETE FROM identity WHERE id = 'run-1'",
    "an operation that ended": "UPDATE identity SET state = 'FAILED' WHERE kind = 'op'",
    "a subject invented": "INSERT INTO subject VALUES ('acme', 'plan', 'p-9', 1)",
    "a subject away": "DELETE FROM subject WHERE id = 'account of run-1'",
    "a later time": "UPDATE ledger_head SET last_time_ms = last_time_ms + 1",
    "an earlier time": "UPDATE ledger_head SET last_time_ms = last_time_ms - 1",
    "another policy": "UPDATE ledger_head SET policy_version = 'x'",
    "other zones": "UPDATE ledger_head SET zones = '[[0,\"Asia/Tokyo\"]]'",
    "another block": "UPDATE blocked_proposal SET inputs_hash = 'x'",
    "a block of an archived record": "INSERT INTO blocked_proposal VALUES ('acme', 'X', 'p', 'run-1', 'i', 'v', 1)",
    "an authorisation": "INSERT INTO retry_authorisation VALUES ('acme', 'X', 'p', 'i', 1, 'bob', 2)",
    "a family away": "DELETE FROM counter_family",
    "a family more": "INSERT INTO counter_family VALUES ('acme', 'tokens day any')",
    "another purpose": "UPDATE meta SET value = 'evaluation' WHERE key = 'purpose'",
}


@pytest.mark.parametrize("what", LEFT)
def test_what_archived_records_left_is_checked_without_the_file(place, what):
    """L3, L6: what the event says of the ledger, what stayed, and what later records say, hold every row but the sums."""
    if "family" in what or "operation" in what:
        with closing(place.store()) as store:
            fill(store, prefix="f-")
        with samples.weighbridge(address(place)) as wb:
            wb.gate(request("run-f"))
    before = records(place)
    archived(place, "--through", "4")
    with samples.weighbridge(address(place)) as wb:
        wb.gate(request("run-9"))
    assert check()[0] == 0
    now = records(place)
    names = {"later": own_content(now, len(now)), "earlier": own_content(before, 2)}
    tamper_all(place, LEFT[what].format(**names))
    assert check()[0] == 4, what


def own_content(stored, seq):
    """Return a content hash that no other record here names."""
    others = b"".join(one.body for number, one in stored.items() if number != seq)
    texts = re.findall(rb'"content":\{[^}]*\}', stored[seq].body)
    return next(found.decode() for text in texts for found in re.findall(rb"[0-9a-f]{64}", text) if found not in others)


def tamper_all(place, *statements):
    with closing(place.owner()) as owner:
        owner.execute("SET search_path = weighbridge")
        owner.execute("SET session_replication_role = replica")
        guards = owner.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
        ).fetchall()
        for table, name in guards:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        for statement in statements:
            assert owner.execute(statement).rowcount >= 1
        for table, name in guards:
            owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def test_what_was_erased_before_is_known_without_the_file(database, tmp_path, monkeypatch):
    """L6: the record of an erasure keeps its body; content that is gone without one shows, also that of archived records."""
    monkeypatch.chdir(tmp_path)
    with closing(database.store()) as store:
        fill(store)
    with samples.weighbridge(address(database)) as wb:
        wb.gate(samples.context(validation_run_id="first"))
    assert 11 in archived(database, "--through", "12")["kept"]
    with closing(database.store()) as store:
        assert verify_tenant(store, "acme").ok
    tamper(database, "UPDATE content SET body = 'back' WHERE body IS NULL")
    with closing(database.store()) as store:
        (fault,) = verify_tenant(store, "acme").faults
    assert "was erased by record 11, but is there" in fault.message


PLANS = {
    "a living one": "UPDATE plan SET status = 'APPROVED', revision = 9 WHERE plan_id = 'p-1'",
    "a living one ended": "UPDATE plan SET status = 'ABORTED' WHERE plan_id = 'p-1'",
    "an ended one": "UPDATE plan SET risk = 'HIGH' WHERE plan_id = 'p-2'",
    "an ended one alive": "UPDATE plan SET status = 'ACTIVE' WHERE plan_id = 'p-2'",
    "one that ended later": "UPDATE plan SET risk = 'HIGH' WHERE plan_id = 'p-3'",
    "an ended one away": "DELETE FROM plan WHERE plan_id = 'p-2'",
    "a living one away": "DELETE FROM plan WHERE plan_id = 'p-1'",
}


def test_plans_are_checked_without_the_file(place):
    """H1, L3: a plan that lived when it was archived by its records, which stayed; one that had ended by the digest."""
    with closing(place.store()) as store:
        living, ended, later = (mover(store, name) for name in ("p-1", "p-2", "p-3"))
        for moves in (living, ended, later):
            store.commit(moves.create())  # 9, 10, 11
        store.commit(living.act(Verb.SUBMIT, row_of(store, "p-1")))
        store.commit(ended.act(Verb.ABORT))
    with samples.weighbridge(address(place), clock=samples.Clock(samples.NOW_MS + 864_000_000)) as wb:
        wb.gate(request("run-14"))
    assert {9, 11, 12} <= set(archived(place, "--through", "13")["kept"])
    with closing(place.store()) as store:
        store.commit(later.act(Verb.ABORT))
        store.commit(reservation("op-1", CAPS[:1]))  # blocked, because the clock stepped back: nothing open
    with samples.weighbridge(address(place), clock=samples.Clock(samples.NOW_MS + 864_000_000)) as wb:
        wb.gate(request("run-18"))
    assert check()[0] == 0
    last = max(records(place))
    said = archived(place, "--through", str(last), out="b.jsonl")
    assert {16} <= set(said["kept"])  # how p-3 ended, because how it began stayed
    assert check()[0] == 0
    assert check("--archive", "a.jsonl", "--archive", "b.jsonl")[0] == 0
    with closing(place.owner()) as owner:
        owner.execute("CREATE TABLE plan_before AS SELECT * FROM weighbridge.plan")
    for what, statement in PLANS.items():
        tamper(place, statement)
        assert check()[0] == 4, what
        tamper_all(place, "DELETE FROM plan", "INSERT INTO plan SELECT * FROM public.plan_before")
        assert check()[0] == 0, what


# --- other readers ----------------------------------------------------------------------------------------------------


def test_sums_are_added_up_with_the_archive_or_not_at_all(database, tmp_path, monkeypatch):
    """L3, B14: no false alarm: without the bodies nothing adds up, and that is what is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", address(database, AUDITOR))
    with closing(database.store()) as store:
        fill(store)
    with samples.weighbridge(address(database)) as wb:
        wb.gate(samples.context(validation_run_id="first"))
    archived(database, "--through", "12")
    Path("p.yaml").write_text(POLICY)
    for words in (
        ("budget", "reconcile"),
        ("budget", "simulate", "p.yaml"),
        ("budget", "forecast", "--at", "2026-11-22", "--policy", "p.yaml"),
    ):
        needs_the_archive(words)
    tamper_all(database, "UPDATE counter SET reserved = reserved + 1")
    assert run("budget", "reconcile").code == 2
    assert run("budget", "reconcile", "--archive", "a.jsonl").code == 4


@pytest.mark.parametrize("words", [("replay", "--all"), ("ledger", "export"), ("ledger", "export", "--out", "x.zip")])
def test_what_needs_every_body_takes_the_archive(place, words):
    """G4, L4: with it as before, without it a sentence that says what to do."""
    archived(place, "--through", "4")
    needs_the_archive(words)


def needs_the_archive(words):
    ran = run(*words)
    assert ran.code == 2, words
    assert "RECORD_ARCHIVED" in ran.err, words
    assert "hand in every archive with --archive FILE" in ran.err, words
    ran = run(*words, "--archive", "a.jsonl")
    assert ran.code == 0, (words, ran.err)


POLICY = """
weighbridge: 1
name: tried
budgets: {caps: [{id: day, hard_cap: 9/day}]}
"""
