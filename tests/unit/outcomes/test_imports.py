"""Wins and losses from files that other programs wrote."""

import os

import pytest

from weighbridge.errors import Refusal, UsageError
from weighbridge.outcomes.capture import Capture, Setting
from weighbridge.outcomes.imports import import_file
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, capture, outcomes
from weighbridge.testing.submissions import NOW_MS, TENANT

HEADER = "kind,account_id,opportunity_id,closed_at,amount,currency,note"
GOOD = "won,a-1,o-1,2026-11-20,1200.50,USD,fine"


@pytest.fixture
def store():
    return MemoryStore(entropy=os.urandom)


@pytest.fixture
def imported(store, tmp_path):
    captures = capture(store)

    def run(text, name="x.csv", **given):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = import_file(path, captures, TENANT, by=BY, **given)
        return done.captured, done.duplicates, [(row.line, str(row.error)) for row in done.bad]

    return run


def test_csv_is_imported_once(imported, store):
    """O1, O4: the same export again changes nothing."""
    text = f"{HEADER}\n{GOOD}\nclosed lost,a-2,o-2,2026-11-21T09:00:00+01:00,,,\n"
    assert imported(text) == (2, 0, [])
    assert imported(text) == (0, 2, [])
    won, lost = outcomes(store)
    assert (won.kind, won.account_id, won.opportunity_id, won.at_ms) == ("WON", "a-1", "o-1", 1_795_132_800_000)
    assert {name: won.body[name] for name in ("source", "amount", "currency")} == {
        "source": "crm",
        "amount": "1200.50",
        "currency": "USD",
    }
    assert (lost.kind, lost.body, lost.idempotency_key) == ("LOST", {"source": "crm"}, "crm:o-2:LOST")


def test_rows_that_are_wrong_are_told_by_line_and_the_rest_is_kept(imported, store):
    """O3: whatever is wrong with them."""
    lines = [
        HEADER.encode(),
        GOOD.encode(),
        b"won,,o-2,2026-11-20,,,",  # 3
        b"won,a-1,,2026-11-20,,,",  # 4
        b"negotiation,a-1,o-3,2026-11-20,,,",  # 5
        b"won,a-1,o-4,soon,,,",  # 6
        b"won,a-1,o-5,2026-11-20,1.5,,",  # 7
        b"won,a-1,o-6,2026-11-20,many,USD,",  # 8
        b"won,a-1",  # 9
        b"",
        b'won,a-1,o-7,2026-11-20,,,"two',  # 11, two lines long
        b'lines"',
        b"won,a-1,o-\xff,2026-11-20,,,",  # 13
        b'won,a-1,"o"x,2026-11-20,,,',  # 14
        b"lost,a-1,o-8,2026-11-20,0.1,EUR,",
        b",a-1,o-9,2026-11-20,,,",  # 16
    ]
    captured, duplicates, bad = imported(b"\n".join(lines))
    assert (captured, duplicates) == (3, 0)
    assert [line for line, _ in bad] == [3, 4, 5, 6, 7, 8, 9, 13, 14, 16]
    said = dict(bad)
    assert "`account_id`: is missing" in said[3]
    assert "joined with nothing" in said[4]
    assert "neither won nor lost" in said[5]
    assert "no instant" in said[6]
    assert "go together" in said[7]
    assert "is no number" in said[8]
    assert "has 2 values, the header 7" in said[9]
    assert "UTF-8" in said[13]
    assert "no row of CSV" in said[14]
    assert "`kind`: is missing" in said[16]
    assert [row.opportunity_id for row in outcomes(store)] == ["o-1", "o-7", "o-8"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_the_files_own_names(imported, store, separator):
    names = ["Stage", "Account ID", "Opportunity", "Close Date", "Owner"]
    row = ["Closed Won", "a-1", "o-1", "2026-11-20", "bob"]
    text = "\ufeff" + separator.join(names) + "\r\n" + separator.join(row) + "\r\n"
    columns = {"kind": "Stage", "account_id": "Account ID", "opportunity_id": "Opportunity", "closed_at": "Close Date"}
    assert imported(text, columns=columns, source="sf") == (1, 0, [])
    assert outcomes(store)[0].idempotency_key == "sf:o-1:WON"


def test_json_lines(imported, store):
    lines = [
        '{"kind": "won", "account_id": "a", "opportunity_id": "o-1", "closed_at": "2026-11-20","amount": 12.5,"currency": "USD"}',
        "",
        '{"kind": "won", "account_id": "a-1", "opportunity_id": 7, "closed_at": "2026-11-20"}',
        "[]",
        "{",
        '{"kind": "lost", "account_id": "a-1", "opportunity_id": "o-2", "closed_at": "2026-11-20", "owner": "bob"}',
        '{"kind": "won", "account_id": "a", "opportunity_id": "o-3", "closed_at": "2026-11-20", "amount": 0.12345678901234567}',
    ]
    captured, _, bad = imported("\n".join(lines), "x.jsonl")
    assert captured == 2
    assert [line for line, _ in bad] == [3, 4, 5, 7]
    assert "is not exact" in dict(bad)[7]
    assert outcomes(store)[0].body["amount"] == "12.5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column `kind`, `account_id`, `opportunity_id`, `closed_at`"),
        ("kind,account_id\nwon,a-1\n", "no column `opportunity_id`, `closed_at`"),
    ],
)
def test_a_file_without_the_columns_is_refused_whole(imported, store, text, said):
    with pytest.raises(UsageError, match=said):
        imported(text)
    assert store.head(TENANT).seq == 0


def test_what_is_no_file_and_no_column(imported, tmp_path, store):
    with pytest.raises(UsageError, match="cannot be read"):
        import_file(tmp_path / "none.csv", capture(store), TENANT, by=BY)
    with pytest.raises(UsageError, match="`owner` is nothing that a row says"):
        imported(f"{HEADER}\n", columns={"owner": "Owner"})


def test_what_cannot_be_recorded_is_told_by_its_line(tmp_path):
    """G2: import the file again, and it is there once."""
    path = tmp_path / "x.csv"
    path.write_text(f"{HEADER}\n{GOOD}\n")
    full = Capture(
        lambda submissions: [Refusal("OVERLOADED", "later")] * len(submissions),
        lambda tenant: Setting(b"k" * 32),
        clock_ms=lambda: NOW_MS,
        new_id=lambda: "x",
    )
    done = import_file(path, full, TENANT, by=BY)
    assert (done.captured, [row.line for row in done.bad]) == (0, [2])


def test_a_quote_that_never_ends_harms_its_own_row_alone(imported, store):
    """O3, O4: what it took in is read again, up to the end of the file."""
    row = "won,a-1,{},2026-11-20,,,{}"
    rows = [
        row.format("o-1", ""),
        row.format('"o-2', ""),
        row.format("o-3", ""),
        row.format("o-4", '"two\nlines"'),
        row.format("o-5", ""),
    ]
    captured, _, bad = imported("\n".join([HEADER, *rows]) + "\n")
    assert (captured, [line for line, _ in bad]) == (4, [3])
    assert {one.opportunity_id for one in outcomes(store)} == {"o-1", "o-3", "o-4", "o-5"}
    captured, _, bad = imported("\n".join([HEADER, 'won,"a', row.format("o-6", ""), 'won,"b', row.format("o-7", "")]))
    assert (captured, [line for line, _ in bad]) == (2, [2, 4])
