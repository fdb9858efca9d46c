"""What one transaction decides and writes. Knows the rows, not the driver; commits nothing.

Every submission of a batch is decided in its turn by the kernel, over what is stored and what the batch adds before it.
Then every row is written, a table at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from weighbridge.errors import CanonicalError, StoreError, WeighbridgeError
from weighbridge.ledger.commit import Effects, Replay, answer, decide
from weighbridge.ledger.submission import (
    BlockedProposal,
    Committed,
    Head,
    Identity,
    RetryAuthorisation,
    Submission,
)
from weighbridge.storage.group_commit import Item
from weighbridge.storage.reading import StoredRecord
from weighbridge.storage.sqlite.rows import SqliteRows

Work = tuple[Submission, tuple[str, ...]]
"""A submission, and the content hashes it erases."""

Items = list[Item[Work, Committed]]

_Rows = list[tuple[Any, ...]]

_LEDGER = "INSERT INTO ledger (tenant, seq, leaf_hash, hash, body) VALUES (?, ?, ?, ?, ?)"
_IDENTITY = (
    "INSERT INTO identity (tenant, kind, id, request_hash, seq, state) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET request_hash = excluded.request_hash, seq = excluded.seq, state = excluded.state"
)
_BLOCKED = (
    "INSERT INTO blocked_proposal "
    "(tenant, choke_point, proposal_hash, validation_run_id, inputs_hash, policy_version, seq) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET validation_run_id = excluded.validation_run_id, inputs_hash = excluded.inputs_hash, "
    "policy_version = excluded.policy_version, seq = excluded.seq"
)
_AUTHORISED = (
    "INSERT INTO retry_authorisation "
    "(tenant, choke_point, proposal_hash, inputs_hash, expires_ms, given_by, seq, used_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET inputs_hash = excluded.inputs_hash, expires_ms = excluded.expires_ms, "
    "given_by = excluded.given_by, seq = excluded.seq, used_seq = excluded.used_seq"
)
_SUBJECT = "INSERT INTO subject (tenant, kind, id, seq) VALUES (?, ?, ?, ?)"
# L6: a row that is there stays as it is, so erased content is never inserted again.
_CONTENT = "INSERT INTO content (tenant, hash, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ERASE = "UPDATE content SET body = NULL WHERE tenant = ? AND hash = ?"
_HEAD = (
    "INSERT INTO ledger_head (tenant, seq, hash, last_time_ms, policy_version) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash, last_time_ms = excluded.last_time_ms, "
    "policy_version = excluded.policy_version"
)


class Connection(Protocol):
    """What writing needs of a connection."""

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for every row."""


