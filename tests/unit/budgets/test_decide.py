"""The kernel of reservations: every reason, and which one counts where several hold."""

import pytest

from weighbridge.budgets.decide import Counter, weigh
from weighbridge.domain.amounts import AMOUNT_MAX
from weighbridge.domain.verdict import Verdict
from weighbridge.testing.submissions import cap

ALLOW, WARN, BLOCK = Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK
ONE = {"operations": 1}


def said(cap, used=0, amounts=None, *, justified=False, settled=0):
    """Return what one cap says alone: verdict, reason and usage afterwards."""
    weighed = weigh([(cap, Counter(used, settled))], ONE if amounts is None else amounts, justified=justified)
    (one,) = weighed.caps
    assert (one.verdict, one.reason) == (weighed.verdict, weighed.reason)
    return one.verdict, one.reason, one.after


@pytest.mark.parametrize(
    ("hard", "soft", "used", "amount", "expected"),
    [
        (10, None, 0, 1, (ALLOW, "WITHIN_CAPS", 1)),
        (10, None, 9, 1, (ALLOW, "WITHIN_CAPS", 10)),
        (10, None, 10, 1, (BLOCK, "HARD_CAP_EXCEEDED", 11)),
        (10, None, 10, 0, (ALLOW, "WITHIN_CAPS", 10)),
        (10, None, 11, 0, (BLOCK, "HARD_CAP_EXCEEDED", 11)),  # B14: lowered below usage
        (10, None, 0, 10, (ALLOW, "WITHIN_CAPS", 10)),
        (10, None, 0, 11, (BLOCK, "NEVER_FITS", 11)),
        (10, None, 9, 11, (BLOCK, "NEVER_FITS", 20)),
        (10, None, 3, 8, (BLOCK, "HARD_CAP_EXCEEDED", 11)),  # B12: never shrunk to what is left
        (0, None, 0, 0, (ALLOW, "WITHIN_CAPS", 0)),
        (0, None, 0, 1, (BLOCK, "NEVER_FITS", 1)),
        (10, 5, 4, 1, (ALLOW, "WITHIN_CAPS", 5)),
        (10, 5, 5, 1, (WARN, "SOFT_CAP_EXCEEDED", 6)),
        (10, 5, 9, 1, (WARN, "SOFT_CAP_EXCEEDED", 10)),
        (10, 5, 10, 1, (BLOCK, "HARD_CAP_EXCEEDED", 11)),
        (10, 10, 10, 1, (BLOCK, "HARD_CAP_EXCEEDED", 11)),
        (10, 0, 0, 1, (WARN, "SOFT_CAP_EXCEEDED", 1)),
        (None, None, 10**26, 1, (ALLOW, "WITHIN_CAPS", 10**26 + 1)),
        (None, 5, 5, 1, (WARN, "SOFT_CAP_EXCEEDED", 6)),
        (None, None, AMOUNT_MAX - 1, 1, (ALLOW, "WITHIN_CAPS", AMOUNT_MAX)),
        (None, None, AMOUNT_MAX, 1, (BLOCK, "AMOUNT_OUT_OF_RANGE", None)),
        (10, None, 0, AMOUNT_MAX + 1, (BLOCK, "AMOUNT_OUT_OF_RANGE", None)),
    ],
)
def test_what_one_cap_says(hard, soft, used, amount, expected):
    """B4, B12, B2: to the unit, on both sides of every limit; "unlimited" ends only at what can be counted (B8)."""
    assert said(cap("c", hard, soft=soft), used, {"operations": amount}) == expected


@pytest.mark.parametrize(
    ("unit", "amounts", "expected"),
    [
        ("tokens", ONE, "COST_UNKNOWN"),
        ("pico_USD", ONE, "COST_UNKNOWN"),
        ("pico_USD", {"tokens": 5}, "COST_UNKNOWN"),
        ("pico_USD", {"pico_EUR": 1}, "CURRENCY_MISMATCH"),
        ("tokens", {"pico_EUR": 1}, "COST_UNKNOWN"),
        ("tokens", {}, "COST_UNKNOWN"),
    ],
)
def test_what_is_not_known_is_never_nothing(unit, amounts, expected):
    """B12, B2: also under "unlimited", and no currency is converted."""
    assert said(cap("c", None, unit=unit), 0, amounts) == (BLOCK, expected, None)


