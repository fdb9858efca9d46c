"""The stranger's verifier: checks an export with nothing but the export.

It finds any change that does not recompute the chain, any record that is missing, doubled, moved or of another tenant, a file
that was cut, and, given the tenant's content key, content that is not what its hash says. Of an export from record 1 it also
adds budgets up, and finds a decision that does not follow from what was reserved before it (B4, B5, B7). It names the first
bad record. For that, memory grows with the number of reservations.

It does not find, and nothing that looks at an export alone can: records cut off the end before exporting, an old copy of the
ledger, or a chain computed anew to say something else that could have been. For that, hand in a ``witness``: the number and
hash of a record, kept where whoever could rewrite the ledger cannot reach; or what checkpoints saw (``seen``) (L3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from weighbridge import canonical
from weighbridge.ledger import chain, record
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.checkpoint import TenantHead
from weighbridge.ledger.export import FORMAT, VERSION, ContentLine, Header, RecordLine, Trailer
from weighbridge.ledger.proof import unexplained_faults
from weighbridge.ledger.tally import Tally

FAULTS_MAX = 100  # beyond that the rest is noise
PROGRESS_BYTES = 1 << 18

_OF_BUDGETS = record.BUDGET_DECISIONS | {record.POLICY_ACTIVATED, record.USAGE_REPORTED, record.BUDGET_SETTLE}

_Line = TypeVar("_Line", Header, RecordLine, ContentLine, Trailer)


class ExportReport(msgspec.Struct, frozen=True):
    """What was checked and what was found: the records from ``first_seq`` to ``last_seq``, and nothing that stands before.

    ``contents`` are those in the file; only with the tenant's key are they checked. ``head`` is the number and hash (hex) of the
    last record. ``faults`` are the first ones, by record.
    """

    tenant_id: str | None
    first_seq: int
    records: int
    contents: int
    contents_checked: bool
    head: tuple[int, str]
    faults: tuple[Fault, ...]

    @property
    def last_seq(self) -> int:
        """Return the number of the last record; one less than ``first_seq`` where there is none."""
        return self.head[0]

    @property
    def partial(self) -> bool:
        """Return whether records stand before the first one, which this export does not show."""
        return self.first_seq > 1

    @property
    def ok(self) -> bool:
        """Return whether everything verifies."""
        return not self.faults

    @property
    def first_bad(self) -> Fault | None:
        """Return the fault at the lowest record."""
        return chain.first_bad(self.faults)


def verify_export(
    lines: Iterable[bytes],
    *,
    key: bytes | None = None,
    witness: tuple[int, str] | None = None,
    seen: Sequence[TenantHead] = (),
    progress: Callable[[int], None] | None = None,
) -> ExportReport:
    """Return what is wrong with an export, reading it line by line.

    ``key`` is the tenant's content key, without which content cannot be checked. ``witness`` is number and hash (hex) of a record
    known from elsewhere; it must be among the records, or be the one before the first. ``seen`` is where checkpoints, opened
    before, say that ledgers stood; those of other tenants are passed over, and what they need is all records from the first.
    ``progress`` is told bytes as they are read.
    """
    check = _Check(key, witness, seen)
    unreported = 0
    for line in lines:
        check.line(line)
        unreported += len(line)
        if progress is not None and unreported >= PROGRESS_BYTES:
            progress(unreported)
            unreported = 0
    if progress is not None:
        progress(unreported)
    return check.report()


class _Check:
    """The state between two lines."""

    def __init__(self, key: bytes | None, witness: tuple[int, str] | None, seen: Sequence[TenantHead]) -> None:
        self._key, self._witness, self._seen = key, witness, seen
        self._leaves: list[bytes] = []  # filled where checkpoints are to be compared
        self._header: Header | None = None
        self._trailer: Trailer | None = None
        self._seq, self._hash = 0, b""
        self._records = self._contents = self._number = 0
        self._witnessed = False
        self._named: dict[
            str, int
        ] = {}  # content to the first record that points to it; filled where content is checked
        self._faults: list[Fault] = []
        self._tally: Tally | None = None

    def line(self, line: bytes) -> None:
        self._number += 1
        value = self._parse(line)
        if self._trailer is not None:
            self._fault("end", f"line {self._number} stands after the last line")
        elif self._header is None:
            self._take_header(self._convert(value, Header))
        elif isinstance(value, dict) and "content" in value:
            self._take_content(self._convert(value, ContentLine))
        elif isinstance(value, dict) and "end" in value:
            self._take_trailer(self._convert(value, Trailer))
        else:
            self._take_record(self._convert(value, RecordLine))

    def report(self) -> ExportReport:
        if self._trailer is None:
            self._fault("end", f"the file ends after record {self._seq} without its last line; it was cut")
        if self._witness is not None and self._header is not None:
            self._require_witness(self._header, self._witness[0])
        if self._seen and self._header is not None:
            self._require_seen(self._header)
        header = self._header
        return ExportReport(
            tenant_id=header.tenant_id if header else None,
            first_seq=header.after_seq + 1 if header else 1,
            records=self._records,
            contents=self._contents,
            contents_checked=self._key is not None,
            head=(self._seq, self._hash.hex()),
            faults=tuple(sorted(self._faults, key=chain.bad_order)[:FAULTS_MAX]),
        )

    def _take_header(self, header: Header | None) -> None:
        self._header = header or Header("", 0, "", 0, "")
        if header is None:
            return
        if (header.format, header.version) != (FORMAT, VERSION):
            self._fault("header", f"this is `{header.format}` version {header.version}, not {FORMAT} version {VERSION}")
        self._seq, self._hash = header.after_seq, _bytes(header.after_hash)
        self._tally = Tally() if header.after_seq == 0 else None
        if header.after_seq == 0 and self._hash != chain.genesis(header.tenant_id):
            self._fault("header", f"the chain does not start at the genesis hash of tenant `{header.tenant_id}`")

    def _take_record(self, line: RecordLine | None) -> None:
        if line is None:
            return
        body = line.body.encode()
        hash_ = _bytes(line.hash)
        fault = chain.check_link((self._seq, self._hash), line.seq, _bytes(line.leaf), hash_, body)
        fault = fault or self._check_body(line.seq, body)
        if fault is not None:
            self._fault(fault.part, fault.message, fault.seq)
            self._tally = None if fault.part != "budget" else self._tally  # what a broken record reserved, nobody knows
        self._seq, self._hash = line.seq, hash_
        self._records += 1
        if self._seen:
            self._leaves.append(chain.leaf_hash(body))
        if self._witness is not None and self._witness[0] == line.seq:
            self._compare_witness(
                line.hash, f"record {line.seq} is not the one the witness saw; the chain was computed anew"
            )

    def _check_body(self, seq: int, body: bytes) -> Fault | None:
        tenant_id = self._header.tenant_id if self._header else None
        try:
            decoded = record.decode(body)
        except Exception as error:  # noqa: BLE001 - whatever a body is, the rest of the file is still checked
            return Fault(seq, "record", f"the body of record {seq} cannot be read: {error}")
        if (decoded.tenant_id, decoded.seq) != (tenant_id, seq):
            place = f"record {decoded.seq} of tenant `{decoded.tenant_id}`"
            return Fault(seq, "record", f"the body of record {seq} is that of {place}")
        stated = self._header.purpose if self._header else None
        if seq == 1 and stated not in {None, decoded.purpose}:
            return Fault(1, "header", f"the first line says `{stated}`, record 1 says `{decoded.purpose}`")
        if self._key is not None:
            for content_hash in record.content_hashes(decoded.events):
                self._named.setdefault(content_hash, seq)
        return self._check_budget(self._tally, decoded) if self._tally is not None else None

    @staticmethod
    def _check_budget(tally: Tally, decoded: record.Record) -> Fault | None:
        try:
            if all(event["type"] not in _OF_BUDGETS for event in decoded.events):
                tally.seen(decoded.common)
                return None
            wrong = tally.add(record.events(decoded))
        except Exception as error:  # noqa: BLE001 - as above
            return Fault(decoded.seq, "record", f"record {decoded.seq} lacks what its events need ({error!r})")
        if wrong:
            return Fault(decoded.seq, "budget", f"record {decoded.seq} claims what does not follow: {wrong[0]}")
        return None

    def _take_content(self, line: ContentLine | None) -> None:
        if line is None:
            return
        self._contents += 1
        try:
            body = line.body
        except ValueError:
            self._content_fault(line, "is not base64")
            return
        if body is None and not line.erased:
            self._content_fault(line, "has no body")
        elif body is not None and self._key is not None and canonical.keyed_hash(self._key, body) != line.content:
            self._content_fault(line, "does not match its hash")

    def _take_trailer(self, line: Trailer | None) -> None:
        if line is None:
            return
        self._trailer = line
        if (line.seq, line.hash) != (self._seq, self._hash.hex()):
            self._fault(
                "end", f"the last line says record {line.seq}, the records end with {self._seq} and another hash"
            )
        if line.contents != self._contents:
            message = f"the last line says {line.contents} contents, the file holds {self._contents}"
            self._add(Fault(None, "end", message))

    def _require_seen(self, header: Header) -> None:
        """Require that the records are those that checkpoints saw (L3)."""
        own = [head for head in self._seen if head.tenant_id == header.tenant_id]
        if header.after_seq:
            why = "export all of it, or a bundle, which brings the proof along"
            message = f"a checkpoint says nothing of records after {header.after_seq} alone; {why}"
            self._add(Fault(None, "checkpoint", message))
        elif not own:
            message = f"no checkpoint that was handed in says anything of tenant `{header.tenant_id}`"
            self._add(Fault(None, "checkpoint", message))
        else:
            bad = [fault.seq for fault in self._faults if fault.seq is not None]
            for fault in unexplained_faults(own, self._leaves, bad):
                self._add(fault)

    def _require_witness(self, header: Header, seq: int) -> None:
        """Require that the file says anything about the record that the witness saw."""
        if seq == header.after_seq:
            self._compare_witness(header.after_hash, f"what stands before record {seq + 1} is not what the witness saw")
        elif not self._witnessed:
            why = "export more of the ledger" if seq < header.after_seq else "it was cut, or is an old copy"
            place = f"it holds records {header.after_seq + 1} to {self._seq}"
            self._fault("witness", f"record {seq}, which the witness saw, is not in this export; {place}: {why}", seq)

    def _compare_witness(self, hash_: str, message: str) -> None:
        self._witnessed = True
        if self._witness is not None and self._witness[1] != hash_:
            self._fault("witness", message, self._witness[0])

    def _content_fault(self, line: ContentLine, wrong: str) -> None:
        self._add(Fault(self._named.get(line.content), "content", f"content `{line.content}` {wrong}"))

    def _parse(self, line: bytes) -> Any:
        """Return the line's value; one that is not canonical could say different things to different readers."""
        text = line.removesuffix(b"\n")
        try:
            value = canonical.decode(text)
            if value is not None and canonical.encode(value) == text:
                return value
        except Exception:  # noqa: BLE001, S110 - said below
            pass
        self._fault("line", f"line {self._number} is not a line of an export")
        return None

    def _convert(self, value: Any, kind: type[_Line]) -> _Line | None:
        if value is None:
            return None
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            self._fault("line", f"line {self._number} is not a line of an export: {error}")
            return None

    def _fault(self, part: str, message: str, seq: int | None = None) -> None:
        self._add(Fault(self._seq + 1 if seq is None else seq, part, message))

    def _add(self, fault: Fault) -> None:
        self._faults.append(fault)
        if len(self._faults) == 2 * FAULTS_MAX:  # the first bad record must stay, whenever it is found
            self._faults = sorted(self._faults, key=chain.bad_order)[:FAULTS_MAX]


def _bytes(text: str) -> bytes:
    """Return what hex text says; text that is none equals no hash."""
    try:
        return bytes.fromhex(text) if text == text.lower() else b""
    except ValueError:
        return b""
