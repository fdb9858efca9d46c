"""Writes the auditor's bundle of one tenant (``ledger.bundle``), of one moment of any reader, streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import resources

import msgspec

from weighbridge import canonical
from weighbridge.domain.instant import parse_instant
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger import bundle, forms, range_proof, record
from weighbridge.ledger.archive import is_stub
from weighbridge.ledger.checkpoint import Checkpoint
from weighbridge.ledger.note import VerifierKey
from weighbridge.parcel import Parcel
from weighbridge.storage.audit import export_ledger
from weighbridge.storage.reading import LedgerReader

_FORM_NAMES = {"weighbridge": "as the ledger has them", "ocsf": "OCSF 1.6.0", "cloudevents": "CloudEvents 1.0.2"}


class Bundled(msgspec.Struct, frozen=True):
    """What went into a bundle. ``sealed_to`` is the last record that a seal in it covers; None where none covers any.

    ``missing`` are versions of policies whose text the store does not hold (any more).
    """

    tenant_id: str
    first_seq: int
    last_seq: int
    sealed_to: int | None
    seals: tuple[int, ...]
    policies: tuple[str, ...]
    missing: tuple[str, ...]


def range_of(reader: LedgerReader, tenant_id: str, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    """Return the first and the last record that were judged in a span of time, ``to_ms`` not included.

    Everything between the two is in the range, whatever its time: a chain has no holes. When an archived record was judged is not
    known here.

    Raises:
        NotFound: there is none.
    """
    if from_ms is None and to_ms is None:
        last = reader.head(tenant_id).seq
        first = 1 if last else None
    else:
        first, last = None, 0
        for stored in reader.records(tenant_id):
            if is_stub(stored.body):
                continue
            at_ms = parse_instant(record.decode(stored.body).common.get("evaluation_time"))
            if at_ms is not None and (from_ms is None or from_ms <= at_ms) and (to_ms is None or at_ms < to_ms):
                first, last = first or stored.seq, stored.seq
    if first is None:
        raise NotFound(f"tenant `{tenant_id}` has no records in this span")
    return first, last


def write_bundle(
    reader: LedgerReader,
    tenant_id: str,
    write: Callable[[bytes], object],
    *,
    name: str = "bundle.zip",
    from_ms: int | None = None,
    to_ms: int | None = None,
    form: str = "weighbridge",
    checkpoints: Sequence[Checkpoint] = (),
    keys: Sequence[VerifierKey] = (),
) -> Bundled:
    """Write the bundle through ``write``. ``checkpoints`` were opened before; those older than the range are left out.

    Raises:
        NotFound: the tenant has no records in the span.
        UsageError: there is no such form.
        ProofError: the ledger is not the one that a checkpoint sealed.
    """
    if form not in forms.FORMS:
        raise UsageError(f"there is no form `{form}`; there are {', '.join(f'`{known}`' for known in forms.FORMS)}")
    with reader.snapshot() as moment:
        span = first, last = range_of(moment, tenant_id, from_ms, to_ms)
        proofs = [_proof(moment, tenant_id, span, each) for each in checkpoints if _covers(each, tenant_id, first)]
        proofs.sort(key=lambda proof: proof.signed.seal.number)
        policies = dict(_policies(moment, tenant_id, span))
        held = {version: body for version, body in sorted(policies.items()) if body is not None}
        parcel = Parcel(write)
        files: list[tuple[str, Iterator[bytes]]] = [
            (bundle.README, iter((_readme(tenant_id, span, form, proofs, name),))),
            (bundle.LEDGER, export_ledger(moment, tenant_id, after_seq=first - 1, last_seq=last)),
            (bundle.EVENTS, _events(moment, tenant_id, span, form)),
            *((bundle.policy_name(version), iter((body,))) for version, body in held.items()),
            (bundle.SEALS, (range_proof.encode(proof) for proof in proofs)),
            (bundle.KEYS, (f"{key}\n".encode() for key in keys)),
        ]
        for file, parts in files:
            with parcel.file(file) as put:
                for part in parts:
                    put(part)
        sums = bundle.sums(parcel.digests)
        with parcel.file(bundle.SUMS) as put:
            put(sums)
        parcel.close()
    return Bundled(
        tenant_id=tenant_id,
        first_seq=first,
        last_seq=last,
        sealed_to=max((proof.last_seq for proof in proofs), default=None),
        seals=tuple(proof.signed.seal.number for proof in proofs),
        policies=tuple(held),
        missing=tuple(sorted(set(policies) - set(held))),
    )


def _covers(checkpoint: Checkpoint, tenant_id: str, first_seq: int) -> bool:
    head = checkpoint.head(tenant_id)
    return head is not None and head.size >= first_seq


def _proof(
    moment: LedgerReader, tenant_id: str, span: tuple[int, int], checkpoint: Checkpoint
) -> range_proof.RangeProof:
    leaves = (stored.leaf_hash for stored in moment.records(tenant_id))
    return range_proof.prove_range(checkpoint, tenant_id, *span, leaves)


def _events(moment: LedgerReader, tenant_id: str, span: tuple[int, int], form: str) -> Iterator[bytes]:
    made = forms.FORMS[form]
    for stored in moment.records(tenant_id, *span):
        for event in record.events(stored.body):
            yield canonical.encode(made(event)) + b"\n"


def _policies(moment: LedgerReader, tenant_id: str, span: tuple[int, int]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the version and the text of each effective policy that something in the range was decided by."""
    seen: set[tuple[str, str]] = set()
    for stored in moment.records(tenant_id, *span):
        for event in record.events(stored.body):
            content = event.fields.get("content")
            named = content.get("policy") if isinstance(content, dict) else None
            version = event.fields.get("policy_version")
            if isinstance(named, str) and isinstance(version, str) and (version, named) not in seen:
                seen.add((version, named))
                yield version, moment.content(tenant_id, named)


def _readme(
    tenant_id: str, span: tuple[int, int], form: str, proofs: Sequence[range_proof.RangeProof], name: str
) -> bytes:
    folder = resources.files("weighbridge.storage")
    fields = {
        "tenant": tenant_id,
        "first": str(span[0]),
        "last": str(span[1]),
        "sealed": _sealed(span, proofs),
        "form": _FORM_NAMES[form],
        "name": name,
        "code": (folder / "bundle_check.txt").read_text("utf-8"),
        "signature": (folder / "bundle_signature.txt").read_text("utf-8"),
    }
    text = (folder / "bundle_readme.md").read_text("utf-8")
    for field, value in fields.items():
        text = text.replace("{" + field + "}", value)
    return text.encode()


def _sealed(span: tuple[int, int], proofs: Sequence[range_proof.RangeProof]) -> str:
    if not proofs:
        return (
            "No checkpoint is in here, so nothing in it shows that the end was not cut off, that it is no old copy, or that the "
            "chain was not computed anew: ask for one with checkpoints."
        )
    newest = proofs[-1]
    seal = newest.signed.seal
    said = f"Records up to {newest.last_seq} are covered by seal {seal.number} of {seal.sealed_at}"
    return f"{said}, those after it by the chain alone." if newest.last_seq < span[1] else f"{said}."