@pytest.mark.parametrize(
    ("justified", "used", "expected"),
    [
        (False, 0, (BLOCK, "JUSTIFICATION_MISSING", 1)),
        (True, 0, (WARN, "JUSTIFIED", 1)),
        (False, 3, (BLOCK, "JUSTIFICATION_MISSING", 4)),
        (True, 3, (WARN, "SOFT_CAP_EXCEEDED", 4)),
        (False, 5, (BLOCK, "HARD_CAP_EXCEEDED", 6)),
        (True, 5, (BLOCK, "HARD_CAP_EXCEEDED", 6)),
    ],
)
def test_a_cap_that_demands_a_reason(justified, used, expected):
    """B13: at least WARN; no reason opens a full cap (B4)."""
    assert said(cap("c", 5, soft=3, justification=True), used, justified=justified) == expected


def test_a_reason_nobody_demanded_changes_nothing():
    """B13: it is the cap that demands one."""
    assert said(cap("c", 5), justified=True) == (ALLOW, "WITHIN_CAPS", 1)


def test_settlement_counts_only_where_the_cap_opted_in():
    """B7: on one and the same counter."""
    assert said(cap("c", 5), 5, settled=2)[1] == "HARD_CAP_EXCEEDED"
    assert said(cap("c", 5, settles=True), 5, settled=2) == (ALLOW, "WITHIN_CAPS", 4)
    assert (Counter(5, 2).usage(cap("c", 5)), Counter(5, 2).usage(cap("c", 5, settles=True))) == (5, 3)


ALLOWS = (cap("allows", 9), 0)
JUSTIFIED = (cap("justified", 9, justification=True), 0)
SOFT = (cap("soft", 9, soft=0), 0)
UNJUSTIFIED = JUSTIFIED
HARD = (cap("hard", 9), 9)
NEVER = (cap("never", 0), 0)
UNKNOWN = (cap("unknown", 9, unit="tokens"), 0)
MISMATCH = (cap("mismatch", 9, unit="pico_USD"), 0)
RANGE = (cap("range", None), AMOUNT_MAX)


@pytest.mark.parametrize(
    ("pair", "justified", "reason", "verdict"),
    [
        ((ALLOWS, JUSTIFIED), True, "JUSTIFIED", WARN),
        ((JUSTIFIED, SOFT), True, "SOFT_CAP_EXCEEDED", WARN),
        ((SOFT, UNJUSTIFIED), False, "JUSTIFICATION_MISSING", BLOCK),
        ((UNJUSTIFIED, HARD), False, "HARD_CAP_EXCEEDED", BLOCK),
        ((HARD, NEVER), False, "NEVER_FITS", BLOCK),
        ((NEVER, UNKNOWN), False, "COST_UNKNOWN", BLOCK),
        ((UNKNOWN, MISMATCH), False, "CURRENCY_MISMATCH", BLOCK),
        ((MISMATCH, RANGE), False, "AMOUNT_OUT_OF_RANGE", BLOCK),
        ((ALLOWS, HARD), False, "HARD_CAP_EXCEEDED", BLOCK),
        ((ALLOWS, SOFT), False, "SOFT_CAP_EXCEEDED", WARN),
        ((SOFT, HARD), False, "HARD_CAP_EXCEEDED", BLOCK),
    ],
)
def test_the_gravest_of_all_caps_counts(pair, justified, reason, verdict):
    """B4: any that would pass its hard cap blocks, else any soft one warns; in whatever order they stand."""
    amounts = {"operations": 1, "pico_EUR": 1}
    for ordered in (pair, pair[::-1]):
        used = [(one, Counter(counter)) for one, counter in ordered]
        weighed = weigh(used, amounts, justified=justified)
        assert (weighed.verdict, weighed.reason) == (verdict, reason)
        assert [one.cap.id for one in weighed.caps] == [one.id for one, _ in ordered]


def test_findings_come_first_and_no_cap_is_no_go():
    """B8: nothing that applies is a BLOCK; what was found before is the reason, and the caps still say what they see."""
    assert weigh([], ONE, justified=True) == weigh([], {}, justified=False)
    assert (weigh([], ONE, justified=True).verdict, weigh([], ONE, justified=True).reason) == (
        BLOCK,
        "NO_APPLICABLE_CONFIG",
    )
    found = weigh([(cap("c", 0), Counter())], ONE, justified=False, findings=["UNTRUSTED_INPUT", "CLOCK_STEPPED_BACK"])
    assert (found.verdict, found.reason, found.caps[0].reason) == (BLOCK, "UNTRUSTED_INPUT", "NEVER_FITS")
    assert weigh([(cap("c", 9), Counter())], ONE, justified=False, findings=["X"]).verdict is BLOCK
    assert weigh([], ONE, justified=False, findings=["X"]).reason == "X"
