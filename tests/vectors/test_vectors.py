"""Every vector is answered byte for byte: here, under any hash seed, and on every interpreter that is at hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vectors import corpus, generate
from tests.vectors.cases import ALL
from weighbridge import canonical
from weighbridge.policy.rule_kinds import KINDS_BY_NAME

ROOT = Path(__file__).parents[2]
INTERPRETERS = [path for path in os.environ.get("WEIGHBRIDGE_INTERPRETERS", "").split(os.pathsep) if path]

REASONS = {
    "FRESH, DATA_AGING, DATA_STALE, TIMESTAMP_MISSING, TIMESTAMP_IN_FUTURE",
    "GROUNDED, MISSING_EVIDENCE, INVALID_EVIDENCE, UNKNOWN_EVIDENCE, UNTRUSTED_EVIDENCE, UNGROUNDED_VALUE",
    "CONSISTENT, CONTRADICTION, INCOMPARABLE_VALUE",
    "COMPLIANT, UNKNOWN_OPERATION, PROHIBITED_ACTION, ACTION_NOT_ALLOWED, TARGET_NOT_ALLOWED, UNKNOWN_VALUE",
    "RESTRICTED_FIELD, PII_FIELD, PROHIBITED_VALUE, PII_VALUE, TOO_COMPLEX",
    "NOT_APPLICABLE, INPUT_MISSING, CONFIG_MISSING",
}


@pytest.mark.parametrize("vector", corpus.vectors(), ids=lambda vector: vector.name)
def test_a_vector_is_answered_byte_for_byte(vector):
    """G4: byte-identical in canonical JSON."""
    assert vector.answer() == canonical.encode(vector.expected)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_what_was_thought_out_is_what_the_file_says(case):
    """The table of cases is written by hand; the files hold its verdicts and reasons, and the same policy and context."""
    path = corpus.FOLDER / f"{case.name}.json"
    assert path.read_text(encoding="utf-8") == generate.document(case)
    assert [(result["result"], result["reason"]) for result in corpus.read(path).expected] == list(case.answers)


def test_no_file_stands_without_its_case():
    names = [case.name for case in ALL]
    assert sorted(names) == [vector.name for vector in corpus.vectors()]
    assert len(set(names)) == len(names)


def test_every_reason_every_rule_kind_and_every_choke_point_has_a_vector():
    """The corpus is complete: what no vector shows, nobody else can reproduce."""
    expected = {name for line in REASONS for name in line.split(", ")}
    assert {result["reason"] for vector in corpus.vectors() for result in vector.expected} == expected
    rules = [rule for vector in corpus.vectors() for rule in vector.policy.get("contradiction", {}).get("rules", [])]
    assert {rule["rule"] for rule in rules} == set(KINDS_BY_NAME)
    assert len({vector.context["choke_point"] for vector in corpus.vectors()}) == 4


def answers(executable: str, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [executable, "-m", "tests.vectors.answers"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


EXPECTED = "".join(f"{v.name} {canonical.encode(v.expected).decode()}\n" for v in corpus.vectors())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_hash_seed_changes_a_byte(seed):
    """G4: no order of sets or dicts."""
    assert answers(sys.executable, str(seed)) == EXPECTED


@pytest.mark.slow
@pytest.mark.skipif(not INTERPRETERS, reason="no other interpreter to compare with (set WEIGHBRIDGE_INTERPRETERS)")
@pytest.mark.parametrize("executable", INTERPRETERS)
def test_no_interpreter_changes_a_byte(executable):
    """G4: the same bytes on any machine; name interpreters that have the dependencies in WEIGHBRIDGE_INTERPRETERS."""
    assert answers(executable, "0") == EXPECTED


def test_a_case_that_is_answered_otherwise_is_not_written(monkeypatch, capsys, tmp_path):
    """The generator refuses, and names the difference."""
    odd = ALL[0]._replace(answers=(("BLOCK", "DATA_STALE"), *ALL[0].answers[1:]))
    monkeypatch.setattr(generate, "ALL", [odd])
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    assert generate.main() == 1
    assert capsys.readouterr().err == "all-allow: freshness answers ALLOW FRESH, not BLOCK DATA_STALE\n"
    assert not list(tmp_path.iterdir())
