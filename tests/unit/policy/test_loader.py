"""From text to a checked policy, or to every mistake in it at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.policy.documents import BASE, policy, problems_of
from weighbridge.errors import PolicyError
from weighbridge.policy.loader import document_from_mapping, load_policy
from weighbridge.policy.yaml_text import SIZE_MAX

TEXT = """\
weighbridge: 1
name: renewals
freshness:
  source_types:
    crm: {soft_ttl: 7d, hard_ttl: 14d}
"""


def load_error(text, source="policy.yaml"):
    with pytest.raises(PolicyError) as caught:
        load_policy(text, source)
    return caught.value


def test_yaml_json_and_plain_data_are_the_same_policy():
    as_yaml = load_policy(TEXT, "a").effective(None)
    data = {
        "weighbridge": 1,
        "name": "renewals",
        "freshness": {"source_types": {"crm": {"soft_ttl": "7d", "hard_ttl": "14d"}}},
    }
    as_json = load_policy(json.dumps(data, indent="\t"), "b").effective(None)
    assert (
        as_yaml.policy_version == as_json.policy_version == document_from_mapping(data).effective(None).policy_version
    )


def test_the_effective_form_is_a_policy_as_json_and_as_yaml():
    made = document_from_mapping(BASE).effective(None)
    assert load_policy(json.dumps(made.document), "a").effective(None).policy_version == made.policy_version


def test_everything_that_is_wrong_is_reported_at_once_in_the_order_of_the_text():
    """G6: a policy with mistakes does not load, and one reading finds them all."""
    found = problems_of(
        """
        weighbridge: 1
        name: no
        max_clock_skew: 5 sec
        freshnes: {}
        freshness:
          source_types:
            crm: {soft_ttl: 20d, hard_ttl: 10d}
            web: {soft_ttl: 1:30, hard_ttl: 1d}
        contradiction:
          rules:
            - {id: a, rule: no_backward, field: x, snapshot: z.x, ordering: []}
            - {id: a, rule: at_most, field: x}
            - {id: b, rule: date_window, field: x, earliest: 2d, latest: 1d}
        compliance:
          restricted_fields: [ssn, S-S-N]
          value_patterns: [{id: p, class: C, fields: ["**"], regex: '(a'}]
        tenants:
          acme:
            compliance: {allowed_action: [x]}
            max_clock_skew: 10s
        name: again
        """
    )
    assert [text.split(": ")[0] for text in found] == [
        "2:7",
        "3:17",
        "4:1",
        "7:21",
        "8:21",
        "11:69",
        "12:7",
        "13:54",
        "15:28",
        "16:61",
        "19:18",
        "21:1",
    ]


def test_a_mistake_has_its_file_line_column_place_reason_and_remedy():
    error = load_error(TEXT.replace("7d", "7 days"))
    assert str(error) == (
        "policy.yaml:5:21: freshness.source_types.crm.soft_ttl: `7 days` is no duration"
        " (write a whole number and a unit, as in 14d, 36h, 1d12h, 90s, 250ms)"
    )
    problem = error.problems[0]
    assert (problem.line, problem.column, problem.where) == (5, 21, "freshness.source_types.crm.soft_ttl")


def test_a_mistake_in_plain_data_has_no_line():
    with pytest.raises(PolicyError) as caught:
        document_from_mapping(policy(zzz=1), "wb.open")
    assert str(caught.value).startswith("wb.open:zzz: unknown key `zzz`")


def test_plain_data_has_a_json_form_or_is_no_policy():
    wrongs: list[dict[Any, Any]] = [
        {"weighbridge": 1, "name": "x", "validators": [{"id": "a", "config": {"x": object()}}]},
        {1: 2},
        {"x": float("nan")},
    ]
    for wrong in wrongs:
        with pytest.raises(PolicyError):
            document_from_mapping(wrong)


def test_plain_data_is_no_deeper_than_text_may_be():
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"x": deep}
    with pytest.raises(PolicyError, match="deeper"):
        document_from_mapping({"weighbridge": 1, "name": "x", "validators": [{"id": "a", "config": deep}]})


def test_bytes_are_utf_8():
    assert load_policy(TEXT.replace("renewals", "Verlängerung").encode(), "a").name == "Verlängerung"
    error = load_error(b"weighbridge: 1\nname: Verl\xe4ngerung\n")
    assert str(error) == "policy.yaml:2:11: the byte 0xE4 is not UTF-8 (write the file as UTF-8)"
    assert "not UTF-8" in str(load_error("weighbridge: 1".encode("utf-16")))


@pytest.mark.parametrize("text", ["#" * (SIZE_MAX + 1), b"#" * (SIZE_MAX + 1), b"\xff" * (SIZE_MAX + 1)])
def test_a_policy_is_at_most_a_mebibyte(text):
    assert str(SIZE_MAX) in str(load_error(text))


def test_a_lone_surrogate_is_refused():
    assert load_error("weighbridge: 1\nname: \ud83d\n").problems


def test_the_caller_keeps_the_data_and_the_document_its_own():
    data = policy()
    document = document_from_mapping(data)
    data["sources"].clear()
    assert document.effective(None).sources
