"""`weighbridge prices import`: what is read, written, told and refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from datetime import UTC, datetime

import pytest
import yaml

from tests.command_line import run
from weighbridge.cli import prices

MAP = b"""{
  "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
  "small": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "mode": "chat"},
  "small-long": {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06,
                 "input_cost_per_token_above_200k_tokens": 2e-06},
  "odd": {"input_cost_per_token": 1.41953125e-07, "output_cost_per_token": 0.0},
  "local": {"input_cost_per_token": 0, "output_cost_per_token": 0},
  "painter": {"output_cost_per_image": 0.04, "mode": "image_generation"},
  "half": {"input_cost_per_token": 5e-06, "mode": "image_generation"}
}
"""
BAD = MAP.replace(b'"half"', b'"neg\\n\\u001bative": {"input_cost_per_token": -1, "output_cost_per_token": 0}, "half"')
MODIFIED = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, data in (("map.json", MAP), ("map.json.gz", gzip.compress(MAP)), ("bad.json", BAD)):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (MODIFIED.timestamp(),) * 2)
    return tmp_path


def test_the_table_is_yaml_to_be_pasted_below_budgets():
    """B2: prices are whole pico-units."""
    ran = run("prices", "import", "map.json", "--model", "small*")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "  prices:",
        "    currency: USD",
        '    source: "LiteLLM model prices"',
        '    date: "2026-03-01"',
        f'    sha256: "{hashlib.sha256(MAP).hexdigest()}"',
        "    models: # millionths of a dollar for 1M tokens",
        '      "small": {input: "150000", output: "600000"}',
        '      "small-long": {input: "2000000", output: "4000000"}',
    ]
    assert ran.err.splitlines() == [
        "prices of 2 of 2 models",
        "1 model at the highest tier; --base takes the base price",
    ]


def test_everything_that_was_done_is_told_on_standard_error():
    ran = run("prices", "import", "bad.json")
    assert list(yaml.safe_load(ran.out)["prices"]["models"]) == ["odd", "small", "small-long"]
    assert ran.err.splitlines() == [
        "prices of 3 of 7 models",
        "1 model at the highest tier; --base takes the base price",
        "1 model rounded up to whole pico-dollars: `odd`",
        "1 model skipped: no price for tokens",
        "1 model skipped: a price for one direction alone: `half`",
        "1 model skipped: a price of 0, which is often a gap; --free keeps them: `local`",
        "skipped: `neg\\n\\x1bative` has a name that no policy can hold: empty, too long, in white space, or not printable",
    ]


def test_a_model_that_costs_nothing_is_kept_where_somebody_knows_that():
    """B12: unknown cost is never 0; only who imports can say that 0 is not unknown."""
    ran = run("prices", "import", "map.json", "--free", "--json")
    assert ran.lines[0]["models"]["local"] == {"input": "0", "output": "0"}
    assert "1 model free, says the map, so that they reserve no money: `local`" in ran.err.splitlines()
    assert "--free" not in ran.err
    ran = run("prices", "import", "map.json", "--model", "local", "--model", "small")
    assert (ran.code, ran.out) == (2, "")
    assert "`local` costs 0, says the map" in ran.err


def test_what_cannot_be_believed_ends_in_bad_lines_where_it_was_asked_for_by_name(here):
    (here / "bad.json").write_bytes(MAP.replace(b'"half"', b'"worse": {"input_cost_per_token": -1}, "half"'))
    ran = run("prices", "import", "bad.json", "--model", "worse", "--model", "small", "--out", "prices.yaml")
    assert ran.code == 3
    assert ran.err.splitlines()[1:] == ["skipped: `worse` `input_cost_per_token` is `-1`, which is negative"]
    assert list(yaml.safe_load((here / "prices.yaml").read_text("utf-8"))["prices"]["models"]) == ["small"]
    for model in ((), ("--model", "small"), ("--model", "*")):  # nobody asked for it, or not by name
        ran = run("prices", "import", "bad.json", *model)
        assert (ran.code, "skipped: `worse`" in ran.err) == (0, model != ("--model", "small"))
    for pattern in ("worse", "wors?"):  # nothing to write
        ran = run("prices", "import", "bad.json", "--model", pattern)
        assert (ran.code, ran.out) == (2, "")
        assert "which is negative" in ran.err


def test_every_rounded_model_is_named_and_long_lists_of_others_are_cut(here):
    rounded = {f"odd-{number:02}": {"input_cost_per_token": 1e-13, "output_cost_per_token": 0} for number in range(30)}
    free = {f"free-{number:02}": {"input_cost_per_token": 0, "output_cost_per_token": 0} for number in range(30)}
    (here / "many.json").write_text(json.dumps(rounded | free), encoding="utf-8")
    for more in ((), ("--free",)):
        _, tail, freely = run("prices", "import", "many.json", *more).err.splitlines()
        assert tail.count("`odd-") == 30
        assert freely.count("`free-") == prices.SHOWN_MAX
        assert freely.endswith("`free-19` and 10 more")


def test_json_is_one_line_of_the_form_a_policy_has():
    """B2: decimal text, because JSON numbers end at 2**53."""
    (line,) = run("prices", "import", "map.json", "--model", "small", "--json").lines
    assert line == {
        "currency": "USD",
        "source": "LiteLLM model prices",
        "date": "2026-03-01",
        "sha256": hashlib.sha256(MAP).hexdigest(),
        "models": {"small": {"input": "150000", "output": "600000"}},
    }


def test_the_output_is_part_of_a_policy_as_it_stands(here):
    written = run("prices", "import", "map.json").out
    caps = "  caps:\n    - {id: money, scope: {account: each}, hard_cap: $25/month}\n"
    (here / "policy.yaml").write_text(f"weighbridge: 1\nname: pasted\nbudgets:\n{written}{caps}", encoding="utf-8")
    ran = run("policy", "check", "--table", "policy.yaml")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "policy.yaml: no mistakes")


def test_the_base_price_is_asked_for():
    ran = run("prices", "import", "map.json", "--model", "small-long", "--base", "--json")
    assert ran.lines[0]["models"] == {"small-long": {"input": "1000000", "output": "4000000"}}
    assert ran.lines[0]["source"] == "LiteLLM model prices, base tier"
    assert "tier" not in ran.err


def test_a_packed_map_is_read_and_its_file_is_what_is_hashed(here):
    plain, packed = (run("prices", "import", name, "--json").lines[0] for name in ("map.json", "map.json.gz"))
    assert packed["models"] == plain["models"]
    assert packed["sha256"] == hashlib.sha256((here / "map.json.gz").read_bytes()).hexdigest()  # as sha256sum says


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_day_is_the_same_wherever_it_is_asked(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert run("prices", "import", "map.json", "--json").lines[0]["date"] == "2026-03-01"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_standard_input_needs_a_date():
    assert run("prices", "import", "-", "--date", "2026-11-22", "--json", stdin=MAP).lines[0]["date"] == "2026-11-22"
    ran = run("prices", "import", "-", stdin=MAP)
    assert (ran.code, ran.out) == (2, "")
    assert "--date" in ran.err


@pytest.mark.parametrize("date", ["2026-02-30", "20261122", "22.11.2026", "2026-W01-1", "today", ""])
def test_a_date_that_is_none_is_usage(date):
    ran = run("prices", "import", "map.json", "--date", date)
    assert (ran.code, ran.out) == (2, "")
    assert "--date YYYY-MM-DD" in ran.err


# --- The file that is written -----------------------------------------------------------------------------------------


def test_a_file_is_written_whole_and_standard_output_stays_empty(here):
    ran = run("prices", "import", "map.json", "--model", "small", "--out", "prices.yaml")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "prices of 1 of 1 model in prices.yaml\n"
    assert (here / "prices.yaml").read_text("utf-8") == run("prices", "import", "map.json", "--model", "small").out
    assert list(here.glob("*.partial")) == []


def test_a_file_that_is_there_is_kept_unless_forced(here):
    (here / "prices.yaml").write_text("mine", encoding="utf-8")
    ran = run("prices", "import", "map.json", "--out", "prices.yaml")
    assert ran.code == 2
    assert "--force" in ran.err
    assert (here / "prices.yaml").read_text("utf-8") == "mine"
    assert run("prices", "import", "map.json", "--out", "prices.yaml", "--force").code == 0
    assert (here / "prices.yaml").read_text("utf-8").startswith("  prices:")


def test_the_map_is_never_overwritten(here):
    assert run("prices", "import", "map.json", "--out", "map.json", "--force").code == 2
    assert (here / "map.json").read_bytes() == MAP


def test_a_run_that_fails_leaves_the_file_that_was_there(here):
    (here / "prices.yaml").write_text("mine", encoding="utf-8")
    assert run("prices", "import", "map.json", "--model", "none*", "--out", "prices.yaml", "--force").code == 2
    assert (here / "prices.yaml").read_text("utf-8") == "mine"


def test_a_place_that_cannot_be_written_is_a_bad_world(here):
    ran = run("prices", "import", "map.json", "--out", "nowhere/prices.yaml")
    assert ran.code == 1
    assert "`nowhere/prices.yaml` cannot be written" in ran.err


def test_what_cannot_be_put_in_place_leaves_nothing_behind(here):
    (here / "folder").mkdir()
    (here / "folder" / "kept").touch()
    ran = run("prices", "import", "map.json", "--out", "folder", "--force")
    assert ran.code == 1
    assert list(here.glob("*.partial")) == []
    assert (here / "folder" / "kept").exists()


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_names_the_closest():
    ran = run("prices", "import", "map.json", "--model", "small", "--model", "smal-long")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: no model matches `smal-long`; the closest is `small-long`\n"


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_file_that_cannot_be_read_is_usage(name):
    ran = run("prices", "import", name)
    assert (ran.code, ran.out) == (2, "")
    assert f"`{name}` cannot be read" in ran.err


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff\xff" + data[22:]])
def test_damaged_compressed_data_are_usage(here, damage):
    (here / "cut.gz").write_bytes(damage(gzip.compress(MAP)))
    ran = run("prices", "import", "cut.gz")
    assert (ran.code, ran.out) == (2, "")
    assert "damaged or cut" in ran.err


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_far_too_long_is_not_read_to_its_end(here, monkeypatch, pack):
    monkeypatch.setattr(prices, "FILE_BYTES_MAX", 1 << 20)
    (here / "long.json").write_bytes(pack(b" " * (1 << 21)))
    ran = run("prices", "import", "long.json")
    assert (ran.code, ran.out) == (2, "")
    assert "longer than 1 MiB" in ran.err


def test_what_is_no_map_is_usage(here):
    (here / "policy.yaml").write_text("weighbridge: 1\n", encoding="utf-8")
    ran = run("prices", "import", "policy.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "not JSON" in ran.err
