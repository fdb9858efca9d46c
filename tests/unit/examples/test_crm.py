"""The example connector: what it stores, what its operations do, and what a plan for an account rests on."""

from __future__ import annotations

import threading
from importlib.resources import files

import pytest
import yaml

from tests import samples
from weighbridge.domain.context import DataSource, Snapshot
from weighbridge.domain.decision import Blocked, WriteNotStored
from weighbridge.domain.instant import DAY_MS
from weighbridge.errors import UsageError
from weighbridge.examples import crm as example
from weighbridge.examples.crm import ACCOUNTS, Crm, connect
from weighbridge.scopes import scope

ALDGATE, BIRCH, CEDAR = "a-1001", "a-1002", "a-1003"


@pytest.fixture
def clock():
    return samples.Clock()


@pytest.fixture
def crm(clock):
    made = Crm(now_ms=clock)
    made.seed()
    yield made
    made.close()


@pytest.fixture
def wb(clock):
    """Return a Weighbridge on the policy of the renewal defence; how its plans go is tested elsewhere."""
    rules = yaml.safe_load((files("weighbridge.examples") / "renewal_defense.yaml").read_text("utf-8"))
    rules.pop("plan_types")
    with samples.weighbridge(policy=rules, clock=clock) as made:
        yield made


@pytest.fixture
def operations(wb, crm):
    return connect(wb, crm)


def within(crm, account_id, plan="p-1"):
    return scope(tenant="acme", actor="renewal-agent", account=account_id, plan=plan, **crm.grounds(account_id))


