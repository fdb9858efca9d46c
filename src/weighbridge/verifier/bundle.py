"""Checks an auditor's bundle: every byte of it, without unpacking it."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from weighbridge import canonical
from weighbridge.errors import LedgerCorrupt, UsageError
from weighbridge.keys import public_keys
from weighbridge.ledger import bundle, chain, forms, record
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.note import VerifierKey
from weighbridge.ledger.range_proof import open_range_proof, range_fault
from weighbridge.parcel import first_difference
from weighbridge.verifier.checking import Finding, describe, refuted, signature_check, unsealed
from weighbridge.verify import ExportReport, verify_export

_CHUNK = 1 << 16
_DAMAGED = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError)


class _Line(msgspec.Struct):
    seq: int
    body: str


def check_bundle(file: Path, key: Path | None) -> Finding:
    """Check a bundle. Its seals are checked only with public keys from elsewhere: those inside could be anybody's.

    Raises:
        UsageError: the file cannot be read, or is no zip at all.
        NotFound: there are no keys where they should be.
    """
    keys = public_keys(key) if key is not None else None
    try:
        with file.open("rb") as opened, file.open("rb") as again:
            if not zipfile.is_zipfile(opened):
                if file.read_bytes()[:2] != b"PK":
                    raise UsageError(f"`{file}` is no bundle: that is a zip file")
                return Finding(ok=False, said=(f"`{file}` does not verify: the zip was cut or damaged",))
            try:
                with zipfile.ZipFile(opened) as packed:
                    checked = _Check(packed, keys)
                    checked.run()
                    if not checked.faults:
                        checked.container(first_difference(again, packed))
            except _DAMAGED as error:
                return Finding(ok=False, said=(f"`{file}` does not verify: the zip was damaged ({error})",))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # Its directory says that something lies before its first byte.
                return Finding(ok=False, said=(f"`{file}` does not verify: the zip was cut or damaged",))
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read ({error.strerror})") from None
    if checked.faults:
        return refuted(f"the bundle `{file}`", checked.faults)
    return Finding(ok=True, said=tuple(checked.said), limits=tuple(checked.limits))


class _Check:
    def __init__(self, packed: zipfile.ZipFile, keys: Sequence[VerifierKey] | None) -> None:
        self._zip, self._keys = packed, keys
        self._names = packed.namelist()
        self._versions: set[str] = set()
        self._leaves: list[bytes] = []
        self.faults: list[Fault] = []
        self.said: list[str] = []
        self.limits: list[str] = []

    def run(self) -> None:
        missing = [name for name in bundle.REQUIRED if name not in self._names]
        if missing or len(set(self._names)) != len(self._names):
            self._fault("files", f"{', '.join(missing)} is missing" if missing else "a file is in it twice")
            return
        self._sums()
        report = self._ledger()
        if report is None:
            return
        self._policies()
        sealed = self._seals(report)
        self.said.insert(0, f"tenant `{report.tenant_id}`: records {report.first_seq} to {report.last_seq} verify")
        if self._keys is not None and sealed < report.last_seq:
            self.limits.append(unsealed(max(sealed + 1, report.first_seq)))

    def container(self, at: int | None) -> None:
        if at is not None:
            self._fault("zip", f"the zip around the files was changed, from byte {at} on")

    def _sums(self) -> None:
        stated = bundle.parse_sums(self._zip.read(bundle.SUMS))
        if stated is None:
            self._fault(bundle.SUMS, "it is not a list of sums, or was changed")
            return
        for name in sorted({*stated, *self._names} - {bundle.SUMS}):
            if name not in stated or name not in self._names:
                self._fault(name, "it is missing" if name in stated else "it is in the bundle, but not in its list")
            elif self._digest(name) != stated[name]:
                self._fault(name, "it is not what its sum says: it was changed")

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with self._zip.open(name) as opened:
                while data := opened.read(_CHUNK):
                    digest.update(data)
        except _DAMAGED:
            return ""
        return digest.hexdigest()

    def _ledger(self) -> ExportReport | None:
        try:
            with self._zip.open(bundle.LEDGER) as ledger, self._zip.open(bundle.EVENTS) as events:
                report = verify_export(self._compared(ledger, events))
        except _DAMAGED as error:
            self._fault(bundle.LEDGER, f"it, or {bundle.EVENTS}, is damaged ({error})")
            return None
        self.faults += report.faults
        return report

    def _compared(self, ledger: Iterable[bytes], events: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines of the export, and require that the events beside it are those of its records."""
        form: Callable[[record.Event], object] | None = None
        for line in ledger:
            yield line
            try:
                said = msgspec.json.decode(line, type=_Line)
                told = list(record.events(said.body.encode()))
            except (msgspec.MsgspecError, LedgerCorrupt):
                continue  # no record; whether it should be one, the verifier of the export says
            self._leaves.append(chain.leaf_hash(said.body.encode()))
            for event in told:
                self._versions.update(_decided_by(event))
                stated = next(events, b"")
                form = form or next((made for made in forms.FORMS.values() if _is(stated, made, event)), forms.plain)
                if not _is(stated, form, event):
                    self._fault(bundle.EVENTS, f"event {event.index} of record {event.seq} is not what the record says")
                    return
        if next(events, None) is not None:
            self._fault(bundle.EVENTS, "it holds events that no record has")

    def _policies(self) -> None:
        for name in self._names:
            if name.startswith(bundle.POLICIES) and bundle.policy_name(self._digest(name)) != name:
                self._fault(name, "it is not the policy that it is named after")
        held = {version for version in self._versions if bundle.policy_name(version) in self._names}
        self.said.append(f"{len(held)} of {len(self._versions)} policies that decided are in it, each as it was hashed")
        if held != self._versions:
            gone = ", ".join(sorted(version[:12] for version in self._versions - held))
            self.limits.append(f"the text of these policies is not in it: {gone}")

    def _seals(self, report: ExportReport) -> int:
        """Check the seals, and return the last record that one of them covers."""
        lines = self._zip.read(bundle.SEALS).splitlines()
        if not lines or self._keys is None:
            why = "there are none in it" if not lines else "name the public keys that you were given (--key)"
            self.limits.append(f"no seals were checked: {why}; {unsealed(report.first_seq)}")
            return 0
        sealed = 0
        for line in lines:
            try:
                proof, opened = open_range_proof(line, self._keys, signature_check())
            except LedgerCorrupt as error:
                self._fault(bundle.SEALS, str(error))
                continue
            if (proof.head.tenant_id, proof.first_seq) != (report.tenant_id, report.first_seq):
                self._fault(bundle.SEALS, f"seal {opened.seal.number} is shown for other records than these")
                continue
            fault = range_fault(proof, self._leaves)
            broken = any(proof.first_seq <= (known.seq or 0) <= proof.last_seq for known in report.faults)
            if fault is not None and not broken:  # a record that is broken itself explains it, and says more
                self.faults.append(fault)
            if proof.last_seq < min(report.last_seq, proof.head.size):
                self._fault(bundle.SEALS, f"seal {opened.seal.number} covers more records than it is shown for")
            sealed = max(sealed, proof.last_seq)
            self.said.append(describe(opened))
            self.said.append(
                f"records {proof.first_seq} to {proof.last_seq} are those that seal {opened.seal.number} saw"
            )
        return sealed

    def _fault(self, part: str, message: str) -> None:
        self.faults.append(Fault(None, part, message))


def _is(line: bytes, form: Callable[[record.Event], object], event: record.Event) -> bool:
    return line == canonical.encode(form(event)) + b"\n"


def _decided_by(event: record.Event) -> Iterator[str]:
    content, version = event.fields.get("content"), event.fields.get("policy_version")
    if isinstance(content, dict) and "policy" in content and isinstance(version, str):
        yield version


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(_Line)
