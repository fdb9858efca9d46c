"""Read-back: a write is confirmed by what is stored, never by what the target answered."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import pickle
from decimal import Decimal
from typing import Any

import pytest

from tests.samples import CONTEXT, cap, capped, policy, weighbridge
from weighbridge import canonical, read_back
from weighbridge.domain.decision import AlreadyExecuted, Blocked, ReadBackFailed, WriteNotStored, WriteUnconfirmed
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens
from weighbridge.errors import CanonicalError, ContextError, Refusal, UsageError
from weighbridge.ledger.record import events
from weighbridge.scopes import scope

HERE = {
    "tenant": "acme",
    "account": "a-1",
    "snapshot": CONTEXT["snapshot"]["fields"],
    "data_sources": CONTEXT["data_sources"],
    "evidence": CONTEXT["evidence"],
    "references": CONTEXT["proposal"]["evidence"],
}


class TestCompared:
    """Exactly: equal in type and value, in canonical form, over the fields that were asked."""

    @pytest.mark.parametrize(
        ("asked", "stored"),
        [
            ({"a": 1}, {"a": 1}),
            ({"a": 1}, {"a": 1.0}),  # one number has one canonical form
            ({"a": None}, {"a": None}),
            ({"a": {"y": 1, "x": [1, 2]}}, {"a": {"x": (1, 2), "y": 1}}),
            ({"a": "1.10"}, {"a": Decimal("1.10")}),  # as the argument was weighed
            ({"a": "2026-01-02"}, {"a": dt.date(2026, 1, 2)}),
            ({"a": 1}, {"a": 1, "updated_at": "beyond what was asked", "odd": object()}),
        ],
    )
    def test_equal(self, asked, stored):
        assert read_back.compared(asked, stored) == read_back.Ending("COMPLETED", compared=("a",))

    @pytest.mark.parametrize(
        ("asked", "stored"),
        [
            ({"a": 1}, {"a": True}),
            ({"a": 1}, {"a": "1"}),
            ({"a": 1}, {"a": 1.0000000001}),
            ({"a": "open"}, {"a": "Open"}),
            ({"a": "open"}, {"a": "open "}),
            ({"a": "\u00e9"}, {"a": "e\u0301"}),  # composed and decomposed
            ({"a": None}, {"a": ""}),
            ({"a": None}, {}),
            ({"a": 1}, {"b": 1}),
            ({"a": [1, 2]}, {"a": [2, 1]}),
            ({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}),
            ({"a": "1.10"}, {"a": Decimal("1.1")}),
        ],
    )
    def test_different(self, asked, stored):
        ending = read_back.compared(asked, stored)
        assert (ending.outcome, ending.reason, ending.differs) == ("FAILED", "WRITE_NOT_STORED", ("a",))

    def test_only_the_fields_that_differ_are_kept(self):
        """L6: no more of what the target holds than must be."""
        ending = read_back.compared({"b": 2, "a": 1, "c": 3}, {"a": 1, "b": 9, "z": 7})
        assert (ending.compared, ending.differs) == (("a", "b", "c"), ("b", "c"))
        assert ending.values == {"asked": {"b": 2, "c": 3}, "stored": {"b": 9}}

    @pytest.mark.parametrize("stored", [None, [("a", 1)], "a", {"a": object()}, {"a": {1: 2}}])
    def test_what_is_no_answer(self, stored):
        with pytest.raises(ContextError):
            read_back.compared({"a": 1}, stored)

    @pytest.mark.parametrize("stored", [float("nan"), 2**60, "\ud800"])
    def test_what_has_no_canonical_form_is_no_answer(self, stored):
        with pytest.raises(CanonicalError):
            read_back.compared({"a": 1}, {"a": stored})


class Crm:
    """A target that keeps what it likes."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}
        self.calls = 0

    def write(self, **fields):
        self.calls += 1
        self.stored |= fields


@pytest.fixture
def wb():
    with weighbridge(policy=policy(operations={})) as made:
        yield made


@pytest.fixture
def crm():
    return Crm()


def _updater(wb, crm, *, is_async=False, keep=lambda fields: fields, read=None, **hooks):
    """Register an update whose target keeps what ``keep`` makes of it."""

    def update(renewal_id, status, note=""):
        crm.write(**keep({"renewal_id": renewal_id, "status": status, "note": note}))
        return {"id": renewal_id}

    def stored(value, renewal_id, status, note=""):
        return crm.stored

    async def update_later(renewal_id, status, note=""):
        return update(renewal_id, status, note)

    async def stored_later(value, renewal_id, status, note=""):
        return (read or stored)(value, renewal_id, status, note)

    hooks = {"read_back": stored_later if is_async else read or stored} | hooks
    governed = wb.writeback("crm.update", target="crm", action="update", **hooks)(update_later if is_async else update)

    def call(operation_id, *args, **kwargs):
        made = governed.with_id(operation_id)(*args, **kwargs)
        return asyncio.run(made) if is_async else made

    return call


