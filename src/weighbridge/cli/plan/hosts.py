"""What plan commands work with: a policy, the operations that steps are, and who does something.

A plan is judged under a policy and is made of operations that somebody registered. ``--app`` names a Weighbridge that a module
made, with its own policy and store. Otherwise the command opens the store: under ``--policy``, or under the policy in force,
with the operations of every ``--connector`` and those that the policy declares.
"""

from __future__ import annotations

import enum
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from weighbridge.cli.stores import reading, require_no_folder, store_or_default, tenant_or_default
from weighbridge.errors import UsageError, WeighbridgeError

if TYPE_CHECKING:
    from weighbridge.domain.principal import Principal
    from weighbridge.runtime import Weighbridge

AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:NAME",
        help="A Weighbridge with its operations, or a function that returns one.",
        show_default=False,
    ),
]
ConnectorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--connector",
        metavar="MODULE:FUNCTION",
        help="What registers operations on a Weighbridge; may be repeated.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy. Default: WEIGHBRIDGE_POLICY, or the one in force.",
        show_default=False,
    ),
]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why. It is kept as content, not in the record.")]


class PersonRole(enum.StrEnum):
    """What a person may be who decides about plans."""

    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class AuthorRole(enum.StrEnum):
    """What somebody may be who drafts plans; only an agent is no person."""

    AGENT = "agent"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Where(NamedTuple):
    """Which Weighbridge, and which tenant of it."""

    store: str | None
    tenant: str | None
    policy: str | None = None
    app: str | None = None
    connectors: tuple[str, ...] = ()


class Host(NamedTuple):
    """An open Weighbridge, the tenant that is meant, and what its store is called."""

    wb: Weighbridge
    tenant_id: str
    store: str


def person(name: str, role: PersonRole | AuthorRole) -> Principal:
    """Return who does something. Whose name it is, is not checked here.

    Raises:
        UsageError: the name is empty.
    """
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal

    if not name.strip():
        raise UsageError("say who does it: --by NAME")
    return Principal(id=name, role=Role(role.value), person=role.value != AuthorRole.AGENT.value)


@contextmanager
def opened(where: Where, *, create: bool = False) -> Iterator[Host]:
    """Open a Weighbridge. ``create``: a store that is not there is made, as for a first plan.

    Raises:
        UsageError: there is no such store, module or policy.
    """
    from weighbridge.settings import from_environment
    from weighbridge.storage.addresses import shown

    if where.app is not None:
        if where.store or where.policy or where.connectors:
            raise UsageError("--app brings its policy, its store and its operations: leave the others out")
        with _called(where.app) as wb:
            yield Host(wb, tenant_or_default(where.tenant, wb.reader), "...")
        return
    place = store_or_default(where.store)
    require_no_folder(place)
    if not create:
        with reading(place):
            pass  # a store that is not there is a wrong path
    policy = where.policy or from_environment().policy
    with _open(place, policy, where.tenant) as host:
        for name in where.connectors:
            _connect(name, host.wb)
        yield Host(host.wb, host.tenant_id, shown(place))


@contextmanager
def _open(place: str, policy: str | None, tenant: str | None) -> Iterator[Host]:
    from weighbridge import wiring
    from weighbridge.domain.principal import Principal

    if policy is not None:
        host = Principal(id=wiring.LOCAL_HOST.id, tenant_id=tenant)
        with wiring.open(policy, place, principal=host) as wb:
            yield Host(wb, tenant_or_default(tenant, wb.reader), place)
        return
    with reading(place) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        if reader.head(tenant_id).policy_version is None:
            raise UsageError(
                f"no policy is in force for tenant `{tenant_id}` of `{place}` yet; name one with --policy FILE"
            )
    with wiring.open_in_force(place, tenant_id) as wb:
        yield Host(wb, tenant_id, place)


@contextmanager
def _called(name: str) -> Iterator[Weighbridge]:
    from weighbridge.runtime import Weighbridge

    found = _named(name, "--app")
    wb = _made(found, f"--app {name}") if callable(found) and not isinstance(found, Weighbridge) else found
    if not isinstance(wb, Weighbridge):
        raise UsageError(f"--app {name}: that is a `{type(wb).__name__}`; name a Weighbridge, or what returns one")
    with wb:
        yield wb


def _connect(name: str, wb: Weighbridge) -> None:
    connector = _named(name, "--connector")
    if not callable(connector):
        raise UsageError(
            f"--connector {name}: that is a `{type(connector).__name__}`; name a function of a Weighbridge"
        )
    _made(connector, f"--connector {name}", wb)


def _made(function: Callable[..., Any], what: str, *args: Any) -> Any:
    try:
        return function(*args)
    except WeighbridgeError:
        raise
    except Exception as error:
        raise UsageError(f"{what} raised {type(error).__name__}: {error}") from error


def _named(name: str, option: str) -> Any:
    """Return what ``module:attribute`` names, looked for as Python does, and in the folder one works in.

    Raises:
        UsageError: there is none, or importing it raised.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(f"{option} {name}: write MODULE:NAME, as in {option} app:wb")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except WeighbridgeError:
        raise
    except Exception as error:
        raise UsageError(f"{option} {name}: {type(error).__name__}: {error}") from error
    return found
