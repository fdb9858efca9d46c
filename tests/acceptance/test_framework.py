"""The acceptance runner's own parts, on made-up records: what is found, what is counted, what the run answers."""

import gzip
import json

import pytest

from tests.acceptance import __main__ as runner
from tests.acceptance import framework
from tests.acceptance.framework import Row, Score, find, find_reference, folders_with, merge, read_json, read_lines


@pytest.fixture
def data(tmp_path):
    (tmp_path / "deep" / "shop").mkdir(parents=True)
    (tmp_path / "deep" / "shop" / "db_orders.json.gz").write_bytes(gzip.compress(b'{"o": 1}'))
    (tmp_path / "deep" / "shop" / "rows.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n', encoding="utf-8")
    (tmp_path / "deep" / "other").mkdir()
    return tmp_path


def test_folders_are_found_by_their_files_at_any_depth(data):
    shop = data / "deep" / "shop"
    assert folders_with(data, "db_orders", "rows") == [shop]
    assert folders_with(shop, "db_orders") == [shop]
    assert folders_with(data, "db_orders", "db_users") == []


def test_files_are_read_packed_or_not(data):
    shop = data / "deep" / "shop"
    packed, plain = find(shop, "db_orders"), find(shop, "rows")
    assert packed is not None
    assert plain is not None
    assert read_json(packed) == {"o": 1}
    assert list(read_lines(plain)) == [{"a": 1}, {"a": 2}]
    assert find(shop, "db_users") is None


def test_reference_data_may_lie_in_a_folder_beside(data):
    other = data / "deep" / "other"
    assert find_reference(other, "db_orders") == data / "deep" / "shop" / "db_orders.json.gz"
    with pytest.raises(FileNotFoundError, match="no `db_flights` in"):
        find_reference(other, "db_flights")


def test_outcomes_are_counted_apart_and_wrong_cases_are_named():
    score = Score("made up")
    score.judged("r", "BLOCK", "case-1", right=True)
    score.judged("r", "BLOCK", "case-2", right=False)
    score.add("r", "BLOCK", "not_expressible", "case-3")
    score.add("r", "BLOCK", "undetermined", "case-4")
    score.judged("r", "ALLOW", "case-5", right=True)
    rows = score.rows()
    assert rows == [Row("made up", "r", "ALLOW", 1, 0, 0, 0, ()), Row("made up", "r", "BLOCK", 1, 1, 1, 1, ("case-2",))]
    assert merge([*rows, *rows])[1] == Row("made up", "r", "BLOCK", 2, 2, 2, 2, ("case-2", "case-2"))


def test_a_folder_without_records_is_an_error(tmp_path, capsys):
    assert runner.main(["--data", str(tmp_path)]) == 2
    assert "no records at or below" in capsys.readouterr().err
    assert runner.main(["--data", str(tmp_path / "absent")]) == 2


def test_one_set_that_cannot_be_read_hides_no_other(tmp_path, capsys, monkeypatch):
    class Broken:
        NAME = "broken"

        @staticmethod
        def discover(root):
            return [root]

        @staticmethod
        def run(folder):
            raise ValueError

    class Fine(Broken):
        NAME = "fine"

        @staticmethod
        def run(folder):
            return [Row("fine", "r", "ALLOW", 1, 2, 0, 0, ("x", "y"))]

    monkeypatch.setattr(runner, "RECORD_SETS", (Broken, Fine))
    out = tmp_path / "acceptance.json"
    assert runner.main(["--data", str(tmp_path), "--out", str(out)]) == 1
    assert [row["set"] for row in json.loads(out.read_text(encoding="utf-8"))] == ["fine"]
    printed = capsys.readouterr()
    assert "wrong: fine, r (ALLOW): x, y" in printed.out
    assert "ValueError" in printed.err


def test_tests_skip_loudly_where_records_are_absent(tmp_path, monkeypatch):
    class Absent:
        NAME = "absent"

        @staticmethod
        def discover(root):
            return []

        @staticmethod
        def run(folder):
            return []

    monkeypatch.setenv("WEIGHBRIDGE_DATA", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=rf"no records of `absent` at or below {tmp_path}"):
        framework.rows_or_skip(Absent)