class TenantView:
    """The `View` of one tenant inside the transaction: what is stored, under what this batch adds."""

    def __init__(self, tenant_id: str, rows: SqliteRows) -> None:
        self._tenant_id, self._rows = tenant_id, rows
        self._head: Head | None = None
        self.records: dict[int, StoredRecord] = {}
        self.identities: dict[tuple[str, str], Identity] = {}
        self.blocks: dict[tuple[str, str], BlockedProposal] = {}
        self.authorised: dict[tuple[str, str], RetryAuthorisation] = {}
        self.subjects: list[tuple[str, str, int]] = []
        self.contents: dict[str, bytes] = {}
        self.erases: list[str] = []

    def head(self) -> Head:
        """Return the tenant's head."""
        if self._head is None:
            self._head = self._rows.head(self._tenant_id)
        return self._head

    def identity(self, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""
        return self.identities.get((kind, identity)) or self._rows.identity(self._tenant_id, kind, identity)

    def blocked(self, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of this proposal."""
        known = self.blocks.get((choke_point, proposal_hash))
        return known or self._rows.blocked(self._tenant_id, choke_point, proposal_hash)

    def authorisation(self, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for this proposal."""
        known = self.authorised.get((choke_point, proposal_hash))
        return known or self._rows.authorisation(self._tenant_id, choke_point, proposal_hash)

    def has_content(self, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored."""
        return content_hash in self.contents or self._rows.has_content(self._tenant_id, content_hash)

    def recorded(self, replay: Replay) -> Committed:
        """Return the answer that is on record."""
        stored = self.records.get(replay.seq) or self._rows.record(self._tenant_id, replay.seq)
        if stored is None:
            raise StoreError(f"record {replay.seq} is missing; run `weighbridge ledger verify`")
        return answer(replay, stored.hash, stored.body)

    def apply(self, effects: Effects) -> None:
        """Let what follows see these effects."""
        self._head, seq = effects.head, effects.head.seq
        self.records[seq] = StoredRecord(seq, effects.leaf_hash, effects.head.hash, effects.body)
        self.identities.update({(kind, name): identity for kind, name, identity in effects.identities})
        self.blocks.update({(point, proposal): block for point, proposal, block in effects.blocked})
        self.authorised.update({(point, proposal): given for point, proposal, given in effects.authorisations})
        self.subjects += [(kind, name, seq) for kind, name in effects.subjects]
        self.contents.update(effects.contents)
        self.erases += effects.erases


class Batch:
    """The submissions of one transaction. A later one sees the effects of the earlier ones."""

    def __init__(self, rows: SqliteRows, purpose: str) -> None:
        self._rows, self._purpose = rows, purpose
        self._views: dict[str, TenantView] = {}
        self._replays: list[tuple[Item[Work, Committed], Committed]] = []
        self.pending: list[tuple[Item[Work, Committed], Effects]] = []

    def decide(self, items: Items) -> None:
        """Decide every item; one that is wrong gets its own error, and the others do not notice."""
        for item in items:
            try:
                self._decide(item)
            except UnicodeEncodeError:
                item.error = CanonicalError("an id holds a lone surrogate; send well-formed Unicode")
            except WeighbridgeError as error:
                item.error = error

    def _decide(self, item: Item[Work, Committed]) -> None:
        submission, erases = item.work
        view = self._views.get(submission.tenant_id)
        if view is None:
            view = self._views[submission.tenant_id] = TenantView(submission.tenant_id, self._rows)
        effects = decide(submission, view, purpose=self._purpose, erases=erases)
        if isinstance(effects, Replay):
            self._replays.append((item, view.recorded(effects)))
        else:
            view.apply(effects)
            self.pending.append((item, effects))

    def answer(self) -> None:
        """Answer everyone who was decided. Only after COMMIT (G2)."""
        for item, effects in self.pending:
            item.answer = effects.committed
        for item, committed in self._replays:
            item.answer = committed

    def write(self, connection: Connection) -> None:
        """Write every row."""
        if not self.pending:
            return
        for sql, rows in self._statements():
            if rows:
                connection.executemany(sql, rows)

    def _statements(self) -> Iterator[tuple[str, _Rows]]:
        changed = [(tenant, view) for tenant, view in self._views.items() if view.records]
        yield _LEDGER, [(tenant, *stored) for tenant, view in changed for stored in view.records.values()]
        yield (
            _IDENTITY,
            [
                (tenant, *key, known.request_hash, known.seq, known.state)
                for tenant, view in changed
                for key, known in view.identities.items()
            ],
        )
        yield (
            _BLOCKED,
            [
                (tenant, *key, block.validation_run_id, block.inputs_hash, block.policy_version, block.seq)
                for tenant, view in changed
                for key, block in view.blocks.items()
            ],
        )
        yield (
            _AUTHORISED,
            [
                (tenant, *key, given.inputs_hash, given.expires_ms, given.by, given.seq, given.used_seq)
                for tenant, view in changed
                for key, given in view.authorised.items()
            ],
        )
        yield _SUBJECT, [(tenant, *subject) for tenant, view in changed for subject in view.subjects]
        yield _CONTENT, [(tenant, *content) for tenant, view in changed for content in view.contents.items()]
        yield _ERASE, [(tenant, content_hash) for tenant, view in changed for content_hash in view.erases]
        heads = ((tenant, view.head()) for tenant, view in changed)
        yield _HEAD, [(tenant, head.seq, head.hash, head.last_time_ms, head.policy_version) for tenant, head in heads]
