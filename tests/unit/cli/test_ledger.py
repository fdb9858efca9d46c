from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import sqlite3
import threading
import time

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import asked, policy, spend
from weighbridge.cli import ledger as cli_ledger
from weighbridge.cli.stores import reading
from weighbridge.scopes import scope


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    with samples.weighbridge(path) as wb:
        for number in range(3):
            wb.gate(samples.context(validation_run_id=f"run-{number}", account_id=f"a-{number}"))
        wb.gate(samples.blocked_context(validation_run_id="run-blocked"))
    return path


def edit(store, statement):
    """Change the file as somebody would who owns it: the guards off, the change, the guards on again."""
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(statement)
        for _, sql in guards:
            connection.execute(sql)


def test_a_ledger_that_is_what_was_written_verifies(store):
    """L3: and the answer says what it does not show."""
    ran = run("ledger", "verify", "--store", store, "--table")
    assert ran.code == 0
    assert "tenant acme: 4 records verify" in ran.out
    assert "an end that was cut off, an old copy put back, or everything computed anew" in ran.out.replace("\n", " ")
    (line,) = run("ledger", "verify", "--store", store).lines
    assert (line["tenant_id"], line["ok"], line["records"], line["faults"]) == ("acme", True, 4, [])


def test_an_edited_record_is_named(store):
    """L3: the first bad record by its number."""
    edit(store, "UPDATE ledger SET body = CAST(replace(CAST(body AS TEXT), 'BLOCK', 'ALLOW') AS BLOB) WHERE seq = 4")
    ran = run("ledger", "verify", "--store", store, "--table")
    assert ran.code == 4
    assert "tenant acme does not verify; the first bad record is 4" in ran.out
    assert run("ledger", "verify", store).lines[0]["faults"][0]["seq"] == 4


def test_a_store_may_be_named_as_a_file(store):
    assert run("ledger", "verify", store).code == 0
    assert run("ledger", "verify", store, "--store", store).code == 2


def test_every_tenant_is_checked_unless_one_is_chosen(store):
    with samples.weighbridge(store) as wb:
        wb.gate(samples.context(tenant_id="beta"))
    assert [line["tenant_id"] for line in run("ledger", "verify", "--store", store).lines] == ["acme", "beta"]
    assert [line["tenant_id"] for line in run("ledger", "verify", "--store", store, "--tenant", "beta").lines] == [
        "beta"
    ]
    assert run("ledger", "verify", "--store", store, "--tenant", "nobody").code == 2


def test_a_witness_shows_what_the_chain_cannot(store):
    """L3: a cut or recomputed chain is found against a head kept elsewhere, and only so."""
    (line,) = run("ledger", "verify", "--store", store).lines
    head = f"{line['head']['seq']}:{line['head']['hash']}"
    assert run("ledger", "verify", "--store", store, "--witness", head).code == 0
    ran = run("ledger", "verify", "--store", store, "--witness", f"9:{line['head']['hash']}", "--table")
    assert ran.code == 4
    assert "the witness saw record 9" in ran.out
    assert run("ledger", "verify", "--store", store, "--witness", "four").code == 2


def test_an_empty_ledger_is_said_to_be_empty(tmp_path):
    samples.weighbridge(tmp_path / "e.db").close()
    ran = run("ledger", "verify", "--store", tmp_path / "e.db", "--table")
    assert ran.code == 0
    assert ran.out.startswith("0 tenants, 0 records: there is nothing to verify")
    assert run("ledger", "verify", "--store", tmp_path / "e.db").lines == [{"tenants": 0, "records": 0}]


@pytest.mark.parametrize("content", [b"weighbridge: 1\nname: x\n", b"", b"\x00\xff" * 40, b"{}\n[]\n" * 200])
@pytest.mark.parametrize("name", ["odd.yaml", "odd.gz"])
def test_what_is_no_export_and_no_store_is_said_once(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name == "odd.gz" else content)
    ran = run("ledger", "verify", path, "--table")
    assert (ran.code, ran.out, ran.err) == (2, "", f"error: `{path}` is no export and no store\n")


@pytest.mark.parametrize("line", [0, 1])
def test_an_export_that_lost_its_first_lines_is_one_still(store, tmp_path, line):
    """L3: what was damaged is told from what never was an export."""
    lines = run("ledger", "export", "--store", store).out.splitlines(keepends=True)
    path = tmp_path / "changed.export"
    path.write_text("".join([*lines[:line], "gone\n", *lines[line + 1 :]]))
    assert run("ledger", "verify", path).code == 4


