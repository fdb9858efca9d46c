"""LiteLLM's price map, converted: exact digits, the highest tier, and nothing that cannot be believed."""

from __future__ import annotations

import decimal
import json

import pytest
import yaml

from weighbridge.errors import UsageError
from weighbridge.policy.effective import ModelPrice
from weighbridge.policy.loader import load_policy
from weighbridge.policy.price_map import PRICE_MAX, as_yaml, convert, table

CHAT = '{"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "mode": "chat"}'


def entries(**models: str) -> bytes:
    """Return a map whose entries are JSON text as it stands, because it is the text that counts."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in models.items()) + "}").encode()


def priced(read: str, answered: str = "0", more: str = "") -> str:
    return f'{{"input_cost_per_token": {read}, "output_cost_per_token": {answered}{more}}}'


def one(text: str, *, base: bool = False) -> ModelPrice:
    return convert(entries(m=text), base=base, free=True).models["m"]


def wrong(text: str) -> str:
    """Return what is said of an entry that stands beside a good one."""
    converted = convert(entries(m=text, good=CHAT))
    assert list(converted.models) == ["good"]
    return converted.bad["m"]


# --- Digits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("1.5e-07", 150_000),
        ("6e-07", 600_000),
        ("0.0000025", 2_500_000),
        ("1E-5", 10_000_000),
        ("1e-12", 1),
        ("0.000000000001", 1),
        ("0.001", PRICE_MAX),
        ("0", 0),
        ("0.0", 0),
        ("-0.0", 0),
        ("0e999999999", 0),
    ],
)
def test_a_price_is_read_from_its_digits(text, pico):
    """B2: money is integer pico-units, exact; 1.5e-07 is no binary float anywhere."""
    converted = convert(entries(m=priced(text)), free=True)
    assert converted.models["m"].input == pico
    assert converted.rounded == []


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("1.41953125e-07", 141_954),
        ("2.0000000000000002e-07", 200_001),  # a float's tail in the map itself: it is what the map says
        ("9.499999999999999e-07", 950_000),
        ("1e-13", 1),
        ("1e-999999999", 1),
        ("1.000000000000000000000000000000000000000000000000000001e-12", 2),  # beyond every context's precision
    ],
)
def test_what_is_no_whole_pico_dollar_is_rounded_up_and_named(text, pico):
    """B2: what is reserved is never too little."""
    for read, answered, side in ((text, "0", "input"), ("0", text, "output")):
        converted = convert(entries(m=priced(read, answered), exact=CHAT))
        assert getattr(converted.models["m"], side) == pico
        assert converted.rounded == ["m"]


def test_the_precision_of_the_thread_makes_no_difference():
    with decimal.localcontext(prec=2, rounding=decimal.ROUND_DOWN):
        assert one(priced("1.234567891e-06", "1.2345678912e-05")) == ModelPrice(input=1_234_568, output=12_345_679)


# --- Tiers ------------------------------------------------------------------------------------------------------------

LONG = (
    ', "input_cost_per_token_above_128k_tokens": 3e-06, "input_cost_per_token_above_1000k_tokens": 2e-06'
    ', "output_cost_per_token_above_128k_tokens": 1.5e-05'
)
LIST = """{"mode": "chat", "tiered_pricing": [
    {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06, "range": [0, 32000]},
    {"input_cost_per_token": 3e-06, "output_cost_per_token": 9e-06, "range": [32000, 128000]},
    {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06, "range": [128000, 256000]}]}"""


def test_the_highest_tier_counts():
    """B2: a reservation is made before anybody knows how long the input gets."""
    converted = convert(entries(m=priced("1e-06", "1e-05", LONG), flat=CHAT))
    assert converted.models["m"] == ModelPrice(input=3_000_000, output=15_000_000)
    assert converted.tiered == ["m"]


def test_a_tier_below_the_base_lowers_nothing():
    converted = convert(entries(m=priced("5e-06", "2e-05", LONG)))
    assert converted.models["m"] == ModelPrice(input=5_000_000, output=20_000_000)
    assert converted.tiered == []


def test_a_list_of_tiers_says_the_same():
    converted = convert(entries(m=LIST))
    assert converted.models["m"] == ModelPrice(input=3_000_000, output=9_000_000)
    assert converted.tiered == ["m"]


def test_the_base_price_where_it_is_asked_for():
    assert one(priced("1e-06", "1e-05", LONG), base=True) == ModelPrice(input=1_000_000, output=10_000_000)
    assert one(LIST, base=True) == ModelPrice(input=1_000_000, output=4_000_000)
    assert convert(entries(m=LIST), base=True).tiered == []


@pytest.mark.parametrize(
    "other",
    [
        "input_cost_per_token_priority",
        "input_cost_per_token_batches",
        "input_cost_per_token_above_272k_tokens_priority",
        "cache_read_input_token_cost_above_200k_tokens",
        "input_cost_per_audio_token",
    ],
)
def test_other_prices_are_not_read(other):
    converted = convert(entries(m=priced("1e-06", "1e-05", f', "{other}": 5e-04')))
    assert converted.models["m"] == ModelPrice(input=1_000_000, output=10_000_000)
    assert converted.tiered == []


# --- What has no price ------------------------------------------------------------------------------------------------


def test_models_without_token_prices_are_left_out():
    """B12: unknown cost is never 0."""
    null = '{"input_cost_per_token": null, "output_cost_per_token": null}'
    search = '{"tiered_pricing": [{"input_cost_per_query": 0.005, "max_results_range": [0, 25]}]}'
    converted = convert(entries(image='{"output_cost_per_image": 0.04}', null=null, search=search, good=CHAT))
    assert list(converted.models) == ["good"]
    assert converted.unpriced == ["image", "null", "search"]
    assert converted.count == 4


def test_a_price_for_one_direction_alone_is_not_completed_with_nothing():
    """B12: unknown cost is never 0."""
    image = '{"input_cost_per_token": 5e-06, "mode": "image_generation"}'
    converted = convert(entries(image=image, heard='{"output_cost_per_token": 1e-05}', good=CHAT))
    assert list(converted.models) == ["good"]
    assert converted.one_sided == ["heard", "image"]


def test_an_embedding_answers_with_no_tokens():
    converted = convert(entries(m='{"input_cost_per_token": 1e-07, "mode": "embedding"}'))
    assert converted.models["m"] == ModelPrice(input=100_000, output=0)
    assert converted.one_sided == []


def test_a_model_that_costs_nothing_is_left_out_and_named():
    """B12: unknown cost is never 0, and a 0 in the map is often unknown."""
    embedding = '{"input_cost_per_token": 0, "mode": "embedding"}'
    data = entries(local=priced("0.0", "0"), half=priced("0", "1e-06"), embedding=embedding, good=CHAT)
    converted = convert(data)
    assert list(converted.models) == ["good", "half"]
    assert (converted.free, converted.kept_free, converted.count) == (["embedding", "local"], [], 4)


def test_a_model_that_costs_nothing_is_kept_where_that_is_asked_for():
    converted = convert(entries(local=priced("0.0", "0"), good=CHAT), free=True)
    assert converted.models["local"] == ModelPrice(input=0, output=0)
    assert (converted.free, converted.kept_free, converted.count) == ([], ["local"], 2)


def test_a_map_of_free_models_alone_has_no_prices():
    with pytest.raises(UsageError, match="no model in the file has prices"):
        convert(entries(local=priced("0", "0")))


def test_the_sample_is_no_model():
    assert list(convert(entries(sample_spec=CHAT, good=CHAT)).models) == ["good"]
    assert convert(entries(sample_spec=CHAT, good=CHAT), ["*"]).count == 1


# --- What cannot be believed ------------------------------------------------------------------------------------------

NUMBER = "which is no number"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (priced("-1e-07", "1e-06"), "`input_cost_per_token` is `-1E-7`, which is negative"),
        (priced("1e-07", "-1"), "`output_cost_per_token` is `-1`, which is negative"),
        (priced('"1e-07"', "1e-06"), f"`input_cost_per_token` is `1e-07`, {NUMBER}"),
        (priced("true", "1e-06"), f"`input_cost_per_token` is `true`, {NUMBER}"),
        (priced("[1]", "1e-06"), f"`input_cost_per_token` is a list, {NUMBER}"),
        (priced("{}", "1e-06"), f"`input_cost_per_token` is an object, {NUMBER}"),
        (priced("NaN", "1e-06"), f"`input_cost_per_token` is `NaN`, {NUMBER}"),
        (priced("-Infinity", "1e-06"), f"`input_cost_per_token` is `-Infinity`, {NUMBER}"),
        (priced("1e99999999999999999999", "0"), f"`input_cost_per_token` is `1e99999999999999999999`, {NUMBER}"),
        (priced("1e999999999", "0"), "`input_cost_per_token` is `1E+999999999`, more than $1,000 for 1M tokens"),
        (priced("0.0010000001", "0"), "`input_cost_per_token` is `0.0010000001`, more than $1,000 for 1M tokens"),
        (priced("9" * 9000, "0"), f"`input_cost_per_token` is `{'9' * 40}…`, more than $1,000 for 1M tokens"),
        (priced('"\\u001b[31m\\n"', "0"), f"`input_cost_per_token` is `\\x1b[31m\\n`, {NUMBER}"),
        (priced("1e-06", "0", ', "input_cost_per_token": 2e-06'), "`input_cost_per_token` stands twice"),
        (
            priced("1e-06", "0", ', "input_cost_per_token_above_200k_tokens": -1'),
            "`input_cost_per_token_above_200k_tokens` is `-1`, which is negative",
        ),
        (priced("1e-06", "0", ', "tiered_pricing": [3]'), "`tiered_pricing` is no list of tiers"),
        (priced("1e-06", "0", ', "tiered_pricing": {}'), "`tiered_pricing` is no list of tiers"),
        ("[]", "is no object"),
        ("null", "is no object"),
        ("0.5", "is no object"),
        (f'{CHAT}, "m": {CHAT}', "stands twice in the file"),
    ],
)
def test_an_entry_that_cannot_be_believed_is_left_out_with_the_reason(text, said):
    assert wrong(text) == said


def test_a_mode_of_any_kind_is_harmless():
    converted = convert(entries(m='{"input_cost_per_token": 1e-07, "mode": ["embedding"]}', good=CHAT))
    assert converted.one_sided == ["m"]


@pytest.mark.parametrize("name", ["", "n" * 201, " x", "two\nlines", "\u202egpt", "\ud800", "\x85"])
def test_a_name_that_no_policy_can_hold_is_left_out(name):
    converted = convert(entries(**{name: CHAT, "good": CHAT}))
    assert list(converted.models) == ["good"]
    assert "name" in converted.bad[name]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"\xff": 1}', "not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b"{}", "no model in the file"),
        (b'{"sample_spec": {"input_cost_per_token": 1, "output_cost_per_token": 1}}', "no model in the file"),
        (b'{"weighbridge": 1, "name": "a policy"}', "no model in the file"),
    ],
)
def test_what_is_no_price_map_is_usage(data, said):
    with pytest.raises(UsageError, match=said):
        convert(data)


def test_a_byte_order_mark_is_no_content():
    assert list(convert(b"\xef\xbb\xbf" + entries(m=CHAT)).models) == ["m"]


# --- Patterns ---------------------------------------------------------------------------------------------------------

SHELF = entries(
    **dict.fromkeys(("gpt-4o", "gpt-4o-mini", "azure/gpt-4o", "bedrock/[eu]/claude", "GPT-J"), CHAT),
    draw="{}",
    bad=priced("-1", "0"),
    gift=priced("0", "0"),
)
NEGATIVE = "`input_cost_per_token` is `-1`, which is negative"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["gpt-4o"], ["gpt-4o"]),
        (["gpt-4o", "azure/*"], ["azure/gpt-4o", "gpt-4o"]),
        (["gpt*", "gpt-4o"], ["gpt-4o", "gpt-4o-mini"]),
        (["bedrock/[eu]/claude"], ["bedrock/[eu]/claude"]),
        (["*"], ["GPT-J", "azure/gpt-4o", "bedrock/[eu]/claude", "gpt-4o", "gpt-4o-mini"]),
        (["[ga]*4o"], ["azure/gpt-4o", "gpt-4o"]),
    ],
)
def test_patterns_choose_models(patterns, names):
    assert list(convert(SHELF, patterns).models) == names


def test_only_what_was_asked_for_is_told():
    assert convert(SHELF, ["gpt-4o"]).bad == {}
    assert convert(SHELF, ["gpt-4o"]).count == 1


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("gpt4o", "no model matches `gpt4o`; the closest is `gpt-4o`"),
        ("GPT-4o-mni", "no model matches `GPT-4o-mni`; the closest is `gpt-4o-mini`"),
        ("zzzzzzzzz*", "no model matches `zzzzzzzzz*`"),
        ("draw", "no model that matches `draw` has a price: `draw` has no price for tokens"),
        ("ba?", f"no model that matches `ba?` has a price: `bad` {NEGATIVE}"),
        (
            "gift",
            "no model that matches `gift` has a price: `gift` costs 0, says the map, which is often a gap; --free keeps it",
        ),
        (
            "[bd]*a[dw]",
            f"no model that matches `[bd]*a[dw]` has a price: `bad` {NEGATIVE} (and 1 more without a price)",
        ),
    ],
)
def test_a_pattern_that_brings_no_price_is_an_error(pattern, said):
    with pytest.raises(UsageError) as caught:
        convert(SHELF, ["gpt-4o", pattern])
    assert str(caught.value) == said


def test_a_name_that_cannot_be_believed_holds_nothing_else_up():
    converted = convert(SHELF, ["gpt-4o", "bad"])
    assert (list(converted.models), converted.refused) == (["gpt-4o"], ["bad"])
    assert convert(SHELF).refused == convert(SHELF, ["*"]).refused == []
    with pytest.raises(UsageError, match="which is negative"):
        convert(SHELF, ["bad"])


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_table_says_where_it_comes_from():
    """B2: a decimal string in canonical form."""
    assert table(convert(entries(m=CHAT)), date="2026-11-22", sha256="ab" * 32) == {
        "currency": "USD",
        "source": "LiteLLM model prices",
        "date": "2026-11-22",
        "sha256": "ab" * 32,
        "models": {"m": {"input": "150000", "output": "600000"}},
    }
    assert table(convert(entries(m=CHAT)), date="", sha256="", base=True)["source"] == "LiteLLM model prices, base tier"


def test_yaml_says_the_same_whatever_models_are_called():
    names = ["no", "1e5", "2026-11-22", "a: b", "*x", '"', "\\", "#", "é", "🜚", "null", "bedrock/*/m:0", "~"]
    prices = table(convert(entries(**dict.fromkeys(names, CHAT))), date="2026-11-22", sha256="1" * 64)
    text = as_yaml(prices)
    read = yaml.safe_load("budgets:\n" + text)["budgets"]["prices"]
    assert sorted(read["models"]) == sorted(names)
    assert {key: read[key] for key in ("currency", "source", "date", "sha256")} == {
        key: prices[key] for key in ("currency", "source", "date", "sha256")
    }
    assert read["models"]["no"] == {"input": "150000", "output": "600000"}


def test_a_price_of_a_few_pico_dollars_is_pasted_too():
    """B2: what the import writes, a policy accepts: below 100, digits without quotes are taken for dollars."""
    prices = table(convert(entries(tiny=priced("1.5e-11", "9.9e-11"))), date="2026-11-22", sha256="1" * 64)
    policy = load_policy(PASTED.format(as_yaml(prices)), "pasted.yaml").effective(None)
    assert policy.document["budgets"]["prices"]["models"] == {"tiny": {"input": "15", "output": "99"}}


PASTED = """\
weighbridge: 1
name: pasted
budgets:
{}  caps:
    - {{id: money, scope: {{account: each}}, hard_cap: $25/month}}
"""


def test_the_table_is_pasted_into_a_policy_whatever_models_are_called():
    """B2: the policy holds the very numbers, as decimal text, and compiles to them."""
    names = ["no", "1e5", "2026-11-22", "a: b", "*x", '"', "\\", "#", "é", "🜚", "each", "(none)", "a b", "n" * 200]
    converted = convert(entries(long=priced("1.41953125e-07", "1e-05", LONG), **dict.fromkeys(names, CHAT)))
    prices = table(converted, date="2026-11-22", sha256="0123456789" * 6 + "0000")
    for block in (as_yaml(prices), f"  prices: {json.dumps(prices)}\n"):
        policy = load_policy(PASTED.format(block), "pasted.yaml").effective(None)
        assert policy.document["budgets"]["prices"] == {**prices, "operations": {}}
        assert policy.budgets is not None
        assert policy.budgets.prices is not None
        assert policy.budgets.prices.unit == "pico_USD"
        assert policy.budgets.prices.models == converted.models
