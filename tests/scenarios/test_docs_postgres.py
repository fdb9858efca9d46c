"""What `docs/how-to/run-on-postgresql.md` shows is run, in order, against a real server, and prints what the page says."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path
from urllib.parse import quote

from psycopg import conninfo

from tests.command_line import run

PAGE = Path(__file__).parents[2] / "docs/how-to/run-on-postgresql.md"
SHOWN = "@db.example.org/governance"
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            words, _, expected = command.partition("\n")
            yield words, expected


def test_the_page_does_what_it_says(postgres, monkeypatch):
    """Z3: a newcomer gets from an empty database to a store that decides and verifies."""
    monkeypatch.delenv("WEIGHBRIDGE_STORE", raising=False)
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)
    made = postgres.empty()
    with postgres.admin() as admin:
        for login in ("app", "inspector"):
            admin.execute(f"DROP ROLE IF EXISTS {login}".encode())
    folder = str(conninfo.conninfo_to_dict(postgres.address)["host"])
    real = f"@/{made.name}?host={quote(folder, safe='')}"
    try:
        for words, expected in examples():
            done = run(*shlex.split(words.replace(SHOWN, real))[1:])
            printed = (done.out + done.err).replace(real, SHOWN)
            assert done.code == 0, (words, printed)
            assert doctest.OutputChecker().check_output(expected.strip(), printed.strip(), _LOOSE), (words, printed)
    finally:
        made.drop()
        with postgres.admin() as admin:  # for the tests that come after
            for login, role in (("app", "weighbridge_runtime"), ("inspector", "weighbridge_auditor")):
                admin.execute(f"DROP ROLE IF EXISTS {login}".encode())
                admin.execute(f"CREATE ROLE {login} LOGIN".encode())
                admin.execute(f"GRANT {role} TO {login}".encode())


def test_the_page_has_examples():
    assert len([*examples()]) >= 6
