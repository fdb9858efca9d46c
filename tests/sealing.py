"""Stores, witnesses and sealers for tests of what is sealed: real keys, a still clock, folders that go with the test."""

from __future__ import annotations

import itertools
from typing import Any

from tests import samples
from weighbridge import keys
from weighbridge.ledger.checkpoint import open_checkpoint
from weighbridge.ledger.ed25519 import is_signature
from weighbridge.sealer import Sealer
from weighbridge.wiring import open_store
from weighbridge.witnesses.directory import DirectoryWitness

NAME = "ledger.example/log"


def counted() -> Any:
    """Return a source of bytes that are never the same."""
    counter = itertools.count(1)
    return lambda size: next(counter).to_bytes(size, "big")


def make_keys(folder: Any) -> Any:
    """Make a folder of keys and return it."""
    keys.create(folder, NAME, counted())
    return folder


def decide(store: Any, *names: str, tenant: str = "acme") -> None:
    """Put one decision for each name on record."""
    with samples.weighbridge(store) as wb:
        for name in names:
            changes = {"tenant_id": tenant, "validation_run_id": name, "account_id": f"account of {name}"}
            proposal = samples.CONTEXT["proposal"] | {"arguments": {"renewal_id": "r-1", "text": name}}
            wb.gate(samples.context(**changes, proposal=proposal))


def reader(store: Any) -> Any:
    """Open a store to read."""
    return open_store(str(store), purpose=None, surroundings=samples.surroundings(), create=False, read_only=True)


def witness(folder: Any) -> DirectoryWitness:
    """Make a folder and return the witness in it."""
    folder.mkdir(exist_ok=True)
    return DirectoryWitness(folder)


def sealer(opened: Any, folder: Any, *witnesses: Any, clock: Any = None) -> Any:
    """Return a sealer over an open store, with the keys in ``folder``."""
    return Sealer(
        opened,
        witnesses,
        signers=keys.signers(folder),
        keys=keys.public_keys(folder),
        check=is_signature,
        clock_ms=clock or samples.Clock(),
    )


def opened(witness_: Any, number: int, folder: Any) -> Any:
    """Return a published checkpoint and what its signature vouches for."""
    lines = witness_.read(number).splitlines(keepends=True)
    return open_checkpoint(lines, keys.public_keys(folder), is_signature)