def _ended(wb):
    """Return what the last `OPERATION_COMPLETED` says."""
    told = [event for record in wb.reader.records("acme") for event in events(record.body)]
    return [event.fields for event in told if event.type == "OPERATION_COMPLETED"][-1]


each_kind = pytest.mark.parametrize("is_async", [False, True])


@each_kind
def test_what_is_stored_as_asked_is_completed(wb, crm, is_async):
    """G7: the function's own value, untouched; which fields were compared is on record."""
    update = _updater(wb, crm, is_async=is_async)
    with scope(**HERE):
        assert update("op-1", "r-1", "open") == {"id": "r-1"}
    said = _ended(wb)
    assert (said["outcome"], said["state"], said["compared"]) == (
        "COMPLETED",
        "COMPLETED",
        ["note", "renewal_id", "status"],
    )
    assert not {"reason", "differs", "content", "error"} & said.keys()
    assert wb.verify().ok


@each_kind
def test_what_is_stored_otherwise_is_a_failure_that_names_fields_and_no_values(wb, crm, is_async):
    """B7, G10, L6: WRITE_NOT_STORED is on record before the caller is told; values are content; nothing is called again."""
    update = _updater(wb, crm, is_async=is_async, keep=lambda fields: fields | {"note": fields["note"][:4]})
    with scope(**HERE):
        with pytest.raises(WriteNotStored, match=r"op-1.*`note`") as caught:
            update("op-1", "r-1", "open", note="Ms Miller called")
        with pytest.raises(AlreadyExecuted, match="FAILED"):
            update("op-1", "r-1", "open", note="Ms Miller called")
    assert crm.calls == 1
    error = caught.value
    assert (error.reason, error.operation_id, error.differs, error.value) == (
        "WRITE_NOT_STORED",
        "op-1",
        ("note",),
        {"id": "r-1"},
    )
    assert "Miller" not in str(error)
    said = _ended(wb)
    assert (said["outcome"], said["state"], said["reason"], said["differs"]) == (
        "FAILED",
        "FAILED",
        "WRITE_NOT_STORED",
        ["note"],
    )
    assert not any(b"Miller" in record.body for record in wb.reader.records("acme") if record.seq == 2)
    stated = canonical.decode(wb.reader.content("acme", said["content"]["read_back"]))
    assert stated == {"operation_id": "op-1", "asked": {"note": "Ms Miller called"}, "stored": {"note": "Ms M"}}
    assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"
    assert wb.verify().ok


@each_kind
def test_a_read_back_that_raises_says_that_the_write_may_have_happened(wb, crm, is_async):
    """G10, B7: READ_BACK_FAILED, with the type of the error and never its text; nothing is called again."""

    def broken(*_):
        raise TimeoutError("a secret of the target")

    update = _updater(wb, crm, is_async=is_async, read=lambda value, renewal_id, status, note="": broken())
    with scope(**HERE), pytest.raises(ReadBackFailed, match="may be stored or not") as caught:
        update("op-1", "r-1", "open")
    assert (caught.value.reason, caught.value.value) == ("READ_BACK_FAILED", {"id": "r-1"})
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert "secret" not in str(caught.value)
    said = _ended(wb)
    assert (said["outcome"], said["reason"], said["error"]) == ("FAILED", "READ_BACK_FAILED", "TimeoutError")
    assert crm.calls == 1
    assert wb.verify().ok


@pytest.mark.parametrize("answer", [None, ["status"], {"renewal_id": object()}, {"status": float("nan")}, {1: 2}])
def test_a_read_back_that_answers_nothing_that_can_be_compared_confirms_nothing(wb, crm, answer):
    """G5: absence is refusal."""
    update = _updater(wb, crm, read=lambda value, renewal_id, status, note="": answer)
    with scope(**HERE), pytest.raises(WriteUnconfirmed):
        update("op-1", "r-1", "open")
    assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"


@each_kind
@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_whoever_ends_the_program_meanwhile_ends_it(wb, crm, is_async, ends):
    """G10: the call has happened and is not confirmed, and the record says so."""

    def interrupted(value, renewal_id, status, note=""):
        raise ends

    update = _updater(wb, crm, is_async=is_async, read=interrupted)
    with scope(**HERE), pytest.raises(ends):
        update("op-1", "r-1", "open")
    assert (_ended(wb)["outcome"], _ended(wb)["reason"]) == ("FAILED", "READ_BACK_FAILED")


