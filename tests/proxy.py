"""A TCP proxy before a server on a Unix socket that can cut connections, stall, or keep the answers to itself."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

BLOCK = 65_536


@dataclass(eq=False)
class _Pair:
    """One connection, both ways."""

    client: socket.socket
    server: socket.socket
    gone: bool = False
    deaf: bool = False

    def cut(self) -> None:
        self.gone = True
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Proxy:
    """Listens on ``port``, and passes everything on, unless told to `hold` it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pairs: set[_Pair] = set()
        self._held: frozenset[str] = frozenset()
        self._after = b""
        self._change = threading.Condition()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, *ends: str, after: bytes = b"") -> int:
        """Keep what goes to the ``server`` or to the ``client`` until told otherwise; at the ``door``, let nobody else in.

        ``after`` keeps the answers on every connection that carries these bytes to the server, from then on. Return how many
        connections there are. What is not named passes again, with what was kept of it.
        """
        with self._change:
            self._held, self._after = frozenset(ends), after
            for pair in self._pairs:
                pair.deaf = False
            self._change.notify_all()
            return len(self._pairs)

    def deaf(self) -> int:
        """Return on how many connections answers are kept, because of what was asked."""
        with self._change:
            return sum(pair.deaf for pair in self._pairs)

    def cut(self) -> int:
        """Cut every connection, with what was kept, and return how many."""
        with self._change:
            pairs, self._pairs = self._pairs, set()
            for pair in pairs:
                pair.cut()
            self._change.notify_all()
            return len(pairs)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            pair = _Pair(client, server)
            try:
                if "door" in self._held:
                    raise ConnectionRefusedError
                server.connect(self._path)
            except OSError:
                pair.cut()
                continue
            with self._change:
                self._pairs.add(pair)
            for end, source, target in (("server", client, server), ("client", server, client)):
                threading.Thread(target=self._pump, args=(pair, end, source, target), daemon=True).start()

    def _keeps(self, pair: _Pair, end: str) -> bool:
        return end in self._held or (end == "client" and pair.deaf)

    def _pump(self, pair: _Pair, end: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                with self._change:
                    pair.deaf |= end == "server" and bool(self._after) and self._after in data
                    self._change.wait_for(lambda: pair.gone or not self._keeps(pair, end))
                    if pair.gone:
                        return
                target.sendall(data)
        with self._change:
            self._pairs.discard(pair)
            pair.cut()
            self._change.notify_all()


@contextmanager
def proxy(path: str) -> Iterator[Proxy]:
    """Give a proxy to the server that listens at ``path``."""
    made = Proxy(path)
    try:
        yield made
    finally:
        made.close()