class TestStore:
    def test_seeded_twice_it_is_the_same(self, crm):
        crm.change("renewals", "r-1001", status="negotiation")
        crm.seed()
        assert crm.row("renewals", "r-1001")["status"] == "negotiation"
        assert [crm.row("accounts", name)["name"] for name in (ALDGATE, BIRCH, CEDAR)] == [one.name for one in ACCOUNTS]

    def test_a_file_stays(self, tmp_path, clock):
        path = str(tmp_path / "crm.db")
        first = Crm(path, now_ms=clock)
        assert first.seed(first_number=7) == ["a-7", "a-8", "a-9"]
        first.close()
        again = Crm(path, now_ms=clock)
        assert again.row("renewals", "r-8")["status"] == "negotiation"
        again.close()

    def test_a_change_is_stamped(self, crm, clock):
        clock.now_ms += DAY_MS
        crm.change("tickets", "t-1001", status="solved")
        assert crm.row("tickets", "t-1001")["updated_at"] == "2026-11-23T10:00:00.000Z"

    @pytest.mark.parametrize(
        "ask",
        [
            lambda crm: crm.row("renewals", "r-1"),
            lambda crm: crm.change("renewals", "r-1", status="open"),
            lambda crm: crm.grounds("a-1"),
        ],
    )
    def test_what_is_not_there(self, crm, ask):
        """Rule 7: a clear error."""
        with pytest.raises(UsageError, match="-1"):
            ask(crm)

    def test_what_it_refuses_leaves_nothing_behind(self, crm):
        with pytest.raises(Exception, match="CHECK"):
            crm.change("renewals", "r-1001", discount_percent=5, status="nonsense")
        assert crm.row("renewals", "r-1001")["discount_percent"] == 0
        crm.change("renewals", "r-1001", discount_percent=5)

    def test_two_connections_and_many_threads(self, tmp_path, clock):
        systems = [Crm(str(tmp_path / "crm.db"), now_ms=clock) for _ in range(2)]
        systems[0].seed()
        threads = [
            threading.Thread(target=systems[number % 2].add_meeting, args=("r-1001", "2026-12-01"))
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert systems[1].row("meetings", "m-20")["renewal_id"] == "r-1001"
        for system in systems:
            system.close()


class TestGrounds:
    """C1, F1, R1: what an action rests on, from one moment."""

    def test_every_row_is_a_source_with_its_own_age(self, crm):
        grounds = crm.grounds(BIRCH)
        ages = {source["source_id"]: source["last_updated"] for source in grounds["data_sources"]}
        assert ages == {
            "a-1002": "2026-11-21T10:00:00.000Z",
            "o-1002": "2026-11-21T10:00:00.000Z",
            "r-1002": "2026-11-12T10:00:00.000Z",
            "t-1002": "2026-11-21T10:00:00.000Z",
        }
        assert grounds["references"] == [item["reference"] for item in grounds["evidence"]]
        assert grounds["snapshot"]["renewal"]["value"]["status"] == "negotiation"

    def test_they_have_the_shape_of_a_plans(self, crm):
        import msgspec

        grounds = crm.grounds(ALDGATE)
        msgspec.convert({"fields": grounds["snapshot"]}, Snapshot)
        msgspec.convert(grounds["data_sources"], list[DataSource])

    def test_they_follow_what_is_stored(self, crm):
        crm.change("renewals", "r-1001", status="renewed")
        assert crm.grounds(ALDGATE)["snapshot"]["renewal"]["value"]["status"] == "renewed"


class TestOperations:
    """Choke points: one allowed, one warned of, one blocked, one that runs out of money, one that is not stored."""

    def test_each_does_what_it_says(self, wb, crm, operations):
        """G7, G11: with fresh data everything is allowed, done, and read back."""
        with within(crm, ALDGATE) as here:
            assert operations.read_account_health(ALDGATE)["open_tickets"] == 1
            assert "label printer" in operations.prepare_renewal_brief("r-1001")["brief"]
            meeting = operations.request_renewal_meeting("r-1001", "2026-12-01")
            operations.escalate_support_risk("t-1001")
            operations.update_renewal("r-1001", status="negotiation", next_step="meet on 1 December")
        assert [(one.verdict, one.reasons) for one in here.decisions] == [("ALLOW", ())] * 5
        assert crm.row("meetings", meeting["meeting_id"])["held_on"] == "2026-12-01"
        assert crm.row("tickets", "t-1001")["severity"] == "urgent"
        assert crm.row("renewals", "r-1001")["status"] == "negotiation"
        assert {wb.reader.identity("acme", "op", one.operation_id).state for one in here.decisions} == {"COMPLETED"}
        assert wb.verify().ok

    def test_data_that_ages_is_warned_of(self, crm, operations):
        """F2, G7: ten days old; done all the same."""
        with within(crm, BIRCH) as here:
            operations.update_renewal("r-1002", next_step="call")
        assert (here.decisions[0].verdict, here.decisions[0].reasons) == ("WARN", ("DATA_AGING",))
        assert crm.row("renewals", "r-1002")["next_step"] == "call"

    def test_what_contradicts_the_renewals_status_is_blocked(self, crm, operations):
        """C1, G8: it is renewed already; nothing is written."""
        with within(crm, CEDAR), pytest.raises(Blocked) as caught:
            operations.update_renewal("r-1003", discount_percent=15)
        assert caught.value.decision.reasons == ("CONTRADICTION",)
        assert crm.row("renewals", "r-1003")["discount_percent"] == 0

    def test_a_renewal_of_somebody_else_is_not_grounded(self, crm, operations):
        """R5: the id must stand in the evidence."""
        with within(crm, ALDGATE), pytest.raises(Blocked) as caught:
            operations.update_renewal("r-1002", status="lost")
        assert "UNGROUNDED_VALUE" in caught.value.decision.reasons

    def test_briefs_run_out(self, crm, operations):
        """B4: two cents of three; a second one does not fit."""
        with within(crm, ALDGATE):
            operations.prepare_renewal_brief("r-1001")
            with pytest.raises(Blocked) as caught:
                operations.prepare_renewal_brief("r-1001")
        assert caught.value.decision.reasons == ("HARD_CAP_EXCEEDED",)

    def test_a_text_that_the_system_cuts_is_not_stored(self, wb, crm, operations):
        """B7: the system said yes, and kept eighty characters."""
        long = "x" * 81
        with within(crm, ALDGATE), pytest.raises(WriteNotStored) as caught:
            operations.update_renewal("r-1001", status="negotiation", next_step=long)
        assert caught.value.differs == ("next_step",)
        assert crm.row("renewals", "r-1001")["next_step"] == long[:80]
        assert wb.reader.identity("acme", "op", caught.value.operation_id).state == "FAILED"

    @pytest.mark.parametrize("changes", [{}, {"price_usd": 1}, {"renewal": "r-2"}])
    def test_a_change_of_what_is_not_to_be_changed(self, crm, operations, changes):
        """Rule 7: before anything is written."""
        before = crm.row("renewals", "r-1001")
        with within(crm, ALDGATE), pytest.raises(UsageError, match="next_step"):
            operations.update_renewal("r-1001", **changes)
        assert crm.row("renewals", "r-1001") == before

    def test_they_are_found_by_name(self, wb, operations):
        """Z5: the names and action types of the shipped plan type."""
        entries = wb._operations._entries
        assert {name: entry.facts.action_type for name, entry in entries.items()} == {
            "calendar.request_renewal_meeting": "request_renewal_meeting",
            "crm.read_account_health": "read_account_health",
            "crm.update_renewal": "update_renewal",
            "llm.prepare_renewal_brief": "prepare_renewal_brief",
            "support.escalate_risk": "escalate_support_risk",
        }

    def test_registered_twice_is_said(self, wb, crm, operations):
        with pytest.raises(UsageError, match="registered already"):
            connect(wb, crm)


def test_without_a_clock_it_stamps_by_its_own():
    """A connector of the command line has none to hand in."""
    made = Crm()
    made.seed()
    (day,) = made._connection.execute("SELECT date('now', '-1 day')").fetchone()
    assert made.row("accounts", ALDGATE)["updated_at"][:10] == day
    made.close()


def test_it_needs_no_clock_of_its_own():
    """Time comes in as an argument: the same instant seeds the same rows."""
    rows = []
    for _ in range(2):
        made = Crm(now_ms=lambda: samples.NOW_MS)
        made.seed()
        rows.append([made.rows_of(table, ALDGATE) for table in ("accounts", "renewals", "opportunities", "tickets")])
        made.close()
    assert rows[0] == rows[1]
    assert example.ACCOUNTS[0].name == "Aldgate Bakery"