@pytest.mark.parametrize("name", ["ledger.export", "ledger.export.gz"])
def test_an_export_verifies_without_the_store(store, tmp_path, name):
    """L3: somebody who has only the export can check it."""
    out = tmp_path / name
    ran = run("ledger", "export", "--store", store, "--out", out)
    assert ran.code == 0
    assert f" ledger verify {out}" in ran.err
    store.unlink()
    (line,) = run("ledger", "verify", out).lines
    assert (line["ok"], line["records"]) == (True, 4)
    assert run("ledger", "verify", out, "--tenant", "beta").code == 2
    assert not list(tmp_path.glob("*.partial"))


def test_the_leaf_of_an_exported_record_is_the_hash_of_its_body(store):
    lines = run("ledger", "export", "--store", store).lines
    assert lines[0]["format"] == "weighbridge-ledger"
    assert lines[-1]["end"] is True
    for line in lines[1:-1]:
        assert hashlib.sha256(b"\0" + line["body"].encode()).hexdigest() == line["leaf"]


@pytest.mark.parametrize("change", ["edit", "drop", "swap", "cut"])
def test_an_export_that_was_changed_does_not_verify(store, tmp_path, change):
    """L3: edited, dropped, swapped or cut records are found and named."""
    lines = run("ledger", "export", "--store", store).out.splitlines(keepends=True)
    if change == "edit":
        lines[2] = lines[2].replace("ALLOW", "BLOCK", 1)
    elif change == "drop":
        del lines[2]
    elif change == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    else:
        del lines[-2:]
    path = tmp_path / "changed.export"
    path.write_text("".join(lines))
    ran = run("ledger", "verify", path, "--table")
    assert ran.code == 4
    assert f"the first bad record is {4 if change == 'cut' else 2}" in ran.out


def test_a_damaged_archive_does_not_verify(store, tmp_path):
    out = tmp_path / "e.gz"
    run("ledger", "export", "--store", store, "--out", out)
    out.write_bytes(out.read_bytes()[:-20])
    ran = run("ledger", "verify", out)
    assert ran.code == 4
    assert "damaged or cut" in ran.err


def test_content_is_exported_only_when_asked_for(store):
    """L6: what decisions were made from may hold personal data."""
    assert not any("content" in line for line in run("ledger", "export", "--store", store).lines)
    with_content = run("ledger", "export", "--store", store, "--with-content").lines
    assert any("content" in line for line in with_content)


def test_an_export_can_begin_after_a_record(store, tmp_path):
    """L3: what is not shown is not said to verify."""
    out = tmp_path / "later.export"
    run("ledger", "export", "--store", store, "--after", 2, "--out", out)
    (line,) = run("ledger", "verify", out).lines
    assert (line["ok"], line["records"], line["head"]["seq"]) == (True, 2, 4)
    assert (line["first_seq"], line["last_seq"]) == (3, 4)
    told = run("ledger", "verify", out, "--table").out
    assert told.startswith("tenant acme: records 3 to 4 verify; what stands before is not shown\n")
    witness = f"1:{run('ledger', 'show', 1, '--store', store).lines[0]['hash']}"
    ran = run("ledger", "verify", out, "--witness", witness, "--table")
    assert (ran.code, "which the witness saw, is not in this export" in ran.out) == (4, True)
    assert run("ledger", "export", "--store", store, "--after", 99).code == 2


def test_content_is_checked_with_the_key_and_said_to_be_unchecked_without(store, tmp_path):
    """L3, L6: only the tenant's key tells whether content is what was hashed."""
    out, key = tmp_path / "c.export", tmp_path / "key"
    run("ledger", "export", "--store", store, "--with-content", "--out", out)
    with reading(str(store)) as reader:
        key.write_text(reader.tenant_key("acme").hex() + "\n")
    told = run("ledger", "verify", out, "--table").out
    assert "unchecked without the tenant's content key" in " ".join(told.split())
    (line,) = run("ledger", "verify", out).lines
    assert (line["ok"], line["contents"] > 0, line["contents_checked"]) == (True, True, False)

    ran = run("ledger", "verify", out, "--key-file", key, "--table")
    assert (ran.code, f"{line['contents']} contents with them" in ran.out, "unchecked" in ran.out) == (0, True, False)
    out.write_text(out.read_text().replace("closed", "opened"))
    ran = run("ledger", "verify", out, "--key-file", key)
    assert (ran.code, ran.lines[0]["contents_checked"]) == (4, True)
    assert any(fault["part"] == "content" for fault in ran.lines[0]["faults"])

    key.write_text("ab" * 31)
    ran = run("ledger", "verify", out, "--key-file", key)
    assert (ran.code, "64 hex digits" in ran.err, "abab" in ran.err) == (2, True, False)
    assert run("ledger", "verify", out, "--key-file", tmp_path / "no").code == 2
    key.write_text("ab" * 32)
    assert run("ledger", "verify", "--store", store, "--key-file", key).code == 2


