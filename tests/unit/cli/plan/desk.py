"""A folder to work with plans in: the shipped policy, the example's customer system, and plans as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.command_line import Ran, run
from weighbridge.domain.instant import DAY_MS
from weighbridge.examples import renewals
from weighbridge.examples.crm import Crm
from weighbridge.wiring import system_surroundings

ALDGATE, BIRCH, CEDAR = "a-1001", "a-1002", "a-1003"
CONNECTOR = ("--connector", "weighbridge.examples.renewals:connector")
WHY = ("--by", "maria", "--reason", "because")


def now_ms() -> int:
    return system_surroundings().clock_ms()


class Desk:
    """Runs plan commands on one store. The working directory must be ``folder``, because the CRM is a file there."""

    READ = ("--revision", "2")  # of a plan that was proposed and submitted

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = str(folder / "ledger.db")
        self.policy = str(folder / "policy.yaml")
        (folder / "policy.yaml").write_text(renewals.policy_text())
        self.crm = Crm(str(folder / renewals.CRM_FILE))
        self.crm.seed()

    def close(self) -> None:
        self.crm.close()

    def draft(self, account_id: str = ALDGATE, **options: Any) -> dict[str, Any]:
        return renewals.draft(self.crm, account_id, now_ms=now_ms(), **options)

    def write(self, document: Any, name: str = "plan.json") -> str:
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    def plan(self, command: str, *args: Any, policy: bool = True, stdin: str | None = None) -> Ran:
        """Run a plan command; ``policy``: under the policy file."""
        under = ("--policy", self.policy) if policy and command not in {"show", "list"} else ()
        return run("plan", command, *args, "--store", self.store, *under, stdin=stdin)

    def propose(self, account_id: str = ALDGATE, **options: Any) -> str:
        """Propose and submit a plan, and return its id."""
        ran = self.plan("new", self.write(self.draft(account_id, **options)))
        assert ran.code == 0, ran.err
        plan_id: str = ran.lines[0]["plan_id"]
        assert self.plan("submit", plan_id, "--by", "ann").code == 0
        return plan_id

    def approved(self, account_id: str = ALDGATE, **options: Any) -> str:
        """Propose a plan and have it approved, and return its id."""
        plan_id = self.propose(account_id, **options)
        ran = self.plan("approve", plan_id, *self.READ, "--by", "maria")
        assert ran.code == 0, ran.err
        return plan_id

    def events(self, plan_id: str) -> list[str]:
        return [line["event"]["type"] for line in self.plan("show", plan_id).lines if "event" in line]

    def expired(self) -> dict[str, Any]:
        return self.draft() | {"expires_at": "2024-01-01T00:00:00Z"}

    def too_long(self) -> dict[str, Any]:
        from weighbridge.domain.instant import format_instant

        return self.draft() | {"expires_at": format_instant(now_ms() + 60 * DAY_MS)}
