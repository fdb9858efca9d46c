"""The aggregate is the strictest, and no order of validators changes what any of them answers."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.validators.builders import builtin_results
from tests.vectors import corpus
from weighbridge import canonical
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.validators.builtin import BUILT_IN

VERDICTS = st.lists(st.sampled_from(Verdict))


@given(VERDICTS, VERDICTS)
def test_the_aggregate_is_the_strictest(some, others):
    """G1: the least upper bound: at least as strict as each, and as one of them; grouping and order change nothing."""
    together = strictest([*some, *others])
    assert all(verdict.severity <= together.severity for verdict in [*some, *others])
    assert together in [*some, *others] or (together is Verdict.ALLOW and not [*some, *others])
    assert strictest([*others, *some]) is together
    assert strictest([strictest(some), strictest(others)]) is together


@given(st.sampled_from(corpus.vectors()), st.permutations(BUILT_IN), st.booleans())
def test_no_validator_sees_another(vector, order, warm):
    """G1, G4: in any order, over a fresh policy or one they all have used before, each answers the same."""
    policy, context = vector.load()
    expected = {
        result.validator: canonical.encode(corpus.as_json(result)) for result in builtin_results(context, policy)
    }
    if not warm:
        policy, context = vector.load()
    for validator in order:
        assert canonical.encode(corpus.as_json(validator.evaluate(context, policy))) == expected[validator.id]


@given(st.sampled_from(corpus.vectors()), st.randoms())
def test_no_order_of_keys_changes_a_result(vector, random):
    """G4: not in the policy, not in the arguments, not in the snapshot, not in evidence."""
    policy, context = vector.load()
    expected = [canonical.encode(corpus.as_json(result)) for result in builtin_results(context, policy)]
    policy, context = vector.load(shuffled=lambda names: random.sample(names, len(names)))
    assert [canonical.encode(corpus.as_json(result)) for result in builtin_results(context, policy)] == expected
