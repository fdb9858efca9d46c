"""docs/reference/policy.md: its examples are policies without mistakes, and no key is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weighbridge.domain.choke_point import ChokePoint
from weighbridge.policy.checksums import CHECKSUMS
from weighbridge.policy.document import json_schema
from weighbridge.policy.loader import load_policy
from weighbridge.policy.rule_kinds import KINDS_BY_NAME

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) >= 16


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[1].removeprefix("name: "))
def test_every_example_is_a_policy_without_mistakes(example):
    document = load_policy(example, "docs/reference/policy.md")
    for tenant in (None, *(document.tenants or ())):
        assert document.effective(tenant).policy_version


def test_every_key_is_explained_and_has_an_example():
    schema = json_schema()
    keys = {key for node in (schema, *schema["$defs"].values()) for key in node.get("properties", {})}
    examples = "\n".join(EXAMPLES)
    for key in keys:
        assert f"`{key}`" in PAGE, key
        assert re.search(rf"\b{key}:", examples), key


def test_every_word_of_a_closed_list_is_named():
    for word in (*KINDS_BY_NAME, *CHECKSUMS, *ChokePoint):
        assert f"`{word}`" in PAGE, word
