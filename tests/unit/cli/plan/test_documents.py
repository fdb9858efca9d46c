from __future__ import annotations

import pytest

from weighbridge.cli.plan.documents import read_document
from weighbridge.errors import UsageError


def read(tmp_path, text, name="p.yaml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(str(path))


def test_json_and_yaml_say_the_same(tmp_path):
    expected = {"plan_id": "p-1", "steps": [{"step_id": "a"}], "count": 1.5}
    assert read(tmp_path, '{"plan_id": "p-1", "steps": [{"step_id": "a"}], "count": 1.5}') == expected
    assert read(tmp_path, "plan_id: p-1\nsteps:\n  - step_id: a\ncount: 1.5\n") == expected
    assert read(tmp_path, '{plan_id: p-1, steps: [{step_id: a}], "count": 1.5}') == expected
    assert read(tmp_path, b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "holds no object"),
        ("", "holds no object"),
        (
            "plan_id: no\nexpires_at: 2026-12-01\n",
            "p.yaml:2:13: expires_at: `2026-12-01` is a date to some YAML readers",
        ),
        ('{"a": 1, "a": 2}', "`a`"),
        ("a: [1\n", "cannot be read"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_what_is_no_plan_file_is_said_with_its_place(tmp_path, text, says):
    """Rule 7: every mistake, before anything is done."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_document(str(tmp_path / "nix"))
