"""What `docs/how-to/run-plans-on-many-workers.md` shows is run against a real server."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command_line import command, environment, run
from tests.planned import AGENT, MARIA, PLAN_TYPE, TENANT, plan_policy
from weighbridge.domain.instant import format_instant
from weighbridge.testing.plans import DAY_MS, plan_document

PAGE = Path(__file__).parents[2] / "docs/how-to/run-plans-on-many-workers.md"
SHOWN = "postgresql://{}@db.example.org/governance"
PATIENCE_S = 30.0


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def the_command(of):
    """Return the words of the one command on the page that does this."""
    (found,) = [
        line for block in blocks("console") for line in block.splitlines() if line.startswith("$ ") and of in line
    ]
    return shlex.split(found)[2:]


def return_plan():
    now_ms = round(time.time() * 1_000)
    source = {"source_type": "crm_renewal", "source_id": "r-1"}
    step = {"step_id": "label", "operation": "mail.send_label", "arguments": {"order_id": "O-1"}}
    return plan_document(
        "return-1",
        (step,),
        plan_type="RETURN",
        expires_at=format_instant(now_ms + DAY_MS),
        data_sources=[{**source, "last_updated": format_instant(now_ms)}],
    )


@pytest.mark.slow
def test_the_page_does_what_it_says(database, tmp_path, monkeypatch):
    """H4: a newcomer gets from a store to two workers that carry out what is approved elsewhere, and end when told to."""
    owner, app = SHOWN.format("postgres"), SHOWN.format("app")
    made = run(*[word.replace(owner, database.url("postgres")) for word in the_command("db upgrade")])
    assert made.code == 0, made.err
    assert "the schema of the `dbos` engine is up to date" in made.err
    again = run("db", "init", database.url("postgres"), "--engine", "dbos")
    assert again.code == 0, again.err

    plan_type = {**PLAN_TYPE, "actions": {"send_label": {"risk": "LOW"}}}
    (tmp_path / "policy.yaml").write_text(json.dumps(plan_policy(plan_types={"RETURN": plan_type})), "utf-8")
    source = "\n".join(blocks("python"))
    assert app in source
    (tmp_path / "shop.py").write_text(source.replace(app, database.url()), "utf-8")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("shop_of_this_test", tmp_path / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    with ExitStack() as held:
        spec.loader.exec_module(shop)
        held.callback(shop.wb.close)
        workers = [
            subprocess.Popen(
                command(*the_command("worker")), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for worker in workers:
            held.callback(worker.kill)
        shop.wb.propose_plan(return_plan())
        shop.wb.submit_plan("return-1", by=AGENT, tenant_id=TENANT)
        assert shop.wb.approve_plan("return-1", by=MARIA, revision=2, tenant_id=TENANT).approved
        begun = time.monotonic()
        while shop.wb.plan("return-1", tenant_id=TENANT).status != "COMPLETED":
            assert time.monotonic() - begun < PATIENCE_S
            time.sleep(0.1)
        with database.owner() as connection:
            begun = time.monotonic()
            while connection.execute(b"SELECT count(*) FROM weighbridge_engine.weighbridge_worker").fetchall() != [
                (2,)
            ]:
                assert time.monotonic() - begun < PATIENCE_S  # a signal during its start is another story
                time.sleep(0.1)
            for statement in filter(str.strip, "\n".join(blocks("sql")).split(";")):
                connection.execute(statement.encode())
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(PATIENCE_S) for worker in workers] == [0, 0]
        assert "Traceback" not in "".join(worker.communicate()[1] for worker in workers)


def test_a_file_is_refused_in_words(tmp_path):
    store = tmp_path / "ledger.db"
    assert run("db", "init", store).code == 0
    done = run("db", "upgrade", store, "--engine", "dbos")
    assert done.code != 0
    assert "many workers need a store in PostgreSQL" in done.err
