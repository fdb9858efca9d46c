"""The process that witnesses logs of others over HTTP (c2sp.org/tlog-witness), in the hands of somebody else than theirs.

It keeps one file for each log, the checkpoint that it cosigned last, and replaces it durably before it answers; checking and
replacing happen under one lock, so that no request is judged by a head that another one has left behind. Whoever loses this
folder must retire the witness's key: a witness that forgot cosigns what it should refuse.

Requests are not authenticated beyond the log's signature; whoever listens on a public address puts TLS and limits before it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from weighbridge.errors import WeighbridgeError
from weighbridge.ledger.checkpoint import LogHead
from weighbridge.ledger.cosignature import cosign
from weighbridge.ledger.note import SignatureCheck, Signer, VerifierKey
from weighbridge.ledger.witnessing import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    PATH,
    REQUEST_BYTES_MAX,
    SIZE_TYPE,
    NotCosigned,
    Request,
    examined,
    origin_of,
)
from weighbridge.witnesses.interface import WitnessError

SUFFIX = ".cosigned"
LOCK = "witness.lock"
REQUEST_S_MAX = 10  # a client that sends nothing any more holds a thread no longer
_TEXT = "text/plain; charset=utf-8"


class WitnessState:
    """What was cosigned last for each log, in a folder of this process alone.

    Raises:
        WitnessError: on construction, where the folder is not there, or another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WitnessError(
                f"`{folder}` cannot hold what was cosigned ({error.strerror}); make the folder"
            ) from None
        try:
            import fcntl  # noqa: PLC0415 - not on every system

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ImportError, OSError):
            os.close(self._lock)
            raise WitnessError(
                f"another process witnesses with `{folder}`, or it cannot be locked; one at a time"
            ) from None

    def close(self) -> None:
        """Give up the folder."""
        os.close(self._lock)

    def last(self, origin: str) -> LogHead | None:
        """Return the head that was cosigned last; None where none was.

        Raises:
            WitnessError: what was kept cannot be read; then nothing of this log is cosigned.
        """
        try:
            note = self._path(origin).read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise WitnessError(f"what was cosigned for `{origin}` cannot be read ({error})") from None
        try:
            head = origin_of(note)
        except NotCosigned as error:
            raise WitnessError(f"what was cosigned for `{origin}` was damaged ({error})") from None
        if head.origin != origin:
            raise WitnessError(f"what was cosigned for `{origin}` is of `{head.origin}`: the files were exchanged")
        return head

    def keep(self, origin: str, note: str) -> None:
        """Replace what was cosigned last; on return it is durable."""
        path = self._path(origin)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}{SUFFIX}"


class WitnessService:
    """Cosigns what continues what it cosigned. Safe to share between threads. ``keys`` are those of the logs it witnesses."""

    def __init__(
        self,
        state: WitnessState,
        signer: Signer,
        keys: Sequence[VerifierKey],
        *,
        check: SignatureCheck,
        clock_ms: Callable[[], int],
    ) -> None:
        self._state, self._signer, self._keys, self._check = state, signer, tuple(keys), check
        self._clock_ms, self._lock = clock_ms, threading.Lock()

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature of a checkpoint, as the line of a note, after it was kept.

        Raises:
            NotCosigned: it is not cosigned; nothing was kept.
            WitnessError: what was cosigned before cannot be read.
        """
        request = Request.parse(body)
        with self._lock:
            last = self._state.last(origin_of(request.note).origin)
            head = examined(request, last, self._keys, self._check)
            line = cosign(request.note.rpartition("\n\n")[0] + "\n", self._signer, self._clock_ms() // 1000)
            self._state.keep(head.origin, request.note + line)
        return line


@contextmanager
def listening(service: WitnessService, host: str, port: int) -> Iterator[ThreadingHTTPServer]:
    """Give a server that answers for ``service`` once it is told to; port 0 takes any.

    Raises:
        WitnessError: nobody can listen there.
    """

    class Handler(_Handler):
        asked = service

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise WitnessError(f"nobody can listen on {host}:{port} ({error.strerror})") from None
    with server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    asked: WitnessService
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_S_MAX

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._answer(NOT_FOUND, "there is only /add-checkpoint here\n", close=True)
        elif not (length.isascii() and length.isdecimal()) or int(length) > REQUEST_BYTES_MAX:
            self._answer(BAD_REQUEST, f"say how long the request is, at most {REQUEST_BYTES_MAX} bytes\n", close=True)
        else:
            self._answer(*self._asked(self.rfile.read(int(length))))

    def _asked(self, body: bytes) -> tuple[int, str, str]:
        try:
            return 200, self.asked.add_checkpoint(body), _TEXT
        except NotCosigned as error:
            if error.status == CONFLICT and error.size is not None:
                return CONFLICT, f"{error.size}\n", SIZE_TYPE
            return error.status, f"{error}\n", _TEXT
        except (WeighbridgeError, OSError) as error:
            return 500, f"{error}\n", _TEXT

    def _answer(self, status: int, text: str, kind: str = _TEXT, *, close: bool = False) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if close:
            self.send_header("Connection", "close")  # a body that was not read would be taken for the next request
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_what: object) -> None:
        """Say nothing: whoever wants a log of requests puts a proxy before it."""
