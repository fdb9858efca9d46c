"""A ledger with everything in it that a row can follow from, for tests that move one."""

from __future__ import annotations

from typing import Any

from weighbridge.canonical import keyed_hash
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.testing.submissions import (
    authorisation,
    cap,
    completion,
    decision,
    draft,
    ended,
    erasure,
    reservation,
    with_content,
)

CAPS = [cap("day", 50), cap("tok", 10**22, unit="tokens", period=Period.MONTH, settles=True)]
ONE_CAP = CAPS[:1]
ERASED = b"what nobody shall know"


def fill(store: Any, tenant: str = "acme", prefix: str = "") -> None:
    """Put eleven records on a store: content, of which some is erased, blocks, leave to retry, budgets, and how calls ended."""
    key = store.tenant_key(tenant)
    blocked, used = (draft(f"{prefix}{name}", verdict=Verdict.BLOCK) for name in ("run-2", "run-3"))
    amounts = {"operations": 1, "tokens": 10**20}
    store.commit(with_content(f"{prefix}run-1", key, f"kept {prefix} ü".encode(), tenant=tenant))
    store.commit(decision(blocked, tenant=tenant))
    store.commit(authorisation(blocked, tenant=tenant))
    store.commit(decision(used, tenant=tenant))
    store.commit(authorisation(used, tenant=tenant))
    store.commit(decision(draft(f"{prefix}run-3b", request=f"{prefix}run-3", proposal=f"{prefix}run-3"), tenant=tenant))
    store.commit(reservation(f"{prefix}op-1", CAPS, tenant=tenant, amounts=amounts))
    store.commit(ended(f"{prefix}op-1", {"tokens": 7}, tenant=tenant))
    store.commit(reservation(f"{prefix}op-2", CAPS, tenant=tenant, amounts=amounts))
    store.commit(with_content(f"{prefix}run-4", key, ERASED + prefix.encode(), tenant=tenant))
    store.erase_content(tenant, (keyed_hash(key, ERASED + prefix.encode()),), erasure(tenant=tenant))


def change(store: Any, tenant: str = "acme") -> None:
    """Change what `fill` left: an operation ends, caps change, content goes, and there is more of everything."""
    key = store.tenant_key(tenant)
    store.commit(completion("op-2", "FAILED", tenant=tenant))
    store.commit(reservation("op-3", ONE_CAP, tenant=tenant, account="a-2"))
    store.erase_content(tenant, (keyed_hash(key, "kept  ü".encode()),), erasure(tenant=tenant))
    fill(store, tenant, "later-")