def test_a_function_that_raises_is_not_read_back(wb, crm):
    """G7: its own exception passes untouched, and the record says no more than that."""
    read = []
    error = KeyError("mine")

    def keep(fields):
        raise error

    update = _updater(wb, crm, keep=keep, read=lambda value, renewal_id, status, note="": read.append(1))
    with scope(**HERE), pytest.raises(KeyError) as caught:
        update("op-1", "r-1", "open")
    assert caught.value is error
    assert (read, _ended(wb)["error"], "reason" in _ended(wb)) == ([], "KeyError", False)


def test_what_is_blocked_is_not_read_back(wb, crm):
    """G8: nothing of ours follows a BLOCK."""
    read = []
    update = _updater(wb, crm, read=lambda value, renewal_id, status, note="": read.append(1))
    closed = {"renewal": {"value": {"status": "closed"}, "source_type": "crm", "source_id": "r-1"}}
    with scope(**HERE | {"snapshot": closed}), pytest.raises(Blocked):
        update("op-1", "r-1", "open")
    assert (read, crm.calls) == ([], 0)


def test_a_warning_changes_nothing(wb, crm):
    """G7: a write that was warned of is read back like any other."""
    update = _updater(wb, crm)
    aging = [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-12T10:00:00Z"}]
    with scope(**HERE | {"data_sources": aging}) as here:
        assert update("op-1", "r-1", "open") == {"id": "r-1"}
    assert here.decisions[0].verdict == "WARN"
    assert _ended(wb)["compared"] == ["note", "renewal_id", "status"]


def test_it_sees_the_arguments_that_were_judged_whatever_the_function_did_to_its_own(wb):
    """G11: also where the function takes its copies apart, and the caller changes the original meanwhile."""
    given: dict[str, Any] = {"lines": [1, 2]}
    seen: list[Any] = []

    def send(body):
        body["lines"].clear()
        given["lines"].append("smuggled")
        return "receipt"

    def stored(value, body):
        seen.append((value, body))
        return {"body": {"lines": [1, 2]}}

    governed = wb.writeback("send", target="crm", read_back=stored)(send)
    with scope(**HERE):
        assert governed(given) == "receipt"
    assert seen == [("receipt", {"lines": [1, 2]})]


def test_which_fields_must_be_stored_can_be_declared(wb, crm):
    """Only the fields that were asked: a change of some, under other names."""

    def change(renewal_id, changes):
        crm.write(**{name.upper(): value for name, value in changes.items()}, VERSION=7)

    governed = wb.writeback(
        "change",
        target="crm",
        read_back=lambda value, renewal_id, changes: crm.stored,
        asked=lambda renewal_id, changes: {**{name.upper(): value for name, value in changes.items()}, "VERSION": 7},
    )(change)
    with scope(**HERE):
        governed("r-1", {"status": "open"})
    assert _ended(wb)["compared"] == ["STATUS", "VERSION"]


@pytest.mark.parametrize("answer", [None, [], {}, {1: 2}, {"a": object()}, {"a": float("nan")}, {"a": 2**60}])
def test_a_declaration_that_declares_nothing_is_refused_before_anything_is_weighed(wb, crm, answer):
    """G5: what compares nothing confirms nothing."""
    update = _updater(wb, crm, asked=lambda renewal_id, status, note="": answer)
    with scope(**HERE), pytest.raises(UsageError):
        update("op-1", "r-1", "open")
    assert (crm.calls, wb.reader.head("acme").seq) == (0, 0)


def test_a_call_without_arguments_has_nothing_to_compare(wb):
    governed = wb.writeback("flush", target="crm", read_back=lambda value: {"flushed": True})(lambda: None)
    with scope(**HERE), pytest.raises(ContextError, match="names no field"):
        governed()


@each_kind
def test_nothing_is_refunded_and_the_use_is_on_record(crm, is_async):
    """B7: the reservation stays spent; what was consumed is reported in the same record."""
    with weighbridge(policy=capped(cap("tokens", "1k tokens/day"))) as wb:
        update = _updater(
            wb,
            crm,
            is_async=is_async,
            keep=lambda fields: {},
            reserves=lambda renewal_id, status, note="": Tokens(10, 10),
            consumed=lambda value: Tokens(10, 2),
        )
        with scope(**HERE), pytest.raises(WriteNotStored):
            update("op-1", "r-1", "open")
        counter = wb.reader.counter("acme", "tokens 2026-11-22 any")
        assert (counter.reserved, counter.settled) == (20, 0)
        last = [event.type for event in events(wb.reader.record("acme", 2).body)]
        assert last == ["OPERATION_COMPLETED", "USAGE_REPORTED"]
        assert wb.verify().ok


def test_a_record_that_cannot_be_written_takes_nothing_back(wb, crm, caplog):
    """G2, G10: the caller is told all the same, and on record the outcome is unknown."""
    writer = wb._recorder._writer

    class Broken:
        def commit(self, submission):
            if submission.completes:
                raise Refusal("LEDGER_WRITE_FAILED", "disk full")
            return writer.commit(submission)

    wb._recorder._writer = Broken()
    update = _updater(wb, crm, keep=lambda fields: fields | {"note": "Ms Miller"})
    with caplog.at_level(logging.ERROR), scope(**HERE), pytest.raises(WriteNotStored):
        update("op-1", "r-1", "open")
    assert wb.reader.identity("acme", "op", "op-1").state == "PENDING"
    assert "WRITE_NOT_STORED" in caplog.text
    assert "Miller" not in caplog.text


def test_a_read_that_is_blocked_inside_ends_the_attempt(wb, crm):
    """G8, Z4: a governed read passes its choke point there, too, and a BLOCK of it cannot be caught away."""
    look = wb.operation("look", cost="EXPENSIVE", declares_proposal=True)(lambda renewal_id: crm.stored)

    def stored(value, renewal_id, status, note=""):
        with scope(references=[{"source_type": "crm", "source_id": "nobody read this"}]):
            try:
                return look(renewal_id)
            except Blocked:
                return crm.stored

    update = _updater(wb, crm, read=stored)
    with scope(**HERE), pytest.raises(ReadBackFailed) as caught:
        update("op-1", "r-1", "open")
    assert isinstance(caught.value.__cause__, Blocked)


def test_values_can_be_erased_and_no_other_operations_with_them(wb, crm):
    """L6: content of its own for every operation."""
    update = _updater(wb, crm, keep=lambda fields: fields | {"note": "x"})
    hashes = []
    for name in ("op-1", "op-2"):
        with scope(**HERE), pytest.raises(WriteNotStored):
            update(name, "r-1", "open")
        hashes.append(_ended(wb)["content"]["read_back"])
    wb.erase_content(hashes[:1], by=Principal(id="maria", person=True), reason="asked to", tenant_id="acme")
    stories = [wb.why(name, "acme") for name in ("op-1", "op-2")]
    told = [entry.read_back for story in stories for entry in story.entries if entry.type == "OPERATION_COMPLETED"]
    assert told == [{"values": None}, {"values": {"asked": {"note": ""}, "stored": {"note": "x"}}}]
    assert wb.verify().ok


def test_what_went_wrong_crosses_processes(wb, crm):
    """An engine may hand an exception on: all of it but the function's value."""
    update = _updater(wb, crm, keep=lambda fields: fields | {"note": "x"})
    with scope(**HERE), pytest.raises(WriteNotStored) as caught:
        update("op-1", "r-1", "open")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.operation_id, copy.differs, copy.value) == (
        WriteNotStored,
        str(caught.value),
        "op-1",
        ("note",),
        None,
    )


class TestRegistration:
    """Rule 7: what could not be called or awaited is refused where it is tagged."""

    @pytest.mark.parametrize(
        ("hooks", "says"),
        [
            ({"read_back": lambda renewal_id: {}}, "after the value"),
            ({"read_back": lambda value: {}}, "after the value"),
            ({"read_back": {"status": "open"}}, "no function"),
            ({"read_back": lambda value, renewal_id: {}, "asked": lambda one, two: {}}, "same parameters"),
            ({"asked": lambda renewal_id: {}}, "pass one, too"),
        ],
    )
    def test_a_hook_that_does_not_fit(self, wb, hooks, says):
        with pytest.raises(UsageError, match=says):
            wb.writeback("x", target="crm", **hooks)(lambda renewal_id: None)
        wb.writeback("x", target="crm")(lambda renewal_id: None)  # nothing half done: the name is free

    @each_kind
    def test_a_read_back_is_of_the_functions_kind(self, wb, is_async):
        async def later(*_):
            return {}

        def now(*_):
            return {}

        with pytest.raises(UsageError, match="make its `read_back` one, too"):
            wb.writeback("x", target="crm", read_back=now if is_async else later)(later if is_async else now)
