from __future__ import annotations

import copy

import pytest

from tests import samples
from weighbridge import erasure
from weighbridge.domain.context import Role
from weighbridge.domain.principal import Principal
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger.record import events

PERSON = Principal(id="dana", role=Role.ADMIN, person=True)
DAY_MS = 86_400_000
PERSONAL = {"proposal", "snapshot", "evidence", "data_sources"}


def request(run, account, text=None, **changes):
    """Return a request whose content is its own, but for what ``text`` shares."""
    named = text or run
    proposal = {**copy.deepcopy(samples.CONTEXT["proposal"]), "arguments": {"renewal_id": "r-1", "text": named}}
    fields = {"renewal": {"value": {"status": "open", "of": named}, "source_type": "crm", "source_id": "r-1"}}
    evidence = [{"reference": {"source_type": "crm", "source_id": "r-1"}, "content": {"status": "open", "of": named}}]
    sources = [{"source_id": f"crm:{named}", "source_type": "crm", "last_updated": "2026-11-20T10:00:00Z"}]
    parts = {"proposal": proposal, "snapshot": {"fields": fields}, "evidence": evidence, "data_sources": sources}
    return samples.context(validation_run_id=run, account_id=account, **parts, **changes)


@pytest.fixture
def clock():
    return samples.Clock()


@pytest.fixture
def wb(clock):
    with samples.weighbridge(clock=clock) as made:
        made.gate(request("run-1", "miller", plan_id="p-1", step_id="s-1"))
        made.gate(request("run-2", "miller", plan_id="p-1", step_id="s-2"))
        made.gate(request("run-3", "smith", plan_id="p-2", step_id="s-1"))
        yield made


def names(choices):
    return [name for choice in choices for name in choice.names]


def bodies(wb):
    return b"".join(body for _, body in wb.reader.contents("acme") if body is not None)


def erase(wb, selection):
    wb.erase_content([one.content_hash for one in selection.erased], by=PERSON, reason="asked for", tenant_id="acme")


def test_what_is_about_one_account_alone_is_erased(wb):
    """L6: and of the others nothing is lost."""
    found = erasure.by_subject(wb.reader, "acme", "miller")
    assert sorted(names(found.erased)) == sorted([*PERSONAL, *PERSONAL])
    assert {name for choice in found.kept for name in choice.names} == erasure.SHARED
    assert all("not about whom" in str(choice.kept_because) for choice in found.kept)
    erase(wb, found)
    assert b"run-1" not in bodies(wb)
    assert b"run-2" not in bodies(wb)
    assert b"run-3" in bodies(wb)
    assert wb.verify().ok
    outcomes = {run.validation_run_id: run.outcome.value for run in wb.replay(tenant_id="acme")}
    assert outcomes == {"run-1": "CONTENT_ERASED", "run-2": "CONTENT_ERASED", "run-3": "EQUAL"}


def test_what_another_subject_needs_is_kept_with_the_reason(wb):
    """L6: content is stored once; what a decision about somebody else was made from stays."""
    wb.gate(request("run-4", "smith", text="run-1", plan_id="p-2"))
    found = erasure.by_subject(wb.reader, "acme", "miller")
    kept = [choice for choice in found.kept if not set(choice.names) & erasure.SHARED]
    assert {name for choice in kept for name in choice.names} == PERSONAL
    assert {choice.kept_because for choice in kept} == {"record 4 needs it, which is of account `smith`"}
    erase(wb, found)
    outcomes = {run.validation_run_id: run.outcome.value for run in wb.replay(tenant_id="acme")}
    assert outcomes == {"run-1": "EQUAL", "run-2": "CONTENT_ERASED", "run-3": "EQUAL", "run-4": "EQUAL"}


def test_a_snapshot_that_another_record_only_mentions_is_kept(wb):
    """A hash that stands anywhere in another's event counts as a need: rather keep too much and say so."""
    (snapshot,) = [
        choice.content_hash
        for choice in erasure.by_subject(wb.reader, "acme", "run-1").erased
        if "snapshot" in choice.names
    ]
    wb.gate(request("run-5", "smith", plan_id="p-2", target_id=snapshot) | {"choke_point": "BEFORE_STEP_EXECUTION"})
    found = erasure.by_subject(wb.reader, "acme", "miller")
    assert snapshot in {choice.content_hash for choice in found.kept} or b"run-5" in bodies(wb)


@pytest.mark.parametrize(
    ("subject", "given", "gone"),
    [
        ("run-1", {}, {"run-1"}),
        ("p-1", {}, {"run-1", "run-2"}),
        ("s-2", {}, {"run-2"}),
        ("s-1", {"plan_id": "p-2"}, {"run-3"}),
        ("smith", {"kind": "account"}, {"run-3"}),
    ],
)
def test_a_plan_a_step_and_a_run_are_subjects_too(wb, subject, given, gone):
    erase(wb, erasure.by_subject(wb.reader, "acme", subject, **given))
    assert {name for name in ("run-1", "run-2", "run-3") if name.encode() not in bodies(wb)} == gone


