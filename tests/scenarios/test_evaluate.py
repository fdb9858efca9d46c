"""`weighbridge evaluate` as an operator meets it: in a shell, with pipes that close, keys that interrupt, a process killed."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests import samples
from tests.command_line import command, environment, shell, write_contexts, write_policy


def numbered(count, make=samples.context):
    return [make(evaluation_time=samples.NOW, account_id=f"a-{number}") for number in range(count)]


def process(*args, cwd, **options):
    return subprocess.Popen(command(*args), cwd=cwd, env=environment(), stderr=subprocess.PIPE, **options)


@pytest.fixture
def here(tmp_path):
    write_policy(tmp_path)
    return tmp_path


def test_logs_are_judged_from_a_pipe_explained_verified_and_judged_again(here):
    """G2, G3, G4, L3, L4: from a log to a proof, with nothing but the command line."""
    contexts = [*numbered(3), *numbered(2, samples.warned_context), *numbered(1, samples.blocked_context)]
    packed = gzip.compress(b"".join(json.dumps(context).encode() + b"\n" for context in contexts))
    judged = shell("evaluate", "policy.json", "-", "--store", "s.db", cwd=here, stdin=packed)
    assert judged.code == 11
    assert [line["verdict"] for line in judged.lines] == ["ALLOW"] * 3 + ["WARN"] * 2 + ["BLOCK"]
    assert "6 contexts: 3 allowed, 2 warned, 1 blocked" in judged.err

    (story,) = shell("why", judged.lines[5]["id"], "--store", "s.db", cwd=here).lines
    assert story["because"] == ["`renewal.status` is `closed`, and the action needs `open` (rule `open-only`)"]
    verified = shell("ledger", "verify", "--store", "s.db", cwd=here)
    assert (verified.code, verified.lines[0]["records"]) == (0, 6)
    assert verified.lines[0]["head"] == {"seq": 6, "hash": judged.lines[5]["hash"]}
    replayed = shell("replay", "--all", "--store", "s.db", cwd=here)
    assert (replayed.code, {line["outcome"] for line in replayed.lines}) == (0, {"EQUAL"})

    again = shell("evaluate", "policy.json", "-", "--store", "s.db", cwd=here, stdin=packed)
    assert (again.code, [line | {"replayed": False} for line in again.lines]) == (11, judged.lines)
    assert shell("ledger", "verify", "--store", "s.db", cwd=here).lines == verified.lines


def test_warned_lines_leave_exit_code_and_everything_else_as_allowed_ones_do(here):
    """G7: the same lines, the same codes; only what is told differs."""
    write_contexts(here / "allowed.jsonl", *numbered(4))
    write_contexts(here / "warned.jsonl", *numbered(4, samples.warned_context))
    allowed = shell("evaluate", "policy.json", "allowed.jsonl", cwd=here)
    warned = shell("evaluate", "policy.json", "warned.jsonl", cwd=here)
    assert (allowed.code, warned.code) == (0, 0)
    told = {"file", "id", "verdict", "reasons", "results", "hash"}
    plain = [[{key: line[key] for key in line.keys() - told} for line in ran.lines] for ran in (allowed, warned)]
    assert plain[0] == plain[1]


def test_a_reader_that_goes_away_ends_it_quietly(here):
    """G2: what was answered is on record, and the ledger is whole."""
    write_contexts(here / "many.jsonl", *numbered(3000))
    running = process("evaluate", "policy.json", "many.jsonl", "--store", "s.db", cwd=here, stdout=subprocess.PIPE)
    first = json.loads(running.stdout.readline())
    running.stdout.close()
    said = running.stderr.read().decode()
    running.stderr.close()
    assert running.wait(timeout=60) == 141
    assert "Traceback" not in said
    assert "Exception" not in said
    assert shell("why", first["id"], "--store", "s.db", cwd=here).code == 0
    assert shell("ledger", "verify", "--store", "s.db", cwd=here).code == 0


def test_a_reader_that_was_never_there_is_no_complaint_either(here):
    """G2: what is left in a buffer is dropped in silence, with the code a shell expects, and the record is there."""
    write_contexts(here / "c.jsonl", *numbered(1))
    for words in (
        ["evaluate", "policy.json", "c.jsonl", "--store", "s.db"],
        ["ledger", "tail", "--store", "s.db", "--json"],
        ["ledger", "show", "1", "--store", "s.db", "--table"],
        ["ledger", "export", "--store", "s.db"],
        ["ledger", "verify", "--store", "s.db", "--table"],
        ["why", "a-0", "--store", "s.db", "--table"],
    ):
        reading, writing = os.pipe()
        os.close(reading)
        running = process(*words, cwd=here, stdout=writing)
        os.close(writing)
        _, said = running.communicate(timeout=60)
        assert (running.returncode, said) == (141, b""), words
    assert shell("ledger", "verify", "--store", "s.db", cwd=here).lines[0]["records"] == 1


DEV_FULL = Path("/dev/full")
FULL = b"error: standard output cannot be written (No space left on device)\n"


@pytest.mark.skipif(not DEV_FULL.exists(), reason="no device that is full")
def test_an_output_that_is_full_is_one_line_and_no_traceback(here):
    """G2: what could not be printed is on record."""
    write_contexts(here / "c.jsonl", *numbered(3))
    for words in (
        ["evaluate", "policy.json", "c.jsonl", "--store", "s.db", "--quiet"],
        ["evaluate", "policy.json", "c.jsonl", "--store", "s.db", "--quiet", "--explain"],
        ["ledger", "tail", "--store", "s.db", "--table"],
        ["ledger", "show", "1", "--store", "s.db", "--json"],
        ["ledger", "export", "--store", "s.db"],
        ["ledger", "verify", "--store", "s.db", "--table"],
        ["replay", "--all", "--store", "s.db", "--table"],
        ["why", "a-0", "--store", "s.db"],
        ["demo"],
        ["policy", "schema"],
        ["policy", "check", "policy.json"],
        ["policy", "diff", "policy.json", "policy.json", "--table"],
        ["policy", "init", "-"],
        ["--help"],
        ["--version"],
    ):
        with DEV_FULL.open("wb") as full:
            running = process(*words, cwd=here, stdout=full)
            _, said = running.communicate(timeout=60)
        assert (running.returncode, said) == (1, FULL), words
    assert shell("ledger", "verify", "--store", "s.db", cwd=here).lines[0]["records"] == 3


def test_interrupting_ends_it_and_the_same_command_goes_on(here):
    """G2, G3: every line that was answered is on record; lines keep their ids from run to run."""
    lines = [json.dumps(context).encode() + b"\n" for context in numbered(5)]
    running = process(
        "evaluate", "policy.json", "-", "--store", "s.db", cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    running.stdin.write(b"".join(lines[:3]))
    running.stdin.flush()
    answered = [json.loads(running.stdout.readline()) for _ in range(3)]  # before standard input has ended
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"the same command goes on from there" in said
    assert b"Traceback" not in said

    ran = shell("evaluate", "policy.json", "-", "--store", "s.db", cwd=here, stdin=b"".join(lines))
    assert [line["replayed"] for line in ran.lines] == [True] * 3 + [False] * 2
    assert [line["id"] for line in ran.lines[:3]] == [line["id"] for line in answered]


@pytest.mark.slow
def test_a_killed_run_loses_no_answer_and_is_gone_on_with(here):
    """G2: no decision was answered without its record."""
    write_contexts(here / "many.jsonl", *numbered(1500))
    running = process("evaluate", "policy.json", "many.jsonl", "--store", "s.db", cwd=here, stdout=subprocess.PIPE)
    answered = [json.loads(running.stdout.readline()) for _ in range(300)]
    running.kill()
    answered += [json.loads(line) for line in running.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    running.communicate(timeout=60)

    assert shell("ledger", "verify", "--store", "s.db", cwd=here).code == 0
    ran = shell("evaluate", "policy.json", "many.jsonl", "--store", "s.db", cwd=here)
    assert len(ran.lines) == 1500
    assert [line | {"replayed": False} for line in ran.lines[: len(answered)]] == answered
    assert all(line["replayed"] for line in ran.lines[: len(answered)])
    assert [line["seq"] for line in ran.lines] == list(range(1, 1501))


def test_a_terminal_gets_a_progress_bar_and_tables_and_a_pipe_gets_answers_alone(here):
    write_contexts(here / "c.jsonl", *numbered(300), *numbered(1, samples.blocked_context))
    master, terminal = pty.openpty()
    with (here / "answers").open("wb") as answers:
        done = subprocess.Popen(
            command("evaluate", "policy.json", "c.jsonl"),
            cwd=here, env=environment(TERM="xterm"), stdout=answers, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        with os.fdopen(master, "rb", buffering=0) as screen:
            try:
                while chunk := screen.read(65536):
                    shown += chunk
            except OSError:  # how Linux says that the other end has closed
                pass
        assert done.wait(timeout=60) == 11
    assert b"contexts" in shown
    assert b"%" in shown
    assert len((here / "answers").read_bytes().splitlines()) == 301
    assert b"\x1b" not in (here / "answers").read_bytes()
