"""The recorder: the only caller of a store's write side.

It hands over one submission and waits for the commit; nobody sees a verdict that is not on record (G2). What goes wrong
becomes a refusal, which is counted, logged, and summed into the tenant's next record, so that the ledger itself says how
often it could not answer.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from weighbridge.errors import Refusal, StoreError, UsageError, WeighbridgeError
from weighbridge.ledger.submission import Committed, Submission

if TYPE_CHECKING:
    from weighbridge.storage.writing import LedgerWriter

_log = logging.getLogger("weighbridge.recorder")

Observer = Callable[[Submission, Committed], None]
"""Told of a new record after its commit, on the thread that asked for it. What it does or raises changes nothing (M3)."""

REFUSALS_LOGGED_MAX = 5  # of one code, in `REFUSALS_WINDOW_S`: a server that is away refuses every request
REFUSALS_WINDOW_S = 10.0
KNOWN_CONTENT_MAX = 10_000  # hashes remembered per recorder, about 1 MB; forgetting one costs a statement, nothing else


class Recorder:
    """Records submissions on one store. Safe to call from many threads.

    ``monotonic_s`` says when to log again what is refused again and again; without it, each is logged. Each is counted (G2).
    """

    def __init__(self, writer: LedgerWriter, *, monotonic_s: Callable[[], float] | None = None) -> None:
        self._writer, self._monotonic_s = writer, monotonic_s
        self._windows: dict[str, tuple[float, int]] = {}
        self._observers: tuple[Observer, ...] = ()
        self._refused: dict[str, Counter[str]] = {}
        self._known_content: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def observe(self, observer: Observer) -> None:
        """Have somebody told of every new record from now on."""
        self._observers = (*self._observers, observer)

    def record(self, submission: Submission) -> Committed:
        """Append one record, or return the one that already answers it.

        Raises:
            IdempotencyConflict, NotFound: the submission contradicts what is on record.
            Refusal: nothing could be recorded, or it is unknown whether it was.
        """
        return self._write(submission, self._writer.commit)

    def erase(self, tenant_id: str, hashes: tuple[str, ...], submission: Submission) -> Committed:
        """Remove content bodies and append the record that says so, together or not at all (L6).

        Raises:
            As :meth:`record`; `NotFound` where a hash is unknown.
        """
        return self._write(submission, lambda ready: self._writer.erase_content(tenant_id, hashes, ready))

    def _write(self, submission: Submission, write: Callable[[Submission], Committed]) -> Committed:
        ready = self._completed(submission)
        try:
            committed = write(ready)
        except UsageError:
            self._put_back(ready)
            raise
        except WeighbridgeError as error:
            self._put_back(ready)
            raise self.refuse(submission.tenant_id, error) from error
        except Exception as error:
            # A store that raises something else may have written or not: the honest answer is "unknown".
            self._put_back(ready)
            raise self.refuse(submission.tenant_id, error) from error
        except BaseException:  # an interrupt: whoever is told next is told of all refusals
            self._put_back(ready)
            raise
        self._settle(ready, committed)
        self._tell(ready, committed)
        return committed

    def record_many(self, submissions: Sequence[Submission]) -> list[Committed | WeighbridgeError]:
        """Append many records in order; each submission's answer or error stands in its place."""
        ready = [self._completed(submission) for submission in submissions]
        answers: list[Committed | WeighbridgeError] = []
        try:
            outcomes = self._writer.commit_many(ready)
        except BaseException:
            for submission in ready:
                self._put_back(submission)
            raise
        for submission, answer in zip(ready, outcomes, strict=True):
            if isinstance(answer, Committed):
                self._settle(submission, answer)
                answers.append(answer)
                continue
            self._put_back(submission)
            known = isinstance(answer, UsageError)
            answers.append(answer if known else self.refuse(submission.tenant_id, answer))
        for submission, told in zip(ready, answers, strict=True):
            if isinstance(told, Committed):
                self._tell(submission, told)
        return answers

    def _tell(self, submission: Submission, committed: Committed) -> None:
        if committed.replayed:
            return  # somebody was told when it was made
        for observer in self._observers:
            try:
                observer(submission, committed)
            except Exception:  # noqa: BLE001 - whatever it is: the record is committed, and its answer is due
                _log.exception("an observer failed; what was recorded stands")

    def refusals(self, tenant_id: str) -> dict[str, int]:
        """Return the refusals of a tenant that no record tells of yet, by code."""
        with self._lock:
            return dict(self._refused.get(tenant_id, ()))

    def _completed(self, submission: Submission) -> Submission:
        """Return the submission with the refusals it has to tell of, and without content that is certainly stored."""
        tenant_id = submission.tenant_id
        contents = tuple(item for item in submission.contents if (tenant_id, item[0]) not in self._known_content)
        with self._lock:
            refusals = dict(self._refused.pop(tenant_id, ()))
        return msgspec.structs.replace(submission, contents=contents, refusals=refusals)

    def _settle(self, submission: Submission, committed: Committed) -> None:
        if committed.replayed:
            self._put_back(submission)  # no record was made that could have told of them
            return
        if len(self._known_content) > KNOWN_CONTENT_MAX:
            self._known_content = set()
        # What the record does not name was not stored: the reason for a reservation that was not asked for after all.
        named = (content_hash for content_hash, _ in submission.contents if content_hash.encode() in committed.body)
        self._known_content.update((submission.tenant_id, content_hash) for content_hash in named)

    def _put_back(self, submission: Submission) -> None:
        if submission.refusals:
            with self._lock:
                self._refused.setdefault(submission.tenant_id, Counter()).update(submission.refusals)

    def refuse(self, tenant_id: str, error: Exception) -> Refusal:
        """Count and log that no verdict could be recorded, and return the refusal to raise (G2)."""
        if isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, StoreError):
            refusal = Refusal("LEDGER_WRITE_FAILED", str(error))
        else:
            refusal = Refusal(
                "COMMIT_UNKNOWN", f"the store failed with {type(error).__name__}; ask again under the same id"
            )
        with self._lock:
            self._refused.setdefault(tenant_id, Counter())[refusal.code] += 1
            unlogged = self._unlogged(refusal.code)
        if unlogged is not None:
            more = f" (and {unlogged} more that were not logged)" if unlogged else ""
            _log.error("refused to decide: %s%s", refusal, more, extra={"tenant_id": tenant_id, "code": refusal.code})
        return refusal

    def _unlogged(self, code: str) -> int | None:
        """Return how many refusals were passed over before this one, which is to be logged; None where it is not."""
        if self._monotonic_s is None:
            return 0
        now_s = self._monotonic_s()
        began_s, seen = self._windows.get(code, (now_s, 0))
        passed = max(0, seen - REFUSALS_LOGGED_MAX)
        if now_s - began_s >= REFUSALS_WINDOW_S:
            began_s, seen = now_s, 0
        else:
            passed = 0
        self._windows[code] = (began_s, seen + 1)
        return passed if seen < REFUSALS_LOGGED_MAX else None
