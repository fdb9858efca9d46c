"""The public price map as it is published: it converts, and known models cost what they are known to cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.acceptance.framework import data_root, find, folders_with
from tests.command_line import run
from weighbridge.policy.loader import load_policy
from weighbridge.policy.price_map import PRICE_MAX

pytestmark = pytest.mark.acceptance

MAP = "litellm_model_prices"
DAY = "2026-11-22"


@pytest.fixture(scope="module")
def price_map() -> Path:
    """Return the map, or skip loudly, naming the folder, where there is none."""
    root = data_root()
    for folder in folders_with(root, MAP):
        if (path := find(folder, MAP)) is not None:
            return path
    pytest.skip(f"no `{MAP}` at or below {root}; set WEIGHBRIDGE_DATA to a folder that has it")


def test_known_models_cost_exactly_what_is_published(price_map):
    """B2: money is integer pico-units, exact."""
    names = ("gpt-4o-mini", "gpt-4o", "gpt-4.1")
    ran = run("prices", "import", price_map, "--date", DAY, "--json", *(f"--model={name}" for name in names))
    assert ran.code == 0
    models = ran.lines[0]["models"]
    assert {name: (int(price["input"]), int(price["output"])) for name, price in models.items()} == {
        "gpt-4o-mini": (150_000, 600_000),
        "gpt-4o": (2_500_000, 10_000_000),
        "gpt-4.1": (2_000_000, 8_000_000),
    }


def test_the_whole_map_converts_and_no_price_is_below_what_it_states(price_map):
    """B2, B12: nothing is priced that the map does not price, and nothing lower than it does."""
    import gzip
    import json

    data = price_map.read_bytes()
    stated = json.loads(gzip.decompress(data) if price_map.suffix == ".gz" else data, parse_float=Decimal)
    for more in ((), ("--base",), ("--free",)):
        ran = run("prices", "import", price_map, "--date", DAY, "--json", *more)
        assert ran.code == 0  # entries that cannot be believed are named, and nobody asked for them by name
        models = ran.lines[0]["models"]
        assert len(models) > len(stated) // 2
        for name, price in models.items():
            for side in ("input", "output"):
                base = stated[name].get(f"{side}_cost_per_token") or 0
                assert Decimal(base).scaleb(12) <= int(price[side]) <= PRICE_MAX, name
        nothing = {"input": "0", "output": "0"}
        assert (nothing in models.values()) == ("--free" in more)  # a 0 in the map is often a gap


def test_the_whole_map_is_part_of_a_policy_as_it_stands(price_map):
    """B2: thousands of prices, each the very number that was converted."""
    block = run("prices", "import", price_map, "--date", DAY).out
    caps = "  caps:\n    - {id: money, scope: {account: each}, hard_cap: $25/month}\n"
    policy = load_policy(f"weighbridge: 1\nname: pasted\nbudgets:\n{block}{caps}", "pasted.yaml").effective(None)
    (line,) = run("prices", "import", price_map, "--date", DAY, "--json").lines
    assert policy.document["budgets"]["prices"]["models"] == line["models"]