def test_an_operation_takes_all_its_runs_along():
    budget = {"operation": "crm.update", "justification": "Mr Miller asked"}
    with samples.weighbridge() as wb:
        wb.reserve(request("run-1", "miller", operation_id="op-1", budget=budget))
        wb.gate(request("run-2", "smith"))
        found = erasure.by_subject(wb.reader, "acme", "op-1")
        assert set(names(found.erased)) == PERSONAL | {"justification"}


def test_a_step_of_several_plans_is_asked_back(wb):
    """A step's id is unique in its plan alone: erasing by it must not reach another plan."""
    with pytest.raises(UsageError, match=r"in several plans, `p-1` and `p-2`.*--plan"):
        erasure.by_subject(wb.reader, "acme", "s-1")


def test_an_id_of_two_kinds_is_asked_back(wb):
    wb.gate(request("miller", "jones", plan_id="p-3"))
    with pytest.raises(UsageError, match="is the id of account and run; say which with --kind"):
        erasure.by_subject(wb.reader, "acme", "miller")
    found = erasure.by_subject(wb.reader, "acme", "miller", kind="run")
    assert {choice.seq for choice in found.erased} == {4}
    with pytest.raises(UsageError, match="no kind"):
        erasure.by_subject(wb.reader, "acme", "miller", kind="person")
    with pytest.raises(NotFound):
        erasure.by_subject(wb.reader, "acme", "miller", kind="plan")


@pytest.mark.parametrize("tenant", ["acme", "other"])
def test_a_subject_nobody_knows_is_said(wb, tenant):
    """L5: nor is one of another tenant known."""
    with pytest.raises(NotFound):
        erasure.by_subject(wb.reader, tenant, "nobody" if tenant == "acme" else "miller")


def test_what_people_wrote_about_its_runs_goes_too(wb):
    """L6: the reason of an authorisation is content of the run, and so of the account, that it is about."""
    blocked = request("run-b", "miller") | {"snapshot": samples.blocked_context()["snapshot"]}
    wb.gate(blocked)
    boss = Principal(id="boss", role=Role.APPROVER, person=True, tenant_id="acme")
    wb.authorise_retry("run-b", by=boss, reason="Mr Miller called", expires_at="2026-11-23T10:00:00Z")
    assert b"Mr Miller called" in bodies(wb)
    erase(wb, erasure.by_subject(wb.reader, "acme", "miller"))
    assert b"Mr Miller called" not in bodies(wb)
    assert wb.verify().ok


def test_what_is_older_is_erased_and_what_younger_records_need_is_kept(wb, clock):
    clock.now_ms += 100 * DAY_MS
    sources = [{"source_id": "crm:r", "source_type": "crm", "last_updated": "2027-03-01T10:00:00Z"}]
    shared = request("run-9", "jones", text="run-3", plan_id="p-9") | {"data_sources": sources}
    wb.gate(shared)
    found = erasure.by_age(wb.reader, "acme", clock.now_ms - 90 * DAY_MS)
    kept = {name: str(choice.kept_because) for choice in found.kept for name in choice.names}
    assert set(kept) == erasure.SHARED | {"proposal", "snapshot", "evidence"}
    assert kept["proposal"].startswith("record 4 needs it, which is not before 2026-12-")
    assert sorted(names(found.erased)) == sorted([*PERSONAL, *PERSONAL, "data_sources"])
    erase(wb, found)
    assert wb.verify().ok
    assert {run.validation_run_id for run in wb.replay(tenant_id="acme") if run.outcome.value == "EQUAL"} == {"run-9"}


def test_nothing_young_is_old(wb, clock):
    assert erasure.by_age(wb.reader, "acme", clock.now_ms).choices == ()
    with pytest.raises(NotFound):
        erasure.by_age(wb.reader, "other", clock.now_ms)


def test_what_a_person_names_by_its_hash_goes_whatever_points_to_it(wb):
    (policy,) = [one for one in erasure.by_subject(wb.reader, "acme", "miller").kept if "policy" in one.names]
    found = erasure.by_hash(wb.reader, "acme", [policy.content_hash, policy.content_hash])
    assert [(one.content_hash, one.names) for one in found.erased] == [(policy.content_hash, ("policy",))]
    with pytest.raises(UsageError, match="no content hash"):
        erasure.by_hash(wb.reader, "acme", ["abc"])
    with pytest.raises(NotFound, match="nothing was erased"):
        erasure.by_hash(wb.reader, "acme", ["0" * 64])


def test_what_was_erased_is_said_to_be_gone_and_stays_gone(wb):
    """L6: nothing puts it back."""
    before = erasure.by_subject(wb.reader, "acme", "miller")
    erase(wb, before)
    wb._recorder._known_content.clear()  # as after a restart
    wb.gate(request("run-8", "miller", text="run-1"))
    again = erasure.by_subject(wb.reader, "acme", "miller")
    assert set(again.gone) == {choice.content_hash for choice in before.erased}
    assert again.erased == ()
    assert wb.verify().ok


def test_selecting_changes_nothing(wb):
    before = (wb.reader.head("acme"), list(wb.reader.contents("acme")))
    erasure.by_subject(wb.reader, "acme", "miller")
    assert (wb.reader.head("acme"), list(wb.reader.contents("acme"))) == before
    assert all(event.type != "CONTENT_ERASED" for stored in wb.reader.records("acme") for event in events(stored.body))