def test_an_export_is_not_overwritten_unasked(store, tmp_path):
    out = tmp_path / "once.export"
    out.write_text("kept")
    ran = run("ledger", "export", "--store", store, "--out", out)
    assert (ran.code, "--force" in ran.err, out.read_text()) == (2, True, "kept")
    assert run("ledger", "export", "--store", store, "--out", out, "--force").code == 0
    assert run("ledger", "verify", out).code == 0


def test_a_file_that_cannot_be_written_leaves_nothing_behind(store, tmp_path):
    ran = run("ledger", "export", "--store", store, "--out", tmp_path / "no" / "where.export")
    assert ran.code == 1
    assert "cannot be written" in ran.err
    assert run("ledger", "export", "--store", store, "--tenant", "nobody", "--out", tmp_path / "n.export").code == 2
    assert not list(tmp_path.glob("n.export*"))


def test_an_export_is_the_same_bytes_every_time(store, tmp_path):
    first, second = tmp_path / "1.gz", tmp_path / "2.gz"
    run("ledger", "export", "--store", store, "--out", first)
    run("ledger", "export", "--store", store, "--out", second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == b"\0" * 4  # the archive does not say when it was made
    assert gzip.decompress(first.read_bytes()).endswith(b"\n")


def test_tail_shows_the_last_records_one_a_line(store):
    ran = run("ledger", "tail", "--store", store, "-n", 2, "--table")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["3", "4"]
    assert ran.out.splitlines()[1].split()[3:] == ["BLOCK", "crm.update", "run-blocked", "CONTRADICTION"]
    lines = run("ledger", "tail", "--store", store).lines
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    assert lines[3]["record"]["common"]["validation_run_id"] == "run-blocked"


def test_following_goes_on_until_it_is_interrupted(store, monkeypatch):
    writer = samples.weighbridge(store)
    pauses = iter(range(2))

    def pause(_seconds):
        if next(pauses, None) is None:
            raise KeyboardInterrupt
        thread = threading.Thread(target=writer.gate, args=[samples.warned_context()])
        thread.start()
        thread.join()

    monkeypatch.setattr(time, "sleep", pause)
    ran = run("ledger", "tail", "--store", store, "-n", 1, "--follow")
    writer.close()
    assert (ran.code, ran.err) == (130, "")
    assert [line["seq"] for line in ran.lines] == [4, 5, 6]


LONG_ID = "0193a7c2-4b1e-7c3a-9d52-1f6e8a0b4c77"


@pytest.mark.parametrize("width", [80, 120])
def test_tail_and_show_keep_ids_and_names_in_one_piece(store, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    with samples.weighbridge(store) as wb:
        wb.gate(samples.context(validation_run_id=LONG_ID, account_id=None, snapshot=None, data_sources=None))
        wb.gate(samples.warned_context(validation_run_id="x" * 70))
    for words in (["tail"], ["show", 5]):
        told = run("ledger", *words, "--store", store, "--table").out
        assert max(map(len, told.splitlines())) <= width
        assert LONG_ID in told
    assert "BEFORE_EXTERNAL_WRITEBACK" in told
    tail = run("ledger", "tail", "--store", store, "--table").out
    assert len({line.index("run-") for line in tail.splitlines() if "run-" in line}) == 1
    assert len({line.index("crm.update") for line in tail.splitlines() if "crm.update" in line}) == 1


def test_show_prints_a_record_with_everything_in_it(store):
    ran = run("ledger", "show", 4, "--store", store, "--table")
    assert "contradiction" in ran.out
    assert "`renewal.status` is `closed`" in " ".join(ran.out.split())
    (line,) = run("ledger", "show", 4, "--store", store).lines
    body = json.dumps(line["record"], separators=(",", ":"), sort_keys=True).encode()
    assert hashlib.sha256(b"\0" + body).hexdigest() == line["leaf"]


def test_a_record_that_is_not_there_ends_with_2(store):
    ran = run("ledger", "show", 5, "--store", store)
    assert ran.code == 2
    assert "has no record 5; the last one is 4" in ran.err


def test_a_record_other_than_a_decision_is_told_too(store):
    with samples.weighbridge(store) as wb:

        @wb.operation("crm.note", action="note", cost="CHEAP")
        def note(text):
            return text

        with scope(
            tenant="acme",
            snapshot=samples.CONTEXT["snapshot"]["fields"],
            data_sources=samples.CONTEXT["data_sources"],
            evidence=samples.CONTEXT["evidence"],
            references=samples.CONTEXT["proposal"]["evidence"],
        ):
            note.with_id("op-1")("hello")
    last = run("ledger", "tail", "--store", store, "-n", 1, "--table").out
    assert last.split()[3:] == ["crm.note", "op-1", "OPERATION_COMPLETED"]


def test_the_limits_of_a_check_are_those_of_the_documentation():
    assert "--witness" in cli_ledger.LIMITS


def test_the_tail_tells_what_budgets_said_and_what_was_reserved(tmp_path):
    """B10: verdict, reason and cap of a decision; amounts where there is nothing else to say."""
    told = run("ledger", "tail", "--store", spend(tmp_path / "s.db"), "--table").out
    lines = {line.split()[0]: " ".join(line.split()[3:]) for line in told.splitlines()}
    assert lines["4"] == "ALLOW crm.note op-3 1 operation, 0.01 USD"
    assert lines["5"] == "WARN crm.note op-4 SOFT_CAP_EXCEEDED `day`"
    assert lines["8"] == "BLOCK enrich op-12 HARD_CAP_EXCEEDED `dear`"
    assert lines["12"].startswith("enrich op-11 USAGE_REPORTED, BUDGET_")


def test_the_tail_names_an_overrun_and_a_reason_without_a_cap(tmp_path):
    """B7, B8."""
    spend(tmp_path / "s.db")
    with samples.weighbridge(tmp_path / "s.db", policy=policy()) as wb:
        wb.report_usage("op-10", {"USD": "9"}, tenant_id="acme")
        wb.reserve(asked(50, "nobody.knows"))
    told = run("ledger", "tail", "-n", "2", "--store", tmp_path / "s.db", "--table").out
    assert "USAGE_REPORTED, overrun" in told
    assert "BLOCK  nobody.knows" in told
    assert "UNKNOWN_OPERATION" in told
    shown = run("ledger", "show", "13", "--store", tmp_path / "s.db", "--table").out
    assert "7.00 USD more than was reserved" in shown


@pytest.mark.parametrize("width", [40, 80, 100, 120, 140])
def test_the_tail_never_crops_an_amount(tmp_path, monkeypatch, width):
    """B2: an amount that loses digits is another amount."""
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    prices = {"currency": "USD", "operations": {"crm.note": "$12345.678901234567"}}
    caps = [{"id": "money", "hard_cap": "$99999/month"}]
    with samples.weighbridge(tmp_path / "s.db", policy=policy(prices=prices, caps=caps)) as wb:
        for number in range(3):
            wb.reserve(asked(number, "crm.note", operation_id=f"{LONG_ID[:-1]}{number}"))
    told = run("ledger", "tail", "--store", tmp_path / "s.db", "--table").out
    assert max(map(len, told.splitlines())) <= width
    assert "".join(char for char in told if char.isdigit() or char in ",.").count("12,345.678901234567") == 3
    if width > 40:
        assert all(f"{LONG_ID[:-1]}{number}" in told for number in range(3))


def test_a_long_tail_is_laid_out_in_portions(store, monkeypatch):
    monkeypatch.setattr("weighbridge.cli.ledger.PORTION", 3)
    told = run("ledger", "tail", "--store", store, "--table").out
    assert [line.split()[0] for line in told.splitlines()] == ["1", "2", "3", "4"]


def test_an_empty_store_is_said_to_be_empty(tmp_path):
    samples.weighbridge(tmp_path / "empty.db").close()
    for words in (("ledger", "tail", "--table"), ("ledger", "show", 1), ("why", "op-1")):
        ran = run(*words, "--store", tmp_path / "empty.db")
        assert ran.out == ""
        assert (
            "the store holds no records; a copy made without the `-wal` file beside it lacks what stood there"
            in ran.err
        )
