"""Purity by machine: the four validators judge the whole corpus in a world where everything outside them explodes (G4)."""

import ast
import builtins
import contextlib
import datetime as dt
import importlib
import io
import os
import pathlib
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid

import pytest

import weighbridge.validators
from tests.vectors import corpus
from weighbridge import canonical
from weighbridge.domain import instant
from weighbridge.validators import values
from weighbridge.validators.builtin import BUILT_IN

PACKAGE = pathlib.Path(weighbridge.__file__).parent
MODULES = sorted((PACKAGE / "validators").glob("*.py"))

FORBIDDEN = frozenset(
    {
        *("apsw", "asyncio", "concurrent", "ctypes", "datetime", "getpass", "glob", "http", "io", "locale", "logging"),
        *(
            "importlib.metadata",
            "importlib.resources",
            "multiprocessing",
            "os",
            "pathlib",
            "platform",
            "queue",
            "random",
        ),
        *(
            "sched",
            "secrets",
            "select",
            "selectors",
            "shutil",
            "signal",
            "socket",
            "sqlite3",
            "ssl",
            "subprocess",
            "sys",
        ),
        *("tempfile", "threading", "time", "urllib", "uuid", "zoneinfo"),
    }
)
# What validators stand on may name a type of these; the text beside each says which.
ALLOWED_BELOW = {
    "weighbridge.domain.instant": {"datetime"},  # fromisoformat
    "weighbridge.domain.identifiers": {"uuid"},  # UUID, for minting from what is handed in
}
FORBIDDEN_CALLS = {
    "open",
    "input",
    "print",
    "exec",
    "eval",
    "compile",
    "__import__",
    "breakpoint",
    "id",
    "hash",
    "globals",
}


class Exploded(BaseException):
    """Not an `Exception`, so that nothing swallows it."""


def explode(*_args, **_kwargs):
    raise Exploded


def import_what_is_there(name, *others, really=builtins.__import__):
    # The interpreter's own JSON scanner asks for a module that is loaded, to name an error; nothing is read for that.
    return really(name, *others) if name in sys.modules else explode()


class ExplodingEnvironment(dict):
    __getitem__ = __contains__ = get = items = keys = values = __iter__ = explode


class ExplodingDatetime(dt.datetime):
    now = utcnow = today = fromtimestamp = classmethod(explode)


OUTSIDE = [
    (
        time,
        "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time gmtime localtime strftime sleep",
    ),
    (random, "random randint choice shuffle sample getrandbits seed Random SystemRandom"),
    (secrets, "token_bytes token_hex randbelow choice"),
    (uuid, "uuid1 uuid4"),
    (os, "urandom getenv listdir scandir stat open system popen getcwd getpid getlogin"),
    (io, "open open_code"),
    (socket, "socket create_connection getaddrinfo gethostname"),
    (subprocess, "Popen run check_output"),
    (threading, "Thread"),
    (importlib, "import_module"),
    (builtins, "open input print"),
]


@contextlib.contextmanager
def darkness():
    """Make clock, randomness, files, sockets, environment, processes and late imports raise."""
    traps: list[tuple] = [(module, name, explode) for module, names in OUTSIDE for name in names.split()]
    traps += [(os, "environ", ExplodingEnvironment()), (dt, "datetime", ExplodingDatetime)]
    traps += [(builtins, "__import__", import_what_is_there)]
    before = [(module, name, getattr(module, name)) for module, name, _ in traps]
    try:
        for trap in traps:
            setattr(*trap)
        yield
    finally:
        for one in before:
            setattr(*one)


def test_every_validator_judges_every_vector_without_the_outside_world():
    """G4: a function of (context, effective policy) only; the first judgement included, in which rules are prepared."""
    loaded = [(vector, *vector.load()) for vector in corpus.vectors()]
    instant._known.clear()
    values._midnight.cache_clear()
    with darkness():
        answers = [[one.evaluate(context, policy) for one in BUILT_IN] for _, policy, context in loaded]
    for (vector, _, _), results in zip(loaded, answers, strict=True):
        assert canonical.encode([corpus.as_json(one) for one in results]) == canonical.encode(vector.expected), (
            vector.name
        )
    assert len(answers) >= 100


@pytest.mark.parametrize(
    "look",
    [
        lambda: time.time() or time.monotonic(),
        lambda: dt.datetime.now(dt.UTC),
        lambda: random.random() or random.randint(0, 1),
        lambda: secrets.token_hex(1),
        lambda: uuid.uuid4().hex,
        lambda: os.urandom(1),
        lambda: os.environ["HOME"],
        lambda: os.environ.get("HOME"),
        lambda: pathlib.Path("/dev/null").read_text("utf-8"),
        lambda: pathlib.Path("/dev/null").read_bytes(),
        lambda: socket.socket().close(),
        lambda: subprocess.run(["true"], check=False),
        lambda: __import__("nothing_of_that_name"),
        lambda: importlib.import_module("json"),
    ],
)
def test_in_that_world_looking_outside_explodes(look):
    """The trap is set: whoever looks is caught."""
    with darkness(), pytest.raises(Exploded):
        look()


def imports(path):
    """Return the names of modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def forbidden(names):
    return {word for name in names for word in FORBIDDEN if name == word or name.startswith(f"{word}.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_validator_imports_what_could_look_outside(path):
    """G4, G9: they get no handle with which they could."""
    assert not forbidden(imports(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_validator_calls_what_looks_outside_or_depends_on_the_hash_seed(path):
    """G4: no file, no identity of objects, no hash of texts."""
    calls = (
        node.func.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    assert not FORBIDDEN_CALLS & set(calls)


def test_nor_does_what_they_stand_on():
    """G4: everything of ours that they import, to the ground."""
    waiting, seen = list(MODULES), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        names = imports(path)
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        assert forbidden(names) <= ALLOWED_BELOW.get(module, set()), module
        waiting += [
            found
            for name in names
            if name.startswith("weighbridge.")
            and (found := PACKAGE.parent / (name.replace(".", "/") + ".py")).is_file()
        ]
    assert PACKAGE / "domain" / "instant.py" in seen


def test_the_four_hold_nothing():
    """G1, G4: no state of their own, so none sees what another, or an earlier request, found."""
    for one in BUILT_IN:
        assert vars(one) == {}
